"Ideas for a better model from the same messages, each beside the recipe as it is and over several seeds: `make bench IDEAS=1`."
import json, os, tempfile
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
import numpy as np
import torch, typer
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from emotion_nbdev import fine_tuning
from emotion_nbdev.beyond.check import near_duplicates, word_runs
from emotion_nbdev.beyond.comparison import compare_tricks, trick_table
from emotion_nbdev.beyond.label_noise import out_of_fold
from emotion_nbdev.beyond.tricks import Trick
from emotion_nbdev.classifiers import TfidfClassifier
from emotion_nbdev.dataset import subsample, to_frame
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.foundations.checkpoints import resolve_checkpoint
from emotion_nbdev.tokenization import encode, length_sorted_batches, load_tokenizer, padding_share

from data import benchmark_data
from machine import machine

HERE = Path(__file__).parent
SHOWN = ["trick", "n", "seeds", "accuracy", "macro_f1",
         "gain accuracy", "gain accuracy_low", "gain accuracy_high",
         "gain macro_f1", "gain macro_f1_low", "gain macro_f1_high", "verdict", "confirmed", "chosen_on"]


class Changed(FineTunedClassifier):
    "The recipe, whose Trainer is changed before it begins"
    change = staticmethod(lambda trainer: None)

    def fit(self, texts, labels, validation=None):
        make = fine_tuning.make_trainer
        def made(*given, **more):
            trainer = make(*given, **more)
            self.change(trainer)
            return trainer
        chooses = validation if self.epochs > 1 else None  # one epoch leaves nothing to choose
        with patch.object(fine_tuning, "make_trainer", made):
            return super().fit(texts, labels, chooses)


# How fast it learns

def one_cycle(trainer):
    "To twice the rate in three tenths of the steps, and down along a cosine"
    args = trainer.args
    args.learning_rate, args.warmup_steps, args.lr_scheduler_type = 2 * args.learning_rate, .3, "cosine"


def layer_wise(trainer):
    "Nine tenths of the rate for each layer further down, the upper ones above the usual rate"
    model, args = trainer.model, trainer.args
    encoder = model.base_model
    depth = {id(one): number for number, part in enumerate([encoder.embeddings, *encoder.encoder.layer])
             for one in part.parameters()}
    top, decayed = max(depth.values()), trainer.get_decay_parameter_names(model)
    groups = [dict(params=[one], weight_decay=args.weight_decay if name in decayed else 0.,
                   lr=1.5 * args.learning_rate * .9 ** (top - depth.get(id(one), top)))
              for name, one in model.named_parameters() if one.requires_grad]
    trainer.optimizer = torch.optim.AdamW(groups)


