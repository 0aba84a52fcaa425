"""The page that `scripts/bench` writes from its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HEAD = """# Speed

`scripts/bench` wrote this; its data is `speed.json`. One thread of one process, on the process's
own clock. All ways of a task take turns, so that what slows the machine slows them alike; "ours is
faster" is the median of the rounds' ratios, with the lowest and the highest. Networks have random
weights (He) and images are random pixels. Memory is by how much the largest resident set of a
forked child grows, some 15 MB of it the libraries' own pages. "Of product, of conv." is what ours
multiplies and adds, over the time, over the rates of one large matrix product and of one large 3×3
convolution. "Difference", if nothing else is said, is the largest between ours and the first peer's
results, over the largest value.
"""


def page(data: dict[str, Any], notes: dict[str, str]) -> str:
    """Format the results as Markdown. notes: row -> what is compared."""
    about = data["machine"]
    parts = [HEAD, _machine_table(about)]
    for row, found in data["rows"].items():
        times = "each once" if row == "growth" else f"{found['rounds']} rounds"
        parts.append(f"## {row}\n\n{notes[row]} Measured on {found['date']}, {times}.\n")
        parts.append(_growth(found["cases"]) if row == "growth" else _cases(found["cases"]))
    return "\n".join(parts)


def _machine_table(about: dict[str, Any]) -> str:
    rows = [
        [kind, f"{one['matmul']:g}", f"{one['conv3x3']:g}"] for kind, one in about["gflops"].items()
    ]
    head = ["GFLOP/s", "matrix product", "3×3 convolution"]
    words = (
        f"{about['processor']}, load average {about['load_average']:g} at the start, torch "
        f"{about['torch']}, malloc: {about['malloc']}"
    )
    return f"{words}\n\n{_table([head, *rows])}"


def _cases(cases: Sequence[dict[str, Any]]) -> str:
    head = "|way|a second|ours is faster|memory, MB|of product, of conv.|difference"
    rows = [head.split("|")]
    for one in cases:
        for number, way in enumerate(one["ways"]):
            median, low, high = way["ours_is_times_faster"]
            memory, share = way["memory_mb"], {} if number else one.get("share", {})
            rows.append(
                [
                    "" if number else one["case"],
                    way["way"],
                    f"{way['per_second']:g} {one['things']}",
                    f"{median:g}× ({low:g}…{high:g})" if number else "",
                    "" if memory is None else f"{memory:g}",
                    ", ".join(f"{100 * one:.3g} %" for one in share.values()),
                    "" if number or "difference" not in one else f"{one['difference']:.1e}",
                ]
            )
    return _table(rows)


def _growth(cases: Sequence[dict[str, Any]]) -> str:
    rows = [["", "of", "ms a thing", "memory, MB", "time grows as"]]
    for one in cases:
        name, power = one["case"], f"size^{one['exponent']:g}"
        for size, ms, memory in one["points"]:
            rows.append([name, f"{size} {one['of']}", f"{ms:g}", f"{memory:g}", power])
            name = power = ""
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"
