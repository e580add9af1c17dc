"""Each parameter of each public function that may be left out has an effect, and a test that shows it.

The list of parameters is made from the package, the list of tests from their sources (`python tests/named_tests.py` prints both): a call of the function, in a test or in a cell of a notebook,
with another value than the default. Where none is called like that, a line below calls the function twice, without and with, and the outcome has to be another one."""
import ast, inspect, io, logging, re, sys, time
from collections import defaultdict
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

import named_tests
from conftest import ROWS
from named_tests import exported, parameters, public, shown
from emotion_nbdev.app.ladder import Climb, climb_ladder, fit_rung, make_classifier, score_rung
from emotion_nbdev.app.report import draw_data, draw_figures, FigureFolder, plot_plane, write_report
from emotion_nbdev.beyond.check import check_tables, check_templates, near_duplicates, summary, word_runs
from emotion_nbdev.beyond.comparison import calibration_of, error_for, fit_trick, Gain, gain_columns, held_out_third, in_points, largest_by_chance, redrawn_scores, run_cell, simultaneous_gains, verdict
from emotion_nbdev.beyond.ensembles import CalibratedStack, saved_ensemble, saved_members
from emotion_nbdev.beyond.few_labels import ContrastiveClassifier, draw_pairs, label_next, train_on_pairs
from emotion_nbdev.beyond.label_noise import judges, out_of_fold, read_decisions
from emotion_nbdev.beyond.search import held_back, make_trials, open_study, search_fine_tuning, search_head, SearchedFineTuning, SearchedHead, study_settings, study_storage
from emotion_nbdev.beyond.tricks import all_tricks, combining_trick, find_trick, fine_tuning_trick, MeanVote, TRICKS, WithoutSuspects
from emotion_nbdev.classifiers import features_classifier, TfidfClassifier
from emotion_nbdev.dataset import class_names, find_datasets, from_tables, held_out_rows, hold_out, load_data, load_files, load_hub, plot_class_distribution, plot_words_per_message, subsample, TextFolds, to_dataset, to_frame
from emotion_nbdev.error_analysis import decisive_words, sortable_table
from emotion_nbdev.evaluation import Answers, answers, bootstrap_intervals, calibration_error, calibration_interval, compare, gains, joint_counts, ledger_row, log_odds_interval, mean_interval, redrawn, reliability, wilson_interval
from emotion_nbdev.features import encoder_batches, encoder_vectors, FeatureExtractor, loading, require_weights
from emotion_nbdev.fine_tuning import class_probabilities, encode_for, FineTunedClassifier, fit_or_recall, label_settings, load_with_head, make_trainer, names_of, schedule_arguments, train, trained_names, training_arguments, training_callbacks, training_key, training_rows
from emotion_nbdev.foundations.cache import fresh_cache, VectorFile
from emotion_nbdev.foundations.checkpoints import download_checkpoint, nested_settings
from emotion_nbdev.foundations.compute import compute_dtype, plain_attention
from emotion_nbdev.foundations.core import hidden_neighbour, InputError
from emotion_nbdev.foundations.figures import as_written
from emotion_nbdev.foundations.patience import patiently
from emotion_nbdev.foundations.sources import clean_table, delimited_layout, drop_unlabelled, file_rows, get_preset, hub_tables, read_splits, require_hub, require_labels, require_texts, require_two_columns, spell_out, without_labels
from emotion_nbdev.improvements import adjust, adjusted_loss, balanced_places, encoder_and_tfidf, focal_loss, HandMadeFeatures, LayerExtractor, Resampled, side_by_side, size_of_each, stacking, weighted_loss
from emotion_nbdev.production.artefacts import check_split, inspect_model, load, message_digests, model_digest, overlap, save, shifted, write_artefact
from emotion_nbdev.production.batches import csv_writer, label_file, label_records, label_stream, Lines, plan_columns, write_table
from emotion_nbdev.production.card import address_card, eval_results, render_card, write_card
from emotion_nbdev.production.endpoint import serve, ServedModel
from emotion_nbdev.production.graph_features import OnnxFeatureExtractor
from emotion_nbdev.production.graphs import graph_batches, load_classifier, OnnxClassifier, write_graph
from emotion_nbdev.production.page import write_page
from emotion_nbdev.production.push import Plan, find_repository
from emotion_nbdev.production.trust import Careful, careful, make_trust
from emotion_nbdev.projection import hover_plot, plot_density_by_class
from emotion_nbdev.tokenization import encode

# parameters that stand there because scikit-learn hands them over
INTERFACE = {("ContrastiveClassifier.fit", "validation"), ("FeatureExtractor.fit", "texts"), ("FeatureExtractor.fit", "labels"), ("OnnxFeatureExtractor.fit", "texts"), ("OnnxFeatureExtractor.fit", "labels"), ("LayerExtractor.fit", "texts"),
             ("LayerExtractor.fit", "labels"), ("TermWeights.fit", "labels"), ("HandMadeFeatures.fit", "labels"), ("HandMadeFeatures.get_feature_names_out", "input_features"), ("TextFolds.split", "groups"), ("TextFolds.get_n_splits", "groups"), ("TextFolds.get_n_splits", "texts")}


