"`emotion-nbdev train --trick`: each trick of `compare` is trained, saved without pickle, loaded, and answers as before; what cannot be saved is refused before anything is trained."
import json, re

import numpy as np
import pandas as pd
import pytest

from conftest import ROWS, call
from emotion_nbdev.app.cli import _NOT_SAVED, _TRICKS
from emotion_nbdev.app.ladder import chooses_epoch
from emotion_nbdev.beyond.comparison import keeping
from emotion_nbdev.beyond.tricks import TRICKS, adjusted, find_trick, mean_answers, adjusted_answers, trick_classifier
from emotion_nbdev.classifiers import features_classifier
from emotion_nbdev.features import FeatureExtractor
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.improvements import LogitAdjusted, TermWeights, side_by_side
from emotion_nbdev.production.artefacts import PIECED, inspect_model, load, save
from emotion_nbdev.production.graphs import export_onnx

LABELS, TEXTS = map(list, zip(*((label, f"{text} {number}") for number in range(4) for label, texts in ROWS.items() for text in texts[:1 + (label == "joy")])))
NEW = ["the piano is sold", "you hung up 😡 twice", "first DANCE!!", "", "🎉"]
SAVED = [(approach, one) for approach, tricks in TRICKS.items() for one in tricks if one.saved_as and one.name not in ("plain", "majority")]


def quicker(classifier):
    "The same with one epoch and one trial"
    for name, value in (("epochs", 1), ("trials", 1), ("rounds", 1), ("folds", 2)):
        for part in classifier.get_params():
            if part.rpartition("__")[2] == name and classifier.get_params()[part] is not None or part.endswith("epochs"):
                classifier.set_params(**{part: 1 if part.endswith("epochs") else value})
    for member in getattr(classifier, "members", []): quicker(member)
    return classifier


def trained(one, checkpoint, names=None):
    classifier = quicker(trick_classifier(one, str(checkpoint), names or sorted(ROWS), 3))
    more = {"validation": (TEXTS[:6], LABELS[:6])} if chooses_epoch(classifier) else {}
    return classifier.fit(TEXTS, np.array(LABELS), **more)


@pytest.mark.parametrize("approach, one", SAVED, ids=[f"{approach} {one.name}" for approach, one in SAVED])
def test_a_trick_answers_the_same_from_its_folder(approach, one, tiny_checkpoint, tmp_path):
    classifier = trained(one, tiny_checkpoint)
    save(classifier, tmp_path/"model", trick=f"{approach}, {one.name}")
    record = json.loads((tmp_path/"model"/"training.json").read_text())
    assert record["approach"] == one.saved_as and record["settings"]["trick"] == f"{approach}, {one.name}"
    assert record["format"] == (3 if one.saved_as in PIECED else 1 if one.saved_as == "fine-tuned" else 2)
    again = load(tmp_path/"model")
    order = [list(again.classes_).index(name) for name in classifier.classes_]
    np.testing.assert_allclose(again.predict_proba(NEW)[:, order], classifier.predict_proba(NEW), atol=1e-5)
    assert {path.suffix for path in (tmp_path/"model").iterdir()} <= {".json", ".safetensors"}
    found = inspect_model(tmp_path/"model")
    assert found.what.startswith(one.saved_as) and found.classes == sorted(ROWS) and not found.refused + found.ignored


def test_two_classes_and_classes_that_are_numbers(tiny_checkpoint, tmp_path):
    "Two classes have one column of scores; ten comes after two"
    two = [row for row, label in enumerate(LABELS) if label != "joy"]
    ten = {"anger": "10", "joy": "2", "sadness": "1"}
    for name in ("stack-with-tfidf", "vote-with-tfidf", "with-tfidf", "logit-adjustment"):
        _, one = find_trick(name, "features")
        for kind, rows, labels in (("two", two, LABELS), ("ten", range(len(TEXTS)), [ten[label] for label in LABELS])):
            classifier = quicker(trick_classifier(one, str(tiny_checkpoint), [], 3)).fit([TEXTS[row] for row in rows], np.array([labels[row] for row in rows]))
            save(classifier, tmp_path/f"{name}-{kind}")
            again = load(tmp_path/f"{name}-{kind}")
            assert list(again.classes_) == (["1", "2", "10"] if kind == "ten" else ["anger", "sadness"])
            order = [list(again.classes_).index(label) for label in classifier.classes_]
            np.testing.assert_allclose(again.predict_proba(NEW)[:, order], classifier.predict_proba(NEW), atol=1e-5)


