"""Nothing is accepted and ignored: each option of each command changes what the command leaves, or is refused in one line; each parameter of a public function is read.

The lists of options and functions are made from the program itself, so that a new one without its line below fails here by its name."""
import ast, contextlib, importlib, inspect, json, os, pkgutil, re, shutil, textwrap

import pytest
import typer

with contextlib.suppress(ImportError): import openvino  # noqa: F401  (the first `run` of a process imports it in the end, and from then on last digits are others)

import emotion_nbdev
from conftest import ROWS
from emotion_nbdev.app.cli import app
from emotion_nbdev.app.ladder import make_classifier
from emotion_nbdev.evaluation import Answers
from emotion_nbdev.production.artefacts import save
from emotion_nbdev.production.graphs import export_onnx
from emotion_nbdev.production.drift import remember
from emotion_nbdev.production.trust import Trust

TEXTS = [f"{text} on day {number}" for number in range(6) for texts in ROWS.values() for text in texts]
NAMES = [label for number in range(6) for label, texts in ROWS.items() for _ in texts]
FILES = ["--train-file", "train.csv", "--validation-file", "validation.csv"]


def csv(texts, labels, header="text,label"):
    return f"{header}\n" + "".join(f"{text},{label}\n" for text, label in zip(texts, labels))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_checkpoint):
    "A folder with data of several kinds and saved models"
    folder = tmp_path_factory.mktemp("effects")
    (folder/"train.csv").write_text(csv(TEXTS, NAMES))
    (folder/"validation.csv").write_text(csv([f"{text} again" for text in TEXTS[:27]], NAMES[:27]))
    (folder/"test.csv").write_text(csv([f"{text} at last" for text in TEXTS[:18]], NAMES[:18]))
    (folder/"other.csv").write_text(csv(TEXTS[:45], NAMES[1:46]))
    (folder/"named.csv").write_text(csv(TEXTS, NAMES, "message,mood"))
    (folder/"list.csv").write_text(f"row,text,label,new_label\n1,{TEXTS[0]},{NAMES[0]},joy\n")
    (folder/"data").mkdir()
    (folder/"data"/"train.csv").write_text(csv(TEXTS[9:], NAMES[9:]))
    shutil.copytree(tiny_checkpoint, folder/"tiny")
    counted = make_classifier("tfidf").fit(TEXTS, NAMES)
    save(counted, folder/"model", trust=Trust(1., .5, .3, "validation", 20, 10, 9, {"0.9": .1}))
    remember(folder/"model", Answers("tfidf", "validation", TEXTS, NAMES, counted.predict_proba(TEXTS), counted.classes_))
    (folder/"model"/"README.md").write_text("---\ntags:\n- mails\n---\n# Moods\n")
    shutil.copy(folder/"model"/"README.md", folder/"README.md")
    save(make_classifier("features", str(tiny_checkpoint)).fit(TEXTS, NAMES), folder/"frozen")
    save(make_classifier("fine-tuned", str(tiny_checkpoint)).set_params(epochs=1).fit(TEXTS, NAMES), folder/"tuned")
    shutil.copy(folder/"README.md", folder/"tuned"/"README.md")
    export_onnx(folder/"tuned", TEXTS, NAMES)
    return folder


# what is given first, and then for each option what is added to it (a tuple), or stands in its place (a list)
BASES = {
    "check": [*FILES, "--model", "tiny"],
    "train": ["--approach", "tfidf", "--output-dir", "out", *FILES],
    "run": ["--output-dir", "out", *FILES, "--model", "tiny"],
    "predict": ["--model", "model", "--input", "test.csv"],
    "evaluate": ["--model", "model", "--data", "test.csv", "--split", "test"],
    "drift": ["--model", "model", "--input", "train.csv"],
    "compare": [*FILES, "--model", "tiny", "--tricks", "hand-made", "--seeds", "1", "--output-dir", "out"],
    "errors": ["--model", "model", "--data", "test.csv", "--split", "test"],
    "export": ["tuned", *FILES],
    "inspect": ["tuned"],
    "cache": [],
    "page": ["tuned", "--output-dir", "out"],
    "serve": ["tuned", "--port", "38613"],
    "push": ["model", "casey/moods", "--dry-run"],
}
DATA = {"--preset": ("--preset", "nonsense"), "--train-file": ("--train-file", "other.csv"), "--validation-file": ("--validation-file", "test.csv"), "--test-file": ("--test-file", "test.csv"),
        "--dataset": ("--dataset", "data"), "--config": ("--config", "plain"), "--columns": ("--columns", "a,b"), "--text-column": ("--text-column", "message"), "--label-column": ("--label-column", "mood")}
