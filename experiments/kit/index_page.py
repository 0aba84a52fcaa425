"""One page that shows what an output folder holds: figures, results, where the rest lies.

Plain HTML without anything from elsewhere; it links to files beside it, so that it moves with its
folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem }
h2 { margin-top: 2.5rem } img { width: 100%; max-width: 56rem; border: 1px solid #d0d4da }
table { border-collapse: collapse; font-size: 13px } th { text-align: left; background: #f2f4f7 }
th, td { border: 1px solid #d0d4da; padding: .25rem .5rem; vertical-align: top }
nav a { margin-right: 1rem } .faint { color: #777 } .wide { overflow-x: auto }
"""


@dataclass(frozen=True)
class Section:
    """One experiment. status: how it ended, in words. picture, files: paths beside the page."""

    name: str
    status: str
    picture: str | None
    files: Sequence[str]


def index_page(
    title: str,
    sections: Sequence[Section],
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    about: str,
) -> str:
    """The page: pictures, then the results in one table, then how to read it."""
    links = [f'<a href="#{escape(s.name)}">{escape(s.name)}</a>' for s in sections]
    links.append('<a href="#results">results</a>')
    body = [f"<h1>{escape(title)}</h1>", f"<nav>{' '.join(links)}</nav>"]
    body += [_section(section) for section in sections]
    body.append(f'<h2 id="results">Results</h2><div class="wide"><table>{_row(head, "th")}')
    body += [_row(row, "td") for row in rows]
    body.append(f"</table></div><p>{escape(about.replace('*', ''))}</p>")
    body.append('<p>All claims, with the rule of each: <a href="results.md">results.md</a></p>')
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>'
        f"\n<style>{STYLE}</style>\n" + "\n".join(body) + "\n</html>\n"
    )


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _section(section: Section) -> str:
    parts = [f'<h2 id="{escape(section.name)}">{escape(section.name)}</h2>']
    parts.append(f'<p class="faint">{escape(section.status)}</p>')
    if section.picture:
        picture, name = quote(section.picture), escape(section.name)
        parts.append(f'<a href="{picture}"><img src="{picture}" alt="{name}" loading="lazy"></a>')
    files = [f'<a href="{quote(path)}">{escape(path)}</a>' for path in section.files]
    return "\n".join([*parts, f"<p>{' '.join(files)}</p>"])
