"""What an experiment found, how it is saved, and what a figure is drawn from."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deconv.errors import DeconvError
from deconv.networks import Network
from experiments.kit.findings import Finding, write_findings
from experiments.kit.provenance import write_provenance, write_table

ALWAYS = ("provenance.json", "config.yaml")
"""Files that every experiment leaves beside those of its result."""


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
        """Write everything into `folder`, the sidecar last."""
        if self.arrays is not None:
            np.savez_compressed(folder / "arrays.npz", **self.arrays)
        for name, rows in self.tables.items():
            write_table(folder / f"{name}.csv", list(rows))
        if self.findings is not None:
            write_findings(folder, self.findings)
        write_provenance(folder, net, self.facts)


@dataclass(frozen=True)
class Saved:
    """The files of a run, to draw from; a drawing may add files of its own to `folder`."""

    folder: Path

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """arrays.npz."""
        return np.load(self.folder / "arrays.npz")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """provenance.json."""
        return json.loads((self.folder / "provenance.json").read_text())

    def rows(self, table: str = "table") -> list[dict[str, str]]:
        """A table, as text."""
        with (self.folder / f"{table}.csv").open() as file:
            return list(csv.DictReader(file))


def copy_saved(source: str | Path, folder: Path, names: Iterable[str]) -> None:
    """Copy the files that a figure is drawn from.

    Raises DeconvError, before anything is copied, naming the files that `source` does not hold.
    """
    names = [*names, *ALWAYS]
    missing = [name for name in names if not (Path(source) / name).is_file()]
    if missing:
        raise DeconvError(f"{source} holds no {', '.join(missing)}; name a folder of this figure")
    for name in names:
        shutil.copyfile(Path(source) / name, folder / name)
