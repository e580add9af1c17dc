"Hours of work are never thrown away: one owner a name, what is finished is kept, what the dead left is removed."
import json, os, signal, subprocess, sys, time

import numpy as np
import pytest

from conftest import call, ROWS, Started
from emotion_nbdev.app.ladder import make_classifier
from emotion_nbdev.foundations.core import InputError, reserved
from emotion_nbdev.production.artefacts import load, save
from emotion_nbdev.production.batches import label_file

TEXTS, LABELS = zip(*((text, label) for label, texts in ROWS.items() for text in texts))
MANY = {label: [f"{text} on day {number}" for number in range(8) for text in texts] for label, texts in ROWS.items()}


def wait_for(pattern, folder, process, seconds=60):
    "Until a file appears"
    end = time.monotonic() + seconds
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(.02)


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_two_labellings_into_one_file(tmp_path):
    save(make_classifier("tfidf").fit(TEXTS, LABELS), tmp_path/"model")
    rows = 20_000
    (tmp_path/"in.csv").write_text("id,text\n" + "".join(f"{number},{TEXTS[number % 9]}\n" for number in range(rows)))
    arguments = ("predict", "--model", "model", "--input", "in.csv", "--output", "out.csv")
    first = Started(*arguments, cwd=tmp_path)
    wait_for(".out.csv.parts/0*", tmp_path, first)
    first.send_signal(signal.SIGSTOP)
    second = call(*arguments, cwd=tmp_path)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2 and f"out.csv is being written by process {first.pid}" in second.stderr and second.stderr.count("\n") == 1
    assert first.wait() == 0, first.communicate()
    ids = [line.split(",")[0] for line in (tmp_path/"out.csv").read_text().splitlines()[1:]]
    assert ids == [str(number) for number in range(rows)] and hidden(tmp_path) == []


def test_a_lock_ends_with_its_owner(tmp_path):
    save(make_classifier("tfidf").fit(TEXTS, LABELS), tmp_path/"model")
    (tmp_path/"in.csv").write_text("text\n" + "".join(f"{text}\n" for text in TEXTS) * 2_500)
    arguments = ("predict", "--model", "model", "--input", "in.csv", "--output", "out.csv")
    first = Started(*arguments, cwd=tmp_path)
    wait_for(".out.csv.parts/0*", tmp_path, first)
    first.kill()
    first.wait()
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and "going on after" in done.stderr and hidden(tmp_path) == []


def test_a_name_is_reserved_inside_a_process_too(tmp_path):
    with reserved(tmp_path/"out.csv"), reserved(tmp_path/"out.csv"):
        pass
    with reserved(tmp_path/"out.csv"):
        done = call("train", "--approach", "majority", "--output-dir", tmp_path/"out.csv", cwd=tmp_path)
    assert done.returncode == 2 and f"is being written by process {os.getpid()}" in done.stderr


