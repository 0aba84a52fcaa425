"""What a Table 3 of ours says about the paper's: the sign of each change of an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.kit.findings import Finding
from experiments.kit.reported import TABLE3

TABLE_COLUMNS = ("train top-1", "validation top-1", "validation top-5")
MARGIN = 0.5
"""Percentage points below which a difference is not counted as one, however many images."""


def papers_column(network: str, change: str) -> str | None:
    """The paper's network to compare with: the same, or for another the one that has the row."""
    if network in {"alexnet", "zfnet"}:
        return network if network in TABLE3[change] else None
    return "zfnet" if "zfnet" in TABLE3[change] else "alexnet"


def two_errors(first: float, second: float, images: int) -> float:
    """Two standard errors of the difference of two shares in percent, over so many images each."""
    variance = sum(share * (100 - share) for share in (first, second)) / images
    return 2 * variance**0.5


def images_of(line: dict[str, Any], column: str) -> int:
    """Over how many images a column's error was taken."""
    return line["train_images" if column == TABLE_COLUMNS[0] else "val_images"]


def findings(rows: Sequence[dict[str, Any]], imagenet: bool, cut_short: str = "") -> list[Finding]:
    """A finding a row and column that the paper has, where "none" was trained too.

    rows: those of the table that are done count. imagenet: whether the data are the paper's.
    cut_short: how, if the trainings were not as long as the recipe; then every sign stays open.
    Where several of our networks stand for one of the paper's, the first one counts.
    """
    done = {(line["network"], line["change"]): line for line in rows if line["state"] == "done"}
    found: dict[str, Finding] = {}
    for (network, change), line in done.items():
        theirs, base = papers_column(network, change), done.get((network, "none"))
        if theirs is None or base is None:
            continue
        for column in TABLE_COLUMNS:
            key = f"table3/{theirs}/{change}/{column}"
            finding = _finding(key, line, base, theirs, column, imagenet)
            if cut_short and change != "none":
                rule = f"open, as each training was cut short ({cut_short}): {finding.rule}"
                finding = replace(finding, holds=None, rule=rule)
            found.setdefault(key, finding)
    return list(found.values())


def _finding(
    key: str,
    line: dict[str, Any],
    base: dict[str, Any],
    theirs: str,
    column: str,
    imagenet: bool,
) -> Finding:
    images, value = images_of(line, column), line[column]
    spread = 200 * (value / 100 * (1 - value / 100) / images) ** 0.5
    note = f"spread: two standard errors of a share over {images} images"
    holds = None
    if line["change"] == "none":
        rule = f"the unchanged {line['network']}, which the other rows are compared with; {note}"
    else:
        ours = value - base[column]
        margin = max(MARGIN, two_errors(value, base[column], images))
        at = TABLE_COLUMNS.index(column)
        reported = round(TABLE3[line["change"]][theirs][at] - TABLE3["none"][theirs][at], 1)
        holds = same_sign(ours, reported, margin)
        rule = (
            f"the error of {line['network']} moves against its 'none' as the paper's {theirs} does "
            f"({reported:+.1f} points; here {ours:+.2f}); open within the margin of {margin:.2f} "
            f"points, two standard errors of the difference and at least {MARGIN:g}; {note}"
        )
    same = imagenet and line["network"] == theirs and line["as_in_the_paper"]
    return Finding(key, value, spread, holds, rule, comparable=same)


def same_sign(ours: float, reported: float, margin: float) -> bool | None:
    """Whether a difference has the reported sign; None if it is within the margin of none.

    Where the paper reports no difference at all, ours has to be within the margin.
    """
    if reported == 0:
        return abs(ours) <= margin
    return None if abs(ours) <= margin else (ours > 0) == (reported > 0)
