"What is published is what the code gives: the rungs that cost seconds are climbed again."
import json
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
