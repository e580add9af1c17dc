"The site without Quarto: links resolve, nothing raw, nothing too wide; bad pages try the checks."

import json
import os
import re
import shutil

import pytest
from markdown_it import MarkdownIt
from site_pages import (
    HOST,
    ROOT,
    bare_figures,
    broken_link,
    broken_links,
    built,
    doubled_ids,
    foreign,
    foreign_style,
    pages,
    parse,
    places,
    raw_markdown,
    turned,
    untitled,
    wide_lines,
)

from pages import book
from pages.box import add_box
from pages.cells import parts
from pages.filters import by_definition, home, slug, unbroken, wrap_signature

BAD = """<html><head><title></title><script src="https://cdn.example/require.js"></script>
<style>@import "//fonts.example/a.css"</style></head>
<body><main><h1>One</h1><h1>Two</h1><h2 id="here">A</h2><h2 id="here">B</h2>
<a href="gone.html">gone</a> <a href="#nowhere">nowhere</a>
<a href="%s/cli.html#nothing">own address</a>
<p>see [text](page.ipynb) and **bold** and `code` and ::: and @fig-x and [@key2020]</p>
<pre data-cell="ab12">%s</pre><pre>def f(x:[`int`](https://x.example))</pre>
<img src="a.png"></main></body></html>""" % (HOST, "x" * 83)
GOOD = """<html><head><title>T</title><meta name="description" content="D"></head>
<body><main><h1 id="here">One</h1><p class="description">D</p>
<a href="#here">here</a> <a href="https://elsewhere.example">elsewhere</a>
<p>plain <code>**kwargs</code> text</p><pre>short</pre>
<span class="figure"><img src="a.png" alt="a cat">
<span class="caption">A cat.</span></span></main></body></html>"""


def none(found):
    "Fail with all that was found"
    assert not found, f"{len(found)} found:\n" + "\n".join(found)


def each(check):
    none([found for page, soup in pages().items() for found in check(page, soup)])


def parse_file(path):
    return parse(path.read_text(encoding="utf-8"))


def site_files() -> set:
    site = built()
    return {fn.relative_to(site).as_posix() for fn in site.rglob("*") if fn.is_file()}


def test_the_checks_can_fail():
    bad, files = {"bad.html": parse(BAD), "cli.html": parse("<h1>x</h1>")}, {"bad.html", "cli.html"}
    assert len(broken_links("bad.html", bad["bad.html"], places(bad), files)) == 3
    assert len(raw_markdown("bad.html", bad["bad.html"])) == 2  # the paragraph and the signature
    for one in ("[a](b)", "**bold**", "`code`", ":::", "@fig-x", "[@key]", "$$x$$"):
        assert raw_markdown("p", parse(f"<main><p>before {one} after</p></main>")), one
    assert [found.split(":")[0] for found in wide_lines("bad.html", bad["bad.html"])] == [
        "bad.html cell ab12"
    ]
    assert len(bare_figures("bad.html", bad["bad.html"])) == 2
    assert len(untitled("bad.html", bad["bad.html"])) == 4
    assert doubled_ids("bad.html", bad["bad.html"]) == ["bad.html: here"]
    assert len(foreign("bad.html", bad["bad.html"])) == 2
    assert foreign_style("a { background: url(https://x.example/a.png) }")


def test_the_checks_let_a_good_page_pass():
    good = {"good.html": parse(GOOD)}
    assert broken_links("good.html", good["good.html"], places(good), {"good.html"}) == []
    for check in (raw_markdown, wide_lines, bare_figures, untitled, doubled_ids, foreign):
        assert check("good.html", good["good.html"]) == []


def test_every_link_and_anchor_resolves():
    files, known = site_files(), places(pages())
    each(lambda page, soup: broken_links(page, soup, known, files))


