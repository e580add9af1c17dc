"Do verdicts keep their promise? Many answers without an effect, and what is said of them."

import subprocess, sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from emotion_nbdev.app.ladder import Climb
from emotion_nbdev.error_analysis import slices
from emotion_nbdev.app.report import (
    draw_figures,
    render_report,
    trust,
)
from emotion_nbdev.beyond.comparison import (
    VERDICTS,
    Gain,
    advice,
    compare_tricks,
    held_out_third,
    messages_needed,
    plot_gain_and_cost,
    redrawn_scores,
    simultaneous_gains,
    training_of,
    trick_table,
    verdict,
)
from emotion_nbdev.beyond.tricks import TRICKS, Trick, choose_tricks
from emotion_nbdev.foundations.core import InputError, peak_memory, reset_peak
from emotion_nbdev.evaluation import Answers, ledger_row, losses, wilson_interval
from emotion_nbdev.production.calibration import (
    Temperature,
    best_temperature,
    choose_threshold,
    honesty,
    least_answers,
)
from emotion_nbdev.production.trust import make_trust

NAMES = np.array(["anger", "fear", "joy", "love"])


def some_answers(seed, tricks=13, n=300, seeds=3, luck=0.1, gain=0.0):
    "Label names, and for the plain recipe and each trick (seeds, n) answers; only the first trick may gain"
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, n, p=[0.15, 0.2, 0.5, 0.15])
    wrong, ease = (labels + rng.integers(1, 4, n)) % 4, rng.normal(size=n) + 0.7
    said = []
    for number in range(tricks + 1):
        own = ease + 0.7 * rng.normal(size=n) + gain * (number == 1)
        runs = [own + 0.5 * rng.normal(size=n) + luck * rng.normal() for _ in range(seeds)]
        said.append(NAMES[np.where(np.array(runs) > 0, labels, wrong)])
    return NAMES[labels], said


def verdicts(seed, **how):
    labels, (plain, *others) = some_answers(seed, **how)
    gains = simultaneous_gains(labels, [(plain, other) for other in others], repetitions=200)
    return [verdict(one) for one in gains]


@pytest.mark.parametrize("how", [dict(seeds=1, luck=0), dict(seeds=3, luck=0.2)])
def test_tricks_without_effect_pay_in_one_comparison_of_twenty_at_most(how):
    said = [set(verdicts(seed, **how)) for seed in range(100)]
    assert np.mean(["pays" in one for one in said]) <= 0.06
    assert np.mean([bool(one & {"harms", "mixed"}) for one in said]) <= 0.06


def test_a_trick_that_gains_is_found():
    found = [verdicts(seed, n=600, luck=0.05, gain=0.5)[0] for seed in range(20)]
    assert found.count("pays") >= 15


def test_seeds_that_agree_by_chance_do_not_make_a_gain_sure():
    labels, (plain, *others) = some_answers(1, luck=0.3)
    agree = np.array([others[0][0]] * 2 + [others[0][1]])
    *_, first = simultaneous_gains(labels, [(plain, one) for one in [*others, agree]])
    typical = np.median(
        [g["accuracy"].by_seeds for g in simultaneous_gains(labels, [(plain, o) for o in others])]
    )
    assert first["accuracy"].by_seeds >= typical * 0.9


def test_both_metrics_have_a_say():
    def said(accuracy, macro_f1, **more):
        gains = dict(accuracy=accuracy, macro_f1=macro_f1)
        return verdict({k: Gain(v, 1e-4, 0, 300, 3, critical=2) for k, v in gains.items()}, **more)

    assert said(0.03, 0.0) == said(0.0, 0.03) == "pays"
    assert said(0.03, -0.03) == "mixed" and said(-0.03, 0.0) == "harms"
    assert said(-0.016, -0.016) == "no gain" and said(0, 0) == "cannot tell at this size"
    assert said(0.03, 0.03, once=True) == "cannot tell from one seed"


@pytest.mark.parametrize("better, of, expected", [(3, 3, False), (5, 5, False), (5, 6, False), (12, 20, True)])
def test_a_handful_of_messages_is_no_proof(better, of, expected):
    labels, wrong = np.array(["joy"] * of), np.array(["love"] * of)
    plain = np.where(np.arange(of) < better, wrong, labels)
    (gain,) = simultaneous_gains(labels, [([plain], [labels])])
    assert (verdict(gain) == "pays") == expected


