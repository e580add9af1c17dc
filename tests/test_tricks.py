"`emotion-nbdev compare`: tricks on the same messages, stopped and taken up again."

import json

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier

from conftest import ROWS, call
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.improvements import (
    HandMadeFeatures,
    LogitAdjusted,
    Resampled,
    adjusted_loss,
    balanced_places,
    focal_loss,
    side_by_side,
    stacking,
    weighted_loss,
)
from emotion_nbdev.classifiers import TfidfClassifier
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.evaluation import Answers
from emotion_nbdev.beyond.few_labels import ContrastiveClassifier, draw_pairs, examples_per_class
from emotion_nbdev.beyond.search import (
    SearchedFineTuning,
    SearchedHead,
    best_settings,
    open_study,
    trials_left,
)
from emotion_nbdev.beyond.comparison import calibration_of, simultaneous_gains
from emotion_nbdev.beyond.ensembles import Calibrated, CalibratedVoting
from emotion_nbdev.beyond.tricks import TRICKS, WithoutSuspects, choose_tricks, trick
from emotion_nbdev.production.calibration import Temperature, best_temperature

LABELS, TEXTS = map(
    list,
    zip(
        *(
            (label, f"{text} {number}")
            for number in range(4)
            for label, texts in ROWS.items()
            for text in texts[: 1 + (label == "joy")]
        )
    ),
)


@pytest.mark.parametrize(
    "wrapped",
    [
        Resampled(TfidfClassifier()),
        Resampled(TfidfClassifier(), "down"),
        LogitAdjusted(TfidfClassifier()),
        VotingClassifier(
            [("one", TfidfClassifier()), ("other", TfidfClassifier(C=0.1))], voting="soft"
        ),
        side_by_side([HandMadeFeatures()]),
        stacking([TfidfClassifier()], folds=2),
    ],
)
def test_parts_keep_the_contract(wrapped):
    from sklearn.base import clone

    fitted = clone(wrapped).fit(TEXTS, np.array(LABELS))
    probabilities = fitted.predict_proba(TEXTS)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert (
        list(fitted.classes_) == sorted(ROWS)
        and (fitted.predict(TEXTS) == fitted.classes_[probabilities.argmax(1)]).all()
    )
    np.testing.assert_allclose(
        clone(wrapped).fit(TEXTS, np.array(LABELS)).predict_proba(TEXTS[::-1]),
        probabilities[::-1],
        atol=1e-6,
    )
    assert not hasattr(clone(fitted), "classes_")


@pytest.mark.parametrize("loss", [weighted_loss, focal_loss, adjusted_loss])
def test_losses_train_through_the_trainer(loss, tiny_checkpoint, tmp_path):
    classifier = FineTunedClassifier(tiny_checkpoint, epochs=2, loss=loss, patience=1).fit(
        TEXTS, np.array(LABELS), validation=(TEXTS[:6], LABELS[:6])
    )
    plain = FineTunedClassifier(tiny_checkpoint, epochs=2).fit(
        TEXTS, np.array(LABELS), validation=(TEXTS[:6], LABELS[:6])
    )
    assert np.isfinite(classifier.history_["train_loss"]).all() and not np.array_equal(
        classifier.predict_proba(TEXTS), plain.predict_proba(TEXTS)
    )
    classifier.save(tmp_path / "model")
    assert (
        json.loads((tmp_path / "model" / "training.json").read_text())["settings"]["loss"]
        == loss.__name__
    )


def test_resampling_changes_training_only():
    labels = np.array(["a"] * 10 + ["b"] * 3)
    up, down, even = (
        balanced_places(labels),
        balanced_places(labels, "down"),
        balanced_places(labels, "even"),
    )
    assert (
        set(up) == set(range(13))
        and (labels[up] == "b").sum() == 10
        and (labels[down] == "a").sum() == (labels[down] == "b").sum() == 3
    )
    assert (
        (labels[even] == "a").sum() == (labels[even] == "b").sum() == 6
        and len(set(even[labels[even] == "a"])) == 6
        and set(np.flatnonzero(labels == "b")) < set(even)
    )


def test_gains_by_hand():
    labels, plain, other = (
        np.array(["x", "x", "y", "y"]),
        np.array(["x", "y", "y", "y"]),
        np.array(["x", "x", "y", "y"]),
    )
    (gain,) = simultaneous_gains(labels, [([plain, plain], [other, plain])])
    low, high = gain["accuracy"].interval
    assert gain["accuracy"].value == pytest.approx(0.125) and low < 0.125 < high
    (none,) = simultaneous_gains(labels, [([plain], [plain])])
    assert none["macro_f1"].interval == (0, 0)


