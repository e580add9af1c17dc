"Input that cannot be used: one clear line with file, row, value and cure, exit code 2, nothing half-written."
import ast, json, os, random, re, shlex, shutil, signal, subprocess, sys, time
from importlib.metadata import requires
from pathlib import Path

import pandas as pd
import pytest

from conftest import COMMAND, ROWS
from emotion_nbdev.app import cli
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


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, tiny_checkpoint):
    "Files and saved models to make mistakes with"
    folder = tmp_path_factory.mktemp("cures")
    rows = [(f"{text} on day {number}", label) for number in range(4) for label, texts in ROWS.items() for text in texts]
    texts, labels = map(list, zip(*rows))
    lines = "".join(f"{text},{label}\n" for text, label in rows)
    (folder/"train.csv").write_text(f"text,label\n{lines}")
    (folder/"test.csv").write_text(f"text,label\n{lines.replace(' on ', ' again on ')}")
    (folder/"named.csv").write_text(f"message,mood\n{lines}")
    (folder/"headless.csv").write_text(lines)
    (folder/"other.csv").write_text(f"text,label\n{texts[0]},boredom\n{lines}")
    (folder/"few.csv").write_text("text,label\n" + "".join(f"{number} more calls,{label}\n" for label in ROWS for number in (label, f"no {label}")))
    (folder/"list.csv").write_text(f"row,text,label,new_label\n1,{texts[0]},{labels[0]},joy\n")
    pd.DataFrame({"text": texts, "label": labels}).to_json(folder/"train.jsonl", orient="records", lines=True)
    (folder/"data").mkdir()
    shutil.copy(folder/"train.csv", folder/"data"/"train.csv")
    (folder/"odd").mkdir()
    shutil.copy(folder/"train.csv", folder/"odd"/"training.csv")
    shutil.copytree(tiny_checkpoint, folder/"tiny")
    save(make_classifier("tfidf").fit(texts, labels), folder/"model")
    save(make_classifier("fine-tuned", str(tiny_checkpoint)).set_params(epochs=1).fit(texts, labels), folder/"tuned")
    return folder


def write(name, change=lambda text: text):
    "A cure that is carried out on a file, before the command is given again"
    def carry_out():
        path = Path(name)
        path.write_text(change(path.read_text() if path.exists() else ""), encoding="utf-8")
    return carry_out


