"""Table 2: errors of single networks and of averages of several, by ten crops.

    python -m experiments.table2_imagenet size=paper data.root=<folder> 'snapshots=[a.pt,b.pt]'
    … 'ensembles={zfnet 1 net:[0],zfnet 5 nets:[0,1,2,3,4]}'
    python -m experiments.table2_imagenet size=laptop
    torchrun --nproc-per-node=8 -m experiments.table2_imagenet size=paper …

Paper: top-1 and top-5 error on ImageNet's validation set, top-5 on its test set, of one network
and of several averaged. Not stated there: how networks are averaged and on which crops. Here: the
mean of the softmax probabilities over all networks and the ten sub-crops of each. The labels of
the test set are not public, so its column stays empty.

Writes table.csv (a row an ensemble), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import SPLITS, Squares, TenCropsOfEach
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.training.evaluation import PRECISIONS, Accuracy, evaluate_ensembles
from deconv.training.snapshots import Snapshot, load_snapshot, weights_hash
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, training_facts
from experiments.kit.findings import Finding, write_findings
from experiments.kit.inputs import data_name, device, log, squares, workers
from experiments.kit.printed import MISSING, number, printed
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.reported import TABLE2
from experiments.kit.series import altered, as_in_the_paper, epochs_of_each, trained_in

BATCH = 8
"""Images at a time, each ten sub-crops a network."""

Rows = dict[str, list[int]]
"""Name of an ensemble -> the numbers of its networks."""


@experiment("table2_imagenet")
def main(cfg: DictConfig, folder: Path) -> None:
    """Judge every row of the table in one pass over the images."""
    paths = check(cfg)
    rows = choose_rows(cfg, len(paths) or cfg.nets)
    trained = [load_snapshot(path, cfg.model.name) for path in paths] or train(cfg, folder)
    check_classes(trained, paths)
    data = [squares(cfg, cfg.split, one.mean.shape[-1]) for one in trained]
    check_data(cfg, trained[0], data[0])
    found = judge(cfg, trained, data, rows)
    if distributed.rank() > 0:
        return
    lines = table(rows, found)
    write_table(folder / "table.csv", lines)
    log(beside_the_paper(lines, f"{len(data[0])} images of {data_name(cfg)} ({cfg.split})"))
    write_findings(folder, findings(cfg, trained, lines, len(data[0])))
    facts = {
        "table": "2",
        "choices": {
            "averaging": "mean of the softmax probabilities over networks and crops, all alike",
            "crops": "ten sub-crops of each image (as AlexNet)",
            "precision": cfg.precision,
            "test top-5": "the labels of the test set are not public",
        },
        "data": data_facts(cfg, cfg.split, data[0]),
        "rows": rows,
        "networks": [
            training_facts(one, path) | {"weights_sha256": weights_hash(one.network())}
            for one, path in zip(trained, paths or [None] * len(trained), strict=True)
        ],
    }
    write_provenance(folder, trained[0].network(), facts)


def check(cfg: DictConfig) -> list[str]:
    """The snapshots' paths. Raises DeconvError for what cannot be used, before anything long."""
    for kind, name, valid in (
        ("precision", cfg.precision, PRECISIONS),
        ("split", cfg.split, SPLITS),
    ):
        if name not in valid:
            raise unknown(kind, name, valid)
    if not all(isinstance(path, str) for path in cfg.snapshots):
        raise DeconvError(f"snapshots takes a list of paths such as [a.pt,b.pt]: {cfg.snapshots}")
    if not cfg.snapshots and cfg.size_name == "paper":
        raise DeconvError(
            "size=paper needs trained networks: run python -m experiments.train size=paper with "
            "one seed after the other, then name them: snapshots=[<run>/last.pt,…]"
        )
    if not cfg.snapshots and cfg.nets < 1:
        raise DeconvError(f"nets must be 1 or more, got {cfg.nets}")
    epochs_of_each(cfg)
    return list(cfg.snapshots)


