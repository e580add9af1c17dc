"How good a model gets with few labels, and how soon, beside SetFit: `make bench FEW=1`."
import json, os, subprocess, sys, tempfile, time
from pathlib import Path

os.environ.update(
    TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1", EMOTION_CACHE="off")
import typer

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from emotion_nbdev.beyond.few_labels import ContrastiveClassifier, examples_per_class
from emotion_nbdev.dataset import to_frame
from emotion_nbdev.foundations.checkpoints import resolve_checkpoint

from data import benchmark_data
from environments import environment, usual_variables
from machine import machine

HERE = Path(__file__).parent
SIZES = (8, 16)  # examples a class; SetFit takes minutes for more


def fitted(make):
    "(seconds of a training, answers) of a classifier in this process"
    def run(part, seed, unseen):
        started = time.perf_counter()
        classifier = make(seed).fit(part["text"].tolist(), part["label"].tolist())
        return time.perf_counter() - started, classifier.predict(unseen)
    return run


def counted(seed):
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC())


def pairs(seed):
    return ContrastiveClassifier(seed=seed)


def setfit(part, seed, unseen):
    "The same of SetFit, with the same checkpoint"
    asked = dict(checkpoint=str(resolve_checkpoint()), seed=seed, unseen=unseen,
                 texts=part["text"].tolist(), labels=part["label"].tolist())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/"asked.json"
        path.write_text(json.dumps(asked))
        subprocess.run([environment("peers"), HERE/"setfit_peer.py", path],
                       check=True, capture_output=True, env=usual_variables())
        found = json.loads(path.read_text())
    return found["seconds"], found["given"]


VARIANTS = {
    "TF-IDF and LinearSVC, scikit-learn": fitted(counted),
    "SetFit": setfit,
    "ours, trained on pairs": fitted(pairs),
}


def main(seeds: int = 3, output: Path = HERE/"results-few.json"):
    "Train with each size and draw, print the rows, write results-few.json; EMOTION_DATA as in bench.py"
    data, variants = benchmark_data(), dict(VARIANTS)
    train, validation = to_frame(data["train"]), to_frame(data["validation"])
    truth, rows = validation["label"], []
    try:
        environment("peers")
    except OSError as error:
        print(f"SetFit: left out ({error})", file=sys.stderr)
        del variants["SetFit"]
    for seed in range(1, seeds + 1):
        for size in SIZES:
            part = train.iloc[examples_per_class(train["label"], size, seed)]
            for name, variant in variants.items():
                seconds, given = variant(part, seed, validation["text"].tolist())
                rows.append(dict(
                    variant=name, per_class=size, seed=seed, split="validation", n=len(truth),
                    seconds=round(seconds, 2), accuracy=round(accuracy_score(truth, given), 4),
                    macro_f1=round(f1_score(truth, given, average="macro", zero_division=0), 4)))
                print(rows[-1], file=sys.stderr)
    folder = os.environ.get("EMOTION_DATA")
    command = "EMOTION_DATA=folder make bench FEW=1" if folder else "make bench FEW=1"
    about = machine(data="public dataset" if folder else "embedded corpus", command=command)
    output.write_text(json.dumps(dict(machine=about, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
