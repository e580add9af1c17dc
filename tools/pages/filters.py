"What nbdev does to a notebook before it is rendered, with links that point where the prose means."

import ast
import re
from copy import deepcopy
from functools import cache
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from nbdev.config import get_config
from nbdev.process import Processor
from nbdev.processors import FilterDefaults, add_links, add_show_docs

from pages import book

WIDTH = 82  # characters of a line of code on a page
_ticked = re.compile(r"(?<![\[`])`([^`]+?)(\(\))?`(?!\]\(|`)")
_option = re.compile(r"^#\| *(\w+)", flags=re.M)
_heading = re.compile(r"^#+ +(.+?) *$", flags=re.M)
_percent = re.compile(r"(?<=\d) (?=%)")
_caption = re.compile(r"^#\| *fig-cap:.*$", flags=re.M)
_below = re.compile(r"(?<=\n)(### [^\n]+\n).*", flags=re.S)
DEFINITIONS = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef


def slug(heading: str) -> str:
    "The anchor that Pandoc gives to a heading"
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    text = re.sub(r"[^\w\s.-]", "", text)
    return re.sub(r"^[\W\d_]+", "", re.sub(r"\s+", "-", text.strip())) or "section"


def _is_public(node: ast.stmt) -> bool:
    return isinstance(node, DEFINITIONS) and not node.name.startswith("_")


def _documented(cell: dict) -> list[str]:
    "The functions and classes of a cell that nbdev gives a heading of their own"
    options = set(_option.findall(cell["source"]))
    if cell["cell_type"] != "code" or "hide" in options or not options & {"export", "exports"}:
        return []
    return [node.name for node in ast.parse(cell["source"]).body if _is_public(node)]


def _commands() -> Path:
    "The page of the command line"
    return next((fn for fn in book.notebooks() if fn.stem.endswith("_cli")), book.NBS / "none")


@cache
def symbols() -> dict[str, tuple[Path, str]]:
    "Where each exported name has its heading: names of one page only, and none that is a command's"
    found = {}
    for fn in book.notebooks():
        for cell in book.cells(fn):
            for name in _documented(cell):
                found.setdefault(name, []).append((fn, name.lower()))
    commands = {
        name for name, places in found.items() if any(fn == _commands() for fn, _ in places)
    }
    return {
        name: places[0]
        for name, places in found.items()
        if len(places) == 1 and name not in commands | set(commands_at())
    }


@cache
def commands_at() -> dict[str, tuple[Path, str]]:
    "Where each command has its section, by its heading"
    fn = _commands()
    if not fn.exists():
        return {}
    headings = [
        found
        for cell in book.cells(fn)
        if cell["cell_type"] == "markdown"
        for found in _heading.findall(cell["source"])
    ]
    ticked = [
        (heading, re.match(r"`?(?:emotion-nbdev )?([a-z-]+)`?(?:$|[ :])", heading))
        for heading in headings
    ]
    return {
        match[1]: (fn, slug(heading))
        for heading, match in ticked
        if match and match[1] == match[1].lower()
    }


def home(text: str):
    "Where what stands between back-ticks is explained: (notebook, anchor), or nothing"
    if text.startswith("emotion-nbdev "):
        return commands_at().get(text.removeprefix("emotion-nbdev "))
    *qualifiers, name = text.split(".")
    if not qualifiers:
        return symbols().get(name)
    place = symbols().get(name)
    module = qualifiers[-1]
    if place and book.address(place[0]).endswith(f"{module}.html"):
        return place
    return symbols().get(module) if module[:1].isupper() else None


def link_line(line: str, link) -> str:
    "A line of prose with its back-ticked names linked"

    def replace(match):
        place = home(match[1])
        return f"[`{match[1]}{match[2] or ''}`]({link(*place)})" if place else match[0]

    return _ticked.sub(replace, line)


def link_prose(text: str, link) -> str:
    "Markdown with its back-ticked names linked, except in headings, code and links"
    lines, fenced = text.splitlines(), False
    for number, line in enumerate(lines):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and not line.startswith(("    ", "#")):
            lines[number] = unbroken(link_line(line, link))
    return "\n".join(lines)


