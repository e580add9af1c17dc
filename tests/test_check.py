"`emotion-nbdev check`: what is wrong with the data, before anybody trains on them."
import json

import numpy as np
import pandas as pd
import pytest

from conftest import call
from emotion_nbdev.beyond.check import check_tables, near_duplicates, word_runs
from emotion_nbdev.tokenization import load_tokenizer


def kinds(tables, limit=512):
    "(kind, severity, split, rows) of each finding that is no note"
    frames = {split: pd.DataFrame(rows, columns=["text", "label"]) for split, rows in tables.items()}
    return [(finding.kind, finding.severity, finding.split, finding.rows) for finding in check_tables(frames, load_tokenizer(), limit) if finding.severity != "note"]


GOOD = [(f"{word}, this is message {number} about {topic} #{topic}", label) for number in range(10) for word, topic, label in (("Great", f"cake{number}", "joy"), ("Never again", f"bus{number}", "anger"))]


def test_good_data_has_no_findings():
    assert kinds({"train": GOOD, "validation": [("Something quite different @you", "joy"), ("Nothing of the kind, 7 times, on a long and rainy afternoon in the middle of the week 🙂", "anger")]}) == []


@pytest.mark.parametrize("row, kind, severity", [((None, "joy"), "missing-text", "error"), (("  ", "joy"), "missing-text", "error"), (("NaN", "joy"), "null-like-text", "warning"),
                                                 (("some text here", None), "missing-label", "error"), (("some text here", " "), "missing-label", "error"), (("some text here", "Joy"), "label-spelling", "error")])
def test_values(row, kind, severity):
    found = [finding for finding in kinds({"train": [*GOOD, row]}) if finding[0] == kind]
    assert found and found[0][1] == severity and 21 in found[0][3]


def test_repeats_conflicts_and_leaks():
    text = GOOD[0][0].upper()
    assert ("conflicting-duplicate", "error", "train", (1, 21)) in kinds({"train": [*GOOD, (text, "anger")]})
    assert ("duplicate", "warning", "train", (1, 21)) in kinds({"train": [*GOOD, (text, "joy")]})
    assert ("leakage", "error", "validation", (2,)) in kinds({"train": GOOD, "validation": [("Entirely new words here", "anger"), (text, "joy")]})


def test_near_duplicates_block_by_block_are_those_of_every_pair(monkeypatch):
    rng = np.random.default_rng(0)
    often = "this is said by all of them"
    texts = [f"{often} {' '.join(rng.choice(list('abcd'), 7))}" if number % 2 else " ".join(rng.choice(list("ab"), 9)) for number in range(230)]
    def runs(text): return set(zip(*(text.split()[start:] for start in range(3))))
    known = [runs(text) for text in texts]
    rare = {run for run in set.union(*known) if sum(run in one for one in known) <= 100}
    close = [(one, other) for one in range(230) for other in range(one + 1, 230) if known[one] & known[other] & rare
             and len(known[one] & known[other]) / len(known[one] | known[other]) >= .6 and texts[one] != texts[other]]
    for block in (7, 10_000):
        monkeypatch.setattr("emotion_nbdev.beyond.check.AT_ONCE", block)
        assert near_duplicates(texts, word_runs(texts)) == close
    assert 10 < len(close) < 3000


def test_near_duplicates_in_linear_time():
    texts = [" ".join(words) for words in np.random.default_rng(0).choice([f"word{number}" for number in range(5000)], (20_000, 12))]
    texts[7], texts[19_999] = "the parcel did not come on monday again and nobody wrote", "the parcel did not come on tuesday again and nobody wrote to me"
    assert near_duplicates(texts, word_runs(texts), .3) == [(7, 19_999)]


def test_classes_and_length():
    found = kinds({"train": [*GOOD, ("one of its kind here", "fear")], "test": [("love it", "love"), ("word " * 40, "joy")]}, limit=20)
    assert ("small-class", "warning", "train", ()) in found and ("unknown-label", "error", "test", (1,)) in found
    assert ("missing-class", "warning", "test", ()) in found and ("truncation", "warning", "test", (2,)) in found
    assert ("single-class", "error", "train", ()) in kinds({"train": [row for row in GOOD if row[1] == "joy"]})


@pytest.mark.parametrize("rows, kind", [([*GOOD, *(("Great " + " ".join(map(str, np.random.default_rng(number).integers(0, 10**6, 5))), "joy") for number in range(400))], "imbalance"),
                                        ([(text + " ⏣⏣⏣⏣ ⏣ ⏣ ⏣", label) for text, label in GOOD], "unknown-tokens")])
def test_imbalance_and_unknown_tokens(rows, kind):
    assert kind in [found[0] for found in kinds({"train": rows})] and kind not in [found[0] for found in kinds({"train": GOOD})]


@pytest.mark.parametrize("sign, text", [("capitals", "Great"), ("emoji", "great 🎉"), ("hashtags", "great #day"), ("mentions", "great @you"), ("digits", "great 7"), ("punctuation", "great!")])
def test_constant_features(sign, text):
    def absent(texts): return " ".join(finding.message for finding in check_tables({"train": pd.DataFrame({"text": texts, "label": "joy"})}, load_tokenizer(), 512) if finding.kind == "constant-feature")
    assert sign in absent(["great", "late"]) and sign not in absent(["great", text])


def test_command_line(tmp_path):
    clean = call("check", cwd=tmp_path)
    assert clean.returncode == 0 and "nothing found" in clean.stdout and "train: 2,880 rows" in clean.stdout, clean.stderr
    (tmp_path/"train.csv").write_text("text,label\nso late again,anger\nSo late AGAIN,joy\nwhat a day,joy\n")
    bad = call("check", "--train-file", "train.csv", "--json", cwd=tmp_path)
    told = json.loads(bad.stdout)
    assert bad.returncode == 1 and told["splits"]["train"]["rows"] == 3
    assert [(finding["split"], finding["rows"]) for finding in told["findings"] if finding["kind"] == "conflicting-duplicate"] == [("train", [1, 2])]
    assert all(set(finding) == {"kind", "severity", "split", "rows", "message", "cure"} for finding in told["findings"])
    human = call("check", "--train-file", "train.csv", cwd=tmp_path)
    assert human.returncode == 1 and "error: conflicting-duplicate, train: 2 rows share 1 text" in human.stdout and "(rows 1, 2)" in human.stdout
    missing = call("check", "--train-file", "train.csv", "--text-column", "message", cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (2, "") and "no column 'message'" in missing.stderr


def test_templates_that_are_too_frequent_for_pairs():
    rows = [(f"dear number {number} your parcel with the number is late and we are sorry for that", "joy") for number in range(150)]
    assert ("template", "warning", "train", tuple(range(21, 171))) in kinds({"train": [*GOOD, *rows]}) and not [found for found in kinds({"train": GOOD}) if found[0] == "template"]
