"""Table 3: layers taken out or resized, and what that does to the errors.

    python -m experiments.table3_ablation size=laptop
    python -m experiments.table3_ablation size=paper data.root=<folder> 'networks=[zfnet]'
    python -m experiments.table3_ablation resume=<folder>
    python -m experiments.table3_ablation redraw=<folder>

Paper: AlexNet's replica and the network of Figure 3, each change trained anew by the same recipe;
training top-1, validation top-1 and top-5 error. Not stated there: on which crops errors are
measured. Here: the training error on the centre crops of the training images with the finished
network (no dropout), validation errors by the ten-crop average. Other networks than those two are
resized in the same ratio.

Each row is a training in rows/<network>/<change>/. A row that fails is reported and the others go
on; resume= trains what is missing. Writes table.csv, figure.png and .pdf, findings.json,
config.yaml and provenance.json.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.utils.data import DataLoader

from deconv import distributed, figures
from deconv.data import CentreCrops, TenCrops
from deconv.distributed import Share
from deconv.errors import DeconvError, Interrupted, unknown
from deconv.networks.changes import CHANGES, WIDE, build_arguments
from deconv.training import held
from deconv.training.evaluation import PRECISIONS, Accuracy, evaluate
from deconv.training.snapshots import Snapshot, weights_hash
from experiments.ablation_findings import (
    TABLE_COLUMNS,
    findings,
    images_of,
    papers_column,
    two_errors,
)
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts
from experiments.kit.findings import write_findings
from experiments.kit.inputs import (
    build_network,
    data_name,
    device,
    log,
    recipe_of,
    squares,
    stored_side_px,
    workers,
)
from experiments.kit.printed import MISSING, number, printed
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.reported import TABLE3
from experiments.kit.resume import go_on
from experiments.kit.series import FREE, altered, as_in_the_paper, epochs_of_each, trained_in

CROPS = {"ten": (TenCrops, 8), "centre": (CentreCrops, 32)}
"""Way to crop -> (its data set, images a batch)."""

MAY_CHANGE = (*FREE, "pictures", "resume", "rows")
"""What resume= may ask for: other rows, and where things are."""

Plan = list[tuple[str, str]]
"""(network, change) of each training."""


@experiment("table3_ablation")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train what the table still lacks, measure it, then print and draw it."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    if cfg.resume:
        cfg = saved_settings(cfg, folder)
    plan = choose(cfg)
    check(cfg, plan)
    with held(folder) if distributed.rank() == 0 else contextlib.nullcontext():
        rows = all_rows(cfg, folder, plan)
    if distributed.rank() > 0:
        return
    if not any(line["state"] == "done" for line in rows):
        raise DeconvError(f"no row of the table could be trained: {rows[0]['state']}")
    finish(cfg, folder, rows)
    draw(folder, folder)
    if failed := [f"{line['network']}, {line['change']}" for line in rows if is_failed(line)]:
        log(f"failed: {'; '.join(failed)}. Try them again with resume={folder}")


def saved_settings(cfg: DictConfig, folder: Path) -> DictConfig:
    """The settings of the table to go on with, and those that may be otherwise now."""
    path = folder / "config.yaml"
    if not path.is_file() or "val_crops" not in (saved := OmegaConf.load(path)):
        raise DeconvError(f"{folder} is not the folder of a Table 3: it has no settings of one")
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    return go_on(OmegaConf.to_container(saved), cfg, overrides, MAY_CHANGE)


def choose(cfg: DictConfig) -> Plan:
    """The trainings: every network with its changes, "none" first."""
    for name in ("networks", "rows"):
        if cfg[name] is not None and (not isinstance(cfg[name], ListConfig) or not cfg[name]):
            raise DeconvError(f"{name} takes a list, got {cfg[name]}")
    usual = ["alexnet", "zfnet"] if cfg.size_name == "paper" else [cfg.model.name]
    plan = []
    for network in cfg.networks or usual:
        asked = list(cfg.rows or [change for change in CHANGES if of_paper(network, change)])
        for change in sorted({"none", *asked}, key=[*CHANGES, *asked].index):
            build_arguments(network, change)  # refuses unknown names
            plan.append((network, change))
    return plan


def of_paper(network: str, change: str) -> bool:
    """Whether the paper's table has the row for this network; of any other network it has all."""
    return network not in {"alexnet", "zfnet"} or network in TABLE3[change]


def settings(cfg: DictConfig, network: str, change: str) -> DictConfig:
    """The configuration of one training."""
    changes = {f"model.{key}": value for key, value in build_arguments(network, change).items()}
    changes |= {"model.name": network, "train.epochs": epochs_of_each(cfg)}
    return altered(cfg, changes | {"train.test_crops": "centre"})


