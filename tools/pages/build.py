"Writes the site: a page and a Markdown twin of each notebook, the search index, llms.txt."

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path

from execnb.nbio import read_nb
from jinja2 import Environment, FileSystemLoader
from nbdev.config import get_config

from pages import book, cells
from pages.filters import Filter
from pages.prose import Prose, inline, plain

HERE = Path(__file__).parent


@dataclass
class Page:
    "One notebook on its way to the site"

    fn: Path
    title: str = ""
    description: str = ""
    body: str = ""
    twin: str = ""
    headings: list = field(default_factory=list)

    @property
    def address(self) -> str:
        return book.address(self.fn)

    @property
    def source(self) -> str:
        return self.fn.relative_to(book.ROOT).as_posix()

    def to(self, target: str) -> str:
        "A link from this page"
        return book.relative(target, self.address)


def read(fn: Path) -> Page:
    "A notebook as a page: nbdev's rules first, then ours"
    nb = read_nb(fn)
    Filter()(nb)
    front = nb.frontmatter_
    page = Page(fn, front.get("title", fn.stem), front.get("description", ""))
    prose = Prose(page.address, fn.parent)
    document, twin = [], []
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            prose.number(cell.source)
            document.append(cell.source)
            twin.append(cell.source)
        elif cell.cell_type == "code":
            document += cells.parts(cell, prose.figures)
            twin += cells.twin(cell)
    page.body = prose.render("\n\n".join(document))
    page.headings = prose.headings
    head = f"# {page.title}\n\n> {page.description}" if page.description else f"# {page.title}"
    page.twin = _twin("\n\n".join([head, *twin]))
    return page


def _twin(markdown: str) -> str:
    "The page's Markdown with links to the twins of other pages"
    markdown = re.sub(r"<!--.*?-->", "", markdown, flags=re.S)
    markdown = re.sub(
        r"\]\((?![a-z]+:)([^()\s]*?)(?:\d+[a-zA-Z0-9]*_)?([^()\s/]+)\.ipynb",
        r"](\1\2.html.md",
        markdown,
    )
    markdown = markdown.replace("\N{NO-BREAK SPACE}%", " %")
    return re.sub(r"\n{3,}", "\n\n", markdown).strip() + "\n"


def _words(html: str) -> str:
    "What a reader reads"
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    html = re.sub(r"</?(span|code|a|em|strong)\b[^>]*>", "", html)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def index(pages: list[Page]) -> list[dict]:
    "What the search looks through: one entry a heading"
    entries = []
    for page in pages:
        chunks = re.split(r'(?=<h[1-4] id=")', page.body)
        titles = {anchor: text for _, anchor, text in page.headings}
        for chunk in chunks:
            anchor = re.match(r'<h[1-4] id="([^"]+)"', chunk)
            title = titles.get(anchor[1], page.title) if anchor else page.title
            place = f"{page.address}#{anchor[1]}" if anchor else page.address
            about = page.description + " " if not anchor else ""
            entries.append(
                {"page": page.title, "title": title, "place": place, "text": about + _words(chunk)}
            )
    return entries


def host() -> str:
    "The address at which the site is published"
    cfg = get_config()
    return f"{cfg.doc_host}{cfg.doc_baseurl}"


def llms(listed: list, host: str) -> str:
    "The list of pages for programs that read"
    cfg = get_config()
    lines = [f"# {cfg.title}", "", f"> {cfg.description}"]
    for title, pages in listed:
        lines += ["", f"## {title}", ""]
        lines += [
            f"- [{page.title}]({host}/{page.address}.md): {page.description}".rstrip(": ")
            for page in pages
        ]
    return "\n".join(lines) + "\n"


def _template():
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["inline"] = inline
    environment.filters["plain"] = lambda text: escape(plain(text))
    return environment.get_template("page.html")


def _copy_files(dest: Path):
    "Pictures, style and script"
    shutil.copytree(book.NBS / "images", dest / "images")
    (dest / "assets").mkdir()
    for name in ("page.css", "page.js"):
        shutil.copy(HERE / name, dest / "assets" / name)


def _write(path: Path, text: str):
    "A file of the site, in a folder that may be new"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def sections() -> list[tuple[str, list[Page]]]:
    "The sidebar with its pages read"
    os.environ["IN_TEST"] = "1"  # by it nbdev's cells know that the docs are being built
    return [(title, [read(fn) for fn in notebooks]) for title, notebooks in book.sections()]


def write_beside(dest: Path, listed: list):
    "What stands beside the pages, whoever rendered them: notebooks, Markdown twins, llms.txt"
    for page in [page for _, pages in listed for page in pages]:
        _write(dest / f"{page.address}.md", page.twin)
        target = dest / "notebooks" / page.fn.relative_to(book.NBS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page.fn, target)
    _write(dest / "llms.txt", llms(listed, host()))


def build(dest: Path):
    "The whole site in `dest`, which is made anew"
    listed, template = sections(), _template()
    pages = [page for _, of_section in listed for page in of_section]
    shutil.rmtree(dest, ignore_errors=True)
    dest.mkdir(parents=True)
    _copy_files(dest)
    for before, page, after in zip([None, *pages], pages, [*pages[1:], None]):
        around = {"before": before, "page": page, "after": after}
        html = template.render(cfg=get_config(), host=host(), sections=listed, **around)
        _write(dest / page.address, html)
    found = json.dumps(index(pages), ensure_ascii=False)
    _write(dest / "assets" / "index.js", f"window.searchIndex = {found};\n")
    write_beside(dest, listed)
