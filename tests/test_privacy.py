"What a command leaves behind holds no key, no name of a folder, no token and no message."
import stat

import pytest

from conftest import call, ROWS, served

SECRETS = {"key of an address": b"SECRETKEY", "user of an address": b"secretuser", "name in a path": b"annapetersen", "token": b"hf_SECRETTOKEN", "private message": b"zyxwordle", "number": b"5550199"}
PRIVATE = "zyxwordle rang 0171 5550199 and write to anna.petersen@mail.example"


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_checkpoint):
    "A folder with somebody's name, with data and a checkpoint in it, and a server that wants a key"
    import shutil
    folder = tmp_path_factory.mktemp("home")/"annapetersen"
    folder.mkdir()
    shutil.copytree(tiny_checkpoint, folder/"tiny")
    rows = [f"{text} on day {number},{label}\n" for number in range(112) for label, texts in ROWS.items() for text in texts]
    (folder/"train.csv").write_text(f"text,label\n{PRIVATE},anger\n{''.join(rows)}")  # terms of one message are left out from a thousand messages on
    (folder/"few.csv").write_text(f"text,label\n{PRIVATE},anger\n{''.join(rows[:108])}")  # for what keeps no terms
    (folder/"validation.csv").write_text("text,label\n" + "".join(f"{text} again,{label}\n" for label, texts in ROWS.items() for text in texts))
    with served(folder) as address:
        yield folder, address.rstrip("/")


def left(folder):
    "(file, kind of secret) that stand in what a command left, names of files included; digests of messages stay at home"
    found = []
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        content += str(path.relative_to(folder)).encode()
        found += [(str(path.relative_to(folder)), kind) for kind, secret in SECRETS.items() if secret.lower() in content.lower()]
    return found


@pytest.mark.parametrize("source", ["path", "address"])
@pytest.mark.parametrize("command", ["run", "train tfidf", "train features", "train fine-tuned", "compare"])
def test_nothing_private_is_written(home, source, command, tmp_path):
    folder, address = home
    name, _, approach = command.partition(" ")
    names = ("few.csv" if approach in ("features", "fine-tuned") else "train.csv", "validation.csv")
    files = [str(folder/name) for name in names] if source == "path" else [f"{address}/{name}?token=SECRETKEY" for name in names]
    arguments = [name, "--train-file", files[0], "--validation-file", files[1], "--output-dir", "out"]
    if approach: arguments += ["--approach", approach]
    if approach != "tfidf": arguments += ["--model", str(folder/"tiny")]
    if name == "compare": arguments += ["--tricks", "tfidf,class-weights", "--seeds", "2"]
    done = call(*arguments, cwd=tmp_path, HF_TOKEN="hf_SECRETTOKEN")
    assert done.returncode == 0, done.stderr
    assert left(tmp_path) == []


def test_predictions_are_not_kept(home, tmp_path):
    "A features model labels messages and writes no vector into the cache"
    folder, _ = home
    made = call("train", "--approach", "features", "--train-file", folder/"few.csv", "--validation-file", folder/"validation.csv", "--model", folder/"tiny", "--output-dir", "model", cwd=tmp_path, EMOTION_CACHE=str(tmp_path/"making"))
    assert made.returncode == 0, made.stderr
    done = call("predict", "--model", "model", "--input", folder/"few.csv", "--output", "out.csv", cwd=tmp_path, EMOTION_CACHE=str(tmp_path/"kept"))
    assert done.returncode == 0 and not (tmp_path/"kept").exists()
    cleared = call("cache", "--clear", cwd=tmp_path, EMOTION_CACHE=str(tmp_path/"making"))
    assert cleared.returncode == 0 and not list((tmp_path/"making").glob("features*")) and "removed" in cleared.stdout
    assert call("cache", cwd=tmp_path, EMOTION_CACHE=str(tmp_path/"making")).stdout.startswith("nothing is kept")


def test_all_files_of_a_model_have_one_mode(home, tmp_path):
    folder, _ = home
    for approach in ("tfidf", "features", "fine-tuned"):
        more = ["--model", folder/"tiny"] if approach != "tfidf" else []
        assert call("train", "--approach", approach, "--train-file", folder/"few.csv", *more, "--output-dir", approach, cwd=tmp_path).returncode == 0
        modes = {stat.filemode(path.stat().st_mode) for path in (tmp_path/approach).iterdir()}
        (tmp_path/"neighbour").touch()
        assert modes == {stat.filemode((tmp_path/"neighbour").stat().st_mode)}, approach
