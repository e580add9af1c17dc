"The numbers: against references, under permutation, and do the intervals hold what they promise?"

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from conftest import call
from emotion_nbdev.production.calibration import (
    Temperature,
    abstain_below,
    best_temperature,
    choose_threshold,
)
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.error_analysis import (
    by_loss,
    confused_pairs,
    count_emoji,
    message_kinds,
    slices,
    sortable_table,
)
from emotion_nbdev.evaluation import (
    Answers,
    bootstrap_intervals,
    calibration_error,
    calibration_interval,
    compare,
    confusion_counts,
    count_metrics,
    ledger,
    ledger_row,
    mean_interval,
    noise_ceiling,
    wilson_interval,
)
from emotion_nbdev.fine_tuning import FineTunedClassifier

NAMES = np.array(["anger", "fear", "joy", "love", "sadness", "surprise"])


def some_answers(seed, n=120, skill=2.0, approach="some", split="validation"):
    "Random answers that know a little"
    rng = np.random.default_rng(seed)
    labels = rng.choice(6, n, p=[0.135, 0.12, 0.33, 0.08, 0.29, 0.045])
    logits = rng.normal(size=(n, 6)) + skill * np.eye(6)[labels] * rng.random((n, 1))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Answers(
        approach,
        split,
        [f"text {number}" for number in range(n)],
        NAMES[labels],
        probabilities,
        NAMES,
    )


def slow_calibration_error(confidence, right, bins=15):
    total = 0
    for low in np.arange(bins) / bins:
        inside = [
            (c, r)
            for c, r in zip(confidence, right)
            if low <= c < low + 1 / bins or (c == 1 and low == (bins - 1) / bins)
        ]
        if inside:
            total += (
                len(inside)
                / len(confidence)
                * abs(
                    sum(r for _, r in inside) / len(inside)
                    - sum(c for c, _ in inside) / len(inside)
                )
            )
    return total


