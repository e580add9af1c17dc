"What a model promises travels with it: one temperature in its weights, a threshold, sets of classes."
import json
from dataclasses import replace

import numpy as np
import pytest

from emotion_nbdev.app.ladder import make_classifier
from emotion_nbdev.evaluation import Answers, answers, losses
from emotion_nbdev.production.artefacts import load, save
from emotion_nbdev.production.calibration import Temperature
from emotion_nbdev.production.trust import calibrate, make_trust, set_limits

WORDS = {"anger": ["charged me twice", "hung up on me", "another lie"], "joy": ["we won", "first salary", "the cast is off"], "sadness": ["so quiet here", "nobody came", "we sold it"]}
ROWS = [(f"{word} again and again {number}", label) for number in range(8) for label, words in WORDS.items() for word in words]
HELD = [(f"{word} and so on {number}", label if number % 3 else "joy") for number in range(6) for label, words in WORDS.items() for word in words]  # a third is called joy, so nobody can be sure


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for name, rows in (("train", ROWS), ("validation", HELD), ("test", [(f"{text} once more", label) for text, label in HELD])):
        (folder/f"{name}.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return ["--train-file", folder/"train.csv", "--validation-file", folder/"validation.csv"], folder/"test.csv"


def given(classifier, rows=HELD):
    import pandas as pd
    return answers("x", classifier, "validation", pd.DataFrame(rows, columns=["text", "label"]))


@pytest.mark.parametrize("approach", ("majority", "tfidf", "features", "fine-tuned"))
def test_every_way_to_an_answer_has_the_temperature(approach, tiny_checkpoint, tmp_path):
    classifier = make_classifier(approach, tiny_checkpoint, list(WORDS), seed=0)
    if approach == "fine-tuned": classifier.set_params(epochs=8, learning_rate=5e-3)
    texts, labels = zip(*ROWS)
    classifier.fit(list(texts), np.array(labels))
    before = given(classifier)
    trust, after = make_trust(classifier, before, .6)
    asked = [text for text, _ in HELD]
    assert np.allclose(classifier.predict_proba(asked), after.probabilities, atol=1e-6)
    assert np.allclose(Temperature(trust.temperature)(before).probabilities, after.probabilities, atol=1e-9)
    if approach == "majority": assert trust.temperature == 1
    else: assert abs(trust.temperature - 1) > .05 and losses(after).mean() < losses(before).mean()
    save(classifier, tmp_path/"model", trust=trust)
    loaded = load(tmp_path/"model")
    assert loaded.trust_ == trust
    columns = [list(loaded.classes_).index(name) for name in classifier.classes_]
    assert np.allclose(loaded.predict_proba(asked)[:, columns], after.probabilities, atol=1e-6)
    if approach != "fine-tuned": return
    from transformers import pipeline
    top = pipeline("text-classification", model=str(tmp_path/"model"), device="cpu", top_k=None)(asked)
    said = [[{entry["label"]: entry["score"] for entry in row}[name] for name in classifier.classes_] for row in top]
    assert np.allclose(said, after.probabilities, atol=1e-6)
    from emotion_nbdev.production.graphs import export_onnx
    export_onnx(tmp_path/"model", *map(list, zip(*HELD)))
    for dtype, closeness in (("float32", 1e-6), ("auto", .02)):  # bfloat16 where it is native
        graph = load(tmp_path/"model", dtype=dtype)
        assert type(graph).__name__ == "OnnxClassifier" and graph.trust_ == trust
        assert np.allclose(graph.predict_proba(asked), after.probabilities, atol=closeness)


def test_validation_alone_decides_and_test_is_asked_once(files, command):
    given, test = files
    for name, more in (("without", []), ("with", ["--test-file", test])):
        done = command("train", "--approach", "tfidf", *given, *more, "--precision", ".5", "--output-dir", name)
        assert done.exit_code == 0, done.stderr
    first, second = (json.loads(open(f"{name}/trust.json").read()) for name in ("without", "with"))
    assert first.pop("tested") is None and second.pop("tested")["split"] == "test" and first == second
    assert "of the messages of validation; promised 0.50, on test 0." in open("with/README.md").read()
    assert "again" not in open("with/trust.json").read()  # numbers, no words
    assert not json.loads(open("without/trust.json").read())["threshold"] is None
    assert command("train", "--approach", "tfidf", *given, "--precision", ".99", "--output-dir", "strict").exit_code == 0
    refused = command("predict", "--model", "strict", "we won", "--abstain")
    assert refused.exit_code == 2 and "no threshold promises 99%" in refused.stderr and "Give a probability with --at-least." in refused.stderr
    assert command("predict", "--model", "strict", "we won", "--at-least", ".2").exit_code == 0


def test_doubtful_rows_of_a_file(files, command):
    given, test = files
    assert command("train", "--approach", "tfidf", *given, "--output-dir", "model").exit_code == 0
    for ending in ("csv", "jsonl", "parquet"):
        done = command("predict", "--model", "model", "--input", test, "--at-least", ".95", "--sets", ".9", "--output", f"out.{ending}")
        assert done.exit_code == 0, done.stderr
        from emotion_nbdev.foundations.sources import read_table
        table = read_table(f"out.{ending}")
        answered = table["answered"].map(str) == "True"
        assert (answered == (table["score"].astype(float) >= .95)).all() and 0 < answered.sum() < len(table)
        assert f"{(~answered).sum()} of {len(table)} messages are left to a person" in done.stderr
        sets = [json.loads(some) if ending == "csv" else list(some) for some in table["labels"]]
        assert all(some[0] == label for some, label in zip(sets, table["label"])) and max(map(len, sets)) > 1
    for limit, said in ((0, "yes"), (1, "ask a person")):
        shown = command("predict", "--model", "model", "hm", "--at-least", limit, "--sets", ".99", "--explain").stdout
        assert said in shown and " or " in shown and "label without it" in shown


def test_an_interrupted_labelling_does_not_go_on_with_another_threshold(files, command, monkeypatch):
    given, test = files
    assert command("train", "--approach", "tfidf", *given, "--output-dir", "model").exit_code == 0
    from emotion_nbdev.production import batches
    finish = batches._finish
    monkeypatch.setattr(batches, "_finish", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        raise command("predict", "--model", "model", "--input", test, "--at-least", ".5", "--output", "out.csv").exception
    monkeypatch.setattr(batches, "_finish", finish)
    other = command("predict", "--model", "model", "--input", test, "--at-least", ".9", "--output", "out.csv")
    assert other.exit_code == 2 and "parts of another labelling" in other.stderr
    same = command("predict", "--model", "model", "--input", test, "--at-least", ".5", "--output", "out.csv")
    assert same.exit_code == 0 and "messages are left to a person" in same.stderr


def test_sets_hold_the_truth_as_often_as_was_asked():
    rng = np.random.default_rng(0)
    def drawn(n):
        probabilities = rng.dirichlet([.5] * 5, n)
        labels = np.array([rng.choice(5, p=row ** .5 / (row ** .5).sum()) for row in probabilities]).astype(str)  # too sure
        return Answers("x", "validation", [str(number) for number in range(n)], labels, probabilities, list("01234"))
    held = {coverage: [] for coverage in ("0.8", "0.9", "0.95")}
    for _ in range(60):
        limits, new = set_limits(drawn(200)), drawn(400)
        true = new.probabilities[np.arange(400), new.labels.astype(int)]
        for coverage, inside in held.items():
            inside.append((true >= limits[coverage]).mean())
    for coverage, inside in held.items():
        assert abs(np.mean(inside) - float(coverage)) < .015, (coverage, np.mean(inside))


def test_a_classifier_that_cannot_carry_a_temperature_stays_as_it_is():
    class Odd:
        classes_ = np.array(["joy", "sadness", "anger"])
        def predict_proba(self, texts): return np.tile([.98, .01, .01], (len(texts), 1))
    odd = Odd()
    assert calibrate(odd, given(odd))[0] == 1
    assert odd.predict_proba(["x"])[0, 0] == .98


def test_the_page_of_a_model_takes_its_threshold(tmp_path, tiny_checkpoint):
    from emotion_nbdev.production.graphs import export_onnx
    from emotion_nbdev.production.page import write_page
    classifier = make_classifier("fine-tuned", tiny_checkpoint, list(WORDS)).set_params(epochs=1)
    texts, labels = zip(*ROWS)
    classifier.fit(list(texts), np.array(labels))
    trust, _ = make_trust(classifier, given(classifier))
    save(classifier, tmp_path/"model", trust=replace(trust, threshold=.42))
    export_onnx(tmp_path/"model", *map(list, zip(*HELD)))
    write_page(tmp_path/"model", tmp_path/"page")
    write_page(tmp_path/"model", tmp_path/"other", threshold=.7)
    assert [json.loads((tmp_path/name/"page.json").read_text())["threshold"] for name in ("page", "other")] == [.42, .7]


def test_drift_is_told_from_what_the_model_remembers(files, command, tiny_checkpoint):
    given, test = files
    for approach, more in (("tfidf", []), ("features", ["--model", tiny_checkpoint])):
        assert command("train", "--approach", approach, *given, *more, "--output-dir", approach).exit_code == 0
        alike = command("drift", "--model", approach, "--input", given[3])
        assert alike.exit_code == 0 and "no difference found in 54 messages" in alike.stdout, alike.output
        open("odd.txt", "w").write("".join(f"Ärger {number} über 訂單 und mehr, viel mehr als sonst\n" for number in range(40)))
        other = command("drift", "--model", approach, "--input", "odd.txt", "--json")
        told = json.loads(other.stdout)
        assert other.exit_code == 1 and told["differs"] and told["p_value"] < .01 and told["signals"]["unknown"]["new"] > told["signals"]["unknown"]["remembered"]
        kept = open(f"{approach}/reference.json").read()
        assert not any(word in kept for words in WORDS.values() for word in words) and json.loads(kept)["n"] == len(HELD)
        assert "reference" not in open(f"{approach}/README.md").read()
    few = command("drift", "--model", "tfidf", "--input", "odd.txt", "--columns", "a")
    assert few.exit_code == 2
    open("few.txt", "w").write("one\n")
    assert "Give 30 or more." in command("drift", "--model", "tfidf", "--input", "few.txt").stderr


def test_another_seed_draws_other_messages_and_other_halves(files, command):
    import pandas as pd
    from emotion_nbdev.production.drift import compare_messages, told_apart
    rng = np.random.default_rng(0)
    old, new = (pd.DataFrame({"words": rng.integers(1, 30, 60) + shift, "unknown": rng.random(60), "cut": 0., "score": rng.random(60), "p_a": rng.random(60)}) for shift in (0, 3))
    assert told_apart(old, new) == told_apart(old, new) != told_apart(old, new, seed=1)
    assert command("train", "--approach", "tfidf", *files[0], "--output-dir", "model").exit_code == 0
    texts = [f"{text} {number}" for number in range(30) for text, _ in HELD]
    assert compare_messages("model", texts).table.equals(compare_messages("model", texts).table)
    assert not compare_messages("model", texts).table.equals(compare_messages("model", texts, seed=1).table)
