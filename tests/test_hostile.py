"Folders that somebody made to break a loader: each is refused in one line or answers; no traceback, no hang, no gigabyte."
import json, os, random, shutil, struct, subprocess, sys, time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from emotion_nbdev.foundations.checkpoints import dangers, resolve_checkpoint
from emotion_nbdev.foundations.core import InputError


def settings(name="config.json", **changes):
    "A change of settings in a file of JSON"
    def harm(folder, chance):
        content = json.loads((folder/name).read_text()) if (folder/name).is_file() else {}
        (folder/name).write_text(json.dumps(content | changes))
    return harm


def text(name, content):
    "Another content of a file"
    def harm(folder, chance): (folder/name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return harm


def header(change):
    "Another header of the weights, of the right length"
    def harm(folder, chance):
        raw = (folder/"model.safetensors").read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        changed = json.dumps(change(json.loads(raw[8:8 + length]))).encode()
        (folder/"model.safetensors").write_bytes(struct.pack("<Q", len(changed)) + changed + raw[8 + length:])
    return harm


def number(value, kind=np.float32):
    "One number of the weights is another one"
    def harm(folder, chance):
        arrays = load_file(folder/"model.safetensors")
        name = chance.choice(sorted(arrays))
        changed = arrays[name].copy()
        changed.flat[chance.randrange(changed.size)] = value
        save_file({name: array.astype(kind) for name, array in (arrays | {name: changed}).items()}, folder/"model.safetensors")
    return harm


def sparse(name, size):
    "A file that says that it is large and holds nothing"
    def harm(folder, chance):
        with open(folder/name, "r+b" if (folder/name).is_file() else "wb") as file: file.truncate(size)
    return harm


def sparse_weights(folder, chance):
    "A whole safetensors file of a terabyte of nothing"
    about = json.dumps({"a": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    (folder/"model.safetensors").write_bytes(struct.pack("<Q", len(about)) + about)
    os.truncate(folder/"model.safetensors", 8 + len(about) + 2**40)


def instead(name, make):
    "Something else in the place of a file"
    def harm(folder, chance):
        (folder/name).unlink(missing_ok=True)
        make(folder/name)
    return harm


def many(folder, chance):
    for number in range(10_001): (folder/f"note-{number}").touch()


def first(about): return next(name for name in about if name != "__metadata__")


HOSTILE = {
    **{f"{key} {value!r:.20}": (settings(**{key: value}), True) for key in ("hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads", "intermediate_size", "max_position_embeddings", "type_vocab_size")
       for value in (10**9, -1, "768", 1.5, True, 10**400)},
    "many layers": (settings(num_hidden_layers=999), False), "wide": (settings(hidden_size=99_999), True), "long": (settings(max_position_embeddings=99_999_999), True),
    "classes without end": (settings(num_labels=10**9, id2label=None, label2id=None), True),
    "id2label a list": (settings(id2label=["a", "b"]), True), "id2label text": (settings(id2label="a"), True), "id2label of names": (settings(id2label={"a": "b"}), True),
    "id2label with a hole": (settings(id2label={"0": "a", "2": "b"}, label2id=None), True), "one name twice": (settings(id2label={"0": "a", "1": "a"}, label2id=None), True),
    "a name that draws": (settings(id2label={"0": "\x1b[2J", "1": "b"}, label2id=None), True), "half a character": (settings(id2label={"0": "\ud800", "1": "b"}, label2id=None), True),
    "label2id another": (settings(id2label={"0": "a", "1": "b"}, label2id={"a": 1, "b": 0}), True), "label2id beyond": (settings(id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 99}), True),
    **{f"quantised {method}": (settings(quantization_config={"quant_method": method}), True) for method in ("bitsandbytes", "gptq", "awq", None)}, "quantised text": (settings(quantization_config="gptq"), True),
    "config a list": (text("config.json", "[]"), True), "config a number": (text("config.json", "7"), True), "config null": (text("config.json", "null"), True), "config half": (text("config.json", '{"a": '), True),
    "config deep": (text("config.json", '{"a":' * 300 + "1" + "}" * 300), True), "config bottomless": (text("config.json", '{"a":' * 10**6), True), "config binary": (text("config.json", b"\xff\xfe\x00"), True),
    "config empty": (text("config.json", ""), True), "config large": (sparse("config.json", 10**9), True), "a number without end": (text("config.json", '{"a": ' + "9" * 10_000 + "}"), True),
    "model_type a list": (settings(model_type=["bert"]), False), "model_type a path": (settings(model_type="../bert"), False), "architectures a number": (settings(architectures=5), True), "heads a table": (settings(num_attention_heads={"a": 1}), True), "dropout text": (settings(hidden_dropout_prob="0.1"), False),
    "eps text": (settings(layer_norm_eps="tiny"), False), "activation none": (settings(hidden_act="os.system"), False), "activation a list": (settings(hidden_act=["gelu"]), False), "dtype none": (settings(dtype="evil", torch_dtype="evil"), False),
    "padding beyond": (settings(pad_token_id=10**6), False), "code": (settings(auto_map={"AutoModel": "x.Y"}), True), "attention from afar": (settings(attn_implementation="kernels/x"), True),
    "weights elsewhere": (settings(transformers_weights="/x.safetensors"), True), "weights in a pickle": (settings(transformers_weights="x.bin"), True),
    "index of pickles": (settings("model.safetensors.index.json", weight_map={"a": "weights.bin"}), True), "index that leaves": (settings("model.safetensors.index.json", weight_map={"a": "../a.safetensors"}), True),
    "index a list": (text("model.safetensors.index.json", "[]"), True), "index half": (text("model.safetensors.index.json", "{"), True), "an adapter": (settings("adapter_config.json", base_model_name_or_path="x/y", peft_type="LORA"), True),
    **{f"number {value}": (number(value), True) for value in (np.nan, np.inf, -np.inf)}, "number inf, half": (number(np.inf, np.float16), True), "number nan, double": (number(np.nan, np.float64), True),
    "header beyond": (text("model.safetensors", struct.pack("<Q", 2**60) + b"{}"), True), "header large": (text("model.safetensors", struct.pack("<Q", 50_000_000) + b" " * 50_000_000), True), "header empty": (text("model.safetensors", b""), True),
    "header half": (text("model.safetensors", struct.pack("<Q", 20) + b'{"a":'), True), "header a list": (text("model.safetensors", struct.pack("<Q", 2) + b"[]"), True), "header deep": (text("model.safetensors", struct.pack("<Q", 10**6) + b"[" * 10**6), True),
    "a shape without end": (header(lambda about: about | {first(about): {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}), True), "a shape below": (header(lambda about: about | {first(about): {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}), True),
    "an unknown dtype": (header(lambda about: about | {first(about): {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}), True), "two in one place": (header(lambda about: about | {"again": about[first(about)]}), True),
    "arrays missing": (header(lambda about: {}), True), "a terabyte of nothing": (sparse_weights, True), "weights cut": (sparse("model.safetensors", 50_000), True), "weights longer": (sparse("model.safetensors", 10**10), True),
    "a pipe for weights": (instead("model.safetensors", os.mkfifo), True), "a pipe for a config": (instead("config.json", os.mkfifo), True), "a pipe beside": (instead("notes.txt", os.mkfifo), True), "a folder for weights": (instead("model.safetensors", os.mkdir), True),
    "a loop": (instead("config.json", lambda path: path.symlink_to("config.json")), True), "a loop of folders": (instead("more", lambda path: path.symlink_to(".")), False), "a link away": (instead("notes.txt", lambda path: path.symlink_to("/etc/hostname")), True),
    "an endless file": (instead("tokenizer.json", lambda path: path.symlink_to("/dev/zero")), True), "a broken link": (instead("tokenizer.json", lambda path: path.symlink_to("nowhere")), True), "ten thousand files": (many, True),
    "tokenizer large": (sparse("tokenizer.json", 10**9), True), "tokenizer deep": (text("tokenizer.json", "[" * 200 + "]" * 200), True), "tokenizer half": (text("tokenizer.json", "{"), True), "tokenizer a list": (text("tokenizer.json", "[]"), False),
    "tokenizer empty": (text("tokenizer.json", "{}"), False), "tokenizer of nothing": (settings("tokenizer.json", model={"type": "WordPiece", "vocab": {}, "unk_token": "[UNK]"}), False), "tokenizer of another kind": (settings("tokenizer.json", model={"type": "Evil"}), False),
    "ids beyond": (settings("tokenizer.json", model={"type": "WordLevel", "vocab": {"[UNK]": 10**8, "a": 1}, "unk_token": "[UNK]"}), False), "tokenizer settings a list": (text("tokenizer_config.json", "[]"), False),
    **{f"length {value!r}": (settings("tokenizer_config.json", model_max_length=value), True) for value in ("512", -5, 0, [], True)}, "tokenizer elsewhere": (settings("tokenizer_config.json", tokenizer_file="/etc/passwd"), True),
    "tokenizer class": (settings("tokenizer_config.json", tokenizer_class="EvilTokenizer"), False), "padding token a number": (settings("tokenizer_config.json", pad_token=5), False), "added tokens text": (settings("tokenizer_config.json", added_tokens_decoder={"x": "y"}), False),
}


def flipped(folder, chance):
    "One byte of one file is another one"
    path = chance.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    raw = bytearray(path.read_bytes())
    place = chance.randrange(min(len(raw), 4_000))
    raw[place] ^= 1 << chance.randrange(8)
    path.write_bytes(raw)


def cut(folder, chance):
    "One file ends early"
    path = chance.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    os.truncate(path, chance.randrange(path.stat().st_size))


def odd_setting(folder, chance):
    "One setting of one file has a value of another kind"
    name = chance.choice(["config.json", "tokenizer_config.json", "tokenizer.json"])
    content = json.loads((folder/name).read_text())
    content[chance.choice(sorted(content))] = chance.choice([None, -1, 0, 10**12, 1e308, "", "x", [], {}, [[]], {"a": {}}, True, "\ud800", "/etc/passwd", "../x"])
    (folder/name).write_text(json.dumps(content))


def hostile_folders(checkpoint, place, number=0, seed=0):
    "Yield (what was done, whether it must be refused, folder): all kinds by name, then so many at random"
    chance = random.Random(seed)
    kinds = list(HOSTILE.items()) + [(f"{harm.__name__} {seed}-{turn}", (harm, False)) for turn in range(number) for harm in [chance.choice([flipped, cut, odd_setting])]]
    for turn, (what, (harm, certain)) in enumerate(kinds):
        folder = place/f"hostile-{turn}"
        shutil.copytree(checkpoint, folder)
        harm(folder, chance)
        yield what, certain, folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory, tiny_checkpoint):
    "A checkpoint with a head of two classes"
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    folder = tmp_path_factory.mktemp("classifier")/"model"
    shutil.copytree(tiny_checkpoint, folder)
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(tiny_checkpoint, id2label={0: "anger", 1: "joy"}, label2id={"anger": 0, "joy": 1})
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_the_folder_itself_is_well(classifier): assert dangers(classifier) == [] and resolve_checkpoint(classifier) == classifier


LOOK = """
import json, os, sys, time, traceback  # ru_maxrss would begin with that of the process that began this one
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a library prints
from emotion_nbdev.foundations.checkpoints import resolve_checkpoint
from emotion_nbdev.foundations.core import InputError
if len(sys.argv) > 1: from emotion_nbdev.fine_tuning import FineTunedClassifier
for line in sys.stdin:
    folder, started, why = line.strip(), time.monotonic(), "loaded"
    try:
        resolve_checkpoint(folder)
        if len(sys.argv) > 1: FineTunedClassifier.load(folder).predict_proba(["what a day"])
    except InputError as error: why = f"refused: {error}"
    except BaseException: why = traceback.format_exc()
    print(json.dumps([why, time.monotonic() - started, int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024]), file=answers, flush=True)
"""


def looking_process(load):
    return subprocess.Popen([sys.executable, "-c", LOOK, *["load"] * load], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def looked_at(checkpoint, place, number, seed=0, load=False):
    "What becomes of each hostile folder, in a process of its own: (what was done, must be refused, what happened, seconds, MiB)"
    found, looking = [], looking_process(load)
    for what, certain, folder in hostile_folders(checkpoint, place, number, seed):
        print(folder, file=looking.stdin, flush=True)
        if line := looking.stdout.readline(): found.append((what, certain, *json.loads(line)))
        else: found.append((what, certain, f"died: {looking.wait()}", 0, 0)); looking = looking_process(load)
        shutil.rmtree(folder)
    looking.communicate()
    return found


def test_hostile_folders_are_refused_before_anything_is_loaded(classifier, tmp_path):
    for what, certain, why, seconds, mebibytes in looked_at(classifier, tmp_path, number=150):
        assert why == "loaded" or why.startswith("refused: ") and "\n" not in why and len(why) < 600, (what, why)
        assert not certain or why.startswith("refused: "), what
        assert seconds < 5 and mebibytes < 1024, (what, seconds, mebibytes)


@pytest.mark.parametrize("name", ["~nouser/x", "a" * 5000, "a\0b", "", "http://x/y", "a b/c", "--x", "x/..", "a" * 200 + "/b", "\ud800", "/dev/null", "x" * 300])
def test_names_that_are_none(name, monkeypatch, tmp_path):
    from emotion_nbdev.production.push import plan_push
    monkeypatch.chdir(tmp_path)
    for use in (resolve_checkpoint, lambda name: plan_push(name, "casey/moods")):
        with pytest.raises(InputError) as caught: use(name)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_a_push_of_a_loop_is_one_line(tmp_path):
    from emotion_nbdev.production.push import plan_push
    (tmp_path/"loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop is no plain file"): plan_push(tmp_path, "casey/moods")


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    import hostile
    return hostile.honest_models(tmp_path_factory.mktemp("honest"), pieces=False)


def test_a_sample_of_hostile_models(honest, tmp_path):
    "Each is answered or refused in one line, within bounds; 850 folders and 240 graphs: python tests/hostile.py 850 240"
    import hostile
    found, wrong = hostile.trials(tmp_path, 20_000, 20, 14, say=lambda *told: None, models=honest)
    assert not wrong, "\n".join(wrong)
    assert found["refused"] > 10 and found["same"] > 3, found


def refused(folder, what, dtype=None):
    from emotion_nbdev.production.artefacts import load
    with pytest.raises(InputError, match=what) as caught: load(folder, dtype=dtype).predict_proba(["what a day"])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return str(caught.value)


@pytest.fixture
def changed(honest, tmp_path):
    "A copy of an honest model with other content of one file of JSON"
    def change(kind, name="training.json", **content):
        folder = tmp_path/f"changed-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(honest[kind], folder)
        settings(name, **content)(folder, random.Random(0))
        return folder
    return change


@pytest.mark.parametrize("pattern", [r"(\w+\s?)*!", r"\w+", "(", 5, None])
def test_tokens_of_a_tfidf_are_of_a_fixed_set(pattern, changed): refused(changed("tfidf", settings={"ngram_range": [1, 2], "token_pattern": pattern}), "token_pattern .* is none of those")


@pytest.mark.parametrize("settings", [{"ngram_range": [1, 10**9]}, {"ngram_range": [2, 1]}, {"ngram_range": "12"}, {"ngram_range": None}, {}, []])
def test_other_settings_of_a_tfidf(settings, changed): refused(changed("tfidf", settings=settings and {"token_pattern": r"(?u)\b\w\w+\b", **settings}), "is damaged|no record")


@pytest.mark.parametrize("record", [{"format": True}, {"format": 0}, {"classes": "abc"}, {"classes": ["a", "a", "b"]}, {"classes": [["a"], "b", "c"]}, {"approach": ["tfidf"]}, {"settings": 7}])
def test_records_that_are_none(record, changed): refused(changed("tfidf", **record), "no record of a saved model")


def test_bytes_that_are_no_text(honest, tmp_path):
    shutil.copytree(honest["tfidf"], tmp_path/"model")
    (tmp_path/"model"/"vocabulary.json").write_bytes(b'["a\xf2"]')
    refused(tmp_path/"model", "is damaged")


@pytest.mark.parametrize("content, why", [({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}}, "for ever"),
                                          ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}] * 12}}, "longer without end")])
