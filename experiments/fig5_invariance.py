"""Figure 5: five images shifted, enlarged and turned; how far the layers and the class move.

    python -m experiments.fig5_invariance snapshot=<run>/last.pt data=imagefolder data.root=…
    python -m experiments.fig5_invariance snapshot=… 'images=[cat.jpg,3]' 'labels=[cat face,owl]'
    python -m experiments.fig5_invariance redraw=outputs/fig5_invariance/<folder>

Paper: five images under vertical translation, scale and rotation; the Euclidean distance of the
feature vector to that of the untransformed image in layers 1 and 7, and the true class's
probability. The ranges are those of the axes: -60 to 60 px, 1 to 1.8, 0 to 350 degrees. Not stated:
which images, steps, where in a layer, interpolation, what comes in from outside, directions. Here:
images that the network classifies rightly, of different classes; values after the ReLU, before
pooling; bilinear; transforms of the stored square, larger than the crop, around its middle, outside
of it the mean image, which the network sees as 0; down and counterclockwise are positive. At
another input size translation shrinks in proportion, to whole pixels, which need no interpolation.
Beside the five, further images are measured in the same way for the numbers.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row an image, transform and amount),
scores.csv (each measure over all images), classes.csv (the probability kept by each class under
rotation), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from deconv import distributed, figures
from deconv.data import SPLITS, Squares, prepare
from deconv.errors import DeconvError, unknown
from deconv.figures.invariance import TILE_PX
from deconv.networks import ChainNet
from deconv.studies.invariance.response import transform_response
from deconv.studies.invariance.scores import sides
from deconv.studies.invariance.warping import IDENTITY, check_transform, warp
from deconv.training.snapshots import Snapshot
from experiments.invariance_amounts import amounts, example_amounts
from experiments.invariance_findings import (
    Course,
    blank,
    findings,
    image_scores,
    summary,
    symmetric_gap,
)
from experiments.invariance_images import (
    check_images,
    open_data,
    shown_and_others,
    symmetric_images,
)
from experiments.invariance_page import SAVED, draw
from experiments.invariance_tables import class_rows, course_arrays, image_rows
from experiments.kit.chosen_images import ChosenImage, need_label
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, preprocessing, training_facts
from experiments.kit.findings import write_findings
from experiments.kit.inputs import build_network, device, given, log
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_network


@experiment("fig5_invariance")
def main(cfg: DictConfig, folder: Path) -> None:
    """Choose, transform, measure, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    check(cfg, snapshot)
    data = open_data(cfg, snapshot)
    check_images(cfg, snapshot, data)
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    if distributed.rank() == 0:
        compute(cfg, folder, snapshot, data)
        draw(folder, folder)


def check(cfg: DictConfig, snapshot: Snapshot | None) -> None:
    """Raise DeconvError for settings that cannot be used, before anything long."""
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    if not isinstance(cfg.layers, ListConfig) or len(cfg.layers) != 2:
        raise DeconvError(f"layers takes two, such as [conv1,fc7], got {cfg.layers}")
    for layer in cfg.layers:
        net.check_point(layer)
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    if cfg.population < 0 or cfg.reference_px < 0:
        raise DeconvError("population and reference_px must not be negative")
    if isinstance(cfg.images, ListConfig) and len(cfg.images) > len(figures.IMAGE_COLOURS):
        raise DeconvError(
            f"images has {len(cfg.images)} entries, the figure has colours for "
            f"{len(figures.IMAGE_COLOURS)}"
        )
    for kind, identity in IDENTITY.items():
        steps = amounts(cfg, kind, net.input_px)
        check_transform(kind, steps.tolist(), cfg.fill)
        check_transform(kind, example_amounts(cfg, kind, net.input_px).tolist(), cfg.fill)
        if not sides(steps, identity, 360.0 if kind == "rotation" else None):
            raise DeconvError(
                f"{kind}={list(cfg[kind])} has fewer than two amounts on a side of {identity:g}: "
                "widen the range or make the step smaller"
            )


