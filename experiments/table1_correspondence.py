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
SHOWN_RANDOM = 2
Box = tuple[int, int, int, int]


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
    rows, arrays, gaps = [], _pictures(cfg, net, snapshot, faces, masks, groups[0]), {}
    for name, one in nets.items():
        log(f"{len(faces)} faces, {len(masks[0])} masks each, {name} network")
        found, more, gaps[name] = measure(cfg, one, snapshot, faces, masks, groups)
        rows += [{"network": name, **row} for row in found]
        arrays |= {f"{name}/{key}": array for key, array in more.items()}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    facts = choices(cfg, net, snapshot, faces, masks) | {
        "right": _right(net, snapshot, faces),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)
    write_findings(folder, findings(cfg, rows, gaps))


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
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """The rows of the table for one network, its distances, and per layer the resampled Δ.

    Distances: <layer>/distance and <layer>/moved, N×K×N×K between masks of faces.
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
        shape = (len(faces), len(names)) * 2
        distance, moved = (d.numpy().reshape(shape) for d in (found.all, found.moved))
        arrays |= {f"{layer}/distance": distance, f"{layer}/moved": moved}
        zeros = torch.stack([change[layer].zeros for change in changes]).numpy()
        size = torch.stack([change[layer].size for change in changes]).numpy()
        own, resampled[layer] = _layer_rows(cfg, names, pairs, groups, distance, moved)
        for row in own:
            at = _columns(names, row["mask"])
            dimensions = changes[0][layer].sign.shape[1]
            shares = {"zeros": zeros[:, at].mean(), "change": size[:, at].mean()}
            rows.append({"layer": layer, "dimensions": dimensions, **row, **shares})
    return rows, arrays, resampled


def _columns(names: list[str], row: str) -> list[int]:
    """The masks of a row of the table: one, or all random ones."""
    return [k for k, name in enumerate(names) if name == row or name.startswith(f"{row} ")]


def _layer_rows(
    cfg: DictConfig,
    names: list[str],
    pairs: np.ndarray,
    groups: list[list[int]],
    distance: np.ndarray,
    moved: np.ndarray,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """A row a mask, and the Δ of each mask for every resample of the images."""
    counts = resamples(len(pairs), cfg.resamples, np.random.default_rng((cfg.seed, 4)))
    few = resamples(cfg.group, cfg.resamples, np.random.default_rng((cfg.seed, 5)))
    rows, resampled = [], {}
    for row in (*ROWS, *BORROWED):
        own = _between(distance, _columns(names, row))
        resampled[row] = bootstrap_means(own, pairs, counts).mean(axis=0)
        first = own[:, groups[0]][:, :, groups[0]]
        mean, spread = _mean_delta(own, groups[0])
        around = bootstrap_means(first, ~np.eye(cfg.group, dtype=bool), few).mean(axis=0)
        drawn = [_mean_delta(own, group)[0] for group in groups]
        low, high = interval(resampled[row])
        rows.append(
            {"mask": row, "first": mean, "first_sd_pairs": spread}
            | dict(zip(("first_low", "first_high"), interval(around), strict=True))
            | {"draws": np.mean(drawn), "draws_sd": np.std(drawn)}
            | {"all": own[:, pairs].mean(), "low": low, "high": high}
            | {"moved": _between(moved, _columns(names, row))[:, pairs].mean()}
            | _against_random(cfg, names, row, pairs, distance)
        )
    for row in rows:
        if row["mask"] != "random":
            below = resampled[row["mask"]] - resampled["random"]
            row |= dict(zip(("below_low", "below_high"), interval(below), strict=True))
    return rows, resampled


def _between(distance: np.ndarray, columns: list[int]) -> np.ndarray:
    """R×N×N: distances between faces with the same mask, for each mask of a row."""
    return np.stack([distance[:, k, :, k] for k in columns])


def _mean_delta(own: np.ndarray, group: list[int]) -> tuple[float, float]:
    """Δ of a group and its standard deviation over pairs; of several masks the means of both."""
    both = [delta(torch.from_numpy(one[np.ix_(group, group)])) for one in own]
    return tuple(float(np.mean(values)) for values in zip(*both, strict=True))


def _against_random(
    cfg: DictConfig, names: list[str], row: str, pairs: np.ndarray, distance: np.ndarray
) -> dict[str, float]:
    if row not in PARTS:
        return {}
    random = np.random.default_rng((cfg.seed, 6))
    part, others = names.index(row), _columns(names, "random")
    difference, p = exchange_test(distance, pairs, part, others, cfg.shuffles, random)
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
            "sign": f"-1, 0 or 1; 0 up to {ZERO:g} of the layer's largest activation; 'moved' "
            "leaves out dimensions where both are 0",
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


def findings(
    cfg: DictConfig,
    rows: list[dict[str, Any]],
    resampled: dict[str, dict[str, dict[str, np.ndarray]]],
) -> list[Finding]:
    """One finding for each cell of Table 1 at the layers asked for, and the controls."""
    found, at = [], {(r["network"], r["layer"], r["mask"]): r for r in rows}
    layers = {number: layer for layer in reversed(cfg.layers) if (number := _number(layer))}
    for number, layer in layers.items():
        if number in ("5", "7"):
            trained = resampled["trained"]
            found += _table_findings(cfg, number, layer, layers, at, trained)
        for part in PARTS:
            found += _truth_findings(cfg, number, at, resampled, layer, part)
    return found


def _number(layer: str) -> str:
    """The number in a point's name: conv5 and pool5 -> 5."""
    return "".join(c for c in layer if c.isdigit())


