"What may be given as texts and labels: the same in every classifier, in memory, saved and loaded."
import ast, json, pickle, random, re, threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import emotion_nbdev
import named_tests
from conftest import ROWS
from emotion_nbdev.app.ladder import APPROACHES, make_classifier
from emotion_nbdev.beyond.few_labels import ContrastiveClassifier
from emotion_nbdev.classifiers import TfidfClassifier
from emotion_nbdev.dataset import hold_out, text_key, TextFolds
from emotion_nbdev.features import FeatureExtractor
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.foundations.sources import read_table
from emotion_nbdev.foundations.texts import label_name
from emotion_nbdev.improvements import encoder_and_tfidf, HandMadeFeatures, LayerExtractor, LogitAdjusted, Resampled, side_by_side, stacking
from emotion_nbdev.production.artefacts import load, save
from emotion_nbdev.production.graphs import export_onnx, OnnxClassifier

TEXTS = [text for texts in ROWS.values() for text in texts] * 2 + [f"{text} today" for texts in ROWS.values() for text in texts]
NAMES = [label for label, texts in ROWS.items() for _ in texts] * 3


def make(approach, checkpoint):
    made = {"resampled": lambda: Resampled(TfidfClassifier()), "adjusted": lambda: LogitAdjusted(TfidfClassifier()),
            "joined": lambda: encoder_and_tfidf(checkpoint), "side by side": lambda: side_by_side([FeatureExtractor(checkpoint), HandMadeFeatures()]),
            "stacked": lambda: stacking([TfidfClassifier(), TfidfClassifier(C=.1)], folds=2)}.get(approach, lambda: make_classifier(approach, checkpoint))()
    return made.set_params(epochs=1) if approach == "fine-tuned" else made


EVERY = [*APPROACHES, "resampled", "adjusted", "joined", "side by side", "stacked"]


@pytest.fixture(scope="module", params=EVERY)
def fitted(request, tiny_checkpoint):
    return make(request.param, str(tiny_checkpoint)).fit(TEXTS, NAMES)


@pytest.fixture(scope="module", params=["majority", "tfidf", "features", "fine-tuned", "onnx", "openvino"])
def loaded(request, tiny_checkpoint, tmp_path_factory):
    "A saved model that was loaded again, and a graph in each engine"
    approach = request.param if request.param in APPROACHES else "fine-tuned"
    folder = tmp_path_factory.mktemp("door")/"model"
    save(make(approach, str(tiny_checkpoint)).fit(TEXTS, NAMES), folder)
    if request.param in APPROACHES:
        return load(folder)
    export_onnx(folder, TEXTS, NAMES)
    if request.param == "openvino":
        pytest.importorskip("openvino")
    return OnnxClassifier.load(folder, dtype="float32" if request.param == "onnx" else "auto")


FRAME = pd.DataFrame({"text": TEXTS[:3]}, index=[9, 0, 4])
NO_TEXTS = {"a string": ("we won", "a single text was given"), "bytes": (b"we won", "a single text was given"), "a table": (FRAME, "Give one column of it"),
            "a dictionary": ({"text": TEXTS}, "Give one column of it"), "None": (None, "NoneType is no list"), "a number": (7, "int is no list"), "a set": ({"one"}, "set is no list"),
            "a missing one": (["we won", None], "text 2 is missing"), "NaN": (["we won", float("nan")], "text 2 is missing"), "pandas' NA": (["we won", pd.NA], "text 2 is missing"),
            "numbers": ([1, 2], "text 1 is no string but int"), "lists": ([["we", "won"]], "text 1 is no string but list"), "two columns": (np.array([["a", "b"]]), "text 1 is no string but ndarray")}


def refuses(classifier, wrong, message):
    for ask in (classifier.predict, classifier.predict_proba):
        with pytest.raises(InputError, match=message) as told:
            ask(wrong)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("case", NO_TEXTS)
