"""What an experiment found, how it is saved, and what a figure is drawn from."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from deconv.errors import DeconvError
from deconv.networks import Network
from experiments.kit.findings import FILE, Finding, write_findings
from experiments.kit.provenance import write_provenance, write_table

ALWAYS = ("provenance.json", "config.yaml")
"""Files that every experiment leaves beside those of its result."""
AGAIN = "compute the figure again, without redraw="
UNUSABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    BadZipFile,
    EOFError,
)
"""What drawing from files of another figure or another version may raise."""


@dataclass
class Result:
    """What `compute` found; the runner saves it.

    facts: for provenance.json; what is not said there of the network and the data is added.
    arrays: of arrays.npz. tables: file name without .csv -> rows. findings: None where there is
    no claim to judge. net: whose weights the sidecar names; None for the subject's. number: for
    sweeps to compare jobs by.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] | None = None
    tables: Mapping[str, Iterable[dict[str, Any]]] = field(default_factory=dict)
    findings: list[Finding] | None = None
    net: Network | None = None
    number: float | None = None

    def save(self, folder: Path, net: Network) -> None:
        """Write everything into `folder`, the sidecar with the others' SHA-256 last."""
        if self.arrays is not None:
            np.savez_compressed(folder / "arrays.npz", **self.arrays)
        for name, rows in self.tables.items():
            write_table(folder / f"{name}.csv", list(rows))
        if self.findings is not None:
            write_findings(folder, self.findings)
        named = {"arrays.npz": self.arrays, FILE: self.findings}
        written = [name for name, content in named.items() if content is not None]
        written += [f"{name}.csv" for name in self.tables]
        files = {"files": {name: _sha256(folder / name) for name in written}}
        write_provenance(folder, net, self.facts | files)


@dataclass(frozen=True)
class Saved:
    """The files of a run, to draw from; a drawing may add files of its own to `folder`."""

    folder: Path

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """arrays.npz."""
        with np.load(self.folder / "arrays.npz") as file:
            return dict(file)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """provenance.json."""
        return json.loads((self.folder / "provenance.json").read_text(encoding="utf-8"))

    def rows(self, table: str = "table") -> list[dict[str, str]]:
        """A table, as text."""
        with (self.folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def copy_saved(source: str | Path, folder: Path, names: Iterable[str]) -> None:
    """Copy the files that a figure is drawn from.

    Raises DeconvError, before anything is copied, naming the files that `source` does not hold, or
    not as they were written.
    """
    names = [*names, *ALWAYS]
    missing = [name for name in names if not (Path(source) / name).is_file()]
    if missing:
        raise DeconvError(f"{source} holds no {', '.join(missing)}; name a folder of this figure")
    try:
        before = Saved(Path(source)).facts.get("files", {})
    except (ValueError, AttributeError) as error:
        raise DeconvError(f"{source}/provenance.json is damaged ({error}); {AGAIN}") from error
    for name in names:
        if before.get(name, now := _sha256(Path(source) / name)) != now:
            raise DeconvError(f"{source}/{name} is not what was saved, by its SHA-256; {AGAIN}")
    for name in names:
        shutil.copyfile(Path(source) / name, folder / name)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
