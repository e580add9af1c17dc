"""Folders and graphs that somebody made to break a loader, as many as one likes, each from a seed; and what becomes of them in processes of their own.

    python tests/hostile.py 850 240            # so many folders and graphs; prints its seed, the counts, and whatever was wrong
    python tests/hostile.py 10 0 --seed 1234   # folders again, by the number that is printed with each
"""
import argparse, contextlib, json, os, random, shutil, signal, struct, sys, tempfile, time
from collections import Counter
from pathlib import Path

os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # a closed port

TEXTS = ["we won in the last minute", "nobody came to the party", "", "so long " * 60 + "\N{PARTY POPPER}"]
SECONDS, MEBIBYTES = 30, 4096
ODD = [None, -1, 0, 1, 2, 7, 10**6, 10**12, 10**400, 1e308, -.5, float("nan"), float("inf"), "", "x", "\ud800", "\x1b[2J", "/etc/passwd", "../x", "a" * 10**6, [], {}, [[]], {"a": {}}, True, False,
       [0] * 10**5, ["x"] * 3, {str(number): number for number in range(1000)}, "(a+)+$", "(\\w*\\s*)*x", "auto", "float32", "cls", "mean"]
SIZES = ["num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads", "intermediate_size", "max_position_embeddings", "type_vocab_size", "pad_token_id", "num_labels", "chunk_size_feed_forward"]


def honest_models(place, pieces=True):
    "A folder for each approach, three of several pieces, and two with a graph: kind -> folder"
    import torch
    from transformers import BertConfig, BertModel
    from conftest import ROWS
    from emotion_nbdev.beyond.tricks import find_trick, trick_classifier
    from emotion_nbdev.classifiers import MajorityClassifier, TfidfClassifier, features_classifier
    from emotion_nbdev.fine_tuning import FineTunedClassifier
    from emotion_nbdev.production.artefacts import save
    from emotion_nbdev.production.graphs import export_onnx
    from emotion_nbdev.tokenization import load_tokenizer
    os.environ["EMOTION_CACHE"] = str(place/"cache")
    labels, texts = map(list, zip(*((label, f"{text} {number}") for number in range(3) for label, some in ROWS.items() for text in some)))
    checkpoint, tokenizer = place/"checkpoint", load_tokenizer()
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64)
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(checkpoint)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(checkpoint)
    made = {"majority": MajorityClassifier(), "tfidf": TfidfClassifier(min_df=1), "features": features_classifier(checkpoint).set_params(features__dtype="float32", features__cache=False), "fine-tuned": FineTunedClassifier(checkpoint, epochs=1)}
    if pieces: made |= {name: trick_classifier(find_trick(name, "features")[1], str(checkpoint), sorted(ROWS), 3) for name in ("with-tfidf", "vote-with-tfidf", "stack-with-tfidf", "mean-and-cls")}
    for kind, classifier in made.items(): save(classifier.fit(texts, labels), place/kind)
    for kind, int8 in ({"graph": False, "graph in 8 bits": True} if pieces else {"graph": False}).items():
        shutil.copytree(place/"fine-tuned", place/kind)
        with contextlib.suppress(Exception): export_onnx(place/kind, texts * 4, labels * 4, int8)
    return {kind: place/kind for kind in [*made, "graph", "graph in 8 bits"] if kind in made or (place/kind/"model.onnx").is_file()}


# files of any kind

def some_file(folder, chance, ending=""): return chance.choice(sorted(path for path in folder.iterdir() if path.name.endswith(ending) and path.is_file() and not path.is_symlink()) or [folder/f"new{ending}"])


def flipped(folder, chance, others):
    path = some_file(folder, chance)
    raw = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 1, 1, 20])): raw[chance.randrange(min(len(raw), chance.choice([200, 4000, 10**9])))] ^= 1 << chance.randrange(8)
    path.write_bytes(raw)


def cut(folder, chance, others):
    path = some_file(folder, chance)
    os.truncate(path, chance.choice([0, 1, 8, chance.randrange(path.stat().st_size)]))


def twice(folder, chance, others):
    path = some_file(folder, chance)
    path.write_bytes(path.read_bytes() * 2)


def swapped(folder, chance, others):
    one, two = some_file(folder, chance), some_file(folder, chance)
    held = one.read_bytes()
    one.write_bytes(two.read_bytes()), two.write_bytes(held)


def foreign(folder, chance, others):
    path = some_file(chance.choice(others), chance)
    shutil.copy(path, folder/path.name)


