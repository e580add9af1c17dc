"What the queue of an endpoint is worth, and whether it holds: `make bench SERVE=1`."
import asyncio, gc, json, statistics, subprocess, sys, tempfile, time
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import typer

from emotion_nbdev.dataset import load_data, to_frame
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.production.artefacts import load, save
from emotion_nbdev.production.graphs import export_onnx

from machine import machine

HERE = Path(__file__).parent
SERVER = """
import sys
from emotion_nbdev.production import graphs
from emotion_nbdev.production.endpoint import Limits, serve
dtype, one_core, limits = eval(sys.argv[2])
if one_core:  # each run has one, as where a graph is compiled for many
    graphs.OpenVinoGraph._run_alone = lambda graph, *batch: list(graph._run_many([batch]))[0]
serve(sys.argv[1], port=0, dtype=dtype, limits=Limits(**limits), ready=lambda address: print(address, flush=True))
"""


def small_model(folder, data):
    "A model of the embedded checkpoint that has seen a few messages: as quick as any other of its size"
    train, validation = to_frame(data["train"])[:320], to_frame(data["validation"])
    save(FineTunedClassifier(epochs=1).fit(train["text"].tolist(), train["label"].tolist()), folder)
    export_onnx(folder, validation["text"].tolist(), validation["label"])
    return folder


@contextmanager
def server(model, dtype=None, one_core=False, **limits):
    "(port, process) of an endpoint"
    with subprocess.Popen([sys.executable, "-c", SERVER, str(model), repr((dtype, one_core, limits))], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline().rpartition(":")[2]), psutil.Process(process.pid)
        finally:
            process.kill()


def request(texts):
    "The bytes that ask for them"
    body = json.dumps({"inputs": texts}).encode()
    return b"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def ask(reader, writer, asked):
    "(status, body) of one request on a connection that stays"
    writer.write(asked)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split(maxsplit=2)[1]), await reader.readexactly(length)


async def crowd(port, texts, clients, going_on, size=1):
    "(seconds, first text, status, body) of each request, and what went wrong with a connection"
    done, numbers = [], count()
    asked = [request(texts[start:start + size]) for start in range(len(texts) - size + 1)]
    async def client():
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        while going_on(len(done)):
            start = next(numbers) % len(asked)
            began = time.perf_counter()
            answer = await ask(reader, writer, asked[start])
            done.append((time.perf_counter() - began, start, *answer))
        writer.close()
    ended = await asyncio.gather(*(client() for _ in range(clients)), return_exceptions=True)
    return done, [repr(error) for error in ended if error]


def wrong(done, texts, expected, size, within):
    "The statuses of the requests that got another answer than Python gives, or none; looked at afterwards, since the clients share the cores"
    def right(start, status, body):
        answers = json.loads(body)
        return status == 200 and len(answers) == size and all(
            abs(row["score"] - expected[text][row["label"]]) < within
            for text, rows in zip(texts[start:start + size], answers) for row in rows)
    return [status for _, start, status, body in done if not right(start, status, body)]


def measured(served, texts, expected, clients, duration, size=1, within=1e-6):
    "Requests a second, median and 99th percentile of their milliseconds, the server's own time for each, and what went wrong"
    port, process = served
    until, spent = time.perf_counter() + duration, sum(process.cpu_times()[:2])
    done, lost = asyncio.run(crowd(port, texts, clients, lambda _: time.perf_counter() < until, size))
    spent = sum(process.cpu_times()[:2]) - spent
    milliseconds = sorted(1000 * answer[0] for answer in done)
    return dict(clients=clients, texts=size, requests=len(done), per_second=round(len(done) / duration, 1),
                p50=round(statistics.median(milliseconds), 1), p99=round(milliseconds[int(.99 * len(milliseconds))], 1),
                processor_ms=round(1000 * spent / len(done), 2),
                wrong_or_lost=len(lost) + len(wrong(done, texts, expected, size, within)))


def memory(port, process, texts, expected, requests):
    "MiB of the process after a tenth of the requests, and after all of them"
    sizes = []
    for until in (requests // 10, requests - requests // 10):
        done, lost = asyncio.run(crowd(port, texts, 64, lambda count: count < until))
        bad = lost + wrong(done, texts, expected, 1, 1e-6)
        assert not bad, bad[:3]
        sizes.append(round(process.memory_info().rss / 2**20, 1))
    return sizes


def compared(model, texts, expected, clients, seconds, dtype=None, within=1e-6):
    "Each text alone (batch=1), on all cores and on one, beside the queue, and one client that sends batches of 32"
    with server(model, dtype, batch=1, wait=0) as served:
        alone = measured(served, texts, expected, clients, seconds / 3, within=within)
    found = dict(alone=alone)
    if dtype:  # the ONNX Runtime always has all cores
        with server(model, dtype, one_core=True, batch=1, wait=0) as served:
            found["alone_on_one_core"] = measured(served, texts, expected, clients, seconds / 3, within=within)
    with server(model, dtype) as served:
        batch = measured(served, texts, expected, 1, seconds / 3, size=32, within=within)
        queued = measured(served, texts, expected, clients, seconds, within=within)
    return found | dict(
        one_client_with_batches=batch, queued=queued,
        throughput_ratio=round(queued["per_second"] / alone["per_second"], 2),
        processor_ratio=round(alone["processor_ms"] / queued["processor_ms"], 2),
        p99_over_p50_of_a_batch=round(queued["p99"] / batch["p50"], 2))


def main(model: Path | None = None, clients: int = 64, seconds: float = 30, requests: int = 0,
         output: Path = HERE/"results-serve.json"):
    "The queue beside each text alone, as saved and with dtype auto, in one run; every answer is compared with Python's (auto: within .02). --requests 50000: memory"
    data = load_data()
    texts = to_frame(data["validation"])["text"].tolist()
    with tempfile.TemporaryDirectory() as scratch:
        model = model or small_model(Path(scratch)/"model", data)
        classifier = load(model)
        expected = {text: dict(zip(map(str, classifier.classes_), classifier.predict_proba([text])[0])) for text in texts}
        gc.collect()
        gc.freeze()  # the clients shall not pause to look for garbage among the libraries
        saved = compared(model, texts, expected, clients, seconds)
        auto = compared(model, texts, expected, clients, seconds, "auto", within=.02)
        sizes = None
        if requests:
            with server(model) as served:
                sizes = memory(*served, texts, expected, requests)
    found = json.dumps(dict(
        machine=machine(data="embedded corpus", seconds=seconds, command="make bench SERVE=1"),
        as_saved=saved, auto=auto, memory_mib=sizes,
        auto_queued_over_alone_as_saved=round(auto["queued"]["per_second"] / saved["alone"]["per_second"], 2)), indent=1)
    output.write_text(found + "\n")
    print(found)


if __name__ == "__main__":
    typer.run(main)
