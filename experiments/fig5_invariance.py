"""Figure 5: five images shifted, enlarged and turned; how far the layers and the class move.

    python -m experiments.fig5_invariance snapshot=<run>/last.pt data=imagefolder data.root=…
    python -m experiments.fig5_invariance snapshot=… 'images=[cat.jpg,3]' 'labels=[cat face,owl]'
    python -m experiments.fig5_invariance redraw=outputs/fig5_invariance/<folder>

Paper: five images under vertical translation, scale and rotation; the Euclidean distance of the
feature vector to that of the untransformed image in layers 1 and 7, and the true class's
probability. The ranges are those of the axes: -60 to 60 px, 1 to 1.8, 0 to 350 degrees. Not stated:
which images, steps, where in a layer, interpolation, padding, directions. Here: images of different
classes that the network classifies rightly; activations after the ReLU, before pooling; bilinear;
the stored square, larger than the crop, is transformed around its middle and padded with the mean
image, which the network sees as 0; down and counterclockwise are positive. At another input size
translations shrink in proportion, to whole pixels, which need no interpolation. Further images are
measured in the same way for the numbers.

Cost: (5 + population) × 138 forward passes; scenes with a snapshot about a minute, ZFNet or
SqueezeNet at 224 px over 45 photographs some minutes, on a CPU core.
Expected: layer 1 leaps at the smallest change, layer 7 moves almost linearly with translation and
scale, and turning loses the class except of symmetric objects.

Writes figure.png and figure.pdf, arrays.npz, table.csv (one row per image, transform and amount),
scores.csv (each measure over all images), classes.csv (the probability kept by each class under
rotation), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.data import prepare
from deconv.data.class_names import class_number
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.figures.invariance import TILE_PX
from deconv.studies.invariance.courses import LAYERS, course, image_scores, sides
from deconv.studies.invariance.scores import difference
from deconv.studies.invariance.tables import class_rows, image_rows, score_rows
from deconv.studies.invariance.warping import IDENTITY, check_transform, warp
from experiments.kit import Figure, Result, Saved, Subject, experiment, log
from experiments.kit.chosen_images import ChosenImage, named_images, need_label, of_data_set
from experiments.kit.facts import describe_network, images_of, preprocessing
from experiments.kit.titles import layer_title
from experiments.verdicts.invariance import LEAST, findings

MOST_AMOUNTS = 1000
SCENES, PHOTOGRAPHS, SMOKE = 120, 40, 5
"""Further images by default: fewer where networks are those of photographs, which are larger."""
SHOWN = 5
"""Images of the paper's figure."""
POOL = 20
"""Images that the shown ones are taken from at least, so that their classes may differ."""
SYMMETRIC_SCENES = ("flower", "clock", "windmill")


@dataclass
class Examples:
    translation: tuple[float, ...] = (-60, -30, 0, 30, 60)  # px downwards
    scale: tuple[float, ...] = (1.0, 1.2, 1.4, 1.6, 1.8)  # factors
    rotation: tuple[float, ...] = (0, 45, 90, 180, 270)  # degrees


