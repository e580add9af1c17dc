"Render the notebooks to _docs/: with Quarto where there is one, else as plain nbconvert pages."
import json, re, shutil, subprocess
from pathlib import Path

import nbformat
from execnb.nbio import nb2str, read_nb
from fastcore.script import call_parse
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.processors import FilterDefaults
from pygments.formatters import HtmlFormatter

from readme import output_only

_option = re.compile(r"^#\| *(fig-cap|fig-alt): *(.+)$", flags=re.M)
_callout = re.compile(r"^::: *\{\.callout-\w+\}\n(?:#+ *([^\n]*)\n)?(.*?)^:::$", flags=re.M|re.S)
_highlight = HtmlFormatter(style="default").get_style_defs(".highlight") + "@media (prefers-color-scheme: dark) {" + HtmlFormatter(style="github-dark").get_style_defs(".highlight") + "}"

def _quote(m): return "\n".join(f"> {line}".rstrip() for line in [f"**{m[1] or 'Note'}**", "", *m[2].strip().splitlines()])

def _dress(cell):
    "Captions and alternative texts from the cell's options; links to pages instead of notebooks"
    if cell.cell_type=="markdown":
        cell.source = re.sub(r"\]\(([\w-]+)\.ipynb", r"](\1.html", re.sub(r"(\]\([^)]*\))\{[^}]*\}", r"\1", _callout.sub(_quote, cell.source)))
        return
    options = {key: json.loads(value) for key, value in _option.findall(cell.source)}
    for output in cell.get("outputs", []):
        if "image/png" in output.get("data", {}) and "fig-cap" in options:
            png, alt = output["data"].pop("image/png").replace("\n", ""), options.get("fig-alt", "").replace('"', "&quot;")
            output["data"] = {"text/html": f'<figure><img src="data:image/png;base64,{png}" alt="{alt}"><figcaption>{options["fig-cap"]}</figcaption></figure>'}
    hidden = re.search(r"^#\| *echo: *false", cell.source, flags=re.M)
    cell.source = "" if hidden else re.sub(r"^#\|.*\n", "", cell.source, flags=re.M)

def body(fn) -> str:
    "A notebook as HTML, directives obeyed"
    nb = read_nb(fn)
    FilterDefaults()(nb)
    front = nb.frontmatter_
    nb.cells = [cell for cell in nb.cells if cell.cell_type!="raw"]
    for cell in nb.cells: output_only(cell); _dress(cell)
    head = f"# {front['title']}\n\n> {front['description']}\n" if "description" in front else f"# {front['title']}\n"
    book = nbformat.reads(nb2str(nb), as_version=4)
    book.cells.insert(0, nbformat.v4.new_markdown_cell(head))
    html = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(book)[0]
    return re.sub(r'<div class="input">\s*<div class="inner_cell">\s*<div class="input_area">\s*<div class="\s*highlight hl-ipython3"><pre><span></span>\s*</pre></div>\s*</div>\s*</div>\s*</div>', "", html)

def headings(stem, html) -> dict:
    "Where each heading of a page is"
    return {re.sub(r"<[^>]+>|¶", "", text): f"{stem}.html#{anchor}" for anchor, text in re.findall(r'<h[1-3] id="([^"]+)">(.*?)</h[1-3]>', html)}

@call_parse
def main():
    "Render the docs, and say how"
    cfg = get_config()
    dest = Path(cfg.config_path)/"_docs"
    if shutil.which("quarto"):
        subprocess.run(["nbdev_docs"], check=True)
        return print(f"rendered with Quarto: {dest/'index.html'}")
    shutil.rmtree(dest, ignore_errors=True)
    dest.mkdir()
    if (cfg.nbs_path/"images").is_dir(): shutil.copytree(cfg.nbs_path/"images", dest/"images")
    notebooks = sorted(nbglob(as_path=True), key=lambda fn: (fn.stem!="index", fn.stem))
    bodies = {fn.stem: body(fn) for fn in notebooks}
    pages = [dict(stem=stem, title=next(iter(headings(stem, html)))) for stem, html in bodies.items()]
    found = {text: place for stem, html in bodies.items() for text, place in headings(stem, html).items()}
    template = Environment(loader=FileSystemLoader(Path(__file__).parent)).get_template("page.html")
    for number, page in enumerate(pages):
        neighbours = dict(before=pages[number-1] if number else None, after=pages[number+1] if number+1<len(pages) else None)
        (dest/f"{page['stem']}.html").write_text(template.render(book=cfg.title, pages=pages, body=bodies[page["stem"]], headings=found, highlight=_highlight, **page, **neighbours), encoding="utf-8")
    print(f"no Quarto here, so rendered with nbconvert: {dest/'index.html'}")
