"Input that cannot be used: one clear line with file, row, value and cure, exit code 2, nothing half-written."
import json, os, signal, subprocess, time

import pandas as pd
import pytest

from conftest import COMMAND, ROWS
from emotion_nbdev.production.artefacts import save
from emotion_nbdev.app.ladder import make_classifier


def refused(done, folder, *parts):
    "One line on stderr that starts with `Error:` and holds each part; no traceback, no output, no folder"
    assert done.exit_code == 2, (done.exit_code, done.stderr, done.exception)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ") and done.stderr.strip().count("\n") == 0, done.stderr
    for part in parts: assert part in done.stderr, (part, done.stderr)
    left = {path.name for path in folder.iterdir()}
    assert not [name for name in left if "emotion-run" in name or "partial" in name], left


def test_missing_file(command, tmp_path):
    refused(command("run", "--train-file", "nowhere.csv"), tmp_path, "nowhere.csv does not exist", "Check the name")


def test_empty_file(command, tmp_path):
    (tmp_path/"train.csv").touch()
    refused(command("run", "--train-file", "train.csv"), tmp_path, "train.csv is empty")


def test_header_only(command, tmp_path):
    (tmp_path/"train.csv").write_text("text,label\n")
    refused(command("run", "--train-file", "train.csv"), tmp_path, "train.csv has no rows")


def test_directory_without_known_files(command, tmp_path):
    (tmp_path/"data").mkdir()
    (tmp_path/"data"/"notes.md").write_text("hello")
    refused(command("run", "--dataset", "data"), tmp_path, "data: no train file", "notes.md", "--train-file")


def test_directory_as_file_and_file_as_directory(command, csv_file, tmp_path):
    (tmp_path/"data").mkdir()
    csv_file()
    refused(command("run", "--train-file", "data"), tmp_path, "data is a folder")
    refused(command("run", "--dataset", "train.csv"), tmp_path, "train.csv is a file", "--train-file")


def test_unknown_ending(command, tmp_path):
    (tmp_path/"train.xlsx").write_text("x")
    refused(command("run", "--train-file", "train.xlsx"), tmp_path, "'.xlsx'", ".csv")


def test_wrong_delimiter(command, csv_file, tmp_path):
    path = csv_file()
    path.write_text(path.read_text().replace(",", "~"))
    refused(command("run", "--train-file", "train.csv"), tmp_path, "train.csv: no column 'text'", "'text~label'", "delimiter")


def test_no_semicolon(command, tmp_path):
    (tmp_path/"train.txt").write_text("fine;joy\nbroken line\n")
    refused(command("run", "--train-file", "train.txt"), tmp_path, "train.txt, row 2", "'broken line'", "text;label")


def test_wrong_column(command, csv_file, tmp_path):
    csv_file(header="message,emotion")
    refused(command("run", "--train-file", "train.csv"), tmp_path, "no column 'text'", "'message', 'emotion'", "--text-column")
    refused(command("run", "--train-file", "train.csv", "--text-column", "message"), tmp_path, "no column 'label'", "--label-column")


def test_too_many_fields(command, csv_file, tmp_path):
    path = csv_file()
    path.write_text(path.read_text() + "one, two,joy\n")
    refused(command("run", "--train-file", "train.csv"), tmp_path, "train.csv, row 10: 3 fields where the header has 2", "Quote")


def test_unclosed_quote(command, csv_file, tmp_path):
    path = csv_file()
    path.write_text(path.read_text() + '"never closed,joy\n')
    refused(command("run", "--train-file", "train.csv"), tmp_path, "train.csv, line")


@pytest.mark.parametrize("line, found", [("no label here", "label is null"), ("blank label,  ", "label is '  '"), (",joy", "text is ''"), ("   ,joy", "text is '   '")])
def test_row_without_text_or_label(command, csv_file, tmp_path, line, found):
    path = csv_file()
    path.write_text(path.read_text() + line + "\n")
    refused(command("run", "--train-file", "train.csv"), tmp_path, "train.csv, row 10", found, "remove the row")