class Context:
    "What the lines below start from, made when it is needed"
    def __init__(self, folder, tiny):
        self.folder, self.tiny, self.made = folder, str(tiny), 0
        self.texts = [f"{text} on day {number}" for number in range(4) for texts in ROWS.values() for text in texts]
        self.labels = [label for _ in range(4) for label, texts in ROWS.items() for _ in texts]
        self.frame = pd.DataFrame({"text": self.texts, "label": self.labels})
        self.both = self.frame.assign(message=[f"letter {number % 20}" for number in range(36)], mood=["good"] * 35 + ["bad"])

    def new(self, name=""):
        "A name that nobody has"
        self.made += 1
        return self.folder/f"{self.made}{name}"

    def file(self, content, name=".csv"):
        path = self.new(name)
        path.write_text(content) if isinstance(content, str) else content.to_csv(path, index=False)
        return path

    @cached_property
    def data(self): return from_tables({"train": self.frame, "validation": self.frame.assign(text=self.frame["text"] + " again")})

    @cached_property
    def tfidf(self): return TfidfClassifier().fit(self.texts, self.labels)

    @cached_property
    def model(self):
        save(self.tfidf, self.folder/"model", messages=message_digests(self.data))
        return self.folder/"model"

    @cached_property
    def weaker(self):
        save(TfidfClassifier(C=.01).fit(self.texts[:12], self.labels[:12]), self.folder/"weaker")
        return self.folder/"weaker"

    @cached_property
    def tuned(self):
        save(FineTunedClassifier(self.tiny, epochs=1).fit(self.texts, self.labels), self.folder/"tuned", [ledger_row(answers("fine-tuned", self.tfidf, "validation", self.frame))])
        return self.folder/"tuned"

    @cached_property
    def climb(self): return climb_ladder(self.data, self.tiny, ("majority", "features"))

    @cached_property
    def extractor(self): return FeatureExtractor(self.tiny, cache=False).fit()

    @cached_property
    def head(self): return load_with_head(self.tiny, **label_settings(["anger", "joy", "sadness"]))

    @cached_property
    def row(self): return ledger_row(answers("tfidf", self.tfidf, "validation", self.frame))

    def rows(self, parts): return training_rows(*parts, self.texts, self.labels)

    @cached_property
    def unsure(self):
        "Answers with many different probabilities, some of them wrong"
        numbers = np.random.default_rng(0)
        return [Answers(f"no. {number}", "validation", self.texts, self.labels, numbers.dirichlet([1, 1, 1], 36), ["anger", "joy", "sadness"]) for number in range(2)]

    @cached_property
    def decisions(self): return self.file(pd.DataFrame({"row": [1], "text": self.texts[:1], "label": self.labels[:1], "new_label": ["joy"]}))

    @cached_property
    def table(self): return self.file(self.frame)

    @cached_property
    def wordless(self): return from_tables({split: self.frame.assign(text=[f"{text[0]} {number % 10} {number // 10}" for number, text in enumerate(self.texts)]) for split in ("train", "validation")})

    @cached_property
    def templates(self): return pd.DataFrame({"text": [f"your parcel number {word} is waiting at the desk of the shop" for word in "one two three four five six seven eight nine ten eleven twelve".split() * 9], "label": "joy"})

    @property
    def tensors(self):
        return torch.tensor([[2., -1.], [.5, 1.]]), torch.tensor([0, 0]), torch.tensor([3., 1.])


def seen(value):
    "What can be compared of any outcome"
    if isinstance(value, dict): return {str(key): seen(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, type({}.keys()))): return list(map(seen, value))
    if isinstance(value, (pd.DataFrame, pd.Series)): return value.to_json()
    if hasattr(value, "get_params"): return type(value).__name__, seen(value.get_params())
    return value.tolist() if isinstance(value, np.ndarray) else repr(value)


HARD = DummyClassifier(strategy="prior")
OTHER_VALUES = {  # that have to be made
    "NEW": lambda c: c.new(), "TRUST": lambda c: make_trust(TfidfClassifier().fit(c.texts, c.labels), c.unsure[0], .95)[0], "DRAWN": lambda c: np.ones((2, len(joint_counts(*c.unsure))), int), "STUDY": lambda c: c.new(".study"), "FRAME": lambda c: c.frame, "OTHER": lambda c: c.file(c.frame.assign(text=c.frame["text"] + " or so")),
    "TEST": lambda c: c.file(c.frame.assign(text=c.frame["text"] + " at last")), "AX": lambda c: __import__("matplotlib.pyplot").pyplot.subplots(figsize=(2, 2))[1], "FOLDER": lambda c: (folder := c.new(), folder.mkdir(), c.frame.to_csv(folder/"train.csv", index=False))[0]}


MADE = {"anger": 0, "joy": 1, "sadness": 2}
PARCELS = ["the parcel did not come on monday again", "the parcel did not come on tuesday"]
GAINS = simultaneous_gains(["a", "b"] * 20, [(np.array([["a"] * 40]), np.array([["a", "b"] * 19 + ["b", "a"]]))], 50)[0]


def fitted(classifier, c, **fit):
    "Probabilities of a classifier that was trained"
    return classifier.fit(c.texts, c.labels, **fit).predict_proba(c.texts)


def hub(call):
    "What a call says of a data set on the Hub, which is written there and not asked"
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
    asked = []
    def load_dataset(*arguments, **more):
        asked.append((arguments, more))
        names = Features({"text": Value("string"), "label": ClassLabel(names=["joy", "fear"]), "body": Value("string"), "mood": ClassLabel(names=["good", "bad"])})
        rows = {"text": [f"message {n}" for n in range(40)], "label": [0, 1] * 20, "body": [f"letter {n}" for n in range(40)], "mood": [1, 0] * 20}
        return DatasetDict({split: Dataset.from_dict(rows, names) for split in ("train", "validation")} if "halves" in arguments else {"train": Dataset.from_dict(rows, names)})
    with patch("emotion_nbdev.foundations.sources.require_hub"), patch("datasets.load_dataset", load_dataset):
        return seen(call()), asked


def listed(**more):
    with patch("huggingface_hub.HfApi.list_datasets") as asked, patch("emotion_nbdev.dataset.require_hub"):
        find_datasets("mails", **more)
        return asked.call_args


def downloaded(**more):
    with patch("emotion_nbdev.foundations.checkpoints._fetch") as asked:
        download_checkpoint("some/model", **more)
        return asked.call_args


def written(path, **more):
    "The bytes of a table as it is written"
    write_table(pd.DataFrame({"text": ["one\ntwo", "=1"], "n": [1, 2]}), path, **more)
    return pa.parquet.read_schema(path).types if path.suffix == ".parquet" else path.read_bytes()


