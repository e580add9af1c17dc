"Which pages there are, what they are called, and in which order they stand: read from _quarto.yml."

import json
import os
import re
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
NBS = ROOT / "nbs"


def notebooks() -> list[Path]:
    "Every notebook under nbs/ that nbdev finds: no name and no folder starts with _ or ."
    found = sorted(NBS.rglob("*.ipynb"))
    return [fn for fn in found if not any(part[0] in "_." for part in fn.relative_to(NBS).parts)]


def address(fn: Path) -> str:
    "The page of a notebook, named as nbdev names it: app/03_cli.ipynb -> app/cli.html"
    place = fn.relative_to(NBS)
    name = re.sub(r"^\d+[a-zA-Z0-9]*_", "", place.name.lower())
    return place.with_name(name).with_suffix(".html").as_posix()


def relative(target: str, page: str) -> str:
    "The address `target`, both relative to the site, as a link from `page`"
    path, mark, anchor = target.partition("#")
    if path == page and anchor:
        return "#" + anchor
    return os.path.relpath(path, os.path.dirname(page) or ".") + mark + anchor


def cells(fn: Path) -> list[dict]:
    "The cells of a notebook as they are stored, with their sources joined"
    stored = json.loads(fn.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in stored]


def quarto() -> dict:
    "The site's definition"
    return yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))


def _listed(contents) -> list[Path]:
    "The notebooks of a section: a glob, in the order of their file names, or a list"
    if isinstance(contents, str):
        return sorted(ROOT.glob(contents))
    return [ROOT / name for name in contents if (ROOT / name).exists()]


@cache
def sections() -> list[tuple[str, list[Path]]]:
    "The sidebar: (title of the section, its notebooks), without pages that are not there"
    contents = quarto()["website"]["sidebar"]["contents"]
    found = [(entry["section"], _listed(entry["contents"])) for entry in contents]
    return [(title, pages) for title, pages in found if pages]


def unlisted() -> list[Path]:
    "Notebooks that the sidebar forgot"
    listed = {fn for _, pages in sections() for fn in pages}
    return [fn for fn in notebooks() if fn not in listed]
