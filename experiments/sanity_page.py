"""The page of the sanity checks, put together from the files that they saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deconv import figures
from deconv.studies import sanity
from deconv.studies.bootstrap import LEVEL
from deconv.studies.sanity.similarity import NUMBERS
from experiments.kit.facts import describe_network, layer_title

TITLES = {
    sanity.ABOVE: "Random weights above",
    sanity.CASCADE: "Random weights, all down to",
    sanity.INDEPENDENT: "Random weights in one layer",
    sanity.UNIT: "Another map's unit",
    sanity.SWITCHES: "Switches",
    sanity.RULE: "Another rule",
    sanity.COLLISION: "Another collision policy",
    sanity.MINING: "Mined over all classes and",
}
"""Check -> the title of its rows and pictures, in the order of the page."""

SHORT = {
    sanity.SHUFFLED: "shuffled",
    sanity.OTHER_HALF: "other half of images",
}
"""Variant -> its name beside a row, where that is another."""


def example(
    arrays: Mapping[str, np.ndarray], told: Mapping[str, Any]
) -> tuple[str, list[figures.TileGroup]]:
    """The line above the example's pictures, and the pictures, with two numbers below each."""
    layer = told["layers"][-1]
    units = arrays[f"{layer}/units"]
    i = min(told["example"], len(units) - 1)
    top, left, bottom, right = arrays["example/box"]

    def shown(check: str, variant: str) -> figures.Tile:
        at = f"{layer}/{check}/{variant}"
        rank, signed, _ = arrays[f"{at}/scores"][i]
        note = f"signed {signed:.2f}, rank {rank:.2f}" if np.isfinite(signed) else "none there"
        return figures.Tile(SHORT.get(variant, variant), note, arrays[f"{at}/example"])

    patch = arrays["example/patch"][:, top:bottom, left:right]
    original = arrays[f"{layer}/{sanity.ORIGINAL}/{sanity.ORIGINAL}/example"]
    first = [figures.Tile("image", "receptive field", patch),
             figures.Tile("original", "", original)]  # fmt: skip
    unrelated = shown(sanity.CHANCE, sanity.UNRELATED)
    groups = [
        figures.TileGroup("The unit", first),
        figures.TileGroup("Unrelated", [figures.Tile("map, image", *vars_of(unrelated))]),
    ]
    for check, title in TITLES.items():
        tiles = [
            shown(check, key.split("/")[2])
            for key in arrays
            if key.startswith(f"{layer}/{check}/") and key.endswith("/example")
        ]
        if tiles:
            groups.append(figures.TileGroup(title, tiles))
    number = int(units[i, 1])
    return f"{layer_title(layer)}, map {number}: one unit, one thing exchanged at a time", groups


def vars_of(one: figures.Tile) -> tuple[str, np.ndarray]:
    """What a picture shows, without its name."""
    return one.note, one.pixels


def panels_of(
    rows: Sequence[Mapping[str, str]], told: Mapping[str, Any]
) -> tuple[list[figures.Section], list[figures.SimilarityPanel]]:
    """The rows that all panels share, and a panel a layer. rows: of table.csv."""
    layers = told["layers"]
    names: dict[str, list[str]] = {}
    for check in TITLES:
        found = [r["variant"] for r in rows if r["check"] == check]
        if check == sanity.MINING:
            found = [variant for variant in found if variant != sanity.ANOTHER_MAP]
        if check in (sanity.CASCADE, sanity.INDEPENDENT):
            found = [stop for stop in reversed(told["stops"]) if stop in found]
        if found:
            names[check] = list(dict.fromkeys(found))
    by_key = {(r["layer"], r["check"], r["variant"], r["number"]): r for r in rows}

    def three(layer: str, check: str, variant: str, number: str) -> list[float]:
        row = by_key.get((layer, check, variant, number))
        return [float(row[end]) if row else np.nan for end in ("mean", "low", "high")]

    def chance(layer: str, check: str, number: str) -> np.ndarray:
        mined = check == sanity.MINING
        place = (check, sanity.ANOTHER_MAP) if mined else (sanity.CHANCE, sanity.UNRELATED)
        return np.array(three(layer, *place, number))

    sections = [
        figures.Section(TITLES[check], [SHORT.get(v, v) for v in some])
        for check, some in names.items()
    ]
    panels = []
    for layer in layers:
        values = [
            {n: np.array([three(layer, check, v, n) for v in some]) for n in NUMBERS}
            for check, some in names.items()
        ]
        bands = [{n: chance(layer, check, n) for n in NUMBERS} for check in names]
        own, by_luck = (three(layer, sanity.SHARES, name, "share")[0] for name in sanity.OF_NINE)
        notes = [f"one class has {100 * own:.0f} % of the {told['k']} strongest,",
                 f"by chance {100 * by_luck:.0f} %"]  # fmt: skip
        units = by_key[layer, sanity.ORIGINAL, sanity.ORIGINAL, "signed"]["n"]
        note = f"{units} units, {told['fields'][layer].replace('receptive ', '')}"
        panels.append(figures.SimilarityPanel(layer_title(layer), note, values, bands, notes))
    return sections, panels


def caption(told: Mapping[str, Any]) -> str:
    """The text under the figure."""
    data, k = told["data"], told["k"]
    return (
        "Above: what the deconvnet paints for one unit, in its receptive field, and what it paints "
        "when one thing is exchanged; grey is zero, each picture has its own scale; below it its "
        "correlation with the original, with signs and by ranks of absolute values. Below: the "
        "same over the strongest units of a random choice of maps, one a map, among "
        f"{data['mined']} images of {data['name']} ({data['split']}): means with "
        f"{100 * LEVEL:.0f} % bootstrap intervals over units. Bands: another map's unit on another "
        "image at the same position, the likeness of two unrelated pictures; in the last rows, "
        f"which compare mean pictures of the {k} strongest images, those of another map. Random "
        f"weights: {told['choices']['random_weights']}. Collisions: "
        f"{told['choices']['collisions']}. {describe_network(dict(told))}"
    )
