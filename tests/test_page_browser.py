"A model's page in a real browser: the answers of Python, no word to anybody, readable by all.  A machine without a browser says so."
import csv, functools, json, re, shutil, threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from conftest import ROWS, served
import site_pages  # where tools are found

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if not CHROMIUM:
    pytest.skip("no browser", allow_module_level=True)
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from emotion_nbdev.error_analysis import word_effects
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.production.artefacts import save
from emotion_nbdev.production.graphs import OnnxClassifier, export_onnx
from emotion_nbdev.production.page import write_page
from pages.box import add_box

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
HOSTILE = '</script><script>document.title="taken"</script>'
STARTS = ["we won", "WE LOST", "naïve café at the fjord", "so tired 😴😴", "🎉🎉 finally", "¿dónde está mi pedido?", "谢谢你", "شكرا جزيلا", "family 👨‍👩‍👧 first", "don't you dare", "@sam #late http://x.co", "<b>bold</b> & \"quoted\"", "=SUM(A1:A9)", "co\u0301mbining", "x" * 150]
ENDS = ["", ", again", "!!! in the last minute", " and nobody came to the party, which is why we left before it rained", " " + "so very " * 70 + "sad", "\t… – “said” she ½ ﬁ ✓"]
MESSAGES = [f"{start}{end}" for start in STARTS for end in ENDS]


def spread(classifier):
    "After one epoch of narrow random weights all answers are alike: let them differ"
    network, names = classifier.model_, classifier.classes_.tolist()
    for name, weights in network.named_parameters():
        if weights.ndim == 2 and "embeddings" not in name:
            weights.data *= 8
    logits = np.log(classifier.predict_proba(MESSAGES))
    factor = 1.5 / logits.std(axis=0).mean()
    means = [logits.mean(axis=0)[names.index(name)] for _, name in sorted(network.config.id2label.items())]
    network.classifier.weight.data *= factor
    network.classifier.bias.data = factor * (network.classifier.bias.data - network.classifier.bias.data.new_tensor(means))


@pytest.fixture(scope="module")
def model(tiny_checkpoint, tmp_path_factory):
    "A small model with its graph, one of whose classes is called as an attack"
    names = {"anger": "anger", "joy": "joy", "sadness": HOSTILE}
    texts = [f"{text} on day {number}" for number in range(4) for some in ROWS.values() for text in some]
    labels = [names[label] for number in range(4) for label, some in ROWS.items() for _ in some]
    folder = tmp_path_factory.mktemp("page")/"model"
    classifier = FineTunedClassifier(str(tiny_checkpoint), epochs=1).fit(texts, labels)
    spread(classifier)
    save(classifier, folder)
    export_onnx(folder, texts, labels)
    return folder


