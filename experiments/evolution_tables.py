"""Figure 4's numbers of all maps as they are kept: arrays.npz, table.csv and turnover.csv.

In: the pictures, the peaks at every snapshot and what changed between snapshots. Out: the files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deconv.records import Peaks
from deconv.studies.evolution import Evolution, PeaksOverTime
from experiments.kit.provenance import write_table


def save_numbers(
    folder: Path,
    pictures: dict[str, np.ndarray],
    epochs: list[int],
    course: PeaksOverTime,
    maps: dict[str, torch.Tensor],
    changes: dict[str, Evolution],
) -> None:
    """arrays.npz, table.csv and turnover.csv: the pictures, and the numbers of all maps."""
    arrays, rows, shares = pictures | {"epochs": np.array(epochs)}, [], []
    for layer, shown in maps.items():
        of, peaks = changes[layer], [at[layer] for at in course]
        arrays |= {
            f"{layer}/maps": shown.numpy(),
            f"{layer}/jumped": of.jumped[:, shown].T.numpy(),
            f"{layer}/turnover": np.array(of.turnover),
            f"{layer}/settled": np.array(-1 if of.settled is None else of.settled),
        }
        for name in ("value", "image", "y", "x"):
            every = [getattr(at, name).numpy() for at in peaks]
            arrays[f"{layer}/peaks/{name}"] = np.stack(every)
        rows += map_rows(layer, epochs, peaks, of, set(shown.tolist()))
        shares += layer_rows(layer, epochs, of)
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    write_table(folder / "turnover.csv", shares)


def map_rows(
    layer: str, epochs: list[int], course: list[Peaks], of: Evolution, shown: set[int]
) -> Iterator[dict[str, Any]]:
    """Rows of table.csv: the strongest unit of every map at every epoch, -1 where it is dead."""
    for number in range(of.strongest.shape[1]):
        for step, epoch in enumerate(epochs):
            image = int(of.strongest[step, number])
            at = [getattr(course[step], name)[number, 0].item() for name in ("value", "y", "x")]
            value, y, x = at if image >= 0 else (0.0, -1, -1)
            row = {"layer": layer, "map": number, "epoch": epoch, "value": value}
            row |= {"image": image, "y": y, "x": x, "jumped": bool(of.jumped[step, number])}
            yield row | {"shown": number in shown}


def layer_rows(layer: str, epochs: list[int], of: Evolution) -> Iterator[dict[str, Any]]:
    """Rows of turnover.csv: `jumped` and `live` count maps."""
    for step, epoch in enumerate(epochs):
        known = not math.isnan(of.turnover[step])
        yield {
            "layer": layer,
            "epoch": epoch,
            "turnover": round(of.turnover[step], 4) if known else "",
            "settled": of.settled is not None and step >= of.settled,
            "jumped": int(of.jumped[step].sum()),
            "live": int((of.strongest[step] >= 0).sum()),
            "maps": of.strongest.shape[1],
        }
