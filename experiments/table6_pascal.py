"""Table 6: PASCAL VOC 2012 by average precision, linear classifiers on the features of layer 7.

    python -m experiments.table6_pascal snapshot=<run>/last.pt data=voc2012 data.root=<folder>
    python -m experiments.table6_pascal size=laptop snapshot=<run>/last.pt    # parts of the scenes

Paper: the network trained on ImageNet stays as it is and a new softmax is trained on top of it with
VOC's training images; average precision on VOC's test set. Its softmax gives one answer an image,
though VOC's images show several objects; how it was trained on them is not stated.
Differs from paper: one logistic regression a class, each on its own; tested on VOC's validation
images, since the labels of the test images are not public.

Of a network of others the features are what its last layer reads, unless layer= names a point.
Without VOC the parts of the built-in scenes (wheel, window, eye, …) stand for its classes.

Cost: laptop about 2 minutes on 2 CPU cores with a snapshot, most of it marking the parts once.
Expected with ZFNet trained on ImageNet: the paper's mean is 79.0 %, on VOC's test set.

Writes table.csv (one row per class), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from deconv import distributed
from deconv.data import Cached, CentreCrops, MultiLabel, Squares
from deconv.data.average_precision import ABSENT, IGNORED, PRESENT
from deconv.errors import DeconvError
from deconv.networks.depths import point_of
from deconv.scenes import Scenes, scene_parts
from deconv.studies.probes import check_points
from deconv.studies.probes.one_vs_rest import (
    DEALS,
    average_precisions,
    chance_precisions,
    choose_strength,
    fit_one_vs_rest,
    layer_values,
    mean_of_known,
)
from experiments.kit import Finding, Result, Subject, experiment, judged, log
from experiments.kit.claims import ALIKE, NEAR
from experiments.kit.facts import data_facts, preprocessing
from experiments.kit.inputs import data_name
from experiments.kit.paper_tables import TABLE6
from experiments.kit.printed import number, printed
from experiments.kit.probing import Frozen

BATCH = 32
SEVERAL = ("voc2012", "scenes")
"""The data sets whose images have several labels."""


@dataclass
class Pascal(Frozen):
    layer: str = "7"  # the paper's number or a point by name; X: after ReLU, on the centre crop
    # X: of the classifiers; the best on held-out training images
    strengths: list[float] = field(
        default_factory=lambda: [0.0001, 0.001, 0.01]
    )  # of the weight decay, chosen on validation images

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.name not in SEVERAL:
            raise DeconvError(
                f"data={self.data.name} has one label an image; Table 6 takes data=voc2012 "
                "data.root=<folder>, or the parts of the built-in data=scenes"
            )
        if not self.strengths or min(self.strengths) <= 0:
            raise DeconvError(
                f"strengths takes positive numbers such as [0.001,0.01], got {self.strengths}"
            )


def check(cfg: Pascal, it: Subject) -> None:
    """Raise DeconvError for a layer or images that cannot be used."""
    if cfg.data.name == "voc2012" and it.given is None:
        raise DeconvError(
            "a network cannot be trained on images with several labels: name one that was trained "
            "on others, snapshot=<run>/last.pt"
        )
    check_points(it.sketch, [point_of(it.sketch, cfg.layer)], cfg.reduction)
    for split in ("train", "val"):
        it.squares(split)


def compute(cfg: Pascal, it: Subject) -> Result:
    """Learn each class on the training images and judge it on the validation images."""
    train, val = (marked(cfg, it, split) for split in ("train", "val"))
    values, marks = features(cfg, it, train)
    unseen, wanted = features(cfg, it, val)
    it.first_alone()
    log(f"{values.shape[1]} values an image; learning {len(val.classes)} classes")
    strength, tried = choose_strength(values, marks, cfg.strengths, cfg.seed)
    scores = fit_one_vs_rest(values, marks, strength).scores(unseen)
    precisions = 100 * average_precisions(scores, wanted)
    chance = 100 * chance_precisions(scores, wanted, cfg.seed)
    rows = table(val.classes, precisions, chance, marks, wanted)
    log(in_words(rows, f"{len(val)} images of {data_name(cfg)} (val)"))
    facts = {
        "table": "6",
        "choices": {
            "features": f"{point_of(it.net, cfg.layer)}, centre crop; {cfg.reduction.in_words()}; "
            f"{preprocessing(it.net, it.snapshot.mean)}",
            "classifier": "one logistic regression a class on values of unit variance; differs "
            "from the paper's softmax",
            "strength": f"of {cfg.strengths}, by the mean average precision on a fifth of "
            f"the training images (seed {cfg.seed})",
            "average precision": "VOC's since 2010: the area under the envelope of precision; "
            "images of one score come in together",
            "chance": f"the same scores dealt out at random, mean of {DEALS} deals",
            "ignored": "difficult objects"
            if cfg.data.name == "voc2012"
            else "parts that are too small or cut off; stray parts do not count",
            "tested on": "the validation images; VOC's test labels are not public",
        },
        "data": data_facts(cfg, "val", val),
        "training_images": len(train),
        "strength": strength,
        "held_out_mean_precision": {f"{s:g}": known(v) for s, v in tried.items()},
    }
    return Result(facts, tables={"table": rows}, findings=findings(cfg.data.name, rows))


def marked(cfg: Pascal, it: Subject, split: str) -> MultiLabel | Squares:
    """The images of a split with a mark for each class."""
    images = it.squares(split)
    if cfg.data.name != "scenes":
        return images
    seed = getattr(cfg.data, f"{split}_seed")
    scenes = Scenes(len(images), seed, images[0][0].shape[-1])
    log(f"marking the parts of {len(scenes)} scenes ({split})")
    kept = cfg.cache_dir if isinstance(images, Cached) else None
    with distributed.first_alone():
        return scene_parts(scenes, images, kept, cfg.data.workers)


def features(cfg: Pascal, it: Subject, data: Squares) -> tuple[np.ndarray, np.ndarray]:
    """The layer's values and the marks of all images."""
    point = point_of(it.net, cfg.layer)
    log(f"running {it.net.name} to {point} over {len(data)} images")
    crops = CentreCrops(data, it.snapshot.mean, it.net.input_px)
    return layer_values(it.net, it.loader(crops, BATCH), point, cfg.reduction)


