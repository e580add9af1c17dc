"From two classes to two hundred: one set of classes for macro-F1, memory, and figures that can be read"

import time
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import f1_score

from emotion_nbdev.evaluation import (
    Answers,
    bootstrap_intervals,
    cell_metrics,
    compare,
    confusion_counts,
    count_metrics,
    joint_counts,
    ledger_row,
    redrawn,
)


def certain(approach, labels, predicted, classes, split="test"):
    "Answers with a probability of .9 for the predicted class"
    columns = np.searchsorted(classes, predicted)
    probabilities = np.full((len(labels), len(classes)), 0.1 / (len(classes) - 1))
    probabilities[np.arange(len(labels)), columns] = 0.9
    texts = [f"message {row}" for row in range(len(labels))]
    return Answers(approach, split, texts, labels, probabilities, classes)


def test_a_class_that_is_only_called_does_not_count():
    "Equal answers, except that one side gives five of its wrong ones to a class that no message has"
    classes = np.array(["anger", "fear", "joy", "love", "sadness", "unsure"])
    rng = np.random.default_rng(0)
    labels = rng.choice(classes[:5], 500)
    one = np.where(rng.random(500) < 0.7, labels, rng.choice(classes[:5], 500))
    wrong = np.flatnonzero(one != labels)[:5]
    other = one.copy()
    other[wrong] = "unsure"
    first, second = certain("a", labels, one, classes), certain("b", labels, other, classes)
    found = compare(second, first)
    assert abs(found.macro_f1) < 0.01 and (found.only_first, found.only_second) == (0, 0), found
    assert found.macro_f1_interval[0] <= found.macro_f1 <= found.macro_f1_interval[1]
    assert compare(first, second).macro_f1 == pytest.approx(-found.macro_f1)
    for given in (first, second):
        wanted = f1_score(labels, given.predicted, average="macro", labels=classes[:5])
        assert ledger_row(given)["macro_f1"] == pytest.approx(wanted, abs=1e-6)


def test_a_rare_class_that_a_draw_leaves_out_stays_in_the_mean():
    counts = np.array([[96, 3], [1, 1]])  # one draw in seven has no message of the second class
    value = count_metrics(counts)["macro_f1"]
    low, high = bootstrap_intervals(counts)["macro_f1"]
    assert low < value < high < 0.93, (low, value, high)
    drawn = np.array([[[97, 3], [0, 0]]])
    kept = count_metrics(drawn, counts)["macro_f1"][0]
    f1_of_first, f1_of_second = 2 * 97 / 197, 2 / 6
    assert kept == pytest.approx((f1_of_first + f1_of_second) / 2)
    assert count_metrics(drawn)["macro_f1"][0] == pytest.approx(f1_of_first)


def test_cells_and_tables_say_the_same():
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, (7, 7))
    true, called = counts.nonzero()
    messages = counts[true, called]
    assert cell_metrics(true, called, messages) == pytest.approx(count_metrics(counts))
    batch = next(redrawn(messages, 20))
    tables = np.zeros((20, 7, 7))
    tables[:, true, called] = batch
    for name, values in cell_metrics(true, called, messages, batch).items():
        assert values == pytest.approx(count_metrics(tables, counts)[name])


def test_batches_change_no_draw():
    messages = np.arange(1, 2001)
    whole = np.random.default_rng(42).multinomial(messages.sum(), messages / messages.sum(), 600)
    assert np.array_equal(np.concatenate(list(redrawn(messages, 600))), whole)


def many(classes, n, approach, seed):
    "Random answers to the same messages, one in two of them right"
    names = np.array([f"intent {number:03}" for number in range(classes)])
    labels = np.random.default_rng(0).choice(names, n)
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(n) < 0.5, labels, rng.choice(names, n))
    return certain(approach, labels, said, names)


def test_two_hundred_classes_in_little_memory():
    first, second = many(200, 2000, "a", 1), many(200, 2000, "b", 2)
    counts = confusion_counts(first.labels, first.predicted, first.classes)
    started = time.perf_counter()
    tracemalloc.start()
    found, ends = compare(first, second), bootstrap_intervals(counts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6 and time.perf_counter() - started < 20, (peak, found)
    assert joint_counts(first, second)["messages"].sum() == 2000
    low, high = ends["macro_f1"]
    assert low < count_metrics(counts)["macro_f1"] < high or high - low < 0.1