@dataclass
class Invariance(Figure):
    images: list[Any] = field(default_factory=list)  # paths, or numbers in the split; []: five
    # drawn among those that the network gets right, of different classes (smoke: the first)
    labels: list[str] = field(default_factory=list)  # for paths: the class of each, by name
    population: int | None = None  # further images, drawn likewise, for the numbers and in grey;
    # null: 120 scenes, or 40 photographs, or none beside images that are files (smoke: 5)
    layers: tuple[str, str] = ("conv1", "fc7")  # layers 1 and 7; not stated: where in a layer; of a
    # network of others its first block of convolutions and what its last layer reads
    fill: str = "mean"  # padding outside the stored square: mean, edge, mirror
    translation: tuple[float, float, float] = (-60, 60, 2)  # from, to, step: px downwards
    scale: tuple[float, float, float] = (1.0, 1.8, 0.02)  # factor
    rotation: tuple[float, float, float] = (0, 350, 10)  # degrees counterclockwise
    reference_px: int = 224  # input that translation is meant for: others in proportion, in whole
    # pixels; 0: as given
    examples: Examples = field(default_factory=Examples)  # amounts shown as pictures
    symmetric: list[str] | None = None  # classes whose objects look alike when turned; null:
    # flower, clock and windmill on the built-in scenes, none elsewhere

    def __post_init__(self) -> None:
        if len(self.layers) != 2:
            raise DeconvError(f"layers takes two, such as [conv1,fc7], got {self.layers}")
        if self.further < 0 or self.reference_px < 0:
            raise DeconvError("population and reference_px must not be negative")
        if len(self.images) > (most := len(figures.IMAGE_COLOURS)):
            raise DeconvError(
                f"images has {len(self.images)} entries, the figure has colours for {most}"
            )
        for kind in IDENTITY:
            if len(three := getattr(self, kind)) != 3:
                raise DeconvError(f"{kind} takes [from,to,step], got {three}")
            first, last, step = three
            if not (step > 0 and first <= last and (last - first) / step < MOST_AMOUNTS):
                raise DeconvError(
                    f"{kind}={three}: needs from <= to, a step above 0 and at most {MOST_AMOUNTS} "
                    "steps"
                )
            if not getattr(self.examples, kind):
                raise DeconvError(f"examples.{kind} takes a list of numbers, got none")

    @property
    def further(self) -> int:
        """How many images are measured beside those shown."""
        if self.population is not None:
            return self.population
        if self.images and not any(map(of_data_set, self.images)):
            return 0
        usual = SCENES if self.data.name == "scenes" else PHOTOGRAPHS
        return SMOKE if self.size_name == "smoke" else usual

    def amounts(self, kind: str, input_px: int) -> np.ndarray:
        """The amounts of a transform, ascending: pixels at `input_px`, factors or degrees."""
        first, last, step = getattr(self, kind)
        values = first + step * np.arange(int((last - first) / step + 1e-6) + 1)
        return np.unique(self._at_input(kind, values, input_px).round(9))

    def shown_amounts(self, kind: str, input_px: int) -> np.ndarray:
        """The amounts that are shown as pictures."""
        return self._at_input(kind, np.array(getattr(self.examples, kind)), input_px)

    def _at_input(self, kind: str, values: np.ndarray, input_px: int) -> np.ndarray:
        """Scale translations to the input size, to whole pixels."""
        if kind != "translation" or self.reference_px in (0, input_px):
            return values
        return np.rint(values * input_px / self.reference_px)


def check(cfg: Invariance, it: Subject) -> None:
    """Raise DeconvError for layers, transforms, classes or images that cannot be used."""
    net = it.sketch
    for layer in cfg.layers:
        net.check_point(layer)
    for kind, identity in IDENTITY.items():
        amounts = cfg.amounts(kind, net.input_px)
        for some in (amounts, cfg.shown_amounts(kind, net.input_px)):
            check_transform(kind, some.tolist(), cfg.fill)
        if not sides(kind, amounts):
            raise DeconvError(
                f"{kind}={getattr(cfg, kind)} has fewer than two amounts on a side of "
                f"{identity:g}: widen the range or make the step smaller"
            )
    known = (it.given or it.data).classes
    if (it.by_number or cfg.further) and not it.knows_classes:
        raise DeconvError(
            f"{cfg.data.name} has {len(it.data.classes)} classes that are not the network's "
            f"{len(known)} (trained on {it.given.config.get('data')}): name its data=…, or "
            "images=[…] by path with labels=[…] and population=0"
        )
    for name in cfg.symmetric or []:
        class_number(name, known)
    it.check_images(need_labels=True)