def test_refused_by_all_that_were_fitted(fitted, case):
    refuses(fitted, *NO_TEXTS[case])


@pytest.mark.parametrize("case", NO_TEXTS)
def test_refused_by_all_that_were_loaded(loaded, case):
    refuses(loaded, *NO_TEXTS[case])


def test_any_list_of_texts_gets_the_same_answers(fitted):
    texts = TEXTS[:4]
    given = [tuple(texts), np.array(texts), np.array(texts, dtype=object), pd.Series(texts, index=[3, 1, 0, 2]), pd.Series(texts, dtype="string"), pd.Index(texts), (text for text in texts)]
    for one in given:
        np.testing.assert_array_equal(fitted.predict(one), fitted.predict(texts))
    probabilities = fitted.predict_proba([])
    assert probabilities.shape == (0, 3) and fitted.predict([]).shape == (0,)


def test_any_list_of_texts_after_loading(loaded):
    for one in (tuple(TEXTS[:4]), pd.Series(TEXTS[:4], index=[3, 1, 0, 2]), (text for text in TEXTS[:4])):
        np.testing.assert_array_equal(loaded.predict(one), loaded.predict(TEXTS[:4]))
    assert loaded.predict_proba([]).shape == (0, 3) and loaded.predict([]).shape == (0,)


NO_LABELS = {"a string": ("joy", "a single label was given"), "a table": (pd.DataFrame({"label": NAMES}), "Give one column of it"), "lists": ([["refund", "urgent"]] * len(TEXTS), "Each message has one label"),
             "a missing one": ([None, *NAMES[1:]], "label 1 is missing"), "NaN": ([float("nan"), *NAMES[1:]], "label 1 is missing"), "blank": ([" ", *NAMES[1:]], "label 1 is blank"),
             "measurements": ([3.72] * len(TEXTS), "classes, not measurements"), "two kinds": ([1, *NAMES[1:]], "several kinds"), "too few": (NAMES[:-1], "texts and"), "none": ([], "texts and")}


@pytest.mark.parametrize("approach", EVERY)
@pytest.mark.parametrize("case", NO_LABELS)
def test_labels_that_are_none(approach, case, tiny_checkpoint):
    labels, message = NO_LABELS[case]
    with pytest.raises(InputError, match=message):
        make(approach, str(tiny_checkpoint)).fit(TEXTS, labels)


NUMBERS = [{"anger": 2, "joy": 10, "sadness": 1}[name] for name in NAMES]
KINDS = {"integers": NUMBERS, "numpy integers": np.array(NUMBERS, dtype=np.int8), "truth values": [name == "joy" for name in NAMES], "numpy truth values": np.array([name == "joy" for name in NAMES]),
         "whole floats": [float(number) for number in NUMBERS], "a category": pd.Categorical(NAMES), "names of numbers": [str(number) for number in NUMBERS], "a Series": pd.Series(NAMES, index=range(7, 7 + len(NAMES)))}


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_come_back_as_they_went_in(approach, kind, tiny_checkpoint, tmp_path):
    labels = list(KINDS[kind])
    classifier = make(approach, str(tiny_checkpoint)).fit(TEXTS, KINDS[kind])
    save(classifier, tmp_path/"model")
    again = load(tmp_path/"model")
    for one in (classifier, again):
        assert set(one.classes_.tolist()) == set(np.asarray(labels).tolist())
        assert {type(label) for label in one.classes_.tolist()} == {type(label) for label in np.asarray(labels).tolist()}
        assert set(one.predict(TEXTS).tolist()) <= set(np.asarray(labels).tolist())
    assert again.classes_.tolist() == sorted(again.classes_.tolist(), key=lambda label: (0 if str(label).isalpha() else float(label), str(label)))
    np.testing.assert_array_equal(classifier.predict(TEXTS), again.predict(TEXTS))