def test_null_text_in_json_and_parquet(command, tmp_path):
    rows = [dict(text=text, label=label) for label, texts in ROWS.items() for text in texts] + [dict(text=None, label="joy")]
    (tmp_path/"train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pd.DataFrame(rows).to_parquet(tmp_path/"train.parquet")
    for name in ("train.jsonl", "train.parquet"): refused(command("run", "--train-file", name), tmp_path, f"{name}, row 10: text is null")


def test_text_that_is_a_number(command, tmp_path):
    (tmp_path/"train.jsonl").write_text('{"text": "fine", "label": "joy"}\n{"text": 12, "label": "joy"}\n')
    refused(command("run", "--train-file", "train.jsonl"), tmp_path, "row 2: text is 12", "--text-column")


def test_broken_json_and_parquet(command, tmp_path):
    (tmp_path/"train.jsonl").write_text('{"text": "fine", "label": "joy"}\n{"text": \n')
    refused(command("run", "--train-file", "train.jsonl"), tmp_path, "train.jsonl, row 2")
    (tmp_path/"train.parquet").write_bytes(b"PAR1 not really")
    refused(command("run", "--train-file", "train.parquet"), tmp_path, "train.parquet is no readable Parquet file")


def test_unknown_label_in_validation(command, csv_file, tmp_path):
    csv_file()
    csv_file("validation.csv", {"joy": ["all good"], "boredom": ["well"]})
    refused(command("run", "--train-file", "train.csv", "--validation-file", "validation.csv"), tmp_path, "validation.csv, row 2", "'boredom'", "sadness, joy, anger", "Correct it")


def test_class_missing_in_train(tmp_path):
    from emotion_nbdev.dataset import from_tables
    from emotion_nbdev.foundations.core import InputError
    table = pd.DataFrame({"text": ["a b", "c d"], "label": ["joy", "anger"]})
    with pytest.raises(InputError, match="train: no row of class 'fear'"): from_tables({"train": table, "validation": table}, names=["joy", "anger", "fear"])


def test_single_class(command, csv_file, tmp_path):
    csv_file(rows={"joy": ROWS["joy"]})
    refused(command("run", "--train-file", "train.csv"), tmp_path, "a single class ('joy')", "at least two")


def test_fewer_rows_than_classes(command, csv_file, tmp_path):
    csv_file()
    csv_file("validation.csv", {"joy": ["all good"], "anger": ["enough"]})
    refused(command("run", "--train-file", "train.csv", "--validation-file", "validation.csv", "--max-train-samples", 2), tmp_path, "fewer rows than classes (3)")
    refused(command("run", "--train-file", "train.csv"), tmp_path, "too few to hold out", "Give a validation file")


def test_bytes_that_are_no_utf8(command, csv_file, tmp_path):
    path = csv_file()
    path.write_bytes(path.read_bytes() + "café closed,sadness\n".encode("latin-1"))
    refused(command("run", "--train-file", "train.csv"), tmp_path, "train.csv, line 11: byte 0xe9 is no UTF-8", "Save the file as UTF-8")


def test_options_that_contradict(command, csv_file, tmp_path):
    csv_file()
    refused(command("run", "--train-file", "train.csv", "--dataset", "x"), tmp_path, "not both")
    refused(command("run", "--validation-file", "train.csv"), tmp_path, "Give --train-file")
    refused(command("run", "--preset", "chaptre"), tmp_path, "'chaptre'", "embedded, chapter")


def test_output_folder_that_exists(command, tmp_path):
    (tmp_path/"mine").mkdir()
    (tmp_path/"mine"/"kept.txt").write_text("kept")
    refused(command("run", "--output-dir", "mine"), tmp_path, "mine exists already", "Choose another name")
    assert (tmp_path/"mine"/"kept.txt").read_text() == "kept"


def test_output_folder_that_cannot_be_written(command, tmp_path):
    (tmp_path/"file").write_text("in the way")
    refused(command("run", "--output-dir", "file/run"), tmp_path, "file/run cannot be written")
    refused(command("train", "--approach", "tfidf", "--output-dir", "file/model"), tmp_path, "file/model cannot be written")
    refused(command("compare", "--output-dir", "file/compared"), tmp_path, "file/compared cannot be written")


def test_unknown_checkpoint(command, tmp_path):
    started = time.monotonic()
    refused(command("run", "--model", "no-such/checkpoint"), tmp_path, "no-such/checkpoint", "cannot be reached", "Check the network")
    refused(command("run", "--model", "./no-such-folder"), tmp_path, "./no-such-folder: no such folder")
    (tmp_path/"empty").mkdir()
    refused(command("run", "--model", "empty"), tmp_path, "empty: no config.json")
    refused(command("run", "--dataset", "no-such/dataset"), tmp_path, "no-such/dataset", "cannot be reached")
    refused(command("predict", "hello there", "--model", "no-such/model"), tmp_path, "no-such/model", "cannot be reached")
    assert time.monotonic() - started < 5 * 20


def test_predict_input(command, csv_file, tmp_path, tiny_checkpoint):
    csv_file("in.csv", {"x": ["fine", " "]})
    refused(command("predict", "--model", tiny_checkpoint), tmp_path, "--input")
    refused(command("predict", "--model", tiny_checkpoint, "--input", "in.csv", "--text-column", "body"), tmp_path, "in.csv: no column 'body', found 'text', 'label'")
    save(make_classifier("majority").fit(["fine", "late"], ["joy", "anger"]), tmp_path/"model")
    answered = command("predict", "--model", "model", "--input", "in.csv")
    assert answered.exit_code == 2 and "in.csv, row 2: text is ' ', no text" in answered.stderr
    refused(command("predict", "--model", tiny_checkpoint, "--input", "in.csv", "--output", "in.csv"), tmp_path, "in.csv exists already")
    refused(command("predict", "--model", tiny_checkpoint, "--input", "in.csv", "--output", "no/out.csv"), tmp_path, "cannot be written")
    refused(command("predict", "hello", "--model", tiny_checkpoint), tmp_path, "is no fine-tuned classifier", "Train one first")


def test_text_longer_than_the_model_reads(command, csv_file, tmp_path, tiny_checkpoint):
    rows = {label: texts + ["and still waiting " * 40] for label, texts in ROWS.items()}
    csv_file(rows=rows)
    csv_file("validation.csv")
    done = command("run", "--train-file", "train.csv", "--validation-file", "validation.csv", "--model", tiny_checkpoint, "--output-dir", "out")
    assert done.exit_code == 0, done.stderr
    assert "3 of 12 texts are longer than 64 tokens and were cut; 174 tokens were not read" in done.stderr
    assert "3 of 12 texts are longer than 64 tokens" in (tmp_path/"out"/"report.html").read_text()
    tuned = next(path.parent for path in (tmp_path/"out").rglob("training.json") if json.loads(path.read_text())["approach"] == "fine-tuned")
    done = command("predict", "and still waiting " * 40, "--model", tuned)
    assert done.exit_code == 0 and "1 of 1 text is longer than 64 tokens" in done.stderr


@pytest.mark.parametrize("wait_for", ["1 of 4", "4 of 4"])
def test_interrupt(tmp_path, wait_for):
    "Ctrl-C: exit code 130, and no folder that looks whole"
    process = subprocess.Popen([COMMAND, "run", "--output-dir", "out", "--max-train-samples", "400"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # tests run in the background ignore it
    for line in process.stderr:
        if wait_for in line: break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "Traceback" not in process.stderr.read()
    left = list(tmp_path.iterdir())  # epochs that --resume can take up, else nothing
    assert not left or [path.name for path in left] == [".out.unfinished"] and list(left[0].glob("checkpoint-*"))
