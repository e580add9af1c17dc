"Saved models, their promises, the endpoint and the Hub: what was wrong, or lost, without a word once."
import json, os, shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROWS
from emotion_nbdev.app.ladder import make_classifier
from emotion_nbdev.classifiers import TfidfClassifier
from emotion_nbdev.evaluation import answers
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.production.artefacts import inspect_model, load, save

TEXTS = [f"{text} on day {number}" for number in range(20) for texts in ROWS.values() for text in texts]
LABELS = [label for number in range(20) for label, texts in ROWS.items() for _ in texts]
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS})


def saved(folder, approach="tfidf", **options):
    "A quick model in a folder, and itself"
    classifier = make_classifier(approach, None).fit(TEXTS, np.array(LABELS))
    save(classifier, folder, **options)
    return classifier


@pytest.fixture(scope="module")
def tuned(tiny_checkpoint, tmp_path_factory):
    "A fine-tuned model in a folder, to be copied"
    folder = tmp_path_factory.mktemp("tuned")/"model"
    classifier = make_classifier("fine-tuned", tiny_checkpoint, list(ROWS)).set_params(epochs=1)
    save(classifier.fit(TEXTS[:36], np.array(LABELS[:36])), folder)
    return folder


@pytest.mark.parametrize("approach", ("majority", "tfidf"))
def test_a_model_finds_no_drift_in_its_own_messages(approach, tmp_path):
    from emotion_nbdev.production.drift import compare_messages, remember
    classifier = saved(tmp_path/"model", approach)
    remember(tmp_path/"model", answers("x", classifier, "validation", FRAME))
    same = compare_messages(tmp_path/"model", TEXTS)
    assert same.p_value > .1 and np.allclose(same.table["remembered"], same.table["new"])


def test_what_a_model_promises_goes_with_it():
    from emotion_nbdev.production.push import is_of_a_model
    assert all(map(is_of_a_model, ("trust.json", "reference.json", "confusion_matrix.png")))


class Dies:
    "A classifier that is killed in its second part"
    def __init__(self, classifier): self.classifier, self.classes_, self.left = classifier, classifier.classes_, 1

    def predict_proba(self, texts):
        if not self.left: raise KeyboardInterrupt
        self.left -= 1
        return self.classifier.predict_proba(texts)


def test_a_labelling_of_a_folder_notices_changes_inside(tmp_path, monkeypatch):
    from emotion_nbdev.production.batches import label_file
    monkeypatch.setattr("emotion_nbdev.production.batches.RECORDS_PER_PART", 3)
    classifier = saved(tmp_path/"model")
    for label, texts in ROWS.items():
        (tmp_path/"rows"/label).mkdir(parents=True)
        for number, text in enumerate(texts): (tmp_path/"rows"/label/f"{number}.txt").write_text(text)
    for output in ("a.csv", "rows/b.csv"):
        with pytest.raises(KeyboardInterrupt): label_file(Dies(classifier), tmp_path/"rows", tmp_path/output)
    assert label_file(classifier, tmp_path/"rows", tmp_path/"rows"/"b.csv") == (9, 0)
    (tmp_path/"rows"/"anger"/"0.txt").write_text("another word")
    with pytest.raises(InputError, match="another labelling"): label_file(classifier, tmp_path/"rows", tmp_path/"a.csv")


def test_a_labelling_goes_on_with_the_engine_that_began_it(tuned, tmp_path, command, monkeypatch):
    from emotion_nbdev.production.artefacts import model_digest
    from emotion_nbdev.production.graphs import export_onnx
    shutil.copytree(tuned, tmp_path/"model")
    before = model_digest(tmp_path/"model")
    FRAME.to_csv("new.csv", index=False)
    monkeypatch.setattr("emotion_nbdev.production.batches.RECORDS_PER_PART", 100)
    arguments = "predict", "--model", "model", "--input", "new.csv", "--output", "out.csv"
    monkeypatch.setattr("emotion_nbdev.production.artefacts.load", lambda *given: with_trust(Dies(load(*given))))
    def with_trust(classifier):
        classifier.trust_ = None
        return classifier
    assert command(*arguments).exit_code
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("emotion_nbdev.production.batches.RECORDS_PER_PART", 100)
    export_onnx("model", TEXTS, LABELS)
    assert model_digest("model") != before
    assert "another labelling" in command(*arguments).stderr


