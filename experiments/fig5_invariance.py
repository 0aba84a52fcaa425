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

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from deconv import distributed, figures
from deconv.data import SPLITS, Squares, prepare
from deconv.errors import DeconvError, unknown
from deconv.invariance import transform_response
from deconv.invariance_scores import sides
from deconv.models import ChainNet
from deconv.snapshots import Snapshot
from deconv.warping import IDENTITY, check_transform, warp
from experiments.chosen_images import ChosenImage, choose_images, draw_right_ones, need_label
from experiments.command import experiment
from experiments.common import build_network, device, given, log, squares, stored_side_px
from experiments.facts import (
    data_facts,
    describe_network,
    layer_title,
    preprocessing,
    training_facts,
)
from experiments.findings import write_findings
from experiments.invariance_findings import (
    Course,
    blank,
    findings,
    image_scores,
    summary,
    symmetric_gap,
)
from experiments.provenance import write_provenance, write_table
from experiments.redrawing import redraw
from experiments.trained import train_network

SHOWN = 5  # Fig. 5
TILE_PX = 112
MOST_AMOUNTS = 1000
SYMMETRIC_SCENES = ("flower", "clock", "windmill")
TITLES = {"translation": "Vertical translation", "scale": "Scale", "rotation": "Rotation"}
UNITS = {"translation": " px", "scale": "×", "rotation": "°"}
AXES = {"translation": "px", "scale": "", "rotation": "°"}


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
        check_transform(kind, examples(cfg, kind, net.input_px).tolist(), cfg.fill)
        if not sides(steps, identity, 360.0 if kind == "rotation" else None):
            raise DeconvError(
                f"{kind}={list(cfg[kind])} has fewer than two amounts on a side of {identity:g}: "
                "widen the range or make the step smaller"
            )


def amounts(cfg: DictConfig, kind: str, input_px: int) -> np.ndarray:
    """The amounts of a transform, ascending: pixels at `input_px`, factors or degrees."""
    three = cfg[kind]
    if len(three) != 3 or not all(isinstance(n, int | float) for n in three):
        raise DeconvError(f"{kind} takes [from,to,step], got {three}")
    first, last, step = three
    if not (step > 0 and first <= last and (last - first) / step < MOST_AMOUNTS):
        raise DeconvError(
            f"{kind}={list(three)}: needs from <= to, a step above 0 and at most {MOST_AMOUNTS} "
            "steps"
        )
    values = first + step * np.arange(int((last - first) / step + 1e-6) + 1)
    return np.unique(_at_input(cfg, kind, values, input_px).round(9))


def examples(cfg: DictConfig, kind: str, input_px: int) -> np.ndarray:
    """The amounts that are shown as pictures, as `amounts`."""
    values = cfg.examples[kind]
    if not values or not all(isinstance(n, int | float) for n in values):
        raise DeconvError(f"examples.{kind} takes a list of numbers, got {values}")
    return _at_input(cfg, kind, np.array(values, dtype=float), input_px)


def _at_input(cfg: DictConfig, kind: str, values: np.ndarray, input_px: int) -> np.ndarray:
    """Translations for another input size, in whole pixels; everything else as it is."""
    if kind != "translation" or cfg.reference_px in (0, input_px):
        return values
    return np.rint(values * input_px / cfg.reference_px)


def open_data(cfg: DictConfig, snapshot: Snapshot | None) -> Squares | None:
    """The split that images come from; None where all are files and nothing else is measured.

    Raises DeconvError if its classes are not the network's, or `symmetric` is none of them.
    """
    files = cfg.images and all(isinstance(one, str) for one in cfg.images)
    data = None
    if not files or cfg.population:
        data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
        if snapshot and list(data.classes) != list(snapshot.classes):
            raise DeconvError(
                f"{cfg.data.name} has {len(data.classes)} classes that are not the network's "
                f"{len(snapshot.classes)} (trained on {snapshot.config.get('data')}): name its "
                "data=…, or images=[…] by path with labels=[…] and population=0"
            )
    known = data.classes if data else snapshot.classes if snapshot else []
    for name in cfg.symmetric or []:
        if name not in known:
            raise unknown("class in symmetric", name, known)
    return data


def check_images(cfg: DictConfig, snapshot: Snapshot | None, data: Squares | None) -> None:
    """Raise DeconvError for named images that do not exist, cannot be read, or have no class."""
    if not isinstance(cfg.images, ListConfig):
        raise DeconvError(f"images takes a list of paths or numbers such as [3,17]: {cfg.images}")
    if not cfg.images:
        return
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    if snapshot is None:  # not trained yet: its classes will be those of the data
        side = stored_side_px(cfg, None)
        classes = squares(cfg, "train", side).classes
        snapshot = Snapshot({}, {}, torch.zeros(3, side, side), list(classes))
    for image in choose_images(cfg, snapshot, net, data, SHOWN):
        need_label(image)


