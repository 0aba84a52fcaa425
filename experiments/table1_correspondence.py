"""Table 1 with Figure 8: does hiding an eye or the nose change the features of all faces alike?

    python -m experiments.table1_correspondence snapshot=<run>/last.pt
    python -m experiments.table1_correspondence snapshot=<run>/last.pt boxes=faces.json
    python -m experiments.table1_correspondence redraw=outputs/table1_correspondence/<folder>

Paper: five frontal dogs; the right eye, the left eye, the nose or random parts are hidden;
ε = x − x̃ at layers 5 and 7; Δ sums the Hamming distance of sign ε over all ordered pairs of images.
At layer 5 eyes and nose lie below random, at layer 7 all are alike. Not stated there: what ± is,
the size of the masks, how many random ones, the sign of 0, the tap points, whose left and right.
Here: means over pairs and dimensions, ± the standard deviation over pairs, masks of one size in an
image, `random` random masks inside the object that touch no eye and no nose, 0 as a third sign,
conv5 and fc7 after their ReLU, left and right of the image. Beside it: many draws of five, all
pairs of all faces with a bootstrap over images, the variant that leaves out what moved in neither
image, masks where *another* face has the part, an untrained network, and a test in which masks
exchange their names.

Writes figure.png and figure.pdf, arrays.npz (pictures, boxes, distances), table.csv (a row a
network, layer and mask), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from deconv import distributed, figures
from deconv.boxes import area, hidden, overlap
from deconv.correspondence import ZERO, delta, sign_changes, sign_distances
from deconv.data import prepare
from deconv.errors import DeconvError, unknown
from deconv.faces import (
    MASKS,
    PARTS,
    Face,
    borrowed_masks,
    draws,
    file_faces,
    part_masks,
    random_masks,
    scene_faces,
)
from deconv.models import ChainNet, build
from deconv.pair_statistics import bootstrap_means, exchange_test, interval, resamples
from deconv.snapshots import Snapshot
from experiments.command import experiment
from experiments.common import build_network, data_name, device, given, log, stored_side_px
from experiments.facts import describe_network, preprocessing, training_facts
from experiments.findings import Finding, write_findings
from experiments.provenance import write_provenance, write_table
from experiments.redrawing import redraw
from experiments.reported import TABLE1
from experiments.trained import train_network

STEM = "table1_correspondence"
ROWS = (*PARTS, "random")
BORROWED = tuple(f"borrowed {part}" for part in PARTS)
MIXED = "different parts"
MASKED = (*ROWS, MIXED, *BORROWED)
"""The masks that the table has rows for."""
ZEROS = ("counted", "left out")
"""Whether dimensions count in which neither of two images changed."""
SHOWN_RANDOM = 2
Box = tuple[int, int, int, int]
Resampled = dict[tuple[str, str], dict[str, np.ndarray]]
"""(layer, zeros) -> mask -> Δ of each resample of the faces."""


@experiment(STEM)
def main(cfg: DictConfig, folder: Path) -> None:
    """Find the faces, hide their parts, compare, save, print, draw; or draw again."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    check(cfg, snapshot)
    faces = find_faces(cfg, snapshot)
    random = np.random.default_rng((cfg.seed, 1))
    groups = draws([face.kind for face in faces], cfg.group, cfg.draws, random)
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    if distributed.rank() > 0:
        return
    compute(cfg, folder, snapshot, faces, groups)
    log(printed(read_table(folder)))
    draw(folder, folder)


