"Pushing a model: the real client over HTTP against a Hub on loopback, and every way in which that can go wrong."
import logging, os, random, signal, subprocess, sys, threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from conftest import ROWS, call, python
from hub_server import Fault, HubServer

from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.production.page import page_card
from emotion_nbdev.production.push import DoubtError, PushError, check_access, plan_push, push

CARD = "---\nlicense: apache-2.0\npipeline_tag: text-classification\n---\n# Moods\n\nAnger, joy or sadness.\n"
PASSING = [429, 500, 503, "cut", "lost"]
BEFORE = ["whoami", "info", "create", "branch", "tree", "preupload", "batch", "upload", "verify", "yaml"]


def contents(folder): return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def write_weights(path, number, seed=0): save_file({"weight": np.random.default_rng(seed).random(number, np.float32)}, path)


@pytest.fixture
def folder(tmp_path):
    "A folder that looks like a model, with one large file"
    made = tmp_path/"moods"
    made.mkdir()
    (made/"README.md").write_text(CARD)
    (made/"config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    write_weights(made/"model.safetensors", 16_000)
    return made


def graph(kind):
    "The bytes of a small graph, and what is wrong with it"
    from onnx import helper
    node, array = helper.make_node("Add", ["a", "a"], ["b"]), helper.make_tensor("a", 1, [2], [1., 2.])
    if kind == "keeps weights outside of the file":
        array.data_location = 1
        array.external_data.add(key="location", value="/etc/passwd")
    if kind == "has an operation that no export writes (evil.example'Add')": node.domain = "evil.example"
    if kind == "has an operation that no export writes ('Loop')": node.op_type = "Loop"
    if kind == "has an array of [1099511627776, 1048576] and 8 bytes for it": array.dims[:] = [2**40, 2**20]
    written = helper.make_model(helper.make_graph([node], "g", [], [], [array])).SerializeToString()
    return written[:-9] if kind == "is no whole ONNX file" else written


@pytest.fixture
def hub(waits, tmp_path):
    "A Hub for the client of this process, with the token of somebody who may write"
    with HubServer() as server: yield server.attach(tmp_path/"cache")


def test_the_client_is_as_before_in_the_end(tmp_path, monkeypatch):
    from huggingface_hub import HfApi, constants, list_repo_files
    monkeypatch.delenv("HF_TOKEN", raising=False)
    before = dict(vars(constants))
    with HubServer() as server:
        server.attach(tmp_path/"cache")
        server.create("casey/moods", **{"README.md": b"x"})
        assert HfApi().whoami()["name"] == "casey" and sorted(list_repo_files("casey/moods")) == [".gitattributes", "README.md"]
    assert dict(vars(constants)) == before and "HF_TOKEN" not in os.environ


def refused(*arguments, error=PushError, **settings):
    "The line of a refusal"
    with pytest.raises(error) as caught: push(*arguments, **settings)
    line = str(caught.value)
    assert "\n" not in line and "hf_" not in line and line.endswith((".", "limits")), line
    assert getattr(caught.value, "exit_code", 2) == (1 if error is not InputError else 2)
    return line


def test_a_new_model(hub, folder, caplog):
    plan = plan_push(folder, "casey/moods", private=True)
    assert str(check_access(plan)) == "Not on the Hub yet; casey will make it, private." and "create" not in hub.steps
    assert push(plan, folder) == f"{hub.address}/casey/moods"
    commit, = hub.pushed("casey/moods")
    assert contents(folder).items() <= commit[2].items() and commit[1] == "Upload model"
    assert hub.repositories["casey/moods"].private and hub.steps.count("upload") == 1 and hub.steps.count("download") == 3
    with caplog.at_level(logging.INFO, "emotion_nbdev"): push(plan, folder)
    assert len(hub.pushed("casey/moods")) == 1 and hub.steps.count("upload") == 1 and "nothing to commit" in caplog.text
    assert hub.steps.count("download") == 6


def test_a_changed_file_goes_alone_and_others_stay(hub, folder):
    hub.create("casey/moods", **{"README.md": CARD.encode(), "moods.png": b"old", "config.json": b"{}"})
    plan = plan_push(folder, "casey/moods")
    target = check_access(plan)
    assert (target.new, target.changed, target.same, target.staying) == (("model.safetensors",), ("config.json",), ("README.md",), ("moods.png",))
    push(plan, folder, target, message="Better weights")
    assert [commit[1] for commit in hub.pushed("casey/moods")] == ["files", "Better weights"] and hub.pushed("casey/moods")[-1][2]["moods.png"] == b"old"


STALE = {"model.onnx": b"a graph", "vocab.txt": b"words", "head.safetensors": b"h", "model-00001-of-00002.safetensors": b"w", "old.safetensors": b"w", "pytorch_model.bin": b"w", "message_digests.json": b"[]"}
KEPT = {"moods.png": b"x", "notes/vocab.txt": b"x", "data.csv": b"x", "notes/a.safetensors": b"x"}


@pytest.mark.parametrize("fault", [None, "lost", 503])
def test_files_of_the_model_that_was_there_are_taken_away(hub, folder, fault):
    hub.create("casey/moods", **STALE, **KEPT)
    if fault: hub.faults = [Fault("commit", fault)]
    plan = plan_push(folder, "casey/moods")
    target = check_access(plan)
    assert target.stale == tuple(sorted(STALE)) and target.staying == tuple(sorted(KEPT))
    assert "Taken away, since they belong to the model that was there: head.safetensors, " in str(target)
    push(plan, folder, target)
    first, second = hub.pushed("casey/moods")
    assert set(second[2]) == {".gitattributes", *KEPT, *contents(folder)} and set(STALE) < set(first[2])
    push(plan, folder)
    assert len(hub.pushed("casey/moods")) == 2


def test_all_is_the_same_but_a_graph_is_left_over(hub, folder):
    push(plan := plan_push(folder, "casey/moods"), folder)
    hub.add("casey/moods", "main", "graph", {"model.onnx": b"old"})
    push(plan, folder)
    assert "model.onnx" not in hub.pushed("casey/moods")[-1][2] and len(hub.pushed("casey/moods")) == 3


GRAPHS = ["keeps weights outside of the file", "has an operation that no export writes (evil.example'Add')", "has an operation that no export writes ('Loop')",
          "has an array of [1099511627776, 1048576] and 8 bytes for it", "is no whole ONNX file"]


@pytest.mark.parametrize("why", [None, *GRAPHS])
def test_a_graph_to_fear_is_told_by_inspect_and_refused_by_push(why, hub, folder, command, monkeypatch):
    (folder/"model.onnx").write_bytes(graph(why))
    for package in ("onnx", "onnxruntime", "openvino"): monkeypatch.setitem(sys.modules, package, None)  # not installed
    looked, pushed = command("inspect", folder), command("push", folder, "casey/moods", "--yes")
    if why is None:
        assert (looked.exit_code, pushed.exit_code) == (0, 0) and "model.onnx" in hub.pushed("casey/moods")[-1][2], pushed.stderr
    else:
        assert looked.exit_code == 1 and f"refused: its model.onnx {why}; delete it, or export the model again" in looked.stdout.splitlines(), looked.stdout
        assert pushed.exit_code == 2 and not hub.steps
        assert pushed.stderr == f"Error: {folder}/model.onnx {why}, so nobody would run it. Delete it, or make it again with: emotion-nbdev export {folder}\n"


@pytest.fixture
def page(tmp_path):
    "A folder that looks like a page, with one large file"
    made = tmp_path/"my-page"
    (made/"vendor").mkdir(parents=True)
    for name in ("index.html", "page.json", "worker.js", "tokenizer.json"): (made/name).write_text(f'"{name}"')
    (made/"README.md").write_text(page_card("Mood?"))
    (made/"model.onnx").write_bytes(graph(None))
    (made/"vendor"/"onnxruntime.wasm").write_bytes(bytes(range(250))*80)
    return made


def test_a_page_becomes_a_static_space(hub, page, command):
    shown = command("push", page, "casey/moods", "--space", "--private", "--dry-run")
    assert shown.exit_code == 0 and not hub.repositories, shown.stderr
    assert "casey/moods, static Space, branch main, private: 7 files" in shown.stderr and "whoever may open the page gets the model" in shown.stderr
    before = contents(page)
    done = command("push", page, "casey/moods", "--space", "--private", "--yes")
    assert done.exit_code == 0 and done.stdout == f"{hub.address}/spaces/casey/moods\n", done.stderr
    commit, = hub.pushed("spaces/casey/moods")
    assert commit[1] == "Upload page" and set(commit[2]) == {".gitattributes", "style.css", *before} and before.items() <= commit[2].items() and contents(page) == before
    assert list(hub.repositories) == ["spaces/casey/moods"] and hub.repositories["spaces/casey/moods"].private and hub.repositories["spaces/casey/moods"].sdk == "static"
    assert hub.steps.count("upload") == 1 and hub.steps.count("download") == 7
    again = command("push", page, "casey/moods", "--space", "--yes")
    assert again.exit_code == 0 and "the same. On the Hub only, and staying there: style.css." in again.stderr and len(hub.pushed("spaces/casey/moods")) == 1
    assert "hf_writer" not in shown.output + done.output + again.output


@pytest.mark.parametrize("step", ["create", "branch", "preupload", "commit", "download"])
def test_a_space_waits_for_what_passes(hub, page, step):
    hub.faults = [Fault(step, "lost")]
    plan = plan_push(page, "casey/moods", revision="v2", space=True)
    assert push(plan, page) == f"{hub.address}/spaces/casey/moods/tree/v2" and hub.faults[0].times == 0
    commit, = hub.pushed("spaces/casey/moods", "v2")
    assert contents(page).items() <= commit[2].items()


def test_a_space_of_others_is_changed_by_a_proposal(hub, page):
    hub.create("spaces/robin/moods", **{"vendor/own.js": b"x"})
    plan = plan_push(page, "robin/moods", create_pr=True, space=True)
    assert push(plan, page) == push(plan, page) == f"{hub.address}/spaces/robin/moods/discussions/1"
    assert hub.pushed("spaces/robin/moods", "refs/pr/1")[-1][2]["vendor/own.js"] == b"x" and list(hub.repositories) == ["spaces/robin/moods"]


def test_what_becomes_no_space(hub, page, folder):
    def line(*given, **settings):
        with pytest.raises(InputError) as caught: plan_push(*given, **settings)
        return str(caught.value)
    assert line(folder, "casey/moods", space=True) == f"{folder} holds no page. Make one with: emotion-nbdev page MODEL --output-dir my-page, and give that folder."
    assert line(page, "casey/moods").endswith("Give the folder of a saved model. For the page that it holds, add --space.")
    hub.create("spaces/casey/moods", sdk="gradio")
    assert "casey/moods is a Space that runs gradio" in refused(plan_push(page, "casey/moods", space=True), page)
    hub.create("spaces/casey/open")
    assert f"Make it private at {hub.address}/spaces/casey/open/settings" in refused(plan_push(page, "casey/open", private=True, space=True), page)
    assert not hub.pushed("spaces/casey/moods") and not hub.pushed("spaces/casey/open")
    (page/"model.onnx").write_bytes(graph(GRAPHS[0]))
    assert line(page, "casey/moods", space=True).endswith("so nobody would run it. Make the page again, from a model that you trust.")
    (page/"README.md").write_text(CARD)
    assert line(page, "casey/moods", space=True) == f"{page}/README.md: its head lacks the line sdk: static. Make the page again."


def test_a_proposal_takes_away_too(hub, folder):
    hub.create("robin/moods", **STALE)
    push(plan := plan_push(folder, "robin/moods", create_pr=True), folder); push(plan, folder)
    assert not set(STALE) & set(hub.pushed("robin/moods", "refs/pr/1")[-1][2]) and set(STALE) < set(hub.pushed("robin/moods")[-1][2])
    assert list(hub.repositories["robin/moods"].refs) == ["main", "refs/pr/1"]


def test_the_plan_says_what_carries_words(hub, folder):
    plain = str(plan_push(folder, "casey/moods"))
    assert "a new repository will be public" in plain and "words" not in plain and "sums of" not in plain
    (folder/"vocabulary.json").write_text("[]"); (folder/"message_digests.json").write_text("[]")
    plan = plan_push(folder, "casey/moods", private=True)
    assert "holds words of the training messages: vocabulary.json" in str(plan) and "public" not in str(plan)
    assert "not uploaded, since it holds sums of the training messages: message_digests.json" in str(plan)
    push(plan, folder)
    assert "message_digests.json" not in hub.pushed("casey/moods")[0][2] and "vocabulary.json" in hub.pushed("casey/moods")[0][2]


def test_a_branch(hub, folder):
    plan = plan_push(folder, "team/moods", revision="release/2")
    assert push(plan, folder) == push(plan, folder) == f"{hub.address}/team/moods/tree/release/2"
    assert len(hub.pushed("team/moods", "release/2")) == 1 and not hub.pushed("team/moods")


def test_a_pull_request_is_made_once(hub, folder):
    hub.create("robin/moods", **{"README.md": b"another"})
    plan = plan_push(folder, "robin/moods", create_pr=True)
    assert push(plan, folder) == push(plan, folder) == f"{hub.address}/robin/moods/discussions/1"
    assert len(hub.pushed("robin/moods")) == 1 and list(hub.repositories["robin/moods"].refs) == ["main", "refs/pr/1"]
    assert contents(folder).items() <= hub.pushed("robin/moods", "refs/pr/1")[-1][2].items()


@pytest.mark.parametrize("what", [503, "cut", "lost", "late"])
def test_a_pull_request_in_doubt_is_not_made_twice(hub, folder, what, monkeypatch):
    if what == "late": monkeypatch.setattr("emotion_nbdev.foundations.patience.ANSWER_WITHIN", .3)
    hub.create("robin/moods")
    hub.faults = [Fault("commit", what)]
    plan = plan_push(folder, "robin/moods", create_pr=True)
    if what in ("lost", "late"): push(plan, folder)
    else:
        assert "wait a minute" in refused(plan, folder, error=DoubtError)
        push(plan, folder)
    assert list(hub.repositories["robin/moods"].refs) == ["main", "refs/pr/1"]


@pytest.mark.parametrize("what", PASSING)
@pytest.mark.parametrize("step", BEFORE + ["commit", "head", "download"])
def test_what_passes_is_waited_for(hub, folder, waits, caplog, capfd, step, what):
    hub.faults = [Fault(step, what, headers={"Retry-After": "7"} if what == 429 else {})]
    before, plan = contents(folder), plan_push(folder, "casey/moods", revision="v2")
    push(plan, folder)
    commit, = hub.pushed("casey/moods", "v2")
    assert contents(folder) == before and before.items() <= commit[2].items() and hub.faults[0].times == 0
    assert (waits and (what != 429 or 7 <= waits[0] <= 8)) or step == "head"  # the client asks for a head twice by itself
    told = caplog.text + "".join(capfd.readouterr())
    assert "hf_writer" not in told and all("\n" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("what", [401, 403, 409, 412, 429, 500, 503, "cut"])
@pytest.mark.parametrize("step", BEFORE + ["commit"])
def test_what_stays_is_told_and_nothing_is_committed(hub, folder, caplog, capfd, step, what):
    hub.faults = [Fault(step, what, times=1000)]
    before, plan = contents(folder), plan_push(folder, "casey/moods", revision="v2")
    line = refused(plan, folder)
    assert contents(folder) == before and not hub.pushed("casey/moods", "v2") and not hub.pushed("casey/moods")
    assert ("Nothing was committed" in line) != (step in ("whoami", "info") or step == "commit" and what in (500, 503, "cut")), line
    assert {401: "/settings/tokens", 403: "--create-pr", 409: "409", 412: "412", 429: "too many", 500: "in trouble (500)", 503: "in trouble (503)", "cut": "connection"}[what] in line or (step, what) == ("branch", 409), line
    assert "hf_writer" not in caplog.text + "".join(capfd.readouterr())
    hub.faults = []
    push(plan, folder)
    assert len(hub.pushed("casey/moods", "v2")) == 1


@pytest.mark.parametrize("step, what", [("download", "corrupt"), *((step, what) for step in ("head", "download") for what in (401, 403, 404, 429, 500, 503, "cut"))])
def test_a_read_back_that_fails_leaves_the_whole_commit(hub, folder, step, what):
    hub.faults = [Fault(step, what, times=1000)]
    plan = plan_push(folder, "casey/moods")
    line = refused(plan, folder)
    commit, = hub.pushed("casey/moods")
    assert contents(folder).items() <= commit[2].items() and "reading back casey/moods" in line and "Nothing" not in line
    hub.faults = []
    push(plan, folder)
    assert len(hub.pushed("casey/moods")) == 1


def test_one_corrupted_download_is_repeated(hub, folder):
    hub.faults = [Fault("download", "corrupt")]
    push(plan_push(folder, "casey/moods"), folder)
    assert hub.steps.count("download") == 4


def test_an_answer_that_never_comes(hub, folder, monkeypatch):
    monkeypatch.setattr("emotion_nbdev.foundations.patience.ANSWER_WITHIN", .2)
    hub.faults = [Fault("commit", "late")]
    push(plan_push(folder, "casey/moods"), folder)
    assert len(hub.pushed("casey/moods")) == 1
    hub.faults = [Fault("whoami", "late", times=1000)]
    assert "no answer from" in refused(plan_push(folder, "casey/moods"), folder)


def test_who_is_asked_to_wait_for_an_hour_is_told(hub, folder, waits):
    hub.faults = [Fault("commit", 429, times=1000, headers={"RateLimit": '"api";r=0;t=3600'})]
    assert "Wait 3600 seconds" in refused(plan_push(folder, "casey/moods"), folder) and not waits


def test_somebody_commits_in_between(hub, folder):
    hub.create("casey/moods")
    hub.meanwhile = lambda step: len(hub.pushed("casey/moods")) or hub.add("casey/moods", "main", "typo", {"README.md": b"theirs"})
    assert "somebody else committed to main" in refused(plan_push(folder, "casey/moods"), folder)
    assert [commit[1] for commit in hub.pushed("casey/moods")] == ["typo"]


def test_a_late_first_answer_does_not_make_a_second_commit(hub, folder):
    hub.create("casey/moods")
    hub.faults = [Fault("commit", 504)]
    hub.meanwhile = lambda step: len(hub.pushed("casey/moods")) or hub.add("casey/moods", "main", "Upload model", contents(folder))
    push(plan_push(folder, "casey/moods"), folder)
    assert len(hub.pushed("casey/moods")) == 1


def test_the_name_is_taken_in_between(hub, folder):
    hub.meanwhile = lambda step: "casey/moods" in hub.repositories or hub.create("casey/moods", **{"theirs.txt": b"x"})
    assert "the name was taken" in refused(plan_push(folder, "casey/moods"), folder)
    assert len(hub.pushed("casey/moods")) == 1


def test_a_public_repository_is_not_taken_for_a_private_one(hub, folder):
    hub.create("casey/moods")
    assert "is public" in refused(plan_push(folder, "casey/moods", private=True), folder) and not hub.pushed("casey/moods")
    hub.create("casey/secret", private=True)
    push(plan_push(folder, "casey/secret", private=True), folder)
    assert len(hub.pushed("casey/secret")) == 1


@pytest.mark.parametrize("token, repo_id, part", [
    ("hf_expired", "casey/moods", "does not accept the token (401)"), ("hf_reader", "casey/moods", "can only read"), ("hf_narrow", "casey/moods", "may not make"),
    ("hf_writer", "robin/moods", "neither you nor"), ("hf_writer", "club/moods", "can only read in club"), (None, "casey/moods", "no token for the Hub")])
def test_who_may_not_write_is_told_before_anything_is_sent(hub, folder, monkeypatch, token, repo_id, part):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(folder/"none"))
    monkeypatch.setenv("HF_TOKEN", token or "")
    assert part in refused(plan_push(folder, repo_id), folder)
    assert not set(hub.steps) - {"whoami", "info"} and not hub.repositories


def test_a_fine_grained_token(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_fine")
    push(plan_push(folder, "casey/moods"), folder)
    assert len(hub.pushed("casey/moods")) == 1


def test_what_the_hub_does_not_take(hub, folder):
    hub.ignored = ("model.safetensors",)
    assert ".gitignore would leave out model.safetensors" in refused(plan_push(folder, "casey/moods"), folder)
    hub.ignored = ()
    (folder/"README.md").write_text("---\nlicense: [mit]\n---\n")
    assert "license must be a string" in refused(plan_push(folder, "casey/moods"), folder)
    assert not hub.pushed("casey/moods")


def test_a_folder_that_changes(hub, folder):
    plan = plan_push(folder, "casey/moods")
    (folder/"config.json").write_text("{}")
    assert "has changed since" in refused(plan, folder, error=InputError)
    plan = plan_push(folder, "casey/moods")
    hub.meanwhile = lambda step: (folder/"README.md").write_text(CARD + "More.\n")
    assert "other sums for, or still has, README.md" in refused(plan, folder)


@pytest.mark.parametrize("make, part", [
    (lambda folder: (folder/"deep").symlink_to(folder.parent), "is a link to a folder"), (lambda folder: (folder/"gone").symlink_to("/nowhere"), "is a link to a file outside"),
    (lambda folder: os.mkfifo(folder/"pipe"), "is no plain file"), (lambda folder: (folder/"README.md").write_bytes(b"\xff\xfe\xff"), "README.md"),
    (lambda folder: (folder/"weights.PT").write_text("x"), "pickled code"), (lambda folder: (folder/"config.json").write_text('{"auto_map": {"AutoModel": "x.Y"}}'), "asks to run code"),
    (lambda folder: (folder/"model.safetensors").write_bytes(b"half"), "nobody could load"),
    (lambda folder: (folder/"model.safetensors.index.json").write_text('{"weight_map": {"a": "weights.bin"}}'), "no safetensors file")])
def test_what_does_not_leave_the_machine(folder, make, part):
    make(folder)
    with pytest.raises(InputError, match=part) as caught: plan_push(folder, "casey/moods")
    assert "\n" not in str(caught.value) and not isinstance(caught.value, PushError)


def test_hidden_files_stay_and_folders_inside_go(hub, folder):
    for name in (".env", ".git/config", "head/.cache/x", "head/weights.safetensors"):
        (folder/name).parent.mkdir(exist_ok=True, parents=True)
        (folder/name).write_text("secret")
    write_weights(folder/"head/weights.safetensors", 2)
    plan = plan_push(folder, "casey/moods")
    assert plan.left_out == (".env", ".git", "head/.cache")
    push(plan, folder)
    assert set(hub.pushed("casey/moods")[0][2]) == {".gitattributes", "README.md", "config.json", "model.safetensors", "head/weights.safetensors"}


def test_xet_out_of_reach(hub, folder, monkeypatch, caplog):
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    push(plan_push(folder, "casey/moods"), folder)
    assert "xet" in hub.steps and "over HTTP" in caplog.text and len(hub.pushed("casey/moods")) == 1


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_checkpoint):
    "A fine-tuned model with a card"
    from emotion_nbdev.fine_tuning import FineTunedClassifier
    pairs = [(text, label) for label, texts in ROWS.items() for text in texts]
    saved = tmp_path_factory.mktemp("models")/"moods"
    FineTunedClassifier(tiny_checkpoint, epochs=1).fit(*map(list, zip(*pairs))).save(saved)
    (saved/"README.md").write_text(CARD)
    return saved


ROUND_TRIP = """
import sys
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.production.push import check_access, plan_push, push
plan = plan_push(sys.argv[1], "casey/moods", private=True)
print(plan, check_access(plan), push(plan, sys.argv[1]), sep="\\n")
from huggingface_hub import snapshot_download
from transformers import pipeline
texts = ["we won", "go away"]
here, there = FineTunedClassifier.load(sys.argv[1]), FineTunedClassifier.load("casey/moods")
assert (here.predict_proba(texts) == there.predict_proba(texts)).all()
classify = pipeline("text-classification", model="casey/moods")
assert [answer["label"] for answer in classify(texts)] == list(here.predict(texts))
print("folder", snapshot_download("casey/moods"))
"""


def test_a_model_goes_out_and_comes_back(model, tmp_path):
    before = contents(model)
    with HubServer(large=1_000_000) as server:
        environment = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path/"home"), "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        done = subprocess.run([sys.executable, "-c", ROUND_TRIP, model], capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        assert len(server.pushed("casey/moods")) == 1 and len(server.storage) == 1 and "hf_writer" not in done.stdout + done.stderr
    assert f"{server.address}/casey/moods\n" in done.stdout and contents(model) == before
    came_back = contents(done.stdout.split("folder ")[1].strip())
    assert {name: came_back[name] for name in before} == before


