r"""Table 2: errors of single networks and of averages of several, by ten crops.

    python -m experiments.table2_imagenet size=paper data.root=<folder> 'snapshots=[a.pt,b.pt]'
    … 'ensembles={zfnet 1 net:[0],zfnet 5 nets:[0,1,2,3,4]}'   # rows of the paper get its numbers
    python -m experiments.table2_imagenet data=imagefolder data.root=<folder> \
        'snapshots=[torchvision/squeezenet1_0:DEFAULT,torchvision/resnet18:DEFAULT]'
    python -m experiments.table2_imagenet size=laptop
    torchrun --nproc-per-node=8 -m experiments.table2_imagenet size=paper …

Paper: top-1 and top-5 error on ImageNet's validation set, top-5 on its test set, of one network
and of several averaged. Not stated there: how networks are averaged and on which crops. Here: the
mean of the softmax probabilities over all networks and the ten sub-crops of each. The labels of
the test set are not public, so its column stays empty.

Cost: laptop about 5 minutes on 2 CPU cores, most of it training; paper one pass over 50,000 images
for all networks together.
Expected at size=paper: 38.4 / 16.5 % (one ZFNet), 36.7 / 15.3 % (five).

Writes table.csv (one row per ensemble), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deconv.data import SPLITS, Squares, TenCropsOfEach
from deconv.data.relabelled import Relabelled
from deconv.errors import DeconvError
from deconv.networks import is_foreign
from deconv.training.evaluation import (
    PRECISIONS,
    Accuracy,
    evaluate_ensembles,
    two_standard_errors,
)
from deconv.training.snapshots import Snapshot, load_snapshot, weights_hash
from experiments.kit import Finding, Result, Settings, Subject, check_name, experiment, judged, log
from experiments.kit.facts import data_facts, training_facts
from experiments.kit.inputs import data_name, has_weights, squares, weights_snapshot
from experiments.kit.paper_tables import TABLE2
from experiments.kit.printed import MISSING, number, printed
from experiments.kit.series import altered, as_in_the_paper, epochs_of_each, trained_in
from experiments.kit.settings import Foreign

BATCH = {"cuda": 8, "cpu": 1}
"""Images at a time, each ten sub-crops a network: more do not fit a processor's cache."""

COLUMNS = ("validation top-1", "validation top-5", "test top-5")


@dataclass
class Ensembles(Settings):
    snapshots: list[str] = field(default_factory=list)  # of the same classes; also networks of
    # others with trained weights, timm/resnet18:DEFAULT; []: model= with its weights, else
    # `nets` are trained
    ensembles: Any = None  # {<name>:[0,1],…}, numbers of networks from 0; null: each and all
    nets: int = 2  # without snapshots: networks to train, with seeds seed, seed + 1, …
    epochs_each: int | None = None  # of each of them; null: train.epochs, on a laptop a quarter
    split: str = "val"  # whose images are classified
    precision: str = "auto"  # bf16 where the processor has it, else fp32

    def __post_init__(self) -> None:
        check_name("precision", self.precision, PRECISIONS)
        check_name("split", self.split, SPLITS)
        if not self.networks and self.size_name == "paper":
            raise DeconvError(
                "size=paper needs trained networks: run python -m experiments.train size=paper "
                "with one seed after the other, then name them: snapshots=[<run>/last.pt,…]"
            )
        if not self.networks and self.nets < 1:
            raise DeconvError(f"nets must be 1 or more, got {self.nets}")
        epochs_of_each(self)
        nets = range(len(self.networks) or self.nets)
        for name, members in self.rows.items():
            known = isinstance(members, list) and all(n in nets for n in members)
            if not known or not members or len(set(members)) < len(members):
                raise DeconvError(
                    f"row {name!r} takes a list such as [0,1] of networks, each once; there are "
                    f"{len(nets)}, numbered from 0, that of model= before those of snapshots; got "
                    f"{members}"
                )

    @property
    def networks(self) -> list[str]:
        """What is given: the network of model= with its weights, then those of snapshots=."""
        return [self.model.name] * has_weights(self) + self.snapshots

    @property
    def rows(self) -> dict[str, list[int]]:
        """Name of an ensemble -> the numbers of its networks."""
        if self.ensembles:
            return self.ensembles
        every = list(range(len(self.networks) or self.nets))
        if len(every) == 1:
            return {"1 net": every}
        return {f"net {n + 1}": [n] for n in every} | {f"{len(every)} nets": every}


