"Files as people bring them: read as they are meant, or refused in one line with the cure."
import gzip, json, re, subprocess

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ROWS
from emotion_nbdev.app.ladder import make_classifier
from emotion_nbdev.beyond.label_noise import apply_decisions
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.foundations.sources import folder_files, read_splits, read_table, records
from emotion_nbdev.production.artefacts import save
from emotion_nbdev.production.batches import label_file

PAIRS = [(f"{text}, on day {number}", label) for number in range(8) for label, texts in ROWS.items() for text in texts]
TEXTS, LABELS = map(list, zip(*PAIRS))


def quoted(text): return f'"{text}"'


def delimited(sign, header=("text", "label"), end="\n", tail="", quote=quoted):
    return end.join([sign.join(header), *(sign.join((quote(text), label)) + tail for text, label in PAIRS), ""])


def plain(text): return text.replace(",", "")


# what is in the file, its name, and the texts where they are not TEXTS
READ = {
    "semicolons in a .csv": (delimited(";"), "train.csv", None),
    "tabs in a .csv": (delimited("\t"), "train.csv", None),
    "bars in a .csv": (delimited("|"), "train.csv", None),
    "commas in a .tsv": (delimited(","), "train.tsv", None),
    "semicolons, and a spreadsheet's sep=": ("sep=;\n" + delimited(";"), "train.csv", None),
    "an old Mac": (delimited(",", end="\r"), "train.csv", None),
    "Windows": (delimited(",", end="\r\n"), "train.csv", None),
    "no line end at the end": (delimited(",").rstrip("\n"), "train.csv", None),
    "a byte order mark": ("\ufeff" + delimited(","), "train.csv", None),
    "UTF-16, little end first": (b"\xff\xfe" + delimited("\t").encode("utf-16-le"), "train.csv", None),
    "UTF-16, big end first": (b"\xfe\xff" + delimited(";").encode("utf-16-be"), "train.txt.csv", None),
    "packed": (gzip.compress(delimited(",").encode()), "train.csv.gz", None),
    "a comma at the end of each row": (delimited(",", tail=","), "train.csv", None),
    "commas at the end of the header": (delimited(",", ("text", "label", "", ""), tail=",,"), "train.csv", None),
    "commas at the end of the header only": (delimited(",", ("text", "label", "", "")), "train.csv", None),
    "a blank after each comma": (delimited(", "), "train.csv", None),
    "a field longer than 128 KiB": (delimited(",") + '"' + "long " * 30_000 + 'text",joy\n', "train.csv", [*TEXTS, "long " * 30_000 + "text"]),
    "blank lines": (delimited(",", end="\n\n"), "train.csv", None),
    "quotation marks as text in a TSV": ('text\tlabel\n"best day\tjoy\n' + "".join(f"{text}\t{label}\n" for text, label in PAIRS) + 'said nobody"\tanger\n"lovely" he called it\tanger\n', "train.tsv",
                                         ['"best day', *TEXTS, 'said nobody"', '"lovely" he called it']),
    "odd line ends in a text": ("text,label\n" + "".join(f"a{sign}b,joy\n" for sign in "\u2028\u2029\x85\x0b\x0c\x1c"), "train.csv", [f"a{sign}b" for sign in "\u2028\u2029\x85\x0b\x0c\x1c"]),
    "odd line ends in a .txt": ("one\u2028two;joy\nthree\x85four;anger\n", "train.txt", ["one\u2028two", "three\x85four"]),
    "odd line ends in JSON Lines": ('{"text": "one\u2028two", "label": "joy"}\n', "train.jsonl", ["one\u2028two"]),
    ".txt": (delimited(";", quote=str).partition("\n")[2], "train.txt", None),
    ".txt with its header": (delimited(";", quote=str), "train.txt", None),
    "a list of objects": (json.dumps([dict(text=text, label=label) for text, label in PAIRS], indent=1), "train.json", None),
    "one object a line in a .json": ("".join(json.dumps(dict(text=text, label=label)) + "\n" for text, label in PAIRS), "train.json", None),
}