def unbroken(line: str) -> str:
    "A line of prose in which a number and its % stay together, except in code"
    parts = line.split("`")
    parts[::2] = [_percent.sub("\N{NO-BREAK SPACE}", part) for part in parts[::2]]
    return "`".join(parts)


def by_definition(code: str) -> list[str]:
    "A cell's code in pieces, each with one public definition and what stands before it"
    lines = code.splitlines(True)
    ends = [node.end_lineno for node in ast.parse(code).body if _is_public(node)]
    starts = [0, *ends[:-1]]
    return [
        "".join(lines[start:end]).strip("\n")
        for start, end in zip(starts, [*ends[:-1], len(lines)])
    ]


def _wrap_code(code: str) -> list[str]:
    "A line of a signature, without its comment, broken between words where the page ends"
    indent = " " * (len(code) - len(code.lstrip()))
    return wrap(
        code,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
    )


def _wrap_line(line: str) -> list[str]:
    "One line of a signature, as several when it is wider than the page"
    if len(line) <= WIDTH:
        return [line]
    code, mark, comment = line.partition(" # ")
    if not mark:
        return _wrap_code(code)
    room = WIDTH - len(code) - len(mark)
    if room < 30:
        return [*_wrap_code(code), *(f"        # {part}" for part in wrap(comment, WIDTH - 10))]
    first, *rest = wrap(comment, room)
    return [f"{code} # {first}", *(f"{' ' * len(code)} # {part}" for part in rest)]


def wrap_signature(text: str) -> str:
    "What nbdev shows of a function, with its signature broken where the page ends"
    lines, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        lines += _wrap_line(line) if fenced else [line]
    return "\n".join(lines)


class OnePiece(Processor):
    "Cells that show their source, cut so that each definition stands below its own heading"

    def begin(self):
        cells = []
        for cell in self.nb.cells:
            pieces = []
            if cell.cell_type == "code" and "exports" in cell.directives_:
                pieces = by_definition(cell.source)
            if len(pieces) < 2:
                cells.append(cell)
                continue
            for number, piece in enumerate(pieces):
                part = deepcopy(cell)
                part.id = f"{cell.id}-{number}" if number else cell.id
                part.set_source(piece)
                part.outputs = []
                cells.append(part)
            cells[-1].outputs = cell.outputs
        self.nb.cells = cells
        for number, cell in enumerate(cells):
            cell.idx_ = number


class InOrder(add_show_docs):
    "nbdev's documentation of a cell's definitions, in their order; nbdev has the last one first"

    def begin(self):
        super().begin()
        cells = []
        for told, run in groupby(self.nb.cells, lambda cell: bool(getattr(cell, "has_sd", False))):
            run = list(run)
            if told:
                run.reverse()
                for cell in run:  # of a shown source only the heading: it says the rest itself
                    cell.heading_only_ = "exports" in cells[-1].directives_
            cells += run
        self.nb.cells = cells


class LinkNames(Processor):
    "In place of nbdev's `add_links`: links to notebooks, which both ways of building resolve"

    def _link(self, fn, anchor):
        path = getattr(self.nb, "path_", None)
        if path is None:
            return (
                "{doc_host}{doc_baseurl}/".format(**get_config().d) + f"{book.address(fn)}#{anchor}"
            )
        here = Path(path).resolve()
        if here == fn:
            return f"#{anchor}"
        return Path(book.relative(fn.as_posix(), here.as_posix())).as_posix() + f"#{anchor}"

    def cell(self, cell):
        if cell.cell_type == "markdown":
            cell.source = link_prose(cell.source, self._link)
        else:
            cell.source = _caption.sub(lambda match: unbroken(match[0]), cell.source)
        for output in cell.get("outputs", []):
            shown = output.get("data", {}).get("text/markdown")
            if shown:
                said = wrap_signature("".join(shown))
                if getattr(cell, "heading_only_", False):
                    said = _below.sub(r"\1", said)
                output["data"]["text/markdown"] = link_prose(said, self._link).splitlines(True)


class Filter(FilterDefaults):
    "nbdev's processors, with our links and our order"

    def base_procs(self):
        ours = {add_links: [LinkNames], add_show_docs: [OnePiece, InOrder]}
        return [own for proc in super().base_procs() for own in ours.get(proc, [proc])]
