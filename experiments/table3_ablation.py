"""Table 3: layers taken out or resized, and what that does to the errors.

    python -m experiments.table3_ablation size=laptop
    python -m experiments.table3_ablation size=paper data.root=<folder> 'rows=[none,"no 3,4"]'
    python -m experiments.table3_ablation resume=<folder>
    python -m experiments.table3_ablation redraw=<folder>

Paper: AlexNet's replica and the network of Figure 3, each change trained anew by the same recipe;
training top-1, validation top-1 and top-5 error. Not stated there: on which crops errors are
measured. Here: the training error on the centre crops of the training images with the finished
network (no dropout), validation errors by the ten-crop average. Other networks than those two are
resized in the same ratio.

Each row is a training in rows/<network>/<change>/. A row that fails is reported and the others
continue; resume= trains the missing ones.

Cost: one training a row and network. laptop: nine of 6 epochs, about 12 minutes on 2 CPU cores,
cut short, so no sign is judged (epochs_each=24 trains to the end in four times as long). paper:
twelve of 70 epochs of ImageNet (12 days each on a GTX 580 in the paper).
Expected at size=paper: the numbers of Table 3, e.g. 45.4 % instead of 40.5 % without layers 3, 4.

Writes table.csv, figure.png and .pdf, findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from deconv import distributed, figures
from deconv.data.text_files import json_text
from deconv.errors import DeconvError, Interrupted
from deconv.figures import Page
from deconv.networks.changes import CHANGES, WIDE, build_arguments
from deconv.training import lock_folder
from deconv.training.evaluation import PRECISIONS, TEST_CROPS, evaluate, two_standard_errors
from deconv.training.snapshots import Snapshot, weights_hash
from experiments.kit import (
    Drawn,
    Finding,
    Result,
    Saved,
    Subject,
    check_name,
    experiment,
    judged,
    log,
)
from experiments.kit.claims import MARGIN3
from experiments.kit.command import Command, settings_of
from experiments.kit.facts import data_facts
from experiments.kit.inputs import build_network, data_name, recipe_of, squares, stored_side_px
from experiments.kit.paper_tables import TABLE3
from experiments.kit.printed import MISSING, number, printed
from experiments.kit.resume import saved_settings
from experiments.kit.series import FREE, altered, as_in_the_paper, epochs_of_each, trained_in

ERRORS = ("train top-1", "validation top-1", "validation top-5")
"""The columns of the table."""


@dataclass
class Ablation(Drawn):
    networks: list[str] | None = None  # null: [alexnet,zfnet] at size=paper, else [<model>]
    rows: list[str] | None = None  # names of changes; null: the paper's for the network, or all
    epochs_each: int | None = None  # of each training; null: train.epochs, on a laptop a quarter
    train_crops: str = "centre"  # X: what the training error is measured on, ten or centre
    val_crops: str = "ten"  # X: the same for the validation errors
    precision: str = "auto"  # of these measurements: bf16 where the processor has it, else fp32
    resume: str | None = None  # the folder of a table, to go on with what is missing

    def __post_init__(self) -> None:
        for crops in (self.train_crops, self.val_crops):
            check_name("way to crop", crops, TEST_CROPS)
        check_name("precision", self.precision, PRECISIONS)
        for key in ("remove", "maps_345", "fc_width"):
            if getattr(self.model, key, None):
                raise DeconvError(f"Table 3 changes the layers itself: leave out model.{key}")
        epochs_of_each(self)
        self.plan()

    def plan(self) -> list[tuple[str, str]]:
        """(network, change) of each training; "none" is always one, to compare the others with."""
        usual = ["alexnet", "zfnet"] if self.size_name == "paper" else [self.model.name]
        plan = []
        for network in self.networks or usual:
            own = self.rows or [change for change in CHANGES if papers_column(network, change)]
            for change in dict.fromkeys(["none", *sorted(own, key=[*CHANGES, *own].index)]):
                build_arguments(network, change)  # refuses unknown names
                plan.append((network, change))
        return plan

    @property
    def cut_short(self) -> str:
        """How the trainings are shorter than the recipe, "" if they are not.

        Early in training a change shows how fast a network begins to learn, not how good it
        becomes: the deeper of two networks leaves the first plateau later.
        """
        epochs, whole = epochs_of_each(self), self.train.epochs
        return f"{epochs} of the recipe's {whole} epochs" if epochs < whole else ""


def papers_column(network: str, change: str) -> str | None:
    """The paper's network to compare with: the same, else the one that has this row."""
    names = [network] if network in TABLE3["none"] else ["zfnet", "alexnet"]
    return next((name for name in names if name in TABLE3[change]), None)


