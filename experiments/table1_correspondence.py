r"""Table 1 with Figure 8: does hiding an eye or the nose change the features of all faces alike?

    python -m experiments.table1_correspondence snapshot=<run>/last.pt
    python -m experiments.table1_correspondence snapshot=<run>/last.pt boxes=faces.json
    python -m experiments.table1_correspondence snapshot=<run>/last.pt boxes=docs/dogs.json \
        images_root=<folder of the photographs>
    python -m experiments.table1_correspondence model=torchvision/squeezenet1_0 \
        model.weights=DEFAULT boxes=docs/dogs.json images_root=<folder of the photographs> \
        'layers=[features.5,features.9,features.12,flatten]'
    python -m experiments.table1_correspondence redraw=outputs/table1_correspondence/<folder>

Paper: five frontal dogs; the right eye, the left eye, the nose or random parts are hidden;
ε = x − x̃ at layers 5 and 7; Δ sums the Hamming distance of sign ε over all ordered pairs of images.
At layer 5 eyes and nose lie below random, at layer 7 all are alike. Not stated there: what ± is,
the size of the masks, how many random ones, the sign of 0, the tap points, whose left and right.
Here: means over pairs and dimensions, ± the standard deviation over pairs, masks of one size in an
image, `random` random masks inside the object that touch no eye and no nose, 0 as a third sign,
conv5 and fc7 after their ReLU, left and right of the image. Of a network without those, the middle
and the last of `layers` stand for layers 5 and 7.

Controls: many draws of five, all pairs of all faces with a bootstrap over faces, values left out
that changed in neither face, masks where *another* face has the part, an untrained network, and a
permutation test of the masks' names.

Cost: laptop a minute (with a snapshot) on 2 CPU cores; ZFNet at 224 px a few minutes.
Expected (Table 1): at layer 5 eyes .067 and .069 and nose .079 below random .107; at layer 7 all
alike, .068 to .073.

Writes figure.png and figure.pdf, arrays.npz (pictures, boxes, distances), table.csv (a row a
network, layer and mask), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.data import prepare
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.networks import Network, build
from deconv.networks.depths import last_hidden, spread_points
from deconv.records import Box
from deconv.studies.boxes import area, masked_pictures, overlap
from deconv.studies.correspondence.consistency import ZERO
from deconv.studies.correspondence.delta_table import (
    MASKED,
    MIXED,
    ROWS,
    ZEROS,
    Sampling,
    all_masks,
    delta_rows,
    face_changes,
)
from deconv.studies.correspondence.faces import MASKS, PARTS, Face, draws, file_faces, scene_faces
from experiments.kit import Drawn, Result, Saved, Subject, check_name, experiment, log
from experiments.kit.facts import describe_network, preprocessing
from experiments.kit.inputs import data_name, stored_side_px
from experiments.kit.paper_tables import TABLE1
from experiments.kit.printed import printed
from experiments.kit.titles import layer_title
from experiments.verdicts.correspondence import (
    COUNTED,
    LEFT_OUT,
    NAMED,
    findings,
    paper_numbers,
    stand_in,
)

SHOWN_RANDOM, BESIDE = 2, 2
"""Random masks among the pictures; panels beside them, the others stand below."""
PAPER = ("Layer 5", "Layer 7")
"""The titles of the columns of the paper's table."""
LOWEST = 2
"""Of five depths of a network without the paper's layers, the lowest that is compared."""