def test_tokenizers_that_take_for_ever(content, why, changed): refused(changed("fine-tuned", "tokenizer.json", **content), why)


def test_a_head_of_another_model_and_weights_too_large(honest, tmp_path):
    folder = tmp_path/"majority"
    shutil.copytree(honest["majority"], folder)
    shutil.copy(honest["tfidf"]/"head.safetensors", folder)
    refused(folder, "not that of a majority")
    folder = tmp_path/"tuned"
    shutil.copytree(honest["fine-tuned"], folder)
    weights = load_file(folder/"model.safetensors")
    save_file({name: array * np.float32(1e30) for name, array in weights.items()}, folder/"model.safetensors")
    refused(folder, "no numbers: its weights are damaged, or too large")


def test_settings_with_which_nothing_can_be_computed(changed): refused(changed("fine-tuned", "config.json", chunk_size_feed_forward="x"), "cannot compute|cannot be loaded")


GRAPHS = {"loop": "within a node", "branches": "within a node", "expression": "no export writes|has texts", "foreign": "no export writes", "fill": "no export writes", "many": "nodes",
          "outer": "cannot be used|no whole", "expand": "cannot be used|bytes for it", "expand later": "cannot be used", "tile": "cannot be used", "doubling": "cannot be used", "range": "cannot be used"}