def test_a_trick_that_is_kept_is_the_one_that_was_compared(tiny_checkpoint):
    "A comparison combines what members answered; the one that is kept trains them"
    shares = np.unique(LABELS, return_counts=True)[1] / len(LABELS)
    plain = features_classifier(str(tiny_checkpoint), seed=3).fit(TEXTS, np.array(LABELS))
    _, vote = find_trick("vote-with-tfidf", "features")
    members = trained(vote, tiny_checkpoint).members_
    np.testing.assert_allclose(trained(vote, tiny_checkpoint).predict_proba(NEW), mean_answers([member.predict_proba(NEW) for member in members], shares))
    adjusting = adjusted([features_classifier(str(tiny_checkpoint), seed=3)]).fit(TEXTS, np.array(LABELS))
    np.testing.assert_allclose(adjusting.predict_proba(NEW), adjusted_answers([plain.predict_proba(NEW)], shares))


def test_what_cannot_be_saved_is_refused(tiny_checkpoint, tmp_path):
    unsaved = [one.name for tricks in TRICKS.values() for one in tricks if not one.saved_as]
    assert ", ".join(unsaved) == _NOT_SAVED  # as the help says
    for approach, tricks in TRICKS.items():
        assert _TRICKS[approach].split(", ") == [one.name for one in tricks if one.name != "plain"]
    for name in unsaved:
        with pytest.raises(InputError, match="cannot be saved.*Those that can: features: plain"):
            find_trick(name)
    import shutil
    shutil.copytree(tiny_checkpoint, tmp_path/"twin")
    beside = side_by_side([FeatureExtractor(str(tiny_checkpoint)), FeatureExtractor(str(tmp_path/"twin"))]).fit(TEXTS, np.array(LABELS))
    with pytest.raises(InputError, match="a folder holds one transformer"):
        save(beside, tmp_path/"model")
    assert not (tmp_path/"model").exists()


@pytest.mark.parametrize("name", ["with-tfidf", "hand-made", "up-sampling", "stack-with-tfidf"])
def test_a_temperature_goes_into_what_is_saved(name, tiny_checkpoint, tmp_path):
    from emotion_nbdev.evaluation import Answers
    from emotion_nbdev.production.trust import calibrate
    classifier = trained(find_trick(name, "features")[1], tiny_checkpoint)
    before = classifier.predict_proba(TEXTS)
    mixed = [label if row % 3 else "joy" for row, label in enumerate(LABELS)]
    value, scaled = calibrate(classifier, Answers("trick", "validation", TEXTS, mixed, before, classifier.classes_))
    assert abs(value - 1) > .01 and np.abs(classifier.predict_proba(TEXTS) - before).max() > 1e-3
    save(classifier, tmp_path/"model")
    np.testing.assert_allclose(load(tmp_path/"model").predict_proba(TEXTS), scaled.probabilities, atol=2e-3)


def test_no_name_and_no_number_of_a_message_is_in_the_vocabulary(tiny_checkpoint):
    private = "zyxwordle rang 0171 5550199 and write to anna.petersen@mail.example"
    texts = [f"{text} on day {number}" for number in range(80) for texts in ROWS.values() for text in texts] * 2
    terms = TermWeights().fit([private, *texts]).vectorizer_.get_feature_names_out()
    assert len(texts) > 1000 and "day" in terms
    assert not [term for term in terms if re.search(r"zyx|[1-9]|anna|mail", term)]


def test_a_head_without_a_bias_is_refused_before_training(tmp_path, tiny_checkpoint):
    from transformers import AutoTokenizer, GPT2Config, GPT2Model
    GPT2Model(GPT2Config(vocab_size=30522, n_embd=16, n_layer=1, n_head=1, n_positions=64)).save_pretrained(tmp_path/"decoder")
    AutoTokenizer.from_pretrained(tiny_checkpoint).save_pretrained(tmp_path/"decoder")
    _, one = find_trick("logit-adjustment", "fine-tuned")
    with pytest.raises(InputError, match="a decoder, has none"):
        trick_classifier(one, str(tmp_path/"decoder"), sorted(ROWS), 1)


def test_pieces_that_do_not_belong_together_are_named(tiny_checkpoint, tmp_path):
    save(trained(find_trick("with-tfidf")[1], tiny_checkpoint), tmp_path/"model")
    path = tmp_path/"model"/"training.json"
    whole = path.read_text()
    for change, message in (
            (lambda record: record["pieces"].reverse(), "do not match"),
            (lambda record: record["pieces"][0].update(length="long"), "is damaged|do not match"),
            (lambda record: record["pieces"].pop(), "pieces and head.safetensors do not match"),
            (lambda record: record["pieces"][1].update(approach="magic"), "is damaged"),
            (lambda record: record.update(pieces=None), "is damaged"),
            (lambda record: record.update(format=4), "reads up to 3")):
        record = json.loads(whole)
        change(record)
        path.write_text(json.dumps(record))
        with pytest.raises(InputError, match=message):
            load(tmp_path/"model")