def test_many_classes_need_little_memory():
    import tracemalloc

    rng = np.random.default_rng(0)
    labels = rng.integers(150, size=2000).astype(str)
    said = np.array([np.where(rng.random(2000) < 0.8, labels, "1") for _ in range(4)])
    tracemalloc.start()
    redrawn_scores(labels, said, repetitions=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * 2**20  # a table of 150 by 150 by 150 would be 26 MB a draw


def test_power_is_that_of_the_textbook():
    gain = Gain(0.0, 0.01**2, 0.0, 1000, 3, critical=1.96)  # a standard error of a point
    assert messages_needed(gain, 1000) == pytest.approx(1000 * (1.96 + 0.8416) ** 2, rel=1e-3)


def cells_of(labels, said, names, **more):
    cells = []
    for name, runs in zip(names, said):
        for seed, one in enumerate(runs):
            probabilities = np.where(one[:, None] == NAMES, 0.7, 0.1)
            cells.append(
                dict(approach="features", trick=name, exercise="", seed=seed, peak_mib=1)
                | dict(classes=NAMES.tolist(), probabilities=probabilities.tolist())
                | dict(fit_seconds=1.0, predict_seconds=1.0, cold=True)
                | {key: make(probabilities) for key, make in more.items()}
            )
    return cells


def test_the_winner_is_asked_once_more_and_the_table_ends_with_what_to_do():
    labels, said = some_answers(3, tricks=3, n=900, luck=0.02, gain=0.9)
    rows = pd.DataFrame({"text": [f"text {row}" for row in range(900)], "label": labels})
    names = ["plain", "good", "null", "other"]
    table = trick_table(cells_of(labels, said, names), rows, ["love"]).set_index("trick")
    held_out = held_out_third(rows["text"])
    assert table.loc["good", "verdict"] == "pays" and table.loc["good", "confirmed"] == "yes"
    assert table.loc["good", "n"] == (~held_out).sum() and table.loc["good", "confirmed_n"] == held_out.sum()
    assert table.drop("good")["confirmed"].eq("").all()
    sentence, = advice(table.reset_index())
    assert "use good" in sentence and "held-out third of validation" in sentence and "messages" in sentence

    alike = dict(labels=["joy"] * 90, probabilities=[[0.1, 0.1, 0.7, 0.1]] * 90)
    test = cells_of(labels, said, names, test=lambda probabilities: alike)
    level = trick_table(test, rows, []).set_index("trick")  # on test all answer the same
    assert level.loc["good", "confirmed"] == "no" and level.loc["good", "confirmed_on"] == "test"
    assert level.loc["good", "n"] == 900
    assert "not confirmed on test" in advice(level.reset_index())[0]


def test_the_picture_takes_any_verdict_and_any_name(tmp_path):
    row = {f"gain macro_f1{end}": value for end, value in (("", 0.0), ("_low", -0.1), ("_high", 0.1))}
    said = [dict(approach="features", trick=f"checkpoint a_$\\\\b{{_{one}", verdict=one, extra_seconds=1.0) | row
            for one in VERDICTS]  # fmt: skip
    plot_gain_and_cost(pd.DataFrame(said)).savefig(tmp_path / "gain.png")


def test_copies_of_a_message_stand_on_one_side():
    held_out = held_out_third(["a  B", "a b", *"cdefghij"])
    assert held_out[0] == held_out[1] and held_out.sum() in (3, 4)
    assert not held_out_third(["one"]).any()


def test_one_training_gives_no_verdict_and_no_randomness_is_named():
    labels, said = some_answers(3, tricks=2, n=300, seeds=1, gain=2)
    rows = pd.DataFrame({"text": [f"text {row}" for row in range(300)], "label": labels})
    names = ["plain", "good", "null"]
    once = trick_table(cells_of(labels, said, names), rows, []).set_index("trick")
    assert once.loc["good", "verdict"] == "cannot tell from one seed"
    assert "keep the plain recipe" in advice(once.reset_index())[0]
    same = cells_of(labels, [np.repeat(runs, 2, axis=0) for runs in said], names)
    twice = trick_table(same, rows, []).set_index("trick")
    assert twice.loc["good", "training"] == "the same with every seed" and twice.loc["good", "verdict"] == "pays"
    assert training_of([dict(probabilities=[[1]], across_seeds=True)] * 2) == "one vote of all seeds"


def honest_answers(seed, n=100, sharpness=3.0, distortion=1.0):
    "Answers whose labels are drawn from their probabilities, then made surer (below 1) or less sure"
    rng = np.random.default_rng(seed)
    probabilities = softmax(sharpness * rng.normal(size=(n, 4)), axis=1)
    drawn = (probabilities.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return Temperature(distortion)(
        Answers("honest", "validation", ["t"] * n, NAMES[drawn], probabilities, NAMES)
    )


@pytest.mark.parametrize("n", [10, 300])
def test_of_honest_probabilities_nothing_is_said(n):
    said = [str(honesty(honest_answers(seed, n))) for seed in range(200)]
    assert np.mean(["cannot be told" in one for one in said]) >= 0.94
    too_sure, too_modest = honest_answers(0, 2000, 3, 0.3), honest_answers(0, 2000, 3, 3)
    assert "surer than it is right" in str(honesty(too_sure))
    assert "right more often than it says" in str(honesty(too_modest))


def test_a_threshold_is_a_promise():
    "Of probabilities that are honest, the true precision above a threshold is known"
    broken, chosen = [], 0
    for seed in range(200):
        given = honest_answers(seed, 300, 2.5)
        found = choose_threshold(given, 0.85)
        if found.answered:
            chosen += 1
            assert wilson_interval(found.right, found.answered)[0] >= 0.85
            confidence = honest_answers(10_000, 20_000, 2.5).probabilities.max(axis=1)
            broken.append(confidence[confidence >= found.threshold].mean() < 0.85)
    assert chosen > 100 and np.mean(broken) <= 0.05


def test_one_right_answer_is_no_promise():
    given = Answers("few", "validation", ["t"] * 72, ["joy"] * 72, [[0.1, 0.9]] * 72, ["x", "joy"])
    assert not choose_threshold(given, 0.95).answered and least_answers(0.95) == 73
    more = Answers("few", "validation", ["t"] * 73, ["joy"] * 73, [[0.1, 0.9]] * 73, ["x", "joy"])
    assert choose_threshold(more, 0.95).answered == 73


@pytest.mark.parametrize("n", [3, 10, 30, 300])
@pytest.mark.parametrize("distortion", [0.6, 1, 2])
def test_few_labels_do_no_harm_to_probabilities(n, distortion):
    before, after = [], []
    for seed in range(60):
        new = honest_answers(10_000 + seed, 300, 3, distortion)
        before.append(losses(new).mean())
        after.append(losses(Temperature.fit(honest_answers(seed, n, 3, distortion))(new)).mean())
    assert np.mean(after) <= np.mean(before) + 0.01
    assert np.max(np.array(after) - before) < 0.3


def test_answers_that_are_all_right_keep_a_temperature_near_one():
    few = Answers("few", "validation", ["t"] * 5, ["joy"] * 5, [[0.1, 0.9]] * 5, ["x", "joy"])
    assert 0.75 < Temperature.fit(few).value < 1 and best_temperature(few, prior=0) < 0.2
    none = Answers("few", "validation", [], [], np.zeros((0, 2)), ["x", "joy"])
    assert Temperature.fit(none).value == 1


WORDS = "I am so sad not happy today @you #sun http://a.b WOW why? 😀 never again the end".split()


def test_kinds_of_message_are_weak_by_chance_in_one_report_of_twenty_at_most():
    flagged = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        texts = [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(300)]
        labels = np.where(rng.random(300) < 0.75, "joy", "love")  # right or wrong, whatever the text
        given = Answers("some", "validation", texts, labels, np.tile([0, 0, 1.0, 0], (300, 1)), NAMES)
        table = slices(given)
        assert len(table) > 8
        flagged.append((table["high"] < table.loc["all", "accuracy"]).any())
    assert np.mean(flagged) <= 0.06


def climb_of(names, n=300, seed=0, split="validation"):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(len(names)), rng.integers(len(names), size=n)])
    probabilities = rng.dirichlet(np.ones(len(names)), len(labels))
    probabilities[np.arange(len(labels)), labels] += 0.5
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    texts = [f"{names[label]} {rng.integers(50)}" for label in labels]
    given = Answers("tfidf", split, texts, np.array(names)[labels], probabilities, names)
    row = ledger_row(given, fit_seconds=1.0, texts_per_second=1.0, peak_mib=1)
    return Climb(list(names), {"tfidf": None}, {("tfidf", split): given}, [row], {"tfidf": make_trust(None, given)[0]})


