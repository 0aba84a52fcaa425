r"""Table 1 with Figure 8: does hiding an eye or the nose change the features of all faces alike?

    python -m experiments.table1_correspondence snapshot=<run>/last.pt
    python -m experiments.table1_correspondence snapshot=<run>/last.pt boxes=faces.json
    python -m experiments.table1_correspondence snapshot=<run>/last.pt boxes=docs/dogs.json \
        images_root=<folder of the photographs>
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

import hashlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from deconv import distributed
from deconv.data import prepare
from deconv.errors import DeconvError, unknown
from deconv.networks import ChainNet, build
from deconv.studies.bootstrap import middle
from deconv.studies.boxes import area, hidden, overlap
from deconv.studies.correspondence.consistency import ZERO, delta, sign_changes, sign_distances
from deconv.studies.correspondence.faces import (
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
from deconv.studies.correspondence.pair_statistics import bootstrap_means, exchange_test, resamples
from deconv.training.snapshots import Snapshot
from experiments.correspondence_findings import (
    MASKED,
    MIXED,
    STEM,
    ZEROS,
    Resampled,
    findings,
)
from experiments.correspondence_page import SAVED, draw, printed, read_table
from experiments.kit.command import experiment
from experiments.kit.facts import preprocessing, training_facts
from experiments.kit.findings import write_findings
from experiments.kit.inputs import build_network, data_name, device, given, log, stored_side_px
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_network

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
        net.check_point(layer)
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
    if cfg.boxes is None and cfg.images_root is not None:
        raise DeconvError("images_root is the folder of the images that boxes=<file> names")
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
    faces = file_faces(cfg.boxes, stored_px, crop_px, cfg.images_root)
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
    return dict(zip((f"{name}_low", f"{name}_high"), middle(values), strict=True))


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
    where = net.device
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
    name = data_name(cfg) if cfg.boxes is None else f"faces ({Path(cfg.boxes).name})"
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
            "preprocessing": preprocessing(net, snapshot.mean),
        },
        "group": cfg.group,
        "draws": cfg.draws,
        "random": cfg.random,
        "mask_px": round(float(np.mean([area(b[PARTS[0]]) for b in masks])) ** 0.5, 1),
        "input_px": net.input_px,
        "borrowed_overlap": round(float(np.mean(touching)), 3),
        "training": training_facts(snapshot, cfg.snapshot),
    }


if __name__ == "__main__":
    main()
