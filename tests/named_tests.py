"Which test or cell shows the effect of each parameter of each public function: found in their sources. Run it to see the list."
import ast, importlib, inspect, json, pkgutil, re
from functools import cache
from pathlib import Path

import emotion_nbdev

ROOT = Path(__file__).parent.parent
IDLE = re.compile(r"^#\|\s*(export|exports|exporti|slow|hub|gpu|eval:\s*false)\b", re.MULTILINE)  # cells that are no test


def modules():
    return [importlib.import_module(found.name) for found in pkgutil.walk_packages(emotion_nbdev.__path__, "emotion_nbdev.") if "_modidx" not in found.name and not found.ispkg]


def methods(kind):
    "(name, function) of the public methods of a class, its constructor first"
    found = {"__init__": kind.__init__} if "__init__" in vars(kind) else {}
    found |= {name: getattr(made, "__func__", made) for name, made in vars(kind).items() if not name.startswith("_")}
    return [(name, inspect.unwrap(made)) for name, made in found.items() if inspect.isfunction(made)]


@cache
def public():
    "{(module, function or Class or Class.method): function} of all that the package exports"
    found = {}
    for module in modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                found |= {(module.__name__, name if method == "__init__" else f"{name}.{method}"): made for method, made in methods(thing)}
            elif inspect.isroutine(inspect.unwrap(thing)) and thing.__module__ == module.__name__:
                found[module.__name__, name] = inspect.unwrap(thing)
    return found


def parameters(function):
    "Those that a caller may leave out"
    return [one for one in inspect.signature(function).parameters.values() if one.default is not one.empty]


@cache
def sources():
    "(where, module whose names are known, tree) of each test function and each cell that runs as a test"
    found = []
    for path in sorted((ROOT/"tests").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [(f"tests/{path.name}::{getattr(part, 'name', 'module')}", tree, part) for part in tree.body]
    for path in sorted((ROOT/"nbs").rglob("*.ipynb")):
        cells = [("".join(cell["source"]), cell["id"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code" and not re.search("^%%", "".join(cell["source"]), re.MULTILINE)]
        trees = [(ast.parse(re.sub(r"^( *)[%!].*", r"\1pass", source, flags=re.MULTILINE)), source, name) for source, name in cells]
        whole = ast.Module([part for tree, _, _ in trees for part in tree.body], [])
        found += [(f"{path.relative_to(ROOT)}#{name}", whole, tree) for tree, source, name in trees if not IDLE.search(source)]
    return found


@cache
def names_in(tree):
    "{name in a file: what it is} of the package, as imported or, in a notebook, defined there"
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("emotion_nbdev"):
            found |= {one.asname or one.name: getattr(importlib.import_module(node.module), one.name, None) for one in node.names}
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in exported():
            found.setdefault(node.name, exported()[node.name])
    return found


@cache
def exported():
    return {name: getattr(module, name) for module in modules() for name in module.__all__}


def key_of(thing, method=""):
    "[(module, function or Class or Class.method)] of what is called, in the class that has it; nothing where it is not of the package"
    if inspect.isclass(thing):
        keys = [(kind.__module__, f"{kind.__name__}.{method}".rstrip(".")) for kind in thing.__mro__]
    else:
        keys = [(getattr(thing, "__module__", ""), getattr(thing, "__name__", ""))]
    return [key for key in keys if key in public()][:1]


def called(node, known):
    "The public functions that a call may mean: of a method of an object whose class is not seen, those of all classes"
    function = node.func
    if isinstance(function, ast.Name):
        if function.id == "partial" and node.args:
            return called(ast.Call(node.args[0], node.args[1:], node.keywords), known)
        return key_of(known.get(function.id))
    if not isinstance(function, ast.Attribute):
        return []
    owner = function.value
    while isinstance(owner, ast.Call) and isinstance(owner.func, ast.Attribute):
        owner = owner.func.value  # Class(…).fit(…).predict
    owner = owner.func if isinstance(owner, ast.Call) else owner
    seen = known.get(owner.id) if isinstance(owner, ast.Name) else None
    method = "" if function.attr == "set_params" else function.attr
    if inspect.isclass(seen):
        return key_of(seen, method)
    if inspect.ismodule(seen):
        return key_of(getattr(seen, function.attr, None))
    return sorted({key for thing in exported().values() if inspect.isclass(thing) for key in key_of(thing, method)})


def differs(node, default):
    "Whether what stands there is another value than the default; what is computed counts as one"
    try:
        return ast.literal_eval(node) != default
    except ValueError:
        return not (isinstance(node, ast.Name) and node.id == getattr(default, "__name__", None))


def bound(node, function):
    "Names of the parameters that a call binds to another value than their default"
    taken = list(inspect.signature(function).parameters.values())
    if taken and taken[0].name in ("self", "cls"):
        taken = taken[1:]
    names = {one.name for one in taken}
    if any(keyword.arg and keyword.arg not in names and not any(one.kind is one.VAR_KEYWORD for one in taken) for keyword in node.keywords):
        return []
    places = [one for one in taken if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(node.args) > len(places) and not any(one.kind is one.VAR_POSITIONAL for one in taken):
        return []
    given = {}
    for one, value in zip(places, node.args):
        if isinstance(value, ast.Starred):
            break
        given[one] = value
    given |= {one: keyword.value for keyword in node.keywords for one in taken if keyword.arg == one.name}
    return [one.name for one, value in given.items() if one.default is not one.empty and differs(value, one.default)]


@cache
def shown():
    "{(module, function, parameter): [where its effect is shown]}"
    found = {(*key, one.name): [] for key, function in public().items() for one in parameters(function)}
    for where, file, tree in sources():
        known = names_in(file)
        for node in ast.walk(tree):
            meant = [(key, bound(node, public()[key])) for key in called(node, known)] if isinstance(node, ast.Call) else []
            meant = [(key, names) for key, names in meant if names]
            for key, names in meant if len(meant) == 1 else ():  # else it is not clear whose parameter that is
                for name in names:
                    if where not in found[*key, name]:
                        found[*key, name].append(where)
    return found


if __name__ == "__main__":
    for (module, function, name), places in shown().items():
        print(f"{module.removeprefix('emotion_nbdev.')}.{function}({name}): {', '.join(places[:3]) or 'NOWHERE'}")
