"The live box of the landing page: a model's page, which is loaded when somebody opens the box."

import re
import shutil
from pathlib import Path

AFTER = re.compile(r'<(?:h2|section) id="three-doors"')  # the heading, as we or Quarto write it


def add_box(dest: Path, page: Path) -> bool:
    "Copy a model's page into the site and show it on the landing page, if there is such a page"
    if not (page / "index.html").is_file():
        return False
    landing = dest / "index.html"
    html = landing.read_text(encoding="utf-8")
    places = [found.start() for found in AFTER.finditer(html)]
    if len(places) != 1:
        raise SystemExit(f"{landing}: the heading after the box should be there once")
    shutil.copytree(page, dest / "try")
    size = sum(path.stat().st_size for path in page.rglob("*") if path.is_file())
    box = Path(__file__).with_name("box.html").read_text(encoding="utf-8")
    box = box.replace("{{ size }}", f"{size / 1e6:.0f} MB")
    landing.write_text(html[: places[0]] + box + html[places[0] :], encoding="utf-8")
    return True