MANY = [f"{text} {number}" for number, text in enumerate(TEXTS)]  # so that some can be held out
FILES = {"parquet": lambda table, path: table.to_parquet(path), "jsonl": lambda table, path: table.to_json(path, orient="records", lines=True), "json": lambda table, path: table.to_json(path, orient="records")}
LABELS = {"integers": (NUMBERS, int), "whole floats": ([float(number) for number in NUMBERS], int), "truth values": ([name == "joy" for name in NAMES], bool), "names of numbers": ([str(number) for number in NUMBERS], str),
          "numbers and a name": (["other" if number == 10 else number for number in NUMBERS], str)}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_a_file_come_back_as_they_went_in(form, kind, command, tmp_path):
    labels, wanted = LABELS[kind]
    if form == "parquet" and kind == "numbers and a name": return  # no column of it holds both
    table = pd.DataFrame({"text": MANY, "label": pd.Series(labels, dtype=object if wanted is str else None)})
    FILES[form](table, tmp_path/f"train.{form}")
    table.head(9).to_csv(tmp_path/"test.csv", index=False)
    done = command("train", "--approach", "tfidf", "--train-file", f"train.{form}", "--output-dir", "model")
    assert done.exit_code == 0, done.output
    for ending in ("parquet", "jsonl"):
        done = command("predict", "--model", "model", "--input", f"train.{form}", "--output", f"out.{ending}")
        assert done.exit_code == 0, done.output
    answers = pq.read_table(tmp_path/"out.parquet")["label"].to_pylist()
    assert {type(answer) for answer in answers} == {wanted} == {type(json.loads(line)["label"]) for line in (tmp_path/"out.jsonl").open()}
    names = load(tmp_path/"model").classes_.tolist()
    assert names == (sorted(names) if wanted is not str else ["1", "2", "10"] if kind == "names of numbers" else ["1", "2", "other"])
    assert np.mean([str(answer) == label_name(label) for answer, label in zip(answers, labels)]) > .9
    given = "--data", f"train.{form}", "--model", "model", "--split", "train"
    for arguments in (("evaluate", *given), ("errors", *given), ("inspect", "model")):  # the class 3 is the class 3, whatever the file can hold
        assert command(*arguments).exit_code == 0, (arguments, command(*arguments).output)
    if kind != "whole floats":
        done = command("evaluate", "--model", "model", "--data", "test.csv", "--split", "train", "--json")
        assert done.exit_code == 0 and json.loads(done.stdout)[0]["accuracy"] > .9, done.output


def test_a_test_file_of_another_type(command, tmp_path):
    "Trained on integers of Parquet, held out and tested as text of a CSV: the names of the classes are the same"
    table = pd.DataFrame({"text": MANY, "label": NUMBERS})
    table.to_parquet(tmp_path/"train.parquet")
    table.assign(text=table["text"] + " again").to_csv(tmp_path/"validation.csv", index=False)
    table.assign(text=table["text"] + " at last", label=table["label"].astype(float)).to_parquet(tmp_path/"test.parquet")
    files = ("--train-file", "train.parquet", "--validation-file", "validation.csv", "--test-file", "test.parquet")
    assert command("check", *files).exit_code == 0
    assert command("train", "--approach", "tfidf", *files, "--output-dir", "model").exit_code == 0
    assert load(tmp_path/"model").classes_.tolist() == [1, 2, 10]
    table.assign(label=[f"class {label}" for label in NUMBERS]).to_csv(tmp_path/"other.csv", index=False)
    done = command("evaluate", "--model", "model", "--data", "other.csv", "--split", "train")
    assert done.exit_code == 2 and "the label 'class 1' is none of its classes (1, 2, 10)" in done.stderr


