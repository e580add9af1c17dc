"From Python: what was wrong, or lost, without a word once."
import json, logging
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

from conftest import ROWS
from emotion_nbdev.beyond.comparison import simultaneous_gains, verdict
from emotion_nbdev.beyond.ensembles import Calibrated, CalibratedStack
from emotion_nbdev.beyond.few_labels import ContrastiveClassifier, examples_per_class
from emotion_nbdev.beyond.label_noise import out_of_fold
from emotion_nbdev.beyond.search import open_study, search_fine_tuning, search_head
from emotion_nbdev.beyond.tricks import choose_tricks, MeanVote, WithoutSuspects
from emotion_nbdev.classifiers import features_classifier, TfidfClassifier
from emotion_nbdev.dataset import from_tables, held_out_rows, hold_out, TextFolds, to_frame
from emotion_nbdev.error_analysis import by_loss, decisive_words, message_kinds, slices
from emotion_nbdev.evaluation import Answers, bootstrap_intervals, compare, confusion_counts, data_ceiling, ledger, ledger_row, noise_ceiling, plot_reliability
from emotion_nbdev.fine_tuning import FineTunedClassifier, fit_or_recall, training_record, validation_metrics
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.improvements import agreement_of, encoder_and_tfidf, focal_loss, LogitAdjusted, Resampled, weighted_loss
from emotion_nbdev.production.drift import signals
from emotion_nbdev.production.graphs import export_onnx
from emotion_nbdev.production.trust import label_sets
from emotion_nbdev.projection import hover_plot, plot_density_by_class, project

TEXTS = [f"{text} on day {number}" for number in range(4) for texts in ROWS.values() for text in texts]
LABELS = [label for number in range(4) for label, texts in ROWS.items() for _ in texts]
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS})


def tuned(checkpoint, **settings):
    return FineTunedClassifier(str(checkpoint), **dict(epochs=1) | settings)


def test_a_search_reads_columns_by_their_order(tiny_checkpoint):
    mixed = FRAME.sample(frac=1, random_state=0)
    recipe = features_classifier(str(tiny_checkpoint))
    found = [search_head(recipe, texts, labels, trials=1, folds=3).best_value for texts, labels in (
        (mixed.text, mixed.label), (mixed.text.tolist(), mixed.label.tolist()))]
    assert found[0] == found[1]


def test_checkpoints_are_of_one_loss(tiny_checkpoint, tmp_path):
    def fit(loss): return tuned(tiny_checkpoint, loss=loss).fit(TEXTS[:12], LABELS[:12], checkpoints=tmp_path/"kept")
    record = training_record(fit(partial(focal_loss, gamma=5.)))
    assert record["settings"]["loss"] == "focal_loss(gamma=5.0)"
    for other in (None, weighted_loss, partial(focal_loss, gamma=4.)):
        with pytest.raises(InputError, match="another|other"): fit(other)
    with pytest.raises(InputError, match="Write it with def"): fit(lambda logits, *more: logits.sum())


def test_a_model_keeps_its_record_when_it_is_saved_again(tiny_checkpoint, tmp_path):
    tuned(tiny_checkpoint, batch_size=8, label_smoothing=0., learning_rate=1e-3, seed=7).fit(TEXTS, LABELS).save(tmp_path/"first")
    loaded = FineTunedClassifier.load(tmp_path/"first")
    loaded.save(tmp_path/"second")
    first, second = (json.loads((tmp_path/name/"training.json").read_text()) for name in ("first", "second"))
    assert first == second and first["settings"]["seed"] == 7 and first["history"]
    (tmp_path/"first"/"training.json").unlink()
    assert training_record(FineTunedClassifier.load(tmp_path/"first"))["settings"] == {}
    loaded.set_params(checkpoint=str(tiny_checkpoint), epochs=1, seed=3).fit(TEXTS, LABELS)
    assert training_record(loaded)["settings"]["seed"] == 3


