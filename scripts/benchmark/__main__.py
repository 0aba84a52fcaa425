"""Speed and memory of this library beside its peers and the machine; start it as `scripts/bench`.

    scripts/bench [--only project,mining] [--rounds 3] [--folder docs]

Each row is one task (`rows`, `growth`). This library's way and the peers' (`peers`) take turns in
one process of one thread (`measure`). Writes speed.json and speed.md into the folder; with --only
the other rows stay as the file has them, each with the date it was measured on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from deconv.atomic_files import write_whole
from deconv.data.text_files import json_text, read_text
from deconv.errors import DeconvError, unknown
from scripts.benchmark import rows
from scripts.benchmark.growth import growth
from scripts.benchmark.measure import machine
from scripts.benchmark.page import page
from scripts.benchmark.size import SMOKE, Run, Size

ROWS: dict[str, Callable[[Run], list[dict[str, Any]]]] = {
    "project": rows.project,
    "wrapped": rows.wrapped_project,
    "mining": rows.mining,
    "occlusion": rows.occlusion,
    "training": rows.training,
    "growth": growth,
}


def measure(names: Sequence[str], size: Size, rounds: int, kept: dict[str, Any]) -> dict[str, Any]:
    """Measure the machine and some rows; the others are taken from `kept`."""
    about, found = machine(size.matrix, rounds), dict(kept.get("rows", {}))
    for name in names:
        print(name, file=sys.stderr, flush=True)
        cases = ROWS[name](Run(size, rounds, about["gflops"]))
        found[name] = {"date": time.strftime("%Y-%m-%d"), "rounds": rounds, "cases": cases}
    return {"machine": about, "rows": {name: found[name] for name in ROWS if name in found}}


def _kept(path: Path) -> dict[str, Any]:
    """Read the data of earlier rows."""
    try:
        return json.loads(read_text(path, "data of scripts/bench"))
    except json.JSONDecodeError as error:
        raise DeconvError(f"{path} is no data of scripts/bench ({error}): move it away") from error


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(ROWS), help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names, path = options.only.split(","), options.folder / "speed.json"
    try:
        if wrong := [name for name in names if name not in ROWS]:
            raise unknown("row", wrong[0], ROWS)
        if options.rounds < 1:
            raise DeconvError(f"--rounds must be at least 1, got {options.rounds}")
        if not options.folder.is_dir():
            raise DeconvError(f"--folder: there is no folder {options.folder}")
        kept = _kept(path) if path.exists() and set(names) != set(ROWS) else {}
        torch.set_num_threads(1)
        data = measure(names, SMOKE if options.smoke else Size(), options.rounds, kept)
    except DeconvError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    text = page(data, {name: " ".join((row.__doc__ or "").split()) for name, row in ROWS.items()})
    print(text)
    write_whole(path, (json_text(data) + "\n").encode())
    write_whole(options.folder / "speed.md", text.encode())


if __name__ == "__main__":
    main()