# The table

THEIRS = ("Sande et al.", "Yan et al.", "paper")
"""The columns of the paper's table."""


def table(
    classes: Sequence[str],
    precisions: np.ndarray,
    chance: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
) -> list[dict[str, Any]]:
    """One row per class and one of the means: average precision in percent, "" without one."""
    rows = []
    for n, name in enumerate(classes):
        row = {"class": name, "average precision": known(precisions[n]), "chance": known(chance[n])}
        for split, marks in (("train", train), ("val", val)):
            for kind, mark in (("present", PRESENT), ("ignored", IGNORED), ("absent", ABSENT)):
                row[f"{split} {kind}"] = int((marks[:, n] == mark).sum())
        rows.append(row | theirs(name))
    judged = ~np.isnan(precisions)
    mean = {
        "class": "mean",
        "average precision": known(mean_of_known(precisions.round(4))),
        "chance": known(mean_of_known(chance[judged].round(4))),
    }
    return [*rows, mean | (theirs("mean") if classes[0] in TABLE6 else {})]


def known(value: float) -> float | str:
    """A number for a table or a sidecar; "" where there is none."""
    return "" if math.isnan(value) else round(float(value), 4)


def theirs(name: str) -> dict[str, float]:
    """The paper's numbers of a class."""
    return dict(zip(THEIRS, TABLE6.get(name, ()), strict=False))


def in_words(rows: Sequence[Mapping[str, Any]], measured_on: str) -> str:
    """The printed table: ours, then for VOC the three columns of the paper."""
    columns = ["average precision", "chance", *(name for name in THEIRS if name in rows[-1])]
    cells = [[row.get(column, "") for column in columns] for row in rows]
    body = [
        (row["class"], *(number(None if value == "" else value) for value in own))
        for row, own in zip(rows, cells, strict=True)
    ]
    note = ""
    if left_out := [row["class"] for row in rows if row["average precision"] == ""]:
        note = (
            f"without average precision, and not in the mean: {', '.join(left_out)} (no image "
            "shows it, or none is left to tell it from)\n"
        )
    title = f"Table 6: average precision in %, on {measured_on}"
    return f"\n{title}\n{printed(('Class', *columns), body)}\n{note}"


# The claims

ABOVE_CHANCE = 10.0
"""Percentage points of average precision that features have to bring."""


def findings(data: str, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Of VOC each class and the mean; of the scenes how far their parts can be told."""
    known = {row["class"]: row["average precision"] for row in rows}
    known = {label: value for label, value in known.items() if value != ""}
    labels = [label for label in known if label != "mean"]
    if not labels:
        return []
    if data == "voc2012":
        return [*(of_class(label, known) for label in labels), of_mean(labels, known)]
    chance = rows[-1]["chance"]
    mean = known["mean"]
    holds = mean >= chance + ABOVE_CHANCE
    return [judged("control/table6/parts", mean, None, len(labels), holds=holds, chance=chance)]


def of_class(label: str, known: Mapping[str, float]) -> Finding:
    """Whether a class is one of the easier or the harder ones, as in the paper."""
    own = known[label] - known["mean"]
    reported = TABLE6[label][2] - TABLE6["mean"][2]
    holds = None if min(abs(own), abs(reported)) < NEAR else own * reported > 0
    facts = {"beside_the_mean": own, "paper_beside_the_mean": reported}
    return judged(f"table6/{label}", known[label], holds=holds, **facts)


def of_mean(labels: Sequence[str], known: Mapping[str, float]) -> Finding:
    """Whether the order of the classes is that of the paper."""
    alike, holds = math.nan, None
    if len(labels) > 2:
        ours, paper = [known[label] for label in labels], [TABLE6[label][2] for label in labels]
        alike = float(spearmanr(ours, paper).statistic)
        holds = None if math.isnan(alike) else alike >= ALIKE
    facts = {"rank_correlation": alike}
    return judged("table6/mean", known["mean"], None, len(labels), holds=holds, **facts)


main = experiment(Pascal, compute, check=check)

if __name__ == "__main__":
    main()
