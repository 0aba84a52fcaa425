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
nav { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem }
nav a { font-size: 13px; color: inherit } nav img { display: block; width: 100%; height: 8rem;
  object-fit: cover; object-position: top }
.faint { color: #666 } .wide { overflow-x: auto }
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
    shown = sorted(sections, key=lambda section: section.picture is None)
    links = " ".join(map(_thumbnail, shown))
    body = [f"<h1>{escape(title)}</h1>", f'<nav>{links} <a href="#results">results</a></nav>']
    body += map(_section, shown)
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


def _thumbnail(section: Section) -> str:
    name = escape(section.name)
    picture = f'<img src="{quote(section.picture)}" alt="">' if section.picture else ""
    return f'<a href="#{name}">{picture}{name}</a>'


def _section(section: Section) -> str:
    parts = [f'<h2 id="{escape(section.name)}">{escape(section.name)}</h2>']
    parts.append(f'<p class="faint">{escape(section.status)}</p>')
    if section.picture:
        picture, name = quote(section.picture), escape(section.name)
        parts.append(f'<a href="{picture}"><img src="{picture}" alt="{name}" loading="lazy"></a>')
    files = [f'<a href="{quote(path)}">{escape(path)}</a>' for path in section.files]
    return "\n".join([*parts, f"<p>{' '.join(files)}</p>"])
