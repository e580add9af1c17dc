"What several tests need: the command as users call it, small data, and one full run on the embedded corpus."
import functools, gc, os, signal, subprocess, sys, tempfile, threading, time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forked import commanded

signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it, and so would all that tests interrupt
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # a closed port: no test asks the real Hub
os.environ.pop("HF_HUB_OFFLINE", None)
os.environ.setdefault("EMOTION_CACHE", tempfile.mkdtemp())  # features of tests are not kept in the home folder

os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))  # where that server finds forked.py
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["forked"])
READ_LATE = {"EMOTION_CACHE", "HF_TOKEN", "TMPDIR"}
COMMAND = Path(sys.executable).parent/"emotion-nbdev"
ROWS = {"anger": ["you charged me twice and hung up", "stop parking across my gate", "another lie from the same office"],
        "joy": ["we won in the last minute", "the cast is off and I can dance", "first salary and first sofa"],
        "sadness": ["the house is quiet without him", "nobody came to the party", "we sold her piano today"]}


class Started:
    "A command that is at work, in a process whose libraries are imported already; used like a Popen"
    def __init__(self, *arguments, cwd, environment=None):
        self.folder = tempfile.TemporaryDirectory()
        self.paths = [Path(self.folder.name)/name for name in ("stdout", "stderr")]
        arguments = list(map(str, arguments))
        self.process = PROCESSES.Process(target=commanded, args=(arguments, str(cwd), environment or {}, list(map(str, self.paths))))
        self.process.start()
        self.pid, self.kill = self.process.pid, self.process.kill

    def send_signal(self, number): os.kill(self.pid, number)

    def poll(self): return self.process.exitcode

    def wait(self, seconds=1500):
        self.process.join(seconds)
        assert self.process.exitcode is not None, "is still at work"
        return self.process.exitcode

    returncode = property(poll)

    def said(self): return tuple(path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else "" for path in self.paths)

    def communicate(self):
        self.wait()
        return self.said()


def call(*arguments, cwd, **environment):
    "Run the command line in a process of its own; one whose libraries are imported already, unless they look at the environment while they are"
    arguments = list(map(str, arguments))
    if environment.keys() - READ_LATE:
        return subprocess.run([sys.executable if arguments[0] == "-c" else COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}, timeout=1500)
    started = Started(*arguments, cwd=cwd, environment=environment)
    stdout, stderr = started.communicate()
    return subprocess.CompletedProcess(arguments, started.returncode, stdout, stderr)


def python(code, *arguments, cwd=".", **environment):
    "Run lines of Python in such a process, for tests to which a fresh import is nothing"
    return call("-c", code, *arguments, cwd=cwd, **environment)


@pytest.fixture(autouse=True)
def frozen():
    "The Trainer collects garbage before and after each training, but not among all that is imported: half a second each time"
    gc.collect()
    gc.freeze()


@pytest.fixture
def command(tmp_path, monkeypatch):
    "Call the command line in this process, from an empty folder"
    from emotion_nbdev.app.cli import app
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def csv_file(tmp_path):
    "Write a CSV of texts and labels into that folder"
    def write(name="train.csv", rows=ROWS, header="text,label", encoding="utf-8"):
        lines = [header] + [f"{text},{label}" for label, texts in rows.items() for text in texts]
        (tmp_path/name).write_bytes(("\n".join(lines) + "\n").encode(encoding))
        return tmp_path/name
    return write


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    "A BERT of two narrow layers with random weights and the embedded tokenizer: real code paths in a second"
    import torch
    from transformers import BertConfig, BertModel
    from emotion_nbdev.tokenization import load_tokenizer
    folder, tokenizer = tmp_path_factory.mktemp("checkpoint"), load_tokenizer()
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64)).save_pretrained(folder)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def full_run(tmp_path_factory):
    "`emotion-nbdev run` on the embedded corpus: (folder of the run, finished process)"
    folder = tmp_path_factory.mktemp("full")
    return folder/"emotion-run", call("run", cwd=folder)


@pytest.fixture
def waits(monkeypatch):
    "Nobody sleeps; what would have been slept"
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@contextmanager
def served(folder):
    "The address of `folder` on this machine"
    handler = functools.partial(type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *given: None}), directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