def data_of(climb):
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    given = climb.answers["tfidf", "validation"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=climb.names)})
    places = [climb.names.index(label) for label in given.labels]
    split = Dataset.from_dict({"text": given.texts, "label": places}, features=features)
    return DatasetDict(train=split, validation=split)


def test_what_cannot_be_promised_is_not():
    given = Answers("tfidf", "validation", ["t"] * 100, ["joy"] * 60 + ["love"] * 40,
                    [[0, 0.01, 0.99, 0]] + [[0.1, 0.2, 0.6, 0.1]] * 99, NAMES)  # fmt: skip
    said = " ".join(trust(Climb(NAMES, {}, {("tfidf", "validation"): given}, [ledger_row(given)], {"tfidf": make_trust(None, given)[0]})))
    assert "No threshold can be promised" in said and "73 answers" in said
    assert "cannot be told at this size" in said and "right more often than it says" not in said


def test_hostile_names_are_shown_in_page_and_figures(tmp_path):
    names = ["<script>alert(1)</script>", "a $\\frac b$ c_{", "\x1b[31mred\x1b[0m", "joy & <b>"]
    climb = climb_of(names)
    figures = draw_figures(data_of(climb), climb, tmp_path)
    hostile = "<script>alert(2)</script>\x1b]0;title\x07\u202e"
    page = render_report(data_of(climb), climb, figures, tmp_path, hostile, hostile, [hostile])
    assert "<script>alert" not in page and "<b>" not in page.replace("&lt;b&gt;", "")
    assert not set("\x1b\x07\u202e") & set(page) and "a $\\frac b$ c_{" in page
    assert len(figures) == 4