def test_a_fine_tuned_model_of_integers_exports_and_answers_in_integers(command, tiny_checkpoint, tmp_path):
    pd.DataFrame({"text": MANY, "label": NUMBERS}).to_parquet(tmp_path/"train.parquet")
    done = command("train", "--train-file", "train.parquet", "--model", tiny_checkpoint, "--onnx", "--output-dir", "model")
    assert done.exit_code == 0, done.output
    for answering in (load(tmp_path/"model"), FineTunedClassifier.load(tmp_path/"model"), OnnxClassifier.load(tmp_path/"model")):
        assert answering.classes_.tolist() == [1, 2, 10] and answering.predict(TEXTS[:1]).dtype.kind == "i"


def test_class_names_of_any_script_are_saved_exported_and_loaded(tiny_checkpoint, tmp_path):
    "A joiner in Persian or in an emoji, a blank that does not break: signs that Python calls not printable"
    names = ["👩\u200d🔬", "a\u00a0b", "نیم\u200cفاصله"]
    labels = [names[place % 3] for place in range(len(MANY))]
    FineTunedClassifier(tiny_checkpoint, epochs=1).fit(MANY, labels).save(tmp_path/"tuned")
    export_onnx(tmp_path/"tuned", MANY, labels)
    assert set(load(tmp_path/"tuned").classes_) == set(OnnxClassifier.load(tmp_path/"tuned").classes_) == set(names)


def test_a_class_name_that_nobody_sees_is_known_before_training(tiny_checkpoint, monkeypatch):
    "A model whose config.json names such a class is refused when it is loaded: a training would be lost"
    monkeypatch.setattr("emotion_nbdev.fine_tuning.new_model", lambda *_: pytest.fail("a training began"))
    labels = [("jo\ty", "anger")[place % 2] for place in range(len(MANY))]
    with pytest.raises(InputError, match="holds a sign that nobody sees.*Rename it in the data"):
        FineTunedClassifier(tiny_checkpoint, epochs=1).fit(MANY, labels)


def test_numbers_that_a_file_has_names_for_are_names(command, tmp_path):
    "A Parquet file of the library datasets: trained by its names, corrected by its names, and still numbers in the corrected copy"
    known = ["sadness", "joy", "anger"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=known)})
    Dataset.from_dict({"text": MANY, "label": [known.index(name) for name in NAMES]}, features).to_parquet(tmp_path/"train.parquet")
    assert command("train", "--approach", "tfidf", "--train-file", "train.parquet", "--output-dir", "model").exit_code == 0
    assert load(tmp_path/"model").classes_.tolist() == sorted(known)
    assert command("evaluate", "--model", "model", "--data", "train.parquet", "--split", "train").exit_code == 0
    pd.DataFrame({"row": [1], "text": MANY[:1], "label": NAMES[:1], "new_label": ["joy"]}).to_csv(tmp_path/"list.csv", index=False)
    done = command("errors", "--data", "train.parquet", "--apply", "list.csv", "--output", "corrected.parquet")
    assert done.exit_code == 0, done.output
    before, after = (pq.read_table(tmp_path/f"{name}.parquet") for name in ("train", "corrected"))
    assert after.schema.equals(before.schema) and after["label"].to_pylist() == [1, *before["label"].to_pylist()[1:]]
    frame = pd.DataFrame({"text": TEXTS, "label": pd.Categorical(NAMES)})
    frame.to_parquet(tmp_path/"category.parquet")
    assert read_table(tmp_path/"category.parquet")["label"].tolist() == NAMES


def test_temperature_is_found_on_folds_by_text(tiny_checkpoint):
    "Labels by lot, each text four times: on folds that cut its copies apart every score looks sure, and so do the probabilities"
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice("late order refund parcel door bell phone queue chat driver box price".split(), 6)) for _ in range(100)]
    labels = rng.choice(["open", "closed"], len(texts))
    places = rng.permutation(np.repeat(np.arange(len(texts)), 4))
    copies = [texts[place] for place in places]
    for classifier in (encoder_and_tfidf(str(tiny_checkpoint)), TfidfClassifier(), stacking([TfidfClassifier(), TfidfClassifier(C=.1)])):
        assert classifier.fit(copies, labels[places]).predict_proba(texts).max(axis=1).mean() < .75, classifier


