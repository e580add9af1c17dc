"What is written: reads back the same everywhere, runs in no spreadsheet, is whole after any death, and one bad record holds up nothing."
import csv, io, json, os, random, shutil, subprocess, sys
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv, pyarrow.json
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.dummy import DummyClassifier

from conftest import COMMAND, ROWS, call, python
from emotion_nbdev.foundations.core import InputError, reserved
from emotion_nbdev.foundations.sources import read_table
from emotion_nbdev.production import batches
from emotion_nbdev.production.batches import WRITERS, label_file, label_stream, parts_of, safe_cell, safe_headings, write_table

DOUBT = DummyClassifier(strategy="prior").fit(["x", "y"], ["anger", "joy"])
SIGNS = "ab1 ,;\t|\"'\n\r=+-@＝＋－＠﹢−\u00a0\u200b\ufeff\u2060\u200f\u3000\u2028\x85\x0b\x0c\x1c\\é🙂"
texts = st.text(st.sampled_from(SIGNS), min_size=1, max_size=10).filter(str.strip)
strings = st.text(st.sampled_from(SIGNS), max_size=8)
HIDING = " \t\r\n\x0b\x0c\x00\u00a0\u00ad\u200b\u200c\u200f\u2028\u202e\u2060\u3000\ufeff\ufe0f\U000e0020"  # before a sign that calculates


def calculates(shown):
    "Whether a spreadsheet may take what is in a cell for a formula"
    bare = shown.lstrip(HIDING)
    return bare[:1] in tuple("=+-@＝＋－＠﹢−") and not number(shown) or shown[:1] in ("\t", "\r", "\n") and not number(shown)


def number(text):
    try: float(text)
    except ValueError: return False
    return True


def read_by_all(path):
    "Header and rows of a file of text as four readers see them"
    ending, delimiter = path.suffix, "\t" if path.suffix == ".tsv" else ","
    if ending in (".csv", ".tsv"):
        with open(path, encoding="utf-8", newline="") as file: yield "csv", list(csv.reader(file, delimiter=delimiter, strict=True))
        table = pd.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False, encoding="utf-8")
        yield "pandas", [table.columns.tolist(), *table.values.tolist()]
        names = csv.reader(open(path, encoding="utf-8", newline=""), delimiter=delimiter).__next__()
        table = pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True), convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())))
        yield "pyarrow", [table.column_names, *map(list, zip(*(column.to_pylist() for column in table.columns)))]
    elif ending == ".jsonl":
        with open(path, encoding="utf-8", newline="\n") as file: rows = [json.loads(line) for line in file]
        yield "json", [list(rows[0]), *(list(row.values()) for row in rows)]
        table = pa.json.read_json(path)
        yield "pyarrow", [table.column_names, *map(list, zip(*(column.to_pylist() for column in table.columns)))]
    else:
        table = pd.read_parquet(path)
        yield "pandas", [table.columns.tolist(), *table.values.tolist()]
    table = read_table(path)
    yield "own", [table.columns.tolist(), *table.values.tolist()]


