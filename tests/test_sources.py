"One reader: what goes into a file comes out of it, whatever the format, and no line is lost."
import csv, datetime, gzip, io, json, math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.dummy import DummyClassifier

from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.foundations.sources import physical_lines, read_table, records
from emotion_nbdev.production.batches import WRITERS, cell, label_file, safe_cell, to_json, write_table

DOUBT = DummyClassifier(strategy="prior").fit(["x", "y"], ["anger", "joy"])
SIGNS = 'ab,;\t|"\'\n\r \u2028\x85\x0b\x0c\x1c=+-@\\é🙂\u200d\x00#'
texts = st.text(st.sampled_from(SIGNS) | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
strings = st.text(st.sampled_from(SIGNS), max_size=8)
names = st.lists(st.text("abcxyz äß", min_size=1, max_size=6).filter(lambda name: name == name.strip() and name not in ("text", "label", "score")), max_size=3, unique=True)
values = {"json": st.none() | st.booleans() | st.integers(-2**40, 2**40) | st.floats(allow_nan=False, allow_infinity=False) | strings | st.lists(strings, max_size=3),
          "text": strings}
TYPES = {pa.int8(): st.integers(-128, 127), pa.uint64(): st.integers(0, 2**64 - 1), pa.float32(): st.floats(width=32, allow_nan=False), pa.decimal128(12, 3): st.decimals("-99999999", "99999999", places=3),
         pa.timestamp("ms"): st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1)).map(lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)),
         pa.timestamp("ns", "UTC"): st.integers(-2**60, 2**60).map(lambda number: pa.scalar(number, pa.timestamp("ns", "UTC")).as_py()),
         pa.timestamp("s"): st.sampled_from([0, 2**40]).map(lambda number: pa.scalar(number, pa.timestamp("s"))), pa.time64("ns"): st.integers(0, 10**9).map(lambda number: pa.scalar(number, pa.time64("ns"))),
         pa.date32(): st.dates(), pa.bool_(): st.booleans(), pa.large_string(): strings, pa.binary(): st.binary(max_size=4), pa.list_(pa.int16()): st.lists(st.integers(-5, 5), max_size=3),
         pa.dictionary(pa.int8(), pa.string()): st.sampled_from(["low", "high"])}


@st.composite
def tables(draw, kind):
    "(columns, rows of dicts) of messages with further columns of that kind"
    extra = draw(names)
    rows = [{"text": text} | {name: draw(values[kind]) for name in extra} for text in draw(st.lists(texts, min_size=1, max_size=5))]
    return ["text", *extra], rows


def write_source(kind, columns, rows, folder):
    "A file as other programs write it"
    if kind in ("csv", "tsv", "csv.gz"):
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter="\t" if kind == "tsv" else ",", lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([row[name] for name in columns] for row in rows)
        content = text.getvalue().encode()
    elif kind == "json": content = json.dumps(rows).encode()
    else: content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    path = folder/f"in.{kind}"
    path.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    return path


def labelled(path, ending, folder):
    "The rows of a labelled file, without the answers"
    output = folder/f"out{ending}"
    for old in (output, folder/"out.rejected.jsonl"): old.unlink(missing_ok=True)
    _, rejected = label_file(DOUBT, path, output)
    assert rejected == 0
    table = read_table(output)
    assert table.columns.tolist()[-4:] == ["label", "score", "p_anger", "p_joy"] and set(table["label"]) == {"anger"}
    return table[table.columns[:-4]]


def in_csv(value): return "" if value is None else str(safe_cell(cell(value)))


def in_parquet(column):
    "A column of JSON values as Parquet holds it: of one type, or each value as JSON"
    kinds = {type(value) for value in column if value is not None}
    return column if len(kinds) < 2 else [None if value is None else to_json(value) for value in column]


