"How long until a model is good: from raw files to a saved model, everything included: `make bench QUALITY=1`."
import json, os, statistics, subprocess, sys, tempfile, time
from pathlib import Path

os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
import typer

from sklearn.metrics import accuracy_score, f1_score

from emotion_nbdev.dataset import load_files, to_frame
from emotion_nbdev.foundations.checkpoints import resolve_checkpoint
from emotion_nbdev.production.artefacts import load

from environments import environment, usual_variables
from machine import machine

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("emotion-nbdev")
GOOD = dict(accuracy=.93, macro_f1=.90)  # what counts as good on the public dataset
COUNTED = """
import sys, joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
lines = [line.rstrip("\\n").rpartition(";") for line in open(sys.argv[1], encoding="utf-8")]
model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC())
model.fit([text for text, _, _ in lines], [label for _, _, label in lines])
joblib.dump(model, sys.argv[2])
"""
STATIC = """
import json, sys
sys.modules["openvino_telemetry"] = None
from model2vec.distill import distill
from sklearn.linear_model import LogisticRegression
checkpoint, folder = sys.argv[1:3]
def read(path):
    lines = [line.rstrip("\\n").rpartition(";") for line in open(path, encoding="utf-8")]
    return [text for text, _, _ in lines], [label for _, _, label in lines]
texts, labels = read(sys.argv[3])
model = distill(model_name=checkpoint)
head = LogisticRegression(C=10, max_iter=1000).fit(model.encode(texts), labels)
model.save_pretrained(folder)
given = head.predict(model.encode(read(sys.argv[4])[0]))
open(folder + "/given.json", "w").write(json.dumps(given.tolist()))
"""
IN_PYTHON = """
import sys
from emotion_nbdev.dataset import load_files, to_frame
from emotion_nbdev.fine_tuning import FineTunedClassifier
data = load_files(*sys.argv[1:3])
train, held = (to_frame(data[split]) for split in ("train", "validation"))
model = FineTunedClassifier(epochs=float(sys.argv[5]), seed=int(sys.argv[4]))
model.fit(train["text"], train["label"], validation=(held["text"], held["label"]))
model.save(sys.argv[3])
"""


def seconds_of(*command, variables=None):
    "Of a whole process"
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=variables)
    return time.perf_counter() - started


def quality(labels, predicted):
    "All classes are in the validation split, so macro-F1 is scikit-learn's"
    return dict(accuracy=accuracy_score(labels, predicted),
                macro_f1=f1_score(labels, predicted, average="macro"))


def counted(files, folder, validation, seed):
    "TF-IDF and a linear support vector machine, as scikit-learn's users write it"
    import joblib
    seconds = seconds_of(sys.executable, "-c", COUNTED, files["train"], folder/"model.joblib")
    given = joblib.load(folder/"model.joblib").predict(validation["text"])
    return seconds, quality(validation["label"], given)


def static(files, folder, validation, seed):
    "Static vectors that model2vec distils from the embedded checkpoint, and a logistic regression"
    seconds = seconds_of(environment("peers"), "-c", STATIC, resolve_checkpoint(), folder,
                         files["train"], files["validation"], variables=usual_variables())
    given = json.loads((folder/"given.json").read_text())
    return seconds, quality(validation["label"], given)


def ours(approach, epochs=None):
    "`train` on the command line, validation and all; or in Python, for so many epochs"
    def run(files, folder, validation, seed):
        places = files["train"], files["validation"], folder/"model"
        options = zip(("--train-file", "--validation-file", "--output-dir"), places)
        command = [COMMAND, "train", "--approach", approach, "--seed", seed,
                   *(part for option in options for part in option)]
        if epochs:
            command = [sys.executable, "-c", IN_PYTHON, *places, seed, epochs]
        seconds = seconds_of(*command)
        given = load(folder/"model").predict(validation["text"].tolist())
        return seconds, quality(validation["label"], given)
    return run


VARIANTS = {
    "TF-IDF and LinearSVC, scikit-learn": counted,
    "static vectors, model2vec": static,
    "ours, tfidf": ours("tfidf"),
    "ours, features": ours("features"),
    "ours, fine-tuned, one epoch": ours("fine-tuned", 1),
    "ours, fine-tuned, 1.4 epochs": ours("fine-tuned", 1.4),
    "ours, fine-tuned": ours("fine-tuned"),
}


def main(seeds: int = 3, only: str = None, output: Path = HERE/"results-quality.json"):
    "Train everything with each seed, print a table, write results-quality.json; --only: one variant, beside the others that the file has"
    data = Path(os.environ["EMOTION_DATA"])
    files = {name: data/f"{name}.txt" for name in ("train", "validation")}
    validation = to_frame(load_files(files["train"], files["validation"])["validation"])
    rows = []
    if only:
        rows = [row for row in json.loads(output.read_text())["rows"] if row["variant"] != only]
    wanted = {name: variant for name, variant in VARIANTS.items() if only in (None, name)}
    if "static vectors, model2vec" in wanted:
        try:
            environment("peers")
        except OSError as error:
            print(f"static vectors: left out ({error})", file=sys.stderr)
            del wanted["static vectors, model2vec"]
    for name, variant in wanted.items():
        for seed in range(42, 42 + seeds):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["EMOTION_CACHE"] = folder + "/cache"
                seconds, found = variant(files, Path(folder), validation, seed)
            good = all(found[metric] >= least for metric, least in GOOD.items())
            rows.append(dict(
                variant=name, seed=seed, split="validation", n=len(validation), good=good,
                seconds=round(seconds, 1),
                **{metric: round(float(value), 4) for metric, value in found.items()}))
            print(rows[-1], file=sys.stderr)
    order = list(VARIANTS)
    rows.sort(key=lambda row: order.index(row["variant"]))
    measured_on = machine(data="public dataset", command="EMOTION_DATA=folder make bench QUALITY=1")
    output.write_text(json.dumps(dict(machine=measured_on, rows=rows), indent=1) + "\n")
    for name in dict.fromkeys(row["variant"] for row in rows):
        median = statistics.median(row["seconds"] for row in rows if row["variant"] == name)
        print(f"{name}: {median:.1f} s")


if __name__ == "__main__":
    typer.run(main)
