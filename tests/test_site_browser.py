"The pages in a real browser, wide and narrow, light and dark.  A machine without one says so."

import re
import shutil

import pytest
from conftest import served
from site_pages import addresses, built

from pages.box import add_box

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
if not CHROMIUM:
    pytest.skip("no browser", allow_module_level=True)
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ALL = {"resultTypes": ["violations"]}
CONTRAST = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
ALIKE = """() => {
    const kinds = new Set();
    for (const span of document.querySelectorAll("pre.code span")) {
        const kind = [span.className, span.style.cssText, !!span.closest(".callout")].join();
        if (kinds.has(kind)) span.replaceWith(span.textContent);
        kinds.add(kind);
    }
    document.querySelectorAll("pre.code code").forEach((code) => code.normalize());
    for (const row of document.querySelectorAll("tbody tr:nth-child(n + 4)"))
        if (!row.querySelector("[class], [style], td > *")) row.remove();
    document.querySelectorAll("nav.pages li + li:not(:has([aria-current]))")
        .forEach((item) => item.remove());
}"""  # of what is alike axe sees some: each kind of token, first rows, the sidebar's first links
BAD = """<!doctype html><html lang="en"><title>bad</title><main>
<h1 style="color: #bbb; background: #fff">pale</h1><div style="width: 2000px">wide</div>
<pre class="code"><code><span class="k">if</span> <span class="k">in</span>
<span class="pale" style="color: #bbb">pass</span></code></pre>
<table><tbody><tr><td>one</td></tr><tr><td>two</td></tr><tr><td>three</td></tr>
<tr><td>four</td></tr><tr><td style="color: #bbb">five</td></tr></tbody></table>
<img src="https://elsewhere.example/a.png"><script>throw Error("broken")</script></main></html>"""
PAGE = """<!doctype html><html lang="en"><meta name="color-scheme" content="light dark">
<title>page</title><style>html { background: white; color: black }
@media (prefers-color-scheme: dark) { html { background: black; color: white } }</style>
<main><h1>Page</h1><label>Message <textarea></textarea></label></main></html>"""
WHOLE = "index.html"  # a page of which axe sees all


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Visitor:
    "A tab that writes down what it complains about"

    def __init__(self, browser, site):
        self.tab, self.site, self.complaints = (
            browser.new_page(viewport={"width": 1400, "height": 1000}),
            site,
            [],
        )
        self.tab.route("**/*", self._route)
        self.tab.on(
            "console",
            lambda message: (
                self.complaints.append(f"console: {message.text}")
                if message.type == "error"
                else None
            ),
        )
        self.tab.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _route(self, route):
        if route.request.url.startswith((self.site, "data:", "blob:")):
            return route.continue_()
        self.complaints.append(f"asked another host: {route.request.url}")
        route.abort()

    def look(self, scheme, width):
        self.tab.emulate_media(color_scheme=scheme)
        self.tab.set_viewport_size({"width": width, "height": 1000})
        wide = self.tab.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            self.complaints.append(f"{wide} wide at {width}")

    def audit(self, options, axe):
        found = axe.run(self.tab, None, options).response["violations"]
        serious = [
            violation for violation in found if violation["impact"] in ("serious", "critical")
        ]
        self.complaints += [
            f"axe: {violation['id']}: {node['html'][:160]}"
            for violation in serious
            for node in violation["nodes"][:9]
        ]

    def visit(self, address) -> list[str]:
        "What is wrong with one page"
        self.complaints = []
        self.tab.goto(self.site + address)
        for width in (1400, 390):
            for scheme in ("dark", "light"):
                self.look(scheme, width)
        if address != WHOLE:
            self.tab.evaluate(ALIKE)
        self.look("dark", 1400)
        self.audit(CONTRAST, Axe())
        self.look("light", 1400)
        self.audit(ALL, Axe(""))  # the page has the script already
        return [f"{address}: {complaint}" for complaint in self.complaints]


@pytest.fixture(scope="module")
def visitor(browser):
    with served(built()) as site:
        yield Visitor(browser, site)


def test_what_the_visitor_complains_about(browser, tmp_path):
    (tmp_path / "bad.html").write_text(BAD)
    with served(tmp_path) as site:
        complaints = "\n".join(Visitor(browser, site).visit("bad.html"))
    for part in ("asked another host", "error: broken", "wide at 390", "axe: image-alt"):
        assert part in complaints
    for pale in ("pale</h1>", "pass</span>", "five</td>"):
        assert re.search(f"axe: color-contrast: <.+{pale}", complaints)


def test_every_page_fits_is_quiet_and_can_be_read_by_all(visitor):
    found = [complaint for address in addresses() for complaint in visitor.visit(address)]
    assert not found, "\n".join(found)


def test_the_search_finds_the_confusion_matrix(visitor):
    visitor.tab.goto(visitor.site + "dataset.html")
    visitor.tab.fill("#search", "confusion matrix")
    visitor.tab.wait_for_selector("#found a")
    assert "confusion matri" in visitor.tab.inner_text("#found li:first-child").lower()
    visitor.tab.click("#found li:first-child a")
    assert "confusion matri" in visitor.tab.inner_text("main").lower()
    visitor.tab.fill("#search", "zzzz qqqq")
    visitor.tab.wait_for_selector("#found >> text=nothing found")


def test_the_button_turns_the_light_off_and_the_choice_stays(visitor):
    colour = "getComputedStyle(document.body).backgroundColor"
    visitor.tab.emulate_media(color_scheme="light")
    visitor.tab.goto(visitor.site + "index.html")
    light = visitor.tab.evaluate(colour)
    visitor.tab.click("#theme")
    dark = visitor.tab.evaluate(colour)
    visitor.tab.goto(visitor.site + "dataset.html")
    assert light != dark == visitor.tab.evaluate(colour)
    visitor.tab.evaluate("localStorage.clear()")


def test_the_live_box_is_loaded_when_it_is_opened_and_can_be_used_by_all(browser, tmp_path):
    shutil.copytree(built(), tmp_path / "site")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text(PAGE)
    add_box(tmp_path / "site", tmp_path / "page")
    with served(tmp_path / "site") as site:
        visitor = Visitor(browser, site)
        asked = []
        visitor.tab.on("request", lambda request: asked.append(request.url))
        assert visitor.visit("index.html") == [] and not [url for url in asked if "/try/" in url]
        visitor.tab.focus("details.try > summary")
        visitor.tab.keyboard.press("Enter")
        frame = visitor.tab.frame_locator("details.try iframe")
        frame.locator("textarea").fill("we won")
        assert asked.count(f"{site}try/index.html") == 1
        for width in (390, 1400):
            visitor.look("dark", width)
            inside = visitor.tab.locator("details.try iframe").bounding_box()
            assert 0 <= inside["x"] and inside["x"] + inside["width"] <= width, inside
        visitor.audit(ALL, Axe(""))
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        (inner,) = [each for each in visitor.tab.frames if each.url.endswith("try/index.html")]
        dark = inner.evaluate(ground)
        visitor.look("light", 1400)
        assert inner.evaluate(ground) != dark and visitor.complaints == []