@dataclasses.dataclass
class Correspondence(Drawn):
    snapshot: str | None = None  # null: train cfg.model first (not at size=paper)
    boxes: str | None = None  # JSON file of one's own images and boxes, in the form that
    # deconv/studies/correspondence/faces.py states; null: faces of the built-in scenes
    # (data=scenes); docs/dogs.json: 41 frontal dogs, for one's own copy of the photographs
    images_root: str | None = None  # folder of the images that boxes names; null: the file's
    classes: list[str] = dataclasses.field(default_factory=list)  # of the faces; []: 'dog face' of
    # the scenes, all of a file of boxes
    faces: int = 40  # of each class, of the scenes; all of a file of boxes are used
    group: int = 5  # images in one draw; paper: 5
    draws: int = 20  # of so many images; the first one is the paper's experiment
    layers: list[str] = dataclasses.field(
        default_factory=list
    )  # from below; []: the paper's, conv5
    # and fc7, or three depths of a network without them; other tap points: [pool5,'fc7:z']
    mask: str = "same"  # same: all masks of an image as large as its largest part; box: the parts'
    random: int = 6  # random masks of each image
    fill: float = 0.0  # what hides, on the preprocessed scale; 0 is the mean image
    smallest: float = 0.08  # side of a part's box over that of the network's image, of the scenes
    untrained: bool = True  # the same with an untrained network, as a control
    resamples: int = 2000  # of the faces, for the intervals
    shuffles: int = 1000  # of the masks' names, for the p values

    def __post_init__(self) -> None:
        check_name("mask", self.mask, MASKS)
        least = {"group": 2, "draws": 1, "random": 1, "resamples": 100, "shuffles": 100}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise DeconvError(f"{name} must be at least {number}, got {getattr(self, name)}")
        if not 0 < self.smallest < 1:
            raise DeconvError(f"smallest is a share between 0 and 1, got {self.smallest}")
        if self.boxes is None and self.images_root is not None:
            raise DeconvError("images_root is the folder of the images that boxes=<file> names")
        if self.boxes is None and self.faces < self.group:
            raise DeconvError(f"faces={self.faces} are too few for groups of {self.group}")


def check(cfg: Correspondence, it: Subject) -> None:
    """Raise DeconvError for a layer or data that cannot be used."""
    cfg.layers = layers_of(cfg.layers, it.sketch)
    if cfg.boxes is None and cfg.data.name != "scenes":
        raise DeconvError(
            f"where eyes and noses are is not known for {cfg.data.name}: name a JSON file of boxes "
            "with boxes=<file>, or take data=scenes"
        )


def layers_of(named: Sequence[str], net: Network) -> list[str]:
    """The layers that are named; else the paper's, or the upper depths of another network."""
    own = set(NAMED) <= set(net.points)
    if not named and not own:
        named = list(dict.fromkeys([*spread_points(net)[LOWEST:], last_hidden(net)]))
        log(f"layers, as none is named: {', '.join(named)}")
    layers = [net.check_point(layer) for layer in named or NAMED]
    if twice := sorted({layer for layer in layers if layers.count(layer) > 1}):
        raise DeconvError(f"layers names {', '.join(twice)} twice")
    return layers


def compute(cfg: Correspondence, it: Subject) -> Result:
    """Record every face with every mask and compare all pairs."""
    faces = find_faces(cfg, it)
    kinds = [face.kind for face in faces]
    groups = draws(kinds, cfg.group, cfg.draws, np.random.default_rng((cfg.seed, 1)))
    snapshot, net = it.snapshot, it.net
    it.first_alone()
    masks = all_masks(faces, net.input_px, cfg.random, cfg.seed, cfg.mask)
    names = list(masks[0])
    images = [prepare(face.square, snapshot.mean, net.input_px) for face in faces]
    sampling = Sampling(kinds, groups, cfg.resamples, cfg.shuffles, cfg.seed)
    nets = {"trained": net}
    if cfg.untrained:
        nets["untrained"] = build(**snapshot.recipe, seed=cfg.seed).to(it.device)
    shown = [
        masked_pictures(images[i], list(masks[i].values()), cfg.fill, snapshot.mean)
        for i in groups[0]
    ]
    arrays = {
        "pictures": torch.stack(shown).numpy(),
        "masks": np.array(names),
        "boxes": np.array([list(boxes.values()) for boxes in masks]),
        "group": np.array(groups[0]),
        "faces": np.array([face.name for face in faces]),
    }
    rows, resampled = [], {}
    for name, one in nets.items():
        log(f"{len(faces)} faces, {len(names)} masks each, {name} network")
        changes = face_changes(one, images, masks, cfg.layers, cfg.fill)
        for layer, zeros in itertools.product(cfg.layers, ZEROS):
            arrays[f"{name}/{layer}/{zeros}"] = changes[layer].distance[zeros]
            own, resampled[name, layer, zeros] = delta_rows(changes[layer], zeros, names, sampling)
            rows += [{"network": name, "layer": layer, "zeros": zeros} | row for row in own]
    numbers = paper_numbers(cfg.layers, net.points)
    log(as_text(rows, {"titles": it.titles, "numbers": numbers}))
    facts = choices(cfg, it, faces, masks) | {"numbers": numbers}
    facts["right"] = share_right(it, kinds, images)
    judged = findings(cfg, numbers, it.titles, rows, resampled, len(faces))
    return Result(facts, arrays, {"table": rows}, judged)