def check(cfg: DictConfig, snapshot: Snapshot | None) -> None:
    """Raise DeconvError for a setting that cannot be used, before anything long."""
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    if not isinstance(cfg.layers, ListConfig) or not cfg.layers:
        raise DeconvError(f"layers takes a list such as [conv5,fc7], got {cfg.layers}")
    for layer in cfg.layers:
        net.stages_to(layer)
    if len(set(cfg.layers)) < len(cfg.layers):
        raise DeconvError(f"layers names one twice: {list(cfg.layers)}")
    if not isinstance(cfg.classes, ListConfig):
        raise DeconvError(f"classes takes a list such as ['dog face'], got {cfg.classes}")
    if cfg.mask not in MASKS:
        raise unknown("mask", cfg.mask, MASKS)
    least = {"group": 2, "draws": 1, "random": 1, "resamples": 100, "shuffles": 100}
    for name, number in least.items():
        if cfg[name] < number:
            raise DeconvError(f"{name} must be at least {number}, got {cfg[name]}")
    if not 0 < cfg.smallest < 1:
        raise DeconvError(f"smallest is a share between 0 and 1, got {cfg.smallest}")
    if cfg.boxes is None and cfg.faces < cfg.group:
        raise DeconvError(f"faces={cfg.faces} are too few for groups of {cfg.group}")
    if cfg.boxes is None and cfg.data.name != "scenes":
        raise DeconvError(
            f"where eyes and noses are is not known for {cfg.data.name}: name a JSON file of boxes "
            "with boxes=<file>, or take data=scenes"
        )


def find_faces(cfg: DictConfig, snapshot: Snapshot | None) -> list[Face]:
    """The faces of cfg.boxes, or of the built-in scenes that networks are validated on."""
    stored_px = stored_side_px(cfg, snapshot)
    crop_px = (snapshot.network() if snapshot else build_network(cfg, 2)).input_px
    classes = list(cfg.classes)
    if cfg.boxes is None:
        log(f"looking for {cfg.faces} faces with two eyes and a nose")
        smallest = math.ceil(cfg.smallest * crop_px)
        return [
            face
            for kind in classes or ["dog face"]
            for face in scene_faces(
                kind, cfg.faces, cfg.data.val_seed, stored_px, crop_px, smallest
            )
        ]
    faces = file_faces(cfg.boxes, stored_px, crop_px)
    for kind in classes:
        if kind not in {face.kind for face in faces}:
            raise DeconvError(f"{cfg.boxes} has no image of class {kind!r}")
    return [face for face in faces if not classes or face.kind in classes]


def compute(
    cfg: DictConfig, folder: Path, snapshot: Snapshot, faces: list[Face], groups: list[list[int]]
) -> None:
    """Record every face with every mask, compare all pairs, save it all."""
    started = time.perf_counter()
    net = snapshot.network().to(device(cfg))
    masks = choose_masks(cfg, faces, net.input_px)
    nets = {"trained": net}
    if cfg.untrained:
        nets["untrained"] = build(**snapshot.recipe, seed=cfg.seed).to(device(cfg))
    rows, arrays, resampled = [], _pictures(cfg, net, snapshot, faces, masks, groups[0]), {}
    for name, one in nets.items():
        log(f"{len(faces)} faces, {len(masks[0])} masks each, {name} network")
        found, more, resampled[name] = measure(cfg, one, snapshot, faces, masks, groups)
        rows += [{"network": name, **row} for row in found]
        arrays |= {f"{name}/{key}": array for key, array in more.items()}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    facts = choices(cfg, net, snapshot, faces, masks) | {
        "right": _right(net, snapshot, faces),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)
    write_findings(folder, findings(cfg, rows, resampled))


def choose_masks(cfg: DictConfig, faces: list[Face], crop_px: int) -> list[dict[str, Box]]:
    """For each face: the masks of its parts, the borrowed ones, and "random 1" …, by name."""
    borrowed = borrowed_masks(faces, crop_px, np.random.default_rng((cfg.seed, 2)), cfg.mask)
    found = []
    for i, face in enumerate(faces):
        random = np.random.default_rng((cfg.seed, 3, i))
        drawn = random_masks(face, crop_px, cfg.random, random, cfg.mask)
        found.append(
            part_masks(face, crop_px, cfg.mask)
            | {f"borrowed {part}": box for part, box in borrowed[i].items()}
            | {f"random {r + 1}": box for r, box in enumerate(drawn)}
        )
    return found


