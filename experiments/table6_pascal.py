"""Table 6: PASCAL VOC 2012 by average precision, linear classifiers on the features of layer 7.

    python -m experiments.table6_pascal snapshot=<run>/last.pt data=voc2012 data.root=<folder>
    python -m experiments.table6_pascal size=laptop snapshot=<run>/last.pt

Paper: the network trained on ImageNet stays as it is and a new softmax is trained on top of it with
VOC's training images; average precision on VOC's test set. Its softmax gives one answer an image,
though VOC's images show several objects; how it was trained on them is not stated.
Differs from paper: one logistic regression a class, each on its own; tested on VOC's validation
images, since the labels of the test images are not public.

Without VOC the parts of the built-in scenes (wheel, window, eye, …) stand for its classes.

Writes table.csv (a row a class), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import Cached, CentreCrops, MultiLabel, Squares
from deconv.data.average_precision import ABSENT, IGNORED, PRESENT
from deconv.distributed import Share
from deconv.errors import DeconvError
from deconv.networks import ChainNet
from deconv.scenes import Scenes, scene_parts
from deconv.studies.probes.one_vs_rest import (
    average_precisions,
    choose_strength,
    fit_one_vs_rest,
    layer_values,
    mean_of_known,
)
from deconv.training.snapshots import Snapshot
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, preprocessing, training_facts
from experiments.kit.findings import Finding, write_findings
from experiments.kit.inputs import (
    build_network,
    data_name,
    device,
    given,
    log,
    squares,
    stored_side_px,
    workers,
)
from experiments.kit.printed import number, printed
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.reported import TABLE6
from experiments.kit.training import train_network

BATCH = 32
SOURCES = ("voc2012", "scenes")
"""The data sets whose images have several labels."""


@experiment("table6_pascal")
def main(cfg: DictConfig, folder: Path) -> None:
    """Learn each class on the training images and judge it on the validation images."""
    check(cfg)
    snapshot = given(cfg)
    (snapshot.network() if snapshot else build_network(cfg, 2)).check_point(cfg.layer)
    side = stored_side_px(cfg, snapshot)
    data = {split: marked(cfg, split, side) for split in ("train", "val")}
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    net = snapshot.network().to(device(cfg))
    values = {split: features(cfg, net, snapshot, data[split], split) for split in data}
    if distributed.rank() > 0:
        return
    width, count = values["train"][0].shape[1], len(data["val"].classes)
    log(f"{width} values an image; learning {count} classes")
    strength, tried = choose_strength(*values["train"], list(cfg.strengths), cfg.seed)
    model = fit_one_vs_rest(*values["train"], strength)
    scores, marks = model.scores(values["val"][0]), values["val"][1]
    precisions = 100 * average_precisions(scores, marks)
    chance = 100 * chance_precisions(scores, marks, cfg.seed)
    rows = table(data["val"].classes, precisions, chance, values["train"][1], marks)
    write_table(folder / "table.csv", rows)
    log(in_words(rows, f"{len(data['val'])} images of {data_name(cfg)} (val)"))
    write_findings(folder, findings(cfg.data.name, rows))
    facts = choices(cfg, net, snapshot.mean) | {
        "data": data_facts(cfg, "val", data["val"]),
        "training_images": len(data["train"]),
        "strength": strength,
        "held_out_mean_precision": {f"{s:g}": known(v) for s, v in tried.items()},
        "training": training_facts(snapshot, cfg.snapshot),
    }
    write_provenance(folder, net, facts)


def check(cfg: DictConfig) -> None:
    """Raise DeconvError for what cannot be used, before anything long."""
    if cfg.data.name not in SOURCES:
        raise DeconvError(
            f"data={cfg.data.name} has one label an image; Table 6 takes data=voc2012 "
            "data.root=<folder>, or the parts of the built-in data=scenes"
        )
    if cfg.data.name == "voc2012" and not cfg.snapshot:
        raise DeconvError(
            "a network cannot be trained on images with several labels: name one that was trained "
            "on others, snapshot=<run>/last.pt"
        )
    strengths = cfg.strengths
    if not isinstance(strengths, ListConfig) or not all(
        type(s) in (int, float) and s > 0 for s in strengths
    ):
        raise DeconvError(f"strengths takes positive numbers such as [0.001,0.01], got {strengths}")
    if not strengths:
        raise DeconvError("strengths is empty: name one or more, such as [0.001]")


def marked(cfg: DictConfig, split: str, side_px: int) -> MultiLabel | Squares:
    """The images of a split with a mark for each class."""
    images = squares(cfg, split, side_px)
    if cfg.data.name != "scenes":
        return images
    scenes = Scenes(cfg.data[f"{split}_images"], cfg.data[f"{split}_seed"], side_px)
    log(f"marking the parts of {len(scenes)} scenes ({split})")
    kept = cfg.cache_dir if isinstance(images, Cached) else None
    with distributed.first_alone():
        return scene_parts(scenes, images, kept, cfg.data.workers)


def features(
    cfg: DictConfig, net: ChainNet, snapshot: Snapshot, data: Squares, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """The layer's values and the marks of all images of a split."""
    log(f"running {net.name} to {cfg.layer} over {len(data)} images ({split})")
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    loader = DataLoader(Share(crops, BATCH), batch_size=BATCH, num_workers=workers(cfg))
    return layer_values(net, loader, cfg.layer)


