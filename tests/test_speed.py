"The cache of features, the ONNX export and its examination, and what a cold start may import."
import json, os, sqlite3, subprocess, sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROWS, call, python, Started
from emotion_nbdev.foundations.cache import clear_cache, kept_files
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.features import FeatureExtractor
from emotion_nbdev.foundations.compute import compute_dtype, native_bfloat16
from emotion_nbdev.fine_tuning import FineTunedClassifier, fit_or_recall, load_with_head, training_record
from emotion_nbdev.improvements import focal_loss
from emotion_nbdev.production.graph_features import OnnxFeatureExtractor
from emotion_nbdev.production.graphs import GRAPH, OnnxClassifier, OpenVinoGraph, Refused, RuntimeGraph, export_onnx, load_classifier

TEXTS, LABELS = zip(*[(text, label) for label, texts in ROWS.items() for text in texts])


@pytest.fixture
def kept(tmp_path, monkeypatch):
    "The cache of features in a folder of its own"
    monkeypatch.setenv("EMOTION_CACHE", str(tmp_path/"cache"))
    return tmp_path/"cache"/"features.sqlite"


@pytest.fixture(scope="module")
def saved(tiny_checkpoint, tmp_path_factory):
    "A fine-tuned model with its graph"
    folder = tmp_path_factory.mktemp("saved")/"model"
    FineTunedClassifier(tiny_checkpoint, epochs=1).fit(list(TEXTS), list(LABELS)).save(folder)
    assert export_onnx(folder, list(TEXTS), np.array(LABELS)).same_labels == 1
    return folder


def test_a_second_time_nothing_is_encoded(kept, tiny_checkpoint, monkeypatch):
    first = FeatureExtractor(tiny_checkpoint).fit().transform(TEXTS)
    second = FeatureExtractor(tiny_checkpoint).fit()
    monkeypatch.setattr(FeatureExtractor, "_vectors", lambda *_: pytest.fail("encoded again"))
    assert np.array_equal(second.transform(TEXTS[::-1]), first[::-1])


def test_another_pooling_or_dtype_is_another_entry(kept, tiny_checkpoint):
    mean, cls = (FeatureExtractor(tiny_checkpoint, pooling=pooling, dtype="float32").fit().transform(TEXTS) for pooling in ("mean", "cls"))
    assert not np.allclose(mean, cls)
    assert np.allclose(cls, FeatureExtractor(tiny_checkpoint, pooling="cls", dtype="float32", cache=False).fit().transform(TEXTS), atol=1e-5)


def test_damaged_entries_and_files_are_rebuilt(kept, tiny_checkpoint):
    whole = FeatureExtractor(tiny_checkpoint).fit().transform(TEXTS)
    with sqlite3.connect(kept) as connection: connection.execute("UPDATE vectors SET vector = substr(vector, 1, 8)")
    assert np.allclose(FeatureExtractor(tiny_checkpoint).fit().transform(TEXTS), whole, atol=1e-2)
    for leftover in kept.parent.glob("*.sqlite-*"): leftover.unlink()
    kept.write_bytes(b"\0not a database" * 999)
    assert np.allclose(FeatureExtractor(tiny_checkpoint).fit().transform(TEXTS), whole, atol=1e-2)
    assert np.allclose(FeatureExtractor(tiny_checkpoint).fit().transform(TEXTS), whole, atol=1e-2) and sqlite3.connect(kept).execute("SELECT count(*) FROM vectors").fetchone() == (len(TEXTS),)