def compute(cfg: Ensembles, it: Subject) -> Result:
    """Judge every row of the table in one pass over the images."""
    trained = given(cfg, it) or train(cfg, it)
    sides = {one.mean.shape[-1] for one in trained}
    by_side = {side: squares(cfg, cfg.split, side) for side in sides}
    data = by_side[trained[0].mean.shape[-1]]
    check_classes(trained, cfg.networks, data, data_name(cfg))
    by_side = {side: Relabelled(one, trained[0].classes) for side, one in by_side.items()}
    lines = table(cfg.rows, judge(cfg, it, trained, by_side), len(data))
    it.first_alone()
    log(beside_the_paper(lines, f"{len(data)} images of {data_name(cfg)} ({cfg.split})"))
    for words in (notes := [note for one in trained if (note := not_known(one))]):
        log(f"Note: {words}.")
    facts: dict[str, Any] = {
        "table": "2",
        "choices": {
            "averaging": "mean of the softmax probabilities over networks and crops, all alike",
            "crops": "ten sub-crops of each image (as AlexNet)",
            "precision": cfg.precision,
            "test top-5": "the labels of the test set are not public",
        },
        "data": data_facts(cfg, cfg.split, data),
        "rows": cfg.rows,
        "seen": notes,
        "networks": [
            {"name": one.recipe["name"]}
            | training_facts(one, path)
            | {"weights_sha256": weights_hash(one.network())}
            for one, path in zip(trained, cfg.networks or [None] * len(trained), strict=True)
        ],
    }
    if len(trained) == 1:
        facts["training"] = facts["networks"][0]
    found = findings(cfg, trained, lines, len(data))
    return Result(facts, tables={"table": lines}, findings=found, net=trained[0].network())


def given(cfg: Ensembles, it: Subject) -> list[Snapshot]:
    """The networks that model= and snapshots= name."""
    found = [weights_snapshot(cfg)] if has_weights(cfg) else []
    for path in cfg.snapshots:
        name, _, weights = path.partition(":")
        if is_foreign(name):
            other = Foreign(name, weights or "DEFAULT")
            found.append(weights_snapshot(dataclasses.replace(cfg, model=other)))
        else:
            found.append(load_snapshot(path, cfg.model.name))
    return [it.named(one) for one in found]


def not_known(one: Snapshot) -> str:
    """Words where it is not known which images a network learnt from; else none."""
    if "data_fingerprint" in one.config or not one.config.get("data"):
        return ""
    return f"the images may be among those that {one.recipe['name']} was trained on"


def train(cfg: Ensembles, it: Subject) -> list[Snapshot]:
    """Networks of different seeds, trained one after the other in folders of their own."""
    epochs = epochs_of_each(cfg)
    log(f"no snapshots given: training {cfg.nets} networks of {epochs} epochs first")
    shorter = {"train.epochs": epochs, "train.test_crops": "centre"}
    return [
        trained_in(altered(it.config, shorter | {"seed": cfg.seed + n}), it.folder / f"net_{n + 1}")
        for n in range(cfg.nets)
    ]


def check_classes(
    trained: Sequence[Snapshot], paths: Sequence[str], data: Squares, name: str
) -> None:
    """Raise DeconvError unless networks have the same classes, those of the images among them."""
    for one, path in zip(trained, paths, strict=False):
        if one.classes != trained[0].classes or not set(data.classes) <= set(one.classes):
            raise DeconvError(
                f"{path} knows other classes ({len(one.classes)}) than {name} "
                f"({len(data.classes)}): only networks of the images' classes can be averaged"
            )


def judge(
    cfg: Ensembles, it: Subject, trained: Sequence[Snapshot], by_side: Mapping[int, Squares]
) -> dict[tuple[int, ...], Accuracy]:
    """The numbers of networks -> what their average comes to: of each row and each single one."""
    nets = [one.network().to(it.device) for one in trained]
    view = TenCropsOfEach(
        [by_side[one.mean.shape[-1]] for one in trained],
        [one.mean for one in trained],
        [net.input_px for net in nets],
    )
    log(f"evaluating {len(nets)} networks on {len(view)} images of {data_name(cfg)} ({cfg.split})")
    alone = [(n,) for n in range(len(nets))]
    members = list(dict.fromkeys([*alone, *map(tuple, cfg.rows.values())]))
    found = evaluate_ensembles(
        nets, it.loader(view, BATCH.get(it.device.type, 8)), members, cfg.precision
    )
    return dict(zip(members, found, strict=True))