def streamed(c, source, **more):
    stream = io.StringIO()
    label_stream(c.tfidf, source, stream, **more)
    return stream.getvalue()


def saved_files(c, **more):
    folder = c.new()
    folder.mkdir()
    write_artefact(c.tfidf, folder, **more)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"}


def carded(c, **more):
    folder = c.new()
    folder.mkdir()
    write_card(folder, "moods", "tfidf", [c.row], {}, **more)
    return (folder/"README.md").read_text()


def planes(features, seed):
    return np.random.default_rng(seed).normal(size=(len(features), 2))


def drawn(call):
    "What a call draws, the UMAP replaced by points at random"
    with patch("emotion_nbdev.app.report.project", planes):
        return call()


def reported(c, **more):
    folder = c.new()
    folder.mkdir()
    drawn(lambda: write_report(c.data, c.climb, folder, "tiny", "mails", **more))
    return (folder/"report.html").read_text()


def fine_tuned(c, **more):
    "Weights and history of a fine-tuning, in few steps"
    torch.manual_seed(0)
    model, tokenizer = load_with_head(c.tiny, **label_settings(list(MADE)))
    rows = training_rows(model, tokenizer, c.texts[:12], c.labels[:12])
    more.setdefault("epochs", 2)
    history = train(model, tokenizer, rows, rows, **more)
    return sorted(path.name for path in more.get("checkpoints", c.new()).glob("*")), len(history), model.classifier.weight.detach().numpy().tolist()


def trainer(c, **more):
    made = make_trainer(c.head[1], c.rows(c.head), None, training_arguments(c.new(), 1, 32, evaluate=False), model=c.head[0], **more)
    return made.compute_loss_func, [type(one).__name__ for one in made.callback_handler.callbacks]


def pairs_trained(c, **more):
    extractor = FeatureExtractor(c.tiny, cache=False, dtype="float32").fit()
    train_on_pairs(extractor, c.texts, draw_pairs(c.labels, most=40), **more)
    return extractor.transform(c.texts[:3])


def unsuspected(c, **more):
    with patch("emotion_nbdev.beyond.tricks.judges", lambda checkpoint, seed: [TfidfClassifier(seed=seed)]):
        return fitted(WithoutSuspects(TfidfClassifier(), c.tiny, **more), SimpleNamespace(texts=c.texts, labels=np.random.default_rng(0).choice(list(MADE), 36)))


def tuned_after_search(c, **more):
    "What a search is asked for, and what is trained after it"
    with patch("emotion_nbdev.beyond.search.search_fine_tuning") as search, patch("emotion_nbdev.beyond.search.FineTunedClassifier") as tuned, patch("emotion_nbdev.beyond.search.best_settings", lambda study: defaultdict(float)):
        search.return_value.user_attrs = {"epochs": 1}
        SearchedFineTuning(c.tiny, trials=1, epochs=1, **more).fit(c.texts, c.labels)
        return [[repr(call.args[3:]), call.kwargs] for call in (search.call_args, tuned.call_args)]


def added(make, **more):
    "What a function adds to the tricks"
    with patch.dict(TRICKS, {"fine-tuned": []}):
        make(**more)
        return [(one.name, one.exercise, one.across_seeds, one.whole, one.saved_as) for one in TRICKS["fine-tuned"]]


def barred(c, **more):
    with patch("emotion_nbdev.features.tqdm") as bar:
        list(encoder_batches(c.extractor.model_, c.extractor.tokenizer_, encode(c.texts[:2], c.extractor.tokenizer_, 16)[0], **more))
        return bar.call_args


def graph(c, **more):
    with patch("torch.onnx.export") as exported:
        write_graph(c.head[0].base_model if more else c.head[0], c.head[1], "graph.onnx", **more)
    return exported.call_args[1]["output_names"]


class Choosing(BaseEstimator):
    "A classifier that notes whether there is something to choose by"
    def fit(self, texts, labels, validation=None):
        self.chooses, self.classes_ = validation is not None, np.unique(labels)
        return self


def scored(c, **more):
    climb = Climb(list(MADE), {"tfidf": TfidfClassifier(C=.1).fit(c.texts[:12], c.labels[:12])})
    climb.classifiers["tfidf"].classes_ = np.array(list(MADE))
    with patch("emotion_nbdev.app.ladder.answers", lambda *given: c.unsure[0]):
        score_rung(climb, "tfidf", c.data, "validation", 1., **more)
    return climb.trust["tfidf"]


def priced(c, **more):
    "Whether vectors that were kept are hidden from a trick"
    with patch("emotion_nbdev.beyond.comparison.fresh_cache") as fresh:
        run_cell("features", find_trick("plain", "features")[1], c.data, c.tiny, 1, **more)
    return fresh.called


def tried(**more):
    import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    make_trials(lambda: study.optimize(lambda trial: 1., n_trials=1), study, 2, **more)
    return len(study.trials)


def serving(c, **more):
    with patch("uvicorn.Server") as server:
        serve(c.model, port=0, ready=str, **more)
        return server.called


class Recorder:
    "A graph that says what it was given"
    inputs, at_once = ["input_ids"], 1

    def run(self, batches):
        return [(indices, inputs["input_ids"].tolist()) for indices, inputs in batches]


def fails(*given):
    raise TimeoutError


def fails_once(**more):
    call = MagicMock(side_effect=[TimeoutError, "done"])
    with patch("time.sleep"):
        return patiently(call, "asking", lambda failure: InputError("it does not answer"), **more)


def loaded_badly(**more):
    with loading("some/model", **more):
        raise ValueError("no such layer")


def studied(c, **more):
    "The trials of a search for a head"
    study = search_head(features_classifier(c.tiny), c.texts, np.array(c.labels), **{"trials": 2, "folds": 2} | more)
    return [(trial.params, trial.value) for trial in study.trials], sorted(path.name for path in c.folder.glob("*.study"))