@pytest.mark.parametrize("seed", range(8))
def test_metrics_against_references(seed):
    one = some_answers(seed, n=50 + 40 * seed)
    row, kept = ledger_row(one), sorted(set(one.labels))
    assert count_metrics(confusion_counts(one.labels, one.predicted, NAMES))[
        "macro_f1"
    ] == pytest.approx(
        f1_score(one.labels, one.predicted, average="macro", labels=kept, zero_division=0), abs=1e-9
    )
    assert row["weighted_f1"] == pytest.approx(
        f1_score(one.labels, one.predicted, average="weighted", zero_division=0), abs=1e-6
    )
    assert row["accuracy"] == pytest.approx(accuracy_score(one.labels, one.predicted), abs=1e-6)
    assert row["log_loss"] == pytest.approx(
        log_loss(one.labels, one.probabilities, labels=NAMES), abs=1e-6
    )
    right = one.predicted == one.labels
    assert calibration_error(one.probabilities.max(1), right) == pytest.approx(
        slow_calibration_error(one.probabilities.max(1), right), abs=1e-9
    )
    assert (
        sum(entry["support"] for entry in row["per_class"]) == row["n"] == np.sum(row["confusion"])
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_permuting_rows_changes_nothing(seed, n):
    one, order = some_answers(seed, n), np.random.default_rng(seed).permutation(n)
    shuffled = Answers(
        one.approach,
        one.split,
        np.array(one.texts)[order],
        one.labels[order],
        one.probabilities[order],
        one.classes,
    )
    first, second = (
        {name: value for name, value in ledger_row(given).items() if name != "samples"}
        for given in (one, shuffled)
    )
    assert {
        name: pytest.approx(value, abs=1e-9)
        if name not in ("approach", "split", "per_class", "confusion")
        else value
        for name, value in first.items()
    } == second
    assert slices(one, least=1)["accuracy"].to_dict() == pytest.approx(
        slices(shuffled, least=1)["accuracy"].to_dict()
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_comparison_is_antisymmetric_and_exact(seed):
    one = some_answers(seed)
    other = Answers(
        "other", one.split, one.texts, one.labels, some_answers(seed + 1).probabilities, NAMES
    )
    there, back = compare(one, other), compare(other, one)
    assert there.macro_f1 == pytest.approx(
        -back.macro_f1, abs=1e-12
    ) and there.p_value == pytest.approx(back.p_value)
    assert there.macro_f1 == pytest.approx(
        ledger_row(other)["macro_f1"] - ledger_row(one)["macro_f1"], abs=2e-6
    )
    if there.only_first + there.only_second:
        assert there.p_value == pytest.approx(
            binomtest(there.only_first, there.only_first + there.only_second).pvalue, abs=1e-9
        )


SHARES = np.array([0.135, 0.12, 0.33, 0.08, 0.29, 0.045])


@pytest.mark.parametrize("n, wrong, least", [(100, 0.25, 0.93), (360, 0.25, 0.92), (100, 0.01, 0.92)])
def test_intervals_cover_the_truth_at_their_rate(n, wrong, least):
    "Splits drawn from a known table of (true, predicted): how often is its truth in the interval?"
    rng = np.random.default_rng(7)
    table = wrong * np.outer(SHARES, np.full(6, 1 / 6)) + (1 - wrong) * np.diag(SHARES)
    truth = count_metrics(1e6 * table)
    held = dict.fromkeys(truth, 0)
    for number in range(300):
        counts = rng.multinomial(n, table.ravel()).reshape(6, 6)
        ends = bootstrap_intervals(counts, repetitions=400, seed=number)
        for name in held:
            held[name] += ends[name][0] <= truth[name] <= ends[name][1]
    assert 0.92 <= held["accuracy"] / 300 and 0.92 <= held["weighted_f1"] / 300, held
    assert least <= held["macro_f1"] / 300, held
    if wrong > 0.1:
        assert max(held["accuracy"], held["weighted_f1"]) / 300 <= 0.985, held
        assert held["macro_f1"] / 300 <= (0.995 if n == 100 else 0.985), held  # rare classes: on the safe side


@pytest.mark.parametrize("n", [30, 100, 300])
def test_the_interval_of_a_skewed_mean(n):
    draws = np.random.default_rng(n).exponential(2, (2000, n))
    held = np.mean([low <= 2 <= high for low, high in map(mean_interval, draws)])
    assert 0.935 <= held <= 0.965, held


@pytest.mark.parametrize("n", [100, 360, 2000])
@pytest.mark.parametrize("too_sure", [0, 0.05, 0.15])
def test_the_interval_of_the_calibration_error_covers_the_truth(n, too_sure):
    "Redrawing messages covered a perfectly calibrated model in 1 of 100 samples"
    rng = np.random.default_rng(n)
    held, values = 0, []
    for _ in range(600):
        confidence = 0.2 + 0.8 * rng.beta(4, 1.5, n)
        value, (low, high) = calibration_interval(
            confidence, rng.random(n) < confidence - too_sure
        )
        held += low <= too_sure <= high
        values.append(value)
        assert low <= value <= high
    assert 0.93 <= held / 600 <= 0.995, held
    if too_sure:
        assert np.mean(values) == pytest.approx(too_sure, abs=0.012)
    else:  # the formula of Guo et al. shows .09, .05 and .02
        assert np.mean(values) < 0.5 * n**-0.5


def test_intervals_at_the_ends():
    "All right, none right, one message, one bin"
    assert bootstrap_intervals(np.diag([50, 50]))["macro_f1"] == pytest.approx((0.963, 1), abs=1e-3)
    assert bootstrap_intervals([[0, 9], [1, 0]])["accuracy"] == pytest.approx((0, 0.278), abs=1e-3)
    assert calibration_interval([0.5], [True])[0] <= 0.5
    value, (low, high) = calibration_interval(np.full(1000, 1.0), np.ones(1000, dtype=bool))
    assert (value, low) == (0, 0) and high < 0.01
    value, (low, high) = calibration_interval(np.full(1000, 1.0), np.zeros(1000, dtype=bool))
    assert value == pytest.approx(1, abs=0.02) and high == pytest.approx(1, abs=0.02)


def test_equal_models_are_rarely_told_apart():
    alarms = 0
    for seed in range(200):
        one = some_answers(seed, n=300)
        rng = np.random.default_rng(seed + 10_000)
        other = Answers(
            "other",
            one.split,
            one.texts,
            one.labels,
            (lambda logits: np.exp(logits) / np.exp(logits).sum(1, keepdims=True))(
                rng.normal(size=(300, 6))
                + 2 * np.eye(6)[np.searchsorted(NAMES, one.labels)] * rng.random((300, 1))
            ),
            NAMES,
        )
        low, high = compare(one, other, repetitions=300).macro_f1_interval
        alarms += low > 0 or high < 0
    assert alarms / 200 < 0.10


def test_the_ledger_refuses_what_does_not_fit():
    one, other = some_answers(1), some_answers(2)
    assert list(ledger([ledger_row(one)]).columns)[:4] == ["approach", "split", "n", "accuracy"]
    with pytest.raises(InputError, match="Validation is not test"):
        ledger([ledger_row(one), ledger_row(some_answers(1, split="test"))])
    with pytest.raises(InputError, match="measured on different messages"):
        ledger([ledger_row(one), ledger_row(other)])
    with pytest.raises(InputError, match="needs the same messages"):
        compare(one, other)
    with pytest.raises(InputError, match="split 'dev' is not known"):
        some_answers(1, split="dev")
    with pytest.raises(InputError, match="the label 'calm' is none of its classes"):
        Answers("a", "test", ["x"], ["calm"], [[1.0]], ["joy"])
    with pytest.raises(InputError, match="2 texts, 1 labels"):
        Answers("a", "test", ["x", "y"], ["joy"], [[1.0]], ["joy"])
    assert ledger_row(Answers("a", "test", ["x"], ["joy"], [[0.9, 0.1]], ["joy", "love"]))[
        "log_loss_interval"
    ] == pytest.approx([0.021762, 27.426578])


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_undoes_a_known_one(factor):
    def fitted(given):
        "By the labels alone"
        return Temperature(best_temperature(given, prior=0))

    one = some_answers(3, n=4000)
    calibrated = fitted(one)(one)
    assert fitted(Temperature(factor)(calibrated)).value == pytest.approx(1 / factor, rel=1e-3)
    assert (Temperature(factor)(one).predicted == one.predicted).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 0.99))