FORKS = """
import os, sys
import traceback, huggingface_hub, yaml
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, metadata_load
from emotion_nbdev.app.cli import app
from emotion_nbdev.production import push
for line in sys.stdin:
    if not (child := os.fork()):
        try: app(["push", sys.argv[1], line.strip(), "--yes"])
        except SystemExit as end: os._exit(end.code or 0)
        except KeyboardInterrupt: os._exit(130)
        except BaseException: traceback.print_exc()
        os._exit(99)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
MOMENTS = ["whoami", "create", "tree", "preupload", "batch", "upload", "upload", "upload", "verify", "yaml", "commit", "commit", "head", "download"]


def interrupted_pushes(number, folder, server, home, seed=0):
    "Push so many times, each with a Ctrl-C at another moment: exit code -> what the Hub has in the end"
    seen, chance, running = [], random.Random(seed), {}
    environment = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(home), "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def interrupt(step):
        if step == running.get("step") and running.pop("step"): threading.Timer(running["delay"], lambda: running["over"] or os.kill(running["child"], signal.SIGINT)).start()

    server.notice = interrupt
    with subprocess.Popen([sys.executable, "-c", FORKS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(home.parent/"stderr", "w"), text=True, env=environment) as forks:
        for turn in range(number):
            step, repo_id = MOMENTS[turn % len(MOMENTS)], f"casey/moods-{seed}-{turn}"
            server.storage.clear()  # so that each push uploads
            running.update(over=False, delay=chance.random()**2 * .02, step=step)
            forks.stdin.write(repo_id + "\n"); forks.stdin.flush()
            running["child"] = int(forks.stdout.readline())
            while not (line := forks.stdout.readline()).strip().isdigit(): assert line.startswith("http"), line
            running["over"] = True
            seen.append((step, int(line), [set(commit[2]) for commit in server.pushed(repo_id)]))
        forks.stdin.close()
    return seen


def judge_interrupts(seen, folder):
    "After exit 130 nothing is published; else one whole commit, or none and a line"
    for step, code, commits in seen:
        assert code in (0, 1, 130) and len(commits) <= 1 and all(set(contents(folder)) < names for names in commits), (step, code, commits)
        assert code != 130 or not commits, (step, code)
        assert code != 0 or commits, (step, code)


def torture_interrupts(number, place, seed=0):
    "So many interrupted pushes, judged; their exit codes"
    folder = place/"moods"
    folder.mkdir()
    (folder/"README.md").write_text(CARD); (folder/"config.json").write_text("{}")
    write_weights(folder/"model.safetensors", 2_000_000)
    with HubServer() as server: seen = interrupted_pushes(number, folder, server, place/"home", seed)
    judge_interrupts(seen, folder)
    return [code for _, code, _ in seen]


def test_an_interrupted_push_publishes_nothing_behind_your_back(tmp_path):
    codes = torture_interrupts(2 * len(MOMENTS), tmp_path)
    assert codes.count(130) > len(codes) / 5, codes


def test_offline(folder, monkeypatch, waits):
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    assert "Check the network" in refused(plan_push(folder, "casey/moods"), folder) and waits == [1, 2, 4, 8]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(plan_push(folder, "casey/moods"), folder)


def test_the_command(tmp_path, csv_file):
    csv_file("train.csv", {label: texts * 4 for label, texts in ROWS.items()}); csv_file("validation.csv")
    assert call("train", "--approach", "tfidf", "--train-file", "train.csv", "--validation-file", "validation.csv", "--output-dir", "moods", cwd=tmp_path).returncode == 0
    def as_the_card_says(**environment):
        code = (tmp_path/"moods"/"README.md").read_text().split("```python\n")[1].split("```")[0]
        done = python(code, cwd=tmp_path, **environment)
        return code, done.stdout, done.stderr
    code, answers, said = as_the_card_says()
    assert 'model = "moods"' in code and len(answers.splitlines()) == 2, said
    with HubServer() as server:
        environment = dict(HF_ENDPOINT=server.address, HF_HOME=str(tmp_path/"cache"), HF_TOKEN="hf_writer", HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
        shown = call("push", "moods", "casey/moods", "--dry-run", cwd=tmp_path, **environment)
        assert shown.returncode == 0 and "casey/moods, branch main: 8 files" in shown.stderr and shown.stdout == "" and not server.repositories, shown.stderr
        done = call("push", "moods", "casey/moods", "--yes", cwd=tmp_path, **environment)
        assert done.returncode == 0 and done.stdout == f"{server.address}/casey/moods\n" and len(server.pushed("casey/moods")) == 1, done.stderr
        code, again, said = as_the_card_says(**environment)
        assert 'model = "casey/moods"' in code and again == answers, said
        looked = call("inspect", "casey/moods", cwd=tmp_path, **environment)
        assert looked.returncode == 0 and "tfidf, format 2; classes: anger, joy, sadness" in looked.stdout, looked.stderr
        answered = call("predict", "--model", "casey/moods", "first salary and first sofa", cwd=tmp_path, **environment)
        assert answered.returncode == 0 and "joy" in answered.stdout, answered.stderr
        refused = call("push", "moods", "casey/other", "--yes", cwd=tmp_path, **environment | {"HF_TOKEN": "hf_reader"})
        assert refused.returncode == 1 and refused.stderr.splitlines()[-1].startswith("Error: casey/other: your token can only read") and "hf_reader" not in refused.stderr, refused.stderr