MAKING = DATA | {"--model": ("--model", "nowhere"), "--max-train-samples": ("--max-train-samples", "12"), "--resume": ("--resume",), "--onnx": ("--onnx",), "--licence": ("--licence", "mit"), "--precision": ("--precision", ".3"),
                 "--language": ("--language", "de"), "--card-examples": ("--card-examples", "2"), "--output-dir": ("--output-dir", "model"), "--seed": ("--seed", "7")}
VARIANTS = {
    "check": DATA | {"--model": ("--model", "nowhere"), "--json": ("--json",)},
    "train": MAKING | {"--approach": ("--approach", "majority"), "--trick": ["--trick", "tfidf-every-sign", "--output-dir", "out", *FILES], "--seed": ["--approach", "tfidf", "--output-dir", "out", "--train-file", "train.csv", "--seed", "7"]},
    "run": MAKING | {"--train-file": ("--train-file", "none.csv"), "--validation-file": ("--validation-file", "none.csv"), "--test-file": ("--test-file", "none.csv"), "--max-train-samples": ("--max-train-samples", "1"),
                     "--licence": ("--licence", "none"), "--language": ("--language", "german"), "--precision": ("--precision", "2"), "--page": None},
    "predict": {"--model": ("--model", "frozen"), "texts": ("fine",), "--input": ("--input", "validation.csv"), "--output": ("--output", "out.csv"), "--columns": ("--columns", "a,b"), "--text-column": ("--text-column", "label"),
                "--revision": ("--revision", "main"), "--dtype": ("--dtype", "auto"), "--abstain": ("--abstain",), "--at-least": ("--at-least", ".5"), "--sets": ("--sets", ".9"), "--explain": ["--model", "model", "fine", "--explain"]},
    "drift": {"--model": ("--model", "frozen"), "--input": ("--input", "other.csv"), "--columns": ("--columns", "a,b"), "--text-column": ("--text-column", "message"), "--revision": ("--revision", "main"), "--json": ("--json",)},
    "evaluate": {"--model": ("--model", "frozen"), "--data": ("--data", "validation.csv"), "--split": ("--split", "validation"), "--columns": ("--columns", "a,b"), "--text-column": ("--text-column", "message"),
                 "--label-column": ("--label-column", "mood"), "--revision": ("--revision", "main"), "--dtype": ("--dtype", "float32"), "--json": ("--json",)},
    "compare": DATA | {
        "--tricks": ("--tricks", "nonsense"), "--approach": ("--approach", "nonsense"), "--seeds": ("--seeds", "2"), "--budget": ("--budget", "soon"), "--other": ("--other", "nowhere"), "--model": ("--model", "nowhere"),
        "--max-train-samples": ("--max-train-samples", "18"), "--output-dir": ("--output-dir", "elsewhere"), "--seed": ("--seed", "7")},
    "errors": {"--data": ("--data", "validation.csv"), "--model": ("--model", "frozen"), "--split": ("--split", "validation"), "--suspects": ("--suspects", "out.csv", "--checkpoint", "tiny"), "--first": ("--first", "3"),
               "--apply": ["--data", "train.csv", "--apply", "list.csv", "--output", "out.csv"], "--output": ("--output", "out.csv"), "--checkpoint": ("--checkpoint", "tiny"), "--columns": ("--columns", "a,b"),
               "--text-column": ("--text-column", "message"), "--label-column": ("--label-column", "mood"), "--seed": ("--seed", "7")},
    "export": {name: value for name, value in DATA.items() if name != "--test-file"} | {"model": ["model", *FILES], "--int8": ("--int8",), "--validation-file": ("--validation-file", "none.csv"), "--train-file": ("--train-file", "none.csv")},
    "cache": {"--clear": ("--clear",)},
    "page": {"model": ["model", "--output-dir", "out"], "--output-dir": ("--output-dir", "tiny"), "--title": ("--title", "Moods"), "--revision": ("--revision", "main")},
    "serve": {"model": ["frozen", "--port", "38613"], "--host": ("--host", "localhost"), "--port": ("--port", "38614"), "--dtype": ("--dtype", "half"), "--revision": ("--revision", "main")},
    "inspect": {"model": ["frozen"], "--revision": ("--revision", "main")},
    "push": {"model": ["tuned", "casey/moods", "--dry-run"], "name": ["model", "no name", "--dry-run"], "--private": ("--private",), "--revision": ("--revision", "other"), "--create-pr": ("--create-pr",), "--space": ("--space",), "--yes": None, "--dry-run": None},
}
ELSEWHERE = {("run", "--page"): "the test of the report follows its link", ("push", "--yes"): "tests/test_hub.py answers no to the question, and pushes with --yes", ("push", "--dry-run"): "tests/test_hub.py counts the commits of both"}


def options():
    return [(name, option.opts[0] if option.opts[0].startswith("-") else option.name) for name, command in typer.main.get_command(app).commands.items() for option in command.params if option.name != "help"]


