"""The published figures, recorded anew: `make results`, and `make results DATA=folder` with train.txt and validation.txt of the public dataset.

Each row says with which state of the code it was made.  Times are those of this machine, so nothing else should be running."""
import argparse, json, os, subprocess, sys, tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT/"nbs"/"results"


def state():
    "Version and commit of the code"
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return f"{version('emotion-nbdev')} {commit}".strip()


def record(name, *options):
    "Climb the ladder, and keep its ledger under that name"
    with tempfile.TemporaryDirectory() as folder:
        command = [Path(sys.executable).with_name("emotion-nbdev"), "run", "--output-dir", f"{folder}/run", *map(str, options)]
        subprocess.run(command, check=True, env={**os.environ, "EMOTION_CACHE": f"{folder}/cache"})  # else vectors of an earlier run would cost no seconds
        rows = json.loads(Path(f"{folder}/run/metrics.json").read_text(encoding="utf-8"))
    rows = [row | {"code": state()} for row in rows]
    (RESULTS/f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with train.txt and validation.txt of the public dataset")
    data = parser.parse_args().data
    record("embedded")
    if data:
        record("emotion", "--train-file", data/"train.txt", "--validation-file", data/"validation.txt")