def test_the_peak_is_of_this_process_and_not_of_its_parent():
    block = b"x" * (300 << 20)
    done = subprocess.run([sys.executable, "-c", "from emotion_nbdev.foundations.core import peak_memory; print(peak_memory())"], capture_output=True, text=True, check=True)
    assert peak_memory() > 300 + int(done.stdout) and len(block) == 300 << 20


def test_many_classes_are_tables(tmp_path):
    climb = climb_of([f"class {number}" for number in range(300)], n=1000)
    draw_figures(data_of(climb_of(NAMES)), climb_of(NAMES), tmp_path)  # what is imported for it
    reset_peak()
    before = peak_memory()
    figures = draw_figures(data_of(climb), climb, tmp_path)
    page = render_report(data_of(climb), climb, figures, tmp_path, "c", "s")
    more = peak_memory() - before
    assert [figure["file"] for figure in figures] == ["reliability.png", "confusion_tfidf.png"]
    assert "300 classes are more than the 60" in page and "class 299" in page
    assert more < 200  # MiB


class Drawn(ClassifierMixin, BaseEstimator):
    "Answers by lot, by the lot of a seed"

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, texts):
        rng = np.random.default_rng(self.seed)
        return rng.dirichlet(np.ones(len(self.classes_)), len(texts))


def test_what_has_no_randomness_is_not_trained_a_third_time(tmp_path, tiny_checkpoint):
    data = data_of(climb_of(list(NAMES), n=40))
    tricks = [
        ("features", Trick("plain", "", lambda checkpoint, names, seed: Drawn(7))),
        ("features", Trick("lot", "", lambda checkpoint, names, seed: Drawn(seed))),
        ("features", Trick("vote", "", members=(("features", "lot"),), across_seeds=True,
                           combine=lambda given, shares: np.mean(given, axis=0))),
    ]  # fmt: skip
    cells, left_out = compare_tricks(data, tiny_checkpoint, tmp_path, tricks, [1, 2, 3])
    trained = sorted(path.name for path in (tmp_path / "cells").iterdir())
    assert trained == ["features-lot-1.json", "features-lot-2.json", "features-lot-3.json",
                       "features-plain-1.json", "features-plain-2.json"]  # fmt: skip
    rows = pd.DataFrame({"text": data["validation"]["text"][:], "label": NAMES[data["validation"]["label"][:]]})
    table = trick_table(cells, rows, []).set_index("trick")
    assert (left_out, table["seeds"].tolist()) == ([], [3, 3, 3])
    assert table["training"].to_dict() == {
        "plain": "the same with every seed",
        "lot": "differs by seed",
        "vote": "one vote of all seeds",
    }
    assert table.loc["vote", "verdict"] == "cannot tell from one seed"


def compared(tmp_path, checkpoint, tricks, seeds):
    "A table of a comparison in that folder"
    data = data_of(climb_of(list(NAMES), n=40))
    cells, left_out = compare_tricks(data, checkpoint, tmp_path, tricks, seeds)
    rows = pd.DataFrame({"text": data["validation"]["text"][:], "label": NAMES[data["validation"]["label"][:]]})
    assert left_out == []
    return trick_table(cells, rows, []).set_index("trick")