def test_only_one_place_draws_folds():
    "Who needs folds or a part to hold out asks `dataset` for them, which cuts by text; the page that explains it is the exception"
    sources = {path.name: path.read_text(encoding="utf-8") for path in Path(emotion_nbdev.__file__).parent.rglob("*.py")}
    sources |= {where: ast.unparse(tree) for where, _, tree in named_tests.sources() if where.startswith("nbs/")}
    for name, source in sources.items():
        if re.match(r"dataset\.py|nbs/01_dataset", name): continue
        for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
            what = getattr(call.func, "id", getattr(call.func, "attr", ""))
            assert not re.search("KFold|ShuffleSplit|train_test_split", what), (name, what)
            drawn = {keyword.arg: keyword.value for keyword in call.keywords}
            frozen = "FrozenEstimator" in "".join(map(ast.unparse, call.args))  # trained already
            if re.search("^cross_val|SearchCV$|CalibratedClassifierCV|Stacking$|WithTemperature", what) and not frozen:
                assert {"cv", None} & set(drawn) and not isinstance(drawn.get("cv"), ast.Constant), (name, what)


def test_labels_that_look_alike_are_one_class(caplog):
    labels = ["caf\u00e9", "cafe\u0301", "caf\u00e9\u200b", "tea"] * 3
    assert TfidfClassifier().fit(TEXTS[:12], labels).classes_.tolist() == ["caf\u00e9", "tea"]
    assert "are one class: caf\u00e9" in caplog.text


@pytest.mark.parametrize("approach", APPROACHES)
def test_manners_of_scikit_learn(approach, tiny_checkpoint):
    "Not fitted says so; pickling; nobody else's random numbers change; a clone is not fitted"
    classifier = make(approach, str(tiny_checkpoint))
    with pytest.raises(NotFittedError):
        classifier.predict_proba(TEXTS)
    np.random.seed(1); random.seed(1)
    before = np.random.get_state()[1].copy(), random.getstate()
    labels = list(NAMES)
    classifier.fit(TEXTS, labels)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert random.getstate() == before[1] and labels == NAMES
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_allclose(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS), atol=1e-6)
    with pytest.raises(NotFittedError):
        clone(classifier).predict_proba(TEXTS)


def test_torch_keeps_its_random_numbers(tiny_checkpoint):
    import torch
    torch.manual_seed(3)
    expected = torch.rand(2)
    for classifier in (FineTunedClassifier(str(tiny_checkpoint), epochs=1), ContrastiveClassifier(str(tiny_checkpoint), rounds=1)):
        torch.manual_seed(3)
        classifier.fit(TEXTS, NAMES)
        assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("make_one, width", [(lambda folder: FeatureExtractor(folder), 32), (lambda folder: LayerExtractor(folder, 1), 32), (lambda folder: HandMadeFeatures(), 13)])
def test_features_have_names(make_one, width, tiny_checkpoint):
    extractor = make_one(str(tiny_checkpoint)).fit(TEXTS)
    assert len(extractor.get_feature_names_out()) == width == extractor.transform(TEXTS[:2]).shape[1]
    with pytest.raises(NotFittedError):
        make_one(str(tiny_checkpoint)).transform(TEXTS)


