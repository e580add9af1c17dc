"The site, built once without Quarto into a temporary folder, and what can be wrong with a page."

import atexit
import os
import re
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

from bs4 import BeautifulSoup, NavigableString
from conftest import python
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
WIDTH, EXPORTED = 82, 100  # characters of a line on a page, and of one that shows an exported cell
HOST = "https://emotion-nbdev.github.io/emotion-nbdev"
REPOSITORY = re.compile(
    r"https://(?:github\.com|colab\.research\.google\.com/github)/emotion-nbdev/emotion-nbdev/blob/main/"
)
_raw = re.compile(r"\]\(|\*\*\w|\w\*\*|`[^`\n]+`|:::|@fig-|\[-?@\w|\$\$|\{[#.][\w-]+[^}]*\}")


@cache
def built() -> Path:
    "The folder of the site, built once for all processes of a run of the tests"
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = Path(tempfile.gettempdir(), f"site-{run}") if run else Path(tempfile.mkdtemp())
    if not run:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "site").exists():
            build(folder / "new")
            (folder / "new").rename(folder / "site")
    return folder / "site"


def build(folder: Path):
    arguments = ["--plain", "--dest", folder, "--page", "none"]
    code = "import runpy, sys; sys.path.insert(0, 'tools')"
    code += "; runpy.run_path('tools/docs.py', None, '__main__')"
    done = python(code, *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def addresses() -> list[str]:
    "Of all pages"
    return sorted(fn.relative_to(built()).as_posix() for fn in built().rglob("*.html"))


@cache
def pages() -> dict:
    "Each page of the site, parsed: {address: soup}"
    return {
        address: parse((built() / address).read_text(encoding="utf-8")) for address in addresses()
    }


def parse(html: str):
    return BeautifulSoup(html, "html.parser")


def places(soups: dict) -> dict:
    "{address: ids on the page}"
    return {page: {tag["id"] for tag in soup.find_all(id=True)} for page, soup in soups.items()}


def broken_link(href: str, page: str, known: dict, files: set) -> str:
    "What is wrong with a link of `page`, or nothing; `known`: see `places`"
    if href == HOST or href.startswith(HOST + "/"):
        target, anchor = urldefrag(href[len(HOST) :].lstrip("/") or "index.html")
    elif REPOSITORY.match(href):
        path = urldefrag(REPOSITORY.sub("", href))[0]
        return "" if (ROOT / path).exists() else "no such file in the repository"
    elif urlparse(href).scheme:
        return "" if urlparse(href).scheme in ("http", "https", "mailto") else "a strange scheme"
    else:
        target, anchor = urldefrag(
            urljoin("http://site/" + page, href).removeprefix("http://site/")
        )
    target = unquote(target) or "index.html"
    if target not in files:
        return "no such page"
    if anchor and target in known and unquote(anchor) not in known[target]:
        return "no such place on the page"
    return ""


def broken_links(page: str, soup, known: dict, files: set) -> list[str]:
    "Links and anchors that lead nowhere"
    tags = soup.find_all(["a", "link"], href=True)
    found = [(tag["href"], broken_link(tag["href"], page, known, files)) for tag in tags]
    return [f"{page}: {href}: {wrong}" for href, wrong in found if wrong]


def prose(tag):
    "The strings in a tag that are no code and no picture"
    for child in tag.children:
        if isinstance(child, NavigableString):
            yield child
        elif child.name not in ("pre", "code", "script", "style", "svg"):
            yield from prose(child)


def raw_markdown(page: str, soup) -> list[str]:
    "Markdown that nobody rendered, as a reader would see it"
    signatures = [pre.get_text() for pre in soup.find("main").find_all("pre")]
    found = [
        f"{page}: a link in code: {match}"
        for text in signatures
        for match in re.findall(r"\[`[^`]+`\]\(\S+", text)
    ]
    for text in prose(soup.find("main")):
        match = _raw.search(text)
        if match:
            found.append(
                f"{page}: {' '.join(text[max(0, match.start() - 30) : match.end() + 30].split())}"
            )
    return found


def wide_lines(page: str, soup) -> list[str]:
    "Lines of code or output that do not fit the page"
    found = []
    for pre in soup.find_all("pre"):
        fold = pre.find_parent("details")
        summary = fold.find("summary").get_text() if fold else ""
        width = EXPORTED if summary == "Exported source" else WIDTH
        heading = pre.find_previous(["h1", "h2", "h3", "h4"])
        where = f"{page} cell {pre.get('data-cell') or heading.get_text()}"
        found += [
            f"{where}: {len(line)} characters: {line.strip()[:60]}"
            for line in pre.get_text().split("\n")
            if len(line) > width
        ]
    return found


def bare_figures(page: str, soup) -> list[str]:
    "Pictures without a caption, or without words for who cannot see them"
    found = []
    for image in soup.find("main").find_all("img"):
        figure = image.find_parent(class_="figure")
        caption = figure.find(class_="caption") if figure else None
        where = f"{page}: picture after “{image.find_previous(['h1', 'h2', 'h3']).get_text()}”"
        if not image.get("alt"):
            found.append(f"{where}: no alternative text")
        if not caption or not caption.get_text().strip():
            found.append(f"{where}: no caption")
    return found


def untitled(page: str, soup) -> list[str]:
    "A page must say what it is"
    description = soup.find("meta", attrs={"name": "description"})
    wrong = {
        "no title": not (soup.title and soup.title.get_text().strip()),
        "not one h1": len(soup.find_all("h1")) != 1,
        "no description": not (description and description["content"].strip()),
        "no subtitle": not soup.find(class_="description"),
    }
    return [f"{page}: {what}" for what, is_so in wrong.items() if is_so]


def doubled_ids(page: str, soup) -> list[str]:
    "Two places with the same name"
    named = [tag["id"] for tag in soup.find_all(id=True)]
    return [f"{page}: {name}" for name in sorted(set(named)) if named.count(name) > 1]


def foreign(page: str, soup) -> list[str]:
    "What a browser would fetch from another host by opening the page"
    found = []
    for tag in soup.find_all(
        ["script", "img", "iframe", "source", "video", "audio", "embed", "object", "link"]
    ):
        if tag.name == "link" and set(tag.get("rel", [])) & {
            "canonical",
            "alternate",
            "next",
            "prev",
        }:
            continue
        asked = [tag.get(name) or "" for name in ("src", "href", "srcset", "data")]
        found += [
            f"{page}: {tag.name} {address[:80]}"
            for address in asked
            if re.match(r"\s*(https?:)?//", address)
        ]
    styles = [tag.get_text() for tag in soup.find_all("style")] + [
        tag["style"] for tag in soup.find_all(style=True)
    ]
    return found + [f"{page}: {match}" for style in styles for match in foreign_style(style)]


def foreign_style(css: str) -> list[str]:
    return re.findall(r"""(?:url\(\s*['"]?|@import\s+['"])(?:https?:)?//[^)'"]+""", css)


def turned(soup) -> tuple:
    "What previous and next of a page lead to"
    links = [soup.find("a", rel=name) for name in ("prev", "next")]
    return tuple(link["href"] if link else None for link in links)