def tuned_by_search(c, **more):
    study = search_fine_tuning(c.tiny, c.texts, c.labels, list(MADE), epochs=1, **{"trials": 1} | more)
    return [trial.params for trial in study.trials]


def about(c, **more):
    "What comes of taking up a study"
    path = c.new(".study")
    study_settings(path, {"kind": "head"})["storage"]
    study = open_study(path, {"kind": "head"})
    study.add_trial(__import__("optuna").trial.create_trial(value=1.))
    return study_settings(path, **{"about": {"kind": "head"}} | more)["study_name"]


def sampled(settings):
    "The file of a study, and what its sampler draws"
    import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=settings["sampler"])
    return type(settings["storage"]).__name__, [study.ask().suggest_float("x", 0, 1) for _ in range(3)]


def native_dtype(native, **more):
    "What is computed in, as if this device had bfloat16, or not"
    with patch("emotion_nbdev.foundations.compute.native_bfloat16", lambda device: device is None):
        return compute_dtype(**more)


def attention(c, **more):
    with plain_attention(c.extractor.model_, **more):
        return c.extractor.model_.config._attn_implementation


def batched(c, **more):
    "How many batches a graph gets"
    extractor = OnnxFeatureExtractor(c.tiny, cache=False, engine="onnxruntime", **more)
    vars(extractor).update(vars(c.extractor) | vars(extractor))
    given = []
    extractor.graph_ = SimpleNamespace(inputs=["input_ids"], at_once=1, run=lambda batches: (given.append(key) or (key, np.zeros((len(key), 32), np.float32)) for key, _ in batches))
    extractor.transform(c.texts)
    return len(given)


def recalled(c, **more):
    with fresh_cache():
        return list(fit_or_recall(FineTunedClassifier(c.tiny, epochs=1), c.texts, c.labels, **more).history_)


def climbed(c, approaches, checkpoints=None, **more):
    "What a short fine-tuning answers, and leaves"
    with patch("emotion_nbdev.fine_tuning.usual_epochs", lambda steps: 2):
        climb = climb_ladder(c.data, c.tiny, approaches, checkpoints=checkpoints, **more)
    return climb.answers["fine-tuned", "validation"].probabilities, sorted(path.name for path in checkpoints.glob("*")) if checkpoints else []