def test_a_search_that_was_stopped_goes_on(tiny_checkpoint, tmp_path):
    head = SearchedHead(tiny_checkpoint, trials=3, study_path=tmp_path / "study.db", folds=2).fit(
        TEXTS, np.array(LABELS)
    )
    before = [tuple(trial.params.items()) for trial in head.study_.trials]
    more = SearchedHead(tiny_checkpoint, trials=5, study_path=tmp_path / "study.db", folds=2).fit(
        TEXTS, np.array(LABELS)
    )
    tried = [tuple(trial.params.items()) for trial in more.study_.trials]
    assert tried[:3] == before and len(before) == 3 and len(set(tried)) == 5
    assert (
        more.study_.best_params["C"] == more.classifier_.named_steps["head"].C
        and trials_left(more.study_, 4) == 0
    )
    with pytest.raises(InputError, match="about something else"):
        SearchedHead(tiny_checkpoint, study_path=tmp_path / "study.db").fit(
            TEXTS[1:], np.array(LABELS[1:])
        )
    with pytest.raises(InputError, match="about something else"):
        SearchedFineTuning(tiny_checkpoint, study_path=tmp_path / "study.db").fit(
            TEXTS, np.array(LABELS)
        )


@pytest.mark.parametrize(
    "other", [dict(folds=3), dict(seed=7), dict(checkpoint="twin")], ids=["folds", "seed", "weights"]
)
def test_a_study_of_other_folds_seeds_or_weights_is_refused(other, tiny_checkpoint, tmp_path):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "study.db"
    settings = dict(checkpoint=str(tiny_checkpoint), trials=1, study_path=path, folds=2)
    SearchedHead(**settings).fit(TEXTS, np.array(LABELS))
    if "checkpoint" in other:
        import shutil

        other = dict(checkpoint=str(tmp_path / "twin"))
        shutil.copytree(tiny_checkpoint, other["checkpoint"])
        weights = load_file(tmp_path / "twin" / "model.safetensors")
        save_file({name: array * 1.5 for name, array in weights.items()}, tmp_path / "twin" / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=f"another {next(iter(other))}"):
        SearchedHead(**settings | other).fit(TEXTS, np.array(LABELS))


def test_a_search_finds_the_same_however_often_it_is_stopped(tiny_checkpoint, tmp_path):
    def tried(path, *steps):
        for trials in steps:
            searched = SearchedHead(str(tiny_checkpoint), trials=trials, study_path=path, folds=2)
            searched.fit(TEXTS, np.array(LABELS))
        return [(trial.params, trial.value) for trial in searched.study_.trials]

    assert tried(tmp_path / "stopped.db", 1, 4, 8) == tried(None, 8)


def test_the_clock_of_a_search_is_a_guard_that_is_reported(tiny_checkpoint, caplog):
    import logging

    logging.getLogger("emotion_nbdev").propagate = True
    with pytest.raises(InputError, match="no trial of the search came to its end"):
        SearchedHead(str(tiny_checkpoint), trials=2, seconds=0, folds=2).fit(TEXTS, np.array(LABELS))
    assert "ended by its clock, after 0 of 2 trials in 0 s" in caplog.text
    caplog.clear()
    SearchedHead(str(tiny_checkpoint), trials=2, folds=2).fit(TEXTS, np.array(LABELS))
    assert "clock" not in caplog.text
    assert SearchedHead().seconds is SearchedFineTuning().seconds is None  # trials are the budget


def test_an_interrupted_trial_is_made_again(tmp_path):
    study = open_study(tmp_path / "study.db")

    def interrupted(trial):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.optimize(interrupted, n_trials=1)
    assert trials_left(open_study(tmp_path / "study.db"), 1) == 1
    with pytest.raises(InputError, match="no trial of the search came to its end"):
        best_settings(study)


def test_the_trainer_searches_and_the_best_settings_train(tiny_checkpoint, tmp_path):
    searched = SearchedFineTuning(
        tiny_checkpoint, trials=3, study_path=tmp_path / "study.db", epochs=1
    ).fit(TEXTS, np.array(LABELS), validation=(TEXTS[:6], LABELS[:6]))
    assert (
        len(searched.study_.trials) == 3
        and searched.classifier_.learning_rate == searched.study_.best_params["learning_rate"]
    )
    assert all(
        trial.intermediate_values for trial in searched.study_.trials
    )  # each epoch was reported, or nothing could be pruned
    assert set(searched.classes_) == set(LABELS) and np.allclose(
        searched.predict_proba(TEXTS).sum(1), 1
    )