@pytest.mark.parametrize("which", ["features", "fine-tuned", "onnx"])
def test_threads_share_a_model_for_long_texts(which, tiny_checkpoint, tmp_path):
    "Eight threads with texts beyond the limit, whose cutting must not change a shared tokenizer"
    classifier = make("features" if which == "features" else "fine-tuned", str(tiny_checkpoint)).fit(TEXTS, NAMES)
    if which == "onnx":
        save(classifier, tmp_path/"model")
        export_onnx(tmp_path/"model", TEXTS, NAMES)
        classifier = OnnxClassifier.load(tmp_path/"model")
    elif which == "features":
        classifier["features"].cache_.path = None
    texts = [f"{text} " * 40 for text in TEXTS[:6]]
    expected, found, failed = classifier.predict_proba(texts), [], []
    def ask():
        try:
            found.extend(classifier.predict_proba(texts) for _ in range(6))
        except BaseException as error:
            failed.append(error)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not failed and len(found) == 48
    for one in found:
        np.testing.assert_allclose(one, expected, atol=1e-5)


def test_an_epoch_may_be_cut_short(tiny_checkpoint, caplog):
    caplog.set_level("INFO", "emotion_nbdev")
    labels = ["joy", "anger", "sadness"] * (len(MANY) // 3) + ["joy"] * (len(MANY) % 3)
    fitted = FineTunedClassifier(str(tiny_checkpoint), epochs=1.5, batch_size=4).fit(MANY, labels, validation=(MANY[:9], labels[:9]))
    steps = -(-len(MANY) // 4)
    ended = round(-(-steps * 3 // 2) / steps, 2)  # a step is not cut
    assert fitted.history_.index.tolist() == [1, ended] and fitted.history_["macro_f1"].notna().all()
    assert [line.split(":")[0] for line in caplog.messages if line.startswith("epoch")] == ["epoch 1 of 1.5", f"epoch {ended:.3g} of 1.5"]


IMPOSSIBLE = {"epochs": (0, "epochs is 0"), "learning_rate": (0., "learning_rate is 0"), "batch_size": (0, "batch_size is 0"), "label_smoothing": (1., "label_smoothing is 1"), "patience": (2, "there is no validation")}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_numbers_with_which_nothing_can_be_trained(name, tiny_checkpoint):
    value, message = IMPOSSIBLE[name]
    with pytest.raises(InputError, match=message):
        FineTunedClassifier(str(tiny_checkpoint)).set_params(**{name: value}).fit(TEXTS, NAMES)


def test_pooling_is_refused_before_anything_is_computed(tiny_checkpoint):
    with pytest.raises(InputError, match="pooling 'max' is not known. Known: mean, cls, last"):
        FeatureExtractor(str(tiny_checkpoint), pooling="max").fit()


def test_checkpoints_of_other_data_are_refused(tiny_checkpoint, tmp_path):
    classifier = FineTunedClassifier(str(tiny_checkpoint), epochs=1)
    classifier.fit(TEXTS, NAMES, checkpoints=tmp_path/"kept")
    classifier.fit(TEXTS, NAMES, checkpoints=tmp_path/"kept")
    with pytest.raises(InputError, match="holds another training: its data"):
        classifier.fit(TEXTS, NAMES[::-1], checkpoints=tmp_path/"kept")
    with pytest.raises(InputError, match="holds another training: its settings"):
        clone(classifier).set_params(learning_rate=1e-3).fit(TEXTS, NAMES, checkpoints=tmp_path/"kept")


def test_copies_stay_on_one_side():
    "Labels by lot, each text three times: nothing can be right more often than the lot"
    rng = np.random.default_rng(0)
    texts = [f"ticket {word} {number}" for number in range(60) for word in ("late", "Late", "late ")]
    frame = pd.DataFrame({"text": texts, "label": rng.choice(["open", "closed"], len(texts))})
    train, validation = hold_out(frame)
    assert not set(text_key(train["text"])) & set(text_key(validation["text"]))
    assert .05 < len(validation) / len(frame) < .2
    for inside, outside in TextFolds(5).split(frame["text"], frame["label"]):
        assert not set(text_key(frame["text"][inside])) & set(text_key(frame["text"][outside]))
    assert sorted(np.concatenate([outside for _, outside in TextFolds(5).split(frame["text"], frame["label"])])) == list(range(len(frame)))