def same(given, found):
    if isinstance(found, np.ndarray): found = found.tolist()
    return given == found or isinstance(given, float) and math.isclose(given, float(found))


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "jsonl", "json"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_goes_in_comes_out(kind, ending, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("table")
    columns, rows = data.draw(tables("json" if kind.startswith("json") else "text"))
    found = labelled(write_source(kind, columns, rows, folder), ending, folder)
    assert found.columns.tolist() == columns and len(found) == len(rows)
    for name in columns:
        given = [row[name] for row in rows]
        if ending in (".csv", ".tsv"): given = list(map(in_csv, given))
        elif ending == ".parquet" and {type(value) for value in given} - {type(None)} == {int, float}: given = list(map(float, [value or 0 for value in given]))
        elif ending == ".parquet": given = in_parquet(given)
        for one, other in zip(given, found[name]): assert same(one, other if not (isinstance(one, float) and other is None) else 0), (name, one, other)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_types_survive_from_parquet_to_parquet(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("typed")
    kinds = data.draw(st.lists(st.sampled_from(list(TYPES)), unique=True))
    count = data.draw(st.integers(1, 4))
    columns = {"text": pa.array([f"message {number}" for number in range(count)])}
    for number, kind in enumerate(kinds): columns[f"c{number}"] = pa.array(data.draw(st.lists(st.none() | TYPES[kind], min_size=count, max_size=count)), kind)
    table = pa.table(columns)
    pq.write_table(table, folder/"in.parquet")
    table = pq.read_table(folder/"in.parquet")  # Parquet has no seconds: timestamp[s] is timestamp[ms] there
    label_file(DOUBT, folder/"in.parquet", folder/"out.parquet")
    assert pq.read_table(folder/"out.parquet").select(table.column_names).equals(table)
    for ending in (".csv", ".jsonl"): assert label_file(DOUBT, folder/"in.parquet", folder/f"out{ending}") == (count, 0)


@pytest.mark.parametrize("ending", WRITERS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(table=tables("text"))
def test_written_and_read_again(ending, tmp_path_factory, table):
    import pandas as pd
    path, (columns, rows) = tmp_path_factory.mktemp("written")/f"table{ending}", table
    frame = pd.DataFrame([[row[name] for name in columns] for row in rows], columns=columns, dtype=object)
    write_table(frame, path, defuse=False)
    assert read_table(path).equals(frame)


lines = st.text(st.sampled_from('ab",\t; \u2028é'), max_size=12)

@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".jsonl"])
@settings(max_examples=80, deadline=None, derandomize=True)
@given(given=st.lists(lines, min_size=1, max_size=14), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_every_line_is_read_or_set_aside_with_its_text(ending, tmp_path_factory, given, end):
    path = tmp_path_factory.mktemp("lines")/f"any{ending}"
    header = {".csv": "id,text", ".tsv": "id\ttext"}.get(ending)
    path.write_bytes(end.join([*([header] if header else []), *given, ""]).encode())
    assert [line for _, line in physical_lines(path)] == [line + end for line in [*([header] if header else []), *given]]
    there = "".join(str(value) for _, record, _ in records(path) for value in (record.get("fields") or record.values()) if value is not None)
    for sign in "abé": assert there.count(sign) == sum(line.count(sign) for line in given if ending in (".csv", ".tsv") or line.strip()), (sign, there)


def bad_line(path): return pytest.raises(InputError, read_table, path).value.args[0].replace(f"{path}", "FILE")


STRAY = [f"{number},message {number},{('joy', 'anger', 'fear')[number % 3]}" for number in range(60)]


@pytest.mark.parametrize("place, text, line, what", [(4, '4,"best day,joy', 6, "never closed"), (30, '30,"lovely" he said,joy', 32, "behind a closing quotation mark")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stray_mark_names_its_line_and_costs_one(tmp_path, place, text, line, what, end):
    given = ["id,text,label", *STRAY]
    given[1 + place] = text
    (tmp_path/"in.csv").write_bytes((end.join(given) + end).encode())
    assert f"FILE, line {line}: " in bad_line(tmp_path/"in.csv") and what in bad_line(tmp_path/"in.csv")
    found = list(records(tmp_path/"in.csv"))
    assert len(found) == 60 and [(number, record) for number, record, reason in found if reason] == [(place + 1, {"line": text})]


@pytest.mark.parametrize("odd", ["", "60,\"with a comma, in marks\",joy\n"])
def test_a_mark_that_is_closed_lines_below(tmp_path, odd):
    given = ["id,text,label", *STRAY]
    given[5], given[15] = '4,"best day of the year,anger', '14,said nobody ever",fear'
    (tmp_path/"in.csv").write_text("\n".join(given) + "\n" + odd)
    assert "FILE, line 6: a quotation mark opens a field over lines that look like rows" in bad_line(tmp_path/"in.csv")
    found = list(records(tmp_path/"in.csv"))
    assert len(found) == 60 + bool(odd) and [record for _, record, reason in found if reason] == [{"line": given[5]}]


def test_fields_over_several_lines_are_read(tmp_path):
    letters = [["id", "text", "label"], *([str(number), f"Dear Sir,\n\nletter {number}, yours\r\n", "joy"] for number in range(30))]
    with open(tmp_path/"in.csv", "w", newline="") as file: csv.writer(file).writerows(letters)
    assert read_table(tmp_path/"in.csv")["text"].tolist() == [text for _, text, _ in letters[1:]]


def test_a_mark_that_is_never_closed_takes_no_more_memory_than_a_record_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr("emotion_nbdev.foundations.sources.LONGEST", 1000)
    (tmp_path/"in.csv").write_text('text,id\n"open,0\n' + "".join(f"message,{number}\n" for number in range(5000)))
    assert [number for number, _, reason in records(tmp_path/"in.csv") if reason] == [1]


def test_later_keys_are_kept_on_the_way_to_every_format(tmp_path):
    (tmp_path/"in.jsonl").write_text('{"text": "fine"}\n' * 3000 + '{"text": "late", "order": 7}\n{"text": "again", "order": "A8"}\n')
    for ending in WRITERS:
        assert label_file(DOUBT, tmp_path/"in.jsonl", tmp_path/f"out{ending}") == (3002, 0)
        found = read_table(tmp_path/f"out{ending}")
        assert [str(value).strip('"') for value in found["order"].tail(2)] == ["7", "A8"], ending


@pytest.mark.parametrize("line, reason", [('{"text": "a", "text": "b"}', "the key 'text' occurs twice"), ('{"text": "cut \\ud83d"}', "text holds half of a character"), ("[" * 5000, ""), ('{"text": ' + "9" * 5000 + "}", "")])
def test_json_that_says_too_much(tmp_path, line, reason):
    (tmp_path/"in.jsonl").write_text('{"text": "fine"}\n' + line + "\n")
    (_, _, good), (_, record, bad) = records(tmp_path/"in.jsonl")
    assert good == "" and bad and reason in bad and record


def test_damaged_packages(tmp_path):
    (tmp_path/"a.csv.gz").write_bytes(b"text,label\n")
    (tmp_path/"b.csv.gz").write_bytes(gzip.compress(b"text,label\n" * 1000)[:-9])
    for name in ("a.csv.gz", "b.csv.gz"): assert "no readable gzip file" in bad_line(tmp_path/name)