TRAIN, TFIDF, FILES = "train --train-file train.csv --output-dir out", "train --approach tfidf --output-dir out", "--train-file train.csv --validation-file test.csv"
# what is told, the command line that it is told of, and what follows the cure: another line, perhaps after something was done
CURED = [
    # each message of the command line itself; the test below knows them all
    ("--preset names data and a checkpoint", f"check --preset chapter {FILES} --model tiny", f"check {FILES} --model tiny"),
    ("are two thresholds. Give one of them", "predict fine --model model --abstain --at-least .5", "predict fine --model model --at-least .5"),
    ("--explain is for messages on the command line. Leave it out", "predict --input test.csv --model model --explain", "predict --input test.csv --model model"),
    ("give messages on the command line or a file with --input, one of the two", "predict fine --input test.csv --model model", "predict --input test.csv --model model"),
    ("give messages on the command line or a file", "predict --model model", "predict fine --model model"),
    ("--output needs --input", "predict fine --model model --output out.csv", "predict --input test.csv --model model --output out.csv"),
    ("Without it the answers go to stdout", "predict fine --model model --output out.csv", "predict fine --model model"),
    ("--columns needs --input", "predict fine --model model --columns text,label", "predict --input headless.csv --model model --columns text,label"),
    ("--text-column needs --input", "predict fine --model model --text-column message", "predict --input named.csv --model model --text-column message"),
    ("it is blank. Give a text with something in it", "predict ' ' --model model", "predict fine --model model"),
    ("Write it into a file in UTF-8 and give that with --input", "predict caf\udce9 --model model", "predict --input new.txt --model model", write("new.txt", lambda text: "caf\u00e9\n")),
    ("--model is a transformer to start from", f"{TRAIN} --approach tfidf --model tiny", f"{TRAIN} --approach tfidf"),
    ("--resume is for fine-tuned models", f"{TRAIN} --approach tfidf --resume", f"{TRAIN} --approach tfidf"),
    ("is for fine-tuned models, not for", f"{TRAIN} --approach tfidf --onnx", f"{TRAIN} --approach tfidf"),
    ("is for the plain recipes, and", f"{TRAIN} --model tiny --trick hand-made --resume", f"{TRAIN} --model tiny --trick hand-made"),
    ("is no time. Give a number and a unit", f"compare {FILES} --model tiny --tricks hand-made --seeds 1 --budget soon", f"compare {FILES} --model tiny --tricks hand-made --seeds 1 --budget 90s"),
    ("Put a line such as text,label above it, and leave out --columns", "errors --data headless.csv --columns text,label --apply list.csv --output out.csv", "errors --data headless.csv --apply list.csv --output out.csv",
     write("headless.csv", lambda text: f"text,label\n{text}")),
    ("Leave out --model and --suspects", "errors --data train.csv --model model --split train --apply list.csv --output out.csv", "errors --data train.csv --apply list.csv --output out.csv"),
    ("--model and --split belong together", "errors --data test.csv --model model", "errors --data test.csv --model model --split test"),
    ("nothing to do. Give --model to see its errors", "errors --data test.csv", "errors --data test.csv --model model --split test"),
    ("--apply and --output belong together", "errors --data train.csv --apply list.csv", "errors --data train.csv --apply list.csv --output out.csv"),
    ("is for the list of doubtful labels. Give --suspects FILE", "errors --data train.csv --model model --split train --first 3", "errors --data train.csv --first 3 --checkpoint tiny --suspects out.csv"),
    ("Use it as it is", f"export model {FILES}", "predict fine --model model"),
    ("is empty. Is a variable not set? Give a value, or leave it out", "train --approach tfidf --train-file= --output-dir out", f"{TRAIN} --approach tfidf"),
    ("Write -- before a text that begins with a minus sign", "predict --model model '-1 star'", "predict --model model -- '-1 star'"),
    # what is told of names, files and folders
    ("does not exist. Check the name", f"{TFIDF} --train-file trian.csv", f"{TFIDF} --train-file train.csv"),
    ("Name the column with --text-column", f"{TFIDF} --train-file named.csv --label-column mood", f"{TFIDF} --train-file named.csv --label-column mood --text-column message"),
    ("Name the column with --label-column", f"{TFIDF} --train-file named.csv --text-column message", f"{TFIDF} --train-file named.csv --label-column mood --text-column message"),
    ("or name the columns with --columns", f"{TFIDF} --train-file headless.csv", f"{TFIDF} --train-file headless.csv --columns text,label"),
    ("Leave out --columns", f"{TFIDF} --train-file train.csv --columns text,label", f"{TFIDF} --train-file train.csv"),
    ("names of columns are for .csv and .tsv without a header. Leave out --columns", f"{TFIDF} --train-file train.jsonl --columns text,label", f"{TFIDF} --train-file train.jsonl"),
    ("Name two columns with --text-column and --label-column", f"{TFIDF} --train-file named.csv --text-column message --label-column message", f"{TFIDF} --train-file named.csv --text-column message --label-column mood"),
    ("is a folder, not a file. A folder of train/validation/test files is given as the dataset", f"{TFIDF} --train-file data", f"{TFIDF} --dataset data"),
    ("is a file. Give it as --train-file", f"{TFIDF} --dataset train.csv", f"{TFIDF} --train-file train.csv"),
    ("Rename the file, or name it with --train-file", f"{TFIDF} --dataset odd", f"{TFIDF} --train-file odd/training.csv"),
    ("Rename the file", f"{TFIDF} --dataset odd", f"{TFIDF} --dataset odd", lambda: Path("odd/training.csv").rename("odd/train.csv")),
    ("needs a training file beside it. Give --train-file", f"{TFIDF} --validation-file test.csv", f"{TFIDF} {FILES}"),
    ("not both (--train-file and --dataset)", f"{TFIDF} --train-file train.csv --dataset data", f"{TFIDF} --dataset data"),
    ("--config is for a dataset on the Hub (--dataset). Leave it out", f"{TFIDF} --train-file train.csv --config plain", f"{TFIDF} --train-file train.csv"),
    ("Give --train-file, or --dataset with a folder of such files, or leave out --columns", f"{TFIDF} --columns text,label", f"{TFIDF} --train-file headless.csv --columns text,label"),
    ("too few to hold out", f"{TFIDF} --train-file few.csv", f"{TFIDF} --train-file few.csv --validation-file test.csv"),
    ("Leave such classes out, merge them, or give a validation file", f"{TFIDF} --train-file other.csv", f"{TFIDF} --train-file other.csv --validation-file test.csv"),
    ("does not occur in the training data", f"{TFIDF} --train-file train.csv --validation-file other.csv", f"{TFIDF} --train-file train.csv --validation-file other.csv", write("other.csv", lambda text: text.replace("boredom", "anger"))),
    ("fewer rows than classes (3). Give at least 3", f"{TFIDF} {FILES} --max-train-samples 2", f"{TFIDF} {FILES} --max-train-samples 3"),
    ("exists already. Choose another name", "train --approach tfidf --train-file train.csv --output-dir model", f"{TRAIN} --approach tfidf"),
    ("Known: majority, tfidf, features, fine-tuned", f"{TRAIN} --approach bayes", f"{TRAIN} --approach tfidf"),
    ("exists already. Choose another name, or remove it", "predict --input test.csv --model model --output train.csv", "predict --input test.csv --model model --output train.csv", lambda: Path("train.csv").unlink()),
    ("cannot be written. Known: .csv, .tsv, .jsonl, .parquet", "predict --input test.csv --model model --output out.txt", "predict --input test.csv --model model --output out.jsonl"),
    ("cannot be written: no is no folder that you may write to", "predict --input test.csv --model model --output no/out.csv", "predict --input test.csv --model model --output no/out.csv", lambda: Path("no").mkdir()),
    ("no such folder", "predict fine --model ./modle", "predict fine --model ./model"),
    ("Leave it out", "predict fine --model model --dtype auto", "predict fine --model model"),
    ("is a folder", "predict fine --model model --revision main", "predict fine --model model"),
    ("Train one first", "predict fine --model tiny", "predict fine --model out", f"{TRAIN} --approach tfidf"),
    ("Known: train, validation, test", "evaluate --model model --data test.csv --split tset", "evaluate --model model --data test.csv --split test"),
    ("the label 'boredom' is none of its classes", "evaluate --model model --data other.csv --split test", "evaluate --model model --data other.csv --split test", write("other.csv", lambda text: text.replace("boredom", "anger"))),
    ("holds another text. Use the list that was made for these data", "errors --data test.csv --apply list.csv --output out.csv", "errors --data train.csv --apply list.csv --output out.csv"),
    ("Write the right label into that column", "errors --data train.csv --apply list.csv --output out.csv", "errors --data train.csv --apply list.csv --output out.csv", write("list.csv", lambda text: text.replace(",anger,anger", ",anger,joy")),
     write("list.csv", lambda text: text.replace(",anger,joy", ",anger,anger"))),
    ("is no class of the data", "errors --data train.csv --apply list.csv --output out.csv", "errors --data train.csv --apply list.csv --output out.csv", write("list.csv", lambda text: text.replace(",fury", ",joy")),
     write("list.csv", lambda text: text.replace(",joy", ",fury"))),
]