def gone(folder, chance, others): some_file(folder, chance).unlink()


def in_its_place(folder, chance, others):
    path = some_file(folder, chance)
    if chance.random() < .2: path = folder/("new" + path.suffix)
    path.unlink(missing_ok=True)
    chance.choice([os.mkfifo, os.mkdir, *(lambda path, target=target: path.symlink_to(target) for target in ("/dev/zero", "/dev/stdin", "/dev/tty", path.name, ".", "..", "/etc/hostname", "/proc/self/mem", "nowhere"))])(path)


def large(folder, chance, others):
    path = some_file(folder, chance)
    with open(path, "r+b") as file: file.truncate(chance.choice([10**8, 10**9, 10**10, 2**40]))


def odd_name(folder, chance, others):
    name = chance.choice([b"\x1b[2J.json", b"a\nb.json", b"\xff\xfe.safetensors", b"a" * 250 + b".json", b" .json", "\u202etxt.json".encode(), b"config.json ", b"model.onnx.json", b"-rf.json", b"model-00001-of-00002.safetensors"])
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(chance.choice([b"", b"{", b"[]", os.urandom(50)]))


def many(folder, chance, others):
    for number in range(chance.choice([3, 1000, 10_001])): (folder/f"more-{number}.json").write_text("{}")


# files of JSON

def places(content, at=()):
    "Every place in nested JSON, as a tuple of keys"
    yield at
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, part in parts: yield from places(part, (*at, key))


def changed_json(change):
    def harm(folder, chance, others):
        path = some_file(folder, chance, ".json")
        content = json.loads(path.read_text()) if path.is_file() else {}
        wanted = chance.choice(sorted({len(at) for at in places(content)}))  # else nearly all would be terms of a vocabulary
        at = chance.choice([at for at in places(content) if len(at) == wanted])
        inside = content = [content]
        for key in (0, *at)[:-1]: inside = inside[key]
        path.write_text(change(content, inside, (0, *at)[-1], chance))
    return harm


def another(content, inside, key, chance):
    inside[key] = chance.choice(ODD)
    return json.dumps(content[0])


def missing(content, inside, key, chance):
    if key == 0 and inside is content: return ""
    del inside[key]
    return json.dumps(content[0])


def deep(content, inside, key, chance):
    levels = chance.choice([40, 60, 900, 3000, 100_000])
    inside[key] = "DEEP"
    return json.dumps(content[0]).replace('"DEEP"', chance.choice(['{"a":', "["]) * levels + "1", 1) + chance.choice(["", "]" * levels])


def doubled(content, inside, key, chance):
    if isinstance(inside, list): inside.insert(key, inside[key])
    else: inside[f"{key} "] = inside[key]
    return json.dumps(content[0])


def sized(folder, chance, others):
    "A size of a configuration, or of a setting of training.json"
    path = some_file(folder, chance, "config.json") if chance.random() < .8 else folder/"training.json"
    if not path.is_file(): path = folder/"training.json"
    content = json.loads(path.read_text())
    value = chance.choice([0, 1, 3, 31, 33, 999, 10**5, 10**6, 10**9, 2**31, 2**63, 10**30, -1, .5, "32", None, True, [32]])
    if path.name == "training.json": content["settings"] = content["settings"] | {chance.choice(["ngram_range"]): [1, value], "token_pattern": chance.choice(["(?u)\\b\\w\\w+\\b", "(a+)+$", "(", "(\\w+\\s?)*!", "a{1,99999}{1,9999}", 5, None])}
    else: content[chance.choice(SIZES)] = value
    path.write_text(json.dumps(content))


def pattern(folder, chance, others):
    "A regular expression in a tokenizer"
    path = folder/"tokenizer.json"
    if not path.is_file(): return sized(folder, chance, others)
    content = json.loads(path.read_text())
    regex = {"Regex": chance.choice(["(a+)+$", "(o|o|o)*x", "(\\w*)*\\d", "(.*.*)*=", "((((((a{1,500}){1,500}){1,500}))))", "(", "[", "(?<=a*)b", "(?R)", "\\w*\\w*\\w*\\w*\\w*\\w*\\w*x", "", "\\b", ".*"])}
    kind = chance.randrange(3)
    if kind == 0: content["pre_tokenizer"] = {"type": "Split", "pattern": regex, "behavior": "Isolated", "invert": chance.random() < .5}
    elif kind == 1: content["normalizer"] = {"type": "Replace", "pattern": regex, "content": chance.choice(["", "a", "a" * 10**6])}
    else: content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": chance.choice(["", "o", "a"])}, "content": "oooooooooo"}] * chance.choice([2, 12, 1000])}
    path.write_text(json.dumps(content))