def written(way, ending, rows, folder):
    "The file that one of the writers makes of rows of texts"
    path = folder/f"out{ending}"
    if way == "write_table":
        write_table(pd.DataFrame(rows, dtype=object).assign(label="anger"), path)
        return path
    (folder/"in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if way == "label_file": assert label_file(DOUBT, folder/"in.jsonl", path) == (len(rows), 0)
    else:
        with open(path, "w", encoding="utf-8", newline="") as stream: label_stream(DOUBT, folder/"in.jsonl", stream)
    return path


def in_cells(ending, text): return safe_cell(text) if ending in (".csv", ".tsv") else text


@pytest.mark.parametrize("way, ending", [(way, ending) for way in ("label_file", "write_table") for ending in WRITERS] + [("label_stream", ".csv")])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_all_readers_see_what_was_written_and_no_cell_calculates(way, ending, tmp_path_factory, data):
    rows = [{"text": data.draw(texts), "more": data.draw(strings), "id": str(number)} for number in range(data.draw(st.integers(1, 12)))]
    path = written(way, ending, rows, tmp_path_factory.mktemp("written"))
    expected = [[in_cells(ending, value) for value in row.values()] for row in rows]
    for reader, (header, *found) in read_by_all(path):
        assert header[:3] == ["text", "more", "id"] and [row[:3] for row in found] == expected, reader
        if ending in (".csv", ".tsv"): assert not any(calculates(shown) for row in found for shown in row), reader


@pytest.mark.parametrize("text", ["=1+cmd", "\n=cmd", "\r\n=cmd", " =cmd", "\u200b=cmd", "\ufeff\u2060 @cmd", "＝cmd", "＋cmd", "－cmd", "＠cmd", "﹦cmd", "\x00=cmd", "\u202e=cmd", "\U000e0020=cmd", "\tcmd", "-cmd", "−cmd"])
def test_formulas_in_all_their_disguises(text): assert safe_cell(text) == f"'{text}" and safe_headings([text, "id"]) == [f"'{text}", "id"]


@pytest.mark.parametrize("text", ["-5", "+1e3", " -5", "late = again", "🙂 =", "'=cmd", "é", "", None, 7, -7.5])
def test_what_calculates_nothing_stays(text): assert safe_cell(text) == text


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_lone_return_is_inside_marks(tmp_path, ending):
    rows = [{"text": "x\r=cmd()", "id": "1"}, {"text": "y", "id": "\r"}]
    for way in ("label_file", "write_table"):
        raw = written(way, ending, rows, tmp_path).read_bytes()
        assert b'\n"x\r=cmd()"' in raw and b'''"'\r"''' in raw
        for left in tmp_path.iterdir(): left.unlink()


def test_headings_stay_different(tmp_path):
    (tmp_path/"in.jsonl").write_text(json.dumps({"text": "fine", "=a": 1, "'=a": 2, "''=a": 3}) + "\n")
    label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    write_table(pd.DataFrame({"=a": [1], "'=a": [2]}), tmp_path/"table.csv")
    assert read_table(tmp_path/"out.csv").iloc[0].tolist()[:4] == ["fine", "1", "2", "3"] and read_table(tmp_path/"table.csv").iloc[0].tolist() == ["1", "2"]


# a death, and what was left of the parts

@pytest.fixture
def small_parts(monkeypatch): monkeypatch.setattr(batches, "RECORDS_PER_PART", 10)


class Dies(DummyClassifier):
    "Answers so many times, then the lights go out"
    def predict_proba(self, texts):
        self.left -= 1
        if self.left < 0: raise KeyboardInterrupt
        return super().predict_proba(texts)


def half_done(folder, ending, parts=4):
    "A labelling of 62 records, some of them blank, that died after so many parts of ten, and the whole one"
    (folder/"in.jsonl").write_text("".join(json.dumps({"id": number, "text": f"message {number}" if number % 7 else " "}) + "\n" for number in range(62)))
    label_file(DOUBT, folder/"in.jsonl", folder/f"whole{ending}")
    dying = Dies(strategy="prior").fit(["x", "y"], ["anger", "joy"])
    dying.left = parts
    with pytest.raises(KeyboardInterrupt): label_file(dying, folder/"in.jsonl", folder/f"out{ending}")
    return parts_of(folder/f"out{ending}")


def same_as_whole(folder, ending):
    assert (folder/f"out{ending}").read_bytes() == (folder/f"whole{ending}").read_bytes() and (folder/"out.rejected.jsonl").read_bytes() == (folder/"whole.rejected.jsonl").read_bytes()
    return sorted(path.name for path in folder.iterdir()) == sorted(["in.jsonl", f"out{ending}", "out.rejected.jsonl", f"whole{ending}", "whole.rejected.jsonl"])


def damage(path, chance):
    "Cut a file, change one byte of it, empty it, remove it, or append to it"
    raw = bytearray(path.read_bytes())
    how = chance.choice(["cut", "byte", "empty", "gone", "longer"])
    if how == "gone": return path.unlink()
    if how == "cut" and raw: raw = raw[:chance.randrange(len(raw))]
    elif how == "byte" and raw: raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    else: raw = bytearray() if how == "empty" else raw + raw
    path.write_bytes(raw)


@pytest.mark.parametrize("ending", WRITERS)
def test_a_part_that_is_not_whole_is_done_again(tmp_path, ending, small_parts):
    parts = half_done(tmp_path, ending)
    left = parts.rename(tmp_path/"left")
    for seed in range(25):
        chance = random.Random(seed)
        shutil.copytree(left, parts)
        for path in chance.sample(sorted(parts.iterdir()), 3): damage(path, chance)
        assert label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/f"out{ending}") == (53, 9), seed
        same_as_whole(tmp_path, ending)
        assert not list(tmp_path.glob(".*")), seed
        for made in tmp_path.glob("out*"): made.unlink()


