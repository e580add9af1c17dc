"From Python: what was wrong, or lost, without a word once."
import json, logging
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

from conftest import ROWS
from emotion_nbdev.beyond.few_labels import ContrastiveClassifier, examples_per_class
from emotion_nbdev.beyond.search import search_fine_tuning, search_head
from emotion_nbdev.beyond.tricks import MeanVote, WithoutSuspects
from emotion_nbdev.classifiers import features_classifier, TfidfClassifier
from emotion_nbdev.dataset import from_tables, held_out_rows, hold_out, to_frame
from emotion_nbdev.evaluation import Answers, plot_reliability
from emotion_nbdev.fine_tuning import FineTunedClassifier, fit_or_recall, training_record, validation_metrics
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.improvements import agreement_of, encoder_and_tfidf, focal_loss, LogitAdjusted, Resampled, weighted_loss
from emotion_nbdev.production.drift import signals
from emotion_nbdev.production.graphs import export_onnx
from emotion_nbdev.production.trust import label_sets
from emotion_nbdev.projection import hover_plot

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
