"Seconds and memory of whole commands at 1, 4, 16 and 64 times the rows: `make bench GROWTH=1`."
import csv, json, os, subprocess, sys, tempfile
from pathlib import Path

os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
import numpy as np
import pandas as pd
import typer

from emotion_nbdev.dataset import load_folder, to_frame
from emotion_nbdev.foundations.sources import EMBEDDED

from machine import machine

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("emotion-nbdev")
TIMES = (1, 4, 16, 64)
COMMANDS = {
    "check": "check --train-file train.csv",
    "train, tfidf": "train --approach tfidf --train-file train.csv --validation-file few.csv"
                    " --output-dir counted",
    "train, features": "train --approach features --train-file train.csv"
                       " --validation-file few.csv --output-dir read",
    "predict, tfidf": "predict --model counted --input train.csv --output counted.csv",
    "predict, features": "predict --model read --input train.csv --output read.csv",
    "evaluate": "evaluate --model counted --split train --data train.csv",
}


def messages(rows, seed=42):
    "Messages of two halves of different ones, so that none is there twice"
    texts = to_frame(load_folder(EMBEDDED)["train"])
    rng = np.random.default_rng(seed)
    first, second = (texts.iloc[rng.integers(len(texts), size=rows)] for _ in range(2))
    halves = zip(first["text"], second["text"], range(rows))
    return pd.DataFrame(dict(
        text=[f"{one.rpartition(' ')[0]} {other} {number}" for one, other, number in halves],
        label=first["label"].to_numpy()))


# from a small process: what is started has for its peak at least the memory of who started it
LAUNCHER = """
import resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
took = time.perf_counter() - began
if done.returncode not in (0, 1):  # 1: check found something
    sys.exit(done.stderr)
print(took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def measured(command):
    "(seconds, peak MiB) of a whole process"
    launched = [sys.executable, "-c", LAUNCHER, str(COMMAND), *command.split()]
    output = subprocess.run(launched, check=True, stdout=subprocess.PIPE, text=True).stdout
    return tuple(map(float, output.split()))


def main(rows: int = 1000, output: Path = HERE/"results-growth.json"):
    "Run each command at each size, print a table, write results-growth.json"
    found = []
    for times in TIMES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            os.environ["EMOTION_CACHE"] = "off"
            messages(rows * times).to_csv("train.csv", index=False, quoting=csv.QUOTE_ALL)
            messages(300, seed=7).to_csv("few.csv", index=False, quoting=csv.QUOTE_ALL)
            for name, command in COMMANDS.items():
                seconds, peak = measured(command)
                found.append(dict(command=name, rows=rows * times, seconds=round(seconds, 2),
                                  peak_mib=round(peak)))
                print(found[-1], file=sys.stderr)
            os.chdir(HERE)
    measured_on = machine(data="embedded corpus, halves of messages joined", command="make bench GROWTH=1")
    output.write_text(json.dumps(dict(machine=measured_on, rows=found), indent=1) + "\n")
    table = pd.DataFrame(found)
    for measure in ("seconds", "peak_mib"):
        print(table.pivot(index="command", columns="rows", values=measure))


if __name__ == "__main__":
    typer.run(main)