def test_two_runs_into_one_folder(tmp_path, csv_file, tiny_checkpoint):
    csv_file(rows=MANY)
    arguments = ("run", "--train-file", "train.csv", "--model", tiny_checkpoint, "--output-dir", "out")
    first = Started(*arguments, cwd=tmp_path)
    wait_for(".out.partial-*", tmp_path, first)
    second = call(*arguments, cwd=tmp_path)
    assert second.returncode == 2 and "out is being written by process" in second.stderr
    output = first.communicate()
    assert first.returncode == 0, output
    ledger = json.loads((tmp_path/"out"/"metrics.json").read_text())
    best = max(ledger, key=lambda row: row["macro_f1"])["approach"]
    assert f"Model: out/model ({best})" in output[0]
    assert json.loads((tmp_path/"out"/"model"/"training.json").read_text())["approach"] == best
    others = {path.name for path in (tmp_path/"out"/"models").iterdir()}
    assert others == {"majority", "tfidf", "features", "fine-tuned"} - {best}
    for folder in (tmp_path/"out"/"model", *(tmp_path/"out"/"models").iterdir()):
        assert load(folder).predict(["we won again"]).shape == (1,)
        snippet = (folder/"README.md").read_text().split("```python\n")[1].split("```")[0]
        assert f'"{folder.relative_to(tmp_path)}"' in snippet
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_is_taken_up_or_started_again(tmp_path, csv_file, tiny_checkpoint, how):
    csv_file(rows={label: texts * 5 for label, texts in MANY.items()})
    arguments = ("run", "--train-file", "train.csv", "--model", tiny_checkpoint, "--output-dir", "out")
    first = Started(*arguments, cwd=tmp_path)
    wait_for(".out.unfinished/checkpoint-*", tmp_path, first)
    first.send_signal(how)
    first.communicate()
    assert not (tmp_path/"out").exists()
    if how != signal.SIGKILL:
        assert hidden(tmp_path) == [".out.unfinished"]
    refused = call(*arguments, cwd=tmp_path)
    assert refused.returncode == 2 and "Add --resume to go on with it" in refused.stderr
    done = call(*arguments, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert hidden(tmp_path) == [] and (tmp_path/"out"/"report.html").is_file()


def test_a_training_of_seconds_starts_again(tmp_path, csv_file, tiny_checkpoint):
    csv_file(rows=MANY)
    arguments = ("train", "--approach", "features", "--train-file", "train.csv", "--model", tiny_checkpoint, "--output-dir", "out")
    first = Started(*arguments, cwd=tmp_path)
    wait_for(".out.partial-*", tmp_path, first)
    first.kill()
    first.wait()
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and hidden(tmp_path) == [], done.stderr


def test_what_is_finished_survives_what_fails_later(command, csv_file, tmp_path, tiny_checkpoint, monkeypatch):
    csv_file(rows=MANY)
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device", "figures/classes.png")
    monkeypatch.setattr("emotion_nbdev.app.report.draw_figures", fail)
    done = command("run", "--train-file", "train.csv", "--model", tiny_checkpoint, "--output-dir", "out")
    assert done.exit_code == 1 and "No space left on device. Free some space" in done.stderr and "what was finished before that is kept: out" in done.stderr
    assert load(tmp_path/"out"/"model").predict(["we won"]).shape == (1,) and hidden(tmp_path) == []


def test_what_cannot_be_used_is_known_before_training(command, csv_file, tmp_path, tiny_checkpoint):
    csv_file(rows=MANY)
    csv_file("validation.csv", rows={label: [f"{text} or so" for text in texts] for label, texts in ROWS.items()})
    (tmp_path/"test.csv").write_bytes((tmp_path/"validation.csv").read_bytes())
    for arguments in (("run",), ("train",)):
        done = command(*arguments, "--train-file", "train.csv", "--validation-file", "validation.csv", "--test-file", "test.csv", "--model", tiny_checkpoint, "--output-dir", "out")
        assert done.exit_code == 2 and "test holds the same messages as validation, where choices are made" in done.stderr and "1 of" not in done.stderr
    (tmp_path/"part.csv").write_text("text,label\n" + "".join(f"{text} or so,{label}\n" for label, texts in ROWS.items() for text in texts[:1]) + "a new one,joy\n")
    done = command("train", "--approach", "tfidf", "--train-file", "train.csv", "--validation-file", "validation.csv", "--test-file", "part.csv", "--output-dir", "out")
    assert done.exit_code == 0 and "part.csv: 3 of 4 messages are in validation as well" in done.stderr


def test_a_model_knows_its_messages(command, csv_file, tmp_path):
    csv_file(rows=MANY)
    assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model").exit_code == 0
    whole = command("evaluate", "--model", "model", "--data", "train.csv", "--split", "test")
    assert whole.exit_code == 2 and "are model's own" in whole.stderr and "in its train split" in whole.stderr and "in its validation split" in whole.stderr
    (tmp_path/"part.csv").write_text("".join((tmp_path/"train.csv").read_text().splitlines(keepends=True)[:12]))
    assert command("evaluate", "--model", "model", "--data", "part.csv", "--split", "test").exit_code == 2
    (tmp_path/"mixed.csv").write_text('text,label\n"YOU charged me  twice and hung up on day 0",anger\nnothing of the kind,joy\n')
    mixed = command("evaluate", "--model", "model", "--data", "mixed.csv", "--split", "test")
    assert mixed.exit_code == 0 and "of these 2 messages model knows 1 in its" in mixed.stderr and "in row 1" in mixed.stderr
    assert command("evaluate", "--model", "model", "--data", "part.csv", "--split", "train").exit_code == 0


def test_a_labelling_is_held_in_python_as_well(tmp_path):
    (tmp_path/"in.csv").write_text("text\nfine\n")
    classifier = make_classifier("majority").fit(list(TEXTS), np.array(LABELS))
    holder = subprocess.Popen([sys.executable, "-c", "import sys; from emotion_nbdev.foundations.core import reserved\nwith reserved(sys.argv[1]):\n print('held', flush=True); sys.stdin.read()", tmp_path/"out.csv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="is being written by process"):
        label_file(classifier, tmp_path/"in.csv", tmp_path/"out.csv")
    holder.communicate("")
    assert label_file(classifier, tmp_path/"in.csv", tmp_path/"out.csv") == (1, 0)
