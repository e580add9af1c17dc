"Datasets from an address and from the Hub, over HTTP on loopback."
import functools, http.server, json, subprocess, sys, threading
from pathlib import Path
from urllib.parse import unquote

import pytest

from conftest import call

CARD = """---
task_categories: [text-classification]
configs:
- config_name: default
  data_files:
  - {split: train, path: train.csv}
  - {split: validation, path: validation.csv}
dataset_info:
  features:
  - {name: text, dtype: string}
  - name: label
    dtype:
      class_label:
        names: {'0': joy, '1': anger}
---
"""


class Hub(http.server.BaseHTTPRequestHandler):
    "As much of the Hub's HTTP interface as a dataset needs: `some/mails`, and a checkpoint `distilbert-base-uncased`"
    commit = "c" * 40
    roots = {}

    def do_GET(self):
        path = unquote(self.path.split("?")[0])
        if path == "/api/datasets": return self.answer(json.dumps([{"id": "some/mails", "downloads": 7, "likes": 1, "_id": "1"}]).encode(), "application/json")
        for prefix, folder in self.roots.items():
            files = {file.name: file for file in Path(folder).iterdir()}
            if path.startswith(f"/{prefix}/resolve/") and path.rsplit("/", 1)[-1] in files: return self.answer(files[path.rsplit("/", 1)[-1]].read_bytes())
            if path.startswith(f"/api/{prefix if '/' in prefix else 'models/' + prefix}"):
                tree = [{"type": "file", "path": name, "size": file.stat().st_size, "oid": "b" * 40} for name, file in files.items()]
                if "/tree/" in path: return self.answer(json.dumps(tree if path.endswith(self.commit) or path.endswith("main") else []).encode(), "application/json")
                return self.answer(json.dumps({"id": prefix.removeprefix("datasets/"), "sha": self.commit, "siblings": [{"rfilename": name} for name in files]}).encode(), "application/json")
        self.send_error(404)

    do_HEAD = do_GET

    def do_POST(self):  # paths-info
        wanted = self.rfile.read(int(self.headers["Content-Length"])).decode()
        folder = next(folder for prefix, folder in self.roots.items() if self.path.startswith(f"/api/{prefix}/paths-info/"))
        found = [{"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "b" * 40} for file in Path(folder).iterdir() if file.name in wanted]
        self.answer(json.dumps(found).encode(), "application/json")

    def answer(self, body, kind="application/octet-stream"):
        self.send_response(200)
        for header, value in {"Content-Type": kind, "Content-Length": str(len(body)), "ETag": f'"{hash(body)}"', "X-Repo-Commit": self.commit}.items(): self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)

    def log_message(self, *arguments): pass


@pytest.fixture
def hub(tmp_path, tiny_checkpoint):
    "The address of a Hub on loopback, and what has to be in the environment to use it"
    mails = tmp_path/"mails"
    mails.mkdir()
    (mails/"README.md").write_text(CARD)
    (mails/"train.csv").write_text("text,label\n" + "".join(f"what a day {word},0\nwhere is it {word}?,1\n" for word in "one two three four five six".split()))
    (mails/"validation.csv").write_text("text,label\na good day,0\nwhere is my order?,1\n")
    several = tmp_path/"several"
    several.mkdir()
    (several/"README.md").write_text("""---
configs:
- config_name: raw
  data_files: [{split: train, path: raw.csv}]
- config_name: split
  data_files: [{split: train, path: train.csv}, {split: dev, path: dev.csv}, {split: test, path: test.csv}]
---
""")
    rows = [f"{text} {word},{label}\n" for word in "one two three four five six".split() for text, label in (("what a day", "joy"), ("where is it", "anger"))]
    for name, part in (("raw", rows), ("train", rows[:8]), ("dev", rows[8:])): (several/f"{name}.csv").write_text("text,label\n" + "".join(part))
    (several/"test.csv").write_text("text,label\nunknown,-1\n")
    handler = type("Served", (Hub,), {"roots": {"datasets/some/mails": mails, "datasets/some/several": several, "datasets/dair-ai/emotion": mails, "distilbert-base-uncased": tiny_checkpoint}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield dict(HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HOME=str(tmp_path/"cache"), HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1")
    server.shutdown()


def python(code, hub):
    import os
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **hub}, timeout=300)


def test_find_datasets(hub):
    done = python("from emotion_nbdev.dataset import find_datasets; print(find_datasets('mail').to_dict('records'))", hub)
    assert "[{'name': 'some/mails', 'downloads': 7, 'likes': 1}]" in done.stdout, done.stderr


def test_load_from_the_hub_keeps_the_class_names(hub):
    done = python("from emotion_nbdev.dataset import load_data; d = load_data('some/mails'); print({k: len(v) for k, v in d.items()}, d['train'].features['label'].names, d['train'][1]); load_data('some/letters')", hub)
    assert "{'train': 12, 'validation': 2} ['joy', 'anger'] {'text': 'where is it one?', 'label': 1}" in done.stdout, done.stderr
    assert "InputError: some/letters: no such dataset on the Hub" in done.stderr


def test_the_chapter_preset_runs_end_to_end(hub, tmp_path):
    done = call("run", "--preset", "chapter", "--output-dir", str(tmp_path/"out"), cwd=tmp_path, **hub)
    assert done.returncode == 0, done.stderr
    assert (tmp_path/"out"/"report.html").is_file() and "fine-tuned" in done.stdout


def test_training_rows_from_an_address(hub, tmp_path, command):
    address = f"{hub['HF_ENDPOINT']}/datasets/some/mails/resolve/main"
    failed = command("run", "--train-file", f"{address}/gone.csv", "--output-dir", str(tmp_path/"out"))
    assert failed.exit_code == 2 and "gone.csv cannot be downloaded (HTTP Error 404" in failed.stderr
    failed = command("run", "--train-file", f"{address}/train.csv", "--text-column", "message", "--output-dir", str(tmp_path/"out"))
    assert failed.exit_code == 2 and f"{address}/train.csv: no column 'message'" in failed.stderr


def test_a_dataset_with_configurations(hub):
    done = python("from emotion_nbdev.dataset import load_data; print({k: len(v) for k, v in load_data('some/several', config='split').items()}, {k: len(v) for k, v in load_data('some/several', config='raw').items()}); load_data('some/several')", hub)
    assert "InputError: some/several has the configurations raw, split. Choose one with --config." in done.stderr, done.stderr
    assert "{'train': 8, 'validation': 4} {'train': 10, 'validation': 2}" in done.stdout and "some/several [test] has no labels" in done.stderr, done.stderr