def unhurried(text):
    "Without what is never twice the same: seconds, speed, memory"
    text = re.sub(r'"(\w*seconds|texts_per_second|\w+_mib)":\s*-?[\d.e-]+', "", text)
    text = re.sub(r"\| (fit seconds|texts per second|peak mib|peak MiB|texts a second) \| [\d.,]+", "", text)
    text = re.sub(r" +", " ", text)
    return re.sub(r"fitted in [\d.]+ s|\d+\.\d$|[+-]\d+$|[\d.]+ s\b", "", text, flags=re.M)


@pytest.fixture
def outcome(command, prepared, tmp_path, monkeypatch):
    "What a command leaves: its end, what it says, and the files it made or changed"
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)  # an endpoint that is ready ends at once
    def of(name, arguments):
        folder = tmp_path/"each"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepared, folder)
        known = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        os.chdir(folder)
        done = command(name, *arguments)
        assert "Traceback" not in done.output and not (done.exception and not isinstance(done.exception, SystemExit)), (done.output, done.exception)
        made = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and known.get(path) != path.read_bytes()}
        readable = {file: unhurried(content.decode()) if not file.endswith((".png", ".safetensors", ".onnx", ".wasm")) else content for file, content in made.items()}
        return done.exit_code, unhurried(done.stdout), unhurried(done.stderr), {file: content for file, content in readable.items() if not file.endswith((".png", ".sqlite", ".html", ".safetensors" if name == "run" else ".none"))}
    return of


@pytest.fixture(scope="module")
def plain():
    return {}


@pytest.mark.parametrize("name, option", options())
def test_each_option_has_its_effect_or_is_refused(name, option, outcome, plain):
    assert option in VARIANTS[name], f"{name} {option} has no line in VARIANTS"
    given = VARIANTS[name][option]
    if given is None:
        assert (name, option) in ELSEWHERE
        return
    if name not in plain:
        plain[name] = outcome(name, BASES[name])
        assert outcome(name, BASES[name]) == plain[name], "the same command twice"  # else a difference would say nothing
    found = outcome(name, [*BASES[name], *given] if isinstance(given, tuple) else given)
    assert found != plain[name], f"{name} {option} changes nothing"
    if found[0] == 2 and plain[name][0] != 2:
        assert found[2].strip().count("\n") == 0 and found[2].startswith("Error: ") or "no validation split" in found[2], found[2]


def test_the_report_of_a_run_leads_to_its_page(outcome, tmp_path):
    "Here, where another run has warmed up all that it needs"
    code, said, _, made = outcome("run", [*BASES["run"], "--page"])
    assert code == 0 and "Page: out/page; serve it with: python -m http.server --directory out\n" in said
    link, = re.findall(r'href="([^"]*)"', (tmp_path/"each"/"out"/"report.html").read_text(encoding="utf-8"))
    assert link == "page/index.html" and (tmp_path/"each"/"out"/link).is_file()
    told = json.loads(made["out/page/page.json"])
    assert told["classes"] == sorted(ROWS) and "27 messages of its validation split" in told["about"]


def modules():
    return [importlib.import_module(found.name) for found in pkgutil.walk_packages(emotion_nbdev.__path__, "emotion_nbdev.") if "_modidx" not in found.name and not found.ispkg]


def functions():
    "(name, function) of all functions of the package, and of all methods of its classes"
    for module in modules():
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", None) != module.__name__: continue
            members = vars(thing).items() if inspect.isclass(thing) else [("", thing)]
            for method, made in members:
                made = inspect.unwrap(getattr(made, "__func__", made))
                if inspect.isfunction(made) and made.__module__ == module.__name__ and "lambda" not in made.__name__:
                    yield f"{module.__name__.removeprefix('emotion_nbdev.')}.{name}.{method}".rstrip("."), made


# what others hand over because their interface says so: scikit-learn, the Trainer, click, Python, and tables of functions with one shape
SHAPED = {"stamp": "key of a cache", "size": "key of a cache", "changed": "key of a cache", "version": "its callback prints it", "labels": "fit_transform of scikit-learn", "groups": "split of scikit-learn", "input_features": "get_feature_names_out of scikit-learn"}
TABLES = re.compile(r"^beyond\.tricks\.|\.(__call__|mean_answers|_\w*rows|_write_\w+|emit|_end|convert|parse_args|__init__|on_\w+|__exit__|__sklearn_clone__|\w+_loss|fit|split|get_n_splits)$")


def test_no_parameter_is_ignored():
    "A parameter that its function never reads has no effect"
    ignored = []
    for name, function in functions():
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, SyntaxError):
            continue  # made by dataclass
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        unread = [one for one in inspect.signature(function).parameters if one not in read and one not in ("self", "cls", "_", *SHAPED)]
        ignored += [f"{name}({one})" for one in unread if not TABLES.search(name)]
    assert not ignored, ignored