@pytest.mark.parametrize("engine", [None, "auto"])
@pytest.mark.parametrize("kind", GRAPHS)
def test_graphs_that_cost_without_end(kind, engine, honest, tmp_path):
    import hostile, onnx
    class Large(random.Random):
        def choice(self, some): return max(some) if all(isinstance(one, int) for one in some) else some[0]
    folder = tmp_path/"model"
    shutil.copytree(honest["graph"], folder)
    model = onnx.load(folder/"model.onnx")
    nodes, arrays = hostile.nodes_of(kind, Large(0))
    before = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *before, onnx.helper.make_node("Add", [model.graph.output[0].name, "cost"], ["dearer"])])
    model.graph.initializer.extend(arrays)
    model.graph.output[0].name = "dearer"
    (folder/"model.onnx").write_bytes(model.SerializeToString())
    refused(folder, GRAPHS[kind], engine)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ["RuntimeGraph", "OpenVinoGraph"])
def test_a_graph_that_takes_too_long_is_stopped(name, count, tmp_path, monkeypatch):
    "Two hundred products, which would take half a minute"
    from onnx import helper, numpy_helper
    from emotion_nbdev.production import graphs
    monkeypatch.setattr(graphs, "seconds_for", lambda *_: .5)
    monkeypatch.setattr(graphs, "require_shape", lambda *_: None)  # OpenVINO would not be given it
    def node(*given, **settings): return helper.make_node(*given, **settings)
    nodes = [node("Cast", ["input_ids"], ["numbers"], to=1), node("ReduceMean", ["numbers"], ["one"], keepdims=0), node("Expand", ["one", "shape"], ["p0"]),
             *(node("MatMul", [f"p{turn}", "p0"], [f"p{turn + 1}"]) for turn in range(200)), node("ReduceMean", ["p200"], ["end"], keepdims=0)]
    given, returned = helper.make_tensor_value_info("input_ids", 7, ["batch", "tokens"]), helper.make_tensor_value_info("end", 1, [])
    graph = helper.make_graph(nodes, "g", [given], [returned], [numpy_helper.from_array(np.array([2000, 2000]), "shape")])
    (tmp_path/"model.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    opened, began = getattr(graphs, name)(tmp_path/"model.onnx"), time.monotonic()
    batches = [(turn, {"input_ids": np.ones((1, 2), int)}) for turn in range(count)]
    with pytest.raises(InputError, match=r"model.onnx: cannot be used \((the ONNX Runtime|OpenVINO) says: it takes longer than 0 seconds\)"): list(opened.run(batches))
    assert time.monotonic() - began < 5
