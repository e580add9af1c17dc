"""SetFit in an environment of its own, for `few.py`: `setfit_peer.py FILE`.

FILE holds JSON: the folder of a checkpoint, texts and labels to train on, a seed, and texts to answer.  Its answers and the seconds of its training are written into the same file."""
import json, os, sys, tempfile, time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
sys.modules["openvino_telemetry"] = None  # it would report to its maker

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main(path):
    asked = json.loads(path.read_text())
    started = time.perf_counter()
    names = sorted(set(asked["labels"]))
    model = SetFitModel.from_pretrained(asked["checkpoint"], labels=names)
    rows = Dataset.from_dict(dict(text=asked["texts"], label=asked["labels"]))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_epochs=1, batch_size=16, seed=asked["seed"],
            num_iterations=20,  # as in the paper: 40 pairs a message
            report_to="none", save_strategy="no")
        Trainer(model=model, args=arguments, train_dataset=rows).train()
    seconds = time.perf_counter() - started
    given = list(map(str, model.predict(asked["unseen"])))
    path.write_text(json.dumps(dict(seconds=seconds, given=given)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
