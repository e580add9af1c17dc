"Code cells: options, source and outputs, as HTML for the page and as Markdown for its twin."

import base64
import re
import struct
from html import escape

import yaml

from pages import prose

_option = re.compile(r"^#\| *([\w-]+): *(.*)$", flags=re.M)
_directive = re.compile(r"^#\|.*\n?", flags=re.M)
_style = re.compile(r"<style scoped>.*?</style>", flags=re.S)
_escape = re.compile(r"\x1B(?:[@-Z\\-_]|\[[0-?]*[ -/]*[@-~])")
_columns = re.compile(r"\S {2,}\S|^ +\S|[─-╿]", flags=re.M)  # what a broken line would spoil
BEST = ("text/html", "image/svg+xml", "image/png", "text/markdown", "text/plain")


def options(cell) -> dict:
    "The cell's `#| key: value` lines"
    return {key: yaml.safe_load(value) for key, value in _option.findall(cell.source)}


def source(cell) -> str:
    "The code without its option lines"
    return _directive.sub("", cell.source).strip("\n")


def _text(value) -> str:
    return value if isinstance(value, str) else "".join(value)


def _png_width(data: bytes, metadata: dict) -> int:
    "How wide a picture is meant to be: half its pixels, where it was drawn for a fine screen"
    given = metadata.get("image/png", {}).get("width")
    return given or struct.unpack(">I", data[16:20])[0]


def _image(output, alt: str) -> str:
    data = _text(output["data"]["image/png"]).replace("\n", "")
    width = _png_width(base64.b64decode(data), output.get("metadata", {}))
    mark = ' class="wide"' if width >= prose.WIDE else ""
    return f'<img src="data:image/png;base64,{data}" width="{width}" alt="{escape(alt)}"{mark}>'


def _kind(output) -> str:
    "The richest form of an output that a page can show"
    return next((kind for kind in BEST if kind in output.get("data", {})), "text/plain")


def _plain(output) -> str:
    "What an output says in letters"
    if output["output_type"] == "stream":
        return _escape.sub("", _text(output["text"]))
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    return _text(output["data"].get("text/plain", ""))


def _output(output, chosen: dict, figures: dict, cell: str) -> str:
    "One output of the cell named `cell`, as a part of the Markdown document of the page"
    kind = _kind(output)
    if kind == "text/markdown":
        return _text(output["data"][kind])
    if kind == "text/plain":
        name = " error" if output.get("name") == "stderr" else ""
        name += "" if _columns.search(_plain(output)) else " sentences"
        said = escape(_plain(output).rstrip())
        html = f'<pre class="output{name}" data-cell="{cell}"><code>{said}</code></pre>'
        return prose.raw(html)
    if kind == "image/png":
        html = _image(output, str(chosen.get("fig-alt", "")))
    else:
        html = _style.sub("", _text(output["data"][kind]))
    if "fig-cap" not in chosen:
        return prose.raw(f'<div class="output" data-cell="{cell}">{html}</div>')
    label = chosen.get("label")
    number = figures.setdefault(label, len(figures) + 1) if label else None
    return prose.raw(prose.figure(html, prose.inline(chosen["fig-cap"]), label, number))


def _code(cell, chosen: dict) -> str:
    "The source of a cell, folded where its options say so"
    code = source(cell)
    if not code or chosen.get("echo") is False:
        return ""
    html = prose.highlighted(
        code, cell.get("metadata", {}).get("language", "python"), cell.get("id", "")
    )
    fold = chosen.get("code-fold")
    if fold in (None, False):
        return prose.raw(html)
    summary = escape(str(chosen.get("code-summary", "Code")))
    state = " open" if fold == "show" else ""
    folded = f'<details class="fold"{state}><summary>{summary}</summary>{html}</details>'
    return prose.raw(folded)


def parts(cell, figures: dict) -> list[str]:
    "A code cell as parts of the Markdown document of its page"
    chosen = options(cell)
    if chosen.get("include") is False:
        return []
    shown = [] if chosen.get("output") is False else cell.get("outputs", [])
    drawn = [
        output
        for output in shown
        if "fig-cap" not in chosen
        or _kind(output) != "text/plain"
        or output["output_type"] == "stream"
    ]
    return [
        _code(cell, chosen),
        *(_output(output, chosen, figures, cell.get("id", "")) for output in drawn),
    ]


def twin(cell) -> list[str]:
    "A code cell in plain Markdown"
    chosen = options(cell)
    if chosen.get("include") is False:
        return []
    code = source(cell) if chosen.get("echo") is not False else ""
    shown = [] if chosen.get("output") is False else cell.get("outputs", [])
    blocks = [f"```python\n{code}\n```"] if code else []
    for output in shown:
        kind = _kind(output)
        if kind == "text/markdown":
            blocks.append(_text(output["data"][kind]))
        elif "fig-cap" in chosen:
            blocks.append(f"*{chosen['fig-cap']}* ({chosen.get('fig-alt', '')})")
        elif _plain(output).strip():
            blocks.append(f"```\n{_plain(output).rstrip()}\n```")
    return blocks