LINES = [  # (function, a call of it, {parameter: another value than its default})
    # the chapter
    (to_dataset, lambda c, **more: to_dataset(c.frame, class_names(c.labels), **more).features["label"].id, dict(kind="int")),
    (to_dataset, lambda c, **more: to_dataset(c.frame, ["fear"], **more), dict(source="mails")),
    (held_out_rows, lambda c, **more: held_out_rows(c.texts, c.labels, **more), dict(share=.3, seed=1)),
    (held_out_rows, lambda c, **more: held_out_rows(c.texts[:4], c.labels[:4], **more), dict(source="mails")),
    (hold_out, lambda c, **more: (hold_out(c.frame, **more)[1].to_json(), c.log.text), dict(source="mails", share=.3, seed=1)),
    (TextFolds, lambda c, **more: [part.tolist() for _, part in TextFolds(**more).split(c.texts, c.labels)], dict(folds=2, seed=1)),
    (TextFolds.get_n_splits, lambda c, **more: TextFolds().get_n_splits(c.texts[:27], **more), dict(labels=["a", "b"] + ["a"] * 25)),
    (from_tables, lambda c, **more: [from_tables({"train": c.frame}, **more)["validation"]["text"], c.log.text], dict(sources={"train": "mails"}, seed=1)),
    (load_files, lambda c, **more: {split: rows["text"][:] for split, rows in load_files(c.table, **more).items()}, dict(validation="TEST", test="TEST", columns=["text", "label"])),
    (load_hub, lambda c, **more: hub(lambda: to_frame(load_hub("some/mails", **more)["validation"])), dict(revision="v1", text_column="body", label_column="mood", seed=1)),
    (subsample, lambda c, **more: subsample(c.data, 9, **more)["train"]["text"][:], dict(seed=1)),
    (load_data, lambda c, **more: {split: rows["text"][:] for split, rows in load_data(**more).items()}, dict(dataset="FOLDER", train_file="OTHER")),
    (load_data, lambda c, **more: {split: rows["text"][:] for split, rows in load_data(train_file=c.table, **more).items()}, dict(validation_file="TEST", test_file="TEST", text_column="none", label_column="none", seed=1, columns=["text", "label"])),
    (load_data, lambda c, **more: hub(lambda: list(load_data("some/mails", **more))), dict(config="halves")),
    (plot_class_distribution, lambda c, **more: plot_class_distribution(c.data, **more).figure.get_size_inches(), dict(ax="AX")),
    (plot_words_per_message, lambda c, **more: plot_words_per_message(c.data["train"], **more).figure.get_size_inches(), dict(ax="AX")),
    (find_datasets, lambda c, **more: listed(**more), dict(limit=3)),
    (encoder_batches, lambda c, **more: barred(c, **more), dict(description="reading")),
    (encoder_vectors, lambda c, **more: encoder_vectors(c.extractor.model_, c.extractor.tokenizer_, encode(c.texts, c.extractor.tokenizer_, 16)[0], **more), dict(pooling="cls", tokens_per_batch=16, lower=True)),
    (loading, lambda c, **more: loaded_badly(**more), dict(what="a dictionary")),
    (require_weights, lambda c, **more: require_weights(["head.weight"], "some/model", **more), dict(encoder="bert")),
    (require_weights, lambda c, **more: require_weights(["bert.pooler.weight"], "some/model", **more), dict(trained=True)),
    (plot_density_by_class, lambda c, **more: [panel.get_offsets().shape for ax in plot_density_by_class(planes(c.texts, 0), c.labels, list(MADE), **more).axes for panel in ax.collections], dict(gridsize=5)),
    (hover_plot, lambda c, **more: hover_plot(planes(c.texts, 0), c.texts, c.labels, list(MADE), **more).html, dict(width=300, height=300)),
    (redrawn, lambda c, **more: list(redrawn([5, 7], 3, **more)), dict(seed=1)),
    (wilson_interval, lambda c, **more: wilson_interval(3, 10, **more), dict(level=.5)),
    (log_odds_interval, lambda c, **more: log_odds_interval(.4, .08, **more), dict(level=.5)),
    (mean_interval, lambda c, **more: mean_interval([.5, .5], **more), dict(least=0., most=1.)),
    (bootstrap_intervals, lambda c, **more: bootstrap_intervals([[5, 2], [1, 9]], repetitions=50, **more), dict(level=.5)),
    (calibration_error, lambda c, **more: calibration_error([[.6, .9], [.7, .8]], [[1, 0], [1, 1]], **more), dict(axis=0)),
    (calibration_interval, lambda c, **more: calibration_interval(np.linspace(.3, 1, 50), np.arange(50) % 3 > 0, **more), dict(bins=3)),
    (reliability, lambda c, **more: reliability(c.unsure[0], **more), dict(bins=3, least=1)),
    (gains, lambda c, **more: gains(joint_counts(*c.unsure), **more), dict(drawn="DRAWN")),
    (compare, lambda c, **more: compare(*c.unsure, 50, **more), dict(seed=1)),
    (TfidfClassifier, lambda c, **more: fitted(TfidfClassifier(**more), SimpleNamespace(texts=c.texts[:20], labels=c.labels[:20])), dict(class_weight=None)),
    (schedule_arguments, lambda c, **more: schedule_arguments(9, 32, **more), dict(epochs=1, learning_rate=1e-3)),
    (training_arguments, lambda c, **more: training_arguments(c.folder, 9, 32, **more).to_json_string(), dict(epochs=1, learning_rate=1e-3, batch_size=4, label_smoothing=0, evaluate=False, resumable=True, seed=1)),
    (load_with_head, lambda c, **more: type(load_with_head(c.tiny, **more, **label_settings(["a", "b"]))), dict(revision="v1")),
    (training_callbacks, lambda c, **more: len(training_callbacks(**more)), dict(patience=2)),
    (make_trainer, lambda c, **more: trainer(c, **more), dict(loss=focal_loss, patience=2)),
    (train, lambda c, **more: fine_tuned(c, **more), dict(batch_size=4, checkpoints="NEW", loss=focal_loss, patience=0, head_start=False, thorough=True)),
    (FineTunedClassifier, lambda c, **more: fitted(FineTunedClassifier(c.tiny, epochs=1, **more), c), dict(dtype="bfloat16", head_start=False)),
    (training_key, lambda c, **more: training_key(FineTunedClassifier(c.tiny), c.texts, c.labels, **more), dict(validation=(["we won"], ["joy"]))),
    (fit_or_recall, lambda c, **more: recalled(c, **more), dict(validation=(["we won"], ["joy"]))),
    (FineTunedClassifier.load, lambda c, **more: FineTunedClassifier.load(c.tuned, **more).predict_proba(c.texts), dict(dtype="bfloat16")),
    (class_probabilities, lambda c, **more: class_probabilities(*c.head, encode_for(*c.head, c.texts)[0], [0, 1, 2], **more), dict(dtype="bfloat16")),
    (names_of, lambda c, **more: names_of(np.array(c.labels), **more), dict(label_names=["joy", "sadness", "anger"])),
    (trained_names, lambda c, **more: trained_names(c.tuned, **more), dict(revision="v1")),
    (sortable_table, lambda c, **more: sortable_table(pd.DataFrame({"share": [.123]}), **more), dict(digits=1)),
    (decisive_words, lambda c, **more: decisive_words(c.tfidf, [f"{one} {other}" for one in ("so quiet", "piano sold") for other in ("we won", "last minute", "cast off", "first salary")], **more)["changed_at_random"].tolist(), dict(seed=3)),
    (size_of_each, lambda c, **more: size_of_each([2, 5], **more), dict(how="down")),
    (balanced_places, lambda c, **more: balanced_places(c.labels, **more), dict(seed=1)),
    (Resampled, lambda c, **more: fitted(Resampled(TfidfClassifier(), "down", **more), SimpleNamespace(texts=c.texts[:20], labels=c.labels[:20])), dict(seed=1)),
    (adjust, lambda c, **more: adjust(np.array([[.6, .4]]), np.array([.7, .3]), **more), dict(tau=0)),
    *[(loss, lambda c, loss=loss, **more: float(loss(*c.tensors, **more)), dict(smoothing=.3)) for loss in (weighted_loss, focal_loss, adjusted_loss)],
    (side_by_side, lambda c, **more: seen(side_by_side([HandMadeFeatures()], **more)["head"]), dict(head=DummyClassifier(), seed=1)),
    (LayerExtractor, lambda c, **more: LayerExtractor(c.tiny, 1, **more).fit().transform(c.texts), dict(pooling="cls")),
    (encoder_and_tfidf, lambda c, **more: fitted(encoder_and_tfidf(c.tiny, **more), c), dict(share=5., seed=1)),
    (stacking, lambda c, **more: fitted(stacking([TfidfClassifier(), HARD], 3, **more), c), dict(seed=1)),
    # foundations
    (VectorFile, lambda c, **more: VectorFile(**more).path, dict(path="NEW")),
    (nested_settings, lambda c, **more: list(nested_settings([1], **more)), dict(key="layers")),
    (download_checkpoint, lambda c, **more: downloaded(**more), dict(revision="v1", files=["*.json"])),
    (compute_dtype, lambda c, **more: [found for native in (True, False) for found in [native_dtype(native, **more)]], dict(device="meta")),
    (plain_attention, lambda c, **more: attention(c, **more), dict(wanted=False)),
    (hidden_neighbour, lambda c, **more: hidden_neighbour(Path("out.parquet"), **more).name.rpartition("partial-")[2][8:], dict(ending=".csv")),
    (as_written, lambda c, **more: as_written(["a name that is long"], **more)[0], dict(longest=9)),
    (patiently, lambda c, **more: fails_once(**more), dict(passing=lambda failure: False)),
    (spell_out, lambda c, **more: spell_out("caf\udce9", **more), dict(backslash="%")),
    (delimited_layout, lambda c, **more: delimited_layout(c.table, **more).names, dict(columns=["a", "b"])),
    (file_rows, lambda c, **more: [row.record for row in file_rows(c.table, **more)], dict(columns=["a", "b"])),
    (file_rows, lambda c, **more: [row.reason for row in file_rows(c.file("no label\nno label; joy\n", ".txt"), **more)], dict(labelled=False)),
    (require_texts, lambda c, **more: require_texts(c.both, **more), dict(column="message")),
    (require_texts, lambda c, **more: require_texts(c.both.assign(text=None), **more), dict(source="mails")),
    (require_two_columns, lambda c, **more: require_two_columns("text", "text", **more), dict(source="mails")),
    (require_labels, lambda c, **more: require_labels(c.both, **more), dict(column="mood")),
    (require_labels, lambda c, **more: require_labels(c.both.assign(label=None), **more), dict(source="mails")),
    (clean_table, lambda c, **more: clean_table(c.both, **more), dict(text_column="message", label_column="mood")),
    (require_hub, lambda c, **more: require_hub("some/mails", **more), dict(cure="Go home.")),
    (without_labels, lambda c, **more: without_labels(c.frame, **more), dict(label_column="mood")),
    (drop_unlabelled, lambda c, **more: list(drop_unlabelled({"train": c.frame, "test": c.frame}, {"test": "test.csv"}, **more)), dict(label_column="mood")),
    (hub_tables, lambda c, **more: hub(lambda: hub_tables("some/mails", **more)[1]), dict(revision="v1", label_column="mood", config="halves")),
    (get_preset, lambda c, **more: get_preset(**more), dict(name="chapter")),
    (read_splits, lambda c, **more: list(read_splits(train_file=c.table, **more)[0].values()), dict(validation_file="TEST", test_file="TEST")),
    (read_splits, lambda c, **more: hub(lambda: list(read_splits("some/mails", **more)[0].values())), dict(label_column="mood", config="halves")),
    (read_splits, lambda c, **more: hub(lambda: list(read_splits(**more)[0].values())), dict(preset="chapter")),
    # production
    (write_artefact, lambda c, **more: saved_files(c, **more), dict(rows=[{"approach": "tfidf"}], data={"source": "mails"}, seed=1, messages={"train": ["0" * 12]}, trust="TRUST", trick="with-tfidf")),
    (load, lambda c, **more: type(load(c.model, **more)).__name__, dict(revision="v1")),
    (model_digest, lambda c, **more: model_digest(c.model, **more), dict(revision="v1")),
    (overlap, lambda c, **more: overlap(c.model, c.texts[:2], **more), dict(revision="v1")),
    (check_split, lambda c, **more: check_split(c.model, c.frame, "train", **more), dict(revision="v1")),
    (inspect_model, lambda c, **more: inspect_model(c.model, **more).what, dict(revision="v1")),
    (Lines, lambda c, **more: (stream := io.StringIO(), Lines(stream, **more).write("a\r\n"), stream.getvalue())[2], dict(line_end="\r")),
    (csv_writer, lambda c, **more: (stream := io.StringIO(), csv_writer(stream, **more).writerow([1, 2]), stream.getvalue())[2], dict(delimiter=";", line_end="\r")),
    (write_table, lambda c, **more: written(c.new(".csv"), **more), dict(line_end="\r\n", delimiter=";")),
    (write_table, lambda c, **more: written(c.new(".parquet"), **more), dict(schema=pa.schema({"text": pa.string(), "n": pa.int8()}))),
    (label_records, lambda c, **more: label_records(c.tfidf, [{"text": "we won", "body": "so quiet"}], **more), dict(text_column="body")),
    (plan_columns, lambda c, **more: plan_columns(c.tfidf, c.table, False, **more), dict(text_column="none", columns=["text", "b"])),
    (label_file, lambda c, **more: (out := c.new(".csv"), label_file(c.tfidf, c.table, out, **more), out.read_text())[2], dict(text_column="label")),
    (label_stream, lambda c, **more: streamed(c, c.table, **more), dict(text_column="label", columns=["text", "b"])),
    (eval_results, lambda c, **more: [vars(one) for one in eval_results(c.row, "mails", **more)], dict(dataset="some/mails")),
    (render_card, lambda c, **more: render_card("moods", "tfidf", [c.row], {}, **more), dict(languages=["de"], base_model="some/model", dataset="some/mails", address="my-run/model")),
    (write_card, lambda c, **more: carded(c, **more), dict(languages=["de"], base_model="some/model", dataset="some/mails", examples=[("we won", "joy")], address="my-run/model")),
    (address_card, lambda c, **more: (card := c.new(), card.mkdir(), (card/"README.md").write_text('model = "moods"\nclassifier = load(model)\n'), address_card(card, "casey/moods", **more), (card/"README.md").read_text())[-1], dict(revision="v2")),
    (write_graph, lambda c, **more: graph(c, **more), dict(pooling="mean")),
    (graph_batches, lambda c, **more: list(graph_batches(Recorder(), [[1], [2, 3], [4]], **more)), dict(pad_id=9, tokens_per_batch=1)),
    (OnnxFeatureExtractor, lambda c, **more: batched(c, **more), dict(tokens_per_batch=8)),
    (OnnxClassifier.load, lambda c, **more: OnnxClassifier.load(c.tuned, **more).classes_, dict(revision="v1")),
    (load_classifier, lambda c, **more: type(load_classifier(c.tuned, **more)).__name__, dict(revision="v1")),
    (write_page, lambda c, **more: write_page(c.tuned, c.new(), **more).is_dir(), dict(revision="v1")),
    (find_repository, lambda c, **more: (api := MagicMock(), find_repository(api, Plan("casey/moods", ()), **more), api.repo_info.call_args)[2], dict(revision="next")),
    (shifted, lambda c, **more: shifted(FineTunedClassifier.load(c.tuned), **more).predict_proba(c.texts), dict(lost=[1., 0., 0.])),
    (ServedModel, lambda c, **more: ServedModel(c.model, **more).classes, dict(revision="v1", dtype="half")),
    (serve, lambda c, **more: serving(c, **more), dict(revision="v1", dtype="half")),
    (Careful, lambda c, **more: Careful(c.tfidf, **more).remarks(np.array([.4, .35, .25])), dict(at_least=.9, limit=.7)),
    (careful, lambda c, **more: careful(c.tfidf, "model", **more).remarks(np.array([.4, .35, .25])), dict(at_least=.9)),
    # beyond and app
    (near_duplicates, lambda c, **more: near_duplicates(PARCELS, word_runs(PARCELS), **more), dict(least=.3)),
    (check_templates, lambda c, **more: seen(check_templates(c.templates.assign(split="train"), word_runs(c.templates["text"]), **more)), dict(least=40)),
    (check_tables, lambda c, **more: check_tables({"train": c.both}, c.extractor.tokenizer_, 64, **more), dict(text_column="message", label_column="mood")),
    (summary, lambda c, **more: summary({"train": c.both}, [], c.extractor.tokenizer_, **more), dict(text_column="message", label_column="mood")),
    (fit_trick, lambda c, **more: (classifier := MagicMock(), fit_trick(classifier, "plain", c.frame, **more), classifier.fit.call_args[1])[2].keys(), dict(validation="FRAME")),
    (redrawn_scores, lambda c, **more: redrawn_scores(["a", "b"] * 9, [["a"] * 18], 20, **more), dict(seed=1)),
    (largest_by_chance, lambda c, **more: largest_by_chance([GAINS["accuracy"]], np.linspace(-1, 1, 30)[None], **more), dict(level=.5)),
    (simultaneous_gains, lambda c, **more: simultaneous_gains(["a", "b"] * 20, [(np.array([["a"] * 40]), np.array([["a", "b"] * 19 + ["b", "a"]]))], 50, **more), dict(seed=1)),
    (verdict, lambda c, **more: verdict(GAINS, **more), dict(once=True)),
    (error_for, lambda c, **more: error_for(Gain(.1, .01, 0., 9, 1, 2.), **more), dict(effect=.02, power=.5)),
    (calibration_of, lambda c, **more: calibration_of(c.unsure[0], **more), dict(seed=1)),
    (held_out_third, lambda c, **more: held_out_third(c.texts, **more), dict(seed=1)),
    (gain_columns, lambda c, **more: gain_columns(GAINS, **more), dict(heading="test gain")),
    (in_points, lambda c, **more: in_points(gain_columns(GAINS) | gain_columns({name: Gain(.5, .1, .1, 3, 3) for name in GAINS}, "test gain"), **more), dict(heading="test gain", metric="accuracy")),
    (CalibratedStack, lambda c, **more: fitted(CalibratedStack(saved_members([c.model, c.weaker]), **more), c), dict(seed=1)),
    (saved_ensemble, lambda c, **more: fitted(saved_ensemble([c.model, c.weaker], "stack", **more), c), dict(seed=1)),
    (label_next, lambda c, **more: label_next(TfidfClassifier(), c.frame, c.frame, **{"per_class": 4, "seeds": (1, 2)} | more), dict(per_class=3, seeds=(3,))),
    (draw_pairs, lambda c, **more: draw_pairs(c.labels, **more), dict(seed=1)),
    (train_on_pairs, lambda c, **more: pairs_trained(c, **more), dict(batch_size=4, learning_rate=.01, seed=1)),
    (ContrastiveClassifier, lambda c, **more: fitted(ContrastiveClassifier(c.tiny, 1, **{"most": 40} | more), c), dict(most=8, head=LogisticRegression(C=9.), seed=1)),
    (judges, lambda c, **more: seen(judges(**more)), dict(checkpoint="other", seed=1)),
    (out_of_fold, lambda c, **more: out_of_fold([TfidfClassifier()], c.texts, c.labels, **more).probabilities, dict(folds=3, seed=1)),
    (read_decisions, lambda c, **more: read_decisions(c.decisions, c.both, **more), dict(text_column="message", label_column="mood")),
    (study_storage, lambda c, **more: type(study_storage(**more)).__name__, dict(path="NEW")),
    (study_settings, lambda c, **more: sampled(study_settings(**more)), dict(path="NEW", seed=1)),
    (study_settings, lambda c, **more: about(c, **more), dict(about={"kind": "fine-tuning"})),
    (open_study, lambda c, **more: (study := open_study(**more), study.user_attrs, [study.ask().suggest_float("x", 0, 1) for _ in range(3)])[1:], dict(about={"kind": "head"}, seed=1)),
    (search_head, lambda c, **more: studied(c, **more), dict(trials=3, seconds=0, study_path="STUDY", folds=3, seed=1)),
    (SearchedHead, lambda c, **more: fitted(SearchedHead(c.tiny, **{"trials": 3, "folds": 2} | more), c), dict(seconds=0, seed=1)),
    (held_back, lambda c, **more: held_back(c.texts, c.labels, **more), dict(seed=1)),
    (search_fine_tuning, lambda c, **more: tuned_by_search(c, **more), dict(seconds=0, seed=1)),
    (SearchedFineTuning, lambda c, **more: tuned_after_search(c, **more), dict(label_names=["joy", "anger", "sadness"], seconds=0, seed=1)),
    (combining_trick, lambda c, **more: added(combining_trick, approach="fine-tuned", name="vote", exercise="", combine=None, members=[], **more), dict(across_seeds=True, whole=len, saved_as="vote")),
    (fine_tuning_trick, lambda c, **more: added(fine_tuning_trick, name="slow", **more), dict(exercise="patience")),
    (all_tricks, lambda c, **more: [one.name for _, one in all_tricks(**more)], dict(others=["some/model"])),
    (WithoutSuspects, lambda c, **more: unsuspected(c, **more), dict(share=.3)),
    (WithoutSuspects, lambda c, **more: unsuspected(c, share=.3, **more), dict(seed=1)),
    (make_classifier, lambda c, **more: seen(make_classifier("fine-tuned", **more)), dict(label_names=["b", "a"], seed=1)),
    (fit_rung, lambda c, **more: fit_rung(FineTunedClassifier(c.tiny, epochs=1), c.data, **more) and sorted(path.name for path in Path(more.get("checkpoints", c.new())).glob("*")), dict(checkpoints="NEW")),
    (climb_ladder, lambda c, **more: climbed(c, ("fine-tuned",), **more), dict(seed=1, checkpoints="NEW")),
    (climb_ladder, lambda c, **more: list(climb_ladder(c.wordless, approaches=("majority", "tfidf"), **more).classifiers), dict(required=("tfidf",))),
    (climb_ladder, lambda c, **more: climb_ladder(c.data, approaches=("tfidf",), **more).trust["tfidf"], dict(precision=.5)),
    (climb_ladder, lambda c, **more: climb_ladder(c.data, approaches=("tfidf",), **more).classifiers["tfidf"], dict(further={"tfidf": lambda names, seed: TfidfClassifier(C=.01)})),
    (score_rung, lambda c, **more: scored(c, **more), dict(precision=.4)),
    (run_cell, lambda c, **more: priced(c, **more), dict(cold=False)),
    (make_trials, lambda c, **more: tried(**more), dict(seconds=0)),
    (MeanVote.fit, lambda c, **more: MeanVote([Choosing()]).fit(c.texts, c.labels, **more).members_[0].chooses, dict(validation=(["fine"], ["joy"]))),
    (plot_plane, lambda c, **more: c.climb and drawn(lambda: [panel.get_offsets().tolist() for ax in plot_plane(c.data, c.climb.classifiers["features"]["features"], **more).axes for panel in ax.collections]), dict(seed=1)),
    (draw_data, lambda c, **more: drawn(lambda: (folder := c.new(), folder.mkdir(), draw_data(FigureFolder(folder), c.data, c.climb, **more), (folder/"umap.png").read_bytes())[3]), dict(seed=1)),
    (draw_figures, lambda c, **more: drawn(lambda: (folder := c.new(), folder.mkdir(), draw_figures(c.data, c.climb, folder, **more), (folder/"umap.png").read_bytes())[3]), dict(seed=1)),
    (write_report, lambda c, **more: reported(c, **more), dict(notes=["3 of 12 texts are longer"], seed=1)),
]