# weights

def header(folder, chance, others):
    path = some_file(folder, chance, ".safetensors")
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    about = json.loads(raw[8:8 + length])
    about.pop("__metadata__", None)
    name, value = chance.choice(sorted(about)), chance.choice([*ODD, [0], [1], [2**40], [2**40, 2**40], [-1], [10**6, 10**6], [1] * 1000, "F32", "BF16", "I64", "BOOL", "F8_E4M3", [0, 4], [4, 0], [0, 2**50]])
    kind = chance.randrange(5)
    if kind == 0: about[name][chance.choice(["dtype", "shape", "data_offsets"])] = value
    elif kind == 1: about[str(value)[:200]] = about.pop(name)
    elif kind == 2: del about[name]
    elif kind == 3: about[name]["shape"] = chance.choice([about[name]["shape"][::-1], [*about[name]["shape"], 1], [1, *about[name]["shape"]]])
    else: about[name] = value
    changed = json.dumps(about).encode()
    path.write_bytes(struct.pack("<Q", chance.choice([len(changed)] * 5 + [0, 2**20, 2**62])) + changed + raw[8 + length:])


def arrays(folder, chance, others):
    import numpy as np
    from safetensors.numpy import load_file, save_file
    path = some_file(folder, chance, ".safetensors")
    held = load_file(path)
    name = chance.choice(sorted(held))
    array = held[name]
    held[name] = np.ascontiguousarray(chance.choice([
        lambda: np.full_like(array, chance.choice([np.nan, np.inf, 1e38, 0, -1])), lambda: array.astype(chance.choice(["int8", "float16", "float64", "uint64", "bool", "int32"])), lambda: array[:0], lambda: array[:1],
        lambda: array.T, lambda: array.ravel(), lambda: array[None], lambda: np.concatenate([array, array]), lambda: array * 1e30, lambda: np.zeros((3, 10**6), np.float32), lambda: np.zeros((10**5, 0), np.float32)])())
    save_file(held, path)


# graphs

