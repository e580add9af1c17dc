"`emotion-nbdev compare`: tricks on the same messages, stopped and taken up again."
import json

import numpy as np
import pytest

from conftest import ROWS, call
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.improvements import HandMadeFeatures, LogitAdjusted, Resampled, SoftVoting, adjusted_loss, balanced_places, focal_loss, side_by_side, stacking, weighted_loss
from emotion_nbdev.classifiers import TfidfClassifier
from emotion_nbdev.tricks import choose_tricks, gain_intervals, verdict

LABELS, TEXTS = map(list, zip(*((label, f"{text} {number}") for number in range(4) for label, texts in ROWS.items() for text in texts[:1 + (label == "joy")])))


@pytest.mark.parametrize("wrapped", [Resampled(TfidfClassifier()), Resampled(TfidfClassifier(), "down"), LogitAdjusted(TfidfClassifier()), SoftVoting([TfidfClassifier(), TfidfClassifier(C=.1)]), side_by_side([HandMadeFeatures()]), stacking([TfidfClassifier()], folds=2)])
def test_parts_keep_the_contract(wrapped):
    from sklearn.base import clone
    fitted = clone(wrapped).fit(TEXTS, np.array(LABELS))
    probabilities = fitted.predict_proba(TEXTS)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert list(fitted.classes_) == sorted(ROWS) and (fitted.predict(TEXTS) == fitted.classes_[probabilities.argmax(1)]).all()
    np.testing.assert_allclose(clone(wrapped).fit(TEXTS, np.array(LABELS)).predict_proba(TEXTS[::-1]), probabilities[::-1], atol=1e-6)
    assert not hasattr(clone(fitted), "classes_")


@pytest.mark.parametrize("loss", [weighted_loss, focal_loss, adjusted_loss])
def test_losses_train_through_the_trainer(loss, tiny_checkpoint, tmp_path):
    classifier = FineTunedClassifier(tiny_checkpoint, epochs=2, loss=loss, patience=1).fit(TEXTS, np.array(LABELS), validation=(TEXTS[:6], LABELS[:6]))
    plain = FineTunedClassifier(tiny_checkpoint, epochs=2).fit(TEXTS, np.array(LABELS), validation=(TEXTS[:6], LABELS[:6]))
    assert np.isfinite(classifier.history_["train_loss"]).all() and not np.array_equal(classifier.predict_proba(TEXTS), plain.predict_proba(TEXTS))
    classifier.save(tmp_path/"model")
    assert json.loads((tmp_path/"model"/"training.json").read_text())["settings"]["loss"] == loss.__name__


def test_resampling_changes_training_only():
    labels = np.array(["a"] * 10 + ["b"] * 3)
    up, down = balanced_places(labels), balanced_places(labels, "down")
    assert set(up) == set(range(13)) and (labels[up] == "b").sum() == 10 and (labels[down] == "a").sum() == (labels[down] == "b").sum() == 3


def test_gains_by_hand():
    labels, plain, other = np.array(["x", "x", "y", "y"]), np.array(["x", "y", "y", "y"]), np.array(["x", "x", "y", "y"])
    gain = gain_intervals(labels, [plain, plain], [other, plain])
    assert gain["accuracy"][0] == pytest.approx(.125) and gain["accuracy"][1] <= .125 <= gain["accuracy"][2]
    assert gain_intervals(labels, [plain], [plain])["macro_f1"] == (0, 0, 0)
    assert (verdict(.001, .2), verdict(-.2, .0), verdict(-.01, .2)) == ("pays", "does not", "cannot tell at this size")


def test_the_command_stopped_and_taken_up_again(tmp_path, csv_file, tiny_checkpoint):
    csv_file("train.csv", {label: [f"{text} {number}" for number in range(6) for text in texts] for label, texts in ROWS.items()}); csv_file("validation.csv")
    command = ("compare", "--train-file", "train.csv", "--validation-file", "validation.csv", "--model", tiny_checkpoint, "--tricks", "hand-made,up-sampling,with-tfidf", "--seeds", 2, "--output-dir", "compared")
    stopped = call(*command, "--budget", "0s", cwd=tmp_path)
    assert stopped.returncode == 0 and "left out for want of time" in stopped.stderr and not (tmp_path/"compared"/"comparison.json").exists(), stopped.stderr
    done = call(*command, cwd=tmp_path)
    assert done.returncode == 0 and "with-tfidf" in done.stdout and "hand-made" in done.stdout, done.stderr
    rows = json.loads((tmp_path/"compared"/"comparison.json").read_text())
    assert {(row["trick"], row["seeds"]) for row in rows} == {("hand-made", 2), ("up-sampling", 2), ("with-tfidf", 2)} and (tmp_path/"compared"/"gain_and_cost.png").is_file()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path/"compared"/"cells").iterdir()}
    again = call(*command, cwd=tmp_path)
    assert again.returncode == 0 and again.stdout == done.stdout and {path.name: path.stat().st_mtime_ns for path in (tmp_path/"compared"/"cells").iterdir()} == before
    for arguments, message in ((("--tricks", "magic"), "trick 'magic' is not known"), (("--budget", "soon"), "budget 'soon'"), (("--approach", "svm"), "approach 'svm' is not known")):
        failed = call("compare", "--train-file", "train.csv", *arguments, "--output-dir", "other", cwd=tmp_path)
        assert failed.returncode == 2 and message in failed.stderr and failed.stderr.count("\n") == 1 and not (tmp_path/"other").exists(), failed.stderr
