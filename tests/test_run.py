"The main job on real input: `emotion-nbdev run` on the embedded corpus, and what it leaves behind."
import json, re

import pandas as pd
import pytest

from conftest import call


def test_run_ends_well_and_says_where_everything_is(full_run):
    folder, done = full_run
    assert done.returncode == 0, done.stderr
    assert re.search(r"approach +split +n +accuracy +macro-F1 +weighted-F1 +fit seconds", done.stdout)
    assert done.stdout.count("validation") >= 4 and str(folder.name) in done.stdout.splitlines()[-1]
    answers = done.stdout.split("New messages")[1].splitlines()
    assert sum(bool(re.search(r"  (sadness|joy|love|anger|fear|surprise) +\d\.\d\d$", line)) for line in answers) == 5


def test_stderr_has_lines_and_no_bars_when_it_is_no_terminal(full_run):
    _, done = full_run
    assert "%|" not in done.stderr and "\r" not in done.stderr
    assert [f"{step} of 4: {name}" in done.stderr for step, name in enumerate(("majority", "tfidf", "features", "fine-tuned"), 1)] == [True] * 4
    assert re.search(r"epoch 1 of \d+: validation accuracy 0\.\d+, macro-F1 0\.\d+", done.stderr)
    parts = "libraries, data, training and scoring, models, report, cards".split(", ")
    assert re.fullmatch(r"\d+\.\d s in all: " + ", ".join(rf"{part} \d+\.\d s" for part in parts), done.stderr.splitlines()[-1])


def test_metrics_are_rows(full_run):
    rows = json.loads((full_run[0]/"metrics.json").read_text())
    assert {(row["approach"], row["split"]) for row in rows} == {(a, s) for a in ("majority", "tfidf", "features", "fine-tuned") for s in ("validation", "test")}
    for row in rows:
        assert row["n"] == 360 and row["fit_seconds"] >= 0
        for name in ("accuracy", "macro_f1", "weighted_f1"):
            low, high = row[f"{name}_interval"]
            assert 0 <= low <= row[name] <= high <= 1
    peaks = {(row["approach"], row["split"]): row["peak_mib"] for row in rows}
    assert all(peaks[approach, "test"] == peaks[approach, "validation"] for approach, _ in peaks)
    assert peaks["majority", "test"] < peaks["fine-tuned", "test"]


def test_corpus_is_learnable_and_not_trivial(full_run):
    "The bounds of the corpus, on its test split, which has no wrong labels"
    macro_f1 = {row["approach"]: row["macro_f1"] for row in json.loads((full_run[0]/"metrics.json").read_text()) if row["split"] == "test"}
    assert .35 <= macro_f1["tfidf"] <= .70
    assert macro_f1["fine-tuned"] >= max(.72, macro_f1["tfidf"] + .10)
    assert macro_f1["majority"] < .15


def test_report_is_one_self_contained_page(full_run):
    html = (full_run[0]/"report.html").read_text(encoding="utf-8")
    assert not re.search(r"<(link|iframe|script [^>]*src)\b", html) and not re.search(r'(src|href)="(?!data:)', html)
    figures = sorted(path.name for path in (full_run[0]/"figures").glob("*.png"))
    assert figures == sorted(["class_distribution.png", "words_per_message.png", "umap.png", "reliability.png"] + [f"confusion_{a}.png" for a in ("majority", "tfidf", "features", "fine-tuned")])
    assert html.count('src="data:image/png;base64,') == len(figures)
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', html))
    for heading in ("How good each approach is", "The data", "Class by class", "How far to trust it", "is weak, on validation", "Messages worth reading"): assert heading in html


def test_model_answers_names_in_the_ecosystem_and_here(full_run, tmp_path):
    from transformers import pipeline
    folder, text = full_run[0]/"model", "you people charged me twice and nobody picks up"
    answer = pipeline("text-classification", model=str(folder))(text)[0]
    config = json.loads((folder/"config.json").read_text())
    assert config["id2label"]["0"] == "sadness" and config["label2id"]["surprise"] == 5 and config["problem_type"] == "single_label_classification"
    assert not list(folder.glob("*.bin")) and not list(folder.glob("*.p*k*l*"))
    done = call("predict", text, "--model", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{answer['label']} +{answer['score']:.2f}", done.stdout)


def test_predict_keeps_the_columns_of_a_file(full_run, tmp_path):
    pd.DataFrame({"ticket": ["007", "12"], "text": ["the cast is off, I can dance", "=1+1 is all they answered, again"]}).to_csv(tmp_path/"in.csv", index=False)
    tables = {}
    for ending in (".csv", ".jsonl", ".parquet"):
        done = call("predict", "--model", full_run[0]/"model", "--input", "in.csv", "--output", f"out{ending}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    tables = [pd.read_csv(tmp_path/"out.csv", dtype={"ticket": str}), pd.read_json(tmp_path/"out.jsonl", lines=True, dtype={"ticket": str}), pd.read_parquet(tmp_path/"out.parquet")]
    for table in tables:
        assert list(table.columns) == ["ticket", "text", "label", "score"] + [f"p_{name}" for name in ("anger", "fear", "joy", "love", "sadness", "surprise")]
        assert table["ticket"].tolist() == ["007", "12"]
        assert table["label"].tolist() == tables[0]["label"].tolist()
        assert (table.filter(like="p_").sum(axis=1) - 1).abs().max() < 1e-6
    assert not list(tmp_path.glob(".*partial*"))