def compute(cfg: DictConfig, folder: Path, snapshot: Snapshot, data: Squares | None) -> None:
    """Transform all images, measure the network's answers and the scores, save it all."""
    started = time.perf_counter()
    net = snapshot.network().to(device(cfg))
    shown, others = choose(cfg, snapshot, net, data)
    images, courses = shown + others, {}
    labels = [need_label(image) for image in images]
    arrays: dict[str, np.ndarray] = {"labels": np.array(labels), "shown": np.array(len(shown))}
    for kind in IDENTITY:
        steps = amounts(cfg, kind, net.input_px)
        log(f"{kind}: {len(images)} images at {len(steps)} amounts")
        courses[kind] = measure(cfg, net, snapshot, images, kind, steps)
        arrays |= {f"{kind}/{name}": values for name, values in flat(courses[kind]).items()}
        some = examples(cfg, kind, net.input_px)
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
    write_table(folder / "table.csv", list(table(images, snapshot.classes, courses, len(shown))))
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


def choose(
    cfg: DictConfig, snapshot: Snapshot, net: ChainNet, data: Squares | None
) -> tuple[list[ChosenImage], list[ChosenImage]]:
    """The images that are shown, and those that are only measured."""
    settings = cfg.copy()
    if cfg.size_name == "smoke" and isinstance(cfg.images, ListConfig) and not cfg.images:
        log("size=smoke trains too little to choose by: the first images are taken, right or wrong")
        settings.images = list(range(min(SHOWN, len(data))))
    shown = choose_images(settings, snapshot, net, data, SHOWN)
    if not cfg.population:
        return shown, []
    taken = {image.index for image in shown}
    wanted = cfg.population + len(shown)
    if cfg.size_name == "smoke":
        numbers = range(min(wanted, len(data)))
    else:
        numbers = draw_right_ones(snapshot, net, data, wanted, cfg.seed, least=1)
    numbers = [i for i in numbers if i not in taken][: cfg.population]
    if len(numbers) < cfg.population:
        log(f"note: {len(numbers)} further images instead of {cfg.population}; there are no more")
    if not numbers:
        return shown, []
    settings.images, settings.labels = numbers, []
    return shown, choose_images(settings, snapshot, net, data, len(numbers))


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


def flat(course: Course) -> dict[str, np.ndarray]:
    """A course as named arrays."""
    names = ("layer1", "layer7")
    return (
        {"amounts": course.amounts, "probability": course.probability, "clean": course.clean}
        | {f"{n}/distance": values for n, values in zip(names, course.distance, strict=True)}
        | {f"{n}/norm": values for n, values in zip(names, course.norm, strict=True)}
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


def symmetric_images(
    cfg: DictConfig, snapshot: Snapshot, labels: Sequence[int]
) -> np.ndarray | None:
    """N bool: whether an image's object looks alike when turned; None where nobody said so."""
    names = cfg.symmetric
    if names is None and cfg.data.name == "scenes":
        names = SYMMETRIC_SCENES
    if not names:
        return None
    return np.array([snapshot.classes[label] in names for label in labels])


def table(
    images: Sequence[ChosenImage], classes: Sequence[str], courses: dict[str, Course], shown: int
) -> Iterator[dict[str, Any]]:
    """Rows of table.csv. Distances as the paper's, and over the untransformed vector's norm."""
    for kind, course in courses.items():
        relative = [course.relative(layer) for layer in (0, 1)]
        kept = course.kept()
        for i, image in enumerate(images):
            name = {"image": image.name if image.index is None else image.index}
            for t, amount in enumerate(course.amounts):
                row = {"kind": kind, "amount": float(amount)} | name
                row |= {"class": classes[need_label(image)], "shown": i < shown}
                for layer, which in enumerate(("layer1", "layer7")):
                    row[f"{which}_distance"] = blank(course.distance[layer][i, t])
                    row[f"{which}_relative"] = blank(relative[layer][i, t])
                row["probability"] = blank(course.probability[i, t])
                yield row | {"kept": blank(kept[i, t])}


def class_rows(
    scores: dict[str, np.ndarray],
    labels: Sequence[int],
    classes: Sequence[str],
    alike: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Rows of classes.csv: means over a class's images, the class that keeps most first."""
    rows = []
    for label in sorted(set(labels)):
        at = np.flatnonzero(np.array(labels) == label)
        row = {"class": classes[label], "images": len(at)}
        row |= {name: blank(scores[name][at].mean()) for name in ("kept", "right_angles", "dip")}
        rows.append(row | {"symmetric": "" if alike is None else bool(alike[at[0]])})
    return sorted(rows, key=lambda row: -(row["kept"] or 0))


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
            "preprocessing": preprocessing(net),
        },
        "names": [snapshot.classes[need_label(image)] for image in shown],
        "layers": list(cfg.layers),
        "rectified": [net.before(layer) is not None for layer in cfg.layers],
        "input_px": net.input_px,
        "square_px": snapshot.mean.shape[-1],
        "training": training_facts(snapshot, cfg.snapshot),
    }