def test_two_processes_share_the_cache(kept, tiny_checkpoint):
    code = f"from emotion_nbdev.features import FeatureExtractor as F; e = F({str(tiny_checkpoint)!r}).fit(); print([float(e.transform([f'text {{n}} of many' for n in range(i, i + 40)]).sum() > -1e9) for i in range(0, 200, 20)])"
    both = [Started("-c", code, cwd=".", environment={"EMOTION_CACHE": str(kept.parent)}) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert all(process.returncode == 0 and "not used" not in stderr for process, (_, stderr) in zip(both, said)), said
    assert sqlite3.connect(kept).execute("SELECT count(*) FROM vectors").fetchone() == (220,)


def test_a_training_is_recalled_for_the_same_only(kept, tiny_checkpoint, monkeypatch):
    trainings = []
    fit = FineTunedClassifier.fit
    monkeypatch.setattr(FineTunedClassifier, "fit", lambda self, *given: trainings.append(1) or fit(self, *given))
    def trained(texts=TEXTS, labels=LABELS, validation=None, **settings):
        trainings.clear()
        found = fit_or_recall(FineTunedClassifier(tiny_checkpoint, **dict(epochs=1) | settings), (text for text in texts), labels, validation)
        return found, bool(trainings)
    first, was_trained = trained()
    again, was_trained_again = trained()
    assert was_trained and not was_trained_again and np.array_equal(first.predict_proba(TEXTS), again.predict_proba(TEXTS))
    assert training_record(first) == training_record(again)
    numbers = [len(label) for label in LABELS]
    others = [dict(seed=1), dict(epochs=2), dict(texts=TEXTS[::-1], labels=LABELS[::-1]), dict(labels=[*LABELS[1:], LABELS[0]]), dict(validation=(TEXTS, LABELS)), dict(labels=numbers), dict(labels=list(map(str, numbers)))]
    assert all(trained(**other)[1] for other in others) and trained(loss=focal_loss)[1] and trained(loss=focal_loss)[1]
    assert trained(labels=numbers)[0].classes_.tolist() == sorted(set(numbers)) and trained(dtype="bfloat16" if native_bfloat16() else "auto")[0].dtype != "float32"
    clear_cache()
    assert not kept_files() and trained()[1]


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path, monkeypatch, tiny_checkpoint):
    (tmp_path/"file").write_text("in the way")
    monkeypatch.setenv("EMOTION_CACHE", str(tmp_path/"file"))
    assert FeatureExtractor(tiny_checkpoint).fit().transform(TEXTS).shape == (len(TEXTS), 32)


def test_dtypes():
    with pytest.raises(InputError, match="dtype 'float16' is not known"): compute_dtype("float16")
    if not native_bfloat16():
        with pytest.raises(InputError, match="this device has none of its own"): compute_dtype("bfloat16")


def test_a_training_holds_the_word_embeddings_and_teaches_the_rest(tiny_checkpoint, tmp_path):
    start = load_with_head(tiny_checkpoint, num_labels=3)[0].state_dict()
    usual, thorough = (FineTunedClassifier(tiny_checkpoint, epochs=2, thorough=thorough).fit(list(TEXTS), list(LABELS)) for thorough in (False, True))
    words, query = (next(name for name in start if name.endswith(end)) for end in ("word_embeddings.weight", "query.weight"))
    assert (usual.model_.state_dict()[words] == start[words]).all() and (usual.model_.state_dict()[query] != start[query]).any()
    assert (thorough.model_.state_dict()[words] != start[words]).any()
    assert usual.model_.config._attn_implementation == thorough.model_.config._attn_implementation
    usual.save(tmp_path/"model")
    assert json.loads((tmp_path/"model"/"training.json").read_text())["settings"]["thorough"] is False
    assert json.loads((tmp_path/"model"/"config.json").read_text())["hidden_dropout_prob"] == thorough.model_.config.hidden_dropout_prob > 0
    assert np.array_equal(FineTunedClassifier.load(tmp_path/"model").predict_proba(TEXTS), usual.predict_proba(TEXTS))


def test_graph_answers_like_the_model(saved):
    ours, graph = FineTunedClassifier.load(saved), load_classifier(saved)
    assert isinstance(graph, OnnxClassifier)
    texts = [*TEXTS, "", "word " * 300, "🎉 日本語 \x00", "a"]
    assert np.allclose(ours.predict_proba(texts), graph.predict_proba(texts), atol=1e-5)
    assert np.array_equal(graph.predict(texts), graph.classes_[graph.predict_proba(texts).argmax(1)])
    assert np.allclose(graph.predict_proba(texts)[::-1], graph.predict_proba(texts[::-1]), atol=1e-6)
    assert graph.truncation_ == ours.truncation_ and graph.truncation_.cut == 1