def choose_rows(cfg: DictConfig, nets: int) -> Rows:
    """The ensembles: those of cfg.ensembles, or each network alone and the average of all."""
    if cfg.ensembles is None:
        alone = {f"net {n + 1}" if nets > 1 else "1 net": [n] for n in range(nets)}
        return alone | ({f"{nets} nets": list(range(nets))} if nets > 1 else {})
    if not cfg.ensembles:
        raise DeconvError("ensembles names no row: {<name>:[0,1],…}")
    rows = {}
    for name, numbers in cfg.ensembles.items():
        if not isinstance(numbers, ListConfig) or not numbers:
            raise DeconvError(
                f"row {name!r} takes a list of snapshots such as [0,1], got {numbers}"
            )
        wrong = [n for n in numbers if type(n) is not int or not 0 <= n < nets]
        if wrong or len(set(numbers)) < len(numbers):
            raise DeconvError(
                f"row {name!r} names networks {list(numbers)}; there are {nets}, numbered from 0 "
                "in the order of snapshots, and each counts once"
            )
        rows[name] = list(numbers)
    return rows


def train(cfg: DictConfig, folder: Path) -> list[Snapshot]:
    """Networks of different seeds, trained one after the other in folders of their own."""
    epochs = epochs_of_each(cfg)
    log(f"no snapshots given: training {cfg.nets} networks of {epochs} epochs first")
    shorter = {"train.epochs": epochs, "train.test_crops": "centre"}
    return [
        trained_in(altered(cfg, shorter | {"seed": cfg.seed + n}), folder / f"net_{n + 1}")
        for n in range(cfg.nets)
    ]


def check_classes(trained: Sequence[Snapshot], paths: Sequence[str]) -> None:
    """Raise DeconvError unless all networks know the same classes in the same order."""
    for one, path in zip(trained[1:], paths[1:], strict=False):
        if one.classes != trained[0].classes:
            raise DeconvError(
                f"{path} knows other classes ({len(one.classes)}) than {paths[0]} "
                f"({len(trained[0].classes)}): only networks of the same classes can be averaged"
            )


def check_data(cfg: DictConfig, snapshot: Snapshot, data: Squares) -> None:
    """Raise DeconvError if the images are not of the networks' classes."""
    if list(data.classes) != snapshot.classes:
        raise DeconvError(
            f"{data_name(cfg)} has {len(data.classes)} classes, which are not the "
            f"{len(snapshot.classes)} that the networks were trained on"
        )


def judge(
    cfg: DictConfig, trained: Sequence[Snapshot], data: Sequence[Squares], rows: Rows
) -> dict[tuple[int, ...], Accuracy]:
    """The numbers of networks -> what their average comes to: of each row and each single one."""
    nets = [one.network().to(device(cfg)) for one in trained]
    by_side = {squares[0][0].shape[-1]: squares for squares in data}
    view = TenCropsOfEach(
        [by_side[one.mean.shape[-1]] for one in trained],
        [one.mean for one in trained],
        [net.input_px for net in nets],
    )
    log(f"evaluating {len(nets)} networks on {len(view)} images of {data_name(cfg)} ({cfg.split})")
    members = list(dict.fromkeys([*((n,) for n in range(len(nets))), *map(tuple, rows.values())]))
    loader = DataLoader(Share(view, BATCH), batch_size=BATCH, num_workers=workers(cfg))
    found = evaluate_ensembles(nets, loader, members, cfg.precision)
    return dict(zip(members, found, strict=True))


COLUMNS = ("validation top-1", "validation top-5", "test top-5")


