"""Filters as pictures: which, by which rule, and what a change of the input does to them.

    python -m experiments.filters snapshot=<run>/last.pt
    python -m experiments.filters model=torchvision/resnet50 model.weights=DEFAULT 'layers=[1,3]'
    python -m experiments.filters model=mlp model.grey=true model.input_px=28
    python -m experiments.filters redraw=outputs/filters/<folder>

Figure 6 shows filters of layer 1 and states no rule for their intensities. Here: four, one of
them for the page and all for a few filters. A first layer is in colour; deeper ones have a picture
for each channel; a row of a fully connected layer is reshaped to the image, or the maps, that it
takes. Beside it the filters that do the same for a stated other preparation of the images.

Writes figure.png and figure.pdf, arrays.npz (weights before and after, what is black and white),
table.csv (a row a filter shown), config.yaml and provenance.json. There is no claim to judge.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from deconv import distributed, figures
from deconv.data import SPLITS, CentreCrops
from deconv.errors import DeconvError, unknown
from deconv.networks import ChainNet
from deconv.studies.first_layers import (
    CHANGES,
    RULES,
    Change,
    LayerFilters,
    changed,
    ends,
    entry,
    layer_filters,
    make_change,
    pictures,
    same_response,
    showable,
)
from deconv.training.snapshots import Snapshot
from deconv.whole_number import whole_number
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, describe_network, preprocessing, training_facts
from experiments.kit.inputs import build_network, device, given, log, squares, stored_side_px
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_network

ORDERS = ("number", "strength")
COMPARED = 8
"""Filters shown by each rule: evenly spaced from the weakest to the strongest of those shown."""
FORMULAS = {
    "filter": "black: min w, white: max w of the filter,\nall channels together",
    "layer": "black: min w, white: max w\nof all filters of the layer",
    "symmetric": "black: −max |w|, white: +max |w|\nof the filter; grey is 0",
    "symmetric_layer": "black: −max |w|, white: +max |w|\nof all filters of the layer; grey is 0",
}
SAVED = ("arrays.npz", "table.csv", "provenance.json", "config.yaml")


@experiment("filters")
def main(cfg: DictConfig, folder: Path) -> None:
    """Choose, compute, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    check(cfg, snapshot.network() if snapshot else build_network(cfg, 2), snapshot)
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    if distributed.rank() == 0:
        compute(cfg, folder, snapshot)
        draw(folder, folder)


def check(cfg: DictConfig, net: ChainNet, snapshot: Snapshot | None = None) -> None:
    """Raise DeconvError for a layer, rule or number that cannot be used, before anything long."""
    for name, valid in (("split", SPLITS), ("order", ORDERS), ("intensity", RULES)):
        if cfg[name] not in valid:
            raise unknown(name, cfg[name], valid)
    if cfg.affine not in CHANGES:
        raise unknown("affine", cfg.affine, CHANGES)
    for name in ("maps", "channels", "layers", "scale", "shift"):
        if not isinstance(cfg[name], ListConfig):
            raise DeconvError(f"{name} takes a list such as [1,2], got {cfg[name]}")
    for name in ("first_maps", "deep_maps", "deep_channels", "images_checked"):
        if cfg[name] < 1:
            raise DeconvError(f"{name} must be at least 1, got {cfg[name]}")
    mean = snapshot.mean if snapshot else torch.zeros(3)
    for filters in chosen_layers(cfg, net):
        chosen(cfg, filters)
        if filters.sees_image:
            make_change(cfg.affine, net, filters, mean, cfg.scale, cfg.shift)


def chosen_layers(cfg: DictConfig, net: ChainNet) -> list[LayerFilters]:
    """The layers that cfg names; or the first with pictures and the next with pictures."""
    names = [net.check_point(layer).removesuffix(":z") for layer in cfg.layers]
    names = names or showable(net)[:2]
    if not names:
        raise DeconvError(f"{net.name} has no layer whose weights are pictures")
    if len(set(names)) < len(names):
        raise DeconvError(f"layers names one twice: {', '.join(names)}")
    return [layer_filters(net, name) for name in names]