DEALS = 20
"""How often the scores are dealt out at random to see what chance brings."""


def chance_precisions(scores: np.ndarray, marks: np.ndarray, seed: int) -> np.ndarray:
    """The mean average precision of each class when its scores go to random images.

    Of few images it is well above the share of them that shows the class.
    """
    rng = np.random.default_rng(seed)
    deals = [average_precisions(scores[rng.permutation(len(scores))], marks) for _ in range(DEALS)]
    return np.mean(deals, axis=0)


THEIRS = ("Sande et al.", "Yan et al.", "paper")
"""The columns of the paper's table."""


def table(
    classes: Sequence[str],
    precisions: np.ndarray,
    chance: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
) -> list[dict[str, Any]]:
    """A row a class and one of the means; average precision in percent, "" where there is none."""
    rows = []
    for number_, name in enumerate(classes):
        row: dict[str, Any] = {"class": name, "average precision": known(precisions[number_])}
        row["chance"] = known(chance[number_])
        for split, marks in (("train", train), ("val", val)):
            for kind, mark in (("present", PRESENT), ("ignored", IGNORED), ("absent", ABSENT)):
                row[f"{split} {kind}"] = int((marks[:, number_] == mark).sum())
        rows.append(row | theirs(name))
    judged = [row for row in rows if row["average precision"] != ""]
    means = {
        key: known(mean_of_known(np.array([row[key] for row in judged], float)))
        for key in ("average precision", "chance")
    }
    return [*rows, {"class": "mean"} | means | (theirs("mean") if classes[0] in TABLE6 else {})]


def known(value: float) -> float | str:
    """A number for a table or a sidecar; "" where there is none."""
    return "" if math.isnan(value) else round(float(value), 4)


def theirs(name: str) -> dict[str, float]:
    """The paper's numbers of a class."""
    return dict(zip(THEIRS, TABLE6.get(name, ()), strict=False))


def in_words(rows: Sequence[dict[str, Any]], measured_on: str) -> str:
    """The printed table: ours, then the three columns of the paper."""
    of_voc = any(THEIRS[0] in row for row in rows)
    columns = ("average precision", "chance", *(THEIRS if of_voc else ()))
    body = [
        (row["class"], *(number(row.get(c) if row.get(c) != "" else None) for c in columns))
        for row in rows
    ]
    left_out = [row["class"] for row in rows if row["average precision"] == ""]
    note = (
        f"without average precision, and not in the mean: {', '.join(left_out)} (no image shows "
        "it, or none is left to tell it from)\n"
        if left_out
        else ""
    )
    title = f"Table 6: average precision in %, on {measured_on}"
    return f"\n{title}\n{printed(('Class', *columns), body)}\n{note}"