def test_settings_of_numpy_and_pandas_are_written(tiny_checkpoint, tmp_path):
    names = FRAME.label.unique()
    fit_or_recall(tuned(tiny_checkpoint, label_names=names), TEXTS, LABELS).save(tmp_path/"model")
    assert json.loads((tmp_path/"model"/"training.json").read_text())["settings"]["label_names"] == list(names)


def test_what_cannot_be_is_known_before_a_training(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr("emotion_nbdev.fine_tuning.train", lambda *_, **__: pytest.fail("a training began"))
    with pytest.raises(InputError, match="half"): tuned(tiny_checkpoint, dtype="half").fit(TEXTS, LABELS)
    with pytest.raises(InputError, match="'bored' of validation"): tuned(tiny_checkpoint).fit(TEXTS, LABELS, validation=(["so long"], ["bored"]))
    with pytest.raises(InputError, match="LinearSVC gives no probabilities"): features_classifier(str(tiny_checkpoint), LinearSVC())
    with pytest.raises(InputError, match="class_weight"): TfidfClassifier(class_weight={"joy": 2}).fit(TEXTS, LABELS)
    with pytest.raises(InputError, match="single text"): encoder_and_tfidf(str(tiny_checkpoint)).fit([*TEXTS, "alone"], [*LABELS, "bored"])


def test_any_head_with_probabilities_learns_from_pairs(tiny_checkpoint):
    forest = RandomForestClassifier(5, random_state=0)
    assert ContrastiveClassifier(str(tiny_checkpoint), rounds=1, most=20, head=forest).fit(TEXTS, LABELS).predict(TEXTS[:2]).shape == (2,)


def test_members_that_are_wrapped_get_the_validation_messages():
    given = []
    class Spy(TfidfClassifier):
        def fit(self, texts, labels, validation=None):
            given.append(validation is not None)
            return super().fit(texts, labels)
    MeanVote([Spy(), Resampled(Spy()), LogitAdjusted(Spy())]).fit(TEXTS, LABELS, validation=(TEXTS[:9], LABELS[:9]))
    assert given == [True] * 3


def test_the_epoch_is_chosen_by_the_macro_f1_that_is_reported():
    class Given: label_ids, predictions = np.array([0, 0, 1, 1]), np.eye(3)[[0, 0, 1, 2]]
    assert validation_metrics(Given)["macro_f1"] == pytest.approx(5 / 6)


def test_a_row_without_a_label_gets_none():
    rows = Dataset.from_dict({"text": ["a", "b"], "label": [-1, 0]}, features=Features(text=Value("string"), label=ClassLabel(names=["x", "y"])))
    assert pd.isna(to_frame(rows)["label"]).tolist() == [True, False]


def test_tables_of_other_splits_are_refused_and_names_may_be_numbers():
    with pytest.raises(InputError, match="'valid'.*Known: train, validation, test"): from_tables({"train": FRAME, "valid": FRAME})
    numbered = FRAME.assign(label=[len(label) for label in LABELS])  # 5, 3, 7
    assert from_tables({"train": numbered}, names=[7, 5, 3])["train"].features["label"].names == ["7", "5", "3"]


def test_so_many_texts_are_held_out(caplog):
    assert held_out_rows(TEXTS, LABELS, share=6.).sum() == 6
    logging.getLogger("emotion_nbdev").propagate = True
    with caplog.at_level("WARNING"): hold_out(FRAME, share=6)
    assert "6 texts of data" in caplog.text and "%" not in caplog.text


def test_each_approach_has_its_line_and_each_message_its_point():
    ten = [Answers(f"m{number}", "validation", TEXTS, LABELS, np.full((len(TEXTS), 3), 1 / 3), ["anger", "joy", "sadness"]) for number in range(14)]
    assert len(plot_reliability(ten).get_legend().get_texts()) == 14
    assert hover_plot(np.eye(4)[:, :2], list("abcd"), [0, 1, 0, 1], ["0", "1"]).html.count("<circle") == 4


def test_nothing_is_changed_for_others(tiny_checkpoint, tmp_path):
    pytest.importorskip("optuna")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    search_fine_tuning(str(tiny_checkpoint), TEXTS, LABELS, sorted(ROWS), trials=1, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_generators_are_read_once(tiny_checkpoint, tmp_path):
    counted = TfidfClassifier().fit(TEXTS, LABELS)
    assert agreement_of([counted, counted], (text for text in TEXTS)).tolist() == [1] * len(TEXTS)
    WithoutSuspects(TfidfClassifier(), str(tiny_checkpoint), share=.1).fit((text for text in TEXTS), (label for label in LABELS))
    level = logging.getLogger("torch.onnx").level
    tuned(tiny_checkpoint).fit(TEXTS, LABELS).save(tmp_path/"model")
    assert export_onnx(tmp_path/"model", (text for text in TEXTS), LABELS).same_labels == 1
    assert logging.getLogger("torch.onnx").level == level
    assert len(signals(tmp_path/"model", (text for text in TEXTS), np.full((len(TEXTS), 2), .5), ["x", "y"])) == len(TEXTS)


def test_small_things():
    assert label_sets([[.7, .3]], ["x", "y"], .2) == [["x", "y"]]
    with pytest.raises(InputError, match="no message is labelled 3. Known: 1, 2"): examples_per_class([1, 2, 1, 2], {3: 1})


# From the command line

TRAIN = "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS))


@pytest.fixture
def counted(command, tmp_path):
    (tmp_path/"train.csv").write_text(TRAIN)
    done = command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model")
    assert done.exit_code == 0, done.output
    return "model"


def test_a_tilde_behind_an_equals_sign_is_the_home_folder(counted, command, tmp_path, monkeypatch):
    home = tmp_path/"home"
    home.mkdir()
    (home/"new.csv").write_text("text\nwe won\n")
    monkeypatch.setenv("HOME", str(home))
    assert command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir=~/model").exit_code == 0
    assert command("predict", "--model=~/model", "--input=~/new.csv", "--output=~/said.csv").exit_code == 0
    assert (home/"said.csv").is_file() and not (tmp_path/"~").exists()


def test_tables_lose_nothing_and_translate_nothing(command, tmp_path):
    names = [f":fire: and a long name of class {number:02}" for number in range(6)]
    rows = [f"{2 * letter} and {2 * other},{name}\n" for letter, name in zip("abcdef", names) for other in "ghijklmnopqr"]
    (tmp_path/"train.csv").write_text("text,label\n" + "".join(rows))
    command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model")
    said = " ".join(command("predict", "--model", "model", "--sets", "0.99", "aa and :joy: too").stdout.split())
    assert ":joy:" in said and ":fire:" in said
    assert all(f"class {number:02}" in said or f"{number:02}" in said for number in range(6)) and "probability" in said


@pytest.mark.parametrize("columns", ["text,text", "text,label,label"])
def test_columns_have_names_of_their_own(counted, command, tmp_path, columns):
    (tmp_path/"new.csv").write_text("we won,joy,sad\n")
    done = command("predict", "--model", counted, "--input", "new.csv", "--columns", columns)
    assert done.exit_code == 2 and "two columns are called" in str(done.stderr or done.exception)


def test_every_column_that_is_replaced_is_named(counted, tmp_path):
    from conftest import call
    (tmp_path/"new.csv").write_text("text,p_joy,label,score\nwe won,keep,a,5\n")
    done = call("predict", "--model", counted, "--input", "new.csv", cwd=tmp_path)
    assert done.returncode == 0 and "'p_joy', 'label', 'score'" in done.stderr


def test_a_missing_label_is_no_class(command, tmp_path):
    (tmp_path/"data.csv").write_text("text,label\nhi,joy\nbye,sad\nyo\n")
    (tmp_path/"list.csv").write_text("row,text,label,suggested,quality,new_label\n2,bye,sad,joy,0.1,None\n")
    done = command("errors", "--data", "data.csv", "--apply", "list.csv", "--output", "new.csv")
    assert done.exit_code == 2 and not (tmp_path/"new.csv").exists()


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_no_library_takes_is_refused(command, tmp_path, seed):
    (tmp_path/"train.csv").write_text(TRAIN)
    done = command("train", "--approach", "tfidf", "--train-file", "train.csv", "--output-dir", "model", f"--seed={seed}")
    assert done.exit_code == 2 and "is no seed" in done.output and not (tmp_path/"model").exists()


def test_no_message_of_a_folder_of_classes_is_left_out(counted, command, tmp_path):
    import gzip
    for label in ("joy", "sad"):
        (tmp_path/"data"/label).mkdir(parents=True)
        (tmp_path/"data"/label/"1.txt").write_text("we won")
    (tmp_path/"data/joy/2.TXT").write_text("they won")
    (tmp_path/"data/joy/3.txt.gz").write_bytes(gzip.compress(b"all won"))
    done = command("predict", "--model", counted, "--input", "data", "--output", "said.jsonl")
    assert done.exit_code == 0 and (tmp_path/"said.jsonl").read_text().count("\n") == 4
    (tmp_path/"data/joy/more").mkdir()
    done = command("predict", "--model", counted, "--input", "data", "--output", "again.jsonl")
    assert done.exit_code == 2 and not (tmp_path/"again.jsonl").exists()


def test_check_and_train_agree_on_what_a_class_is(command, tmp_path):
    plain, composed = TRAIN.replace("joy", "jo\u0308y"), TRAIN.replace("joy", "jöy")
    (tmp_path/"train.csv").write_text(plain)
    (tmp_path/"validation.csv").write_text(composed.replace(" on day", " on the day"))
    said = command("check", "--train-file", "train.csv", "--validation-file", "validation.csv", "--json")
    assert not {"unknown-label", "missing-class"} & {finding["kind"] for finding in json.loads(said.stdout)["findings"]}
    (tmp_path/"unseen.csv").write_text(TRAIN + "what is this,\u200b\n")
    assert "missing-label" in command("check", "--train-file", "unseen.csv", "--json").stdout
    done = command("train", "--approach", "tfidf", "--train-file", "unseen.csv", "--output-dir", "other")
    assert done.exit_code == 2


def test_whole_numbers_as_labels_are_names_like_others(tiny_checkpoint):
    numbers = [{"anger": 1, "joy": 10, "sadness": 5}[label] for label in LABELS]
    for make in (TfidfClassifier, lambda: encoder_and_tfidf(str(tiny_checkpoint))):
        by_name = make().fit(TEXTS, [f"class {number:02}" for number in numbers]).predict_proba(TEXTS)
        counted = make().fit(TEXTS, numbers)
        assert counted.classes_.tolist() == [1, 5, 10] and np.allclose(counted.predict_proba(TEXTS), by_name, atol=1e-6)
        assert by_name.max() > .5


# What a verdict or a figure needs

ALONE = Answers("one", "validation", ["so glad"], ["joy"], np.array([[.4, .6]]), ["anger", "joy"])


def test_what_is_empty_is_refused_in_one_line():
    for call in (lambda: ledger([]), lambda: noise_ceiling([], []), lambda: message_kinds([]),
                 lambda: ledger_row(Answers("one", "validation", [], [], np.zeros((0, 2)), ["x", "y"]))):
        with pytest.raises(InputError, match="there are no"): call()
    with pytest.raises(InputError, match="label 2 is missing"): noise_ceiling(["a", "a"], ["joy", None])
    with pytest.raises(InputError, match="a single text was given"): decisive_words(None, "one text and no list")


def test_one_message_tells_nothing_of_a_mean():
    row = ledger_row(ALONE)
    assert row["brier_interval"][1] > 1.5 and row["log_loss_interval"][1] > 25 and row["log_loss_interval"][0] < .2
    json.dumps(row, allow_nan=False)
    alike = replace(ALONE, texts=["so glad"] * 3, labels=["joy"] * 3, probabilities=[[.4, .6]] * 3)
    assert np.ptp(ledger_row(alike)["brier_interval"]) > .5  # three equal values are no certainty


def test_the_same_labels_as_numbers_and_as_names_are_compared():
    texts = [f"message {number}" for number in range(20)]
    wrong = np.repeat([[.9, .1], [.1, .9]], 10, axis=0)
    numbers = Answers("numbers", "validation", texts, [1] * 10 + [2] * 10, wrong, [1, 2])
    names = Answers("names", "validation", texts, ["1"] * 10 + ["2"] * 10, wrong[::-1], ["1", "2"])
    found = compare(numbers, names)
    assert found.macro_f1 == -1 and "numbers is ahead" in str(found)


def test_unlabelled_rows_are_not_in_a_ceiling():
    rows = Dataset.from_dict({"text": ["a", "a", "b"], "label": [0, -1, 1]}, features=Features(text=Value("string"), label=ClassLabel(names=["x", "y"])))
    assert data_ceiling({"train": rows}).conflicting == 0


def rare_class(first_rare, second_rare):
    "Answers of two approaches: five errors each on a and b, and what each says of the single message of a third class"
    labels = ["a"] * 100 + ["b"] * 100 + ["rare"]
    first, second = list(labels), list(labels)
    first[:5], second[100:105], first[-1], second[-1] = ["b"] * 5, ["a"] * 5, first_rare, second_rare
    return labels, first, second


def test_one_message_of_a_rare_class_puts_nobody_ahead():
    labels, first, second = rare_class("a", "rare")
    texts, names = [f"message {number}" for number in range(201)], ["a", "b", "rare"]
    given = [Answers(name, "test", texts, labels, pd.get_dummies(pd.Categorical(said, names)).to_numpy(float), names) for name, said in (("one", first), ("two", second))]
    assert "ahead" not in str(compare(*given))
    gains = simultaneous_gains(labels, [([first] * 3, [second] * 3)])[0]
    assert verdict(gains) == "cannot tell at this size" and gains["macro_f1"].interval[0] < 0
    low, high = ledger_row(given[1])["macro_f1_interval"]
    assert high - low > .3


def test_seeds_that_agree_by_chance_are_not_without_luck():
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b"] * 30)
    def said(wrong):
        answers = labels.copy()
        answers[wrong] = np.where(answers[wrong] == "a", "b", "a")
        return answers
    plain = [said(np.arange(20))] * 2
    agree = [said(np.arange(10)), said(np.arange(10, 20))]  # other answers, the same score
    wild = [said(rng.permutation(60)[:5]), said(rng.permutation(60)[:35])]
    gains = simultaneous_gains(labels, [(plain, agree), (plain, wild), (plain, plain)])
    assert gains[0]["accuracy"].by_seeds == gains[1]["accuracy"].by_seeds > 0 == gains[2]["accuracy"].by_seeds


def test_no_message_is_lost_in_counts_and_pictures():
    with pytest.raises(InputError, match="'z' is none of its classes"): confusion_counts(["x", "z"], ["x", "x"], ["x", "y"])
    with pytest.raises(InputError, match="'b' is none of its classes"): plot_density_by_class(np.random.random((4, 2)), list("aabb"), ["a"])
    with pytest.raises(InputError, match="'bored' is none"): CalibratedStack([saved_as(TEXTS, LABELS)]).fit([*TEXTS, "well"], [*LABELS, "bored"])
    for bad in ([[1.5, -.5]], [[.5, .5]]):
        with pytest.raises(InputError, match="between 0 and 1|twice"): Answers("one", "test", ["m"], ["x"], bad, ["x", "x"] if bad[0][0] == .5 else ["x", "y"])
    assert by_loss(Answers("one", "test", ["m"], ["x"], [[1.]], ["x"]))["margin"].tolist() == [1]
    assert slices(ALONE).index.tolist() == ["all"]


def saved_as(texts, labels):
    return Calibrated(TfidfClassifier().fit(texts, labels))


def test_numbers_that_make_no_sense_are_refused(tmp_path):
    for call in (lambda: list(TextFolds(1).split(TEXTS, LABELS)), lambda: examples_per_class(LABELS, -1),
                 lambda: WithoutSuspects(TfidfClassifier(), share=5).fit(TEXTS, LABELS), lambda: noise_ceiling(TEXTS, LABELS, drawn_from=2),
                 lambda: bootstrap_intervals([[3, 1], [1, 3]], level=95)):
        with pytest.raises(InputError, match="Give"): call()
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match="no study"): open_study(tmp_path/"nowhere"/"x.db")
    (tmp_path/"text.db").write_text("no database, and long enough to be none")
    with pytest.raises(InputError, match="no study"): open_study(tmp_path/"text.db")


def test_umap_leaves_the_threads_as_they_were():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    project(np.random.default_rng(0).random((30, 5)))
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == 1


def test_a_class_is_named_by_its_different_texts():
    copies = ["all the same"] * 10
    with pytest.raises(InputError, match="'joy', copies counted once"):
        out_of_fold([TfidfClassifier()], [*copies, *map(str, range(10))], ["joy"] * 10 + ["anger"] * 5 + ["sad"] * 5)


def test_other_checkpoints_are_tried_beside_named_tricks():
    names = [trick.name for _, trick in choose_tricks("class-weights", "features", ["twin"])]
    assert {"plain", "class-weights", "checkpoint twin"} <= set(names)


def test_decisions_about_one_row_contradict_each_other(command, tmp_path):
    (tmp_path/"data.csv").write_text("text,label\nhi,joy\nbye,sad\n")
    for row, said in (("01", "there twice"), ("²", "does not exist")):
        (tmp_path/"list.csv").write_text(f"row,text,label,suggested,quality,new_label\n1,hi,joy,sad,0.1,sad\n{row},hi,joy,sad,0.1,sad\n")
        done = command("errors", "--data", "data.csv", "--apply", "list.csv", "--output", "new.csv")
        assert done.exit_code == 2 and said in done.output and not (tmp_path/"new.csv").exists()


def test_check_calls_an_error_what_a_training_does_not_read_as_one(command, tmp_path):
    (tmp_path/"train.csv").write_text(TRAIN.replace("joy", " joy ", 1))
    (tmp_path/"validation.csv").write_text(TRAIN.replace(" on day", " on the day"))
    said = command("check", "--train-file", "train.csv", "--validation-file", "validation.csv", "--json")
    found = {finding["kind"]: finding["severity"] for finding in json.loads(said.stdout)["findings"]}
    assert found["label-spelling"] == "warning"


def test_a_leak_has_another_label_whatever_the_order_of_rows(command, tmp_path):
    for first, second in (("joy", "anger"), ("anger", "joy")):
        (tmp_path/"train.csv").write_text(TRAIN + f"twice told,{first}\ntwice told,{second}\n")
        (tmp_path/"validation.csv").write_text("text,label\ntwice told,anger\nwe won it,joy\nwe lost it,sadness\n")
        said = command("check", "--train-file", "train.csv", "--validation-file", "validation.csv")
        assert "0 of them with another label" in said.output


def test_seeds_and_votes_that_cannot_be_are_known_at_once(command, tmp_path):
    (tmp_path/"train.csv").write_text(TRAIN)
    done = command("compare", "--train-file", "train.csv", "--seed", 2**32 - 1, "--seeds", 2)
    assert done.exit_code == 2 and "is no seed" in done.output and not (tmp_path/"emotion-comparison").exists()


def test_enormous_numbers_are_names(counted, command, tmp_path):
    lines = [json.dumps(dict(text=text, label=10**20 if label == "joy" else 5)) for text, label in zip(TEXTS, LABELS)]
    (tmp_path/"train.jsonl").write_text("\n".join(lines))
    (tmp_path/"new.csv").write_text("text\nwe won\n")
    assert command("train", "--approach", "tfidf", "--train-file", "train.jsonl", "--output-dir", "large").exit_code == 0
    done = command("predict", "--model", "large", "--input", "new.csv", "--output", "said.parquet")
    assert done.exit_code == 0 and pd.read_parquet(tmp_path/"said.parquet")["label"][0] in ("5", str(10**20))
    with pytest.raises(InputError, match="18 digits"): TfidfClassifier().fit(TEXTS, [10**20 if label == "joy" else 5 for label in LABELS])


def test_a_pipe_is_no_file(counted, command, tmp_path):
    import os
    os.mkfifo(tmp_path/"pipe.csv")
    for arguments in (("evaluate", "--data", "pipe.csv", "--split", "test"), ("predict", "--input", "pipe.csv"), ("drift", "--input", "pipe.csv")):
        done = command(*arguments, "--model", counted)
        assert done.exit_code == 2 and "no file but a pipe" in done.output


def test_a_name_with_a_line_end_makes_no_second_line(counted, command, tmp_path):
    (tmp_path/"data.csv").write_text('text,label\nwe won,"jo\ny"\n')
    done = command("evaluate", "--model", counted, "--data", "data.csv", "--split", "test")
    assert done.exit_code == 2 and done.output.count("\n") == 1 and "jo\\ny" in done.output


def test_a_model_that_remembers_little_says_so(counted, command, tmp_path):
    (tmp_path/"new.csv").write_text("text\n" + "\n".join(f"message {number} of many" for number in range(40)))
    path = tmp_path/counted/"reference.json"
    kept = json.loads(path.read_text())
    kept["signals"] = {name: values[:1] for name, values in kept["signals"].items()}
    path.write_text(json.dumps(kept))
    done = command("drift", "--model", counted, "--input", "new.csv")
    assert done.exit_code == 2 and "remembers 1 different messages" in done.output


def test_bytes_are_no_names(command, tmp_path):
    FRAME.assign(label=[label.encode() for label in LABELS]).to_parquet(tmp_path/"train.parquet")
    done = command("train", "--approach", "tfidf", "--train-file", "train.parquet", "--output-dir", "model")
    assert done.exit_code == 2 and "bytes and no name" in done.output and not (tmp_path/"model").exists()


def test_one_name_for_two_columns_is_too_few(counted, command, tmp_path):
    (tmp_path/"two.csv").write_text("we won,joy\nwe lost,sadness\n")
    done = command("predict", "--model", counted, "--input", "two.csv", "--columns", "text")
    assert done.exit_code == 2 and "2 fields where --columns names 1" in done.output
    (tmp_path/"one.csv").write_text("we won, at last\nwe lost\n")
    assert command("predict", "--model", counted, "--input", "one.csv", "--columns", "text").exit_code == 0


def test_a_comma_in_the_header_does_not_hide_semicolons(command, tmp_path):
    (tmp_path/"train.csv").write_text('text, as written;label\n' + "".join(f"{text}{', yes' * (place % 3)};{label}\n" for place, (text, label) in enumerate(zip(TEXTS, LABELS))))
    done = command("train", "--approach", "tfidf", "--train-file", "train.csv", "--text-column", "text, as written", "--output-dir", "model")
    assert done.exit_code == 0, done.output


def test_behind_two_dashes_all_are_texts(counted, command):
    assert command("predict", "--model", counted, "--", "--output=", "--input").exit_code == 0


def test_a_model_in_the_current_folder_has_a_name(counted, command, tmp_path, monkeypatch):
    (tmp_path/"data.csv").write_text("text,label\nwe won,joy\nwe lost,sadness\n")
    monkeypatch.chdir(tmp_path/counted)
    row, = json.loads(command("evaluate", "--model", ".", "--data", "../data.csv", "--split", "test", "--json").stdout)
    assert row["approach"] == "model"


def test_capitals_hide_no_split_and_other_names_are_said(command, tmp_path):
    (tmp_path/"data").mkdir()
    (tmp_path/"data/Train.csv").write_text(TRAIN)
    (tmp_path/"data/VALIDATION.CSV").write_text(TRAIN.replace(" on day", " on the day"))
    (tmp_path/"data/eval.csv").write_text(TRAIN)
    from conftest import call
    done = call("check", "--dataset", "data", cwd=tmp_path)
    assert "validation: " in done.stdout and "not read" in done.stderr and "eval.csv" in done.stderr


def test_optuna_speaks_as_before(tiny_checkpoint):
    optuna = pytest.importorskip("optuna")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    search_head(features_classifier(str(tiny_checkpoint)), TEXTS, LABELS, trials=1, folds=2)
    after = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(before)
    assert after == optuna.logging.INFO
