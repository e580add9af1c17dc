"""A peer of `bench.py`, in an environment of its own, in one of the settings that its documentation recommends: `peers.py openvino`.

Reads one line of JSON from stdin, `{"checkpoint": folder, "texts": [...], "device": "cpu", "vectors": file}`, and answers `ready`.  Then each line is a batch size: it encodes the texts, writes the vectors (`.npy`) and answers with its seconds and the resident memory of its process, in MiB."""
import json, os, sys, time

os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
sys.modules["openvino_telemetry"] = None  # it would report to its maker
answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer

import numpy as np
import psutil
import torch
from sentence_transformers import SentenceTransformer

BACKENDS = {
    "float32": dict(),
    "bfloat16": dict(model_kwargs=dict(dtype=torch.bfloat16)),
    "openvino": dict(backend="openvino", model_kwargs=dict(export=True)),
    "openvino-float32": dict(backend="openvino", model_kwargs=dict(
        export=True, ov_config=dict(INFERENCE_PRECISION_HINT="f32"))),
    "onnx": dict(backend="onnx", model_kwargs=dict(
        export=True, provider="CPUExecutionProvider")),
}


def answer(*parts):
    print(*parts, file=answers, flush=True)


def main(backend):
    asked = json.loads(sys.stdin.readline())
    texts = asked["texts"]
    model = SentenceTransformer(
        asked["checkpoint"], device=asked["device"], **BACKENDS[backend])
    model.encode(texts[:64], show_progress_bar=False)  # the first call is slower
    answer("ready")
    for line in sys.stdin:
        started = time.perf_counter()
        vectors = model.encode(texts, batch_size=int(line), show_progress_bar=False)
        seconds = time.perf_counter() - started
        np.save(asked["vectors"], np.asarray(vectors, dtype="float32"))
        answer(seconds, psutil.Process().memory_info().rss / 2**20)


if __name__ == "__main__":
    main(sys.argv[1])