def measure(
    cfg: DictConfig,
    net: ChainNet,
    snapshot: Snapshot,
    faces: list[Face],
    masks: list[dict[str, Box]],
    groups: list[list[int]],
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray], Resampled]:
    """The rows of the table for one network, its distances, and Δ for every resample of the faces.

    Distances: <layer>/<zeros>, N×K×N×K between masks of faces.
    """
    names, layers = list(masks[0]), list(cfg.layers)
    changes = [
        sign_changes(
            net, prepare(face.square, snapshot.mean, net.input_px), list(boxes.values()), layers,
            cfg.fill,
        )
        for face, boxes in zip(faces, masks, strict=True)
    ]  # fmt: skip
    kinds = np.array([face.kind for face in faces])
    pairs = (kinds[:, None] == kinds) & ~np.eye(len(faces), dtype=bool)
    rows, arrays, resampled = [], {}, {}
    for layer in layers:
        found = sign_distances(torch.cat([change[layer].sign for change in changes]))
        still = torch.stack([change[layer].zeros for change in changes]).numpy()
        size = torch.stack([change[layer].size for change in changes]).numpy()
        for zeros, values in zip(ZEROS, (found.all, found.moved), strict=True):
            distance = values.numpy().reshape((len(faces), len(names)) * 2)
            arrays[f"{layer}/{zeros}"] = distance
            own, resampled[layer, zeros] = _rows(cfg, names, pairs, groups, distance)
            for row in own:
                at = _columns(names, row["mask"])
                about = {"still": still[:, at].mean(), "change": size[:, at].mean()}
                about["dimensions"] = changes[0][layer].sign.shape[1]
                rows.append({"layer": layer, "zeros": zeros, **row, **about})
    return rows, arrays, resampled


def _columns(names: list[str], row: str) -> list[int]:
    """The masks of a row of the table: one, all random ones, or all three parts."""
    if row == MIXED:
        return [names.index(part) for part in PARTS]
    return [k for k, name in enumerate(names) if name == row or name.startswith(f"{row} ")]