def choices(cfg: DictConfig, net: ChainNet, mean: torch.Tensor) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return {
        "table": "6",
        "choices": {
            "features": f"{cfg.layer} after ReLU, centre crop; {preprocessing(net, mean)}",
            "classifier": "one logistic regression a class on values of unit variance; differs "
            "from the paper's softmax",
            "strength": f"of {list(cfg.strengths)}, by the mean average precision on a fifth of "
            f"the training images (seed {cfg.seed})",
            "average precision": "VOC's since 2010: the area under the envelope of precision; "
            "images of one score come in together",
            "chance": f"the same scores dealt out at random, mean of {DEALS} deals",
            "ignored": "difficult objects"
            if cfg.data.name == "voc2012"
            else "parts that are too small or cut off; stray parts do not count",
            "tested on": "the validation images; VOC's test labels are not public",
        },
    }


NEAR = 2.0
"""Percentage points around the mean within which a class is on neither side of it."""
ALIKE = 0.5
"""Of a rank correlation, from which on two orders of classes are called alike."""
ABOVE_CHANCE = 10.0
"""Percentage points of average precision that features have to bring."""


def findings(name: str, rows: Sequence[dict[str, Any]]) -> list[Finding]:
    """Of VOC each class and the mean; of the scenes how far their parts can be told."""
    judged = {row["class"]: row["average precision"] for row in rows}
    judged = {label: value for label, value in judged.items() if value != ""}
    if not judged.keys() - {"mean"}:
        return []
    if name == "voc2012":
        return [of_class(label, judged) for label in judged if label != "mean"] + [of_mean(judged)]
    chance = next(row["chance"] for row in rows if row["class"] == "mean")
    rule = (
        f"the mean average precision over {len(judged) - 1} parts is at least {ABOVE_CHANCE:g} "
        f"points above that of the same scores dealt out at random ({chance:.1f} %)"
    )
    holds = judged["mean"] >= chance + ABOVE_CHANCE
    return [Finding("truth/table6_pascal/parts", judged["mean"], None, holds, rule, "%")]


def of_class(label: str, judged: dict[str, float]) -> Finding:
    """Whether a class is one of the easier or the harder ones, as in the paper."""
    own = judged[label] - judged["mean"]
    reported = TABLE6[label][2] - TABLE6["mean"][2]
    unclear = min(abs(own), abs(reported)) < NEAR
    rule = (
        f"{label} lies on the same side of the mean as in the paper ({reported:+.1f} points there, "
        f"{own:+.1f} here); open within {NEAR:g} points; validation instead of test images"
    )
    return Finding(
        f"table6/{label}", judged[label], None, None if unclear else own * reported > 0, rule
    )


def of_mean(judged: dict[str, float]) -> Finding:
    """Whether the order of the classes is that of the paper."""
    labels = [label for label in judged if label != "mean"]
    ours, paper = ([table[label] for label in labels] for table in (judged, paper_column()))
    if len(labels) < 3:
        alike = math.nan
    else:
        alike = float(np.corrcoef(ranks(ours), ranks(paper))[0, 1])
    rule = (
        f"the order of the {len(labels)} classes is the paper's, by a rank correlation of at least "
        f"{ALIKE:g} (here {alike:.2f}); validation instead of test images"
    )
    holds = None if math.isnan(alike) else alike >= ALIKE
    return Finding("table6/mean", judged["mean"], None, holds, rule)


def paper_column() -> dict[str, float]:
    """The paper's own average precisions."""
    return {label: row[2] for label, row in TABLE6.items()}


def ranks(values: Sequence[float]) -> np.ndarray:
    """The place of each value in their order; equal ones share the mean of their places."""
    array = np.asarray(values, float)
    return np.array([(array < v).sum() + ((array == v).sum() - 1) / 2 for v in array])


if __name__ == "__main__":
    main()