def find_faces(cfg: Correspondence, it: Subject) -> list[Face]:
    """The faces of cfg.boxes, or of the built-in scenes that networks are validated on."""
    sides = stored_side_px(cfg, it.given), it.sketch.input_px
    if cfg.boxes is not None:
        return file_faces(cfg.boxes, *sides, cfg.images_root, cfg.classes)
    log(f"looking for {cfg.faces} faces with two eyes and a nose")
    seed, least_px = cfg.data.val_seed, math.ceil(cfg.smallest * sides[1])
    kinds = cfg.classes or ["dog face"]
    found = [scene_faces(kind, cfg.faces, seed, *sides, least_px) for kind in kinds]
    return [face for own in found for face in own]


def share_right(it: Subject, kinds: list[str], images: list[torch.Tensor]) -> float | None:
    """The share of faces that the network puts into their class; None if it knows no such class."""
    classes = it.snapshot.classes
    if not set(kinds) <= set(classes):
        return None
    found = [int(it.net.record(image[None].to(it.device)).logits.argmax()) for image in images]
    return float(np.mean([classes[i] == kind for i, kind in zip(found, kinds, strict=True)]))


def choices(
    cfg: Correspondence, it: Subject, faces: list[Face], masks: list[dict[str, Box]]
) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    touching = [overlap(own[f"borrowed {part}"], own[part]) for own in masks for part in PARTS]
    kinds = [face.kind for face in faces]
    pixels = hashlib.sha256(b"".join(face.square.numpy().tobytes() for face in faces))
    name = data_name(cfg) if cfg.boxes is None else f"faces ({Path(cfg.boxes).name})"
    return {
        "table": "1",
        "figure": "8",
        "data": {"name": name, "images": len(faces), "fingerprint": pixels.hexdigest()[:12]},
        "classes": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "choices": {
            "delta": "mean over ordered pairs i ≠ j and over dimensions (a sum would exceed 1)",
            "spread": "standard deviation over the pairs of a draw; beside it the 95 % interval "
            "of a bootstrap over images, without pairs of an image with itself",
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
            "preprocessing": preprocessing(it.net, it.snapshot.mean),
        },
        "group": cfg.group,
        "draws": cfg.draws,
        "random": cfg.random,
        "mask_px": round(float(np.mean([area(own[PARTS[0]]) for own in masks])) ** 0.5, 1),
        "input_px": it.net.input_px,
        "borrowed_overlap": round(float(np.mean(touching)), 3),
    }


# The table as text, and the page

BLOCKS = {
    "the first draw, ± over its pairs": (COUNTED, "first", "first_sd_pairs"),
    "mean of all draws, ± between draws": (COUNTED, "draws", "draws_sd"),
    "all pairs, ± half the 95 % interval": (COUNTED, "all", None),
    "all pairs, without what changed in neither face": (LEFT_OUT, "all", None),
}
"""Of the printed table: title -> zeros, column of the value, column of ±."""