def test_the_links_of_the_readme_resolve():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    soup, files = parse(MarkdownIt().enable("table").render(text)), site_files()
    known = places(pages())
    own = {slug(heading) for heading in re.findall(r"^#+ +(.+)$", text, flags=re.M)}
    found = []
    for href in [tag.get("href") or tag.get("src") for tag in soup.find_all(["a", "img"])]:
        if href.startswith("#"):
            wrong = "" if href[1:] in own else "no such heading"
        elif re.match(r"[a-z]+:", href):
            wrong = broken_link(href, "index.html", known, files)
        else:
            wrong = "" if (ROOT / href.partition("#")[0]).exists() else "no such file"
        if wrong:
            found.append(f"{href}: {wrong}")
    none(found)


def test_the_landing_page_shows_a_model_only_where_there_is_one(tmp_path):
    landing = "index.html"
    for name in (landing, "app/cli.html"):
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(built() / name, tmp_path / "site" / name)
    assert not add_box(tmp_path / "site", tmp_path / "none") and not parse_file(
        tmp_path / "site" / landing
    ).find("iframe")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_bytes(b"x" * 23_000_000)
    assert add_box(tmp_path / "site", tmp_path / "page")
    soup, files = parse_file(tmp_path / "site" / landing), site_files() | {"try/index.html"}
    box = soup.find("details", class_="try")
    assert box.iframe["title"] and box.iframe["data-src"] == box.a["href"]
    assert not box.iframe.get("src")  # nothing is loaded before somebody opens the box
    assert "23 MB" in box.get_text() and (tmp_path / "site" / box.a["href"]).is_file()
    for check in (raw_markdown, untitled, doubled_ids, foreign):
        assert check(landing, soup) == []
    assert broken_links(landing, soup, places(pages() | {landing: soup}), files) == []
    (tmp_path / "quarto").mkdir()
    (tmp_path / "quarto" / landing).write_text('<section id="three-doors" class="level2"><h2>')
    add_box(tmp_path / "quarto", tmp_path / "page")
    assert parse_file(tmp_path / "quarto" / landing).find("details", class_="try")
    (tmp_path / "quarto" / landing).write_text("<h2>Doors</h2>")
    with pytest.raises(SystemExit, match="should be there once"):
        add_box(tmp_path / "quarto", tmp_path / "page")


def test_no_raw_markdown():
    each(raw_markdown)


def test_no_page_names_a_folder_that_only_one_run_had():
    none([f"{page}: {found}" for page, soup in pages().items() for found in re.findall(r"\S*/tmp/tmp\w+", soup.get_text())])


def test_nothing_is_wider_than_the_page():
    each(wide_lines)


def test_every_picture_has_a_caption_and_words():
    each(bare_figures)


def test_titles_and_descriptions():
    each(untitled)


def test_no_two_places_have_one_name():
    each(doubled_ids)


def test_nothing_comes_from_another_host():
    each(foreign)
    none(
        [
            found
            for fn in built().rglob("*.css")
            for found in foreign_style(fn.read_text(encoding="utf-8"))
        ]
    )


def test_the_sidebar_has_every_page_once_and_the_pages_turn_in_its_order():
    order = [book.address(fn) for _, listed in book.sections() for fn in listed]
    assert book.unlisted() == []
    assert sorted(order) == sorted(pages())
    for number, address in enumerate(order):
        soup = pages()[address]
        links = [tag["href"] for tag in soup.find("nav", class_="pages").find_all("a")]
        assert links == [book.relative(each, address) for each in order], address
        assert (
            len(soup.find("nav", class_="pages").find_all(attrs={"aria-current": "page"})) == 1
        ), address
        before = book.relative(order[number - 1], address) if number else None
        after = book.relative(order[number + 1], address) if number + 1 < len(order) else None
        assert turned(soup) == (before, after), address


def test_pages_are_named_as_nbdev_names_them():
    from nbdev.doclinks import _nbpath2html

    for fn in book.notebooks():
        assert book.address(fn) == _nbpath2html(fn.relative_to(book.NBS)).as_posix()


