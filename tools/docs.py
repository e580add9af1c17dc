"Render the notebooks to _docs/: with Quarto where there is one, else by tools/pages."

import shutil
import subprocess
from pathlib import Path

import nbdev.serve
import yaml
from fastcore.script import call_parse
from nbdev.config import get_config

from pages.box import add_box
from pages.build import build, host, sections, write_beside
from pages.filters import Filter


class QuartoFilter(Filter):
    "nbdev's rules with our links, and links to Colab and to the notebook at the side of each page"

    def __call__(self, nb):
        super().__call__(nb)
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                _raw_html(output)
        front = nb.cells[0]
        about = yaml.safe_load(front.source.strip().strip("-"))
        about["other-links"] = _doors(nb.path_)
        front.source = f"---\n{yaml.dump(about)}\n---\n\n"


def _raw_html(output):
    "HTML as raw Markdown: for an HTML output Quarto adds require.js and jQuery from another host"
    html = output.get("data", {}).get("text/html")
    if html:
        output["data"] = {"text/markdown": f"~~~~~~~~~~{{=html}}\n{''.join(html)}\n~~~~~~~~~~\n"}


def _doors(fn) -> list[dict]:
    "The ways from a page to its notebook"
    cfg = get_config()
    place = Path(fn).resolve().relative_to(Path(cfg.config_path).resolve()).as_posix()
    colab = (
        f"https://colab.research.google.com/github/{cfg.user}/{cfg.repo}/blob/{cfg.branch}/{place}"
    )
    notebook = f"{host()}/notebooks/{place.removeprefix('nbs/')}"
    return [{"text": "Open in Colab", "href": colab}, {"text": "Notebook", "href": notebook}]


def _definition(cfg, cache: Path):
    "_quarto.yml and what it names, for the folder in which nbdev puts processed notebooks"
    text = (Path(cfg.config_path) / "_quarto.yml").read_text(encoding="utf-8")
    (cache / "_quarto.yml").write_text(text.replace("nbs/", ""), encoding="utf-8")
    site = {
        "site-url": host(),
        "repo-url": cfg.git_url,
        "repo-branch": cfg.branch,
        "repo-subdir": "nbs",
        "repo-actions": ["source", "issue"],
    }
    (cache / "nbdev.yml").write_text(yaml.dump({"website": site}), encoding="utf-8")


def with_quarto(dest: Path):
    "What `nbdev_docs` does, less its README.md and the file it leaves in nbs/"
    cfg = get_config()
    nbdev.serve.FilterDefaults = QuartoFilter
    cache = nbdev.serve.proc_nbs(force=True, n_workers=0)  # in this process, which knows our filter
    _definition(cfg, cache)
    subprocess.run(["quarto", "render", "--no-cache"], cwd=cache, check=True)
    shutil.rmtree(dest, ignore_errors=True)
    shutil.move(cache / "_docs", dest)
    write_beside(dest, sections())


@call_parse
def main(
    dest: str = "",  # the folder to write (default: _docs)
    plain: bool = False,  # without Quarto, even where there is one
    page: str = "emotion-run/page",  # a model's page for the landing page, if there is one
):
    "Render the docs, and say how"
    root = Path(get_config().config_path)
    dest = Path(dest or root / "_docs")
    quarto = shutil.which("quarto") and not plain
    (with_quarto if quarto else build)(dest)
    print(f"rendered {'with' if quarto else 'without'} Quarto: {dest / 'index.html'}")
    if add_box(dest, root / page):
        print(f"the model of {page} answers on it")
    else:
        print(f"no {page}, which `make run` makes, so no model answers on it")