def as_text(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Table 1 in the paper's form, of the first draw, then of all draws.

    facts: titles and numbers of the layers.
    """
    at = {(r["zeros"], r["layer"], r["mask"]): r for r in rows if r["network"] == "trained"}
    layers = list(dict.fromkeys(row["layer"] for row in rows))

    def cell(row: Mapping[str, Any], value: str, spread: str | None) -> str:
        around = row[spread] if spread else (row["all_high"] - row["all_low"]) / 2
        return f"{row[value]:.3f} ± {around:.3f}"

    head, text = ["hidden", *(_title(layer, facts) for layer in layers)], []
    for title, (zeros, *columns) in BLOCKS.items():
        lines = [
            [mask.replace("_", " "), *(cell(at[zeros, layer, mask], *columns) for layer in layers)]
            for mask in MASKED
        ]
        text.append(f"mean feature sign change: {title}\n{printed(head, lines)}\n")
    return "\n".join(text)


def _title(layer: str, facts: Mapping[str, Any]) -> str:
    """A layer's title; of one that stands for a layer of the paper, for which."""
    title, number = layer_title(layer, facts), facts["numbers"].get(layer)
    stands = number and stand_in(layer, number, facts.get("titles") or {})
    return f"{title}, for layer {number}" if stands else title


def read_numbers(rows: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Rows of table.csv with their numbers as numbers; empty cells are left out."""
    words = ("network", "layer", "zeros", "mask")
    return [{k: v if k in words else float(v) for k, v in row.items() if v} for row in rows]


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts, arrays, table = saved.facts, saved.arrays, read_numbers(saved.rows())
    rows = [row for row in table if row["network"] == "trained"]
    shown = [*PARTS, *(f"random {r + 1}" for r in range(min(SHOWN_RANDOM, facts["random"])))]
    columns = [arrays["masks"].tolist().index(name) for name in shown]
    tiles = figures.MaskedFaces(
        ["whole", *(name.replace("_", " ") for name in shown)],
        arrays["pictures"][:, [0, *(c + 1 for c in columns)]],
        arrays["boxes"][arrays["group"]][:, columns],
    )
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    panels = [_panel(rows, layer, zeros, facts) for zeros in ZEROS for layer in layers]
    beside = min(len(layers), BESIDE)
    return figures.correspondence(tiles, panels[:beside], panels[beside:], caption(facts, table))


def _panel(
    rows: Sequence[Mapping[str, Any]], layer: str, zeros: str, facts: Mapping[str, Any]
) -> figures.DeltaPanel:
    at = {r["mask"]: r for r in rows if (r["layer"], r["zeros"]) == (layer, zeros)}
    bars = {mask: (row["all"], row["all_low"], row["all_high"]) for mask, row in at.items()}
    title, lines = _title(layer, facts), []
    for mask in (*ROWS, MIXED):
        in_paper = mask in TABLE1 and title in PAPER and zeros == COUNTED
        lines.append(
            figures.DeltaRow(
                name=mask.replace("_", " "),
                all=bars[mask],
                first=(at[mask]["first"], at[mask]["first_sd_pairs"]),
                borrowed=bars.get(f"borrowed {mask}"),
                paper=TABLE1[mask][PAPER.index(title)] if in_paper else None,
                p=at[mask].get("p"),
            )
        )
    every = f"all {int(at[MIXED]['dimensions'])} values"
    note = f"{layer}, {every if zeros == COUNTED else 'without what changed in neither face'}"
    return figures.DeltaPanel(title, note, lines)


def caption(facts: Mapping[str, Any], table: Sequence[Mapping[str, Any]]) -> str:
    """The text under the figure."""
    data, kinds = facts["data"], facts["classes"]
    who = ", ".join(f"{count} of {kind}" if kind else f"{count}" for kind, count in kinds.items())
    source = data["name"].removeprefix("faces (").removesuffix(")")
    right = facts["right"]
    known = "" if right is None else f" The network classifies {100 * right:.0f} % of them rightly."
    return (
        f"Pictures: the {facts['group']} faces of the first draw with what is hidden in them; left "
        f"and right are the image's; masks measure {facts['mask_px']:g} px on average, of "
        f"{facts['input_px']}. Plots: mean sign change Δ between two faces with the same part "
        "hidden in both (different parts: another part in each); lower: more alike. Over all "
        "values 0 counts as a sign, so Δ grows with the number of values that change; the other "
        "plots leave out what changed in neither face. Dots: all pairs of "
        f"{data['images']} faces ({source}: {who}), 95 % bootstrap interval over faces. "
        "Circles: the first draw, the paper's experiment. Triangles: masks where another face has "
        f"the part (overlap with the face's own {facts['borrowed_overlap']:.2f}). Random: mean "
        f"over {facts['random']} masks a face inside the object that touch no eye and no nose. p: "
        "chance of a Δ so far below random if a face's masks exchanged their names."
        f"{known}{_before_training(table, facts)} {describe_network(facts)}"
    )


def _before_training(table: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Δ over all values in an untrained network, if measured, as a sentence."""
    rows = [r for r in table if (r["network"], r["zeros"]) == ("untrained", COUNTED)]
    at = {(row["layer"], row["mask"]): row["all"] for row in rows}
    words = [
        f"{layer_title(layer, facts)} {np.mean([at[layer, part] for part in PARTS]):.3f}, "
        f"{at[layer, 'random']:.3f}"
        for layer in dict.fromkeys(row["layer"] for row in rows)
    ]
    says = "Before training the means of the three parts and of random, over all values, are"
    return f" {says} {'; '.join(words)}." if words else ""


main = experiment(Correspondence, compute, draw, check, "arrays.npz table.csv findings.json")

if __name__ == "__main__":
    main()