def _drop(resampled: dict[str, np.ndarray], part: str) -> np.ndarray:
    """How far a part's Δ, or the mean of all parts, lies below random, as a share of random."""
    own = np.mean([resampled[p] for p in PARTS], axis=0) if part == "random" else resampled[part]
    return 1 - own / resampled["random"]


def _table_findings(
    cfg: DictConfig,
    number: str,
    layer: str,
    layers: dict[str, str],
    at: dict[tuple[str, str, str], dict[str, Any]],
    resampled: dict[str, dict[str, np.ndarray]],
) -> list[Finding]:
    about = (
        f"Value: mean Δ of {cfg.draws} draws of {cfg.group} faces at {layer}; spread: standard "
        "deviation between draws. "
    )
    found = []
    for mask in ROWS:
        who = "the mean of eyes and nose" if mask == "random" else mask.replace("_", " ")
        if number == "5":
            low, _ = interval(_drop(resampled[layer], mask))
            holds = low > 0
            rule = f"{who} lies below random: the 95 % interval of the difference is above 0"
        elif "5" not in layers:
            holds, rule = None, "needs layer 5 beside layer 7"
        else:
            apart = _drop(resampled[layers["5"]], mask) - _drop(resampled[layer], mask)
            low, _ = interval(apart)
            holds = low > 0
            rule = (
                f"{who} lies less far below random than at layer 5, as a share of random: the "
                "95 % interval of the difference is above 0"
            )
        row = at["trained", layer, mask]
        found.append(
            Finding(
                f"table1/{mask}/layer{number}", float(row["draws"]), float(row["draws_sd"]),
                None if holds is None else bool(holds), about + f"Rule: {rule}.",
            )
        )  # fmt: skip
    return found


def _truth_findings(
    cfg: DictConfig,
    number: str,
    at: dict[tuple[str, str, str], dict[str, Any]],
    resampled: dict[str, dict[str, dict[str, np.ndarray]]],
    layer: str,
    part: str,
) -> list[Finding]:
    """The part against random by exchange, against its borrowed masks, against no training."""
    stem, who = f"truth/{STEM}/layer{number}", part.replace("_", " ")
    row, own = at["trained", layer, part], resampled["trained"][layer]
    found = [
        Finding(
            f"{stem}/{part}/exchange", float(row["p"]), None, bool(row["p"] < 0.05),
            f"p of {who} lying below random at {layer} if the names of an image's masks meant "
            f"nothing ({cfg.shuffles} shuffles); holds below 0.05.", "p",
        )
    ]  # fmt: skip
    low, high = interval(own[part] - own[f"borrowed {part}"])
    found.append(
        Finding(
            f"{stem}/{part}/place",
            float(row["all"] - at["trained", layer, f"borrowed {part}"]["all"]),
            (high - low) / 2, bool(high < 0),
            f"Δ of {who} minus Δ of masks where another face has it, at {layer}; spread: half "
            "the 95 % interval; holds if that lies below 0: more than a matter of place.", "Δ",
        )
    )  # fmt: skip
    if "untrained" in resampled:
        apart = _drop(own, part) - _drop(resampled["untrained"][layer], part)
        low, high = interval(apart)
        found.append(
            Finding(
                f"{stem}/{part}/learned", float(apart.mean()), (high - low) / 2, bool(low > 0),
                f"how much further {who} lies below random at {layer} than in the untrained "
                "network, as a share of random, mean over resamples; spread: half the 95 % "
                "interval; holds if that lies above 0.", "share",
            )
        )  # fmt: skip
    return found


# What is shown


SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")


