"Saved models: back as they were, nothing hostile loaded; train, evaluate and predict on the command line, killed and resumed."
import csv, hashlib, json, os, re, signal, struct, subprocess, time
from pathlib import Path

import numpy as np
import pytest

from conftest import COMMAND, ROWS, Started, call
from emotion_nbdev.production.artefacts import inspect_model, load, save
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.app.ladder import APPROACHES, make_classifier

LABELS, TEXTS = map(list, zip(*((label, text) for label, texts in ROWS.items() for text in texts * 2)))
ODD = ["", "🙂", "naïve café", "word " * 300, "@you #now"]


@pytest.fixture(scope="module", params=APPROACHES)
def saved(request, tiny_checkpoint, tmp_path_factory):
    "(approach, fitted classifier, its folder)"
    classifier, folder = make_classifier(request.param, str(tiny_checkpoint)), tmp_path_factory.mktemp(request.param)/"model"
    if request.param == "fine-tuned": classifier.set_params(epochs=1)
    save(classifier.fit(TEXTS, np.array(LABELS)), folder, seed=42)
    return request.param, classifier, folder


def test_back_as_it_was(saved):
    approach, classifier, folder = saved
    again = load(folder)
    assert list(again.classes_) == list(classifier.classes_)
    np.testing.assert_allclose(again.predict_proba(TEXTS + ODD), classifier.predict_proba(TEXTS + ODD), atol=1e-5)
    assert (again.predict(TEXTS) == classifier.predict(TEXTS)).all()
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".joblib", ".pth")]
    record = json.loads((folder/"training.json").read_text())
    assert (record["format"], record["approach"], record["classes"], record["seed"]) == (2 - (approach == "fine-tuned"), approach, sorted(ROWS), 42)
    assert inspect_model(folder).refused == inspect_model(folder).ignored == []


@pytest.mark.parametrize("kept", [["anger", "joy"], ["joy", "sadness"]])
@pytest.mark.parametrize("approach", ["majority", "tfidf", "features"])
def test_two_classes_and_one_text(approach, kept, tiny_checkpoint, tmp_path):
    chosen = [place for place, label in enumerate(LABELS) if label in kept]
    for number, places in enumerate((chosen, [*chosen[:6], chosen[-1]])):  # in the second a class has a single text
        classifier = make_classifier(approach, str(tiny_checkpoint)).fit([TEXTS[place] for place in places], np.array(LABELS)[places])
        save(classifier, tmp_path/f"{number}")
        np.testing.assert_allclose(load(tmp_path/f"{number}").predict_proba(TEXTS), classifier.predict_proba(TEXTS), atol=1e-5)


def copy_of(folder, tmp_path):
    import shutil
    return Path(shutil.copytree(folder, tmp_path/"stranger"))


def header(path, change):
    "Rewrite the header of a safetensors file"
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    text = json.dumps(change(json.loads(raw[8:8 + size]))).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size:])


