"How fast this package is, beside the chapter's own way and its peers: `make bench [TEXTS=N] [ROUNDS=N]`."
import gc, json, os, statistics, subprocess, sys, tempfile, threading, time
from pathlib import Path

os.environ.update(TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", EMOTION_CACHE="off", TQDM_DISABLE="1")
import numpy as np
import psutil
import torch
import typer
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments, pipeline
from transformers.utils import logging

from emotion_nbdev.dataset import load_data, load_files, to_frame
from emotion_nbdev.features import FeatureExtractor, pool
from emotion_nbdev.foundations.compute import best_device, native_bfloat16, plain_attention
from emotion_nbdev.fine_tuning import FineTunedClassifier, lighten, training_arguments, training_rows
from emotion_nbdev.production.graph_features import OnnxFeatureExtractor
from emotion_nbdev.production.graphs import OnnxClassifier, export_onnx
from emotion_nbdev.foundations.checkpoints import resolve_checkpoint
from emotion_nbdev.tokenization import load_tokenizer

HERE, DEVICE = Path(__file__).parent, best_device()
BFLOAT16 = native_bfloat16(DEVICE)


class Peak:
    "Peak resident memory in MiB while a block runs, sampled a hundred times a second"
    def __enter__(self):
        self.peak, self.running = 0, True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while self.running:
            self.peak = max(self.peak, psutil.Process().memory_info().rss / 2**20)
            time.sleep(.01)

    def __exit__(self, *_):
        self.running = False
        self.thread.join()


def interleaved(variants, rounds):
    "Each variant once a round, in turn: name -> (seconds of each round, last result, peak MiB). A variant may return its own seconds as `(seconds, result)`"
    seconds, results, peaks = {name: [] for name in variants}, {}, {}
    for number in range(rounds):
        for name, variant in variants.items():
            gc.collect()
            with Peak() as memory:
                started = time.perf_counter()
                result = variant()
                took = time.perf_counter() - started
            if isinstance(result, tuple): took, result = result
            seconds[name].append(took)
            results[name], peaks[name] = result, max(memory.peak, peaks.get(name, 0))
            print(f"  round {number + 1} of {rounds}: {name:32} {took:8.3f} s", file=sys.stderr)
    return {name: (seconds[name], results[name], peaks[name]) for name in variants}


def rows_of(task, measured, texts, agreement=lambda result: None, scale=1, chapter="chapter", share=lambda name, seconds: None):
    "Rows for the table and for results.json"
    medians = {name: statistics.median(seconds) * scale for name, (seconds, _, _) in measured.items()}
    peers = [median for name, median in medians.items() if not name.startswith("ours-") and name != chapter]
    return [dict(task=task, variant=name, texts=texts, median_s=round(medians[name], 4), min_s=round(min(seconds) * scale, 4), max_s=round(max(seconds) * scale, 4), rounds=len(seconds),
                 x_chapter=round(medians[chapter] / medians[name], 2) if chapter in medians else None, x_best_peer=round(min(peers) / medians[name], 2) if peers else None,
                 agreement=agreement(result), peak_mib=round(peak), share_of_peak=share(name, medians[name])) for name, (seconds, result, peak) in measured.items()]


def distilbert_sized(folder):
    "A checkpoint of DistilBERT's shape with random weights, which serve for speed, and the embedded tokenizer"
    from transformers import DistilBertConfig, DistilBertModel
    torch.manual_seed(0)
    tokenizer = load_tokenizer()
    DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def wait():
    "Until the accelerator has done what it was told"
    if DEVICE.type == "cuda": torch.cuda.synchronize()


def matmul_peak(dtype):
    "Multiply-add operations a second, times two, of the best of ten large matrix products"
    size = 2048 if DEVICE.type == "cpu" else 8192
    a, b = (torch.randn(size, size, dtype=dtype, device=DEVICE) for _ in range(2))
    best = 0
    for _ in range(10):
        wait()
        started = time.perf_counter()
        a @ b
        wait()
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def useful_operations(lengths, config):
    "Multiply-add operations, times two, that an encoder needs for texts without any padding"
    layers, hidden, inner = config.num_hidden_layers, config.hidden_size, getattr(config, "intermediate_size", None) or config.hidden_dim  # DistilBERT's name for it
    lengths = np.asarray(lengths, dtype=float)
    return float(layers * (lengths.sum() * 2 * (4 * hidden**2 + 2 * hidden * inner) + (lengths**2).sum() * 4 * hidden))


def worst_cosine(reference):
    def compare(vectors): return float(((vectors * reference).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(reference, axis=1)).min())
    return compare


def padding_of_chapter(texts):
    "The tokenizer's options in the chapter's way: every message padded to the longest of the whole split"
    tokenizer = load_tokenizer()
    longest = max(map(len, tokenizer(texts, truncation=True, max_length=tokenizer.model_max_length)["input_ids"]))
    return dict(padding="max_length", truncation=True, max_length=longest)


def features_task(checkpoint, texts, padded, rounds):
    tokenizer, model = load_tokenizer(), AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval().to(DEVICE)
    def chapter():  # a thousand at a time
        encoded, parts = tokenizer(texts, **padded, return_tensors="pt"), []
        for start in range(0, len(texts), 1000):
            batch = {name: tensor[start:start + 1000].to(DEVICE) for name, tensor in encoded.items() if name in ("input_ids", "attention_mask")}
            with torch.no_grad(): parts.append(pool(model(**batch).last_hidden_state, batch["attention_mask"]).cpu())
        return torch.cat(parts).numpy()
    pipe = pipeline("feature-extraction", model=str(checkpoint), tokenizer=tokenizer, device=DEVICE)
    def piped(size): return lambda: np.stack([np.asarray(states)[0].mean(0) for states in pipe(texts, batch_size=size)])
    ours = {f"ours-{dtype}": FeatureExtractor(checkpoint, dtype=dtype, cache=False).fit() for dtype in (["bfloat16"] if BFLOAT16 else []) + ["float32"]}
    if DEVICE.type == "cpu":
        graphs = {"onnx-float32": dict(engine="onnxruntime", dtype="float32"), "openvino-float32": dict(engine="openvino", dtype="float32")} | ({"openvino-bfloat16": dict(engine="openvino")} if BFLOAT16 else {})
        ours |= {f"ours-{name}": OnnxFeatureExtractor(checkpoint, cache=False, **settings).fit() for name, settings in graphs.items()}
    variants = {"chapter": chapter, "pipeline-1": piped(1)}
    try:
        from sentence_transformers import SentenceTransformer
        sentences = SentenceTransformer(str(checkpoint), device=str(DEVICE))
        for size in (32, 64, 128): variants[f"sentence-transformers-{size}"] = lambda size=size: sentences.encode(texts, batch_size=size, show_progress_bar=False)
    except ImportError: print("sentence-transformers is not installed: left out", file=sys.stderr)
    for name, extractor in ours.items():
        extractor.transform(texts[:64])  # the first call in a process is slower
        variants[name] = lambda extractor=extractor: extractor.transform(texts)
    measured = interleaved(variants, rounds)
    work, peaks = useful_operations([len(ids) for ids in tokenizer(texts)["input_ids"]], model.config), {"bfloat16": matmul_peak(torch.bfloat16), "float32": matmul_peak(torch.float32)}
    share = lambda name, seconds: round(work / seconds / peaks["bfloat16" if "bfloat16" in name else "float32"], 3)
    rows = rows_of("features", measured, len(texts), worst_cosine(measured["ours-float32"][1]), share=share)
    best = ours["ours-bfloat16" if BFLOAT16 else "ours-float32"]
    for times in (1, 4, 16):
        some = (texts * times)[:len(texts) * times // 4]
        seconds, _, peak = interleaved({"ours": lambda: best.transform(some)}, 1)["ours"]
        rows.append(dict(task="features, growth", variant="ours-auto", texts=len(some), median_s=round(seconds[0], 4), rounds=1, peak_mib=round(peak)))
    return rows, peaks


def train_task(checkpoint, texts, labels, names, padded, rounds):
    "Seconds an epoch of 16,000, from the second of two epochs on fewer texts: all of them where batches go by length, two fifths where they are drawn at random"
    class Clock(TrainerCallback):
        def __init__(self): self.times = []
        def on_step_end(self, *arguments, **_):
            wait()
            self.times.append(time.perf_counter())
    def timed(arguments, collator, texts=texts, tokenizer_options=None, quick=False):
        tokenizer = load_tokenizer()
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=len(names), dtype=torch.float32, label2id={name: number for number, name in enumerate(names)}, id2label=dict(enumerate(names)))
        rows = training_rows(model, tokenizer, texts, labels[:len(texts)]) if not tokenizer_options else None
        if rows is None:
            from datasets import Dataset
            rows = Dataset.from_dict({**tokenizer(texts, **tokenizer_options), "labels": [names.index(label) for label in labels[:len(texts)]]})
        clock = Clock()
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer, data_collator=collator and collator(tokenizer), callbacks=[clock])
        if quick: lighten(model)
        with plain_attention(model.to(DEVICE), quick and arguments.bf16): trainer.train()
        return (clock.times[-1] - clock.times[len(clock.times) // 2 - 1]) / len(texts) * 16_000, None
    common = dict(num_train_epochs=2, per_device_train_batch_size=64, learning_rate=2e-5, weight_decay=.01, report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no", use_cpu=DEVICE.type == "cpu", dataloader_pin_memory=DEVICE.type != "cpu")
    def trainer(collator=DataCollatorWithPadding, texts=texts, tokenizer_options=None, **settings):
        def run():
            with tempfile.TemporaryDirectory() as folder: return timed(TrainingArguments(folder, **common, **settings), collator, texts, tokenizer_options)
        return run
    def ours(quick=False):
        def run():
            with tempfile.TemporaryDirectory() as folder:
                arguments = training_arguments(folder, -(-len(texts) // 32), AutoConfig.from_pretrained(checkpoint).hidden_size, epochs=2, evaluate=False)
                return timed(arguments, DataCollatorWithPadding, quick=quick)
        return run
    some, grouped = texts[:len(texts) * 2 // 5], dict(train_sampling_strategy="group_by_length")
    variants = {"chapter": trainer(None, some, padded), "trainer-padded-by-batch": trainer(texts=some), "trainer-grouped": trainer(**grouped), "trainer-grouped-bfloat16": trainer(**grouped, bf16=BFLOAT16),
                "ours": ours(), "ours-quick": ours(quick=True)}
    return rows_of("fine-tuning, an epoch of 16,000", interleaved(variants, rounds), len(texts))


def predict_task(folder, texts, rounds):
    pipe = pipeline("text-classification", model=str(folder), device=DEVICE)
    models = {"ours-float32": FineTunedClassifier.load(folder), "ours-onnx-float32": OnnxClassifier.load(folder)}
    if BFLOAT16: models["ours-bfloat16"] = FineTunedClassifier.load(folder, dtype="bfloat16")
    if BFLOAT16 and DEVICE.type == "cpu": models["ours-openvino-bfloat16"] = OnnxClassifier.load(folder, dtype="bfloat16")
    variants = {f"pipeline-{size}": lambda size=size: np.array([answer["label"] for answer in pipe(texts, batch_size=size)]) for size in (1, 8, 64)}
    variants |= {name: lambda model=model: model.predict(texts) for name, model in models.items()}
    measured = interleaved(variants, rounds)
    reference = measured["pipeline-1"][1]
    return rows_of("prediction, a batch", measured, len(texts), lambda labels: float((labels == reference).mean()))


def single_task(folder, texts, rounds):
    "One message at a time, warm"
    texts = texts[:100]
    pipe, onnx, ours = pipeline("text-classification", model=str(folder), device=DEVICE), OnnxClassifier.load(folder), FineTunedClassifier.load(folder)
    def one_by_one(answer):
        def run():
            times, results = [], []
            for text in texts:
                started = time.perf_counter()
                results.append(answer(text))
                times.append(time.perf_counter() - started)
            return statistics.median(times), results
        return run
    def best(model): return lambda text: (lambda row: (model.classes_[row.argmax()], row.max()))(model.predict_proba([text])[0])
    measured = interleaved({"pipeline": one_by_one(lambda text: (lambda answer: (answer["label"], answer["score"]))(pipe(text)[0])), "ours-float32": one_by_one(best(ours)), "ours-onnx-float32": one_by_one(best(onnx))}, rounds)
    reference = measured["pipeline"][1]
    return rows_of("prediction, one message, p50", measured, len(texts), lambda results: float(np.mean([a[0] == b[0] and abs(a[1] - b[1]) < 1e-3 for a, b in zip(results, reference)])))


def cold_task(folder, rounds):
    "A whole process, from its start to its answer"
    text = "my order is lost AGAIN"
    piped = f"from transformers import pipeline; print(pipeline('text-classification', model={str(folder)!r}, device='cpu')({text!r}))"
    def process(*command): return lambda: subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured = interleaved({"pipeline": process(sys.executable, "-c", piped), "ours-onnx-float32": process(str(Path(sys.executable).parent/"emotion-nbdev"), "predict", "--model", str(folder), text)}, rounds)
    label = next(name for name in load_data()["train"].features["label"].names if name in measured["pipeline"][1])
    return rows_of("prediction, from cold", measured, 1, lambda output: float(label in output))


def main(texts: int = 1000, rounds: int = 5, train_texts: int = 1600, size: str = "embedded", output: Path = None):
    "Measure everything, print a table, write results.json. EMOTION_DATA may name a folder with train.txt and validation.txt; size `distilbert` measures features and training only, with random weights."
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = os.environ.get("EMOTION_DATA")
    data = load_files(Path(folder)/"train.txt", Path(folder)/"validation.txt") if folder else load_data(preset="embedded")
    train, validation = to_frame(data["train"]), to_frame(data["validation"])
    repeated = train.loc[np.resize(np.arange(len(train)), max(texts, train_texts))].reset_index(drop=True)
    some, names = repeated["text"][:texts].tolist(), data["train"].features["label"].names
    padded = padding_of_chapter(train["text"].tolist())
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, model = distilbert_sized(Path(scratch)/"checkpoint") if size == "distilbert" else resolve_checkpoint(), Path(scratch)/"model"
        trained = train_task(checkpoint, repeated["text"][:train_texts].tolist(), repeated["label"][:train_texts].tolist(), names, padded, min(rounds, 3))  # first: it is sensitive to memory that others have used
        rows, peaks = features_task(checkpoint, some, padded, rounds)
        if size != "distilbert":
            FineTunedClassifier(epochs=3, label_names=names).fit(train["text"][:4800].tolist(), train["label"][:4800].tolist()).save(model)
            export_onnx(model, validation["text"].tolist(), validation["label"])
            rows += predict_task(model, some, rounds) + single_task(model, some, rounds) + cold_task(model, rounds)
        rows += trained
    output = output or HERE/("results.json" if (size, DEVICE.type) == ("embedded", "cpu") else f"results-{size}-{DEVICE.type}.json")
    machine = dict(date=time.strftime("%Y-%m-%d"), device=torch.cuda.get_device_name() if DEVICE.type == "cuda" else DEVICE.type, size=size, cores=os.cpu_count(), threads=torch.get_num_threads(), native_bfloat16=BFLOAT16, torch=torch.__version__, data="public dataset, training texts" if folder else "embedded corpus",
                   command=f"make bench TEXTS={texts} ROUNDS={rounds}" + (f" SIZE={size}" if size != "embedded" else ""), matmul_gflops={name: round(peak / 1e9) for name, peak in peaks.items()})
    output.write_text(json.dumps(dict(machine=machine, rows=rows), indent=1) + "\n", encoding="utf-8")
    import pandas as pd
    print(pd.DataFrame(rows).drop(columns=["rounds"]).to_string(index=False, na_rep=""))
    check(rows)


def check(rows):
    "Fast and wrong is not fast"
    for row in rows:
        if row["variant"].startswith("ours-") and row.get("agreement") is not None:
            least = {"features": .9999 if "bfloat16" in row["variant"] else .999999, "prediction, a batch": .998 if "bfloat16" in row["variant"] else 1}.get(row["task"], 1)
            assert row["agreement"] >= least, row


if __name__ == "__main__": typer.run(main)