@pytest.fixture(scope="module")
def page(model):
    return write_page(model, model.parent/"my-page", title=HOSTILE)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Visitor:
    "A tab that writes down what it complains about and whom it asks"
    def __init__(self, browser, site, prepare=None):
        self.site, self.complaints = site, []
        self.tab = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.tab.set_default_timeout(20_000)
        if prepare:
            self.tab.add_init_script(prepare)
        self.tab.context.route("**/*", self._route)
        self.tab.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))

    def _route(self, route):
        if route.request.url.startswith((self.site, "data:", "blob:")):
            return route.continue_()
        self.complaints.append(f"asked another host: {route.request.url}")
        route.abort()

    def come(self):
        self.tab.goto(self.site)
        self.tab.wait_for_selector("html[data-ready]", timeout=20_000)
        return self

    def type(self, text):
        "As a paste does it, which is quick with many lines"
        self.tab.fill("#message", "")
        self.tab.evaluate("""text => {
            const data = new DataTransfer();
            data.setData("text", text);
            const box = document.getElementById("message");
            const paste = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
            if (box.dispatchEvent(paste)) { box.value = text; box.dispatchEvent(new Event("input")); }
        }""", text)

    def until(self, condition, argument=None):
        "Wait; wait_for_function would need eval, which the page forbids"
        for _ in range(200):
            if self.tab.evaluate(condition, argument):
                return
            self.tab.wait_for_timeout(50)
        raise AssertionError(condition)

    def verdict(self, text):
        "The answer to one message, once its words are weighed"
        self.tab.fill("#message", "")
        self.until("document.getElementById('answer').hidden && document.getElementById('many').hidden")
        self.type(text)
        self.until("!document.getElementById('answer').hidden && document.getElementById('words-said').textContent !== '…'")
        return self.tab.inner_text("#verdict")

    def table(self, texts):
        "The rows of the file of answers to some messages"
        self.type("\n".join(texts))
        self.until(f"document.getElementById('count').textContent.startsWith('{len(texts):,} messages.')")
        with self.tab.expect_download() as waiting:
            self.tab.click("#download")
        with open(waiting.value.path(), encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def visitor(browser, page):
    with served(page) as site:
        visitor = Visitor(browser, site).come()
        yield visitor
        visitor.tab.close()


@pytest.fixture(autouse=True)
def no_complaint(request):
    "After each test with the shared tab: nothing on the console, no other host"
    yield
    if "visitor" in request.fixturenames:
        visitor = request.getfixturevalue("visitor")
        found, visitor.complaints = visitor.complaints, []
        assert not found
        assert visitor.tab.title() == HOSTILE


def test_ninety_messages_are_answered_as_in_python(visitor, model):
    classifier = OnnxClassifier.load(model)
    wanted = classifier.predict_proba(MESSAGES)
    rows = visitor.table(MESSAGES)
    given = np.array([[float(row[f"probability of {name}"]) for name in classifier.classes_] for row in rows])
    assert len(rows) == len(MESSAGES) == 90
    assert [row["text"].removeprefix("'") for row in rows] == MESSAGES
    assert [row["label"] for row in rows] == classifier.predict(MESSAGES).tolist()
    assert len(set(row["label"] for row in rows)) > 1
    assert np.abs(given - wanted).max() < 1e-5
    assert "longer than 64 tokens" in visitor.tab.inner_text("#count") and classifier.truncation_.cut == 15


def test_the_words_are_weighed_as_in_python(visitor, model):
    text = "nobody came to the party, you lied 😡"
    visitor.verdict(text)
    effects = word_effects(OnnxClassifier.load(model), text)
    shown = visitor.tab.eval_on_selector_all("#words span", "spans => spans.map(span => [span.textContent, span.className])")
    assert [word for word, _ in shown] == effects["word"].tolist()
    for (_, kind), effect in zip(shown, effects["effect"]):
        assert kind.startswith("for " if effect > .0101 else "against " if effect < -.0101 else "") or abs(abs(effect) - .01) < 1e-4
    strongest = effects.loc[effects["effect"].idxmax()]
    assert strongest["effect"] > .011
    assert f"“{strongest['word']}” ({100 * strongest['effect']:.0f} points)" in visitor.tab.inner_text("#words-said")


def test_it_answers_while_typing_and_tells_a_screen_reader_once(visitor):
    visitor.verdict("we won")
    visitor.tab.focus("#message")
    visitor.tab.keyboard.press("End")
    before = visitor.tab.eval_on_selector_all(".value", "all => all.map(one => one.textContent)")
    visitor.tab.keyboard.type(" nobody lied", delay=20)
    visitor.until("before => [...document.querySelectorAll('.value')].some((one, place) => one.textContent !== before[place])", before)
    visitor.until("document.getElementById('spoken').textContent === document.getElementById('verdict').textContent")
    assert visitor.tab.get_attribute("#spoken", "role") == "status"


def test_examples_answer_by_keyboard(visitor):
    visitor.type("")
    visitor.tab.focus("#examples button:first-child")
    visitor.tab.keyboard.press("Enter")
    visitor.tab.wait_for_selector("#answer", state="visible")
    assert visitor.tab.input_value("#message") == "we won in the last minute 😃"


def test_lines_are_one_message_when_asked(visitor):
    visitor.type("we won\n\nnobody came")
    visitor.tab.wait_for_selector("#count >> text=2 messages.")
    assert visitor.tab.locator("#rows tr").count() == 2
    visitor.tab.uncheck("#by-line")
    visitor.tab.wait_for_selector("#answer", state="visible")
    assert visitor.tab.is_hidden("#many")
    visitor.tab.check("#by-line")


def test_hostile_text_does_no_harm(visitor, model):
    verdict = visitor.verdict('<img src=x onerror="document.title=1"> "\' \u202egnp.exe </textarea><script>alert(1)</script>')
    assert re.search(r", [\d.]+ %", verdict)
    assert visitor.tab.locator("main img, main script").count() == 0
    names = visitor.tab.eval_on_selector_all("#bars .name", "all => all.map(one => one.textContent)")
    assert names == OnnxClassifier.load(model).classes_.tolist() and HOSTILE in names
    for text, cut in (("x" * 100_000, ""), ("so sad 😢 " * 11_111, "33,271 at the end of this message were not read.")):  # one unknown token, and many
        visitor.verdict(text)
        assert visitor.tab.inner_text("#cut").endswith(cut) and visitor.tab.is_visible("#cut") == bool(cut)
    risky = ["=cmd|' /C calc'!A0", " +1+1", "@SUM(1)", "-2", 'say "no", twice', "＝1", "\u200b=1"]
    rows = visitor.table(risky)
    assert [row["text"] for row in rows] == ["'=cmd|' /C calc'!A0", "' +1+1", "'@SUM(1)", "-2", 'say "no", twice', "'＝1", "'\u200b=1"]


def test_a_long_table_gives_way_to_what_is_typed_next(browser, page, tmp_path):
    shutil.copytree(page, tmp_path/"slow")
    worker, begin = tmp_path/"slow"/"worker.js", "async function answer(text) {\n"
    assert begin in worker.read_text(encoding="utf-8")
    slow = begin + "  await new Promise((go) => setTimeout(go, 20));\n"
    worker.write_text(worker.read_text(encoding="utf-8").replace(begin, slow), encoding="utf-8")
    with served(tmp_path/"slow") as site:
        visitor = Visitor(browser, site).come()
        visitor.type("so it goes\n" * 2_000)  # 40 seconds of work
        visitor.until("document.getElementById('count').textContent.includes('of 2,000')")
        visitor.verdict("we won")
        visitor.tab.wait_for_timeout(300)
        assert visitor.tab.is_hidden("#many") and visitor.tab.is_visible("#answer") and visitor.complaints == []
        visitor.tab.close()


def test_everybody_can_read_it(visitor):
    found = []
    for text in ("we won, nobody lied to us in the end", "we won\nyou lied"):
        visitor.type(text)
        visitor.tab.wait_for_selector("#count >> text=2 messages." if "\n" in text else "#words span")
        for width in (1400, 390):
            for scheme in ("light", "dark"):
                visitor.tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                visitor.tab.set_viewport_size({"width": width, "height": 1000})
                assert visitor.tab.evaluate("document.documentElement.scrollWidth") <= width
                for violation in Axe().run(visitor.tab, None, {"resultTypes": ["violations"]}).response["violations"]:
                    if violation["impact"] in ("serious", "critical", "moderate"):
                        found.append((width, scheme, violation["id"], violation["nodes"][0]["html"][:160]))
    visitor.tab.set_viewport_size({"width": 1400, "height": 1000})
    assert not found


def test_it_goes_on_without_the_server(browser, page):
    with served(page) as site:
        visitor = Visitor(browser, site).come()
    visitor.tab.context.set_offline(True)
    assert visitor.verdict("we won and nobody lied")
    assert visitor.complaints == []
    visitor.tab.close()


def test_below_the_threshold_it_is_not_sure_and_a_temperature_softens(browser, model, tmp_path):
    (text,) = ["we won and nobody lied"]
    (probabilities,) = OnnxClassifier.load(model).predict_proba([text])
    wanted = probabilities ** (1 / 3) / (probabilities ** (1 / 3)).sum()
    with served(write_page(model, tmp_path/"unsure", temperature=3, threshold=.95)) as site:
        visitor = Visitor(browser, site).come()
        assert visitor.verdict(text).startswith("Not sure; most probable is ")
        assert "below 95 %" in visitor.tab.inner_text("#about")
        row, _ = visitor.table([text, "again"])
    assert row["sure"] == "no" and visitor.complaints == []
    assert abs(float(row["score"]) - wanted.max()) < 1e-5
    visitor.tab.close()


def test_a_page_that_answers_otherwise_than_python_says_so(browser, page, tmp_path):
    shutil.copytree(page, tmp_path/"changed")
    told = json.loads((page/"page.json").read_text())
    for change, seen in (("ids", "words are split otherwise"), ("probabilities", "take them as rough")):
        probes = [probe | {change: probe[change][::-1]} for probe in told["probes"]]
        (tmp_path/"changed"/"page.json").write_text(json.dumps(told | {"probes": probes}))
        with served(tmp_path/"changed") as site:
            visitor = Visitor(browser, site)
            visitor.tab.goto(site)
            visitor.tab.wait_for_selector(f"text={seen}")
            visitor.tab.close()


def test_without_a_server_or_webassembly_it_says_what_to_do(browser, page, tmp_path):
    tab = browser.new_page()
    tab.goto((page/"index.html").as_uri())
    assert "python -m http.server" in tab.inner_text("#trouble") and tab.is_hidden("#message")
    tab.close()
    with served(page) as site:
        visitor = Visitor(browser, site, "delete globalThis.WebAssembly")
        visitor.tab.goto(site)
        assert "no WebAssembly" in visitor.tab.inner_text("#trouble")
        visitor.tab.close()
    shutil.copytree(page, tmp_path/"torn")
    (tmp_path/"torn"/"model.onnx").unlink()
    with served(tmp_path/"torn") as site:
        visitor = Visitor(browser, site)
        visitor.tab.goto(site)
        visitor.tab.wait_for_selector("#trouble >> text=model.onnx: 404")
        visitor.tab.close()


def test_what_is_typed_while_it_loads_is_answered_once_it_can(browser, page):
    with served(page) as site:
        visitor = Visitor(browser, site)
        visitor.tab.route("**/model.onnx", lambda route: (visitor.tab.wait_for_timeout(300), route.continue_()))
        visitor.tab.goto(site)
        visitor.tab.fill("#message", "we won")
        assert visitor.tab.is_visible("#progress") and visitor.tab.is_hidden("#answer")
        visitor.tab.wait_for_selector("#answer", state="visible")
        assert visitor.tab.is_hidden("#loading") and visitor.complaints == []
        visitor.tab.close()


def test_it_answers_in_a_box_on_another_page(browser, page, tmp_path):
    (tmp_path/"index.html").write_text('<!doctype html><title>docs</title><main><h2 id="three-doors">Doors</h2></main>')
    assert add_box(tmp_path, page)
    with served(tmp_path) as site:
        visitor = Visitor(browser, site)
        visitor.tab.goto(site)
        visitor.tab.click("summary")
        inside = visitor.tab.frame_locator("iframe")
        inside.locator("#message").fill("we won")
        inside.locator("#answer").wait_for()
        assert visitor.complaints == []
        visitor.tab.close()


class Elsewhere(SimpleHTTPRequestHandler):
    "A host that sends for its large files to another name of itself, which anybody may ask: as the storage of a Space may do"
    def do_GET(self):
        host, port = self.headers["Host"].split(":")
        if host == "localhost": self.server.stored.add(Path(self.path).suffix)
        if not self.path.endswith((".onnx", ".wasm")) or host == "localhost": return super().do_GET()
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{port}{self.path}")
        self.end_headers()

    def end_headers(self):
        if self.headers["Host"].startswith("localhost"): self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *given): pass