def read_table(folder: Path) -> list[dict[str, Any]]:
    """table.csv with its numbers as numbers; empty cells are left out."""
    words = ("network", "layer", "mask")
    with (folder / "table.csv").open() as file:
        return [
            {k: v if k in words else float(v) for k, v in row.items() if v}
            for row in csv.DictReader(file)
        ]


def printed(rows: list[dict[str, Any]]) -> str:
    """Table 1 in the paper's form, of the first draw, then of all draws, as plain text."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    at = {(r["network"], r["layer"], r["mask"]): r for r in rows}
    lines = []
    for title, value, spread in (
        ("the first draw, ± over its pairs", "first", "first_sd_pairs"),
        ("mean of all draws, ± between draws", "draws", "draws_sd"),
        ("all pairs of all faces, half the 95 % interval", "all", None),
    ):
        lines.append(f"mean feature sign change: {title}")
        lines.append(f"  {'hidden':20}" + "".join(f"{_title(layer):>18}" for layer in layers))
        for mask in (*ROWS, *BORROWED):
            cells = []
            for layer in layers:
                row = at["trained", layer, mask]
                around = row[spread] if spread else (row["high"] - row["low"]) / 2
                cells.append(f"{row[value]:.3f} ± {around:.3f}")
            lines.append(f"  {mask.replace('_', ' '):20}" + "".join(f"{c:>18}" for c in cells))
    return "\n".join(lines)


def _title(layer: str) -> str:
    return f"layer {_number(layer)} ({layer})" if _number(layer) else layer


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    rows = read_table(source)
    with np.load(source / "arrays.npz") as arrays:
        names = ["", *arrays["masks"].tolist()]
        columns = [*range(len(PARTS) + 1), *(names.index(f"random {r + 1}") for r in range(
            min(SHOWN_RANDOM, facts["random"])))]  # fmt: skip
        pictures = arrays["pictures"][:, columns]
        boxes = arrays["boxes"][arrays["group"]][:, [c - 1 for c in columns[1:]]]
    titles = ["whole", *(names[c].replace("_", " ") for c in columns[1:])]
    tiles = figures.MaskedFaces(titles, pictures, boxes)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    panels = [_panel(source, rows, layer) for layer in layers]
    figures.save(figures.correspondence(tiles, panels, caption(facts)), folder)


def _panel(source: Path, rows: list[dict[str, Any]], layer: str) -> figures.DeltaPanel:
    at = {(r["network"], r["mask"]): r for r in rows if r["layer"] == layer}
    number = _number(layer)

    def interval_of(network: str, mask: str) -> tuple[float, float, float] | None:
        row = at.get((network, mask))
        return (row["all"], row["low"], row["high"]) if row else None

    lines = []
    for mask in ROWS:
        row = at["trained", mask]
        paper = TABLE1[mask][("5", "7").index(number)] if number in ("5", "7") else None
        lines.append(
            figures.DeltaRow(
                mask.replace("_", " "), interval_of("trained", mask),
                (row["first"], row["first_sd_pairs"]), interval_of("trained", f"borrowed {mask}"),
                interval_of("untrained", mask), paper, row.get("p"),
            )
        )  # fmt: skip
    dimensions = int(at["trained", ROWS[0]]["dimensions"])
    return figures.DeltaPanel(f"Layer {number}", f"{layer}, {dimensions} values", lines)


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, kinds = facts["data"], facts["classes"]
    who = ", ".join(f"{count} of {kind}" if kind else f"{count}" for kind, count in kinds.items())
    right = facts["right"]
    known = "" if right is None else f" The network classifies {100 * right:.0f} % of them rightly."
    return (
        f"Left: the {facts['group']} faces of the first draw with what is hidden; left and right "
        f"are those of the image; masks measure {facts['mask_px']:g} px on average, of "
        f"{facts['input_px']}. Right: mean change of sign Δ between faces when the same part is "
        "hidden in both; lower: more alike. Dots: all pairs of all "
        f"{data['images']} faces ({data['name']}: {who}), bars: 95 % interval of a bootstrap over "
        "faces. Open circles: the first draw ± standard deviation over its pairs, as the paper's "
        "experiment. Triangles: masks where another face has the part, instead of this one "
        f"(overlap with the part itself {facts['borrowed_overlap']:.2f}). Squares: the untrained "
        f"network. Black: the paper's values on ImageNet, ±. Random: mean over {facts['random']} "
        "masks a face, inside the object, touching no eye and no nose. p: chance of lying so far "
        f"below random if the masks of a face exchanged their names.{known} "
        f"{describe_network(facts)}"
    )


if __name__ == "__main__":
    main()
