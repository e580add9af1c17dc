"What a busy process beside it costs, with waiting threads that spin briefly, as the package asks for, and for long, as those of PyTorch do by themselves: `make bench BESIDE=1`."
import json, os, statistics, subprocess, sys
from pathlib import Path

import typer

from machine import machine

HERE = Path(__file__).parent
BUSY = "while True: pass"
WORK = """
import os, tempfile, time
import torch
from emotion_nbdev.dataset import load_data, to_frame
from emotion_nbdev.features import FeatureExtractor
from emotion_nbdev.fine_tuning import FineTunedClassifier
train = to_frame(load_data(preset="embedded")["train"])
texts, labels = train["text"].tolist(), train["label"].tolist()
reader = FeatureExtractor(cache=False).fit()
reader.transform(texts[:64])
started = time.perf_counter()
reader.transform(texts[:1000])
read = time.perf_counter()
FineTunedClassifier(epochs=1, head_start=False).fit(texts[:640], labels[:640])
print(read - started, time.perf_counter() - read)
"""
TASKS = "features of 1,000 messages", "fine-tuning, an epoch of 640"


def seconds_of(waiting):
    "Of each task, in a process of its own"
    environment = {**os.environ, "GOMP_SPINCOUNT": "1000", "TQDM_DISABLE": "1"}
    if waiting == "long":  # PyTorch by itself; it is imported before the package asks
        del environment["GOMP_SPINCOUNT"]
    done = subprocess.run([sys.executable, "-c", WORK], env=environment, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return list(map(float, done.stdout.split()[-2:]))


def main(rounds: int = 3, output: Path = HERE/"results-beside.json"):
    "Alone and beside one busy process, in turn; write results-beside.json"
    found = {}
    for _ in range(rounds):
        for neighbours in (0, 1):
            busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(neighbours)]
            try:
                for waiting in ("briefly", "long"):
                    for task, seconds in zip(TASKS, seconds_of(waiting)):
                        found.setdefault((task, neighbours, waiting), []).append(seconds)
            finally:
                for process in busy:
                    process.kill()
                    process.wait()
    rows = [dict(task=task, neighbours=neighbours, waiting=waiting, rounds=rounds,
                 median_s=round(statistics.median(seconds), 2), min_s=round(min(seconds), 2),
                 max_s=round(max(seconds), 2))
            for (task, neighbours, waiting), seconds in found.items()]
    measured_on = machine(data="embedded corpus", command="make bench BESIDE=1")
    output.write_text(json.dumps(dict(machine=measured_on, rows=rows), indent=1) + "\n")
    for row in rows:
        print(row)


if __name__ == "__main__":
    typer.run(main)