def frozen(trainer):
    "The third of the layers nearest to the words stays as it is"
    layers = trainer.model.base_model.encoder.layer
    trainer.model.base_model.embeddings.requires_grad_(False)
    layers[:len(layers) // 3].requires_grad_(False)


def rounded(values):
    "To bfloat16 in place, up or down by chance, so that small sums are not lost"
    bits = values.view(torch.int32)
    bits += torch.randint_like(bits, 1 << 16)
    bits &= -1 << 16


def low_states(trainer):
    "What the optimiser remembers of each weight has eight bits after the point"
    def after(optimizer, *given):
        for state in optimizer.state.values():
            rounded(state["exp_avg"])
            rounded(state["exp_avg_sq"])
    trainer.create_optimizer().register_step_post_hook(after)


# In which order

class Batches:
    "Places of messages, batch by batch, drawn anew in each epoch"
    def __init__(self, draw, lengths, seed):
        self.draw, self.lengths, self.drawn = draw, np.array(lengths), np.random.default_rng(seed)
        self.count = len(draw(self.lengths, np.random.default_rng(seed)))

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter([batch.tolist() for batch in self.draw(self.lengths, self.drawn)])


def in_order(draw):
    "A change of the Trainer that reads the batches that a function draws"
    def change(trainer):
        rows = trainer.train_dataset
        batches = Batches(draw, list(map(len, rows["input_ids"])), trainer.args.seed)
        trainer.args.warmup_steps = .1
        trainer.get_train_dataloader = lambda: torch.utils.data.DataLoader(
            rows, batch_sampler=batches, collate_fn=trainer.data_collator)
    return change


def cut(places, size):
    return np.split(places, range(size, len(places), size))


def by_length(lengths, drawn):
    "Places from the shortest message to the longest, in a drawn order where they are equal"
    shuffled = drawn.permutation(len(lengths))
    return shuffled[np.argsort(lengths[shuffled], kind="stable")]


def shuffled(batches, drawn):
    return [batches[place] for place in drawn.permutation(len(batches))]


def any_length(lengths, drawn):
    return cut(drawn.permutation(len(lengths)), 32)


def short_first(lengths, drawn):
    return cut(by_length(lengths, drawn), 32)


def like_lengths(lengths, drawn):
    return shuffled(cut(by_length(lengths, drawn), 32), drawn)


def as_many_tokens(lengths, drawn):
    "Batches of as many tokens as 32 messages have on average"
    return shuffled(length_sorted_batches(lengths, int(32 * lengths.mean())), drawn)


def growing(lengths, drawn):
    "Batches of 16 for a third of the messages, then of 32, then of 64"
    thirds = np.array_split(drawn.permutation(len(lengths)), 3)
    return [part[batch] for part, size in zip(thirds, (16, 32, 64))
            for batch in shuffled(cut(by_length(lengths[part], drawn), size), drawn)]


# From what

class Once(Changed):
    "Of messages that are the same, or nearly, the first"
    def fit(self, texts, labels, validation=None):
        pairs = near_duplicates(texts, word_runs(texts))
        seen, again = {}, {later for _, later in pairs}
        for place, text in enumerate(texts):
            if seen.setdefault(text, place) != place:
                again.add(place)
        kept = [place for place in range(len(texts)) if place not in again]
        return super().fit([texts[place] for place in kept], [labels[place] for place in kept], validation)


class Averaging(TrainerCallback):
    "The mean of the weights of the last three tenths of the steps"
    def on_train_begin(self, args, state, control, model, **more):
        self.mean = AveragedModel(model)

    def on_step_end(self, args, state, control, model, **more):
        if state.global_step > .7 * state.max_steps:
            self.mean.update_parameters(model)

    def on_train_end(self, args, state, control, model, **more):
        model.load_state_dict(self.mean.module.state_dict())


def mean_of_weights(trainer):
    trainer.add_callback(Averaging())


def with_column(trainer, name, values, loss):
    "A column beside each training message, and a loss of (logits, labels, column, usual loss)"
    trainer.train_dataset = trainer.train_dataset.add_column(name, values.tolist())
    trainer.args.remove_unused_columns = False
    usual = trainer.compute_loss
    def compute(model, inputs, return_outputs=False, **more):
        inputs = dict(inputs)
        column, labels = inputs.pop(name, None), inputs["labels"]
        found, outputs = usual(model, inputs, return_outputs=True, **more)
        if column is not None:
            found = loss(outputs.logits.float(), labels, column, found)
        return (found, outputs) if return_outputs else found
    trainer.compute_loss = compute


@lru_cache(maxsize=1)
def vote(texts, labels, checkpoint, epochs):
    "What three trainings with other seeds say of the messages from which they learned"
    members = [FineTunedClassifier(checkpoint, epochs=epochs, seed=seed).fit(texts, labels) for seed in (1, 2, 3)]
    return members[0].classes_, np.mean([one.predict_proba(texts) for one in members], axis=0)


def in_order_of(names, classes, probabilities):
    "Columns as the model has its outputs"
    classes = list(classes)
    return probabilities[:, [classes.index(name) for name in names]].astype("float32")


class Distilled(Changed):
    "Half of the loss is the usual one, the other half asks for the answers of a vote of three"
    def fit(self, texts, labels, validation=None):
        classes, given = vote(tuple(texts), tuple(labels), self.checkpoint, self.epochs)
        self.given = in_order_of(self.label_names, classes, given)
        return super().fit(texts, labels, validation)

    def change(self, trainer):
        with_column(trainer, "given", self.given, lambda logits, labels, given, usual: (
            (usual + cross_entropy(logits, given)) / 2))


class WithPrior(Changed):
    "The encoder learns what word counts do not know: their logarithms are added to its logits"
    def fit(self, texts, labels, validation=None):
        counting = TfidfClassifier(seed=self.seed)
        known = out_of_fold([counting], texts, labels, seed=self.seed)
        self.known = np.log(in_order_of(self.label_names, known.classes, known.probabilities).clip(1e-3))
        self.counting = counting.fit(texts, labels)
        return super().fit(texts, labels, validation)

    def change(self, trainer):
        with_column(trainer, "known", self.known, lambda logits, labels, known, usual: (
            cross_entropy(logits + known, labels, label_smoothing=self.label_smoothing)))

    def predict_proba(self, texts):
        known = self.counting.predict_proba(texts).clip(1e-3)  # classes_ are sorted in both
        together = super().predict_proba(texts) * known
        return together / together.sum(axis=1, keepdims=True)


def r_drop(trainer):
    "Each batch twice, with other dropout, and a loss that asks both for the same answers"
    for part in trainer.model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = .1
    usual = trainer.compute_loss
    def compute(model, inputs, return_outputs=False, **more):
        if not model.training:
            return usual(model, inputs, return_outputs, **more)
        losses, outputs = zip(*(usual(model, dict(inputs), return_outputs=True, **more) for _ in range(2)))
        one, other = (log_softmax(output.logits.float(), -1) for output in outputs)
        apart = sum(kl_div(*pair, reduction="batchmean", log_target=True) for pair in ((one, other), (other, one))) / 2
        found = sum(losses) / 2 + apart
        return (found, outputs[0]) if return_outputs else found
    trainer.compute_loss = compute


def idea(change=None, kind=Changed, **settings):
    "What makes the classifier of an idea"
    def make(checkpoint, names, seed, epochs):
        made = kind(checkpoint, label_names=names, seed=seed, epochs=epochs, **settings)
        if change:
            made.change = change
        return made
    return make


IDEAS = {
    "plain": idea(),
    "one cycle to twice the rate": idea(one_cycle),
    "lower rates further down": idea(layer_wise),
    "lowest third frozen": idea(frozen),
    "optimiser states in bfloat16": idea(low_states),
    "batches of 16": idea(batch_size=16),
    "batches of 64, twice the rate": idea(batch_size=64, learning_rate=4e-4),
    "batches that grow, 16 to 64": idea(in_order(growing)),
    "batches of any length": idea(in_order(any_length)),
    "batches of one length, shuffled": idea(in_order(like_lengths)),
    "short messages first": idea(in_order(short_first)),
    "as many tokens a batch": idea(in_order(as_many_tokens)),
    "similar messages once": idea(kind=Once),
    "mean of the last weights": idea(mean_of_weights),
    "word counts as a prior": idea(kind=WithPrior),
    "R-Drop": idea(r_drop),
    "a vote of three, distilled": idea(kind=Distilled),
}


def padding_of_recipe(texts, seed=42):
    "Share of padding in the batches of the recipe's first epoch: what packing messages behind each other could save"
    tokenizer = load_tokenizer(resolve_checkpoint())
    lengths = [len(ids) for ids in encode(texts, tokenizer, tokenizer.model_max_length)[0]["input_ids"]]
    order = get_length_grouped_indices(lengths, 32, generator=torch.Generator().manual_seed(seed))
    return padding_share(lengths, cut(np.array(order), 32))


def main(messages: int = None, epochs: float = 1, seeds: int = 3, only: str = None, folder: Path = None, output: Path = HERE/"results-ideas.json"):
    "Train each idea with each seed, print the table, write results-ideas.json; --messages: so many of the training split; --only: some, separated by semicolons; --folder: keep the answers there, to go on later; EMOTION_DATA as in bench.py"
    data = subsample(benchmark_data(), messages)
    data = type(data)({split: data[split] for split in ("train", "validation")})
    wanted = {"plain", *(only.split("; ") if only else IDEAS)}
    unknown = wanted - IDEAS.keys()
    if unknown:
        raise typer.BadParameter(f"{min(unknown)!r} is not known. Known: {'; '.join(IDEAS)}")
    def trick(name, make):
        return "fine-tuned", Trick(name, "", lambda *given: make(*given, epochs))
    tricks = [trick(name, make) for name, make in IDEAS.items() if name in wanted]
    with tempfile.TemporaryDirectory() as temporary:
        cells, _ = compare_tricks(
            data, resolve_checkpoint(), folder or temporary, tricks, list(range(42, 42 + seeds)))
    table = trick_table(cells, to_frame(data["validation"]), [])[SHOWN].round(4)
    print(table.to_string())
    public = "EMOTION_DATA=folder " if os.environ.get("EMOTION_DATA") else ""
    about = machine(
        data="public dataset" if public else "embedded corpus", messages=len(data["train"]), epochs=epochs,
        padding=round(padding_of_recipe(list(data["train"]["text"])), 4),
        command=f"{public}make bench IDEAS=1 MESSAGES={len(data['train'])} EPOCHS={epochs:g}")
    output.write_text(json.dumps(dict(machine=about, rows=table.to_dict("records")), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