def test_who_asks_for_less_gets_the_table_of_all(tmp_path, tiny_checkpoint):
    "Fewer seeds or fewer tricks neither lose what was measured nor make its intervals narrower"
    plain = "features", Trick("plain", "", lambda checkpoint, names, seed: Drawn(7))
    lots = [("features", Trick(f"lot {one}", "", lambda checkpoint, names, seed, one=one: Drawn(seed + 10 * one))) for one in range(3)]
    more = [("features", one) for one in TRICKS["features"] if one.name in ("plain", "tfidf", "class-weights")]
    first = compared(tmp_path/"drawn", tiny_checkpoint, [plain, *lots], [1, 2, 3])
    again = compared(tmp_path/"drawn", tiny_checkpoint, [plain, *lots], [1])
    pd.testing.assert_frame_equal(first, again)
    first = compared(tmp_path/"real", tiny_checkpoint, more, [1, 2])
    again = compared(tmp_path/"real", tiny_checkpoint, more[:2], [2, 3])
    assert again.loc["tfidf", "seeds"] == 3 and set(again.index) == {"plain", "tfidf", "class-weights"}


def test_what_decides_a_result_is_part_of_its_identity(tmp_path, tiny_checkpoint):
    "Other versions are refused; another checkpoint with other weights under the same name is trained again"
    import json
    import shutil

    from safetensors.numpy import load_file, save_file

    shutil.copytree(tiny_checkpoint, tmp_path/"twin")
    tricks = choose_tricks(f"checkpoint {tmp_path/'twin'}", "features", [str(tmp_path/"twin")])
    before = compared(tmp_path/"folder", tiny_checkpoint, tricks, [1])
    weights = load_file(tmp_path/"twin"/"model.safetensors")
    save_file({name: array[::-1].copy() for name, array in weights.items()}, tmp_path/"twin"/"model.safetensors", {"format": "pt"})
    after = compared(tmp_path/"folder", tiny_checkpoint, tricks, [1])
    assert before["log_loss"].iloc[-1] != after["log_loss"].iloc[-1] or before["log_loss"].iloc[0] != after["log_loss"].iloc[0]
    path = tmp_path/"folder"/"plan.json"
    plan = json.loads(path.read_text())
    plan["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(plan))
    with pytest.raises(InputError, match="other versions"):
        compared(tmp_path/"folder", tiny_checkpoint, tricks, [1])


def test_prices_do_not_depend_on_what_was_kept_before(tmp_path, tiny_checkpoint, monkeypatch):
    "Both sides encode what they need, whether or not the vectors of an earlier run are there"
    from emotion_nbdev import features
    from emotion_nbdev.beyond import comparison

    monkeypatch.setenv("EMOTION_CACHE", str(tmp_path/"cache"))
    paid, whole = {}, features.encoder_vectors
    current = []

    def counted(model, tokenizer, encoded, *more):
        paid[current[-1]] = paid.get(current[-1], 0) + len(encoded["input_ids"])
        return whole(model, tokenizer, encoded, *more)

    def timed(classifier, name, *more):
        current.append((folder, name))
        fit(classifier, name, *more)
        current.append("outside")

    fit = comparison.fit_trick
    current.append("outside")
    monkeypatch.setattr(features, "encoder_vectors", counted)
    monkeypatch.setattr(comparison, "fit_trick", timed)
    tricks = choose_tricks("mean-and-cls,class-weights")
    for folder in ("cold", "warm"):
        compared(tmp_path/folder, tiny_checkpoint, tricks, [1])
    n = paid["cold", "plain"]
    assert n > 0 and paid["cold", "class-weights"] == n and paid["cold", "mean-and-cls"] == 2 * n
    assert all(paid["warm", name] == paid["cold", name] for name in ("plain", "class-weights", "mean-and-cls"))


def test_vectors_that_others_kept_take_no_part(tmp_path, tiny_checkpoint, monkeypatch):
    "In bfloat16 a vector depends a little on its batch: with kept ones two seeds would differ where nothing is random"
    from emotion_nbdev.features import FeatureExtractor

    monkeypatch.setenv("EMOTION_CACHE", str(tmp_path / "cache"))
    data = data_of(climb_of(list(NAMES), n=40))
    extractor = FeatureExtractor(tiny_checkpoint).fit()
    texts = data["train"]["text"][::2]
    extractor.cache_.put(extractor.cache_.keys(texts), extractor.transform(texts) + 0.01)
    table = compared(tmp_path, tiny_checkpoint, choose_tricks("class-weights", "features"), [1, 2])
    assert set(table["training"]) == {"the same with every seed"}