def test_all_that_is_not_known_to_be_data_is_named(tmp_path, command):
    saved(tmp_path/"model")
    (tmp_path/"model"/"README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path/"model"/"LICENSE").write_text("x")
    shutil.copy(tmp_path/"model"/"training.json", tmp_path/"model"/"notes.csv.gz")
    assert command("inspect", "model").stdout.splitlines()[-1] == "nothing in it could execute"
    pickles = {"weights.PKL", "model.PT", "w.npy", "w.pkl.gz", "m.keras"}
    programs = {"evil.PY", "run.exe", "evil.pyc", "e.pyd", "r.bat", "r.ps1", "l.dylib", "h.js", "a.jar", "Makefile", "sub/start"}
    (tmp_path/"model"/"sub").mkdir()
    (tmp_path/"model"/".git").mkdir()
    for name in (*pickles, *programs, "read.txt", "marked.txt", ".git/HEAD"): (tmp_path/"model"/name).write_text("x")
    (tmp_path/"model"/"read.txt").write_text("#!/bin/sh")
    (tmp_path/"model"/"marked.txt").chmod(0o755)
    found = dict(inspect_model(tmp_path/"model").ignored)
    assert set(found) == pickles | programs | {"read.txt", "marked.txt", ".git"}
    assert all("pickle" in found[name] for name in pickles)
    assert command("inspect", "model").stdout.splitlines()[-1].startswith("loading it here executes nothing")


def test_a_push_knows_the_same_files(tmp_path):
    from emotion_nbdev.production.push import plan_push
    saved(tmp_path/"model")
    (tmp_path/"model"/"README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path/"model"/"handler.PY").write_text("x")
    assert "could execute something: handler.PY" in str(plan_push(tmp_path/"model", "casey/moods"))
    (tmp_path/"model"/"w.PKL.gz").write_text("x")
    with pytest.raises(InputError, match="pickled code"): plan_push(tmp_path/"model", "casey/moods")


def test_a_graph_is_examined_on_enough(tuned, tmp_path):
    from emotion_nbdev.production.graphs import Agreement, export_onnx, Refused
    shutil.copytree(tuned, tmp_path/"model")
    with pytest.raises(Refused, match="this examination has 5, and it has none of joy, sadness"): export_onnx(tmp_path/"model", TEXTS[:1] * 5, LABELS[:1] * 5, int8=True)
    assert not (tmp_path/"model"/"model.onnx").exists()
    assert Agreement(360, 357 / 360, "joy", .02, .1).accepted(int8=True) and not Agreement(99, 1., "joy", 0., 0.).accepted(int8=True)
    assert Agreement(5, 1., "joy", 0., 0.).accepted()
    for texts, labels in (([], []), (TEXTS, LABELS[:3])):
        with pytest.raises(InputError, match="are no examination"): export_onnx(tmp_path/"model", texts, labels)


@pytest.fixture
def hub(waits, tmp_path):
    "A Hub for the client of this process, with the token of somebody who may write"
    from hub_server import HubServer
    with HubServer() as server: yield server.attach(tmp_path/"cache")


@pytest.mark.parametrize("code", ["load(model)", 'pipeline("text-classification", model=model)'])
def test_a_card_is_as_it_was_after_a_failed_push_and_loads_the_branch_that_was_pushed(code, hub, tmp_path, command):
    from hub_server import Fault
    saved(tmp_path/"model")
    card = tmp_path/"model"/"README.md"
    card.write_text(f'---\nlicense: mit\n---\n```python\nmodel = "model"\nclassifier = {code}\n```\n')
    before = card.read_bytes()
    hub.faults = [Fault("commit", 403)]
    failed = command("push", "model", "casey/moods", "--yes")
    assert failed.exit_code == 1 and "the folder is as it was" in failed.stderr and card.read_bytes() == before
    hub.faults = []
    for revision in ("v2", "v3"): assert command("push", "model", "casey/moods", "--yes", "--revision", revision).exit_code == 0
    assert f'model = "casey/moods"\nclassifier = {code[:-1]}, revision="v3")\n' in card.read_text()
    assert command("push", "model", "casey/moods", "--yes").exit_code == 0
    assert f'model = "casey/moods"\nclassifier = {code}\n' in card.read_text()


def test_a_promise_holds_for_the_threshold_that_is_written_down():
    from emotion_nbdev.evaluation import Answers, wilson_interval
    from emotion_nbdev.production.trust import make_trust
    class Silent:
        classes_ = np.array(["a", "b"])
    sure = np.concatenate([np.full(40, .90008), np.full(30, .90003), np.linspace(.6, .9, 30)])  # the second are wrong
    right = np.repeat(["a", "b"], [40, 60])
    trust, scaled = make_trust(Silent(), Answers("x", "validation", [str(number) for number in range(100)], right, np.stack([sure, 1 - sure], 1), ["a", "b"]), .75)
    assert trust.threshold is None or wilson_interval(trust.right, trust.answered)[0] >= .75
    better = np.concatenate([np.full(40, .9502), np.full(30, .90003), np.linspace(.6, .9, 30)])
    trust, _ = make_trust(Silent(), Answers("x", "validation", [str(number) for number in range(100)], right, np.stack([better, 1 - better], 1), ["a", "b"]), .75)
    assert (trust.threshold, trust.answered, trust.right) == (.9502, 40, 40)


def test_figures_of_a_promise_are_not_rounded_to_false_ones():
    from emotion_nbdev.app.report import no_promise
    from emotion_nbdev.production.calibration import Abstention
    from emotion_nbdev.production.page import about
    from emotion_nbdev.production.trust import Trust
    none = Trust(1., .999, None, "validation", 360, 0, 0, {})
    assert "promises 99.9% right answers" in str(none) and "right on 99.9% of" in no_promise(360, .999) and no_promise(360, 1.)
    some = Trust(1., .555, .9968, "validation", 3600, 3599, 3599, {}, dict(split="test", n=3600, answered=3599, right=3598))
    assert str(some).startswith("at 0.9968 or more it answers over 99% of the messages of validation; promised 0.555, on test over 0.999 [")
    assert str(Abstention(.99999, "test", 1000, 1, 1)).startswith("at 0.9999 or more: 1 of 1,000 messages of test answered (under 1%), 100.0% of them")
    for threshold, shown in ((.9968, "99.68 %"), (.004, "0.4 %"), (.62, "62 %")): assert f"is below {shown} it" in about({}, [], ["a"], None, threshold)


def test_a_card_says_calibrated_only_where_that_was_done(tmp_path, command, csv_file):
    csv_file("train.csv", {label: [f"{text} {number}" for number in range(9) for text in texts] for label, texts in ROWS.items()})
    for approach, said in (("majority", "No temperature could be put into its weights"), ("tfidf", "Its probabilities were calibrated on validation.")):
        assert command("train", "--approach", approach, "--train-file", "train.csv", "--output-dir", approach).exit_code == 0
        assert said in (tmp_path/approach/"README.md").read_text()


@pytest.fixture
def client(tmp_path):
    "What asks the endpoint of a quick model"
    from starlette.testclient import TestClient
    from emotion_nbdev.production.endpoint import make_app, ServedModel
    saved(tmp_path/"model")
    with TestClient(make_app(ServedModel(tmp_path/"model"))) as client: yield client


def test_a_served_folder_has_its_own_name(tmp_path, monkeypatch):
    from emotion_nbdev.production.endpoint import ServedModel
    saved(tmp_path/"run"/"model")
    monkeypatch.chdir(tmp_path/"run"/"model")
    for model, folder in ((".", "."), ("model/", ".."), ("run/model/", ".."), ("run/model", "."), ("./run/../run/model", ".")):
        monkeypatch.chdir(folder)
        assert ServedModel(model).name == "model"


def test_a_request_without_its_kind_is_told_so(client):
    said = client.post("/predict", content=b'{"inputs": "we won"}')
    assert said.status_code == 422 and "Content-Type: application/json" in said.json()["error"]
    assert client.post("/predict", json=["we won"]).json()["error"].startswith("body: ")


def test_nothing_of_a_request_is_ignored(client):
    twice = client.post("/predict", content='{"inputs": "hello you", "inputs": "sad"}', headers={"Content-Type": "application/json"})
    assert twice.status_code == 422 and "'inputs' occurs twice" in twice.json()["error"]
    asked = client.post("/predict?truncate=false", json={"inputs": "hello you"})
    assert asked.status_code == 422 and "no parameters in its address" in asked.json()["error"]
    assert client.post("/predict", json={"inputs": "hello you"}).status_code == 200 == client.get("/health?now=1").status_code
    assert client.post("/predict", content="{", headers={"Content-Type": "application/json"}).status_code == 422


WRONG = {"trust.json": ['{"temperature": 1, "precision": 0.9, "threshold": 0.5, "split": "validation", "n": 9, "answered": 1, "right": 1, "sets": []}', "[]", "null", '{"temperature": 1, "precision": 0.9, "threshold": 0.5, "split": "validation", "n": 9, "answered": 1, "right": 1, "sets": {}, "tested": [1]}'],
         "metrics.json": ["[1]", "null", "{}", '[{"approach": "fine-tuned"}]', '[{"approach": "tfidf", "split": "test", "n": "9"}]', '[{"approach": "a", "split": "test", "accuracy_interval": 7}]', "[" * 2000],
         "message_digests.json": ["{", "[]", "null", '{"train": 1}'],
         "training.json": ['{"format": 2, "data": [1]}', '{"format": 2, "data": {"rows": {"train": "x"}}}', "[" * 2000]}


@pytest.mark.parametrize("name", WRONG)
def test_json_of_another_shape_is_a_line(name, tmp_path, command):
    from emotion_nbdev.production.artefacts import overlap, read_record
    from emotion_nbdev.production.page import read_ledger
    from emotion_nbdev.production.trust import read_trust
    saved(tmp_path/"model")
    read = {"trust.json": read_trust, "metrics.json": read_ledger, "training.json": read_record, "message_digests.json": lambda folder, name: overlap(folder, ["a"])}[name]
    for content in WRONG[name]:
        (tmp_path/"model"/name).write_text(content)
        with pytest.raises(InputError, match="is damaged|is no record") as caught: read(tmp_path/"model", "model")
        assert "\n" not in str(caught.value)
    if name == "training.json":
        (tmp_path/"model"/name).write_text('{"format": 2}')
        assert "fine-tuned, format 2" in command("inspect", "model").stdout


def test_drift_says_how_many_it_looked_at_and_what_it_left_out(tmp_path, command, monkeypatch):
    from emotion_nbdev.production.drift import compare_messages, remember
    classifier = saved(tmp_path/"model")
    remember(tmp_path/"model", answers("x", classifier, "validation", FRAME))
    assert "180 messages: a" in str(compare_messages(tmp_path/"model", TEXTS))
    monkeypatch.setattr("emotion_nbdev.production.drift.REMEMBERED", 50)
    found = compare_messages(tmp_path/"model", TEXTS)
    assert (found.n, found.drawn_from) == (50, 180) and "in 50 messages drawn from 180: a" in str(found)
    (tmp_path/"new.csv").write_text("number,text\n" + "".join(f"1,{text}\n" for text in TEXTS) + "2\n3\n")
    said = command("drift", "--model", "model", "--input", "new.csv").stderr
    assert "2 rows left out, the first in row 181: " in said and "no text to compare" not in said


def test_a_plan_says_that_the_card_shows_messages(command, csv_file):
    from emotion_nbdev.production.push import plan_push
    csv_file("train.csv", {label: [f"{text} {number}" for number in range(9) for text in texts] for label, texts in ROWS.items()})
    for number in (0, 3):
        assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--card-examples", number, "--output-dir", f"with-{number}").exit_code == 0
        assert ("shows messages of the training to all readers: README.md" in str(plan_push(f"with-{number}", "casey/moods"))) == (number > 0)


def test_a_graph_in_the_cache_is_no_hindrance(tiny_checkpoint, tmp_path, monkeypatch):
    from emotion_nbdev.production.graph_features import OnnxFeatureExtractor
    def vectors(): return OnnxFeatureExtractor(tiny_checkpoint, dtype="float32", engine="onnxruntime").fit().transform(TEXTS[:3])
    monkeypatch.setenv("EMOTION_CACHE", str(tmp_path/"cache"))
    expected = vectors()
    graph, = (tmp_path/"cache").glob("*.onnx")
    whole = graph.read_bytes()
    for content in (b"", whole[:len(whole) // 2]):
        graph.write_bytes(content)
        for file in (tmp_path/"cache").glob("features*"): file.unlink()
        assert np.allclose(vectors(), expected) and len(graph.read_bytes()) == len(whole)
    (tmp_path/"file").write_text("x")
    monkeypatch.setenv("EMOTION_CACHE", str(tmp_path/"file"/"cache"))
    assert np.allclose(vectors(), expected)


def test_numbers_of_numpy_are_saved(tmp_path):
    for number, settings in enumerate((dict(min_df=np.int64(1)), dict(C=np.float32(1)), dict(ngram_range=np.array([1, 2])))):
        classifier = TfidfClassifier().set_params(**settings)
        if "ngram_range" in settings: classifier.set_params(ngram_range=tuple(settings["ngram_range"]))
        save(classifier.fit(TEXTS, LABELS), tmp_path/str(number))
        assert np.allclose(load(tmp_path/str(number)).predict_proba(TEXTS[:3]), classifier.predict_proba(TEXTS[:3]))


def test_what_makes_no_sense_is_refused_at_once(tmp_path, command, csv_file):
    from emotion_nbdev.production.calibration import least_answers, Temperature
    from emotion_nbdev.production.page import write_page
    from emotion_nbdev.production.trust import careful
    with pytest.raises(InputError, match="more than 20 words"): TfidfClassifier(ngram_range=(1, 21)).fit(TEXTS, LABELS)
    classifier = saved(tmp_path/"model")
    with pytest.raises(InputError, match="two thresholds"): careful(classifier, "model", abstain=True, at_least=.999)
    for value in (-1, 0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="Give a number above 0"): Temperature(value)
    with pytest.raises(InputError, match="below 1"): least_answers(1)
    with pytest.raises(InputError, match="title of a page is blank"): write_page(tmp_path/"model", tmp_path/"page", title="   ")
    csv_file("train.csv")
    done = command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "new/..")
    assert done.exit_code == 2 and "exists already" in done.stderr and "training" not in done.stderr and not (tmp_path/"new").exists()