def _rows(
    cfg: DictConfig,
    names: list[str],
    pairs: np.ndarray,
    groups: list[list[int]],
    distance: np.ndarray,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """A row a mask, and the Δ of each mask for every resample of the images."""
    counts = resamples(len(pairs), cfg.resamples, np.random.default_rng((cfg.seed, 4)))
    few = resamples(cfg.group, cfg.resamples, np.random.default_rng((cfg.seed, 5)))
    rows, resampled = [], {}
    for mask in MASKED:
        own = _between(distance, _columns(names, mask), mixed=mask == MIXED)
        resampled[mask] = bootstrap_means(own, pairs, counts).mean(axis=0)
        first = own[:, groups[0]][:, :, groups[0]]
        mean, spread = _mean_delta(own, groups[0])
        around = bootstrap_means(first, ~np.eye(cfg.group, dtype=bool), few).mean(axis=0)
        drawn = [_mean_delta(own, group)[0] for group in groups]
        row = {"mask": mask, "first": mean, "first_sd_pairs": spread}
        row |= _ends("first", around) | {"draws": np.mean(drawn), "draws_sd": np.std(drawn)}
        row |= {"all": own[:, pairs].mean()} | _ends("all", resampled[mask])
        if mask in PARTS:
            row |= _against_random(cfg, names, mask, pairs, distance)
        rows.append(row)
    for row in rows:
        if row["mask"] in PARTS:
            row |= _ends("below_random", resampled["random"] - resampled[row["mask"]])
    return rows, resampled


def _ends(name: str, values: np.ndarray) -> dict[str, float]:
    return dict(zip((f"{name}_low", f"{name}_high"), interval(values), strict=True))


def _between(distance: np.ndarray, columns: list[int], mixed: bool = False) -> np.ndarray:
    """R×N×N: distances between faces with the same mask, for each mask of a row.

    mixed: with two different masks, for each ordered pair of masks.
    """
    both = [(k, m) for k in columns for m in columns if mixed == (k != m)]
    return np.stack([distance[:, k, :, m] for k, m in both])


def _mean_delta(own: np.ndarray, group: list[int]) -> tuple[float, float]:
    """Δ of a group and its standard deviation over pairs; of several masks the means of both."""
    both = [delta(torch.from_numpy(one[np.ix_(group, group)])) for one in own]
    return tuple(float(np.mean(values)) for values in zip(*both, strict=True))


def _against_random(
    cfg: DictConfig, names: list[str], part: str, pairs: np.ndarray, distance: np.ndarray
) -> dict[str, float]:
    random = np.random.default_rng((cfg.seed, 6))
    others = _columns(names, "random")
    difference, p = exchange_test(distance, pairs, names.index(part), others, cfg.shuffles, random)
    return {"below_random": difference, "p": p}


def _pictures(
    cfg: DictConfig,
    net: ChainNet,
    snapshot: Snapshot,
    faces: list[Face],
    masks: list[dict[str, Box]],
    group: list[int],
) -> dict[str, np.ndarray]:
    """The faces of the first draw as the network sees them, whole and hidden, and all masks."""
    edge = (snapshot.mean.shape[-1] - net.input_px) // 2
    middle = slice(edge, edge + net.input_px)
    grey = snapshot.mean[:, middle, middle] + cfg.fill
    shown, names = [], list(masks[0])
    for i in group:
        image = faces[i].square[:, middle, middle].float()
        copies = hidden(image, [masks[i][name] for name in names], math.nan)
        copies = torch.where(copies.isnan(), grey, copies)
        shown.append(torch.cat([image[None], copies]).clamp(0, 255).round().to(torch.uint8))
    return {
        "pictures": torch.stack(shown).numpy(),
        "masks": np.array(names),
        "boxes": np.array([list(boxes.values()) for boxes in masks]),
        "group": np.array(group),
        "faces": np.array([face.name for face in faces]),
    }


def _right(net: ChainNet, snapshot: Snapshot, faces: list[Face]) -> float | None:
    """The share of faces that the network puts into their class; None if it does not know it."""
    if not all(face.kind in snapshot.classes for face in faces):
        return None
    where = next(net.parameters()).device
    right = 0
    for face in faces:
        image = prepare(face.square, snapshot.mean, net.input_px)[None].to(where)
        right += snapshot.classes[int(net.record(image).logits.argmax())] == face.kind
    return right / len(faces)


def choices(
    cfg: DictConfig,
    net: ChainNet,
    snapshot: Snapshot,
    faces: list[Face],
    masks: list[dict[str, Box]],
) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    touching = [
        overlap(boxes[f"borrowed {part}"], boxes[part]) for boxes in masks for part in PARTS
    ]
    kinds = [face.kind for face in faces]
    pixels = hashlib.sha256(b"".join(face.square.numpy().tobytes() for face in faces))
    name = data_name(cfg) if cfg.boxes is None else Path(cfg.boxes).name
    return {
        "table": "1",
        "figure": "8",
        "data": {"name": name, "images": len(faces), "fingerprint": pixels.hexdigest()[:12]},
        "classes": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "choices": {
            "delta": "mean over ordered pairs i ≠ j and over dimensions (the paper's sum gives "
            "values below 1 only so)",
            "spread": "standard deviation over the pairs of a draw; beside it the 95 % interval "
            "of a bootstrap over images, which leaves out pairs of an image with itself",
            "sign": f"-1, 0 or 1; 0 up to {ZERO:g} of the layer's largest activation; counted, "
            "and left out where both are 0",
            "sides": "left and right of the image",
            "masks": "one size in an image, that of its largest part"
            if cfg.mask == "same"
            else "each part's own box; random ones as large as the mean eye",
            "random": f"{cfg.random} an image, inside the object, touching no eye and no nose; "
            "the mean over them",
            "borrowed": "masks of the image's own size where another face has the part",
            "fill": f"{cfg.fill:g} on the preprocessed scale (0: the mean image)",
            "layers": "after ReLU, before pooling, where named convN; dropout off",
            "preprocessing": preprocessing(net),
        },
        "group": cfg.group,
        "draws": cfg.draws,
        "random": cfg.random,
        "mask_px": round(float(np.mean([area(b[PARTS[0]]) for b in masks])) ** 0.5, 1),
        "input_px": net.input_px,
        "borrowed_overlap": round(float(np.mean(touching)), 3),
        "training": training_facts(snapshot, cfg.snapshot),
    }


# What was found


@dataclass(frozen=True)
class Found:
    """All that the findings are judged by: rows of the table by (network, layer, zeros, mask)."""

    cfg: DictConfig
    rows: dict[tuple[str, str, str, str], dict[str, Any]]
    resampled: dict[str, Resampled]

    def drop(self, mask: str, layer: str, zeros: str, network: str = "trained") -> np.ndarray:
        """How far a part's Δ lies below random, as a share of random, for each resample.

        mask: "random" stands for the mean of the three parts.
        """
        own = self.resampled[network][layer, zeros]
        part = np.mean([own[p] for p in PARTS], axis=0) if mask == "random" else own[mask]
        return 1 - part / own["random"]


def findings(
    cfg: DictConfig, rows: list[dict[str, Any]], resampled: dict[str, Resampled]
) -> list[Finding]:
    """One finding for each cell of Table 1 at the layers asked for, and the controls."""
    keys = ("network", "layer", "zeros", "mask")
    of = Found(cfg, {tuple(row[key] for key in keys): row for row in rows}, resampled)
    layers = {number: layer for layer in reversed(cfg.layers) if (number := _number(layer))}
    found = []
    for number, layer in sorted(layers.items()):
        if number in ("5", "7"):
            found += [_cell(of, number, layer, layers.get("5"), mask) for mask in ROWS]
        for part in PARTS:
            found += _controls(of, number, layer, part)
        found.append(_same_part(of, number, layer))
    return found


def _number(layer: str) -> str:
    """The number in a point's name: conv5 and pool5 -> 5."""
    return "".join(c for c in layer if c.isdigit())


def _cell(of: Found, number: str, layer: str, layer5: str | None, mask: str) -> Finding:
    """One cell of the paper's table."""
    who = "the mean of eyes and nose" if mask == "random" else mask.replace("_", " ")
    holds = None
    if layer5 is None:
        rule = "needs layer 5"
    else:
        at5 = of.drop(mask, layer5, "counted")
        holds = interval(at5)[0] > 0
        rule = f"at layer 5 {who} lies below random, the 95 % interval of the difference above 0"
        if number == "7":
            closer = interval(at5 - of.drop(mask, layer, "counted"))[0] > 0
            holds = holds and closer
            rule += (
                ", and at layer 7 less far below it, as a share of random, the 95 % interval of "
                "that difference above 0"
            )
    row = of.rows["trained", layer, "counted", mask]
    return Finding(
        f"table1/{mask}/layer{number}", float(row["draws"]), float(row["draws_sd"]),
        holds,
        f"Value: mean Δ of {of.cfg.draws} draws of {of.cfg.group} faces at {layer}; spread: "
        f"standard deviation between draws. Rule: {rule}.",
    )  # fmt: skip


def _controls(of: Found, number: str, layer: str, part: str) -> list[Finding]:
    """A part against random with and without zeros, against its borrowed masks, untrained."""
    stem, who = f"truth/{STEM}/layer{number}/{part}", part.replace("_", " ")
    found = []
    for zeros in ZEROS:
        p = float(of.rows["trained", layer, zeros, part]["p"])
        found.append(
            Finding(
                f"{stem}/exchange, zeros {zeros}", p, None, p < 0.05,
                f"p of {who} lying below random at {layer}, zeros {zeros}, if the names of an "
                f"image's masks meant nothing ({of.cfg.shuffles} shuffles); holds below 0.05.",
                "p",
            )
        )  # fmt: skip
    own = of.resampled["trained"][layer, "left out"]
    found.append(
        _below_zero(
            f"{stem}/place", own[part] - own[f"borrowed {part}"],
            f"Δ of {who} minus Δ of masks where another face has it, at {layer}, zeros left out",
        )
    )  # fmt: skip
    if "untrained" in of.resampled:
        apart = of.drop(part, layer, "left out", "untrained") - of.drop(part, layer, "left out")
        found.append(
            _below_zero(
                f"{stem}/learned", apart,
                f"how far {who} lies below random in the untrained network minus the same in the "
                f"trained one, as shares of random, at {layer}, zeros left out",
            )
        )  # fmt: skip
    return found


def _same_part(of: Found, number: str, layer: str) -> Finding:
    own = of.resampled["trained"][layer, "counted"]
    return _below_zero(
        f"truth/{STEM}/layer{number}/same_part",
        np.mean([own[part] for part in PARTS], axis=0) - own[MIXED],
        f"Δ with the same part hidden in both faces, mean of the three, minus Δ with two "
        f"different parts hidden, at {layer}: both use the same changes, so how large these are "
        "and how many are 0 cancels",
    )


def _below_zero(key: str, resampled: np.ndarray, what: str) -> Finding:
    low, high = interval(resampled)
    return Finding(
        key, float(np.nanmean(resampled)), (high - low) / 2, high < 0,
        f"Value: {what}, mean over resamples of the faces; spread: half the 95 % interval; holds "
        "if that lies below 0.", "Δ",
    )  # fmt: skip


# What is shown


SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")


def read_table(folder: Path) -> list[dict[str, Any]]:
    """table.csv with its numbers as numbers; empty cells are left out."""
    words = ("network", "layer", "zeros", "mask")
    with (folder / "table.csv").open() as file:
        return [
            {k: v if k in words else float(v) for k, v in row.items() if v}
            for row in csv.DictReader(file)
        ]


PRINTED = (
    ("the first draw, ± over its pairs", "counted", "first", "first_sd_pairs"),
    ("mean of all draws, ± between draws", "counted", "draws", "draws_sd"),
    ("all pairs, ± half the 95 % interval", "counted", "all", None),
    ("all pairs, without what changed in neither face", "left out", "all", None),
)
"""Blocks of the printed table: title, zeros, column of the value, of ±."""


def printed(rows: list[dict[str, Any]]) -> str:
    """Table 1 in the paper's form, of the first draw, then of all draws, as plain text."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    at = {(r["zeros"], r["layer"], r["mask"]): r for r in rows if r["network"] == "trained"}
    lines = []
    for title, zeros, value, spread in PRINTED:
        lines.append(f"mean feature sign change: {title}")
        lines.append(f"  {'hidden':20}" + "".join(f"{_title(layer):>18}" for layer in layers))
        for mask in MASKED:
            cells = []
            for layer in layers:
                row = at[zeros, layer, mask]
                around = row[spread] if spread else (row["all_high"] - row["all_low"]) / 2
                cells.append(f"{row[value]:.3f} ± {around:.3f}")
            lines.append(f"  {mask.replace('_', ' '):20}" + "".join(f"{c:>18}" for c in cells))
    return "\n".join(lines)


def _title(layer: str) -> str:
    return f"layer {_number(layer)} ({layer})" if _number(layer) else layer


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    table = read_table(source)
    rows = [row for row in table if row["network"] == "trained"]
    shown = [*PARTS, *(f"random {r + 1}" for r in range(min(SHOWN_RANDOM, facts["random"])))]
    with np.load(source / "arrays.npz") as arrays:
        columns = [arrays["masks"].tolist().index(name) for name in shown]
        pictures = arrays["pictures"][:, [0, *(c + 1 for c in columns)]]
        boxes = arrays["boxes"][arrays["group"]][:, columns]
    titles = ["whole", *(name.replace("_", " ") for name in shown)]
    tiles = figures.MaskedFaces(titles, pictures, boxes)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    panels = [[_panel(rows, layer, zeros) for layer in layers] for zeros in ZEROS]
    figures.save(figures.correspondence(tiles, *panels, caption(facts, table)), folder)


def _panel(rows: list[dict[str, Any]], layer: str, zeros: str) -> figures.DeltaPanel:
    at = {r["mask"]: r for r in rows if (r["layer"], r["zeros"]) == (layer, zeros)}
    number, lines = _number(layer), []

    def bar(mask: str) -> tuple[float, float, float] | None:
        row = at.get(mask)
        return (row["all"], row["all_low"], row["all_high"]) if row else None

    for mask in (*ROWS, MIXED):
        printed_there = mask in TABLE1 and number in ("5", "7") and zeros == ZEROS[0]
        paper = TABLE1[mask][("5", "7").index(number)] if printed_there else None
        first = at[mask]["first"], at[mask]["first_sd_pairs"]
        name, p = mask.replace("_", " "), at[mask].get("p")
        other = bar(f"borrowed {mask}")
        lines.append(figures.DeltaRow(name, bar(mask), first, other, paper, p))
    counted = "" if zeros == ZEROS[0] else ", without those that changed in neither face"
    note = f"{layer}, {int(at[MIXED]['dimensions'])} values{counted}"
    return figures.DeltaPanel(_title(layer).split(" (")[0].capitalize(), note, lines)


def caption(facts: dict[str, Any], table: list[dict[str, Any]]) -> str:
    """The text under the figure."""
    data, kinds = facts["data"], facts["classes"]
    who = ", ".join(f"{count} of {kind}" if kind else f"{count}" for kind, count in kinds.items())
    right = facts["right"]
    known = "" if right is None else f" The network classifies {100 * right:.0f} % of them rightly."
    return (
        f"Pictures: the {facts['group']} faces of the first draw and what is hidden in them; left "
        f"and right are those of the image; masks measure {facts['mask_px']:g} px on average, of "
        f"{facts['input_px']}. Plots: mean change of sign Δ between two faces with the same part "
        "hidden in both (different parts: another part in each); lower: more alike. Upper plots "
        "count 0 as a sign, as a Hamming distance does, so that Δ grows with the number of values "
        "that change; lower plots leave out values that changed in neither face. Dots: all pairs "
        f"of {data['images']} faces ({data['name']}: {who}), 95 % interval of a bootstrap over "
        "faces. Circles: the first draw, the paper's experiment. Triangles: masks where another "
        f"face has the part (overlap with the face's own {facts['borrowed_overlap']:.2f}). Random: "
        f"mean over {facts['random']} masks a face inside the object that touch no eye and no "
        "nose. p: chance of a Δ so far below random if a face's masks exchanged their names."
        f"{known}{_untrained(table)} {describe_network(facts)}"
    )


def _untrained(table: list[dict[str, Any]]) -> str:
    """A sentence on the upper plots' values in an untrained network, if it was measured."""
    at = {(row["layer"], row["mask"]): row["all"] for row in table
          if (row["network"], row["zeros"]) == ("untrained", ZEROS[0])}  # fmt: skip
    layers = dict.fromkeys(layer for layer, _ in at)
    words = [
        f"{layer} {np.mean([at[layer, part] for part in PARTS]):.3f}, {at[layer, 'random']:.3f}"
        for layer in layers
    ]
    says = "Before training the upper plots' means of the three parts and of random are"
    return f" {says} {'; '.join(words)}." if words else ""


if __name__ == "__main__":
    main()
