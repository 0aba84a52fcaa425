"""Keep the results of runs in experiments/results, and write the pages that show them.

    python -m scripts.results keep <set> <folder> …      # of any run, or of reproduce
    python -m scripts.results folds <name> <training> …  # Table 4 from scratch: adds to the row
    python -m scripts.results seconds <folder>           # of reproduce: what each step took
    python -m scripts.results pages                      # docs/results.md, docs/controls.md, README

A set is a folder of experiments/results, by custom named after the network; each run becomes one
file in it, named after its experiment, and takes the place of an earlier one.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from datetime import date
from pathlib import Path
from typing import Any

from deconv.data.text_files import json_text
from deconv.errors import DeconvError
from experiments.kit import budget, kept
from experiments.kit.kept import Record
from experiments.kit.printed import table
from experiments.kit.result_tables import tables
from experiments.kit.results_page import controls, results, summary
from experiments.kit.steps import DONE, STATE, read_state

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS, README = CHECKOUT / "docs", CHECKOUT / "README.md"
START = "<!-- results: written by scripts/results.py -->"
END = "<!-- end of results -->"
NOTE = "<!-- Written by scripts/results.py from experiments/results. -->\n\n"


def keep(name: str, folders: list[Path], to: Path = kept.RESULTS) -> list[Path]:
    """Write the result of each run into the set `name`; return the files."""
    runs = [run for folder in folders for run in runs_in(folder)]
    return [write(to / name, record["experiment"], record) for record in map(kept.collect, runs)]


def runs_in(folder: Path) -> list[Path]:
    """The folder itself, or the finished steps of a folder of reproduce."""
    if not (folder / STATE).is_file():
        return [folder]
    outcomes = read_state(folder).outcomes
    return [folder / stem for stem, one in outcomes.items() if one.status == DONE]


def folds(name: str, folders: list[Path], to: Path = kept.RESULTS) -> Path:
    """Add networks from scratch to a row of Table 4; a new fold replaces that of its split."""
    path = to / kept.FOLDS / f"{name}.json"
    old = kept.records(to)[f"{kept.FOLDS}/{name}"]["tables"]["folds"] if path.is_file() else []
    new = [kept.fold(folder) for folder in folders]
    seeds = {one["split_seed"] for one in new}
    row = kept.row_of_folds([*(one for one in old if one["split_seed"] not in seeds), *new])
    return write(path.parent, name, row)


def seconds(folder: Path, to: Path = budget.FILE) -> Path:
    """Keep what each step of a folder of reproduce took."""
    state = read_state(folder)
    took = {stem: one.seconds for stem, one in state.outcomes.items() if one.status == DONE}
    asked = state.settings["overrides"]
    size = asked.get("size", "laptop")
    other = [f"{k}={v}" for k, v in asked.items() if k not in ("size", "only", "skip", "minutes")]
    commit = next(folder.glob("*/provenance.json"))
    facts = json.loads(commit.read_text(encoding="utf-8"))
    about = {"size": size, "settings": other, "date": f"{date.today()}"}
    about |= {"commit": facts["commit"]}
    return write(to.parent, to.stem, about | {"cores": os.cpu_count(), "seconds": took})


def times(kept_seconds: dict[str, Any]) -> str:
    """The section on what each experiment takes, longest first."""
    took = sorted(kept_seconds["seconds"].items(), key=lambda item: -item[1])
    head = ["experiment", "seconds"]
    words = (
        f"## Time\n\nSeconds of each step of `reproduce size={kept_seconds['size']} "
        f"{' '.join(kept_seconds['settings'])}`, "
        f"{kept_seconds['cores']} cores, on {kept_seconds['date']}."
    )
    return f"{words}\n\n{table(head, [[stem, f'{one:.0f}'] for stem, one in took])}\n"


def write(folder: Path, name: str, record: Record) -> Path:
    """Write a record as folder/name.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(in_lines(record) + "\n", encoding="utf-8")
    return path


def in_lines(content: Any) -> str:
    """JSON with a line for each finding, fact and row of a table."""
    if not content or not isinstance(content, dict | list):
        return json_text(content, indent=None, ensure_ascii=False)
    if isinstance(content, list):
        inside = [json_text(one, indent=None, ensure_ascii=False) for one in content]
        if not isinstance(content[0], dict):
            return f"[{', '.join(inside)}]"
    else:
        inside = [f"{json_text(key)}: {in_lines(value)}" for key, value in content.items()]
    first, last = "[]" if isinstance(content, list) else "{}"
    return f"{first}\n" + textwrap.indent(",\n".join(inside), "  ") + f"\n{last}"


def pages(records: dict[str, Record], readme: str) -> dict[Path, str]:
    """What each page should hold. readme: its text, of which the part between markers is ours."""

    def link(name: str) -> str:
        return f"[kept](../experiments/results/{name}.json)"

    text = results(records, "Results", link) + "\n\n".join(["", *tables(records), ""])
    if budget.FILE.is_file():
        text += times(json.loads(budget.FILE.read_text(encoding="utf-8")))
    before, rest = readme.split(START)
    block = f"{START}\n\n{summary(records)}\n\n{END}"
    return {
        DOCS / "results.md": NOTE + text.rstrip() + "\n",
        DOCS / "controls.md": NOTE + controls(records, link),
        README: before + block + rest.split(END)[1],
    }


def main(arguments: list[str]) -> None:
    """Keep what is named, then write the pages."""
    try:
        match arguments:
            case ["pages"]:
                pass
            case ["keep", name, *folders] if folders:
                keep(name, list(map(Path, folders)))
            case ["folds", name, *folders] if folders:
                folds(name, list(map(Path, folders)))
            case ["seconds", folder]:
                seconds(Path(folder))
            case _:
                sys.exit(__doc__)
        for path, text in pages(kept.records(), README.read_text(encoding="utf-8")).items():
            path.write_text(text, encoding="utf-8")
    except (DeconvError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