HOSTILE = {"pickle for weights": (lambda folder: weights(folder).write_bytes(b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR."), "is no whole safetensors file"),
           "zip for weights": (lambda folder: weights(folder).write_bytes(b"PK\x03\x04" + b"0" * 99), "is no whole safetensors file"),
           "cut short": (lambda folder: weights(folder).write_bytes(weights(folder).read_bytes()[:-7]), "is no whole safetensors file"),
           "header longer than the file": (lambda folder: weights(folder).write_bytes(struct.pack("<Q", 2**40) + b"{}"), "is no whole safetensors file"),
           "header of 2 GB": (lambda folder: weights(folder).write_bytes(struct.pack("<Q", 2**31) + b"{" * 1000), "is no whole safetensors file"),
           "link out of the folder": (lambda folder: (folder/"notes.txt").symlink_to("/etc/passwd"), "is a link that leaves the folder"),
           "code by auto_map": (lambda folder: config(folder, auto_map={"AutoModel": "run_me.Model"}), "asks to run code (auto_map)"),
           "kernel from the Hub": (lambda folder: config(folder, attn_implementation="somebody/kernel"), "names an attention implementation"),
           "hidden attention": (lambda folder: config(folder, text_config={"_attn_implementation": "somebody/kernel:forward"}), "names an attention implementation"),
           "tokenizer elsewhere": (lambda folder: (folder/"tokenizer_config.json").write_text('{"vocab_file": "../../secret"}'), "names a file outside of the folder"),
           "index that leaves": (lambda folder: (folder/"model.safetensors.index.json").write_text('{"weight_map": {"a": "../../other.safetensors"}}'), "names a file outside of the folder"),
           "no JSON": (lambda folder: (folder/"config.json").write_text("{"), "is no JSON")}


def weights(folder): return next(iter(sorted(folder.glob("*.safetensors"))))


def config(folder, **entries):
    path = folder/"config.json"
    path.write_text(json.dumps((json.loads(path.read_text()) if path.is_file() else {}) | entries))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folders_are_refused(saved, name, tmp_path, monkeypatch):
    folder, (harm, message) = copy_of(saved[2], tmp_path), HOSTILE[name]
    monkeypatch.chdir(tmp_path)
    harm(folder)
    with pytest.raises(InputError, match=re.escape(message)): load(folder)
    assert any(message in why for _, why in inspect_model(folder).refused) and not (tmp_path/"pwned").exists()


def test_shapes_that_do_not_match(saved, tmp_path):
    approach, _, folder = saved
    folder = copy_of(folder, tmp_path)
    if approach == "fine-tuned": config(folder, hidden_size=64)
    else:
        from safetensors.numpy import load_file, save_file
        arrays = load_file(folder/"head.safetensors")
        save_file(arrays | {"intercept": arrays["intercept"][:-1]}, folder/"head.safetensors")
    with pytest.raises(InputError): load(folder)


def test_later_formats_and_foreign_records(saved, tmp_path):
    folder = copy_of(saved[2], tmp_path)
    record = json.loads((folder/"training.json").read_text())
    for change, message in ((record | {"format": 9}, "saved in format 9"), ([], "no record of a saved model"), (record | {"approach": "oracle"}, "approach 'oracle' is not known")):
        (folder/"training.json").write_text(json.dumps(change))
        with pytest.raises(InputError, match=message): load(folder)


def test_train_evaluate_inspect(tmp_path, csv_file, tiny_checkpoint):
    rows = {label: [f"{text} {number}" for number in range(8) for text in texts] for label, texts in ROWS.items()}
    csv_file("train.csv", rows); csv_file("validation.csv", {label: texts[::5] + [f"new {label}"] for label, texts in rows.items()}); csv_file("more.csv", {label: [f"{texts[0]} once more"] * 3 for label, texts in rows.items()})
    data = ("--train-file", "train.csv", "--validation-file", "validation.csv")
    for approach in ("majority", "tfidf", "features"):
        start = ("--model", tiny_checkpoint) if approach == "features" else ()
        done = call("train", "--approach", approach, *data, *start, "--output-dir", approach, "--licence", "cc0-1.0", cwd=tmp_path)
        assert done.returncode == 0 and "majority" in done.stdout and "tfidf" in done.stdout, done.stderr
        card = (tmp_path/approach/"README.md").read_text()
        assert f"No {approach} baseline" not in card and "No majority baseline" not in card
        assert "license: cc0-1.0" in card and "split: validation" in card and not any(text in card for texts in rows.values() for text in texts)
    shown = call("train", "--approach", "majority", *data, "--output-dir", "shown", "--card-examples", 2, cwd=tmp_path)
    card = (tmp_path/"shown"/"README.md").read_text()
    assert shown.returncode == 0 and sum(text in card for texts in rows.values() for text in texts) == 2
    scored = call("evaluate", "--model", "tfidf", "--data", "more.csv", "--split", "test", "--json", cwd=tmp_path)
    (row,) = json.loads(scored.stdout)
    assert (row["approach"], row["split"], row["n"]) == ("tfidf", "test", 9) and row["accuracy_interval"][0] <= row["accuracy"] <= row["accuracy_interval"][1]
    wrong = call("evaluate", "--model", "tfidf", "--data", "validation.csv", "--split", "test", cwd=tmp_path)
    assert wrong.returncode == 2 and "in its validation split), so their figures cannot be called test" in wrong.stderr and wrong.stdout == ""
    assert call("inspect", "tfidf", cwd=tmp_path).returncode == 0
    (tmp_path/"tfidf"/"head.safetensors").write_bytes(b"\x80")
    looked = call("inspect", "tfidf", cwd=tmp_path)
    assert looked.returncode == 1 and "refused: its head.safetensors" in looked.stdout
    for arguments, message in ((("--approach", "oracle"), "approach 'oracle' is not known"), (("--approach", "tfidf", "--licence", "free-for-all"), "licence 'free-for-all'"), (("--approach", "tfidf", "--onnx"), "--onnx is for fine-tuned models")):
        done = call("train", *arguments, *data, "--output-dir", "new", cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1 and not (tmp_path/"new").exists()


def digest(folder): return hashlib.sha256((Path(folder)/"model.safetensors").read_bytes()).hexdigest()


def test_killed_and_resumed_ends_with_the_same_weights(tmp_path, csv_file, tiny_checkpoint):
    csv_file("train.csv", {label: [f"{text} {number} times" for number in range(40) for text in texts] for label, texts in ROWS.items()})
    command = "train", "--train-file", "train.csv", "--model", tiny_checkpoint, "--output-dir"
    whole = call(*command, "whole", cwd=tmp_path)
    assert whole.returncode == 0 and not (tmp_path/".whole.unfinished").exists(), whole.stderr
    again = Started(*command, "again", cwd=tmp_path)
    while "epoch 3 of" not in again.said()[1]:
        assert again.poll() is None, again.said()
        time.sleep(.02)
    time.sleep(.15)
    again.send_signal(signal.SIGKILL); again.wait()
    left = sorted((tmp_path/".again.unfinished").glob("checkpoint-*"))
    assert 1 <= len(left) <= 3 and not (tmp_path/"again").exists()
    half = tmp_path/".again.unfinished"/"checkpoint-9999"
    half.mkdir(); (half/"model.safetensors").write_bytes(b"\x10\x00")
    refused = call(*command, "again", cwd=tmp_path)
    assert refused.returncode == 2 and "Add --resume" in refused.stderr
    other = call(*command, "again", "--resume", "--seed", "7", cwd=tmp_path)
    assert other.returncode == 2 and "its seed is 42, now 7" in other.stderr
    resumed = call(*command, "again", "--resume", "--onnx", cwd=tmp_path)
    assert resumed.returncode == 0 and "checkpoint-9999 was not written to its end" in resumed.stderr, resumed.stderr
    assert "epoch 1 of" not in resumed.stderr and digest(tmp_path/"again") == digest(tmp_path/"whole")
    assert (tmp_path/"again"/"model.onnx").is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_large_file_in_constant_memory_and_after_a_kill(tmp_path):
    classifier = make_classifier("tfidf").fit(TEXTS, np.array(LABELS))
    save(classifier, tmp_path/"model")
    with open(tmp_path/"many.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([number, ROWS["joy"][number % 3] + " " + "filling " * 40] for number in range(60_000))
        file.write("broken\n60001,=HYPERLINK(1) is no joy\n")
    def predict(output): return subprocess.Popen([COMMAND, "predict", "--model", "model", "--input", "many.csv", "--output", output], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    whole = predict("whole.csv")
    _, usage = os.wait4(whole.pid, 0)[1:]
    few = predict_few(tmp_path)
    assert usage.ru_maxrss < few + 120 * 1024  # KiB: the texts alone are 20 MB, as Python objects of a table several times that
    killed = Started("predict", "--model", "model", "--input", "many.csv", "--output", "killed.csv", cwd=tmp_path)
    while len(list(tmp_path.glob(".killed.csv.parts/[0-9]*.csv"))) < 3: time.sleep(.02)
    killed.send_signal(signal.SIGKILL); killed.wait()
    assert not (tmp_path/"killed.csv").exists()
    again = call("predict", "--model", "model", "--input", "many.csv", "--output", "killed.csv", cwd=tmp_path)
    assert again.returncode == 1 and "going on after" in again.stderr, again.stderr  # one row was set aside
    assert (tmp_path/"killed.csv").read_bytes() == (tmp_path/"whole.csv").read_bytes()
    last = (tmp_path/"whole.csv").read_text().splitlines()[-1]
    assert last.startswith("60001,'=HYPERLINK(1) is no joy,") and json.loads((tmp_path/"whole.rejected.jsonl").read_text())["row"] == 60_001
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_labelling_that_died_between_its_last_two_steps(tmp_path, monkeypatch):
    from emotion_nbdev.production import batches as tables
    classifier = make_classifier("majority").fit(TEXTS, np.array(LABELS))
    (tmp_path/"in.csv").write_text('text\nfine\n" "\n')
    monkeypatch.setattr(tables.shutil, "rmtree", lambda folder: pytest.fail("died too late"))
    right = os.replace
    monkeypatch.setattr(tables.os, "replace", lambda old, new: (_ for _ in ()).throw(KeyboardInterrupt) if Path(new) == tmp_path/"out.csv" else right(old, new))
    with pytest.raises(KeyboardInterrupt): tables.label_file(classifier, tmp_path/"in.csv", tmp_path/"out.csv")
    monkeypatch.undo()
    assert (tmp_path/"out.rejected.jsonl").is_file() and tables.label_file(classifier, tmp_path/"in.csv", tmp_path/"out.csv") == (1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "out.rejected.jsonl"]
    with pytest.raises(InputError, match="out.csv exists already"): tables.label_file(classifier, tmp_path/"in.csv", tmp_path/"out.csv")


def predict_few(tmp_path):
    "Peak memory of labelling two messages, KiB"
    (tmp_path/"few.csv").write_text("id,text\n1,fine\n2,late\n")
    process = subprocess.Popen([COMMAND, "predict", "--model", "model", "--input", "few.csv", "--output", "few-labelled.csv"], cwd=tmp_path)
    return os.wait4(process.pid, 0)[2].ru_maxrss


@pytest.mark.parametrize("lost", ["classifier.weight", "bert.encoder.layer.1.output.dense.weight", "encoder.layer.1.output.dense.weight"])
def test_missing_weights_are_not_made_up(saved, lost, tmp_path, tiny_checkpoint):
    "A model whose file lacks a weight would answer with a random one"
    from safetensors.numpy import load_file, save_file
    approach, _, folder = saved
    if (approach, lost.startswith("encoder")) not in (("fine-tuned", False), ("features", True)):
        pytest.skip("not a weight of this model")
    folder = copy_of(folder, tmp_path)
    weights = load_file(folder/"model.safetensors")
    del weights[lost]
    save_file(weights, folder/"model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"1 of its weights are missing, such as {lost}"): load(folder)


def test_what_is_loaded_is_what_it_claims(saved, tmp_path):
    approach, _, folder = saved
    if approach != "fine-tuned": pytest.skip("has no configuration of a classifier")
    for change, message in (({"problem_type": "multi_label_classification"}, "answers another question"), ({"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}, "tells no classes apart"),
                            ({"label2id": {"anger": 0, "joy": 1, "sadness": 2}}, "do not agree"), ({"id2label": {"0": "joy", "1": "joy", "2": "anger"}}, "two classes of one name")):
        strange = copy_of(folder, tmp_path/str(list(change)))
        config(strange, **change)
        with pytest.raises(InputError, match=message): load(strange)
    bare = copy_of(folder, tmp_path/"bare")
    for path in bare.glob("*token*"): path.unlink()
    with pytest.raises(InputError, match="no tokenizer in it"): load(bare)
    small = copy_of(folder, tmp_path/"small")
    tokenizer = json.loads((small/"tokenizer.json").read_text())
    tokenizer["added_tokens"] += [dict(id=len(tokenizer["model"]["vocab"]) + number, content=f"<new{number}>", single_word=False, lstrip=False, rstrip=False, normalized=False, special=False) for number in range(3)]
    (small/"tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="not of one model"): load(small)


def test_a_dtype_has_its_effect_or_is_refused(saved):
    approach, _, folder = saved
    if approach in ("majority", "tfidf"):
        with pytest.raises(InputError, match="dtype is for transformers"): load(folder, dtype="float32")
    else:
        assert load(folder, dtype="float32").predict(["fine"]).shape == (1,)
    with pytest.raises(InputError, match="dtype 'int4' is not known"): load(folder, dtype="int4")
