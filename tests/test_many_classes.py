"From two classes to two hundred: one set of classes for macro-F1, memory, and figures that can be read"

import io
import logging
import time
import tracemalloc
import warnings

import matplotlib

matplotlib.use("agg")
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager, pyplot as plt
from sklearn.metrics import f1_score

from emotion_nbdev.evaluation import (
    Answers,
    bootstrap_intervals,
    cell_metrics,
    class_sums,
    compare,
    confusion_counts,
    count_metrics,
    joint_counts,
    ledger_row,
    matrix_size,
    plot_counts,
    redrawn,
    sum_metrics,
)
from emotion_nbdev.foundations import figures
from emotion_nbdev.production.card import confusion_image
from emotion_nbdev.projection import plot_density_by_class


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
    kept = sum_metrics(class_sums(drawn), class_sums(counts))["macro_f1"][0]
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
        wanted = sum_metrics(class_sums(tables), class_sums(counts))[name]
        assert values == pytest.approx(wanted)


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


def overlapping(texts):
    "Pairs of texts that touch"
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return sum(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])


@pytest.mark.parametrize("k", [1, 2, 3, 6, 8, 20, 21, 28, 77, 200])
@pytest.mark.parametrize("stem", ["joy", "a rather long name of a class, number"])
def test_a_confusion_matrix_can_be_read(k, stem):
    rng = np.random.default_rng(k)
    counts = rng.integers(0, 3, (k, k)) * (rng.random((k, k)) < 0.2) + 20 * np.eye(k, dtype=int)
    ax = plot_counts(counts, [f"{stem} {number}" for number in range(k)], "a title")
    ax.figure.draw_without_rendering()
    assert max(ax.figure.get_size_inches()) <= 12
    for texts in (ax.get_yticklabels(), ax.texts, *(side.texts for side in ax.child_axes)):
        assert overlapping(texts) == 0
    assert bool(ax.texts) == (k <= 20) and len(ax.child_axes) == (k > 20)
    if stem == "joy" and k <= 28:
        assert len(ax.get_yticklabels()) == k
    plt.close("all")


def test_numbers_are_left_out_of_a_small_matrix():
    small = plt.subplots(figsize=(2, 2))[1]
    assert not plot_counts(np.ones((12, 12), dtype=int), list("abcdefghijkl"), ax=small).texts
    plt.close("all")


def test_the_list_names_the_largest_confusions():
    counts = 10 * np.eye(30, dtype=int)
    counts[3, 17], counts[5, 2] = 9, 7
    ax = plot_counts(counts, [f"c{number}" for number in range(30)])
    said = [text.get_text() for text in ax.child_axes[0].texts]
    assert said == ["c3 → c17: 9 of 19", "c5 → c2: 7 of 17"]
    places = [label.get_text().split()[0] for label in ax.get_yticklabels()]
    for one, other in (("c3", "c17"), ("c5", "c2")):  # neighbours
        assert abs(places.index(one) - places.index(other)) == 1
    plt.close("all")


ODD = ["$0-$5", "$5_$10", "x^2_", "\\frac{", "so\n" * 20, "\x1b[31mred", "فرح", "שמחה", "a\u202eb"]


def test_names_are_drawn_as_they_are(tmp_path):
    k = len(ODD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for names in (ODD, ODD + [f"other {number}" for number in range(20)]):
            ax = plot_counts(np.eye(len(names), dtype=int), names, title="$5_$10")
            ax.figure.savefig(tmp_path / "confusion.png")
            assert ax.get_title() == "$5_$10"
        plane = np.random.default_rng(0).random((k, 2))
        drawn = plot_density_by_class(plane, ODD, ODD)
        drawn.savefig(tmp_path / "umap.png")
    shown = [panel.get_title().replace("\u200e", "") for panel in drawn.axes[:k]]
    assert shown[:4] == [f"{name} (n=1)" for name in ODD[:4]]
    assert shown[5:] == [f"{name} (n=1)" for name in ("[31mred", "فرح", "שמחה", "ab")]
    plt.close("all")


def test_long_names_stay_apart():
    names = [f"my card was swallowed by a machine abroad {number}" for number in range(12)]
    shown = figures.as_written(names)[0]
    assert len(set(shown)) == 12 and max(map(len, shown)) == 24
    assert figures.as_written(["a", "a"])[0] == ["a", "a"]


def test_a_font_of_the_system_is_found_or_named_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(figures, "system_fonts", dict)
    figures.say_missing.cache_clear()
    names = ["喜び", "悲しみ", "आनंद"]
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            plot_counts(np.eye(3, dtype=int), names).figure.savefig(tmp_path / "confusion.png")
    assert len(caplog.records) == 1
    assert "Install e.g. Noto Sans CJK and Noto Sans Devanagari" in caplog.text
    monkeypatch.undo()
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0)), pen.lineTo((500, 0)), pen.lineTo((250, 700)), pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "sign"])
    builder.setupCharacterMap({ord(sign): "sign" for sign in "".join(names)})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "sign": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (600, 0), "sign": (600, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Invented Signs", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "invented.ttf")
    listed = list(font_manager.fontManager.ttflist)
    fonts = font_manager.findSystemFonts() + [str(tmp_path / "invented.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: fonts)
    try:
        shown, style = figures.as_written(names)
        assert shown == names and "Invented Signs" in style["fontfamily"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plot_counts(np.eye(3, dtype=int), names).figure.savefig(tmp_path / "confusion.png")
    finally:
        font_manager.fontManager.ttflist[:] = listed
        plt.close("all")


def test_a_umap_figure_of_many_classes_stays_on_a_page():
    names = [f"intent {number}" for number in range(150)]
    plane, labels = np.random.default_rng(0).random((900, 2)), np.repeat(names, 6)
    assert max(plot_density_by_class(plane, labels, names).get_size_inches()) <= 12
    assert max(matrix_size(names)) <= 12
    plt.close("all")


def test_the_image_of_a_card_of_many_classes_is_whole():
    "Nothing but white at its edges"
    names = [f"a fairly long intent with number {number}" for number in range(77)]
    image = confusion_image(np.eye(77, dtype=int) * 9 + np.eye(77, k=3, dtype=int), names)
    pixels = plt.imread(io.BytesIO(image))[..., :3]
    for edge in (pixels[:, 0], pixels[:, -1], pixels[0], pixels[-1]):
        assert edge.min() == 1