@pytest.mark.parametrize("plan", [b"", b'{"source": ', b"\xff\xfe", b"[]", b"7", "one byte", None])
def test_a_plan_that_is_not_whole(tmp_path, plan, small_parts):
    parts = half_done(tmp_path, ".csv")
    if plan == "one byte": plan = (parts/"plan.json").read_bytes().replace(b"in.jsonl", b"in.jsonm")
    (parts/"plan.json").unlink() if plan is None else (parts/"plan.json").write_bytes(plan)
    assert label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv") == (53, 9) and same_as_whole(tmp_path, ".csv")


def test_parts_of_another_labelling_are_not_taken(tmp_path, small_parts):
    parts = half_done(tmp_path, ".csv")
    with pytest.raises(InputError, match="parts of another labelling"): label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv", model="another")
    (parts/"plan.json").unlink()
    other = DummyClassifier(strategy="constant", constant="joy").fit(["x", "y"], ["anger", "joy"])
    label_file(other, tmp_path/"in.jsonl", tmp_path/"out.csv", model="another")
    assert set(read_table(tmp_path/"out.csv")["label"]) == {"joy"}


def test_whole_parts_are_not_done_again(tmp_path, small_parts, monkeypatch):
    half_done(tmp_path, ".csv")
    done = []
    right = batches._answer_part
    monkeypatch.setattr(batches, "_answer_part", lambda part, *rest: done.append(part) or right(part, *rest))
    label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert len(done) == 3 and same_as_whole(tmp_path, ".csv")


def test_a_foreign_file_of_rejected_records_stays(tmp_path, small_parts):
    parts = half_done(tmp_path, ".csv")
    (tmp_path/"out.rejected.jsonl").write_text("somebody else's\n")
    with pytest.raises(InputError, match="out.rejected.jsonl exists already"): label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert (tmp_path/"out.rejected.jsonl").read_text() == "somebody else's\n" and parts.is_dir()
    (tmp_path/"out.rejected.jsonl").unlink()
    label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert same_as_whole(tmp_path, ".csv")


def test_one_that_comes_while_the_file_is_labelled_stays_too(tmp_path, small_parts, monkeypatch):
    half_done(tmp_path, ".csv")
    right = batches._join
    monkeypatch.setattr(batches, "_join", lambda *given: (tmp_path/"out.rejected.jsonl").write_text("mine\n") and right(*given))
    with pytest.raises(InputError, match="out.rejected.jsonl exists already"): label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert (tmp_path/"out.rejected.jsonl").read_text() == "mine\n" and not (tmp_path/"out.csv").exists()


def test_a_death_while_the_parts_are_removed(tmp_path, small_parts, monkeypatch):
    half_done(tmp_path, ".csv")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(batches.shutil, "rmtree", mock.Mock(side_effect=KeyboardInterrupt))
        label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    same_as_whole(tmp_path, ".csv")
    with pytest.raises(InputError, match="out.csv exists already"): label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert not list(tmp_path.glob(".*"))