SAVED = (
    "arrays.npz", "table.csv", "scores.csv", "classes.csv", "findings.json", "provenance.json",
    "config.yaml",
)  # fmt: skip


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with np.load(source / "arrays.npz") as arrays:
        shown = int(arrays["shown"])
        others = len(arrays["labels"]) - shown
        rows = [_row(arrays, kind, shown, others >= SHOWN) for kind in IDENTITY]
    titles = [numbered(name) for name in facts["layers"]]
    columns = [
        (title, f"values of {name}{' after the ReLU' * rectified}", "Euclidean distance")
        for title, name, rectified in zip(titles, facts["layers"], facts["rectified"], strict=True)
    ]
    columns.append(("True class", "softmax probability", "probability"))
    page = figures.invariance(rows, facts["names"], columns, caption(facts, shown, others))
    figures.save(page, folder)


def numbered(layer: str) -> str:
    """A layer's title with its number, of fully connected layers, too: fc7 -> Layer 7."""
    return f"Layer {layer[2:]}" if layer[:2] == "fc" and layer[2:].isdigit() else layer_title(layer)


def _row(arrays: Any, kind: str, shown: int, band: bool) -> figures.TransformRow:
    names = ("layer1/distance", "layer7/distance", "probability")
    every = [arrays[f"{kind}/{name}"] for name in names]
    return figures.TransformRow(
        TITLES[kind],
        UNITS[kind],
        arrays[f"{kind}/amounts"],
        arrays[f"{kind}/examples"],
        arrays[f"{kind}/tiles"],
        [curves[:shown] for curves in every],
        [np.percentile(curves[shown:], [25, 50, 75], axis=0) for curves in every] if band else None,
    )


def caption(facts: dict[str, Any], shown: int, others: int) -> str:
    """The text under the figure."""
    score = {(row["kind"], row["measure"]): row for row in facts["scores"]}
    lower, upper = facts["layers"]

    def say(kind: str, measure: str) -> str:
        value = score[kind, measure]["value"]
        return "unknown" if value == "" else f"{value:.2f}".replace("-", "−")

    straight = " and ".join(
        f"{say(kind, 'layer7/line')} under {kind} ({lower}: {say(kind, 'layer1/line')})"
        for kind in ("translation", "scale")
    )
    early = " and ".join(
        f"{say(kind, 'layer1/sharp')} under {kind} ({upper}: {say(kind, 'layer7/sharp')})"
        for kind in ("translation", "scale")
    )
    kept = ", ".join(f"{say(kind, 'kept')} under {kind}" for kind in IDENTITY)
    data, fill = facts["data"], FILL_WORDS[facts["choices"]["fill"]]
    source = f" of {data['name']} ({data['split']})" if data else ""
    count = f"{shown} image{'s' if shown > 1 else ''}"
    grey = f" Grey: median and middle half of {others} further images." if others >= SHOWN else ""
    return (
        f"{count[0].upper()}{count[1:]}{source}, {facts['choices']['images']}, shifted down, "
        "enlarged and turned counterclockwise (first column: what the network sees, in frames of "
        f"the curves' colours). Distances are Euclidean, between the values of {lower} and of "
        f"{upper} for the transformed and the untransformed image; their scales differ. The "
        f"{facts['square_px']} px square is transformed and its central {facts['input_px']} px are "
        f"fed; outside of the square lies {fill}.{grey} Over all {shown + others} images: of its "
        f"largest distance {lower} has reached at a tenth of the range {early}; a straight line "
        f"through the origin explains of {upper}'s distance R² = {straight}; of the probability "
        f"{kept} is kept (shares, mean over the range). {describe_network(facts)}"
    )


FILL_WORDS = {
    "mean": "the mean image",
    "edge": "its outermost pixels, repeated",
    "mirror": "its mirror image",
}


if __name__ == "__main__":
    main()