def test_pairs_bring_a_class_together(tiny_checkpoint):
    pairs = draw_pairs(LABELS, rounds=2)
    labels = np.array(LABELS)
    assert (
        (labels[pairs["first"]] == labels[pairs["second"]]) == pairs["same"].astype(bool)
    ).all() and pairs["same"].mean() == 0.5
    trained = ContrastiveClassifier(tiny_checkpoint, rounds=5, learning_rate=3e-3).fit(
        TEXTS, labels
    )

    def contrast(vectors):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines, same = unit @ unit.T, labels[:, None] == labels
        return cosines[same].mean() - cosines[~same].mean()

    from emotion_nbdev.features import FeatureExtractor

    before = contrast(
        FeatureExtractor(tiny_checkpoint, dtype="float32", cache=False).fit().transform(TEXTS)
    )
    assert contrast(trained.classifier_.named_steps["features"].transform(TEXTS)) > before + 0.05
    again = ContrastiveClassifier(tiny_checkpoint, rounds=5, learning_rate=3e-3).fit(TEXTS, labels)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), trained.predict_proba(TEXTS))


def test_examples_are_nested_and_of_the_number_asked():
    labels = np.array(["a"] * 20 + ["b"] * 9)
    few, more = (
        examples_per_class(labels, 4, seed=3),
        examples_per_class(labels, {"a": 8, "b": 4}, seed=3),
    )
    assert set(few) < set(more) and ((labels[more] == "a").sum(), (labels[more] == "b").sum()) == (
        8,
        4,
    )


def test_temperature_is_measured_on_the_other_half():
    rng, right = np.random.default_rng(0), 0.7
    labels = np.where(rng.random(4000) < right, "a", "b")
    too_sure = Answers(
        "sure", "validation", ["t"] * 4000, labels, np.tile([0.99, 0.01], (4000, 1)), ["a", "b"]
    )
    before, after = calibration_of(too_sure)
    assert before == pytest.approx(0.99 - (labels == "a").mean()) and after < 0.03


def test_a_new_trick_is_offered_under_its_name(monkeypatch):
    monkeypatch.setitem(TRICKS, "features", list(TRICKS["features"]))

    @trick("features", "mine", "my own")
    def mine(checkpoint, names, seed):
        return TfidfClassifier(seed=seed)

    assert [(kind, one.name) for kind, one in choose_tricks("mine")] == [
        ("features", "plain"),
        ("features", "mine"),
    ]
    assert choose_tricks("mine")[1][1].make("any", ["a", "b"], 7).seed == 7
    with pytest.raises(InputError, match="trick 'mine' is not known for fine-tuned"):
        choose_tricks("mine", "fine-tuned")


def test_few_messages_are_no_reason_to_fail(tiny_checkpoint):
    few = WithoutSuspects(TfidfClassifier(), tiny_checkpoint).fit(TEXTS[:20], np.array(LABELS[:20]))
    assert set(few.classes_) == set(LABELS[:20])


def test_the_temperature_is_that_of_scikit_learn():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    model = TfidfClassifier().fit(TEXTS, np.array(LABELS))
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature", cv=2).fit(
        TEXTS, np.array(LABELS)
    )
    probabilities = model.predict_proba(TEXTS)
    given = Answers("model", "validation", TEXTS, LABELS, probabilities, model.classes_)
    ours = Temperature(best_temperature(given, prior=0))  # the labels alone
    np.testing.assert_allclose(ours.scale(probabilities), theirs.predict_proba(TEXTS), atol=1e-3)
    assert Calibrated(model).fit(TEXTS, LABELS).temperature_ == Temperature.fit(given)


def test_a_vote_knows_the_classes_that_no_labelled_message_has():
    members = [Calibrated(TfidfClassifier(C=C).fit(TEXTS, np.array(LABELS))) for C in (0.1, 1)]
    some = [row for row, label in enumerate(LABELS) if label != "joy"]
    voting = CalibratedVoting(members).fit(
        [TEXTS[row] for row in some], np.array([LABELS[row] for row in some])
    )
    assert (
        list(voting.classes_) == sorted(ROWS)
        and 0.05 <= voting.classifier_.temperature_.value <= 20
    )
    probabilities = voting.predict_proba(TEXTS)
    assert probabilities.shape == (len(TEXTS), len(ROWS)) and np.allclose(probabilities.sum(1), 1)
    assert (voting.predict(TEXTS) == np.array(LABELS)).mean() > 0.8