@pytest.fixture
def data(tmp_path, csv_file):
    csv_file("train.csv", {label: [f"{text} {number}" for number in range(6) for text in texts] for label, texts in ROWS.items()})
    csv_file("validation.csv")
    return ["--train-file", "train.csv", "--validation-file", "validation.csv"]


def test_the_command_from_training_to_the_plan_of_a_push(tmp_path, data, tiny_checkpoint):
    done = call("train", "--trick", "with-tfidf", *data, "--model", tiny_checkpoint, "--output-dir", "m", cwd=tmp_path)
    assert done.returncode == 0 and "features, with-tfidf" in done.stdout, done.stderr
    card = (tmp_path/"m"/"README.md").read_text()
    assert "| trick | features, with-tfidf |" in card and "| made of | encoder, tfidf |" in card and "from emotion_nbdev.production.artefacts import load" in card
    answered = call("predict", "--model", "m", "we won in the last minute", cwd=tmp_path)
    assert answered.returncode == 0 and "we won" in answered.stdout, answered.stderr
    scored = call("evaluate", "--model", "m", "--data", "validation.csv", "--split", "validation", "--json", cwd=tmp_path)
    rows = {(row["approach"], row["split"]): row for row in json.loads((tmp_path/"m"/"metrics.json").read_text())}
    assert json.loads(scored.stdout)[0]["accuracy"] == rows["features, with-tfidf", "validation"]["accuracy"]
    from emotion_nbdev.production.push import plan_push
    assert "holds words of the training messages: vocabulary.json" in str(plan_push(tmp_path/"m", "casey/moods"))


def test_a_trick_with_a_graph(tmp_path, data, tiny_checkpoint):
    "What is a fine-tuned model is exported like one; what is not is refused before training"
    from emotion_nbdev.production.graphs import OnnxClassifier
    classifier = LogitAdjusted(FineTunedClassifier(str(tiny_checkpoint), epochs=1)).fit(TEXTS, np.array(LABELS), validation=(TEXTS[:6], LABELS[:6]))
    save(classifier, tmp_path/"adjusted")
    export_onnx(tmp_path/"adjusted", TEXTS, LABELS)
    graph = load(tmp_path/"adjusted")
    assert isinstance(graph, OnnxClassifier)
    np.testing.assert_allclose(graph.predict_proba(NEW), classifier.predict_proba(NEW), atol=1e-3)


def test_half_a_vote_is_not_exported(tmp_path, data, tiny_checkpoint, command):
    "Of a vote with a transformer in it no graph is made, since that would be the transformer alone"
    save(trained(find_trick("vote-with-tfidf", "fine-tuned")[1], tiny_checkpoint), tmp_path/"vote")
    done = command("export", "vote", *data)
    assert done.exit_code == 2 and "one of the approach vote" in done.stderr and not (tmp_path/"vote"/"model.onnx").exists()


def test_compare_says_how_to_keep_what_pays_and_what_cannot_be_kept():
    names = ["plain", "with-tfidf", "checkpoint a/b", "beside a/b"]
    table = pd.DataFrame([dict(approach="features", trick=name, verdict="pays" if number == 1 else "") for number, name in enumerate(names)])
    first, last = keeping(table)
    assert "emotion-nbdev train --approach features --trick with-tfidf" in first and last.endswith("not be saved: beside a/b.")
    best = table.assign(verdict=["", "", "pays", ""])
    assert "train --approach features --model a/b" in keeping(best)[0]


@pytest.mark.parametrize("arguments, message", [
    (["--trick", "magic"], "trick 'magic' is not known"),
    (["--trick", "vote-of-all"], "trick 'vote-of-all' cannot be saved"),
    (["--trick", "even-sampling"], "Say which with --approach"),
    (["--trick", "focal-loss", "--approach", "features"], "trick 'focal-loss' is not known"),
    (["--trick", "with-tfidf", "--approach", "tfidf"], "Leave out --approach"),
    (["--trick", "with-tfidf", "--onnx"], "--onnx is for fine-tuned models, not for joined"),
    (["--trick", "focal-loss", "--resume"], "--resume is for the plain recipes"),
    (["--trick", "focal-loss", "--resume"], "--resume is for the plain recipes"),
    (["--trick", "tfidf-every-sign", "--model", "any"], "--model is a transformer to start from"),
])
def test_options_that_do_not_go_with_a_trick(command, csv_file, tmp_path, arguments, message):
    csv_file()
    done = command("train", *arguments, "--train-file", "train.csv", "--output-dir", "m")
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1 and not (tmp_path/"m").exists(), done.stderr
