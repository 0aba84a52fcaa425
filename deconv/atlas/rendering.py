"""Templates of pages, and how numbers and data stand in them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from deconv.data.text_files import json_text

TEMPLATES = Path(__file__).parent / "templates"


def number(value: float) -> str:
    """Write three digits, without exponents where they can be spared."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(share: float) -> str:
    """Write a share as a percentage of two digits."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def script(name: str, content: Any) -> bytes:
    """Write data as a script that sets ATLAS.<name>, safe inside and outside of markup."""
    plain = json_text(content, indent=None).replace("<", "\\u003c")
    return f"window.ATLAS=window.ATLAS||{{}};ATLAS.{name}={plain};\n".encode()


@lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """The pages' templates, in which every name is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"number": number, "percent": percent}
    return found
