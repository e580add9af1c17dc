"Citations: `[@key]` becomes (Author Year), and the page ends with what was cited."

import re
from functools import cache
from html import escape

from pybtex.database import parse_file
from pybtex.richtext import Text

from pages import book

_group = re.compile(r"\[((?:-?@[\w:-]+[^\[\]@;]*;? *)+)\]")
_single = re.compile(r"(?<![\w@/.])@(?!fig-|tbl-|sec-)([a-z][\w:-]*\d{4}\w*)")
_member = re.compile(r"-?@([\w:-]+)(?:, *([^;]+))?")


@cache
def _entries() -> dict:
    "The bibliography"
    path = book.NBS / "references.bib"
    return dict(parse_file(path).entries) if path.exists() else {}


def _plain(text: str) -> str:
    return str(Text.from_latex(text)).replace("--", "–")


def _field(entry, name: str) -> str:
    return escape(_plain(entry.fields.get(name, "")))


def _people(entry) -> list[str]:
    "Last names, or an organisation's name"
    return [
        _plain(" ".join(person.prelast_names + person.last_names))
        for person in entry.persons.get("author", [])
    ]


def _names(entry) -> str:
    "Authors as they stand in a sentence"
    people = _people(entry)
    if len(people) > 3:
        return f"{people[0]} et al."
    if len(people) > 1:
        return ", ".join(people[:-1]) + " and " + people[-1]
    return people[0] if people else _plain(entry.fields["title"])


def _authors(entry) -> str:
    "Authors as they stand in the list"
    people = [
        _plain(
            " ".join(
                person.first_names + person.middle_names + person.prelast_names + person.last_names
            )
        )
        for person in entry.persons.get("author", [])
    ]
    return escape(", ".join(people))


def _reference(key: str, entry) -> str:
    "One entry of the list at the end of the page"
    where = next(
        (
            _field(entry, name)
            for name in ("journal", "booktitle", "publisher", "howpublished")
            if name in entry.fields
        ),
        "",
    )
    volume = " ".join(
        filter(
            None,
            [
                _field(entry, "volume"),
                f"({_field(entry, 'number')})" if "number" in entry.fields else "",
            ],
        )
    )
    address = (
        f"https://doi.org/{entry.fields['doi']}"
        if "doi" in entry.fields
        else entry.fields.get("url", "")
    )
    parts = [
        _authors(entry),
        _field(entry, "year"),
        f"“{_field(entry, 'title')}”",
        f"<em>{where}</em> {volume}".strip() if where else "",
        _field(entry, "pages"),
    ]
    link = f' <a href="{escape(address)}">{escape(address)}</a>' if address else ""
    return f'<li id="ref-{key}">{". ".join(part for part in parts if part)}.{link}</li>'


def cite(text: str, cited: list) -> str:
    "HTML of a run of prose in which citations became links; `cited` collects the keys"

    def known(key):
        if key not in cited:
            cited.append(key)
        return _entries()[key]

    def group(match):
        shown, members = [], _member.findall(match[1])
        if any(key not in _entries() for key, _ in members):
            return match[0]  # seen by the test of raw Markdown
        for key, place in members:
            entry = known(key)
            where = f", {escape(place.strip())}" if place else ""
            shown.append(
                f'<a href="#ref-{key}">{escape(_names(entry))} {entry.fields["year"]}</a>{where}'
            )
        return f"({'; '.join(shown)})"

    def single(match):
        if match[1] not in _entries():
            return match[0]
        entry = known(match[1])
        return f'{escape(_names(entry))} (<a href="#ref-{match[1]}">{entry.fields["year"]}</a>)'

    return _single.sub(single, _group.sub(group, text))


def references(cited: list) -> str:
    "The list at the end of the page, or nothing"
    if not cited:
        return ""
    ordered = sorted(
        cited, key=lambda key: (_names(_entries()[key]), _entries()[key].fields["year"])
    )
    return (
        '<ul class="references">'
        + "".join(_reference(key, _entries()[key]) for key in ordered)
        + "</ul>"
    )
