"Where a checkpoint comes from, and what happens when it is damaged, missing or out of reach."
import functools, http.server, json, shutil, subprocess, sys, threading, time
from pathlib import Path

import pytest

from conftest import call
from emotion_nbdev.foundations import checkpoints as tokenization
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.foundations.checkpoints import EMBEDDED_CHECKPOINT, SHA256, embedded_folder, resolve_checkpoint


@pytest.fixture(autouse=True)
def fresh_sums():
    "Sums are compared once a process; each test starts anew"
    tokenization.check_sums.cache_clear()
    yield
    tokenization.check_sums.cache_clear()


def test_embedded_is_found_and_checked():
    folder = resolve_checkpoint()
    assert folder == embedded_folder() and all((folder/name).is_file() for name in SHA256)


@pytest.mark.parametrize("name", SHA256)
def test_a_flipped_bit_is_one_line(monkeypatch, tmp_path, name):
    copy = tmp_path/"model"
    shutil.copytree(embedded_folder(), copy)
    raw = bytearray((copy/name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy/name).write_bytes(raw)
    monkeypatch.setattr(tokenization, "embedded_folder", lambda: copy)
    with pytest.raises(InputError, match=rf"{name}: sha256 is .* should be {SHA256[name][:12]}.*pip install 'emotion-nbdev\[embedded\]'"): resolve_checkpoint()


def test_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setattr(tokenization, "embedded_folder", lambda: None)
    started = time.monotonic()
    with pytest.raises(InputError) as error: resolve_checkpoint()
    assert "cannot be reached" in str(error.value) and "pip install 'emotion-nbdev[embedded]'" in str(error.value) and "\n" not in str(error.value)
    assert time.monotonic() - started < 10


def test_a_folder_wins_over_names(tiny_checkpoint):
    assert resolve_checkpoint(tiny_checkpoint) == tiny_checkpoint


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path/"config.json").write_text("{}")
    (tmp_path/"pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="no safetensors weights"): resolve_checkpoint(tmp_path)


class Hub(http.server.BaseHTTPRequestHandler):
    "As much of the Hub's HTTP interface as a download needs, on loopback"
    commit = "a" * 40

    def do_GET(self):
        path = self.path.split("?")[0]
        files = {file.name: file for file in Path(self.folder).iterdir()}
        name = path.rsplit("/", 1)[-1]
        if path.startswith("/api/models/some/one/tree/"): return self.answer(json.dumps([{"type": "file", "path": f, "size": p.stat().st_size, "oid": "b" * 40} for f, p in files.items()]).encode(), "application/json")
        if path.startswith("/api/models/some/one"): return self.answer(json.dumps({"id": "some/one", "sha": self.commit, "siblings": [{"rfilename": f} for f in files]}).encode(), "application/json")
        if path.startswith("/some/one/resolve/") and name in files: return self.answer(files[name].read_bytes(), etag=name)
        self.send_error(404)

    do_HEAD = do_GET

    def answer(self, body, kind="application/octet-stream", etag="x"):
        self.send_response(200)
        for header, value in {"Content-Type": kind, "Content-Length": str(len(body)), "ETag": f'"{etag}"', "X-Repo-Commit": self.commit}.items(): self.send_header(header, value)
        self.end_headers()
        if self.command == "GET": self.wfile.write(body)

    def log_message(self, *arguments): pass


@pytest.fixture
def hub(tiny_checkpoint):
    "A Hub on loopback that has the checkpoint `some/one`"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(type("TinyHub", (Hub,), {"folder": tiny_checkpoint})))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


RESOLVE = "from emotion_nbdev.tokenization import resolve_checkpoint, load_tokenizer as t; f = resolve_checkpoint('{name}'); print(sorted(p.name for p in f.iterdir()), len(t(f)))"


def test_hub_over_http_then_from_the_cache(hub, tiny_checkpoint, tmp_path):
    def resolve(name, **environment):
        import os
        environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
        return subprocess.run([sys.executable, "-c", RESOLVE.format(name=name)], capture_output=True, text=True, env=environment, timeout=120)
    done = resolve("some/one", HF_ENDPOINT=hub)
    assert done.returncode == 0 and "model.safetensors" in done.stdout, done.stderr
    unreachable = resolve("some/one")  # the closed port: the copy in the cache will do
    assert unreachable.returncode == 0 and unreachable.stdout == done.stdout, unreachable.stderr
    offline = resolve("some/one", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0 and offline.stdout == done.stdout, offline.stderr
    unknown = resolve("some/other", HF_ENDPOINT=hub)
    assert "InputError: some/other: no such checkpoint" in unknown.stderr, unknown.stderr
