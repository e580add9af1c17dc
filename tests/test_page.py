"What a model's page is made of: the files of others as they were published, nothing from elsewhere, and one line for a model that cannot have one."
import hashlib, json, re, shutil, subprocess

import pytest

from conftest import ROWS
from emotion_nbdev.app.ladder import make_classifier
from emotion_nbdev.evaluation import METRICS
from emotion_nbdev.fine_tuning import FineTunedClassifier
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.production import batches, page as pages
from emotion_nbdev.production.artefacts import PROBES, save
from emotion_nbdev.production.card import COLUMNS
from emotion_nbdev.production.graphs import export_onnx
from emotion_nbdev.production.page import about, ASSETS, OWN, VENDORED, vendored, write_page

TEXTS = [text for texts in ROWS.values() for text in texts]
PUBLISHED = {"onnxruntime-web@1.30.0": {"onnxruntime.js": "ort.wasm.bundle.min.mjs", "onnxruntime.wasm": "ort-wasm-simd-threaded.wasm"}, "@huggingface/tokenizers@0.2.0": {"tokenizers.js": "tokenizers.min.mjs"}}


@pytest.fixture(scope="module")
def model(tiny_checkpoint, tmp_path_factory):
    "Its labels are numbers, of which the tenth comes after the second"
    folder, labels = tmp_path_factory.mktemp("page")/"model", [10, 2, 7] * 3
    save(FineTunedClassifier(str(tiny_checkpoint), epochs=1).fit(TEXTS, labels), folder)
    export_onnx(folder, TEXTS, labels)
    return folder


def test_a_page_is_whole_and_holds_nothing_of_the_training(model, tmp_path):
    page = write_page(str(model), tmp_path/"deep"/"my-page", examples=["one", "two"])
    told = json.loads((page/"page.json").read_text())
    assert told["classes"] == ["2", "7", "10"] and sorted(told["columns"]) == [0, 1, 2]
    assert told["limit"] == 64 and told["temperature"] == 1 and told["threshold"] is None
    assert [probe["text"] for probe in told["probes"]] == list(PROBES) and told["examples"] == ["one", "two"]
    assert {name: (page/name).stat().st_size for name in told["sizes"]} == told["sizes"]
    assert "No figures came with this model" in told["about"]
    tokenizer = json.loads((page/"tokenizer.json").read_text())
    assert tokenizer["truncation"] is tokenizer["padding"] is None
    assert not any(text.encode() in path.read_bytes() for path in page.rglob("*") if path.is_file() for text in TEXTS)
    for name in VENDORED:
        assert hashlib.sha256((page/"vendor"/name).read_bytes()).hexdigest() == VENDORED[name]


def test_our_files_name_no_other_host_and_set_no_html():
    for name in OWN:
        text = (ASSETS/name).read_text(encoding="utf-8")
        assert set(re.findall(r"(?:https?:)?//[a-z][\w.]*", text)) <= {"http://localhost"}, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|unsafe-inline|\bstyle=|\son\w+=\"", text), name
    policy = re.search(r'Content-Security-Policy" content="([^"]*)', (ASSETS/"index.html").read_text())[1]
    assert policy.startswith("default-src 'none';") and "http" not in policy and "*" not in policy
    assert policy.split("script-src ")[1].split(";")[0] == "'self' 'wasm-unsafe-eval'"


def test_the_browser_knows_the_same_formulas_as_python():
    source = (ASSETS/"page.js").read_text(encoding="utf-8")
    unseen = "".join(re.findall(r'"([^"]*)"', source[source.index("const UNSEEN"):source.index("const FORMULA")]))
    unseen = re.sub(r"\\u\{(\w+)\}", lambda found: f"\\U{int(found[1], 16):08x}", unseen.replace("\\\\", "\\"))
    assert unseen == batches.UNSEEN
    assert batches.SIGNS.replace("\\", "\\\\") in source


@pytest.mark.parametrize("damage", ["missing", "changed", "cut"])
def test_changed_files_of_others_are_not_written(damage, model, tmp_path, monkeypatch):
    shutil.copytree(ASSETS, tmp_path/"page")
    monkeypatch.setattr(pages, "ASSETS", tmp_path/"page")
    engine = tmp_path/"page"/"vendor"/"onnxruntime.wasm.xz"
    if damage == "missing":
        engine.unlink()
    elif damage == "cut":
        engine.write_bytes(engine.read_bytes()[:-1000])
    else:
        with open(tmp_path/"page"/"vendor"/"tokenizers.js", "a") as file:
            file.write("fetch('/')")
    with pytest.raises(InputError, match="is missing or was changed. Install it again with: pip install"):
        write_page(model, tmp_path/"my-page")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_files_of_others_are_those_of_npm(tmp_path):
    if not shutil.which("npm"):
        pytest.skip("no npm")
    for package, files in PUBLISHED.items():
        try:
            done = subprocess.run(["npm", "pack", "--silent", package], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            pytest.skip("npm's registry cannot be reached")
        if done.returncode:
            pytest.skip("npm's registry cannot be reached")
        shutil.unpack_archive(tmp_path/done.stdout.strip().splitlines()[-1], tmp_path/"unpacked", "gztar")
        for name, published in files.items():
            assert (tmp_path/"unpacked"/"package"/"dist"/published).read_bytes() == vendored(name)
        assert f'"version": "{package.rpartition("@")[2]}"' in (tmp_path/"unpacked"/"package"/"package.json").read_text()
        shutil.rmtree(tmp_path/"unpacked")


def test_what_cannot_have_a_page_is_refused_in_one_line(model, tmp_path):
    save(make_classifier("tfidf").fit(TEXTS * 5, ["a", "b", "c"] * 15), tmp_path/"tfidf")
    for name in ("bare", "torn"):
        shutil.copytree(model, tmp_path/name)
    (tmp_path/"bare"/"model.onnx").unlink()
    (tmp_path/"torn"/"metrics.json").write_text("[")
    cases = (("tfidf", {}, "a page runs a fine-tuned model, this one is tfidf"), ("bare", {}, "no model.onnx. Make it with: emotion-nbdev export"), ("torn", {}, "metrics.json is damaged"), ("nowhere/at/all", {}, "no such folder"),
             (model, {"temperature": 0}, "temperature 0"), (model, {"temperature": float("nan")}, "temperature nan"), (model, {"threshold": float("inf")}, "threshold inf is no probability"), (model, {"threshold": 0}, "threshold 0"), (model, {"examples": "one"}, "a single text was given"))
    for folder, options, message in cases:
        with pytest.raises(InputError, match=re.escape(message)) as error:
            write_page(tmp_path/folder, tmp_path/"my-page", **options)
        assert "\n" not in str(error.value) and not (tmp_path/"my-page").exists()
    (tmp_path/"there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write_page(model, tmp_path/"there")


def test_figures_name_their_split_size_and_interval():
    row = {column: [] for column in COLUMNS} | {"approach": "fine-tuned", "split": "validation", "n": 1234}
    row |= {name: .5 for name in METRICS} | {f"{name}_interval": [.4, .6] for name in METRICS}
    rows = [row, row | {"approach": "majority", "accuracy": .3}]
    text = about({"approach": "fine-tuned"}, rows, ["a", "b"], 512)
    assert "1,234 messages of its validation split" in text and "0.500 [0.400, 0.600]" in text and "most frequent class has 0.300" in text and "slightly too good" in text
    text = about({"approach": "fine-tuned"}, [*rows, row | {"split": "test", "n": 99}], ["a", "b"], 512)
    assert "99 messages of its test split" in text and "too good" not in text and "1,234" not in text