def of_row(config: DictConfig, network: str, change: str) -> DictConfig:
    """The settings of one training."""
    changes = {f"model.{key}": value for key, value in build_arguments(network, change).items()}
    changes |= {"model.name": network, "train.epochs": epochs_of_each(config)}
    return altered(config, changes | {"train.test_crops": "centre"})


def check(cfg: Ablation, it: Subject) -> None:
    """Raise DeconvError for a recipe, network or data set that cannot be used."""
    first = of_row(it.config, *cfg.plan()[0])
    recipe_of(first)
    build_network(first, 2)
    squares(cfg, "train", stored_side_px(first, None))


def compute(cfg: Ablation, it: Subject) -> Result:
    """Train and measure the missing rows of the table."""
    # One command at a time: two would train the same row.
    with lock_folder(it.folder) if distributed.rank() == 0 else contextlib.nullcontext():
        rows = [row(cfg, it, *one) for one in cfg.plan()]
    it.first_alone()
    done = [line for line in rows if line["state"] == "done"]
    if not done:
        raise DeconvError(f"no row of the table could be trained: {rows[0]['state']}")
    lines = [beside_the_paper(line) for line in rows]
    first = of_row(it.config, rows[0]["network"], "none")
    data = squares(cfg, "val", stored_side_px(first, None))
    log(in_words(lines, f"{len(data)} images of {data_name(cfg)}"))
    if cfg.cut_short:
        log(
            f"note: trainings cut short ({cfg.cut_short}) show how fast a network begins to learn, "
            f"not how good it becomes; epochs_each={cfg.train.epochs} trains each to the end"
        )
    if failed := [f"{line['network']}, {line['change']}" for line in rows if line not in done]:
        log(f"failed: {'; '.join(failed)}. Try them again with resume={it.folder}")
    facts = {
        "table": "3",
        "choices": {
            "training error": f"{cfg.train_crops} crops of the training images, finished network, "
            "no dropout",
            "validation errors": f"{cfg.val_crops} crops",
            "resized layers": "in the ratio in which the paper resizes ZFNet's",
            "epochs": epochs_of_each(cfg),
            "cut short": cfg.cut_short,
            "seed": cfg.seed,
        },
        "data": data_facts(cfg, "val", data),
        "training_images": done[0]["train_images"],
        "classes": len(data.classes),
        "rows": {f"{line['network']}, {line['change']}": line["state"] for line in rows},
    }
    return Result(
        facts,
        tables={"table": lines},
        findings=findings(done, cfg.data.name == "imagenet", cfg.cut_short),
        net=build_network(first, len(data.classes)),
    )


def row(cfg: Ablation, it: Subject, network: str, change: str) -> dict[str, Any]:
    """Train and measure one row of the table unless done before; a failure becomes its state."""
    place = it.folder / "rows" / network / change.replace(": ", "_").replace(" ", "_")
    line: dict[str, Any] = {"network": network, "change": change}
    saved = place / "errors.json"
    if there := distributed.from_first(
        saved.read_text(encoding="utf-8") if saved.is_file() else None
    ):
        log(f"{network}, {change}: finished before")
        return line | json.loads(there)
    log(f"{network}, change: {change}")
    try:
        found = measure(cfg, it, trained_in(of_row(it.config, network, change), place))
    except Interrupted as reason:
        within = str(reason).partition(":")[0]
        raise Interrupted(f"{within}: go on with the table by resume={it.folder}") from reason
    except (DeconvError, RuntimeError, OSError) as error:
        log(f"{network}, {change} failed: {error}")
        return line | {"state": f"failed: {error}"}
    if distributed.rank() == 0:
        saved.write_text(json_text(found) + "\n", encoding="utf-8")
    return line | found