CASES = [(call, given, name, value) for given, call, values in LINES for name, value in values.items()]


@pytest.fixture(scope="module")
def context(tmp_path_factory, tiny_checkpoint):
    return Context(tmp_path_factory.mktemp("parameters"), tiny_checkpoint)


@pytest.fixture(scope="module")
def plain():
    return {}


def outcome(call, context, log, **more):
    "What a call gives and logs, or the line with which it is refused"
    log.clear()
    context.log = log
    try:
        given = seen(call(context, **more))
    except InputError as error:
        given = str(error)
    return given, re.sub(r"\b[\d.]+ s\b|[0-9a-f]{8,}", "", " ".join(dict.fromkeys(log.messages)))


@pytest.mark.parametrize("call, given, name, value", CASES, ids=[f"{given.__qualname__}-{name}" for _, given, name, _ in CASES])
def test_another_value_has_another_outcome(call, given, name, value, context, plain, caplog):
    caplog.set_level(logging.INFO, "emotion_nbdev")
    if call not in plain:
        for shared in call.__code__.co_names: getattr(context, shared, None)  # what is made once is made now
        started = time.perf_counter()
        plain[call] = outcome(call, context, caplog)
        if time.perf_counter() - started < .5:
            assert outcome(call, context, caplog) == plain[call], "the same call twice"  # else a difference would say nothing
    value = OTHER_VALUES[value](context) if isinstance(value, str) and value in OTHER_VALUES else value
    assert outcome(call, context, caplog, **{name: value}) != plain[call], f"{given.__qualname__}({name}) changes nothing"


