"""The published figures, recorded anew: `make results` on the embedded corpus, `make results DATA=folder` with train.txt and validation.txt of the public dataset too, `make results PART=label_noise,odd` some of them.

What makes a figure is the function that the results page shows, or the command that it names. `nbs/results/made.json` says of each file when, with which state of the code and by which command it was made, and what its sum is: a file that was changed by hand is found out by the tests.  Times are those of this machine, so nothing else should be running."""
import argparse, ast, datetime, hashlib, json, os, subprocess, sys, tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT/"nbs"/"results"
MADE = RESULTS/"made.json"
COMMAND = Path(sys.executable).with_name("emotion-nbdev")
OF_TUNING = "smoothing-0,smoothing-0.05,smoothing-0.2,weighted-loss,random-head,thorough,without-suspects,logit-adjustment,vote-with-tfidf,vote-of-seeds,vote-of-smoothings,vote-of-all"


@cache
def state():
    "Version and commit of the code when the recording began; a plus where it was changed since the commit"
    def git(*words): return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
    changed = "+" if git("status", "--porcelain", "--", "emotion_nbdev") else ""
    return f"{version('emotion-nbdev')} {git('rev-parse', '--short', 'HEAD')}{changed}".strip()


def page():
    "What the results page defines: its imports, its functions and its names in capitals"
    cells = json.loads((ROOT/"nbs"/"results.ipynb").read_text(encoding="utf-8"))["cells"]
    found = {}
    for cell in cells:
        if cell["cell_type"] != "code" or cell["source"][:1] == ["%"]: continue
        for node in ast.parse("".join(cell["source"])).body:
            named = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if named and node.targets[0].id.isupper() or isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef)):
                exec(compile(ast.Module([node], []), "results.ipynb", "exec"), found)
    return found


def run(*words):
    "A command with a cache of its own, else vectors of an earlier run would cost no seconds"
    with tempfile.TemporaryDirectory() as cache:
        subprocess.run([COMMAND, *map(str, words)], check=True, env={**os.environ, "EMOTION_CACHE": cache})


def files(data): return ("--train-file", data/"train.txt", "--validation-file", data/"validation.txt")


def ladder(*options):
    "The ledger of a whole run"
    with tempfile.TemporaryDirectory() as folder:
        run("run", "--output-dir", f"{folder}/run", *options)
        rows = json.loads(Path(f"{folder}/run/metrics.json").read_text(encoding="utf-8"))
    return [row | {"code": state()} for row in rows]


def tricks(data):
    "The tables of both approaches; takes hours"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for approach, more in (("features", ()), ("fine-tuned", ("--tricks", OF_TUNING))):
            run("compare", *files(data), "--approach", approach, *more, "--output-dir", f"{folder}/{approach}")
            rows += json.loads(Path(f"{folder}/{approach}/comparison.json").read_text(encoding="utf-8"))
    kept = [row for row in rows if row["approach"] == "features" or row["trick"] != "tfidf-every-sign"]
    return [{name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()} for row in kept]


def public(data):
    "The public dataset"
    from emotion_nbdev.dataset import load_files
    return load_files(data/"train.txt", data/"validation.txt")


FLOAT32 = "embedded_float32"  # the same on a processor that has no bfloat16
PARTS = {  # name -> (does it need the public dataset?, what makes it)
    "embedded": (False, lambda data: ladder()),
    FLOAT32: (False, lambda data: ladder()),
    "label_noise": (False, lambda data: page()["clean_and_train"]()),
    "emotion": (True, lambda data: ladder(*files(data))),
    "emotion_chapter": (True, lambda data: page()["chapter_way"](public(data))),
    "emotion_odd": (True, lambda data: page()["odd"](public(data))),
    "few_labels": (True, lambda data: page()["few_labels"](public(data)).round(6).to_dict("records")),
    "tricks": (True, tricks),
}


def write(name, content, command):
    "The file, and what is known of it"
    text = json.dumps(content, indent=1) + "\n"
    (RESULTS/f"{name}.json").write_text(text, encoding="utf-8")
    made = json.loads(MADE.read_text(encoding="utf-8"))
    made[name] = dict(date=str(datetime.date.today()), code=state(), command=command, sha256=hashlib.sha256(text.encode()).hexdigest())
    MADE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def has_bfloat16():
    "Whether this machine trains in it"
    from emotion_nbdev.foundations.compute import best_device, native_bfloat16
    return native_bfloat16(best_device())


def chosen(part, data, bfloat16):
    "The parts that are asked for, or all that data and processor allow; ends with a line for one that is not known or cannot be made here"
    if part is None: return [name for name, (needs, _) in PARTS.items() if (data or not needs) and not (bfloat16 and name == FLOAT32)]
    for name in part.split(","):
        if name == FLOAT32 and bfloat16: sys.exit(f"part {name!r} is for a processor without bfloat16, and this one has it.")
        if name not in PARTS: sys.exit(f"part {name!r} is not known. Known: {', '.join(PARTS)}.")
        if PARTS[name][0] and not data: sys.exit(f"part {name!r} needs the public dataset: DATA=folder with train.txt and validation.txt.")
    return part.split(",")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with train.txt and validation.txt of the public dataset")
    parser.add_argument("--part", help=f"some of {', '.join(PARTS)}, separated by commas; default: all for which there are data")
    given = parser.parse_args()
    state()
    for name in chosen(given.part, given.data, has_bfloat16()):
        needs, make = PARTS[name]
        write(name, make(given.data), f"make results PART={name}{' DATA=folder' if needs else ''}")