def chosen(cfg: DictConfig, filters: LayerFilters) -> tuple[list[int], list[int]]:
    """The numbers of the filters and of the channels (places in the filter) to show."""
    count, places = filters.weights.shape[:2]
    maps, channels = list(cfg.maps), [] if filters.sees_image else list(cfg.channels)
    for name, numbers, most in (("maps", maps, count), ("channels", channels, places)):
        wrong = [n for n in numbers if not 0 <= whole_number(n, name) < most]
        if wrong:
            raise DeconvError(f"{filters.layer} has {name} 0 to {most - 1}, not {wrong[0]}")
    if not maps:
        order = range(count)
        if cfg.order == "strength":
            order = filters.weights.flatten(1).norm(dim=1).argsort(descending=True).tolist()
        maps = list(order)[: cfg.first_maps if filters.sees_image else cfg.deep_maps]
    return maps, channels or list(range(places))[: None if filters.sees_image else
                                                 cfg.deep_channels]  # fmt: skip


def compute(cfg: DictConfig, folder: Path, snapshot: Snapshot) -> None:
    """Weights, scales, the changed layer and how far it answers alike, saved to `folder`."""
    started = time.perf_counter()
    net = snapshot.network().to(device(cfg))
    uncached = OmegaConf.merge(cfg, {"data": {"cache": False}})  # a few images do not need one
    data = squares(uncached, cfg.split, stored_side_px(cfg, snapshot))
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    arrays, rows, layers = {}, [], []
    for filters in chosen_layers(cfg, net):
        maps, channels = chosen(cfg, filters)
        change = None
        if filters.sees_image:
            change = make_change(cfg.affine, net, filters, snapshot.mean, cfg.scale, cfg.shift)
        versions = {"before": (filters.weights.double(), filters.bias.double())}
        same = {}
        if change is not None:
            versions["after"] = changed(filters, change)
            count = min(cfg.images_checked, len(crops))
            images = torch.stack([crops[i][0] for i in range(count)]).to(device(cfg))
            same = same_response(net, filters, change, images)
        part, found = one_layer(cfg, filters, maps, channels, versions, same)
        arrays |= {f"{filters.layer}/{name}": values for name, values in part.items()}
        rows += found
        layers.append(layer_facts(net, filters, change, same, len(maps), len(channels)))
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    facts = {
        "figure": "filters (the paper's Figure 6 shows layer 1)",
        "choices": {"intensity": cfg.intensity, "rule": FORMULAS[cfg.intensity].replace("\n", " "),
                    "order": cfg.order, "preprocessing": preprocessing(net, snapshot.mean)},
        "training": training_facts(snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, data)
        | {"images_checked": min(cfg.images_checked, len(crops))},
        "layers": layers,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    write_provenance(folder, net, facts)


def one_layer(
    cfg: DictConfig,
    filters: LayerFilters,
    maps: list[int],
    channels: list[int],
    versions: dict[str, tuple[torch.Tensor, torch.Tensor]],
    same: dict[str, torch.Tensor],
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Arrays by name, and a row of table.csv for each filter shown."""
    out = {"maps": np.array(maps), "channels": np.array(channels)}
    out["channel_numbers"] = filters.channel[maps][:, channels].numpy()
    rows = [{"layer": filters.layer, "number": filters.number, "map": m} for m in maps]
    shown = {}
    for version, (weights, bias) in versions.items():
        black, white = ends(weights, cfg.intensity)
        shown[version] = pictures(weights, cfg.intensity)[maps]
        out[f"{version}/weights"] = weights[maps][:, channels].float().numpy()
        for rule in RULES:
            for name, values in zip(("black", "white"), ends(weights, rule), strict=True):
                out[f"{version}/{rule}/{name}"] = values[maps].float().numpy()
        for row, m in zip(rows, maps, strict=True):
            one = weights[m]
            row |= {f"{name}_{version}": float(value) for name, value in (
                ("min", one.min()), ("max", one.max()), ("l2", one.norm()), ("bias", bias[m]),
                ("black", black[m]), ("white", white[m]))}  # fmt: skip
            row[f"constant_{version}"] = bool(black[m] == white[m])
    for i, (row, m) in enumerate(zip(rows, maps, strict=True)):
        row |= {f"z_{name}": float(values[m]) for name, values in same.items()}
        if "after" in shown:
            levels = 255 * (shown["after"][i] - shown["before"][i]).abs().max()
            row["picture_change_levels"] = float(levels)
    return out, rows


def layer_facts(
    net: ChainNet,
    filters: LayerFilters,
    change: Change | None,
    same: dict[str, torch.Tensor],
    maps: int,
    channels: int,
) -> dict[str, Any]:
    """What the sidecar and the page say of one layer."""
    facts: dict[str, Any] = {
        "layer": filters.layer,
        "number": filters.number,
        "filters": list(filters.weights.shape),
        "sees_image": filters.sees_image,
        "shown": [maps, channels],
    }
    if filters.sees_image:
        factor, offset = entry(net, filters)
        facts["takes"] = {"factor": factor.tolist(), "offset": offset.tolist()}
    if change is not None:
        facts["change"] = {"scale": change.scale.tolist(), "shift": change.shift.tolist()}
        facts["change"]["words"] = change.words
        facts["same"] = {name: float(values.max()) for name, values in same.items()}
    return facts


# Drawing


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    rule = facts["choices"]["intensity"]
    first, rules, deeper = [], [], []
    with np.load(source / "arrays.npz") as arrays:
        for layer in facts["layers"]:
            if layer["sees_image"] and not first:
                first = [grid(arrays, layer, v, rule) for v in versions_of(arrays, layer)]
                rules = [rule_row(arrays, layer, name) for name in FORMULAS]
            else:
                deeper.append(channel_grid(arrays, layer, rule))
        constant = sum(
            int((arrays[f"{one['layer']}/before/{rule}/black"]
                 == arrays[f"{one['layer']}/before/{rule}/white"]).sum())
            for one in facts["layers"]
        )  # fmt: skip
    page = figures.filters(first, rules, deeper, caption(facts, constant))
    figures.save(page, folder)


def versions_of(arrays: Any, layer: dict[str, Any]) -> list[str]:
    return [v for v in ("before", "after") if f"{layer['layer']}/{v}/weights" in arrays]


def scaled(arrays: Any, layer: str, version: str, rule: str) -> tuple[np.ndarray, ...]:
    """Intensities M×C×h×w by a rule, and what is black and white, M each."""
    weights = arrays[f"{layer}/{version}/weights"]
    black, white = (arrays[f"{layer}/{version}/{rule}/{name}"] for name in ("black", "white"))
    low, high = (v[:, None, None, None] for v in (black, white))
    flat = low == high
    values = np.where(flat, 0.5, (weights - low) / np.where(flat, 1, high - low))
    return values.clip(0, 1), black, white


def coloured(values: np.ndarray) -> np.ndarray:
    """M×C×h×w with one or three channels as M×h×w×3."""
    return np.broadcast_to(values, (len(values), 3, *values.shape[2:])).transpose(0, 2, 3, 1)


def grid(arrays: Any, layer: dict[str, Any], version: str, rule: str) -> figures.FilterGrid:
    """A layer that takes the image."""
    values, black, white = scaled(arrays, layer["layer"], version, rule)
    size, kind = "×".join(map(str, layer["filters"][1:])), "in colour"
    if layer["filters"][1] == 1:
        kind = "grey"
    if version == "before":
        title = f"{layer['layer']}: {layer['shown'][0]} of {layer['filters'][0]} filters"
        note = f"{size} weights each, {kind}; x: {takes_words(layer)}"
    else:
        scale, shift = (numbers(layer["change"][name]) for name in ("scale", "shift"))
        title = "The same for x′ = s·x + b, w′ = w/s"
        note = f"x′: {layer['change']['words']}\ns = {scale}, b = {shift}"
    return figures.FilterGrid(
        title, note, coloured(values), black == white, end("min" if rule in
        ("filter", "layer") else "−max |w|", black), end("max" if rule in ("filter", "layer")
        else "max |w|", white),
    )  # fmt: skip


def end(words: str, values: np.ndarray) -> str:
    """What stands at one end of the grey scale."""
    low, high = values.min(), values.max()
    number = f"{low:.3g}" if low == high else f"{low:.3g} … {high:.3g}"
    return f"{words}: {number}".replace("-", "−")


def takes_words(layer: dict[str, Any]) -> str:
    factor = layer["takes"]["factor"]
    if max(abs(f - 1) for f in factor) < 1e-6:
        return "pixels minus the mean"
    divided = numbers([1 / f for f in factor])
    grey = ", made grey" if len(factor) == 1 else ""
    return f"pixels minus the mean{grey}, divided by {divided}"


def numbers(values: list[float]) -> str:
    """One number where all are the same, else all."""
    words = [f"{v:.3g}".replace("-", "−") for v in values]
    return words[0] if len(set(words)) == 1 else f"({', '.join(words)})"


def rule_row(arrays: Any, layer: dict[str, Any], rule: str) -> figures.RuleRow:
    """A few of the filters by one rule."""
    strength = np.linalg.norm(
        arrays[f"{layer['layer']}/before/weights"].reshape(layer["shown"][0], -1), axis=1
    )
    order = strength.argsort(kind="stable")
    at = order[np.linspace(0, len(order) - 1, min(COMPARED, len(order))).round().astype(int)]
    values, black, white = scaled(arrays, layer["layer"], "before", rule)
    words = [f"{b:.2g} … {w:.2g}".replace("-", "−") for b, w in zip(black[at], white[at],
                                                                    strict=True)]  # fmt: skip
    return figures.RuleRow(f"intensity={rule}", FORMULAS[rule], coloured(values[at]), words)


def channel_grid(arrays: Any, layer: dict[str, Any], rule: str) -> figures.FilterGrid:
    """A layer above others: a row a filter, a column a channel."""
    name = layer["layer"]
    values, black, white = scaled(arrays, name, "before", rule)
    count, columns, height, width = values.shape
    tiles = np.repeat(values.reshape(-1, height, width, 1), 3, axis=3)
    seen = arrays[f"{name}/channel_numbers"]
    same = (seen == seen[0]).all()
    words = ("min", "max") if rule in ("filter", "layer") else ("−max |w|", "max |w|")
    total, places = layer["filters"][:2]
    note = f"{height}×{width} weights for each of {places} channels; {columns} of these are shown"
    return figures.FilterGrid(
        f"{name}: {count} of {total} filters, a picture a channel", note, tiles,
        np.repeat(black == white, columns), end(words[0], black), end(words[1], white), columns,
        [f"map {m}" for m in arrays[f"{name}/maps"]],
        [str(c) for c in (seen[0] if same else arrays[f"{name}/channels"])],
    )  # fmt: skip


def caption(facts: dict[str, Any], constant: int) -> str:
    """The text under the figure."""
    rule = facts["choices"]["rule"]
    words = (
        f"Weights as pictures. A weight w is drawn with the intensity (w − black)/(white − black); "
        f"here intensity={facts['choices']['intensity']}: {rule}. All channels of a filter have "
        "one scale, so that its hues are those of its weights; numbers at the ends of the grey "
        "scale are those of the filters shown, from the smallest to the largest. "
    )
    if constant:
        words += f"{constant} filters of one value have no contrast: middle grey with a dash. "
    for layer in facts["layers"]:
        if "same" in layer:
            same, data = layer["same"], facts["data"]
            words += (
                f"{layer['layer']} with w′ = w/s and bias b′ = bias − Σ w·b/s answers to x′ as "
                f"before to x: over {data['images_checked']} images of {data['name']} "
                f"({data['split']}) pre-activations differ by at most {same['difference']:.1g}, "
                f"their largest being {same['largest']:.3g}"
            )
            if same["zero_padding"] > 100 * same["difference"]:
                words += (
                    f" (if the border is padded with b; with zeros, by {same['zero_padding']:.2g})"
                )
            words += ". "
    return f"{words}{describe_network(facts)}"


if __name__ == "__main__":
    main()
