"""Figure 1 and its caption, from the saved files alone.

In: arrays.npz and provenance.json of a run's folder. Out: figure.png and figure.pdf.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from experiments.kit.facts import describe_network, layer_title

SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    rows = [_row(arrays, row) for row in facts["rows"]]
    _, height, width = arrays["picture"].shape
    image = figures.ImageRow(
        "image", f"3 × {height}×{width} px", arrays["picture"], arrays["image/down"],
        tuple(arrays["image/box"]),
    )  # fmt: skip
    unit = facts["unit"]
    layer, place = layer_title(facts["layer"]).lower(), f"({unit['y']}, {unit['x']})"
    heading = f"One unit up and down: {layer}, map {unit['map']}, position {place}"
    page = figures.deconvnet_schematic(
        rows, image, _windows(arrays, facts), heading, caption(facts)
    )
    figures.save(page, folder)


def _row(arrays: Any, row: dict[str, Any]) -> figures.MapRow:
    point = row["point"]
    return figures.MapRow(
        title=point,
        note=row["note"],
        maps=arrays[f"{point}/maps"],
        up=arrays[f"{point}/up"],
        down=arrays[f"{point}/down"],
        box=tuple(arrays[f"{point}/box"]),
        winners=arrays[f"{point}/winners"] if f"{point}/winners" in arrays else None,
        upward=row["upward"],
        downward=row["downward"],
        switches=row["operation"] == "unpool",
        numbered=row["operation"] == "filter",
    )


def _windows(arrays: Any, facts: dict[str, Any]) -> figures.PoolWindows | None:
    detail = facts["detail"]
    if detail is None:
        return None
    fields = ("up", "pooled", "switches", "signal", "unpooled", "windows")
    rows, columns = detail["windows"]
    window = f"{detail['kernel'][0]}×{detail['kernel'][1]}, stride {detail['stride'][0]}"
    title = (
        f"Pooling and unpooling in numbers: {rows * columns} windows of {detail['pool']} "
        f"({window}), map {detail['map']}"
    )
    return figures.PoolWindows(*(arrays[f"detail/{name}"] for name in fields), title=title)


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    image, detail = facts["image"], facts["detail"]
    name = image["name"]
    if image["index"] is not None:
        name = f"an image of the class {name} (number {image['index']} of {facts['data']['name']})"
    shares = [row["shown_energy"] for row in facts["rows"] if row["operation"] == "filter"][1:]
    words = (
        f"Right, from below: what the network makes of {name}. Left, from above: "
        f"one unit of {facts['layer']} is kept with its value {facts['activation']:.3g}, all "
        "others are set to 0, and the signal goes back to pixels. Frames: what the unit depends on "
        f"({facts['field']}). Dots: the switches, positions that won a pooling window. Maps: white "
        "is 0, orange positive, blue negative, each row and side with its own scale. Of the unit's "
        "layer its map and the most active others are shown, of the layers below the maps with "
        "most of the energy that comes down"
    )
    words += f" (from above {_percents(shares)}). " if shares else ". "
    if detail:
        shared = detail["shared_winners"]
        words += (
            "Bottom: each window has a colour, and so has the position that won it; the window "
            f"with the strongest signal is framed. {_shared(shared)} won by more than one window"
            f" (shared switches: {facts['choices']['collisions']}); where a whole window is 0, its "
            "first position counts as the winner. "
        )
    return words + describe_network(facts)


def _shared(count: int) -> str:
    return "One position is" if count == 1 else f"{count or 'No'} positions are"


def _percents(shares: list[float]) -> str:
    return ", ".join(f"{100 * share:.0f} %" for share in shares)