def check(cfg: DictConfig, plan: Plan) -> None:
    """Raise DeconvError for what cannot be used, before anything long."""
    for kind, name, valid in (
        ("way to crop", cfg.train_crops, CROPS),
        ("way to crop", cfg.val_crops, CROPS),
        ("precision", cfg.precision, PRECISIONS),
    ):
        if name not in valid:
            raise unknown(kind, name, valid)
    own = {key: cfg.model[key] for key in ("remove", "maps_345", "fc_width") if cfg.model[key]}
    if own:
        raise DeconvError(f"Table 3 changes the layers itself: leave out model.{next(iter(own))}")
    recipe_of(settings(cfg, *plan[0]))
    build_network(settings(cfg, *plan[0]), 2)
    squares(cfg, "train", stored_side_px(settings(cfg, *plan[0]), None))


def is_failed(line: dict[str, Any]) -> bool:
    """Whether a row of table.csv could not be trained."""
    return line["state"] != "done"


def all_rows(cfg: DictConfig, folder: Path, plan: Plan) -> list[dict[str, Any]]:
    """The rows of table.csv in order. Raises Interrupted, naming the table, if a training does."""
    try:
        return [row(cfg, folder, *one) for one in plan]
    except Interrupted as reason:
        within = str(reason).partition(":")[0]
        raise Interrupted(f"{within}: go on with the table by resume={folder}") from reason


def row(cfg: DictConfig, folder: Path, network: str, change: str) -> dict[str, Any]:
    """One row of table.csv: trained and measured, or why it could not be."""
    place = folder / "rows" / network / change.replace(": ", "_").replace(" ", "_")
    line: dict[str, Any] = {"network": network, "change": change}
    kept = place / "errors.json"
    if there := distributed.from_first(kept.read_text() if kept.is_file() else None):
        log(f"{network}, {change}: finished before")
        return line | json.loads(there)
    log(f"{network}, change: {change}")
    try:
        own = settings(cfg, network, change)
        snapshot = trained_in(own, place)
        found = measure(own, snapshot)
    except (DeconvError, RuntimeError, OSError) as error:
        log(f"{network}, {change} failed: {error}")
        return line | {"state": f"failed: {error}"}
    if distributed.rank() == 0:
        kept.write_text(json.dumps(found, indent=2) + "\n")
    return line | found


def measure(cfg: DictConfig, snapshot: Snapshot) -> dict[str, Any]:
    """The errors of a finished network in percent, and what it is."""
    net = snapshot.network().to(device(cfg))
    found: dict[str, Any] = {}
    for split, crops in (("train", cfg.train_crops), ("val", cfg.val_crops)):
        data = squares(cfg, split, snapshot.mean.shape[-1])
        view, batch = CROPS[crops]
        share = Share(view(data, snapshot.mean, net.input_px), batch)
        loader = DataLoader(share, batch_size=batch, num_workers=workers(cfg))
        found |= errors(split, evaluate(net, loader, cfg.precision)) | {
            f"{split}_images": len(data)
        }
    found["parameters"] = sum(weight.numel() for weight in net.parameters())
    found["epochs"], found["weights_sha256"] = snapshot.epoch, weights_hash(net)
    found["as_in_the_paper"] = as_in_the_paper(snapshot, cfg.model.name)
    return found | {"state": "done"}


def errors(split: str, accuracy: Accuracy) -> dict[str, float]:
    """Those of the table's columns that a split has."""
    if split == "train":
        return {TABLE_COLUMNS[0]: round(100 - accuracy.top1, 3)}
    pairs = zip(TABLE_COLUMNS[1:], (accuracy.top1, accuracy.top5), strict=True)
    return {column: round(100 - value, 3) for column, value in pairs}