def test_both_engines_answer_like_the_model_whatever_the_order_of_batches(saved):
    texts = [f"{text} {'again ' * (number % 40)}" for number, text in enumerate(TEXTS * 40)] + ["", "word " * 300]  # some twenty batches
    ours = FineTunedClassifier.load(saved).predict_proba(texts)
    runtime, openvino = OnnxClassifier.load(saved), OnnxClassifier.load(saved, dtype="auto")
    assert (type(runtime.graph_), type(openvino.graph_)) == (RuntimeGraph, OpenVinoGraph)
    assert np.allclose(runtime.predict_proba(texts), ours, atol=1e-5) and np.allclose(openvino.predict_proba(texts), ours, atol=1e-2)
    openvino.graph_ = OpenVinoGraph(saved/GRAPH, "float32")
    assert np.allclose(openvino.predict_proba(texts), ours, atol=1e-5)
    assert np.allclose(openvino.predict_proba(texts[::-1])[::-1], ours, atol=1e-5)
    assert np.array_equal(openvino.predict_proba(texts), openvino.predict_proba(texts)) and openvino.predict_proba([]).shape == (0, 3)


def test_a_message_that_comes_alone_has_all_cores(saved):
    openvino = OnnxClassifier.load(saved, dtype="auto")
    openvino.graph_ = graph = OpenVinoGraph(saved/GRAPH, "float32")
    assert openvino.predict_proba([]).shape == (0, 3) and not graph.idle_requests
    alone = openvino.predict_proba(TEXTS[:1])
    assert "many" not in vars(graph) and len(graph.idle_requests) == 1 and not graph.idle_queues
    assert np.array_equal(openvino.predict_proba(TEXTS[:1]), alone) and len(graph.idle_requests) == 1
    together = openvino.predict_proba(TEXTS)
    assert "many" in vars(graph) and len(graph.idle_queues) == 1 and np.allclose(together[:1], alone, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_features_by_a_graph(pooling, kept, tiny_checkpoint):
    ours = FeatureExtractor(tiny_checkpoint, pooling=pooling, dtype="float32", cache=False).fit().transform(TEXTS)
    for engine in ("onnxruntime", "openvino"):
        for time in (1, 2):  # the second from the cache
            by_graph = OnnxFeatureExtractor(tiny_checkpoint, pooling=pooling, dtype="float32", engine=engine).fit()
            assert np.allclose(by_graph.transform(TEXTS), ours, atol=1e-5) and by_graph.cached_ == (len(TEXTS) if time == 2 else 0)


def test_openvino_in_a_dtype_that_the_processor_has(saved, monkeypatch):
    from emotion_nbdev.foundations import compute
    assert OpenVinoGraph(saved/GRAPH, "auto").dtype == ("bfloat16" if native_bfloat16(torch.device("cpu")) else "float32")
    monkeypatch.setattr(compute, "native_bfloat16", lambda device: False)
    assert OpenVinoGraph(saved/GRAPH, "auto").dtype == "float32"
    with pytest.raises(InputError, match="bfloat16: this device has none of its own"): OpenVinoGraph(saved/GRAPH, "bfloat16")


def test_a_graph_in_8_bits_is_left_to_the_onnx_runtime(saved, tmp_path, monkeypatch):
    import shutil
    from emotion_nbdev.production.graphs import Agreement
    copy = shutil.copytree(saved, tmp_path/"copy")
    monkeypatch.setattr(Agreement, "accepted", lambda *_: True)  # nine messages are no examination
    export_onnx(copy, list(TEXTS), np.array(LABELS), int8=True)
    assert isinstance(load_classifier(copy), OnnxClassifier) and isinstance(load_classifier(copy, dtype="auto"), FineTunedClassifier)
    assert isinstance(load_classifier(saved, dtype="auto"), OnnxClassifier)


def test_a_graph_that_answers_differently_is_refused_and_nothing_is_written(saved, tmp_path, monkeypatch):
    import shutil
    from emotion_nbdev.production import graphs as speed
    copy = shutil.copytree(saved, tmp_path/"copy")
    (copy/GRAPH).unlink()
    before = sorted(path.name for path in copy.iterdir())
    right = OnnxClassifier.predict_proba
    monkeypatch.setattr(OnnxClassifier, "predict_proba", lambda self, texts: np.roll(right(self, texts), 1, axis=1))
    with pytest.raises(Refused, match="does not answer like the model"): export_onnx(copy, list(TEXTS), np.array(LABELS))
    assert sorted(path.name for path in copy.iterdir()) == before


def test_an_export_that_is_killed_leaves_the_folder_as_it_was(saved, tmp_path):
    import shutil
    copy = shutil.copytree(saved, tmp_path/"copy")
    (copy/GRAPH).unlink()
    before = sorted(path.name for path in copy.iterdir())
    code = f"""
import os
from emotion_nbdev.production import graphs
graphs.agreement = lambda *_: os._exit(9)  # no clearing up, as after SIGKILL
graphs.export_onnx({str(copy)!r}, {list(TEXTS)!r}, {list(LABELS)!r})
"""
    scratch = tmp_path/"scratch"
    scratch.mkdir()
    killed = python(code, TMPDIR=str(scratch))
    assert killed.returncode == 9 and len(list(scratch.glob("emotion-onnx-*"))) == 1, killed.stderr
    assert sorted(path.name for path in copy.iterdir()) == before
    assert isinstance(load_classifier(copy), FineTunedClassifier)


def test_a_graph_of_other_weights_is_noticed(saved, tmp_path, tiny_checkpoint):
    import shutil
    other = tmp_path/"other"
    FineTunedClassifier(tiny_checkpoint, epochs=1, seed=7).fit(list(TEXTS), list(LABELS)).save(other)
    shutil.copy(saved/GRAPH, other/GRAPH)
    with pytest.raises(InputError, match="was not made from the weights beside it"): load_classifier(other)
    (other/GRAPH).write_bytes(b"no graph")
    with pytest.raises(InputError, match="is no whole ONNX file"): load_classifier(other)
    with pytest.raises(InputError, match="is no whole ONNX file"): load_classifier(other, dtype="auto")


def test_export_on_the_command_line(saved, tmp_path, csv_file):
    import shutil
    copy = shutil.copytree(saved, tmp_path/"copy")
    (copy/GRAPH).unlink()
    rows = csv_file()
    done = call("export", copy, "--train-file", rows, "--validation-file", rows, cwd=tmp_path)
    assert done.returncode == 0 and (copy/GRAPH).is_file() and "100.00% of 9 labels the same" in done.stderr, done.stderr
    failed = call("export", "nowhere", cwd=tmp_path)
    assert (failed.returncode, failed.stderr) == (2, "Error: nowhere: no such folder. Give the folder of a fine-tuned model.\n")
    unknown = call("export", copy, cwd=tmp_path)  # the embedded corpus has classes that this model does not know
    assert unknown.returncode == 2 and "joy" not in unknown.stdout and unknown.stderr.startswith("Error: "), unknown.stderr


def imported_by_predict(saved, home, dtype, names):
    "Which of some modules `predict` imports, in a process whose home folder is `home`"
    code = f"import sys; sys.argv = ['emotion-nbdev', 'predict', '--model', {str(saved)!r}, '--dtype', {dtype!r}, 'you charged me twice']; from emotion_nbdev.app.cli import app; app(standalone_mode=False); print([name for name in {names} if sys.modules.get(name)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=home, env={**os.environ, "HOME": str(home)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_openvino_does_not_report_that_it_is_used(saved, tmp_path):
    assert imported_by_predict(saved, tmp_path, "auto", ["openvino", "openvino_telemetry", "transformers"]) == "['openvino']"
    assert not (tmp_path/"intel").exists()  # where it would keep a number for this user


def test_predict_from_a_graph_needs_neither_torch_nor_pandas(saved, tmp_path):
    assert imported_by_predict(saved, tmp_path, "float32", ["torch", "transformers", "datasets", "pandas", "sklearn", "scipy"]) == "[]"
    blank = call("predict", "--model", saved, " ", cwd=tmp_path)
    assert (blank.returncode, blank.stdout) == (2, "") and "text 1: it is blank" in blank.stderr


def test_what_umap_compiles_is_kept():
    from umap import umap_
    from emotion_nbdev.projection import project
    project(np.random.default_rng(0).random((30, 8)))
    assert umap_.smooth_knn_dist.stats.cache_path