def compute(cfg: DictConfig, folder: Path, snapshot: Snapshot, data: Squares | None) -> None:
    """Transform all images, measure the network's answers and the scores, save it all."""
    started = time.perf_counter()
    net = snapshot.network().to(device(cfg))
    shown, others = shown_and_others(cfg, snapshot, net, data)
    images, courses = shown + others, {}
    labels = [need_label(image) for image in images]
    arrays: dict[str, np.ndarray] = {"labels": np.array(labels), "shown": np.array(len(shown))}
    for kind in IDENTITY:
        steps = amounts(cfg, kind, net.input_px)
        log(f"{kind}: {len(images)} images at {len(steps)} amounts")
        courses[kind] = measure(cfg, net, snapshot, images, kind, steps)
        arrays |= {
            f"{kind}/{name}": values for name, values in course_arrays(courses[kind]).items()
        }
        some = example_amounts(cfg, kind, net.input_px)
        arrays |= {
            f"{kind}/examples": some,
            f"{kind}/tiles": tiles(shown, snapshot, net.input_px, kind, some, cfg.fill),
        }
    scores = {kind: image_scores(course) for kind, course in courses.items()}
    alike = symmetric_images(cfg, snapshot, labels)
    rows = summary(scores, cfg.seed)
    if alike is not None:
        gap = symmetric_gap(scores["rotation"], alike, cfg.seed)
        rows.append(
            {"kind": "rotation", "measure": "symmetric - others/kept", "statistic": "mean"}
            | {name: blank(getattr(gap, name)) for name in ("value", "low", "high", "images")}
        )
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(
        folder / "table.csv", list(image_rows(images, snapshot.classes, courses, len(shown)))
    )
    write_table(folder / "scores.csv", rows)
    write_table(
        folder / "classes.csv", class_rows(scores["rotation"], labels, snapshot.classes, alike)
    )
    write_findings(folder, findings(scores, alike, cfg.data.name == "scenes", cfg.seed))
    facts = choices(cfg, net, snapshot, shown) | {
        "data": data_facts(cfg, cfg.split, data) if data else None,
        "measured_images": len(images),
        "scores": rows,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)


def measure(
    cfg: DictConfig,
    net: ChainNet,
    snapshot: Snapshot,
    images: Sequence[ChosenImage],
    kind: str,
    steps: np.ndarray,
) -> Course:
    """What every image does under one transform."""
    layers = list(cfg.layers)
    every = [
        transform_response(
            net, image.square, snapshot.mean, need_label(image), kind, steps.tolist(), layers,
            cfg.fill,
        )
        for image in images
    ]  # fmt: skip
    return Course(
        kind,
        steps,
        tuple(torch.stack([r.distance[layer] for r in every]).numpy() for layer in layers),
        tuple(np.array([r.norm[layer] for r in every]) for layer in layers),
        torch.stack([r.probability for r in every]).double().numpy(),
        np.array([r.clean[0] for r in every]),
    )


def tiles(
    images: Sequence[ChosenImage],
    snapshot: Snapshot,
    input_px: int,
    kind: str,
    some: np.ndarray,
    fill: str,
) -> np.ndarray:
    """N×E×3×h×w uint8: what the network sees of the images, reduced to TILE_PX at most."""
    side = min(input_px, TILE_PX)
    nothing = torch.zeros_like(snapshot.mean)

    def one(image: ChosenImage, amount: float) -> np.ndarray:
        moved = warp(image.square, kind, amount, snapshot.mean, fill)
        seen = prepare(moved, nothing, input_px).round().clamp(0, 255).byte()
        pixels = np.ascontiguousarray(seen.permute(1, 2, 0).numpy())
        return figures.tile(pixels, None, side).transpose(2, 0, 1)

    return np.stack([np.stack([one(image, float(a)) for a in some]) for image in images])


def choices(
    cfg: DictConfig, net: ChainNet, snapshot: Snapshot, shown: Sequence[ChosenImage]
) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    where = "named" if cfg.images else "drawn among those classified rightly, of different classes"
    if cfg.size_name == "smoke" and not cfg.images:
        where = "the first ones, classified rightly or not (size=smoke)"
    return {
        "figure": "5",
        "choices": {
            "images": f"{where} (seed {cfg.seed})",
            "layers": list(cfg.layers),
            "distance": "Euclidean, all values of the layer in one vector, not normalised",
            "interpolation": "bilinear; translations are whole pixels",
            "fill": cfg.fill,
            "order": "the stored square is transformed around its middle, then the mean "
            "subtracted, then the centre cropped",
            "directions": "translation down, rotation counterclockwise",
            "translation": f"range meant for {cfg.reference_px or net.input_px} px, in proportion",
            "preprocessing": preprocessing(net, snapshot.mean),
        },
        "names": [snapshot.classes[need_label(image)] for image in shown],
        "layers": list(cfg.layers),
        "rectified": [net.before(layer) is not None for layer in cfg.layers],
        "input_px": net.input_px,
        "square_px": snapshot.mean.shape[-1],
        "training": training_facts(snapshot, cfg.snapshot),
    }


if __name__ == "__main__":
    main()