# The table


def table(
    rows: Mapping[str, Sequence[int]], found: Mapping[tuple[int, ...], Accuracy], images: int
) -> list[dict[str, Any]]:
    """One row per ensemble: its errors, and the mean error of its networks alone, in percent.

    images: their number, for two standard errors of a share.
    """
    lines = []
    for name, numbers in rows.items():
        line = {"row": name, "nets": len(numbers), "members": " ".join(map(str, numbers))}
        for column, key in zip(COLUMNS, ("top1", "top5"), strict=False):
            alone = [100 - getattr(found[(n,)], key) for n in numbers]
            spread = round(statistics.stdev(alone), 3) if len(alone) > 1 else ""
            line[column] = error = round(100 - getattr(found[tuple(numbers)], key), 3)
            line[f"{column} ±"] = round(two_standard_errors(images, error), 3)
            line[f"{column} alone"] = round(statistics.mean(alone), 3)
            line[f"{column} alone spread"] = spread
        reported = TABLE2.get(name, (None, None, None))
        for column, error in zip(COLUMNS, reported, strict=True):
            line[f"paper {column}"] = "" if error is None else error
        lines.append(line)
    return lines


def beside_the_paper(lines: Sequence[Mapping[str, Any]], measured_on: str) -> str:
    """The printed table: ours, then all of the paper's."""
    ours = [
        (line["row"], *(f"{line[c]:.1f} ± {line[f'{c} ±']:.1f}" for c in COLUMNS[:2]), MISSING)
        for line in lines
    ]
    paper = [(f"paper: {row}", *map(number, errors)) for row, errors in TABLE2.items()]
    text = printed(("Error %", *COLUMNS), [*ours, *paper])
    note = "±: two standard errors; test top-5: the labels of the test set are not public"
    return f"\nTable 2, on {measured_on}\n{text}\n{note}\n"


# The claims


def findings(
    cfg: Ensembles, trained: Sequence[Snapshot], lines: Sequence[Mapping[str, Any]], images: int
) -> list[Finding]:
    """Judge the rows of the paper's names.

    Without one the largest average of networks that differ by their seeds alone stands for
    "zfnet 5 nets", and a network of ImageNet alone for "zfnet 1 net". (One good network among bad
    ones would always win.)
    """
    nets = {line["row"]: [trained[int(n)] for n in line["members"].split()] for line in lines}
    named = {line["row"]: line for line in lines if line["row"] in TABLE2}
    several = [line for line in lines if line["nets"] > 1 and alike(nets[line["row"]])]
    if not named and several:
        named = {"zfnet 5 nets": max(several, key=lambda line: line["nets"])}
    elif not named and len(trained) == 1 and trained[0].config.get("data") == "imagenet":
        named = {"zfnet 1 net": lines[0]}
    found = []
    for row, line in named.items():
        papers = cfg.data.name == "imagenet" and cfg.split == "val"
        comparable = papers and as_in_row(row, nets[line["row"]])
        for column in COLUMNS[:2]:
            error, alone = line[column], line[f"{column} alone"]
            holds = error < alone if line["nets"] > 1 else None
            key, spread = f"table2/{row}/{column}", two_standard_errors(images, error)
            facts = {"comparable": comparable, "nets": line["nets"], "alone": alone}
            facts |= {"note": note} if (note := not_known(nets[line["row"]][0])) else {}
            found.append(judged(key, error, spread, images, holds=holds, **facts))
    return found


def alike(nets: Sequence[Snapshot]) -> bool:
    """Whether networks are of one architecture and equally long trained."""
    return all((n.settings(), n.epoch) == (nets[0].settings(), nets[0].epoch) for n in nets)


def as_in_row(row: str, nets: Sequence[Snapshot]) -> bool:
    """Whether these are the networks of a row of the paper: as many, its own and trained its way.

    None are those of its rows with the wide network, which has one of Table 3's changes.
    """
    count = re.search(r"\b\d+\b", row)
    return (
        "wide" not in row
        and count is not None
        and len(nets) == int(count[0])
        and all(
            one.recipe["name"] in row
            and as_in_the_paper(one, one.recipe["name"])
            and not any(one.recipe.get(key) for key in ("remove", "maps_345", "fc_width"))
            for one in nets
        )
    )


main = experiment(Ensembles, compute)

if __name__ == "__main__":
    main()
