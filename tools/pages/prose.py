"Markdown as Pandoc reads it, as far as needed: callouts, attributes, figures, citations."

import re
from html import escape, unescape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.attrs import attrs_plugin
from mdit_py_plugins.container import container_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from pages import book, citations
from pages.filters import slug

RAW = "~~~~~~~~~~{=html}"  # fences HTML inside Markdown, as Pandoc does
WIDE = 680  # pixels: a picture from this width on keeps 36rem on a phone, and scrolls
_attribute = re.compile(r'([\w-]+)="([^"]*)"')
_view = re.compile(r'viewBox="\S+ \S+ (\S+) ')
_class = re.compile(r"\.([\w-]+)")
_identifier = re.compile(r"#([\w-]+)")
_heading_id = re.compile(r"\s*\{#([\w-]+)[^}]*\}\s*$")
_figure = re.compile(r"@(fig-[\w-]+)")
_labels = re.compile(r'(?:id="|\{#)(fig-[\w-]+)')


def raw(html: str) -> str:
    "HTML as a part of a Markdown document"
    return f"{RAW}\n{html}\n{RAW.partition('{')[0]}"


def highlighted(code: str, language: str, cell: str = "") -> str:
    "Code with its tokens marked; `cell` says whose it is"
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    marked = highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    mark = f' data-cell="{cell}"' if cell else ""
    return f'<pre class="code"{mark}><code>{marked}</code></pre>'


def _fence(self, tokens, index, options, env) -> str:
    token = tokens[index]
    language = token.info.strip().strip("{}.").split(" ")[0] if token.info.strip() else ""
    return token.content if language == "=html" else highlighted(token.content, language) + "\n"


def _container(self, tokens, index, options, env) -> str:
    return self.renderToken(tokens, index, options, env)


def _reader() -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    md.use(attrs_plugin)
    md.use(
        container_plugin,
        "div",
        validate=lambda parameters, *_: parameters.strip().startswith("{"),
        render=_container,
    )
    md.add_render_rule("fence", _fence)
    md.add_render_rule(
        "code_block",
        lambda self, tokens, index, options, env: highlighted(tokens[index].content, ""),
    )
    return md


def inline(text: str) -> str:
    "A line of Markdown as HTML"
    return _reader().renderInline(text)


def plain(text: str) -> str:
    "A line of Markdown as letters only"
    return unescape(re.sub(r"<[^>]+>", "", inline(text)))


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def _opened(token: Token, title: str | None) -> tuple[str, str]:
    "How a div begins and ends: folded callouts are details, others boxes"
    classes, attributes = _class.findall(token.info), dict(_attribute.findall(token.info))
    kind = next(
        (name.removeprefix("callout-") for name in classes if name.startswith("callout-")), None
    )
    identifier = _identifier.search(token.info)
    marks = f' id="{identifier[1]}"' if identifier else ""
    if not kind:
        return f'<div class="{" ".join(classes)}"{marks}>', "</div>"
    title = title or kind.capitalize()
    if attributes.get("collapse") == "true":
        return f'<details class="callout {kind}"{marks}><summary>{title}</summary>', "</details>"
    return f'<div class="callout {kind}"{marks}><p class="callout-title">{title}</p>', "</div>"


