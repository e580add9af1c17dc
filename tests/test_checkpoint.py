"Where a checkpoint comes from, and what happens when it is damaged, missing or out of reach."

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hub_server import Fault, HubServer

from conftest import python
from emotion_nbdev.foundations import checkpoints, patience
from emotion_nbdev.foundations.checkpoints import (
    DamagedError,
    EMBEDDED_CHECKPOINT,
    EMBEDDED_REVISION,
    SHA256,
    embedded_folder,
    resolve_checkpoint,
)
from emotion_nbdev.foundations.core import InputError


@pytest.fixture(autouse=True)
def fresh_sums():
    "Sums are compared once a process; each test starts anew"
    checkpoints.check_sums.cache_clear()
    yield
    checkpoints.check_sums.cache_clear()


def test_embedded_is_found_and_checked():
    folder = resolve_checkpoint()
    assert folder == embedded_folder() and all((folder / name).is_file() for name in SHA256)


@pytest.mark.parametrize("name", SHA256)
def test_a_flipped_bit_is_one_line(monkeypatch, tmp_path, name):
    copy = tmp_path / "model"
    shutil.copytree(embedded_folder(), copy)
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    monkeypatch.setattr(checkpoints, "embedded_folder", lambda: copy)
    cure = r"pip install 'emotion-nbdev\[embedded\]'"
    expected = rf"{name}: sha256 is .* should be {SHA256[name][:12]}.*{cure}"
    with pytest.raises(InputError, match=expected):
        resolve_checkpoint()


def test_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setattr(checkpoints, "embedded_folder", lambda: None)
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        resolve_checkpoint()
    message = str(error.value)
    assert "cannot be reached" in message
    assert "pip install 'emotion-nbdev[embedded]'" in message
    assert "\n" not in message
    assert time.monotonic() - started < 10


def test_a_folder_wins_over_names(tiny_checkpoint):
    assert resolve_checkpoint(tiny_checkpoint) == tiny_checkpoint


def test_a_revision_has_its_effect_or_is_refused(monkeypatch, tiny_checkpoint):
    asked = []

    def download(name, revision=None):
        asked.append((name, revision))
        return tiny_checkpoint

    monkeypatch.setattr(checkpoints, "download_checkpoint", download)
    with pytest.raises(InputError, match="is a folder here, it has no revision 'v2'"):
        resolve_checkpoint(tiny_checkpoint, "v2")
    assert resolve_checkpoint(EMBEDDED_CHECKPOINT, EMBEDDED_REVISION) == embedded_folder()
    assert asked == []
    assert resolve_checkpoint(EMBEDDED_CHECKPOINT, "main") == tiny_checkpoint
    monkeypatch.setattr(checkpoints, "embedded_folder", lambda: None)
    resolve_checkpoint()
    assert asked == [(EMBEDDED_CHECKPOINT, "main"), (EMBEDDED_CHECKPOINT, EMBEDDED_REVISION)]


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="no safetensors weights"):
        resolve_checkpoint(tmp_path)


def changed(checkpoint, folder, **contents):
    "A copy of a checkpoint with some files changed: name (__ for .) -> settings to add, or text"
    shutil.copytree(checkpoint, folder)
    for name, content in contents.items():
        path = folder / name.replace("__", ".")
        if isinstance(content, dict) and path.is_file():
            content = json.loads(path.read_text()) | content
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize("name", ["weights.bin", "../a.safetensors", "/a.safetensors", "x/a.safetensors", 7])
def test_an_index_names_safetensors_of_its_folder(tiny_checkpoint, tmp_path, name):
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": name}}
    folder = changed(tiny_checkpoint, tmp_path / "c", model__safetensors__index__json=index)
    with pytest.raises(InputError, match="index.json names (weights that are no safetensors file|a file outside)"):
        resolve_checkpoint(folder)
    folder = changed(tiny_checkpoint, tmp_path / "d", config__json={"transformers_weights": name})
    with pytest.raises(InputError, match="config.json names weights that are no safetensors file"):
        resolve_checkpoint(folder)