def test_two_files_of_one_stem_share_the_name_of_what_is_set_aside(tmp_path):
    (tmp_path/"in.jsonl").write_text('{"text": "fine"}\n{"text": " "}\n')
    with reserved(tmp_path/"out.rejected.jsonl"):
        labels = "import sys\nfrom sklearn.dummy import DummyClassifier\nfrom emotion_nbdev.production.batches import label_file\nlabel_file(DummyClassifier().fit(['x', 'y'], ['a', 'b']), sys.argv[1], sys.argv[2])"
        done = python(labels, tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert "out.rejected.jsonl is being written by process" in done.stderr and not (tmp_path/"out.csv").exists()


def test_a_source_that_grows_while_it_is_labelled(tmp_path, small_parts):
    (tmp_path/"in.jsonl").write_text('{"text": "fine"}\n' * 25)
    class Grows(DummyClassifier):
        def predict_proba(self, texts):
            with open(tmp_path/"in.jsonl", "a") as file: file.write('{"text": "one more"}\n')
            return super().predict_proba(texts)
    with pytest.raises(InputError, match="in.jsonl was changed while it was labelled"): label_file(Grows(strategy="prior").fit(["x", "y"], ["a", "b"]), tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert not (tmp_path/"out.csv").exists()


# one bad record

def nested(depth): return "[" * depth + "1" + "]" * depth

BAD = {"half of a character inside": '{"text": "cut", "more": {"a": [{"b": "\\ud83d"}]}}', "half of a character in a name": '{"text": "cut", "\\ud83d": 1}', "bottomless": '{"text": "deep", "more": ' + nested(100_000) + "}",
       "as deep as can be read": '{"text": "deep", "more": ' + nested(970) + "}", "deep objects": '{"text": "deep", "more": ' + '{"a":' * 985 + "1" + "}" * 986, "digits without end": '{"text": "long", "more": ' + "9" * 5000 + "}"}
ODD = {"over 64 bits": [1, 2**70, -2**65, 2.5], "unsigned": [-1, 2**63, 2**64 - 1], "mixed": ["a", 1, 2.5, None, True, [1], {"b": 1}], "large and halves": [2**60 + 1, .5], "large and halves in lists": [[2**60 + 1], [.5]], "deep lists": [json.loads(nested(200))],
       "hundreds of digits": [10**400, 1.5], "lists of two kinds": [[1], ["a"], [], [None]], "lists and none": [[[1]], [1], 1]}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_record_is_set_aside_with_its_text(tmp_path, kind, ending):
    (tmp_path/"in.jsonl").write_text('{"text": "fine", "more": [1]}\n' + BAD[kind] + '\n{"text": "good"}\n')
    labelled, rejected = label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/f"out{ending}")
    assert labelled + rejected == 3 and read_table(tmp_path/f"out{ending}")["text"].tolist()[0::labelled - 1] == ["fine", "good"]
    if rejected:
        (aside,) = map(json.loads, (tmp_path/"out.rejected.jsonl").read_text().splitlines())
        assert aside["row"] == 2 and aside["reason"] and json.loads(BAD[kind].split(",")[0] + "}")["text"] in json.dumps(aside)
    else: assert kind in ("as deep as can be read", "deep objects")


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("size", [1, 2048])
def test_odd_values_go_into_every_format(tmp_path, kind, ending, size, monkeypatch):
    monkeypatch.setattr(batches, "RECORDS_PER_PART", size)
    values = ODD[kind]
    (tmp_path/"in.jsonl").write_text("".join(json.dumps({"text": "fine", "more": value}) + "\n" for value in values))
    assert label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/f"out{ending}") == (len(values), 0)
    found = [value.tolist() if hasattr(value, "tolist") else value for value in read_table(tmp_path/f"out{ending}")["more"]]
    for value, other in zip(values, found): assert other == value or str(other) in (str(value), json.dumps(value)) or value is None and other == "", (value, other)


json_values = st.recursive(st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.sampled_from([2**53 + 1, 2**63, -1]) | st.floats() | strings, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=2), max_leaves=5)


