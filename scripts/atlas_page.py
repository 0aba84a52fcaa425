"""Write the table of docs/atlas.md from the atlas.json files of runs, kept in docs/atlas.json.

    .venv/bin/python scripts/atlas_page.py outputs/atlas/<folder> …

Without a folder the table is written again from what is kept. A run takes the place of an earlier
one of the same network and snapshots.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deconv.data.text_files import json_text

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, DATA = DOCS / "atlas.md", DOCS / "atlas.json"
BEGIN, END = "<!-- from atlas.json: -->\n", "<!-- -->\n"
HEAD = (
    "| network | maps | images | files | MB | mining, s per 1000 images "
    "| pictures, s per 1000 maps | pages, s per 1000 maps |\n|---|---|---|---|---|---|---|---|\n"
)


def table(runs: list[dict[str, Any]]) -> str:
    """The rows of the page; of times the processors' seconds, on the wall in brackets."""
    rows = []
    for run in runs:
        snapshots = f", {run['snapshots']} snapshots" if run["snapshots"] > 1 else ""
        times = [
            f"{run[f'{what}_cpu_s_per_1000_{of}']:.3g} ({run[f'{what}_s_per_1000_{of}']:.3g})"
            for what, of in (("mining", "images"), ("pictures", "units"), ("pages", "units"))
        ]
        size = [sum(run["maps"].values()), run["images"], run["files"], f"{run['bytes'] / 1e6:.0f}"]
        cells = [run["network"] + snapshots, *map(str, size), *times]
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def written(page: str, runs: list[dict[str, Any]]) -> str:
    """The page with its table written again."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table(runs) + END + rest.partition(END)[2]


def main(folders: list[str]) -> None:
    """Add the runs of the folders, write both files."""
    kept = json.loads(DATA.read_text(encoding="utf-8")) if DATA.is_file() else []
    for folder in folders:
        run = json.loads((Path(folder) / "atlas.json").read_text(encoding="utf-8"))
        del run["commit"]  # of a branch that may be gone; the run's own file has it
        key = ("network", "snapshots")
        kept = [one for one in kept if any(one[k] != run[k] for k in key)] + [run]
    DATA.write_text(json_text(kept) + "\n", encoding="utf-8")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), kept), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
