"What is published is what the code gives: the rungs that cost seconds are climbed again."
import hashlib, importlib.util, json
from pathlib import Path

import pytest

from emotion_nbdev.app.ladder import climb_ladder
from emotion_nbdev.dataset import load_data

RESULTS = Path(__file__).parent.parent/"nbs"/"results"
FIGURES = ("n", "samples", "accuracy", "macro_f1", "weighted_f1", "log_loss", "calibration_error", "accuracy_interval", "macro_f1_interval", "confusion")


def test_recorded_figures_of_the_embedded_corpus():
    recorded = {(row["approach"], row["split"]): row for row in json.loads((RESULTS/"embedded.json").read_text())}
    again = climb_ladder(load_data(), approaches=("majority", "tfidf")).rows
    assert len(again) == 4
    for row in again:
        known = recorded[row["approach"], row["split"]]
        assert known["code"], "make results says with which state of the code"
        for name in FIGURES:
            assert row[name] == pytest.approx(known[name], abs=2e-4) if isinstance(row[name], float) else row[name] == known[name], (row["approach"], row["split"], name)


def tool():
    "tools/results.py as a module"
    spec = importlib.util.spec_from_file_location("results_tool", RESULTS.parent.parent/"tools"/"results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_recorded_file_says_how_it_was_made_and_is_as_it_was_made():
    "One command makes them all anew; none was changed by hand"
    made, parts = json.loads((RESULTS/"made.json").read_text()), tool().PARTS
    assert set(parts) == set(made) == {path.stem for path in RESULTS.glob("*.json")} - {"made"}
    for name, about in made.items():
        assert about["sha256"] == hashlib.sha256((RESULTS/f"{name}.json").read_bytes()).hexdigest(), f"{name}: record it with {about['command']}"
        assert about["date"] >= "2026-11-23" and about["code"].startswith("0.") and about["command"].startswith(f"make results PART={name}")


def test_the_functions_are_those_that_the_page_shows():
    page = tool().page()
    for name in ("clean_and_train", "chapter_way", "odd", "few_labels", "recorded"):
        assert callable(page[name]), name


@pytest.mark.parametrize("part, data, message", [("magic", None, "is not known"), ("emotion_odd", None, "needs the public dataset"), ("embedded_float32", None, "without bfloat16")])
def test_a_part_that_cannot_be_made_is_named(part, data, message):
    with pytest.raises(SystemExit, match=message):
        tool().chosen(part, data, bfloat16=True)
    assert tool().chosen(None, None, bfloat16=True) == ["embedded", "label_noise"]
    assert tool().chosen(None, None, bfloat16=False) == ["embedded", "embedded_float32", "label_noise"]
    assert tool().chosen("label_noise,emotion", "somewhere", bfloat16=True) == ["label_noise", "emotion"]