def test_its_large_files_may_come_from_a_storage(browser, page):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Elsewhere, directory=str(page)))
    server.stored = set()
    threading.Thread(target=server.serve_forever, args=(.02,), daemon=True).start()
    visitor = Visitor(browser, f"http://127.0.0.1:{server.server_port}/")
    visitor.come().verdict("we won")
    assert server.stored == {".onnx", ".wasm"}
    visitor.tab.close()
    server.shutdown()
    server.server_close()


def test_of_many_classes_the_most_probable_are_shown(browser, tiny_checkpoint, tmp_path):
    names = [f"class {number}" for number in range(14)]
    texts = [f"{text} {name}" for name in names for text in ("we won", "you lied", "nobody came")]
    labels = [name for name in names for _ in range(3)]
    save(FineTunedClassifier(str(tiny_checkpoint), epochs=1).fit(texts, labels), tmp_path/"model")
    export_onnx(tmp_path/"model", texts, labels)
    classifier = OnnxClassifier.load(tmp_path/"model")
    most = classifier.predict_proba(["we won"])[0].argsort()[::-1][:12]
    with served(write_page(tmp_path/"model", tmp_path/"page")) as site:
        visitor = Visitor(browser, site).come()
        visitor.verdict("we won")
        shown = visitor.tab.eval_on_selector_all("#bars .name", "all => all.map(one => one.textContent)")
        assert shown == classifier.classes_[most].tolist()
        assert visitor.tab.inner_text("#more") == "2 other classes are less probable."
        visitor.tab.close()