def test_an_index_of_pickles_that_nobody_reads_does_no_harm(tiny_checkpoint, tmp_path):
    index = {"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}
    folder = changed(tiny_checkpoint, tmp_path / "c", pytorch_model__bin__index__json=index)
    assert resolve_checkpoint(folder) == folder


OPENED = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
from emotion_nbdev.tokenization import load_tokenizer
tokenizer = load_tokenizer(sys.argv[1])
assert tokenizer("good day")["input_ids"] and not [path for path in opened if "elsewhere" in path]
"""


def test_a_path_that_nobody_opens_does_no_harm(tiny_checkpoint, tmp_path):
    "Old versions of transformers wrote where their author's files lay"
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text("{}")
    names = ("name_or_path", *checkpoints.UNREAD)
    old = {name: str(elsewhere) for name in names}
    folder = changed(tiny_checkpoint, tmp_path / "c", tokenizer_config__json=old)
    looked = python(OPENED, folder)
    assert looked.returncode == 0, looked.stderr
    for name in ("vocab_file", "tokenizer_file", "merges_file"):
        bad = changed(tiny_checkpoint, tmp_path / name, tokenizer_config__json={name: str(elsewhere)})
        with pytest.raises(InputError, match=f"outside of the folder .{name}"):
            resolve_checkpoint(bad)


class Hub(http.server.BaseHTTPRequestHandler):
    "As much of the Hub's HTTP interface as a download needs, on loopback"

    commit = "a" * 40
    folder = None  # of the one model that it has

    def do_GET(self):
        path = self.path.split("?")[0]
        files = {file.name: file for file in Path(self.folder).iterdir()}
        name = path.rsplit("/", 1)[-1]
        if path.startswith("/api/models/some/one/tree/"):
            return self.answer_json([self.entry(file) for file in files.values()])
        if path.startswith("/api/models/some/one"):
            siblings = [{"rfilename": file} for file in files]
            return self.answer_json({"id": "some/one", "sha": self.commit, "siblings": siblings})
        if path.startswith("/some/one/resolve/") and name in files:
            return self.answer(files[name].read_bytes(), etag=name)
        self.send_error(404)

    do_HEAD = do_GET

    def entry(self, file):
        return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "b" * 40}

    def answer_json(self, content):
        self.answer(json.dumps(content).encode(), "application/json")

    def answer(self, body, kind="application/octet-stream", etag="x"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tiny_checkpoint):
    "A Hub on loopback that has the checkpoint `some/one`"
    handler = type("TinyHub", (Hub,), {"folder": tiny_checkpoint})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


RESOLVE = """
from emotion_nbdev.foundations.checkpoints import resolve_checkpoint
folder = resolve_checkpoint('{name}')
from emotion_nbdev.tokenization import load_tokenizer
print(sorted(path.name for path in folder.iterdir()), len(load_tokenizer(folder)))
"""


def test_hub_over_http_then_from_the_cache(hub, tiny_checkpoint, tmp_path):

    def resolve(name, **environment):
        fresh = {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        return subprocess.run(
            [sys.executable, "-c", RESOLVE.format(name=name)],
            capture_output=True,
            text=True,
            env={**os.environ, **fresh, **environment},
            timeout=120,
        )

    done = resolve("some/one", HF_ENDPOINT=hub)
    assert done.returncode == 0 and "model.safetensors" in done.stdout, done.stderr
    unreachable = resolve("some/one")  # the closed port: the copy in the cache will do
    assert unreachable.returncode == 0 and unreachable.stdout == done.stdout, unreachable.stderr
    offline = resolve("some/one", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0 and offline.stdout == done.stdout, offline.stderr
    unknown = resolve("some/other", HF_ENDPOINT=hub)
    assert "InputError: some/other: no such checkpoint" in unknown.stderr, unknown.stderr


@pytest.fixture
def remote(waits, tiny_checkpoint, tmp_path):
    "A Hub with faults on order that has the checkpoint `some/one`"
    with HubServer() as server:
        files = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}
        server.create("some/one", **files)
        yield server.attach(tmp_path / "cache")


def same_files(folder, checkpoint):
    return all((folder / path.name).read_bytes() == path.read_bytes() for path in checkpoint.iterdir())


def refused(name="some/one", revision=None):
    with pytest.raises(InputError) as caught:
        resolve_checkpoint(name, revision)
    line = str(caught.value)
    assert "\n" not in line and line.endswith((".", ")")) and "hf_writer" not in line, line
    return line


GATED = {"X-Error-Code": "GatedRepo"}
STAYING = [
    (500, {}, "in trouble (500)"),
    (503, {}, "in trouble (503)"),
    (429, {}, "too many requests (429)"),
    (429, {"Retry-After": "3600"}, "Wait 3600 seconds"),
    (401, {}, "does not accept the token (401)"),
    (403, GATED, "(gated). Ask at"),
    (404, {}, "no such checkpoint"),
    (418, {}, "cannot be downloaded"),
    ("cut", {}, "connection to"),
    (b"<html>log in first</html>", {}, "not as the Hub does"),
    (b'{"id": "some', {}, "not as the Hub does"),
    (b"{}", {}, "not as the Hub does"),
    (b"[]", {}, "not as the Hub does"),
    (b"null", {}, "not as the Hub does"),
]


@pytest.mark.parametrize("what, headers, part", STAYING)
def test_the_true_cause_is_told_and_a_copy_used(remote, tiny_checkpoint, waits, caplog, what, headers, part):
    remote.faults = [Fault("info", what, 1000, headers)]
    assert part in refused()
    assert sum(waits) <= 15
    remote.faults = []
    assert same_files(resolve_checkpoint("some/one"), tiny_checkpoint)
    remote.faults = [Fault("info", what, 1000, headers)]
    caplog.clear()
    assert same_files(resolve_checkpoint("some/one"), tiny_checkpoint)
    assert part in caplog.text and "an earlier download is used" in caplog.text


@pytest.mark.parametrize("what", [500, 503, 429, "cut", "lost"])
@pytest.mark.parametrize("step", ["info", "tree", "head", "download"])
def test_what_passes_is_waited_for(remote, tiny_checkpoint, waits, caplog, step, what):
    remote.faults = [Fault(step, what, 2, {"Retry-After": "7"} if what == 429 else {})]
    assert same_files(resolve_checkpoint("some/one"), tiny_checkpoint)
    assert not remote.faults[0].times and sum(waits) <= 16
    assert not waits or "rying" in caplog.text


@pytest.mark.parametrize("what", [500, 403, 404, "cut", b"<html>"])
@pytest.mark.parametrize("step", ["tree", "head", "download"])
def test_half_a_download_is_one_line(remote, step, what):
    remote.faults = [Fault(step, what, 1000)]
    assert refused().startswith("some/one: ")


def test_no_revision_and_no_name(remote):
    assert "no revision 'v9'" in refused(revision="v9")
    assert "no such checkpoint" in refused("some/other")


def test_offline_on_purpose(remote, tiny_checkpoint, monkeypatch, caplog):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set, and the cache has no copy" in refused()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    resolve_checkpoint("some/one")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    caplog.clear()
    assert same_files(resolve_checkpoint("some/one"), tiny_checkpoint) and not caplog.text


def test_patience_ends(remote, monkeypatch):
    "A server that asks to wait, again and again, and one that never answers"
    clock = iter(range(0, 100_000, 40))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    remote.faults = [Fault("info", 503, 1000, {"Retry-After": "60"})]
    assert "in trouble (503)" in refused() and remote.steps.count("info") < patience.TRIES
    monkeypatch.undo()


def test_who_never_answers(remote, monkeypatch):
    monkeypatch.setattr(patience, "ANSWER_WITHIN", 0.2)
    remote.faults = [Fault("info", "late", 1000)]
    started = time.monotonic()
    assert "no answer from" in refused() and time.monotonic() - started < 5


def cached(folder, name):
    return folder / os.readlink(folder / name)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_flipped_byte_is_found(remote, tiny_checkpoint, monkeypatch, caplog, name):
    remote.faults = [Fault("download", "corrupt")]
    folder = resolve_checkpoint("some/one")
    assert same_files(folder, tiny_checkpoint) and "is damaged and is fetched again" in caplog.text
    blob = cached(folder, name)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x07")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DamagedError, match=f"{blob.name} is damaged.*Remove that file"):
        resolve_checkpoint("some/one")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert same_files(resolve_checkpoint("some/one"), tiny_checkpoint)


def test_a_byte_that_always_flips(remote):
    remote.faults = [Fault("download", "corrupt", 1000)]
    with pytest.raises(DamagedError, match="is damaged, its content is not what the Hub has sent"):
        resolve_checkpoint("some/one")


def test_contents_that_repositories_share(remote, tiny_checkpoint, tmp_path):
    "With Xet, the client keeps large files in a folder beside the repositories, by another sum"
    folder = resolve_checkpoint("some/one")
    blob = cached(folder, "model.safetensors")
    shared = tmp_path / "cache" / "blobs" / "ab" / ("cd" * 32)
    shared.parent.mkdir(parents=True)
    blob.resolve().rename(shared)
    blob.symlink_to(shared)
    assert same_files(resolve_checkpoint("some/one"), tiny_checkpoint)
    shared.write_bytes(shared.read_bytes()[:-1] + b"\x07")
    assert same_files(resolve_checkpoint("some/one"), tiny_checkpoint)


def test_a_folder_that_only_looks_like_the_cache(tiny_checkpoint, tmp_path):
    secret = tmp_path / "secret"
    secret.touch()
    folder = changed(tiny_checkpoint, tmp_path / "snapshots" / "x")
    (folder / "notes.txt").symlink_to(secret)
    with pytest.raises(InputError, match="notes.txt is a link that leaves the folder"):
        resolve_checkpoint(folder)


def test_weights_that_the_machine_cannot_hold_are_not_fetched(remote, monkeypatch):
    monkeypatch.setattr(checkpoints, "physical_memory", lambda: 1000)
    assert "needs 0 GB of memory, and this machine has 0 GB" in refused()
    assert "download" not in remote.steps and "head" not in remote.steps


def test_a_full_disk_is_told_at_once(remote, monkeypatch, waits):
    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    monkeypatch.setattr(checkpoints, "_earlier_copy", lambda *arguments: None)
    assert "No space left on device" in refused() and not waits