def graph_bytes(folder, chance, others):
    path = folder/"model.onnx"
    raw = bytearray(path.read_bytes())
    kind = chance.randrange(5)
    if kind == 0: raw = raw[:chance.randrange(len(raw))]
    elif kind == 1:
        for _ in range(chance.choice([1, 1, 3, 50])): raw[chance.choice([chance.randrange(300), chance.randrange(len(raw)), -chance.randrange(1, 20_000)])] ^= 1 << chance.randrange(8)
    elif kind == 2: raw = raw * 2
    elif kind == 3: start = chance.randrange(len(raw)); del raw[start:start + chance.choice([1, 10, 1000, 10**5])]
    else: raw = bytearray(chance.choice([b"", b"{}", os.urandom(1000), b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x3a\x80" * 1000, bytes(raw[:100]) + b"\x3a\x7f" * 10**5, b"\x0a\x06" * 10**6]))
    path.write_bytes(raw)


def nodes_of(kind, chance):
    "(nodes, initializers) of something that costs, its end a scalar named `cost`"
    import numpy as np
    from onnx import helper, numpy_helper
    def array(name, value): return numpy_helper.from_array(np.array(value), name)
    def node(*given, **settings): return helper.make_node(*given, **settings)
    one, end = array("one", np.float32(1.)), [node("ReduceMean", ["wide"], ["cost"], keepdims=0)]
    side = chance.choice([10**5, 10**6, 2**31])
    length = [node("Shape", ["input_ids"], ["size"]), node("ReduceMax", ["size"], ["most"], keepdims=0)]
    def scaled(by): return [*length, node("Mul", ["most", "by"], ["count"])], [array("by", by)]
    if kind == "expand": return [node("Expand", ["one", "shape"], ["wide"]), *end], [one, array("shape", [side, side // 7])]
    if kind == "expand later": return scaled(side)[0] + [node("Reshape", ["count", "flat"], ["shape"]), node("Expand", ["one", "shape"], ["wide"]), *end], scaled(side)[1] + [one, array("flat", [-1])]
    if kind == "fill": return [node("ConstantOfShape", ["shape"], ["wide"]), *end], [array("shape", [side, side])]
    if kind == "range": return scaled(side * 100)[0] + [node("Range", ["zero", "count", "step"], ["whole"]), node("Cast", ["whole"], ["wide"], to=1), *end], scaled(side * 100)[1] + [array("zero", 0), array("step", 1)]
    if kind == "tile": return [node("Reshape", ["one", "flat"], ["row"]), node("Tile", ["row", "times"], ["wide"]), *end], [one, array("flat", [1]), array("times", [side * 1000])]
    if kind == "pad": return [node("Reshape", ["one", "flat"], ["row"]), node("Pad", ["row", "pads"], ["wide"]), *end], [one, array("flat", [1]), array("pads", [0, side * 1000])]
    if kind == "outer": return [node("Range", ["zero", "count", "step"], ["whole"]), node("Cast", ["whole"], ["row"], to=1), node("Unsqueeze", ["row", "at"], ["column"]), node("Mul", ["row", "column"], ["wide"]), *end], [array("zero", 0), array("count", side), array("step", 1), array("at", [1])]
    if kind == "doubling": return [node("Expand", ["one", "two"], ["d0"]), *(node("Concat", [f"d{n}", f"d{n}"], [f"d{n + 1}"], axis=0) for n in range(40)), node("Identity", ["d40"], ["wide"]), *end], [one, array("two", [2])]
    if kind == "products": return [node("Expand", ["one", "shape"], ["p0"]), *(node("MatMul", [f"p{n}", "p0"], [f"p{n + 1}"]) for n in range(300)), node("Identity", ["p300"], ["wide"]), *end], [one, array("shape", [4000, 4000])]
    if kind == "many": return [node("Identity", ["one"], ["m0"]), *(node("Add", [f"m{n}", "one"], [f"m{n + 1}"]) for n in range(100_000)), node("Identity", ["m100000"], ["cost"])], [one]
    body = helper.make_graph([node("Identity", ["again"], ["go"]), node("Add", ["held", "one"], ["more"])], "body", [helper.make_tensor_value_info("turn", 7, []), helper.make_tensor_value_info("again", 9, []), helper.make_tensor_value_info("held", 1, [])],
                             [helper.make_tensor_value_info("go", 9, []), helper.make_tensor_value_info("more", 1, [])])
    if kind == "loop": return [node("Loop", ["turns", "yes", "one"], ["cost"], body=body)], [one, array("turns", 10**15), array("yes", True)]
    if kind == "branches":
        inner = helper.make_graph([node("Identity", ["one"], ["b"])], "b", [], [helper.make_tensor_value_info("b", 1, [])])
        for _ in range(chance.choice([1, 8, 30])): inner = helper.make_graph([node("If", ["yes"], ["b"], then_branch=inner, else_branch=inner) if _ < 8 else node("If", ["yes"], ["b"], then_branch=inner)], "b", [], [helper.make_tensor_value_info("b", 1, [])])
        return [*inner.node, node("Identity", ["b"], ["cost"])], [one, array("yes", True)]
    if kind == "expression": return [node("RegexFullMatch", ["word"], ["whole"], pattern="(a+)+$"), node("Cast", ["whole"], ["wide"], to=1), *end], [helper.make_tensor("word", 8, [1], [b"a" * 40 + b"c"])]
    return [node("Whatever", ["one"], ["cost"], domain="evil.example")], [one]


KINDS = ["expand", "expand later", "fill", "range", "tile", "pad", "outer", "doubling", "products", "many", "loop", "branches", "expression", "foreign"]


def graph_parts(folder, chance, others):
    "A graph with another part: an operator, a shape, a place outside, a record, something that costs"
    import onnx
    from onnx import TensorProto, helper
    path = folder/"model.onnx"
    model = onnx.load(path)
    graph, kind = model.graph, chance.randrange(12)
    tensor, node = chance.choice(graph.initializer), chance.choice(graph.node)
    if kind <= 3:
        nodes, held = nodes_of(chance.choice(KINDS), chance)
        before = list(graph.node)
        graph.initializer.extend(held)
        del graph.node[:]
        graph.node.extend([*nodes, *before, helper.make_node("Add", [graph.output[0].name, "cost"], ["dearer"])])
        graph.output[0].name = "dearer"
    elif kind == 4: tensor.dims[:] = chance.choice([[2**40], [2**40, 2**40], [-1], [0], [], [10**5, 10**5], [*tensor.dims][::-1], [1] * 500])
    elif kind == 5:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=chance.choice(["/etc/passwd", "../config.json", "config.json", "/dev/zero", "model.safetensors", "tokenizer.json"]))
        tensor.external_data.add(key="length", value=str(chance.choice([0, 4, 2**40, -1])))
        if chance.random() < .5: tensor.ClearField("raw_data")
    elif kind == 6: tensor.data_type = chance.choice([0, 1, 7, 8, 9, 10, 16, 23, 99, 2**30])
    elif kind == 7: node.op_type = chance.choice(["Loop", "If", "Scan", "Whatever", "", "RandomNormal", "Conv", "Add", "MatMul", "ConstantOfShape", "OneHot", "Resize", "EyeLike", "Expand", "x" * 10**6])
    elif kind == 8:
        if node.input: node.input[chance.randrange(len(node.input))] = chance.choice([node.output[0], graph.output[0].name, "nothing", "", graph.initializer[0].name, "input_ids"])
    elif kind == 9: chance.choice([lambda: node.attribute.add(name="to", type=2, i=2**40), lambda: graph.input.append(helper.make_tensor_value_info("extra", 1, [2**40])), lambda: graph.input.pop(), lambda: graph.output.pop(), lambda: graph.node.remove(node), lambda: graph.initializer.remove(tensor),
        lambda: setattr(model, "ir_version", chance.choice([0, 3, 2**40])), lambda: setattr(model.opset_import[0], "version", chance.choice([1, 7, 99, 2**40])), lambda: model.opset_import.add(domain="evil.example", version=1),
        lambda: model.functions.append(helper.make_function("evil", "F", ["a"], ["a"], [helper.make_node("F", ["a"], ["a"], domain="evil")], [helper.make_opsetid("", 20)])), lambda: setattr(graph.input[0].type.tensor_type, "elem_type", chance.choice([1, 8, 9])), lambda: graph.output.insert(0, graph.output[0])])()
    else:
        record = next(entry for entry in model.metadata_props if entry.key == "emotion_nbdev")
        content = json.loads(record.value)
        key = chance.choice(sorted(content))
        content[key] = chance.choice([*ODD[:15], *ODD[16:], ["anger", "joy"], ["anger"] * 3, ["anger", "joy", "\x1b[2J"], ["anger", 5, None]])
        record.value = chance.choice([json.dumps(content)] * 5 + ["{", "[]", "[" * 100_000]).encode("utf-8", "replace").decode()
    path.write_bytes(model.SerializeToString())


ANY = [flipped, flipped, cut, twice, swapped, foreign, gone, in_its_place, large, odd_name, many]
JSON = [changed_json(change) for change in (another, another, another, missing, deep, doubled)]
FOLDER = [*ANY, *JSON, *JSON, sized, sized, pattern, header, header, arrays, arrays]
GRAPH = [graph_bytes, graph_parts, graph_parts, graph_parts]
for harm, change in zip(JSON, (another, another, another, missing, deep, doubled)): harm.__name__ = change.__name__


def hostile(models, place, seed, graph=False):
    "(what was done, kind of the honest model, dtype to load it in, folder)"
    chance = random.Random(seed)
    kind = chance.choice([kind for kind in models if ("graph" in kind) or not graph])
    folder = place/f"hostile-{seed}"
    shutil.copytree(models[kind], folder)
    harm = chance.choice(GRAPH if graph else FOLDER)
    harm(folder, chance, list(models.values()))
    return harm.__name__, kind, chance.choice([None, None, "auto"]) if "graph" in kind else None, folder


# what becomes of them

def answers(folder, dtype):
    "Probabilities by class name, as lists"
    from emotion_nbdev.production.artefacts import load
    classifier = load(folder, dtype=dtype)
    return [list(map(str, classifier.classes_)), classifier.predict_proba(TEXTS).tolist()]


def child(folder, dtype, end):
    "Load and predict, and write down how that went"
    import traceback
    from emotion_nbdev.foundations.core import InputError
    try: told = ["answered", answers(folder, dtype)]
    except InputError as error: told = ["refused", str(error)]
    except BaseException: told = ["traceback", traceback.format_exc()]
    os.write(end, json.dumps(told).encode())
    os._exit(0)


def looking(asked):
    "(folder, dtype) in; (what happened, what it said, seconds, MiB, stderr) out; each in a child of this process, which has imported everything"
    import emotion_nbdev.classifiers, emotion_nbdev.fine_tuning, onnxruntime  # noqa: F401
    from emotion_nbdev.production.graphs import _import_openvino
    _import_openvino()
    with contextlib.suppress(EOFError):
        while True: asked.send(looked_at(*asked.recv()))


def looked_at(folder, dtype):
    begin, end = os.pipe()
    started, noise = time.monotonic(), tempfile.TemporaryFile()
    process = os.fork()
    if not process:
        os.dup2(noise.fileno(), 2), os.dup2(noise.fileno(), 1), os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.close(begin)
        with contextlib.suppress(Exception): child(folder, dtype, end)
        os._exit(1)
    os.close(end)
    told, most, fate = b"", 0, None
    os.set_blocking(begin, False)
    while True:
        with contextlib.suppress(BlockingIOError): told += os.read(begin, 2**24)
        with contextlib.suppress(OSError, IndexError, ValueError): most = max(most, int(Path(f"/proc/{process}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)
        if os.waitpid(process, os.WNOHANG)[0]: break
        if time.monotonic() - started > SECONDS: fate = "hang"
        if most > MEBIBYTES: fate = "memory"
        if fate: os.kill(process, signal.SIGKILL), os.waitpid(process, 0); break
        time.sleep(.005)
    with contextlib.suppress(BlockingIOError):
        while more := os.read(begin, 2**24): told += more
    os.close(begin)
    noise.seek(0)
    what, said = (fate, "") if fate else json.loads(told) if told else ("died", "")
    return what, said, time.monotonic() - started, most, noise.read(3000).decode(errors="replace")


def looker():
    "The pipe to a process that looks"
    from conftest import PROCESSES
    ours, theirs = PROCESSES.Pipe()
    PROCESSES.Process(target=looking, args=[theirs]).start()
    theirs.close()
    return ours


def ask(pipe, folder, dtype):
    pipe.send((str(folder), dtype))
    return pipe.recv()


def one_line(text):
    "As the command line says it, where what steers a terminal is written out"
    from emotion_nbdev.foundations.texts import visible
    return len(text) < 700 and visible(text).encode("utf-8", "backslashreplace").decode().isprintable()


def verdict(what, said, noise, honest):
    "same, refused, changed (what is saved does not say what it was), or what was wrong"
    import numpy as np
    if what == "refused": return "refused" if one_line(said) else "no one line"
    if what != "answered": return what
    if "panicked" in noise or "Traceback" in noise: return "noise"
    rows = np.array(said[1], dtype=float)
    if not np.isfinite(rows).all() or not np.allclose(rows.sum(1), 1, atol=1e-3): return "no probabilities"
    alike = said[0] == honest[0] and np.allclose(rows, honest[1], atol=.02)
    return "same" if alike else "changed"


def trial(models, place, seed, graphs, pipe, honest):
    "(verdict, one line about it) of a folder or a graph"
    harm, kind, dtype, folder = hostile(models, place, seed, graphs)
    what, said, seconds, mebibytes, noise = ask(pipe, folder, dtype)
    shutil.rmtree(folder)
    found = verdict(what, said, noise, honest[kind, dtype])
    return found, f"{seed} {kind} {harm} {dtype or ''}: {found}, {seconds:.1f} s, {mebibytes:.0f} MiB: " + (str(said)[-1500:] if what != "answered" else "") + (noise if found == "noise" else "")


RIGHT = ("same", "changed", "refused")


def trials(place, seed, folders, graphs, say=print, models=None):
    "Counter of the verdicts, and the lines of those that were wrong"
    models, pipe = models or honest_models(place), looker()
    honest = {}
    for kind, folder in models.items():
        for dtype in (None, "auto") if "graph" in kind else (None,):
            what, honest[kind, dtype], *rest = ask(pipe, folder, dtype)
            assert what == "answered", (kind, dtype, honest, rest)
    found, wrong = Counter(), []
    for number in range(folders + graphs):
        what, line = trial(models, place, seed + number, number >= folders, pipe, honest)
        found[what] += 1
        if what not in RIGHT: wrong.append(line)
        say(line, what)
    pipe.close()
    return found, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=int)
    parser.add_argument("graphs", type=int)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1000)
    parser.add_argument("--all", action="store_true", help="show those that were right, too")
    given = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        found, wrong = trials(Path(place), given.seed, given.folders, given.graphs, lambda line, what: print(line[:None if what not in RIGHT else 300], flush=True) if given.all or what not in RIGHT else None)
    print(f"tried {sum(found.values())}: " + ", ".join(f"{count} {what}" for what, count in found.most_common()) + f"; wrong {len(wrong)}; began with seed {given.seed}")
    return bool(wrong)


if __name__ == "__main__": sys.exit(main())