@pytest.mark.parametrize("case", READ)
def test_read_alike_by_training_and_prediction(case, tmp_path):
    content, name, texts = READ[case]
    (tmp_path/name).write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(tmp_path/name)
    assert table["text"].tolist() == (texts or TEXTS) and (texts or table["label"].tolist() == LABELS)
    assert [(record["text"], reason) for _, record, reason in records(tmp_path/name)] == [(text, "") for text in texts or TEXTS]
    assert label_file(make_classifier("majority").fit(TEXTS, np.array(LABELS)), tmp_path/name, tmp_path/"out.csv") == (len(table), 0)


# what is in the file, its name, the options, and what the one line says
REFUSED = {
    "UTF-16 without its mark": (delimited(",").encode("utf-16-le"), "train.csv", (), ("train.csv seems to be UTF-16 without", "Save the file as UTF-8")),
    "no header": (delimited(",").partition("\n")[2], "train.csv", (), ("no column 'text'", "The first line seems to be a message", "text,label")),
    "a column for each label": ("text,refund,praise\n" + "fine,0,1\nlate,1,0\n", "train.csv", (), ("no column 'label'", "refund, praise hold only 0 and 1", "Make one column of labels")),
    "one column for both": (delimited(","), "train.csv", ("--label-column", "text"), ("both to come from the column 'text'", "--label-column")),
    "two columns of one name": (delimited(",", ("text", "text")), "train.csv", (), ("two columns are called 'text'", "Give each a name")),
    "half an emoji": ('{"text": "fine", "label": "joy"}\n{"text": "cut \\ud83d", "label": "joy"}\n', "train.jsonl", (), ("train.jsonl, row 2: text holds half of a character (\\ud83d)", "remove the row")),
    "a header that is never closed": ('"text,label\nfine,joy\n', "train.csv", (), ("train.csv, line 1: a quotation mark is never closed in the header", "close it")),
    "an object that is no list": ('{"text": {"0": "fine"},\n "label": {"0": "joy"}}\n', "train.json", (), ("train.json, row 1: ", "One JSON object a line")),
    "a broken list": ('[{"text": "fine"},\n {"text": \n]', "train.json", (), ("train.json, line 3: ", "a list of objects")),
    "a spreadsheet": (b"PK\x03\x04", "train.xlsx", (), ("'.xlsx' are not known", "Save the sheet as CSV")),
    "an archive": (b"PK\x03\x04", "train.zip", (), ("'.zip' are not known", "Unpack the file")),
    "no gzip": (b"text,label\n", "train.csv.gz", (), ("train.csv.gz is no readable gzip file", "Make it anew")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_cure(case, command, tmp_path):
    content, name, options, parts = REFUSED[case]
    (tmp_path/name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for arguments in (("check",), ("train", "--approach", "majority", "--output-dir", "model")):
        done = command(*arguments, "--train-file", name, *options)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1 and done.stdout == "", done.stderr
        for part in parts: assert part in done.stderr, done.stderr


def test_several_labels_a_message(command, tmp_path):
    (tmp_path/"train.jsonl").write_text("".join(json.dumps(dict(text=text, label=[label, "urgent"])) + "\n" for text, label in PAIRS))
    done = command("train", "--approach", "majority", "--output-dir", "model", "--train-file", "train.jsonl")
    assert done.exit_code == 2 and "row 1: label is a list; this project gives each message one label" in done.stderr
    found = command("check", "--train-file", "train.jsonl")
    assert found.exit_code == 1 and "several-labels" in found.stdout
    (tmp_path/"train.tsv").write_text(delimited("\t", quote=str) + "".join(f"{word} at once\tjoy,anger\n" for word in ("both", "two", "all")))
    found = command("check", "--train-file", "train.tsv")
    assert found.exit_code == 0 and "joined-labels, train: 3 rows have labels that are other labels joined ('joy,anger')" in found.stdout


def checked(frame, **options):
    "(kind, severity) of what check finds in a training table"
    from emotion_nbdev.beyond.check import check_tables
    from emotion_nbdev.tokenization import load_tokenizer
    return [(found.kind, found.severity) for found in check_tables({"train": frame}, load_tokenizer(), 512, **options)]


def test_check_knows_what_train_would_refuse():
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    assert "error" not in dict((severity, kind) for kind, severity in checked(frame))
    lone = pd.DataFrame({"text": ["an odd bird", "a stuck lift"], "label": ["parrot", "lift"]})
    assert ("too-few-to-hold-out", "error") in checked(pd.concat([frame, lone], ignore_index=True))
    assert ("too-few-to-hold-out", "error") in checked(frame[:18])
    assert ("no-classes", "error") in checked(frame.assign(label=range(len(frame))))
    assert ("null-like-label", "warning") in checked(frame.assign(label=["nan", *LABELS[1:]]))
    assert ("foreign-language", "warning") in checked(frame.assign(text=[f"आपकी मदद के लिए धन्यवाद {number}" for number in range(len(frame))]))
    other = frame.assign(message=frame["text"], text="x", emotion=frame["label"])
    assert "error" not in dict((severity, kind) for kind, severity in checked(other, text_column="message", label_column="emotion"))
    assert ("missing-label", "error") in checked(frame.assign(label=pd.Categorical([None, *LABELS[1:]])))


def test_a_header_without_names(tmp_path):
    (tmp_path/"train.csv").write_text("v1,v2,,,\n" + "".join(f"{label},{quoted(text)},,{number},\n" for number, (text, label) in enumerate(PAIRS)))
    for file in (read_table(tmp_path/"train.csv").to_dict("records"), [record for _, record, _ in records(tmp_path/"train.csv", "v2")]):
        assert [row["v2"] for row in file] == TEXTS and [row["column 4"] for row in file] == [str(number) for number in range(len(PAIRS))]
    corrected = correct(tmp_path, "train.csv", "v2", "v1")
    assert corrected.read_bytes() == (tmp_path/"train.csv").read_bytes().replace(b'anger,"you charged me twice and hung up, on day 0"', b'joy,"you charged me twice and hung up, on day 0"')


def correct(folder, name, text_column="text", label_column="label"):
    "Apply a list that calls the first message joy"
    output = folder/f"corrected-{name}"
    output.with_name(f"{output.stem}.changes.csv").unlink(missing_ok=True)
    pd.DataFrame({"row": [1], "text": TEXTS[:1], "label": [str(read_table(folder/name)[label_column].iloc[0])], "new_label": [str(read_table(folder/name)[label_column].iloc[3])]}).to_csv(folder/"list.csv", index=False)
    apply_decisions(folder/"list.csv", folder/name, output, text_column, label_column)
    return output


@pytest.mark.parametrize("sign, end, name", [(";", "\r\n", "train.csv"), ("\t", "\n", "train.csv"), (",", "\r", "train.csv"), ("\t", "\r\n", "train.tsv")])
def test_a_corrected_copy_is_built_as_the_file_is(tmp_path, sign, end, name):
    (tmp_path/name).write_bytes(delimited(sign, end=end, quote=lambda text: text if sign != "," else quoted(text)).encode())
    before, after = (tmp_path/name).read_bytes(), correct(tmp_path, name).read_bytes()
    assert after.count(end.encode()) == before.count(end.encode()) and len(after) == len(before) + len("joy") - len("anger")


def test_a_corrected_copy_keeps_types(tmp_path):
    numbers = [sorted(ROWS).index(label) for label in LABELS]
    table = pa.table({"text": TEXTS, "label": pa.array(numbers, pa.int8()), "sent": pa.array([None, *range(len(TEXTS) - 1)], pa.timestamp("us"))})
    pq.write_table(table, tmp_path/"train.parquet")
    assert pq.read_table(correct(tmp_path, "train.parquet")).equals(table.set_column(1, "label", pa.array([1, *numbers[1:]], pa.int8())))
    (tmp_path/"train.jsonl").write_text("".join(json.dumps(dict(text=text, label=number, weight=.1)) + "\n" for text, number in zip(TEXTS, numbers)))
    assert correct(tmp_path, "train.jsonl").read_text().replace('"label": 1', '"label": 0', 1) == (tmp_path/"train.jsonl").read_text()


def test_columns_for_a_file_without_a_header(tmp_path):
    (tmp_path/"train.csv").write_text(delimited(";").partition("\n")[2])
    tables, _, _ = read_splits(train_file=tmp_path/"train.csv", columns=["text", "label"])
    assert tables["train"]["text"].tolist() == TEXTS and tables["train"]["label"].tolist() == LABELS
    assert [record["text"] for _, record, _ in records(tmp_path/"train.csv", columns=["text", "label"])] == TEXTS
    assert label_file(make_classifier("majority").fit(TEXTS, np.array(LABELS)), tmp_path/"train.csv", tmp_path/"out.csv", columns=["text", "label"]) == (len(TEXTS), 0)
    (tmp_path/"train.jsonl").write_text('{"text": "fine"}\n')
    with pytest.raises(InputError, match="names of columns are for .csv and .tsv"): read_table(tmp_path/"train.jsonl", columns=["text"])


def test_a_folder_for_each_class(tmp_path):
    for number, (text, label) in enumerate(PAIRS):
        (tmp_path/"train"/label).mkdir(parents=True, exist_ok=True)
        (tmp_path/"train"/label/f"{number:03}.txt").write_text(text + "\n")
    for folder in (tmp_path, tmp_path/"train"):
        tables, _, _ = read_splits(folder)
        assert sorted(zip(tables["train"]["text"], tables["train"]["label"])) == sorted(PAIRS)
    (tmp_path/"train"/"joy"/"bad.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="joy/bad.txt, line 1: byte 0xe9 is no UTF-8"): read_splits(tmp_path)


def test_texts_and_labels_in_two_files_and_the_cure(tmp_path):
    (tmp_path/"train_text.txt").write_text("".join(text + "\n" for text in TEXTS))
    (tmp_path/"train_labels.txt").write_text("".join(label + "\n" for label in LABELS))
    told = pytest.raises(InputError, folder_files, tmp_path).value.args[0]
    subprocess.run(re.search("Join them: (.*)", told)[1], shell=True, check=True)
    assert read_table(folder_files(tmp_path)["train"])["text"].tolist() == TEXTS


@pytest.mark.parametrize("test", ["id,text\n1,fine\n", "text,label\nfine,-1\n", "text,label\nfine,\n"])
def test_a_folder_with_an_unlabelled_test_file(tmp_path, caplog, test):
    (tmp_path/"train.csv").write_text(delimited(","))
    (tmp_path/"test.csv").write_text(test)
    assert list(read_splits(tmp_path)[0]) == ["train"] and "test.csv has no labels in a column 'label' and is not scored" in caplog.text


def test_prediction_takes_plain_texts(command, tmp_path):
    save(make_classifier("tfidf").fit(TEXTS, np.array(LABELS)), tmp_path/"model")
    (tmp_path/"new.txt").write_text("we won; at last\nthe house is quiet\n\n")
    done = command("predict", "--model", "model", "--input", "new.txt")
    assert done.exit_code == 0 and [line.split(",")[:2] for line in done.stdout.splitlines()] == [["text", "label"], ["we won; at last", "joy"], ["the house is quiet", "sadness"]]
    (tmp_path/"bad.csv").write_text('text,label\nfine,joy\n"open,joy\n')
    done = command("predict", "--model", "model", "--input", "bad.csv")
    assert done.exit_code == 2 and "bad.csv, row 2: a quotation mark opens a field that is never closed" in done.stderr
    done = command("predict", "--model", "model", "--input", "-")
    assert done.exit_code == 2 and "standard input is not read" in done.stderr and done.stderr.count("\n") == 1


HEADERLESS = "".join(f"{text} {number},{label}\n" for number in range(6) for text, label in (("you charged me twice", "anger"), ("we won", "joy")))


def test_names_of_columns_reach_every_command(command, tmp_path):
    "A file without a header is used by each command that reads one, once its columns are named"
    (tmp_path/"rows.csv").write_text(HEADERLESS)
    named = ["--columns", "text,label"]
    without = command("train", "--approach", "tfidf", "--train-file", "rows.csv", "--validation-file", "rows.csv", "--output-dir", "model")
    assert without.exit_code == 2 and "name the columns with --columns" in without.output
    trained = command("train", "--approach", "tfidf", "--train-file", "rows.csv", "--validation-file", "rows.csv", "--output-dir", "model", *named)
    assert trained.exit_code == 0, trained.output
    assert json.loads((tmp_path/"model"/"training.json").read_text())["data"]["rows"] == {"train": 12, "validation": 12}
    assert command("evaluate", "--model", "model", "--data", "rows.csv", "--split", "train", *named).exit_code == 0
    assert command("errors", "--model", "model", "--data", "rows.csv", "--split", "train", *named).exit_code == 0
    assert command("predict", "--model", "model", "--input", "rows.csv", "--output", "out.csv", *named).exit_code == 0
    assert len((tmp_path/"out.csv").read_text().splitlines()) == 13
    assert "12 rows" in command("check", "--train-file", "rows.csv", *named).output


@pytest.mark.parametrize("arguments, message", [
    (["train", "--approach", "tfidf", "--train-file", "headed.csv", "--output-dir", "m"], "its first line names the columns already"),
    (["train", "--approach", "tfidf", "--train-file", "rows.jsonl", "--output-dir", "m"], "names of columns are for .csv and .tsv"),
    (["train", "--approach", "tfidf", "--output-dir", "m"], "--columns names the columns of files"),
    (["predict", "--model", "m", "a text"], "--columns needs --input"),
    (["errors", "--data", "headed.csv", "--apply", "list.csv", "--output", "new.csv"], "--apply keeps the file as it is"),
])
def test_names_of_columns_without_effect_are_refused(command, tmp_path, arguments, message):
    (tmp_path/"headed.csv").write_text("text,label\n" + HEADERLESS)
    (tmp_path/"rows.jsonl").write_text('{"text": "so late", "label": "anger"}\n')
    done = command(*arguments, "--columns", "text,label")
    assert done.exit_code == 2 and message in done.output and not (tmp_path/"m").exists()


def test_reactions_of_nothing_but_emoji(command, tmp_path):
    "The rung that finds no word is left out with its reason; what was asked for is trained"
    pairs = [(sign * times, label) for times in range(1, 5) for signs, label in (("😀😂🎉🥳", "joy"), ("😡🤬👿💢", "anger")) for sign in signs]
    (tmp_path/"train.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in pairs))
    done = command("train", "--approach", "features", "--train-file", "train.csv", "--validation-file", "train.csv", "--output-dir", "model")
    assert done.exit_code == 0 and "tfidf is left out: TF-IDF finds no token in these texts" in done.stderr and "features" in done.stdout
    assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--validation-file", "train.csv", "--output-dir", "other").exit_code == 2


def test_numbers_as_labels_stay_in_order(command, tmp_path):
    pairs = [(f"{word} number {number} said {time}", number) for number in range(12) for time in range(9) for word in ("mail", "call")]
    (tmp_path/"train.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in pairs))
    assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model").exit_code == 0
    assert json.loads((tmp_path/"model"/"training.json").read_text())["classes"] == [str(number) for number in range(12)]


def test_what_check_lets_pass_is_trained(command, tmp_path):
    (tmp_path/"train.csv").write_text(delimited(",", quote=quoted) + "an odd bird,parrot\na stuck lift,lift\n")
    told = command("check", "--train-file", "train.csv")
    refused = command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model")
    for done, code in ((told, 1), (refused, 2)):
        assert done.exit_code == code and "a single message is labelled lift, parrot" in done.output and "eave such classes out, merge them, or give a validation file" in done.output
    (tmp_path/"train.csv").write_text(delimited(",", quote=quoted))
    assert command("check", "--train-file", "train.csv").exit_code == 0
    assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model").exit_code == 0


def test_a_card_names_no_language_that_nobody_named(command, tmp_path):
    (tmp_path/"train.csv").write_text("text,label\n" + "".join(f"{text} {number},{label}\n" for number in range(12) for text, label in (("qué alegría verte", "alegría"), ("otra mentira más", "enfado"))))
    assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model").exit_code == 0
    card = (tmp_path/"model"/"README.md").read_text()
    assert "language:" not in card and "The language of the training texts is not recorded" in card
    assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--language", "es", "--output-dir", "spanish").exit_code == 0
    assert "language:\n- es\n" in (tmp_path/"spanish"/"README.md").read_text()
    assert command("train", "--approach", "majority", "--output-dir", "own").exit_code == 0
    assert "language:\n- en\n" in (tmp_path/"own"/"README.md").read_text()


def rewrite(path, change):
    path.write_bytes(change(path.read_bytes()))


# what is wrong with a file, words of the refusal, and the cure that it names, carried out: on the file, or as options
CURES = {
    "not UTF-8": (delimited(",").encode() + "caf\u00e9 closed,anger\n".encode("latin-1"), "Save the file as UTF-8", lambda path: rewrite(path, lambda raw: raw.decode("latin-1").encode()) or ()),
    "no header": (delimited(",").partition("\n")[2].encode(), "Put a line such as text,label above it", lambda path: rewrite(path, lambda raw: b"text,label\n" + raw) or ()),
    "no header, named": (delimited(",").partition("\n")[2].encode(), "or name the columns with --columns", lambda path: ("--columns", "text,label")),
    "other columns": (delimited(",", ("message", "mood")).encode(), "Name the column with --text-column", lambda path: ("--text-column", "message", "--label-column", "mood")),
    "a label is missing": (delimited(",").encode() + b"no label here,\n", "Fill it in or remove the row", lambda path: rewrite(path, lambda raw: raw.replace(b"no label here,\n", b"")) or ()),
    "a stray mark": (delimited(",").encode() + b'"never closed,joy\n', "write it twice", lambda path: rewrite(path, lambda raw: raw.replace(b'"never closed', b'"""never closed"')) or ()),
    "a comma in a text": (delimited(",").encode() + b"one, two, three,joy\n", "Quote fields that contain ','", lambda path: rewrite(path, lambda raw: raw.replace(b"one, two, three", b'"one, two, three"')) or ()),
    "two columns of one name": (delimited(",", ("text", "text")).encode(), "Give each a name of its own", lambda path: rewrite(path, lambda raw: raw.replace(b"text,text", b"text,label")) or ()),
    "a class of one": (delimited(",").encode() + b"an odd bird,parrot\n", "Leave such classes out", lambda path: rewrite(path, lambda raw: raw.replace(b"an odd bird,parrot\n", b"")) or ()),
}


@pytest.mark.parametrize("case", CURES)
def test_the_cure_that_is_named_works(case, command, tmp_path):
    content, told, cure = CURES[case]
    (tmp_path/"train.csv").write_bytes(content)
    arguments = ("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model")
    refused = command(*arguments)
    assert refused.exit_code == 2 and told in refused.stderr, refused.stderr
    done = command(*arguments, *cure(tmp_path/"train.csv"))
    assert done.exit_code == 0, done.stderr


def test_a_text_that_begins_with_a_minus_sign(command, tmp_path):
    save(make_classifier("tfidf").fit(TEXTS, np.array(LABELS)), tmp_path/"model")
    refused = command("predict", "--model", "model", "-1 star")
    assert refused.exit_code == 2 and "Write -- before a text that begins with a minus sign" in refused.stderr and refused.stderr.count("\n") == 1
    assert command("predict", "--model", "model", "--", "-1 star").exit_code == 0
    empty = command("train", "--train-file", "", "--output-dir", "m")
    assert empty.exit_code == 2 and "--train-file is empty. Is a variable not set?" in empty.stderr


def test_nothing_steers_the_terminal(command, tmp_path):
    (tmp_path/"train.csv").write_text("text,label\n" + "".join(f"mail {number} \x1b[2J,{label}\n" for number in range(12) for label in ("joy\x1b[31m", "anger")))
    for arguments in (("check", "--train-file", "train.csv"), ("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model"), ("predict", "--model", "model", "fine \x1b[5m"),
                      ("errors", "--model", "model", "--data", "train.csv", "--split", "train"), ("check", "--train-file", "no\x1b[31m.csv")):
        done = command(*arguments)
        assert "\x1b" not in done.output and ("\\u001b" in done.output or arguments[0] == "train"), arguments


@pytest.mark.parametrize("label", ["+", "-", "@home", "=a", "'quoted", "3", "-1", "true", "caf\u00e9"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_any_label_survives_a_correction(label, ending, tmp_path):
    "Listed, edited (here by a spreadsheet that saves with semicolons), applied: one label changes, whatever it looks like"
    from emotion_nbdev.beyond.label_noise import suspects, write_suspects
    from emotion_nbdev.evaluation import Answers
    from emotion_nbdev.production.batches import write_table
    frame = pd.DataFrame({"text": [f"mail {number}" for number in range(8)], "label": [label, "other"] * 4})
    write_table(frame, tmp_path/f"data{ending}", defuse=False)
    classes = sorted({label, "other"})
    given = Answers("judge", "train", frame["text"], frame["label"], np.tile([.6, .4], (8, 1)), classes)
    write_suspects(suspects(given), tmp_path/"list.csv", 8)
    listed = pd.read_csv(tmp_path/"list.csv", dtype=str, keep_default_na=False)
    first = listed.index[listed["row"] == "2"][0]  # row 2 is called `other`
    listed.loc[first, "new_label"] = listed["label"][listed["row"] == "1"].iloc[0]
    listed.to_csv(tmp_path/"edited.csv", sep=";", index=False)
    apply_decisions(tmp_path/"edited.csv", tmp_path/f"data{ending}", tmp_path/f"new{ending}")
    assert read_table(tmp_path/f"new{ending}")["label"].tolist() == [label, label, *[label, "other"] * 3]


def test_rows_on_a_terminal_do_not_steer_it(tmp_path):
    "`predict --input` without --output, on a terminal; a pipe gets the bytes as they are"
    import os, pty
    from conftest import call, COMMAND
    save(make_classifier("tfidf").fit(TEXTS, np.array(LABELS)), tmp_path/"model")
    (tmp_path/"new.csv").write_text("text\nfine \x1b[2J day\n")
    ours, theirs = pty.openpty()
    done = subprocess.run([COMMAND, "predict", "--model", "model", "--input", "new.csv"], cwd=tmp_path, stdout=theirs, stderr=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0  # else nothing would be there to read
    shown = os.read(ours, 10_000).decode()
    assert "\x1b" not in shown and "fine \\u001b[2J day" in shown
    assert "fine \x1b[2J day" in call("predict", "--model", "model", "--input", "new.csv", cwd=tmp_path).stdout


def test_why_no_row_can_be_labelled(command, tmp_path):
    save(make_classifier("tfidf").fit(TEXTS, np.array(LABELS)), tmp_path/"model")
    (tmp_path/"latin.csv").write_bytes("text\ncaf\u00e9\n".encode("latin-1"))
    (tmp_path/"blank.csv").write_text('text,id\n"  ",1\n')
    for name, why in (("latin.csv", "(row 1: byte 0xe9 is no UTF-8)"), ("blank.csv", "(row 1: text is '  ', no text)")):
        done = command("predict", "--model", "model", "--input", name)
        assert done.exit_code == 2 and f"{name} has no row that can be labelled {why}. " in done.stderr, done.stderr
