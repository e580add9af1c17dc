"""One message at a time, for `bench.py`: `one_message.py VARIANT MODEL`, in a process of its own, as in a program that has one engine.

Texts come as a JSON list on stdin.  All are answered once, then again with a clock; the median of the seconds, the answers and the peak of the memory in MiB go to stdout."""
import json, os, statistics, sys, time

os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", EMOTION_CACHE="off")


def pipeline(model, dtype):
    "As its users write it; nothing of ours is imported before PyTorch, whose threads wait as usual"
    import torch
    from transformers import pipeline
    device = torch.accelerator.current_accelerator() or "cpu"
    pipe = pipeline("text-classification", model=model, device=device, dtype=getattr(torch, dtype))
    def answer(text):
        answered = pipe(text)[0]
        return answered["label"], answered["score"]
    return answer


def ours(classifier):
    def answer(text):
        (row,) = classifier.predict_proba([text])
        return str(classifier.classes_[row.argmax()]), float(row.max())
    return answer


def in_pytorch(model, dtype):
    from emotion_nbdev.fine_tuning import FineTunedClassifier
    return ours(FineTunedClassifier.load(model, dtype=dtype))


def graph(model, dtype):
    from emotion_nbdev.production.graphs import OnnxClassifier
    return ours(OnnxClassifier.load(model, dtype=dtype))


VARIANTS = {  # the name up to its last hyphen; after it stands the dtype
    "pipeline": pipeline, "ours": in_pytorch, "ours-onnx": graph, "ours-openvino": graph}


def main(variant, model):
    texts = json.load(sys.stdin)
    engine, _, dtype = variant.rpartition("-")
    answer = VARIANTS[engine](model, dtype)
    answers = [answer(text) for text in texts]
    seconds = []
    for text in texts:
        started = time.perf_counter()
        answer(text)
        seconds.append(time.perf_counter() - started)
    from emotion_nbdev.foundations.core import peak_memory
    found = dict(seconds=statistics.median(seconds), answers=answers, peak=peak_memory())
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