def table(rows: Rows, found: dict[tuple[int, ...], Accuracy]) -> list[dict[str, Any]]:
    """A row an ensemble: its errors, and the mean error of its networks alone, in percent."""
    lines = []
    for name, numbers in rows.items():
        own = found[tuple(numbers)]
        alone = [found[(n,)] for n in numbers]
        line = {"row": name, "nets": len(numbers), "members": " ".join(map(str, numbers))}
        for column, key in zip(COLUMNS[:2], ("top1", "top5"), strict=True):
            errors = [100 - asdict(one)[key] for one in alone]
            line[column] = round(100 - asdict(own)[key], 3)
            line[f"{column} alone"] = round(statistics.mean(errors), 3)
            line[f"{column} alone spread"] = (
                round(statistics.stdev(errors), 3) if len(errors) > 1 else ""
            )
        reported = TABLE2.get(name, (None, None, None))
        for column, error in zip(COLUMNS, reported, strict=True):
            line[f"paper {column}"] = "" if error is None else error
        lines.append(line)
    return lines


def beside_the_paper(lines: Sequence[dict[str, Any]], measured_on: str) -> str:
    """The printed table: ours, then all of the paper's."""
    ours = [
        (line["row"], *(number(line[column]) for column in COLUMNS[:2]), MISSING) for line in lines
    ]
    paper = [(f"paper: {row}", *map(number, errors)) for row, errors in TABLE2.items()]
    head = ("Error %", *COLUMNS)
    note = "test top-5: the labels of the test set are not public"
    return f"\nTable 2, on {measured_on}\n{printed(head, [*ours, *paper])}\n{note}\n"


def findings(
    cfg: DictConfig, trained: Sequence[Snapshot], lines: Sequence[dict[str, Any]], images: int
) -> list[Finding]:
    """Rows of the paper's names; without one the largest average of networks that differ by their
    seeds alone stands for "zfnet 5 nets". (One good network among bad ones would always win.)
    """
    named = {line["row"]: line for line in lines if line["row"] in TABLE2}
    several = [line for line in lines if line["nets"] > 1 and alike(trained, line)]
    if not named and several:
        named = {"zfnet 5 nets": max(several, key=lambda line: line["nets"])}
    return [
        one_finding(cfg, trained, row, line, column, images)
        for row, line in named.items()
        for column in COLUMNS[:2]
    ]


def one_finding(
    cfg: DictConfig,
    trained: Sequence[Snapshot],
    row: str,
    line: dict[str, Any],
    column: str,
    images: int,
) -> Finding:
    """An average has to lie under the mean of its networks; of a single one only the number is."""
    error, count = line[column], line["nets"]
    spread = 200 * (error / 100 * (1 - error / 100) / images) ** 0.5
    rule = f"spread: two standard errors of a share over {images} images"
    holds = None
    if count > 1:
        holds = error < line[f"{column} alone"]
        rule = (
            f"the error of the average of {count} networks lies below the mean error of each "
            f"alone ({line[f'{column} alone']:.2f} %); {rule}"
        )
    names = [trained[int(n)].recipe["name"] for n in line["members"].split()]
    comparable = (
        cfg.data.name == "imagenet"
        and cfg.split == "val"
        and count == expected_nets(row)
        and all(
            name in row and as_in_the_paper(trained[int(n)], name) and unchanged(trained[int(n)])
            for name, n in zip(names, line["members"].split(), strict=True)
        )
    )
    return Finding(f"table2/{row}/{column}", error, spread, holds, rule, comparable=comparable)


def alike(trained: Sequence[Snapshot], line: dict[str, Any]) -> bool:
    """Whether the networks of a row are of one architecture and equally long trained."""
    first, *others = [trained[int(n)] for n in line["members"].split()]
    return all((one.settings(), one.epoch) == (first.settings(), first.epoch) for one in others)


def unchanged(snapshot: Snapshot) -> bool:
    """Whether the network has none of Table 3's changes."""
    return not any(snapshot.recipe.get(key) for key in ("remove", "maps_345", "fc_width"))


def expected_nets(row: str) -> int | None:
    """The networks that a row of the paper averages, as its name counts them."""
    counts = [int(word) for word in row.split() if word.isdigit()]
    return counts[0] if counts and "wide" not in row else None


if __name__ == "__main__":
    main()