def compute(cfg: Invariance, it: Subject) -> Result:
    """Transform all images, record the layers and the class, score the curves."""
    net, mean, classes = it.net, it.snapshot.mean, it.snapshot.classes
    it.first_alone()
    shown, others = shown_and_others(cfg, it)
    images = shown + others
    labels = [need_label(image) for image in images]
    names = [classes[label] for label in labels]
    arrays: dict[str, Any] = {"labels": np.array(labels), "shown": np.array(len(shown))}
    courses = {}
    for kind in IDENTITY:
        amounts, some = (f(kind, net.input_px) for f in (cfg.amounts, cfg.shown_amounts))
        log(f"{kind}: {len(images)} images at {len(amounts)} amounts")
        squares = [(image.square, label) for image, label in zip(images, labels, strict=True)]
        courses[kind] = course(net, squares, mean, kind, amounts, cfg.layers, cfg.fill)
        pictures = [[picture(cfg, it, image, kind, one) for one in some] for image in shown]
        found = courses[kind].arrays() | {"examples": some, "tiles": np.array(pictures)}
        arrays |= {f"{kind}/{name}": values for name, values in found.items()}
    scores = {kind: image_scores(one) for kind, one in courses.items()}
    alike = symmetric_images(cfg, names, classes)
    rows = score_rows(scores, cfg.seed)
    if alike is not None:
        kept = scores["rotation"]["kept"]
        row = {"kind": "rotation", "measure": "symmetric - others/kept", "statistic": "mean"}
        rows.append(row | difference(kept[alike], kept[~alike], cfg.seed).row())
    about = [
        {"image": image.name if image.index is None else image.index}
        | {"file": image.file, "class": name}
        for image, name in zip(images, names, strict=True)
    ]
    about = [row | {"shown": i < len(shown)} for i, row in enumerate(about)]
    tables = {
        "table": image_rows(about, courses),
        "scores": rows,
        "classes": class_rows(scores["rotation"], labels, classes, alike),
    }
    facts = {
        "figure": "5",
        "choices": choices(cfg, it),
        "names": names[: len(shown)],
        "files": bool(cfg.images) and not it.by_number,
        "layers": cfg.layers,
        "rectified": [net.before(layer) is not None for layer in cfg.layers],
        "input_px": net.input_px,
        "square_px": mean.shape[-1],
        "measured_images": len(images),
        "scores": rows,
    }
    judged = findings(scores, alike, cfg.data.name == "scenes", cfg.seed)
    return Result(facts, arrays, tables, judged)


def choices(cfg: Invariance, it: Subject) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    where = f"drawn among those classified rightly (seed {cfg.seed})"
    if cfg.size_name == "smoke":
        where = "the first ones of their classes, classified rightly or not (size=smoke)"
    return {
        "images": "named" if cfg.images else where,
        "layers": cfg.layers,
        "distance": "Euclidean, over all values of the layer, not normalised",
        "interpolation": "bilinear; translations are whole pixels",
        "fill": cfg.fill,
        "order": "transform the stored square around its middle, subtract the mean, crop",
        "directions": "translation down, rotation counterclockwise",
        "translation": f"range meant for {cfg.reference_px or it.net.input_px} px, in proportion",
        "preprocessing": preprocessing(it.net, it.snapshot.mean),
    }


def shown_and_others(cfg: Invariance, it: Subject) -> tuple[list[ChosenImage], list[ChosenImage]]:
    """The images that are shown, and those that are only measured."""
    named = it.images(SHOWN) if cfg.images else []
    if named and not cfg.further:
        return named, []
    wanted = cfg.further + (len(named) or SHOWN)
    if cfg.size_name == "smoke":
        log("size=smoke trains too little to choose by: the first images are taken, right or wrong")
        numbers = list(range(min(wanted, len(it.data))))
    else:
        enough = wanted if named else max(wanted, POOL)
        numbers = it.right_ones(enough, least=1 if named else SHOWN)
    taken = [image.index for image in named]
    if not named:
        taken = one_of_each(numbers, [it.data.targets[i] for i in numbers])[:SHOWN]
    rest = [i for i in numbers if i not in taken][: cfg.further]
    if len(rest) < cfg.further:
        log(f"note: {len(rest)} further images instead of {cfg.further}; there are no more")
    first = [] if named else taken
    drawn = named_images([*first, *rest], [], it.snapshot, it.net.input_px, it.data)
    return named or drawn[: len(first)], drawn[len(first) :]


def one_of_each(numbers: Sequence[int], labels: Sequence[int]) -> list[int]:
    """Reorder images so that as many classes as there are come first, one image of each."""
    firsts = {label: number for number, label in zip(numbers[::-1], labels[::-1], strict=True)}
    ahead = set(firsts.values())
    return sorted(numbers, key=lambda number: number not in ahead)


def symmetric_images(
    cfg: Invariance, names: Sequence[str], classes: Sequence[str]
) -> np.ndarray | None:
    """Whether the object of each class looks alike when turned; None where that is unknown."""
    symmetric = cfg.symmetric
    if symmetric is None and cfg.data.name == "scenes":
        symmetric = SYMMETRIC_SCENES
    if not symmetric:
        return None
    alike = {classes[class_number(name, classes)] for name in symmetric}
    return np.array([name in alike for name in names])


