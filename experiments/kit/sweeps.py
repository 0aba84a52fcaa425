"""Sweeps (-m): what a job varies names its folder and its log lines; a table at the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from experiments.kit.printed import MISSING, printed
from experiments.kit.provenance import write_table

LONGEST, WIDEST = 80, 44
"""Letters of what a folder's name says of its job, and of a printed cell."""
FILE = "sweep.csv"


@dataclass(frozen=True)
class Job:
    """One job: what it varies, its folder, its number to compare by and the error it ended with."""

    varied: Sequence[str]
    folder: Path
    number: float | None = None
    error: str = ""


def varied(overrides: Sequence[str]) -> list[str]:
    """Those of a job's overrides that the command line does not set for all jobs."""
    constant = _constant() if overrides else ()
    return [one for one in overrides if _key(one) not in constant]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _constant() -> set[str]:
    """The settings that this command line sets to one value."""
    parser, found = OverridesParser.create(), set()
    for argument in sys.argv[1:]:
        try:
            override = parser.parse_override(argument)
        except HydraException:
            continue
        if not override.is_sweep_override():
            found.add(_key(argument))
    return found


def folder_suffix(overrides: Sequence[str]) -> str:
    """What stands behind a job's number in its folder's name, such as _seed-1: no quotes needed."""
    words = "_".join(varied(overrides))
    safe = re.sub(r"[^\w.]+", "-", words, flags=re.ASCII).strip("-")
    return f"_{safe[:LONGEST]}" if safe else ""


def line_prefix(overrides: Sequence[str]) -> str:
    """What stands before a job's log lines, such as [seed=1]; a format of Python's logging."""
    words = " ".join(varied(overrides))
    return f"[{words}] ".replace("%", "%%") if words else ""


OmegaConf.register_new_resolver("folder_suffix", folder_suffix)
OmegaConf.register_new_resolver("line_prefix", line_prefix)


def summary(jobs: Sequence[Job], number: str) -> str:
    """Write FILE beside the jobs' folders, a row a job; the same as text, its path last.

    number: what the jobs' numbers are.
    """
    keys = list(dict.fromkeys(_key(one) for job in jobs for one in job.varied))
    rows = []
    for job in jobs:
        values = {_key(one): one.partition("=")[2] for one in job.varied}
        row = {"job": job.folder.name, **{key: values.get(key, "") for key in keys}}
        shown = "" if job.number is None else f"{job.number:.4g}"
        rows.append(row | {number: shown, "error": job.error})
    head = [name for name in rows[0] if any(row[name] for row in rows)]
    path = jobs[0].folder.parent / FILE
    write_table(path, [{name: row[name] for name in head} for row in rows])
    cells = [[(str(row[name]) or MISSING)[:WIDEST] for name in head] for row in rows]
    return f"{printed(head, cells, left=1 + len(keys))}\n{path}"