@pytest.mark.parametrize("ending", WRITERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.lists(json_values, min_size=1, max_size=6))
def test_no_value_of_json_stops_a_labelling(ending, tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("any")
    (folder/"in.jsonl").write_text("".join(json.dumps({"text": "fine", "more": value}) + "\n" for value in values))
    with mock.patch.object(batches, "RECORDS_PER_PART", 2): assert label_file(DOUBT, folder/"in.jsonl", folder/f"out{ending}") == (len(values), 0)
    assert len(read_table(folder/f"out{ending}")) == len(values)


def test_json_has_no_numbers_that_are_none(tmp_path):
    pq.write_table(pa.table({"text": ["NaN", "b", "c"], "more": [float("nan"), float("-inf"), .5]}), tmp_path/"in.parquet")
    label_file(DOUBT, tmp_path/"in.parquet", tmp_path/"out.jsonl")
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path/"out.jsonl").read_text().splitlines()]
    assert [(row["text"], row["more"]) for row in rows] == [("NaN", None), ("b", "-Infinity"), ("c", .5)]


@pytest.mark.parametrize("ending", WRITERS)
def test_rows_that_only_the_writer_finds_out(tmp_path, ending, monkeypatch):
    (tmp_path/"in.jsonl").write_text("".join(json.dumps({"text": f"message {number}", "more": number}) + "\n" for number in range(30)))
    class Odd:
        def __str__(self): raise ValueError("it has no words")
    monkeypatch.setattr(batches, "label_records", lambda *given, right=batches.label_records: [row | ({"more": Odd()} if row["more"] in (3, 17) else {}) for row in right(*given)])
    assert label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/f"out{ending}") == (28, 2)
    assert [(entry["row"], entry["record"]["text"]) for entry in map(json.loads, (tmp_path/"out.rejected.jsonl").read_text().splitlines())] == [(4, "message 3"), (18, "message 17")]
    assert len(read_table(tmp_path/f"out{ending}")) == 28
    with pytest.raises(InputError, match="row 4: it cannot be written"): label_stream(DOUBT, tmp_path/"in.jsonl", io.StringIO())


def test_a_name_of_a_column_that_is_no_utf_8(tmp_path):
    (tmp_path/"in.csv").write_bytes(b"te\xe9,text\na,b\n")
    for ending in WRITERS:
        with pytest.raises(InputError, match=r"the column 'te\\\\xe9' has a byte"): label_file(DOUBT, tmp_path/"in.csv", tmp_path/f"out{ending}")