def test_threshold_keeps_its_promise_and_cannot_be_lower(seed, precision):
    one = some_answers(seed)

    def promised(point):
        "The lower bound of the precision reaches what was asked for"
        return point.answered and wilson_interval(point.right, point.answered)[0] >= precision

    chosen = choose_threshold(one, precision)
    assert promised(chosen) or not chosen.answered
    thresholds = np.unique(one.probabilities.max(1))
    points = [abstain_below(threshold, one) for threshold in thresholds]
    assert not any(promised(point) for point in points if point.threshold < chosen.threshold)


def test_noise_ceiling():
    texts, labels = (
        ["a b"] * 3 + ["c", "C", "d", "e", "f", "g", "h"],
        ["joy", "joy", "fear", "joy", "fear", "joy", "joy", "joy", "joy", "joy"],
    )
    ceiling = noise_ceiling(texts, labels)
    assert (ceiling.n, ceiling.conflicting, ceiling.accuracy) == (10, 2, 0.8) and ceiling.interval[
        0
    ] < 0.8 < ceiling.interval[1]
    assert noise_ceiling(texts, labels, drawn_from=20).accuracy == pytest.approx(0.6)


def test_card_and_results_have_one_ceiling_and_one_fingerprint(tmp_path, csv_file):
    "Twins lie in two splits; what a card says of them is what the function says that the results page asks"
    import json

    from conftest import ROWS, call
    from emotion_nbdev.dataset import load_data, to_frame
    from emotion_nbdev.evaluation import data_ceiling, samples_digest

    others = {"joy": ROWS["anger"], "anger": ROWS["joy"], "sadness": ROWS["sadness"]}
    csv_file("train.csv", {label: [f"{text} {number}" for text in texts for number in range(4)] + texts for label, texts in ROWS.items()})
    csv_file("validation.csv", {label: [*texts[:2], *(f"{text} too" for text in ROWS[label])] for label, texts in others.items()})
    files = ["--train-file", "train.csv", "--validation-file", "validation.csv"]
    done = call("train", "--approach", "tfidf", *files, "--output-dir", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = load_data(train_file=tmp_path/"train.csv", validation_file=tmp_path/"validation.csv")
    ceiling, text = data_ceiling(data), (tmp_path/"model"/"README.md").read_text()
    assert ceiling.conflicting == 4 and noise_ceiling(*map(to_frame(data["train"]).get, ("text", "label"))).conflicting == 0
    low, high = ceiling.interval
    assert f"4 of the {ceiling.n} messages of train, validation" in text and f"{ceiling.accuracy:.3f} [{low:.3f}, {high:.3f}]" in text
    prints = json.loads((tmp_path/"model"/"training.json").read_text())["data"]["fingerprint"]
    ledger_says = {row["samples"] for row in json.loads((tmp_path/"model"/"metrics.json").read_text())}
    rows = to_frame(data["validation"])
    assert {prints["validation"]} == ledger_says == {samples_digest(rows["text"], rows["label"])}
    assert text.count(prints["validation"]) == 2  # in the table of splits, and behind the figures


def test_tables_of_errors():
    one = some_answers(4, n=300)
    table, pairs = by_loss(one), confused_pairs(one)
    assert table["loss"].is_monotonic_decreasing and sorted(table.index) == list(range(300))
    assert (
        pairs["confused"].sum() == (one.predicted != one.labels).sum()
        and pairs["share"].is_monotonic_decreasing
    )
    html = sortable_table(pd.DataFrame({"<i>": ["</td><script>alert(1)</script>"], "n": [1.23456]}))
    assert "<script>alert" not in html and "<i>" not in html and "1.23<" in html


@pytest.mark.parametrize(
    "text, count",
    [
        ("", 0),
        ("plain words, #2 * 1999 © ™", 0),
        ("🙂", 1),
        ("😡😡😡", 3),
        ("👍🏽👍", 2),
        ("❤️❤", 2),
        ("👩‍🔬", 1),
        ("👨‍👩‍👧‍👦 at home", 1),
        ("🇪🇺🇩🇪", 2),
        ("🇩🇪🇫", 1),
        ("2️⃣#️⃣*⃣", 3),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", 1),
        ("🏳️‍🌈", 1),
        ("a🏽", 0),
        ("©️", 1),
        ("🃏 up my sleeve", 1),
    ],
)
def test_emoji_are_counted_as_a_reader_sees_them(text, count):
    assert count_emoji(text) == count
    assert message_kinds([text, "no sign"])["with emoji"].tolist() == [count > 0, False]


def test_a_narrow_ledger_holds_the_metrics_that_were_asked_for():
    row = ledger_row(some_answers(1), fit_seconds=1.5)
    wide, narrow = ledger([row]), ledger([row], metrics=("macro_f1",))
    assert list(narrow.columns) == ["approach", "split", "n", "macro_f1", "fit_seconds"]
    assert narrow.equals(wide[narrow.columns])


def test_round_trip_of_suspects(tmp_path, tiny_checkpoint):
    rows = pd.DataFrame(
        [
            (f"{text}, number {number} of {number % 7}", label)
            for number in range(15)
            for text, label in (
                ("they lost it again", "anger"),
                ("@best-friends what a fine day", "joy"),
            )
        ],
        columns=["text", "label"],
    )
    rows.loc[4, "label"] = "joy"  # wrong
    rows.to_csv(tmp_path / "data.csv", index=False)
    FineTunedClassifier(tiny_checkpoint, epochs=1).fit(
        rows["text"].tolist(), rows["label"].tolist()
    ).save(tmp_path / "model")
    shown = call(
        "errors",
        "--model",
        "model",
        "--data",
        "data.csv",
        "--split",
        "train",
        "--suspects",
        "suspects.csv",
        "--first",
        8,
        "--checkpoint",
        tiny_checkpoint,
        cwd=tmp_path,
    )
    assert (
        shown.returncode == 0
        and "Kinds of message in train" in shown.stdout
        and "8 doubtful labels: suspects.csv" in shown.stdout
    ), shown.stderr
    listed = pd.read_csv(tmp_path / "suspects.csv", dtype=object)
    assert len(listed) == 8 and 5 in listed["row"].astype(int).tolist()
    listed.loc[listed["row"] == "5", "new_label"] = "anger"
    listed.to_csv(tmp_path / "suspects.csv", index=False)
    before = (tmp_path / "data.csv").read_bytes()
    done = call(
        "errors",
        "--data",
        "data.csv",
        "--apply",
        "suspects.csv",
        "--output",
        "corrected.csv",
        cwd=tmp_path,
    )
    assert done.returncode == 0 and "1 labels changed" in done.stdout, done.stderr
    corrected = pd.read_csv(tmp_path / "corrected.csv")
    assert (
        corrected["text"].tolist() == rows["text"].tolist()
        and corrected.loc[4, "label"] == "anger"
        and (corrected["label"] != rows["label"]).sum() == 1
    )
    assert pd.read_csv(tmp_path / "corrected.changes.csv").iloc[0].to_dict() == {
        "row": 5,
        "text": rows["text"][4],
        "label": "joy",
        "new_label": "anger",
    }
    assert (tmp_path / "data.csv").read_bytes() == before


@pytest.mark.parametrize(
    "change, fault",
    [
        (dict(new_label="calm"), "'calm' is no class of the data"),
        (dict(row="99", new_label="joy"), "row 99 does not exist"),
        (dict(new_label="anger"), "nothing to correct"),
        (dict(row="2", new_label="joy"), "holds another text"),
        (dict(label="fear", new_label="joy"), "the list says 'fear'"),
    ],
)
def test_a_list_that_does_not_fit_writes_nothing(tmp_path, csv_file, change, fault):
    csv_file("data.csv")
    pd.DataFrame(
        [
            {
                "row": "1",
                "text": "you charged me twice and hung up",
                "label": "anger",
                "new_label": "",
            }
            | change
        ]
    ).to_csv(tmp_path / "list.csv", index=False)
    done = call(
        "errors", "--data", "data.csv", "--apply", "list.csv", "--output", "new.csv", cwd=tmp_path
    )
    assert (
        done.returncode == 2
        and fault in done.stderr
        and done.stderr.count("\n") == 1
        and not list(tmp_path.glob("new*"))
    ), done.stderr