def measure(cfg: Ablation, it: Subject, snapshot: Snapshot) -> dict[str, Any]:
    """The errors of a finished network in percent, and facts about it."""
    net = snapshot.network().to(it.device)
    data, tested = {}, {}
    for split, crops in (("train", cfg.train_crops), ("val", cfg.val_crops)):
        data[split] = squares(cfg, split, snapshot.mean.shape[-1])
        view, batch = TEST_CROPS[crops]
        loader = it.loader(view(data[split], snapshot.mean, net.input_px), batch)
        tested[split] = evaluate(net, loader, cfg.precision)
    right = (tested["train"].top1, tested["val"].top1, tested["val"].top5)
    return {column: round(100 - share, 3) for column, share in zip(ERRORS, right, strict=True)} | {
        "train_images": len(data["train"]),
        "val_images": len(data["val"]),
        "parameters": sum(weight.numel() for weight in net.parameters()),
        "epochs": snapshot.epoch,
        "weights_sha256": weights_hash(net),
        "as_in_the_paper": as_in_the_paper(snapshot, snapshot.recipe["name"]),
        "state": "done",
    }


# The table


def beside_the_paper(line: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a line of table.csv, with the paper's numbers where it has some."""
    network, change = line["network"], line["change"]
    arguments, theirs = build_arguments(network, change), papers_column(network, change) or ""
    reported = TABLE3[change].get(theirs, ("", "", ""))
    out = {"network": network, "change": change}
    out["maps of 3-5"] = ",".join(map(str, arguments["maps_345"] or ()))
    out["units of 6,7"] = arguments["fc_width"] or ""
    out |= {column: line.get(column, "") for column in ERRORS} | {"paper network": theirs}
    out |= {f"paper {column}": value for column, value in zip(ERRORS, reported, strict=True)}
    rest = ("train_images", "val_images", "parameters", "epochs", "weights_sha256", "state")
    return out | {key: line.get(key, "") for key in rest}


def in_words(lines: Sequence[Mapping[str, Any]], measured_on: str) -> str:
    """The printed table: ours, and in brackets the paper's."""
    names = ("network", "change", "maps of 3-5", "units of 6,7", "paper network")
    body = []
    for line in lines:
        pairs = [(line[column], line[f"paper {column}"]) for column in ERRORS]
        cells = ["failed"] * len(ERRORS)
        if line["state"] == "done":
            cells = [f"{number(ours)} ({number(theirs or None)})" for ours, theirs in pairs]
        body.append([*(str(line[name] or MISSING) for name in names), *cells])
    title = f"Table 3: error in % on {measured_on}, in brackets the paper's"
    return f"\n{title}\n{printed((*names, *ERRORS), body, left=5)}\n"


# The claims


def findings(
    done: Sequence[Mapping[str, Any]], imagenet: bool, cut_short: str = ""
) -> list[Finding]:
    """Judge the sign of each change of an error that the paper has, where "none" was trained too.

    Args:
        done: rows of the table. Where several of our networks stand for one of the paper's, the
            first one counts.
        imagenet: whether the data are the paper's.
        cut_short: how, if the trainings were not as long as the recipe; then signs stay open.
    """
    bases = {line["network"]: line for line in done if line["change"] == "none"}
    found: dict[str, Finding] = {}
    for line in done:
        network, change, base = line["network"], line["change"], bases.get(line["network"])
        theirs = papers_column(network, change)
        for column in ERRORS if base and theirs else ():
            images, holds, facts = images_of(line, column), None, {"network": network}
            if change != "none":
                ours, reported, bar = moved(line, base, column)
                margin = max(MARGIN3, bar)
                holds = None if cut_short else same_sign(ours, reported, margin)
                facts |= {"moved": ours, "paper_moved": reported, "margin": margin}
                facts |= {"cut_short": cut_short} if cut_short else {}
            spread = two_standard_errors(images, line[column])
            same = imagenet and network == theirs and line["as_in_the_paper"]
            key = f"table3/{theirs}/{change}/{column}"
            how = {"holds": holds, "comparable": same}
            found.setdefault(key, judged(key, line[column], spread, images, **how, **facts))
    return list(found.values())


def moved(
    line: Mapping[str, Any], base: Mapping[str, Any], column: str
) -> tuple[float, float, float]:
    """Subtract the error of the unchanged network, `base`, in percentage points.

    Returns ours, the paper's (NaN where it has none), and two standard errors of ours.
    """
    errors, at = (float(line[column]), float(base[column])), ERRORS.index(column)
    theirs, reported = papers_column(line["network"], line["change"]), math.nan
    if theirs:
        reported = round(TABLE3[line["change"]][theirs][at] - TABLE3["none"][theirs][at], 1)
    bar = two_standard_errors(images_of(line, column), *errors)
    return errors[0] - errors[1], reported, bar


def images_of(line: Mapping[str, Any], column: str) -> int:
    """The number of images behind an error."""
    return int(line["train_images" if column == ERRORS[0] else "val_images"])


def same_sign(ours: float, reported: float, margin: float) -> bool | None:
    """Whether a difference has the reported sign; None if it is within the margin of none.

    Where the paper reports no difference at all, ours has to be within the margin.
    """
    if reported == 0:
        return abs(ours) <= margin
    return None if abs(ours) <= margin else (ours > 0) == (reported > 0)


# The page

DRAWN = ERRORS[:2]


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    lines = [line for line in saved.rows() if line["state"] == "done"]
    networks = dict.fromkeys(line["network"] for line in lines)
    panels = [panel([line for line in lines if line["network"] == name]) for name in networks]
    return figures.error_changes(panels, caption(saved.facts))


def panel(lines: Sequence[Mapping[str, str]]) -> figures.ErrorChanges:
    """One network's rows of table.csv against its row "none", which is not drawn itself."""
    base = next(line for line in lines if line["change"] == "none")
    rows = [line for line in lines if line["change"] != "none"]
    numbers = [moved(line, base, column) for line in rows for column in DRAWN]
    ours, reported, bar = np.reshape(numbers, (len(rows), len(DRAWN), 3)).transpose(2, 0, 1)
    return figures.ErrorChanges(
        title=base["network"],
        note="unchanged: " + ", ".join(f"{c} {float(base[c]):.1f} %" for c in ERRORS),
        changes=[line["change"] for line in rows],
        notes=[sizes_here(line) for line in rows],
        columns=[f"{column} error" for column in DRAWN],
        ours=ours,
        reported=reported,
        bar=bar,
        theirs=[line["paper network"] for line in rows],
    )


def sizes_here(line: Mapping[str, str]) -> str:
    """The sizes that a change has in this network, where they are not the paper's."""
    paper = {"", ",".join(map(str, WIDE)), "2048", "8192"}
    kinds = (("maps of 3-5", "layers 3-5"), ("units of 6,7", "layers 6, 7"))
    here = [f"{kind}: {line[key]}" for key, kind in kinds if line[key] not in paper]
    return f"here {'; '.join(here)}" if here else ""


def caption(facts: Mapping[str, Any]) -> str:
    """The text under the figure."""
    data, choices = facts["data"], facts["choices"]
    cut = choices["cut short"]
    length = f"cut short, {cut}," if cut else f"{choices['epochs']} epochs"
    return (
        "Change of the error when layers are removed or resized, in percentage points against the "
        "unchanged network; left of 0 is better. Filled: ours; open: the paper's Table 3, on "
        "ImageNet. The axis is linear between the dashed lines and logarithmic beyond. "
        f"Networks: {length} on {facts['training_images']} images of "
        f"{data['name']} ({facts['classes']} classes); training error: "
        f"{choices['training error']}; validation error: {choices['validation errors']} of "
        f"{data['images']} images. Bars: two standard errors of the difference of two shares. "
        "One training a row: differences within those between seeds are not resolved."
    )


# Resuming a table

MAY_CHANGE = (*FREE, "pictures", "resume", "rows")
"""Settings that may change on resume: the rows, and where things are."""

table = experiment(Ablation, compute, draw, check, saves="table.csv findings.json")


def run(config: DictConfig, cfg: Ablation, folder: Path) -> None:
    """Begin a table, or resume one with the settings saved there."""
    if cfg.resume:
        config = saved_settings(table.stem, config, folder, MAY_CHANGE)
        cfg = settings_of(config)
    table.run(config, cfg, folder)


main = Command(run, Ablation)

if __name__ == "__main__":
    main()