def test_the_ways_from_a_page_to_its_notebook():
    for fn in book.notebooks():
        doors = [
            tag["href"] for tag in pages()[book.address(fn)].find(class_="doors").find_all("a")
        ]
        place = fn.relative_to(ROOT).as_posix()
        assert [door.endswith(place) for door in doors] == [True, False, True]
        assert (built() / "notebooks" / fn.relative_to(book.NBS)).read_bytes() == fn.read_bytes()


def test_llms_txt_and_twins():
    site = built()
    listed = re.findall(
        rf"\]\({re.escape(HOST)}/([^)]+)\)", (site / "llms.txt").read_text(encoding="utf-8")
    )
    assert listed == [
        book.address(fn) + ".md" for _, notebooks in book.sections() for fn in notebooks
    ]
    for name in listed:
        twin = (site / name).read_text(encoding="utf-8")
        assert twin.startswith("# ") and len(twin) > 200, name
        prose = re.sub(r"^```.*?^```", "", twin, flags=re.M | re.S)
        targets = [
            target
            for target in re.findall(r"\]\(([^)\s#]+)", prose)
            if not re.match("[a-z]+:", target)
        ]
        assert [
            target
            for target in targets
            if not (site / name).parent.joinpath(target).resolve().exists()
        ] == [], name


def test_the_search_index_leads_to_places():
    site = built()
    text = (site / "assets" / "index.js").read_text(encoding="utf-8")
    entries = json.loads(text.removeprefix("window.searchIndex = ").removesuffix(";\n"))
    known = places(pages())
    assert {entry["place"].partition("#")[0] for entry in entries} == set(known)
    assert [
        entry["place"]
        for entry in entries
        if broken_link(entry["place"], "index.html", known, set(known))
    ] == []
    assert any("confusion matrix" in entry["text"].lower() for entry in entries)


def test_names_in_prose_lead_where_the_prose_means():
    assert (
        home("predict") is None and home("classifier.predict") is None
    )  # the method is not the command
    fn, anchor = home("FineTunedClassifier")
    assert (fn.name, anchor) == ("07_fine_tuning.ipynb", "finetunedclassifier")
    assert home("FineTunedClassifier.fit") == (fn, anchor) and home(
        "fine_tuning.FineTunedClassifier"
    ) == (fn, anchor)
    assert home("no_such_name") is None and home("pandas.DataFrame") is None
    place = home("emotion-nbdev predict")
    assert place is None or place[0].stem.endswith("_cli")


def test_signatures_are_broken_where_the_page_ends():
    line = "    texts, # " + "word " * 40
    shown = wrap_signature(f"```python\ndef f(\n{line}\n)\n```")
    assert max(map(len, shown.splitlines())) <= 82
    assert shown.count("word") == 40
    assert wrap_signature(line) == line  # outside of code nothing is broken


def test_definitions_stand_in_their_order_and_are_shown_once():
    code = "A = 1\n\ndef one(): pass\n\ndef _own(): pass\n\n@cache\nclass Two: pass\n\nB = 2\n"
    first, second = by_definition(code)
    assert first == "A = 1\n\ndef one(): pass"
    assert second == "def _own(): pass\n\n@cache\nclass Two: pass\n\nB = 2"
    assert by_definition("def _own(): pass") == ["def _own(): pass"]
    for fn in book.notebooks():
        stored = [cell for cell in book.cells(fn) if re.match(r"#\| exports?\n", cell["source"]) and "#| hide" not in cell["source"]]
        named = [name.lower() for cell in stored for name in re.findall(r"^(?:async )?(?:def|class) ([^_\W]\w*)", cell["source"], flags=re.M)]
        soup = pages()[book.address(fn)]
        headings = [tag["id"] for tag in soup.find_all("h3") if tag.get("id") in named]
        assert [name for name in dict.fromkeys(named) if name in headings] == headings, fn
        shown = [cell for cell in stored if cell["source"].startswith("#| exports")]
        text = "\n".join(tag.get_text() for tag in soup.find_all("pre"))
        once = [name for cell in shown for name in re.findall(r"^def [^_\W]\w*\(", cell["source"], flags=re.M)]
        assert [name for name in once if len(re.findall(rf"^{re.escape(name)}", text, flags=re.M)) != 1] == [], fn