def finish(cfg: DictConfig, folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """table.csv, the printed table, findings and provenance."""
    lines = [beside(line) for line in rows]
    write_table(folder / "table.csv", lines)
    write_findings(folder, findings(rows, cfg.data.name == "imagenet", cut_short(cfg)))
    first = settings(cfg, rows[0]["network"], "none")
    data = squares(cfg, "val", stored_side_px(first, None))
    facts = {
        "table": "3",
        "choices": {
            "training error": f"{cfg.train_crops} crops of the training images, finished network, "
            "no dropout",
            "validation errors": f"{cfg.val_crops} crops",
            "resized layers": "in the ratio in which the paper resizes ZFNet's",
            "epochs": epochs_of_each(cfg),
            "cut short": cut_short(cfg),
            "seed": cfg.seed,
        },
        "data": data_facts(cfg, "val", data),
        "training_images": next(line["train_images"] for line in rows if not is_failed(line)),
        "classes": len(data.classes),
        "rows": {f"{line['network']}, {line['change']}": line["state"] for line in rows},
    }
    log(in_words(lines, f"{len(data)} images of {data_name(cfg)}"))
    if how := cut_short(cfg):
        log(
            f"note: trainings cut short ({how}) show how fast a network begins to learn, not how "
            f"good it becomes; epochs_each={cfg.train.epochs} trains each to the end"
        )
    write_provenance(folder, build_network(first, len(data.classes)), facts)


def cut_short(cfg: DictConfig) -> str:
    """How the trainings are shorter than the recipe, "" if they are not.

    What a change does to a network that has only begun to learn says how fast it begins, not how
    good it becomes: the deeper of two networks leaves the first plateau later.
    """
    epochs, whole = epochs_of_each(cfg), cfg.train.epochs
    return f"{epochs} of the recipe's {whole} epochs" if epochs < whole else ""


def beside(line: dict[str, Any]) -> dict[str, Any]:
    """A row with the paper's numbers, empty where it has none."""
    out = {"network": line["network"], "change": line["change"]}
    out |= sizes(line["network"], line["change"])
    out |= {column: line.get(column, "") for column in TABLE_COLUMNS}
    out["paper network"] = papers_column(line["network"], line["change"]) or ""
    reported = TABLE3[line["change"]].get(out["paper network"], ("", "", ""))
    out |= {f"paper {c}": value for c, value in zip(TABLE_COLUMNS, reported, strict=True)}
    rest = ("train_images", "val_images", "parameters", "epochs", "weights_sha256", "state")
    return out | {key: line.get(key, "") for key in rest}


def sizes(network: str, change: str) -> dict[str, str]:
    """The sizes that a change has in this network, for the table."""
    changed = build_arguments(network, change)
    maps, width = changed["maps_345"], changed["fc_width"]
    return {"maps of 3-5": "" if maps is None else ",".join(map(str, maps)),
            "units of 6,7": width or ""}  # fmt: skip


def in_words(lines: Sequence[dict[str, Any]], measured_on: str) -> str:
    """The printed table: ours, and in brackets the paper's."""
    body = []
    for line in lines:
        cells = [
            f"{number(line[column])} ({number(line[f'paper {column}'] or None)})"
            if line["state"] == "done"
            else "failed"
            for column in TABLE_COLUMNS
        ]
        note = "; ".join(filter(None, [line["maps of 3-5"], str(line["units of 6,7"])]))
        names = (line["network"], line["change"], note or MISSING, line["paper network"] or MISSING)
        body.append((*names, *cells))
    head = ("Network", "Change", "sizes here", "paper's", *TABLE_COLUMNS)
    title = f"Table 3: error in % on {measured_on}, in brackets the paper's"
    return f"\n{title}\n{printed(head, body, left=4)}\n"


SAVED = ("table.csv", "findings.json", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with (source / "table.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["state"] == "done"]
    networks = list(dict.fromkeys(line["network"] for line in lines))
    panels = [panel([line for line in lines if line["network"] == name]) for name in networks]
    figures.save(figures.error_changes(panels, caption(facts)), folder)


DRAWN = TABLE_COLUMNS[:2]
"""The columns of the figure."""


def panel(lines: Sequence[dict[str, str]]) -> figures.ErrorChanges:
    """One network's rows of table.csv against its row "none", which is not drawn itself."""
    base = next(line for line in lines if line["change"] == "none")
    rows = [line for line in lines if line["change"] != "none"]
    kinds: dict[str, list[list[float]]] = {"ours": [], "reported": [], "bar": []}
    for line in rows:
        theirs = TABLE3["none"][line["paper network"]] if line["paper network"] else ()
        before = dict(zip(TABLE_COLUMNS, theirs, strict=False))
        kinds["ours"].append([float(line[c]) - float(base[c]) for c in DRAWN])
        kinds["reported"].append(
            [float(line[f"paper {c}"]) - before[c] if before else math.nan for c in DRAWN]
        )
        kinds["bar"].append(
            [two_errors(float(line[c]), float(base[c]), int(images_of(line, c))) for c in DRAWN]
        )
    shape = (len(rows), len(DRAWN))
    arrays = {name: np.array(values).reshape(shape) for name, values in kinds.items()}
    names, notes = [line["change"] for line in rows], [note_of(line) for line in rows]
    theirs = [line["paper network"] for line in rows]
    errors_of = ", ".join(f"{c} {float(base[c]):.1f} %" for c in TABLE_COLUMNS)
    return figures.ErrorChanges(
        base["network"],
        f"unchanged: {errors_of}",
        names,
        notes,
        [f"{c} error" for c in DRAWN],
        theirs=theirs,
        **arrays,
    )


def note_of(line: dict[str, str]) -> str:
    """The sizes that a change has here, where they are not the paper's."""
    paper = {",".join(map(str, WIDE)), "2048", "8192"}
    kinds = (("maps of 3-5", "layers 3-5"), ("units of 6,7", "layers 6, 7"))
    here = [f"{kind}: {line[key]}" for key, kind in kinds if line[key] and line[key] not in paper]
    return f"here {'; '.join(here)}" if here else ""


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, choices = facts["data"], facts["choices"]
    cut = choices["cut short"]
    length = f"cut short, {cut}," if cut else f"{choices['epochs']} epochs"
    return (
        "Change of the error when layers are taken out or resized, in percentage points against "
        "the unchanged network; left of 0 is better. Filled: ours; open: the paper's Table "
        "3, on ImageNet. The axis is linear between the dashed lines and logarithmic beyond. "
        f"Networks: {length} on {facts['training_images']} images of "
        f"{data['name']} ({facts['classes']} classes); training error: "
        f"{choices['training error']}; validation error: {choices['validation errors']} of "
        f"{data['images']} images. Bars: two standard errors of the difference of two shares. "
        "One training a row, so what differs by less than another seed would is not told apart."
    )


if __name__ == "__main__":
    main()