def test_each_parameter_has_a_test_that_shows_its_effect():
    here = {(*named_tests.key_of(given)[0], name) if named_tests.key_of(given) else (given.__module__, given.__qualname__, name) for _, given, name, _ in CASES}
    known = {(*key, one.name) for key, function in public().items() for one in parameters(function)}
    assert here <= known, here - known
    generated = {(kind.__module__, kind.__name__) for kind in exported().values() if inspect.isclass(kind) and is_dataclass(kind)}
    missing = [f"{module}.{function}({name})" for (module, function, name), places in shown().items()
               if not places and (module, function, name) not in here and (module, function) not in generated and (function, name) not in INTERFACE]
    assert not missing, f"no test gives another value than the default: {', '.join(missing)}. Add one, or a line to LINES."


def test_each_field_is_read():
    "A field of a dataclass that nobody looks at has no effect"
    package = Path(sys.modules["emotion_nbdev"].__file__).parent
    read = {node.attr for path in package.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    templates = " ".join(path.read_text(encoding="utf-8") for path in (package/"templates").glob("*"))
    unread = [f"{kind.__name__}.{field.name}" for kind in exported().values() if inspect.isclass(kind) and is_dataclass(kind) and kind.__module__.startswith("emotion_nbdev") for field in fields(kind)
              if field.name not in read and not re.search(rf"\.{field.name}\b", templates)]
    assert not unread, unread