def test_other_checkpoints_stand_in_the_table(tmp_path, csv_file, tiny_checkpoint):
    csv_file(
        "train.csv",
        {
            label: [f"{text} {number}" for number in range(6) for text in texts]
            for label, texts in ROWS.items()
        },
    )
    csv_file("validation.csv")
    import shutil

    shutil.copytree(tiny_checkpoint, tmp_path / "twin")
    done = call(
        "compare",
        "--train-file",
        "train.csv",
        "--validation-file",
        "validation.csv",
        "--model",
        tiny_checkpoint,
        "--other",
        "twin",
        "--tricks",
        "checkpoint twin,beside twin",
        "--seeds",
        1,
        "--output-dir",
        "compared",
        cwd=tmp_path,
    )
    rows = {
        row["trick"]: row
        for row in json.loads((tmp_path / "compared" / "comparison.json").read_text())
    }
    assert done.returncode == 0 and set(rows) == {"plain", "checkpoint twin", "beside twin"}, (
        done.stderr
    )
    assert (
        rows["checkpoint twin"]["gain macro_f1"] == 0
        and rows["checkpoint twin"]["accuracy"] == rows["plain"]["accuracy"]
    )
    missing = call(
        "compare",
        "--train-file",
        "train.csv",
        "--other",
        "nowhere/to-be-found",
        "--output-dir",
        "other",
        cwd=tmp_path,
        HF_HUB_OFFLINE="1",
    )
    assert (
        missing.returncode == 2
        and missing.stderr.count("\n") == 1
        and not (tmp_path / "other").exists()
    ), missing.stderr


def test_a_trick_that_cannot_be_done_is_named_and_the_others_go_on(
    tmp_path, csv_file, tiny_checkpoint
):
    csv_file(
        "train.csv", {"anger": ROWS["anger"], "joy": ROWS["joy"], "sadness": ROWS["sadness"][:1]}
    )
    csv_file("validation.csv")
    done = call(
        "compare",
        "--train-file",
        "train.csv",
        "--validation-file",
        "validation.csv",
        "--model",
        tiny_checkpoint,
        "--tricks",
        "searched-head,with-tfidf,up-sampling",
        "--seeds",
        1,
        "--output-dir",
        "compared",
        cwd=tmp_path,
    )
    assert (
        done.returncode == 0
        and "up-sampling" in done.stdout
        and "left out: searched-head: a single message is labelled 'sadness'" in done.stderr
        and "left out: with-tfidf" in done.stderr
        and "Traceback" not in done.stderr
    ), done.stderr
    csv_file("train.csv", {"anger": ROWS["anger"]})
    csv_file("validation.csv", {"anger": ROWS["anger"]})
    without = call(
        "compare",
        "--train-file",
        "train.csv",
        "--validation-file",
        "validation.csv",
        "--model",
        tiny_checkpoint,
        "--tricks",
        "up-sampling",
        "--seeds",
        1,
        "--output-dir",
        "other",
        cwd=tmp_path,
    )
    assert without.returncode == 2 and "Traceback" not in without.stderr, without.stderr


def test_the_command_stopped_and_taken_up_again(tmp_path, csv_file, tiny_checkpoint):
    csv_file(
        "train.csv",
        {
            label: [f"{text} {number}" for number in range(6) for text in texts]
            for label, texts in ROWS.items()
        },
    )
    csv_file("validation.csv")
    command = (
        "compare",
        "--train-file",
        "train.csv",
        "--validation-file",
        "validation.csv",
        "--model",
        tiny_checkpoint,
        "--tricks",
        "hand-made,up-sampling,with-tfidf,vote-with-tfidf",
        "--seeds",
        2,
        "--output-dir",
        "compared",
    )
    stopped = call(*command, "--budget", "0s", cwd=tmp_path)
    assert (
        stopped.returncode == 0
        and "were left out" in stopped.stderr
        and not (tmp_path / "compared" / "comparison.json").exists()
    ), stopped.stderr
    done = call(*command, cwd=tmp_path)
    assert done.returncode == 0 and "with-tfidf" in done.stdout and "hand-made" in done.stdout, (
        done.stderr
    )
    rows = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert {(row["trick"], row["seeds"]) for row in rows} == {
        (name, 2)
        for name in (
            "plain",
            "tfidf-every-sign",
            "hand-made",
            "up-sampling",
            "with-tfidf",
            "vote-with-tfidf",
        )
    } and (tmp_path / "compared" / "gain_and_cost.png").is_file()
    before = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "compared" / "cells").iterdir()
    }
    again = call(*command, cwd=tmp_path)
    assert (
        again.returncode == 0
        and again.stdout == done.stdout
        and {
            path.name: path.stat().st_mtime_ns
            for path in (tmp_path / "compared" / "cells").iterdir()
        }
        == before
    )
    for arguments, message in (
        (("--tricks", "magic"), "trick 'magic' is not known"),
        (("--budget", "soon"), "budget 'soon'"),
        (("--approach", "svm"), "approach 'svm' is not known"),
    ):
        failed = call(
            "compare",
            "--train-file",
            "train.csv",
            *arguments,
            "--output-dir",
            "other",
            cwd=tmp_path,
        )
        assert (
            failed.returncode == 2
            and message in failed.stderr
            and failed.stderr.count("\n") == 1
            and not (tmp_path / "other").exists()
        ), failed.stderr