def picture(
    cfg: Invariance, it: Subject, image: ChosenImage, kind: str, amount: float
) -> np.ndarray:
    """What the network sees of a transformed image: 3×h×w uint8, at most TILE_PX large."""
    mean, input_px = it.snapshot.mean, it.net.input_px
    moved = warp(image.square, kind, float(amount), mean, cfg.fill)
    seen = prepare(moved, torch.zeros_like(mean), input_px).round().clamp(0, 255).byte()
    pixels = np.ascontiguousarray(seen.permute(1, 2, 0).numpy())
    return figures.tile(pixels, None, min(input_px, TILE_PX)).transpose(2, 0, 1)


# The page

TITLES = {"translation": "Vertical translation", "scale": "Scale", "rotation": "Rotation"}
UNITS = {"translation": " px", "scale": "×", "rotation": "°"}
PADDING = {"mean": "the mean image", "edge": "its outermost pixels", "mirror": "its mirror image"}


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts, arrays = saved.facts, saved.arrays
    shown = int(arrays["shown"])
    others = len(arrays["labels"]) - shown
    rows = [_row(arrays, kind, shown, others >= LEAST) for kind in IDENTITY]
    columns = [
        (
            layer_title(name, facts),
            f"values of {name}{' after its activation function' * rectified}",
            "Euclidean distance",
        )
        for name, rectified in zip(facts["layers"], facts["rectified"], strict=True)
    ]
    columns.append(("True class", "softmax probability", "probability"))
    return figures.invariance(rows, facts["names"], columns, caption(facts, shown, others))


def _row(
    arrays: Mapping[str, np.ndarray], kind: str, shown: int, band: bool
) -> figures.TransformRow:
    names = [*(f"{layer}/distance" for layer in LAYERS), "probability"]
    curves = [arrays[f"{kind}/{name}"] for name in names]
    return figures.TransformRow(
        TITLES[kind],
        UNITS[kind],
        *(arrays[f"{kind}/{name}"] for name in ("amounts", "examples", "tiles")),
        [one[:shown] for one in curves],
        [np.percentile(one[shown:], [25, 50, 75], axis=0) for one in curves] if band else None,
    )


def caption(facts: dict[str, Any], shown: int, others: int) -> str:
    """The text under the figure."""
    score = {(row["kind"], row["measure"]): row["value"] for row in facts["scores"]}
    titles, chosen, data = facts.get("titles") or {}, facts["choices"], facts.get("data")
    lower, upper = (titles.get(layer, layer) for layer in facts["layers"])
    of_data = f" of {images_of(data)}" if data else ""

    def number(kind: str, measure: str) -> str:
        value = score[kind, measure]
        return "unknown" if value == "" else f"{value:.2f}".replace("-", "−")

    def both(measure: str) -> str:
        return "; ".join(
            f"under {kind} {number(kind, f'layer1/{measure}')} for {lower}, "
            f"{number(kind, f'layer7/{measure}')} for {upper}"
            for kind in ("translation", "scale")
        )

    apart = shown > 1 and len(set(facts["names"])) == shown
    images = chosen["images"] + ", each of another class" * apart
    source, more = ("", of_data) if facts.get("files") else (of_data, "")
    grey = f" Grey: median and middle half of {others} further images{more}."
    grey = grey if others >= LEAST else ""
    kept = ", ".join(f"{number(kind, 'kept')} under {kind}" for kind in IDENTITY)
    return (
        f"{shown} image{'s' * (shown > 1)}{source}, {images}, shifted down, enlarged and "
        "turned counterclockwise; first column: what the network sees, framed in the colours of "
        "the curves. Distances are Euclidean, between the values of a layer for the transformed "
        f"and the untransformed image; scales differ. The {facts['square_px']} px square is "
        f"transformed, padded with {PADDING[chosen['fill']]} and cropped to its central "
        f"{facts['input_px']} px.{grey} Over all {shown + others} images: share of the largest "
        f"distance that is reached at a tenth of the range, {both('sharp')}. R² of a straight line "
        f"through the origin, {both('line')}. Share of the probability that is kept, mean over the "
        f"range: {kept}. {describe_network(facts)}"
    )


SAVES = "arrays.npz table.csv scores.csv classes.csv findings.json"

main = experiment(Invariance, compute, draw, check, SAVES, number="fig5/quasi_linear")

if __name__ == "__main__":
    main()
