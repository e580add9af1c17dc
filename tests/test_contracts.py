"One scikit-learn interface for all four approaches."

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from conftest import ROWS
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.app.ladder import APPROACHES, make_classifier

LABELS, TEXTS = zip(*((label, text) for label, texts in ROWS.items() for text in texts * 2))
TEXTS, LABELS = list(TEXTS), np.array(LABELS)
ODD = ["", "🙂", "naïve café — “quoted”", "नमस्ते", "x" * 400, "same", "same"]


@pytest.fixture(params=APPROACHES)
def classifier(request, tiny_checkpoint):
    "An untrained classifier of each approach, on the tiny checkpoint"
    made = make_classifier(request.param, str(tiny_checkpoint))
    return made.set_params(epochs=1) if request.param == "fine-tuned" else made


def test_settings_only_in_init(classifier):
    copy = clone(classifier)
    assert {name: repr(value) for name, value in copy.get_params().items()} == {
        name: repr(value) for name, value in classifier.get_params().items()
    }
    classifier.fit(TEXTS, LABELS)
    assert not hasattr(clone(classifier), "classes_")


def test_fit_returns_self_and_predict_names(classifier):
    assert classifier.fit(TEXTS, LABELS) is classifier
    assert list(classifier.classes_) == sorted(ROWS)
    assert set(classifier.predict(TEXTS)) <= set(ROWS)
    assert 0 <= classifier.score(TEXTS, LABELS) <= 1


def test_label_is_the_most_probable_class(classifier):
    classifier.fit(TEXTS, LABELS)
    for texts in (TEXTS, ODD, TEXTS[:1]):
        probabilities = classifier.predict_proba(texts)
        assert probabilities.shape == (len(texts), 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert (
            classifier.predict(texts) == classifier.classes_[probabilities.argmax(axis=1)]
        ).all()


def test_order_and_company_do_not_matter(classifier):
    classifier.fit(TEXTS, LABELS)
    texts = TEXTS + ODD
    probabilities = classifier.predict_proba(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_allclose(
        classifier.predict_proba([texts[i] for i in order]), probabilities[order], atol=1e-5
    )
    np.testing.assert_allclose(
        np.concatenate([classifier.predict_proba([text]) for text in texts]),
        probabilities,
        atol=1e-5,
    )


def test_fitting_again_gives_the_same(classifier):
    first = classifier.fit(TEXTS, LABELS).predict_proba(ODD)
    np.testing.assert_array_equal(clone(classifier).fit(TEXTS, LABELS).predict_proba(ODD), first)
    np.testing.assert_array_equal(classifier.fit(TEXTS, LABELS).predict_proba(ODD), first)


def test_a_class_may_be_missing(classifier):
    kept = LABELS != "sadness"
    classifier.fit(np.array(TEXTS)[kept].tolist(), LABELS[kept])
    assert list(classifier.classes_) == ["anger", "joy"]
    assert classifier.predict_proba(ODD).shape == (len(ODD), 2)


def test_a_class_with_one_text(classifier):
    classifier.fit(TEXTS[:6] + ["one alone"], np.append(LABELS[:6], "joy"))
    assert list(classifier.classes_) == ["anger", "joy"]
    np.testing.assert_allclose(classifier.predict_proba(ODD).sum(axis=1), 1, atol=1e-6)


def test_columns_of_a_table_are_taken_as_they_stand(classifier):
    import pandas as pd

    table = pd.DataFrame({"text": TEXTS, "label": LABELS}, index=range(100, 100 + len(TEXTS)))[::-1]
    probabilities = (
        clone(classifier).fit(table["text"], table["label"]).predict_proba(table["text"])
    )
    np.testing.assert_allclose(
        probabilities,
        clone(classifier)
        .fit(table["text"].tolist(), table["label"].to_numpy())
        .predict_proba(table["text"].tolist()),
        atol=1e-6,
    )


def test_works_in_cross_validation(classifier):
    assert len(cross_val_score(classifier, TEXTS, LABELS, cv=2)) == 2


def test_fine_tuned_survives_saving(tiny_checkpoint, tmp_path):
    from transformers import pipeline

    names = ["sadness", "joy", "anger"]  # another order than the alphabet's
    fitted = FineTunedClassifier(str(tiny_checkpoint), epochs=2, label_names=names).fit(
        TEXTS, LABELS, validation=(TEXTS, LABELS)
    )
    fitted.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["id2label"] == {
        "0": "sadness",
        "1": "joy",
        "2": "anger",
    }
    loaded = FineTunedClassifier.load(tmp_path / "model")
    assert list(loaded.classes_) == list(fitted.classes_)
    np.testing.assert_allclose(loaded.predict_proba(ODD), fitted.predict_proba(ODD), atol=1e-6)
    for text, answers in zip(
        TEXTS, pipeline("text-classification", model=str(tmp_path / "model"), top_k=None)(TEXTS)
    ):
        ours = dict(zip(fitted.classes_, fitted.predict_proba([text])[0]))
        assert {
            answer["label"]: pytest.approx(answer["score"], abs=1e-5) for answer in answers
        } == ours
    with pytest.raises(InputError, match="exists already"):
        fitted.save(tmp_path / "model")
    assert (
        list(fitted.history_.columns) == ["train_loss", "validation_loss", "accuracy", "macro_f1"]
        and len(fitted.history_) == 2
    )


def test_best_epoch_is_kept(tiny_checkpoint, monkeypatch):
    from sklearn.metrics import f1_score

    monkeypatch.setattr(
        "emotion_nbdev.fine_tuning.native_bfloat16", lambda device: False
    )  # else the Trainer's own score is of bfloat16
    fitted = FineTunedClassifier(str(tiny_checkpoint), epochs=4, learning_rate=5e-3).fit(
        TEXTS, LABELS, validation=(TEXTS, LABELS)
    )
    assert f1_score(LABELS, fitted.predict(TEXTS), average="macro") == pytest.approx(
        fitted.history_["macro_f1"].max()
    )


def test_fine_tuned_refuses_bad_labels(tiny_checkpoint):
    with pytest.raises(InputError, match="a single class"):
        FineTunedClassifier(str(tiny_checkpoint)).fit(["a", "b"], ["joy", "joy"])
    with pytest.raises(InputError, match="'fear' is not among"):
        FineTunedClassifier(str(tiny_checkpoint), label_names=["joy", "anger"]).fit(
            ["a", "b"], ["joy", "fear"]
        )