def test_a_number_and_its_percent_stay_together_on_pages_only():
    assert unbroken("95 % of `95 %` and %") == "95\N{NO-BREAK SPACE}% of `95 %` and %"
    assert "95\N{NO-BREAK SPACE}%" in (built() / "index.html").read_text(encoding="utf-8")
    for name in (built() / "index.html.md", built() / "assets" / "index.js", ROOT / "README.md"):
        text = name.read_text(encoding="utf-8")
        assert "95 %" in text and "\N{NO-BREAK SPACE}%" not in text, name


@pytest.mark.parametrize(
    ("said", "wraps"), [("a long sentence, " * 9, True), ("one  two\n 1    2", False), ("╭─ Options ─╮", False)]
)
def test_sentences_may_be_broken_on_a_phone_and_columns_not(said, wraps):
    from execnb.nbio import mk_cell

    cell = mk_cell("print(said)")
    cell.outputs = [{"output_type": "stream", "name": "stdout", "text": said}]
    assert ('"output sentences"' in "".join(parts(cell, {}))) == wraps


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        (
            '::: {.callout-note collapse="true"}\n## In the book\nText.\n:::',
            '<details class="callout note"><summary>In the book</summary><p>Text.</p>\n</details>',
        ),
        (
            "::: {.callout-tip}\nText.\n:::",
            '<div class="callout tip"><p class="callout-title">Tip</p><p>Text.</p>\n</div>',
        ),
        ("[a](03_features.ipynb#not-twice)", '<p><a href="features.html#not-twice">a</a></p>'),
        (
            '[a](app/03_cli.ipynb){target="_blank"}',
            '<p><a href="app/cli.html" target="_blank">a</a></p>',
        ),
        ("## A `b` C? {#own}", '<h2 id="own">A <code>b</code> C?</h2>'),
        ("```{=html}\n<b>x</b>\n```", "<b>x</b>\n"),
    ],
)
def test_markdown_as_pandoc_reads_it(markdown, html):
    from pages.prose import Prose

    assert Prose("index.html", book.NBS).render(markdown).strip() == html.strip()


def test_figures_and_citations_are_numbered_and_listed():
    from pages.prose import Prose

    prose = Prose("index.html", book.NBS)
    html = prose.render(
        "See @fig-b [@devlin2019bert; @brier1950verification, p. 2].\n\n"
        "![Cap](images/a.png){#fig-a}\n\n"
        '![Cap](images/b.png){#fig-b fig-alt="Alt"}'
    )
    assert (
        '<a href="#fig-b">Figure 2</a>' in html and 'alt="Alt"' in html and "Figure 2: Cap" in html
    )
    assert '(<a href="#ref-devlin2019bert">Devlin et al. 2019</a>; ' in html
    assert '; <a href="#ref-brier1950verification">Brier 1950</a>, p. 2)' in html
    assert html.index('<li id="ref-brier1950verification">') < html.index(
        '<li id="ref-devlin2019bert">'
    )


def test_an_unknown_citation_or_figure_stays_to_be_seen():
    from pages.prose import Prose

    soup = parse(
        "<main>"
        + Prose("index.html", book.NBS).render("As [@nobody2000] and @fig-none say.")
        + "</main>"
    )
    assert len(raw_markdown("index.html", soup)) == 1


def test_quarto_gets_paths_that_are_there():
    "tools/docs.py takes `nbs/` off, so each path of the definition must start with it"
    text = (ROOT / "_quarto.yml").read_text(encoding="utf-8")
    named = [name for name in re.findall(r"nbs/[\w./-]+\.\w+", text) if not name.endswith(".ipynb")]
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert not os.path.lexists(ROOT / "nbs" / "nbdev.yml")