class Prose:
    "One page's Markdown, rendered; `headings` and `cited` tell what was met"

    def __init__(self, page: str, folder: Path):
        self.page, self.folder = page, folder
        self.headings, self.cited, self.figures = [], [], {}
        self.reader = _reader()

    def number(self, markdown: str):
        "Count the labelled figures of a part of the page; parts come in the page's order"
        for label in _labels.findall(markdown):
            self.figures.setdefault(label, len(self.figures) + 1)

    def render(self, markdown: str) -> str:
        "The page's HTML, with its list of references"
        self.number(markdown)
        tokens = self._divs(self.reader.parse(markdown))
        for number, token in enumerate(tokens):
            if token.type == "heading_open":
                self._heading(token, tokens[number + 1])
            if token.type == "inline":
                token.children = [part for child in token.children for part in self._inline(child)]
        html = self.reader.renderer.render(tokens, self.reader.options, {})
        html = re.sub(r"(<table\b.*?</table>)", r'<div class="table">\1</div>', html, flags=re.S)
        if not self.cited:
            return html
        self.headings.append((2, "references", "References"))
        return html + '<h2 id="references">References</h2>\n' + citations.references(self.cited)

    def _divs(self, tokens: list) -> list:
        "Fenced divs as HTML, a callout's first heading as its title"
        done, ends, rest = [], [], list(tokens)
        while rest:
            token = rest.pop(0)
            if token.type == "container_div_open":
                title = None
                if rest[0].type == "heading_open" and "callout" in token.info:
                    title = self.reader.renderer.renderInline(
                        rest[1].children, self.reader.options, {}
                    )
                    rest = rest[3:]
                begin, end = _opened(token, title)
                done.append(_html(begin))
                ends.append(end)
            elif token.type == "container_div_close":
                done.append(_html(ends.pop()))
            else:
                done.append(token)
        return done

    def _heading(self, opened: Token, content: Token):
        "An anchor for each heading, no two alike"
        given = _heading_id.search(content.content)
        if given:
            last = next(
                child
                for child in reversed(content.children)
                if child.type == "text" or child is content.children[0]
            )
            last.content = _heading_id.sub("", last.content)
        text = "".join(
            child.content for child in content.children if child.type in ("text", "code_inline")
        )
        base = anchor = given[1] if given else slug(text)
        taken, number = {known for _, known, _ in self.headings}, 0
        while anchor in taken:
            number += 1
            anchor = f"{base}-{number}"
        opened.attrSet("id", anchor)
        self.headings.append((int(opened.tag[1]), anchor, text))

    def _inline(self, token: Token) -> list:
        "Cross-references, citations, links to notebooks, and figures in prose"
        if token.type == "text":
            return self._text(token)
        if token.type == "link_open":
            token.attrSet("href", self.link(token.attrGet("href")))
        if token.type == "image":
            return [self._image(token)]
        return [token]

    def _text(self, token: Token) -> list:
        if "@" not in token.content:
            return [token]
        html = citations.cite(escape(token.content, quote=False), self.cited)
        html = _figure.sub(
            lambda match: (
                f'<a href="#{match[1]}">Figure {self.figures[match[1]]}</a>'
                if match[1] in self.figures
                else match[0]
            ),
            html,
        )
        return [Token("html_inline", "", 0, content=html)]

    def link(self, href: str) -> str:
        "A link to a notebook is a link to its page"
        path, mark, anchor = href.partition("#")
        if not path.endswith(".ipynb") or "://" in path:
            return href
        target = (self.folder / path).resolve()
        if not target.is_relative_to(book.NBS):
            return href
        return book.relative(book.address(target) + mark + anchor, self.page)

    def _drawn_width(self, src: str) -> float:
        "How wide a drawing in a file is; 0 for other pictures"
        file = self.folder / src
        if file.suffix != ".svg" or not file.is_file():
            return 0
        found = _view.search(file.read_text(encoding="utf-8"))
        return float(found[1]) if found else 0

    def _image(self, token: Token) -> Token:
        "A picture that has a caption is a figure"
        caption = self.reader.renderer.renderInlineAsText(token.children, self.reader.options, {})
        alt, label = token.attrGet("fig-alt") or caption, token.attrGet("id")
        width = f' width="{token.attrGet("width")}"' if token.attrGet("width") else ""
        mark = ' class="wide"' if self._drawn_width(token.attrGet("src")) >= WIDE else ""
        image = f'<img src="{escape(token.attrGet("src"))}" alt="{escape(alt)}"{width}{mark}>'
        return Token(
            "html_inline",
            "",
            0,
            content=figure(image, escape(caption), label, self.figures.get(label), tag="span"),
        )


def figure(
    content: str, caption: str, label: str | None, number: int | None, tag: str = "figure"
) -> str:
    "A figure with its caption, numbered when it has a label"
    mark = f' id="{label}"' if label else ""
    shown = f"Figure {number}: {caption}" if number else caption
    inner = "figcaption" if tag == "figure" else tag
    below = f'<{inner} class="caption">{shown}</{inner}>' if shown else ""
    return f'<{tag} class="figure"{mark}>{content}{below}</{tag}>'