def test_bytes_in_parquet_that_are_no_utf_8(tmp_path):
    broken = pa.array([b"caf\xe9", b"fine"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": ["late", "again"], "more": broken}), tmp_path/"in.parquet")
    for ending in (".csv", ".jsonl"):
        labelled, rejected = label_file(DOUBT, tmp_path/"in.parquet", tmp_path/f"out{ending}")
        assert labelled + rejected == 2 and any("caf\\xe9" in path.read_text().replace("\\\\", "\\") for path in tmp_path.glob("out*")) and "fine" in (tmp_path/f"out{ending}").read_text()
        for made in tmp_path.glob("out*"): made.unlink()


# columns by the thousand

def test_a_row_costs_what_is_in_it(tmp_path, monkeypatch):
    (tmp_path/"in.jsonl").write_text("".join(json.dumps({"text": "fine", f"column {number}": 1}) + "\n" for number in range(2000)))
    shown = []
    monkeypatch.setattr(batches, "cell", lambda value, right=batches.cell: shown.append(1) or right(value))
    label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/"out.csv")
    assert len(shown) == 2000 * 6  # text, one column, four of the answer; not 2,000 columns
    with open(tmp_path/"out.csv", newline="") as file: table = list(csv.DictReader(file))
    assert [row[f"column {number}"] for number, row in enumerate(table)] == ["1"] * 2000


# what the system refuses

def test_names_that_are_too_long(tmp_path):
    (tmp_path/"in.csv").write_text('text\nfine\n" "\n')
    for ending in WRITERS:
        for length in (240, 245, 250, 255, 256, 300):
            output = tmp_path/f"{'n' * (length - len(ending))}{ending}"
            try: assert label_file(DOUBT, tmp_path/"in.csv", output) == (1, 1) and length < 250
            except InputError as error: assert "File name too long" in str(error) and "\n" not in str(error)
            assert not list(tmp_path.glob(".*"))
            for made in tmp_path.glob("n*"): made.unlink()


WITH_LITTLE_SPACE = """
import resource, signal, sys
from sklearn.dummy import DummyClassifier
from emotion_nbdev.production import batches
batches.RECORDS_PER_PART = 500
if int(sys.argv[3]): resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try: print(batches.label_file(DummyClassifier(strategy="prior").fit(["x", "y"], ["anger", "joy"]), *sys.argv[1:3]))
except OSError as error: print("OSError", error)
"""


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_no_space_left_then_some(tmp_path, ending):
    (tmp_path/"in.jsonl").write_text("".join(json.dumps({"text": f"message {number} {random.Random(number).random()}"}) + "\n" for number in range(4000)))
    def label(name, limit): return python(WITH_LITTLE_SPACE, "in.jsonl", name, limit, cwd=tmp_path)
    assert label(f"whole{ending}", 0).stdout == "(4000, 0)\n"
    for limit in (10_000, 60_000):  # not one part, all parts but not the whole
        failed = label(f"out{ending}", limit)
        assert failed.stdout.startswith("OSError") and not (tmp_path/f"out{ending}").exists(), failed
        left = [path.name for path in (tmp_path/f".out{ending}.parts").iterdir()]
        assert not any("partial" in name for name in left) and ("whole" not in "".join(left))
    assert sum(name.startswith("seal") for name in left) == 8
    assert label(f"out{ending}", 0).stdout == "(4000, 0)\n"
    assert (tmp_path/f"out{ending}").read_bytes() == (tmp_path/f"whole{ending}").read_bytes() and not list(tmp_path.glob(".*"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from emotion_nbdev.app.ladder import make_classifier
    from emotion_nbdev.production.artefacts import save
    folder = tmp_path_factory.mktemp("saved")/"model"
    save(make_classifier("tfidf").fit([text for texts in ROWS.values() for text in texts], np.repeat(list(ROWS), 3)), folder)
    return folder


def test_streams_that_are_closed_full_or_narrow(tmp_path, model):
    (tmp_path/"in.csv").write_text("text\ncafé late again\n")
    def shell(line, **environment): return subprocess.run(["sh", "-c", f"'{COMMAND}' predict --model '{model}' --input in.csv {line}"], cwd=tmp_path, capture_output=True, text=True, env=os.environ | environment)
    closed = shell(">&-")
    assert closed.returncode == 2 and closed.stderr == "Error: stdout is closed. Open it, or give --output.\n", closed.stderr
    for unbuffered in ("", "1"):  # as users have it, and as containers often do
        full = shell("> /dev/full", PYTHONUNBUFFERED=unbuffered)
        assert full.returncode == 1 and full.stderr.count("\n") == 1 and "No space left" in full.stderr, full.stderr
        for line in ("--version", "--help", "predict --help", "cache"):
            full = subprocess.run(f"'{COMMAND}' {line} > /dev/full", shell=True, capture_output=True, text=True, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
            assert full.returncode == 1 and full.stderr.count("\n") == 1 and "No space left" in full.stderr, full.stderr
    narrow = shell("", PYTHONIOENCODING="ascii")
    assert narrow.returncode == 0 and "caf\\xe9 late again" in narrow.stdout and "the answers go out as ascii" in narrow.stderr, narrow.stderr
    assert "go out as" not in shell("", PYTHONIOENCODING="utf-8").stderr


def test_rows_set_aside_are_exit_code_1(tmp_path, model):
    (tmp_path/"in.jsonl").write_text('{"text": "late again"}\n' + BAD["bottomless"] + "\n")
    for ending in (".csv", ".parquet"):
        done = call("predict", "--model", model, "--input", "in.jsonl", "--output", f"out{ending[1:]}{ending}", cwd=tmp_path)
        assert done.returncode == 1 and "1 record could not be labelled" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_sample_of_the_torture(tmp_path):
    from torture import Place, torture
    right, wrong = torture(Place(tmp_path, records=4_000), seed=8, turns=2, kinds=["labelling", "two_at_once"])
    assert right == {"labelling": 1, "two_at_once": 1} and not wrong, wrong
