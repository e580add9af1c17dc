"Render the notebooks to _docs/: with Quarto where there is one, else as plain nbconvert pages."
import json, re, shutil, subprocess
from pathlib import Path

import nbformat
from execnb.nbio import nb2str, read_nb
from fastcore.script import call_parse
from nbconvert import HTMLExporter
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.processors import FilterDefaults

from readme import output_only

_option = re.compile(r"^#\| *(fig-cap|fig-alt): *(.+)$", flags=re.M)
_callout = re.compile(r"^::: *\{\.callout-\w+\}\n(?:#+ *(.*)\n)?(.*?)^:::$", flags=re.M|re.S)

def _quote(m): return "\n".join(f"> {line}".rstrip() for line in [f"**{m[1] or 'Note'}**", "", *m[2].strip().splitlines()])

def _dress(cell):
    "Captions and alternative texts from the cell's options; links to pages instead of notebooks"
    if cell.cell_type=="markdown":
        cell.source = re.sub(r"\]\(([\w-]+)\.ipynb", r"](\1.html", _callout.sub(_quote, cell.source))
        return
    options = {key: json.loads(value) for key, value in _option.findall(cell.source)}
    for output in cell.get("outputs", []):
        if "image/png" in output.get("data", {}) and "fig-cap" in options:
            png, alt = output["data"].pop("image/png").replace("\n", ""), options.get("fig-alt", "").replace('"', "&quot;")
            output["data"] = {"text/html": f'<figure><img src="data:image/png;base64,{png}" alt="{alt}"><figcaption>{options["fig-cap"]}</figcaption></figure>'}
    cell.source = re.sub(r"^#\|.*\n", "", cell.source, flags=re.M)

def page(fn, pages) -> str:
    "A notebook as one HTML page, directives obeyed, with links to all pages"
    nb = read_nb(fn)
    FilterDefaults()(nb)
    front = nb.frontmatter_
    nb.cells = [cell for cell in nb.cells if cell.cell_type!="raw"]
    for cell in nb.cells: output_only(cell); _dress(cell)
    head = f"# {front['title']}\n\n> {front['description']}\n" if "description" in front else f"# {front['title']}\n"
    book = nbformat.reads(nb2str(nb), as_version=4)
    links = " · ".join(f"[{title}]({stem}.html)" for stem, title in pages)
    book.cells = [nbformat.v4.new_markdown_cell(links), nbformat.v4.new_markdown_cell(head), *book.cells]
    return HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(book, {"metadata": {"name": front["title"]}})[0]

def _title(fn): return next(line[2:] for cell in read_nb(fn).cells for line in cell.source.splitlines() if line.startswith("# "))

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
    notebooks = sorted(nbglob(as_path=True), key=lambda fn: (fn.stem!="index", fn.stem))
    pages = [(fn.stem, _title(fn)) for fn in notebooks]
    for fn in notebooks: (dest/f"{fn.stem}.html").write_text(page(fn, pages), encoding="utf-8")
    print(f"no Quarto here, so rendered with nbconvert (no search, no sidebar): {dest/'index.html'}")
