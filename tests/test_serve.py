"""The endpoint as clients meet it: a process of its own on loopback, asked by real clients, the hostile and the patient ones.

`python benchmarks/serve.py` asks it longer: 64 clients for 30 seconds, and 50,000 requests for its memory."""
import json, re, shutil, signal, socket, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import given, HealthCheck, settings
from playwright.sync_api import sync_playwright
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from starlette.testclient import TestClient

from conftest import COMMAND, ROWS
from emotion_nbdev.app.ladder import make_classifier
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.production.artefacts import load, save
from emotion_nbdev.production.endpoint import Limits, make_app, serve, ServedModel
from emotion_nbdev.production.graphs import export_onnx, OpenVinoGraph
from emotion_nbdev.production.trust import Trust, write_trust

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
TEXTS = [f"{text} on day {number}" for number in range(6) for texts in ROWS.values() for text in texts]
NAMES = [label for number in range(6) for label, texts in ROWS.items() for _ in texts]
ODD = ["", " ", "🙂" * 40, "naïve café — “quoted”", "नमस्ते", "x" * 400, "a\x00b", "<script>alert(1)</script>", "one two " * 200, "\u202eright to left"]
SLOW = """
import sys, time
from emotion_nbdev.production import endpoint
class Slow(endpoint.ServedModel):
    def answer(self, texts):
        time.sleep({sleep})
        return super().answer(texts)
endpoint.ServedModel = Slow
endpoint.serve(sys.argv[1], port=0, limits=endpoint.Limits({limits}), ready=lambda address: print(address, flush=True))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_checkpoint):
    folder = tmp_path_factory.mktemp("served")/"model"
    save(make_classifier("fine-tuned", str(tiny_checkpoint)).set_params(epochs=3, learning_rate=5e-3).fit(TEXTS, NAMES), folder)
    export_onnx(folder, TEXTS, NAMES)
    return folder


@pytest.fixture(scope="module")
def expected(model):
    "What Python says of each text, asked alone: text -> {label: probability}"
    classifier = load(model)
    return {text: dict(zip(classifier.classes_.tolist(), classifier.predict_proba([text])[0])) for text in TEXTS + ODD}


@contextmanager
def process(*command):
    "(address, process) of a server that is ended afterwards"
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            assert "http://" in line, server.stderr.read()
            yield line.split()[-1], server
        finally:
            server.kill()


def slow(model, sleep, **limits):
    written = ", ".join(f"{name}={value}" for name, value in limits.items())
    return process(sys.executable, "-c", SLOW.format(sleep=sleep, limits=written), model)


@pytest.fixture(scope="module")
def server(model):
    with process(COMMAND, "serve", model, "--port", 0) as started:
        yield started


@pytest.fixture(scope="module")
def address(server):
    return server[0]


def asked(route, texts):
    "The body for texts on a route"
    return {"/predict": {"inputs": texts}, "/classify": {"input": texts}, "/v1/systemone": {"state": texts[0], "questions": {"mood": {"type": "choice", "criteria": dict.fromkeys(ROWS)}}}}[route]


def answered(route, answer, order):
    "[{label: probability}] of an answer"
    if route == "/predict":
        return [{row["label"]: row["score"] for row in rows} for rows in answer]
    if route == "/classify":
        assert all(row["label"] == order[row["probs"].index(max(row["probs"]))] and row["num_classes"] == 3 for row in answer["data"])
        return [dict(zip(order, row["probs"])) for row in answer["data"]]
    mood = answer["answers"]["mood"]
    assert mood["choice"] == max(mood["probabilities"], key=mood["probabilities"].get)
    return [mood["probabilities"]]


ROUTES = ("/predict", "/classify", "/v1/systemone")


def many_clients(address, expected, seconds):
    "How many requests sixteen clients sent in that time; each was answered rightly"
    order = list(httpx.get(f"{address}/info").json()["model_type"]["classifier"]["id2label"].values())
    texts, until = list(expected), time.monotonic() + seconds
    def client(number):
        sent = 0
        with httpx.Client(base_url=address, timeout=20) as connection:
            while time.monotonic() < until:
                route, chosen = ROUTES[(number + sent) % 3], [texts[(7 * number + sent + each) % len(texts)] for each in range(1 + sent % 3)]
                chosen = chosen[:1] if route == "/v1/systemone" else chosen
                response = connection.post(route, json=asked(route, chosen))
                assert response.status_code == 200, response.text
                found = answered(route, response.json(), order)
                assert len(found) == len(chosen) and all(row == pytest.approx(expected[text], abs=1e-6) for row, text in zip(found, chosen))
                sent += 1
        return sent
    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(client, range(16)))


def counted(address):
    "How many requests for texts it has answered"
    return sum(float(line.split()[-1]) for line in httpx.get(f"{address}/metrics").text.splitlines() if re.match(r'emotion_nbdev_requests_total\{route="/(predict|classify|v1/systemone)",status="200"', line))


def test_many_clients_get_what_python_says_and_memory_stays(server, expected):
    address, process = server
    many_clients(address, expected, .6)
    before, memory = counted(address), psutil.Process(process.pid).memory_info().rss
    sent = many_clients(address, expected, 3)
    assert sent > 100 and counted(address) - before == sent
    assert psutil.Process(process.pid).memory_info().rss - memory < 8e6
    batches = httpx.get(f"{address}/metrics").text
    assert float(re.search(r"batch_texts_count (\S+)", batches)[1]) < .8 * float(re.search(r"batch_texts_sum (\S+)", batches)[1])  # they did share runs


@pytest.mark.skipif(not find_spec("ray"), reason="two replicas need Ray: pip install 'emotion-nbdev[scale]'")
def test_two_replicas_answer_the_same_clients(model, expected, tmp_path):
    "The recipe of the page, word for word but for the port"
    cells = json.loads((Path(__file__).parents[1]/"nbs"/"how_to"/"09_serve.ipynb").read_text())["cells"]
    recipe, = re.findall(r"```python\n(.*?)```", "".join("".join(cell["source"]) for cell in cells), re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path/"scale.py").write_text(recipe.replace("8080", str(port)))
    address = f"http://127.0.0.1:{port}"
    with open(tmp_path/"log.txt", "w+") as told, subprocess.Popen([sys.executable, tmp_path/"scale.py"], cwd=model.parent, stdout=told, stderr=told) as driver:
        try:
            for _ in range(120):
                with suppress(httpx.TransportError):
                    if httpx.get(f"{address}/health").status_code == 200:
                        break
                assert driver.poll() is None, (tmp_path/"log.txt").read_text()
                time.sleep(.5)
            sent = many_clients(address, expected, 3)
            shares = {counted(address) for _ in range(60)}  # of whichever replica is asked
            assert sent > 30 and 0 not in shares and {sent - share for share in shares} == shares, (sent, shares)
            heard = [connection.laddr.ip for each in [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)] for connection in each.net_connections("inet") if connection.status == "LISTEN"]
            assert sum(not ip.endswith("127.0.0.1") for ip in heard) == 2, heard  # of the replicas, as the page says
        finally:
            driver.send_signal(signal.SIGINT)
            driver.wait(30)


def test_a_graph_answers_without_torch(model):
    code = "import sys\nfrom emotion_nbdev.production.endpoint import make_app, ServedModel\nmake_app(served := ServedModel(sys.argv[1]))\nserved.answer(['a'])\nprint([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def jsons(content):
    return dict(content=content, headers={"content-type": "application/json"})


CHOICE = {"type": "choice", "criteria": dict.fromkeys(ROWS)}
REFUSED = {
    "no text": ("/predict", dict(json={"inputs": []}), 422),
    "no string": ("/predict", dict(json={"inputs": [1, None]}), 422),
    "a pair": ("/predict", dict(json={"inputs": [["a", "b"]]}), 422),
    "raw scores": ("/predict", dict(json={"inputs": "a", "raw_scores": True}), 422),
    "an unknown field": ("/predict", dict(json={"inputs": "a", "top_k": 2}), 422),
    "too many texts": ("/predict", dict(json={"inputs": ["a"] * 257}), 422),
    "too long a text": ("/predict", dict(json={"inputs": "a" * 100_001}), 422),
    "cut is refused": ("/predict", dict(json={"inputs": "a " * 200, "truncate": False}), 422),
    "10 MB": ("/predict", jsons(b'{"inputs": "' + b"a" * 10_000_000 + b'"}'), 413),
    "10 MB in pieces": ("/predict", jsons(b"a" * 1000 for _ in range(10_000)), 413),
    "no UTF-8": ("/predict", jsons(b'{"inputs": "\xff\xfe"}'), 400),
    "half a character": ("/predict", jsons(b'{"inputs": "\\ud83d"}'), 422),
    "broken JSON": ("/predict", jsons(b'{"inputs": "a'), 422),
    "nested JSON": ("/predict", jsons(b"[" * 200_000), 400),
    "no JSON at all": ("/predict", dict(content=b"hello"), 422),
    "no body": ("/classify", {}, 422),
    "another model": ("/classify", dict(json={"input": "a", "model": "gpt"}), 404),
    "tokens": ("/classify", dict(json={"input": [1, 2]}), 422),
    "yes or no": ("/v1/systemone", dict(json={"state": "a", "questions": {"q": {"type": "noul"}}}), 422),
    "a half name": ("/v1/systemone", jsons(b'{"state": "a", "questions": {"\\ud83d": {"type": "score", "criteria": []}}}'), 422),
    "other options": ("/v1/systemone", dict(json={"state": "a", "questions": {"q": {"type": "choice", "criteria": {"yes": None, "no": None}}}}), 422),
    "no question": ("/v1/systemone", dict(json={"state": "a", "questions": {}}), 422),
    "a state with parts": ("/v1/systemone", dict(json={"state": {"mail": "a"}, "questions": {"q": CHOICE}}), 422),
    "images": ("/v1/systemone", dict(json={"state": "a", "questions": {"q": CHOICE}, "assets": {}}), 422),
    "another method": ("/nowhere", {}, 404),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_answered_is_refused_in_one_line(address, what):
    route, request, status = REFUSED[what]
    response = httpx.post(f"{address}{route}", **request, timeout=20)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"] and "\n" not in response.json()["error"]
    assert httpx.post(f"{address}/predict", json={"inputs": "a"}).status_code == 200


def test_forms_of_answers(address, expected):
    text = TEXTS[0]
    rows = httpx.post(f"{address}/predict", json={"inputs": text}).json()
    assert [row["score"] for row in rows] == sorted(expected[text].values(), reverse=True) and set(rows[0]) == {"label", "score"}
    assert httpx.post(f"{address}/predict", json={"inputs": [[text]]}).json() == [rows] == httpx.post(f"{address}/predict", json={"inputs": [text]}).json()
    long = httpx.post(f"{address}/classify", json={"input": ["one two " * 200, text], "model": httpx.get(f"{address}/info").json()["model_id"]})
    assert long.headers["x-texts-cut"] == "1" and long.json()["usage"]["prompt_tokens"] == 64 + len(load_tokens(text))
    decided = httpx.post(f"{address}/v1/systemone", json=asked("/v1/systemone", [text])).json()
    assert set(decided) == {"model", "answers", "usage"} and 0 <= decided["answers"]["mood"]["confidence"] <= 1
    assert "x-texts-cut" not in httpx.post(f"{address}/predict", json={"inputs": text}).headers


def load_tokens(text):
    from emotion_nbdev.tokenization import load_tokenizer
    return load_tokenizer()(text)["input_ids"]


def test_pages_name_no_other_host(address):
    described = httpx.get(f"{address}/openapi.json").json()
    assert set(described["paths"]) == {*ROUTES, "/health", "/info", "/metrics"}
    docs = httpx.get(f"{address}/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', docs)
    assert len(loaded) == 3 and all(httpx.get(f"{address}{path}").status_code == 200 for path in loaded) and "://" not in docs
    home = httpx.get(f"{address}/", follow_redirects=True)
    assert home.url.path == "/page/" and home.text.startswith("<!doctype html>")
    told = httpx.get(f"{address}/page/page.json").json()
    assert told["classes"] == sorted(ROWS) and httpx.get(f"{address}/page/vendor/onnxruntime.wasm").headers["content-type"] == "application/wasm"
    for path in ("nothing", "../../../etc/passwd", "%2e%2e/config.json", "vendor/"):
        assert httpx.get(f"{address}/page/{path}").status_code == 404


@pytest.mark.skipif(not CHROMIUM, reason="no browser")
def test_the_description_can_be_tried_in_a_browser_and_asks_nobody_else(address):
    with sync_playwright() as playwright:
        tab = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page()
        tab.set_default_timeout(10_000)
        elsewhere, complaints = [], []
        tab.on("request", lambda request: None if request.url.startswith((address, "data:")) else elsewhere.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.goto(f"{address}/docs")
        for route, wanted in (("predict", '"score"'), ("classify", '"num_classes"'), ("systemone", '"confidence"')):
            block = tab.locator(f".opblock[id*='{route}']")
            block.locator(".opblock-summary").click()
            block.get_by_text("Try it out").click()
            block.get_by_text("Execute").click()
            block.locator(".live-responses-table").get_by_text(wanted).first.wait_for()
        assert not elsewhere and not complaints


def test_ten_thousand_headers(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        lines = "".join(f"h{number}: {'x' * 10}\r\n" for number in range(10_000))
        try:
            client.sendall(f"GET /health HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 400")
        except ConnectionError:
            pass  # cut off while it was still talking
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}


def test_a_full_queue_a_late_answer_and_a_slow_client(model):
    with slow(model, 1, seconds=2.5, queue=4, batch=1) as (address, _):
        host, port = address.removeprefix("http://").split(":")
        began = time.monotonic()
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{"inputs"')
            def one(number):
                time.sleep(.03 * number)
                return httpx.post(f"{address}/predict", json={"inputs": "a"}, timeout=10)
            with ThreadPoolExecutor(8) as pool:
                responses = list(pool.map(one, range(8)))
            statuses = [response.status_code for response in responses]
            assert statuses[0] == 200 and set(statuses) == {200, 504, 429}
            assert {response.headers.get("retry-after") for response in responses if response.status_code == 429} == {"1"}
            assert client.recv(100).startswith(b"HTTP/1.1 408") and time.monotonic() - began < 8
        time.sleep(1)  # the run of one that was given up comes to its end
        assert httpx.post(f"{address}/predict", json={"inputs": "a"}, timeout=10).status_code == 200


def test_what_was_accepted_is_answered_before_the_end(model, expected):
    with slow(model, .3, batch=4) as (address, server):
        def one(text):
            return httpx.post(f"{address}/predict", json={"inputs": [text]}, timeout=20)
        with ThreadPoolExecutor(24) as pool:
            running = pool.map(one, TEXTS[:24])
            time.sleep(1)  # six batches of .3 seconds: the first are answered, the others wait
            server.send_signal(signal.SIGTERM)
            responses = list(running)
        assert [response.status_code for response in responses] == [200] * 24
        for response, text in zip(responses, TEXTS):
            assert answered("/predict", response.json(), None)[0] == pytest.approx(expected[text], abs=1e-6)
        assert server.wait(10) == -signal.SIGTERM
        with pytest.raises(httpx.ConnectError):
            one("a")


def test_killed_and_started_again_at_the_same_port(model):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        with process(COMMAND, "serve", model, "--port", port) as (address, server):
            assert address == f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=address) as client:
                assert client.post("/predict", json={"inputs": "a"}).status_code == 200
                server.send_signal(signal.SIGKILL)


def test_a_port_that_is_taken(address, model):
    done = subprocess.run([COMMAND, "serve", str(model), "--port", address.rpartition(":")[2]], capture_output=True, text=True)
    assert done.returncode == 2 and re.fullmatch(r"Error: 127\.0\.0\.1:\d+: Address already in use\. Choose another --host or --port\.\n", done.stderr), done.stderr
    with pytest.raises(InputError, match="none.here:80: "):
        serve(model, host="none.here", port=80)


def test_what_is_given_is_served(model, monkeypatch, caplog):
    apps, said = [], []
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: apps.append(server.config.app))
    for host in ("127.0.0.1", "0.0.0.0"):
        caplog.clear()
        serve(model, host=host, port=0, limits=Limits(texts=1), ready=said.append)
        assert re.fullmatch(rf"http://{host}:\d+", said[-1])
        assert bool(caplog.messages) == (host == "0.0.0.0")
    with TestClient(apps[0]) as client:
        assert client.post("/predict", json={"inputs": ["a", "b"]}).status_code == 422
    with pytest.raises(InputError, match="has no revision 'main'"):
        ServedModel(model, revision="main")
    with pytest.raises(InputError, match="has no revision 'main'"):
        serve(model, revision="main")


def test_without_the_extra_it_says_what_to_install(model, monkeypatch):
    monkeypatch.setattr("emotion_nbdev.production.endpoint.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'emotion-nbdev\[serve\]'"):
        serve(model)


@pytest.mark.parametrize("approach", ["majority", "tfidf", "features"])
def test_models_without_a_graph(approach, tiny_checkpoint, tmp_path):
    save(make_classifier(approach, str(tiny_checkpoint)).fit(TEXTS, NAMES), tmp_path/"model")
    loaded = load(tmp_path/"model")
    with TestClient(make_app(ServedModel(tmp_path/"model"))) as client:
        response = client.post("/classify", json={"input": [*TEXTS[:5], "one two " * 200]})
        assert [row["probs"] for row in response.json()["data"]] == pytest.approx(loaded.predict_proba([*TEXTS[:5], "one two " * 200]), abs=1e-6)
        assert response.headers.get("x-texts-cut") == ("1" if approach == "features" else None)
        assert client.get("/").text.startswith("model answers here") and client.get("/page/").status_code == 404
        assert client.get("/info").json()["approach"] == approach


def test_another_dtype_is_another_engine(model, expected):
    pytest.importorskip("openvino")
    served = ServedModel(model, dtype="auto")
    assert isinstance(served.classifier.graph_, OpenVinoGraph)
    with TestClient(make_app(served)) as client:
        for text, rows in zip(TEXTS, client.post("/predict", json={"inputs": TEXTS}).json()):
            assert {row["label"]: row["score"] for row in rows} == pytest.approx(expected[text], abs=.02)


def test_what_the_model_promises_is_told(model, tmp_path):
    shutil.copytree(model, tmp_path/"model")
    promised = Trust(temperature=1., precision=.9, threshold=.7, split="validation", n=50, answered=40, right=38, sets={})
    write_trust(promised, tmp_path/"model")
    with TestClient(make_app(ServedModel(tmp_path/"model"))) as client:
        told = client.get("/info").json()
        assert told["threshold"] == .7 == client.get("/page/page.json").json()["threshold"] and Trust(**told["trust"]) == promised
        assert "below 70 %" in told["about"]


def test_a_mistake_of_the_server_is_no_secret_and_no_end(model):
    served = ServedModel(model)
    served.answer = lambda texts: 1 / 0
    with TestClient(make_app(served), raise_server_exceptions=False) as client:
        for _ in range(2):
            response = client.post("/predict", json={"inputs": "a"})
            assert response.status_code == 500 and response.json() == {"error": "a mistake of the server; its log says more."}


def test_limits_are_limits(model):
    with TestClient(make_app(ServedModel(model), Limits(texts=2, characters=9, body=200))) as client:
        for inputs, status in ((["a"] * 2, 200), (["a"] * 3, 422), ("a" * 9, 200), ("a" * 10, 422), ("a" * 200, 413)):
            assert client.post("/predict", json={"inputs": inputs}).status_code == status


def test_nothing_that_the_description_allows_breaks_it(address):
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 6
    for operation in operations:
        for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:  # without a body nothing can be wrong with it
            @settings(max_examples=10, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(operation.as_strategy(generation_mode=mode))
            def holds(case):
                case.call_and_validate(checks=[not_a_server_error])
            holds()