@pytest.mark.parametrize("told, line, followed, done, spoilt", [(*case, *[None] * (5 - len(case))) for case in CURED], ids=[case[0][:50] for case in CURED])
def test_each_cure_works_when_it_is_followed(told, line, followed, done, spoilt, workplace, command, tmp_path, monkeypatch):
    shutil.copytree(workplace, tmp_path, dirs_exist_ok=True)
    if spoilt: spoilt()
    refusal = command(*shlex.split(line))
    *_, error = refusal.stderr.splitlines()  # warnings may stand before it
    assert refusal.exit_code == 2 and error.startswith("Error: ") and told in error, (refusal.exit_code, refusal.stderr)
    if isinstance(done, str): assert command(*shlex.split(done)).exit_code == 0
    elif done: done()
    after = command(*shlex.split(followed))
    assert after.exit_code == 0, (after.exit_code, after.stderr, after.exception)


def test_the_cures_of_an_export(workplace, command, tmp_path, monkeypatch):
    "A folder that is there, and what is told to be installed, are enough"
    shutil.copytree(workplace, tmp_path, dirs_exist_ok=True)
    refusal = command("export", "nowhere", *FILES.split())
    assert refusal.exit_code == 2 and "no such folder. Give the folder of a fine-tuned model" in refusal.stderr
    with monkeypatch.context() as without:
        without.setattr("emotion_nbdev.app.cli.find_spec", lambda name: None)
        refusal = command("export", "tuned", *FILES.split())
    wanted = re.search(r"is not installed. Install it with: pip install 'emotion-nbdev\[(\w+)\]'", refusal.stderr)[1]
    needed = [re.split(r"[ ;<>=!\[]", line)[0] for line in requires("emotion-nbdev") if f'extra == "{wanted}"' in line.replace("'", '"')]
    assert {"onnx", "onnxruntime", "onnxscript"} <= set(needed)
    assert command("export", "tuned", *FILES.split()).exit_code == 0


def test_nothing_to_resume(command, tmp_path, csv_file, tiny_checkpoint):
    for name in ("train.csv", "test.csv"): csv_file(name)
    given = ("run", *FILES.split(), "--model", tiny_checkpoint)
    refused(command(*given, "--resume"), tmp_path, "no emotion-run was interrupted. Leave out --resume")
    assert command(*given).exit_code == 0


def test_each_message_of_the_command_line_has_its_cure_carried_out():
    "A message that is new has no line in CURED"
    known = [case[0] for case in CURED] + ["is not installed. Install it with: pip install", "no such folder. Give the folder of a fine-tuned model", "was interrupted. Leave out --resume"]  # the tests above
    messages = []
    for node in ast.walk(ast.parse(Path(cli.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError":
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            messages.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in parts))
    assert len(messages) > 20
    uncured = [message.replace("\0", "\u2026") for message in messages if not any(told in message for told in known)]
    assert not uncured, uncured


HERE = "from emotion_nbdev.app.entry import main; print('here', flush=True); main()"


def test_interrupts_at_random_moments(tmp_path):
    "While libraries are imported, too: exit code 130 and no page of Python"
    chance = random.Random(1)
    for _ in range(7):
        process = subprocess.Popen([sys.executable, "-c", HERE, "predict", "hello", "--model", "nowhere"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        process.stdout.readline()
        time.sleep(chance.random() * .8)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode in (130, -signal.SIGINT) or process.returncode == 2 and told.startswith("Error: "), (process.returncode, told)
        assert "Traceback" not in told and told.count("\n") <= 1, told
