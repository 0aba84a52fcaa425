r"""Table 4: Caltech-101 with a softmax on frozen features, beside training from scratch.

    python -m experiments.table4_caltech101 snapshot=<run>/last.pt data=caltech101 data.root=…
    python -m experiments.table4_caltech101 model=torchvision/squeezenet1_0 model.weights=DEFAULT \
        data=caltech101 data.root=… 'pooled=[1,2]'
    python -m experiments.table4_caltech101 redraw=outputs/table4_caltech101/<folder>

Paper: layers 1-7 of a network trained on ImageNet are kept, a new softmax is trained on top with
15 or 30 images a class; at most 50 test images a class, mean accuracy per class, five random
splits. The same network trained on Caltech-101 alone is far behind. The rows from scratch here are
those that are kept in experiments/results, or those of scratch=[…]. Of a network of others the
softmax is on what its last layer reads, unless layer= names a point.

Cost: one pass over 8677 images, then about a minute a fold on 2 CPU cores. laptop: a minute or two
after the training.
Expected at size=paper data=caltech101: 83.8 ± 0.5 % with 15 images a class, 86.5 ± 0.5 % with 30.

Writes figure.png and figure.pdf, table.csv (means), folds.csv (one row per fold), arrays.npz (the
accuracy of each class), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.networks import input_side
from experiments.kit import Finding, Result, Saved, Subject, experiment, kept, probing, transfer
from experiments.kit.kept import Record
from experiments.kit.paper_tables import TABLE4
from experiments.kit.probe_rows import (
    HERE,
    Row,
    against,
    learnt,
    on_scenes,
    paper_rows,
)

DATA = "caltech101"
SIZES = (15, 30)


@dataclass
class Transfer(transfer.Transfer):
    scratch: list[str] = field(default_factory=list)  # folders of trainings on Caltech-101 alone,
    # one a split; empty: the rows that are kept in experiments/results


def compute(cfg: Transfer, it: Subject) -> Result:
    """Probe the layer on every fold and set the networks from scratch beside it."""
    given = scratch_records(cfg)
    study, ours = transfer.probe(cfg, it, SIZES)
    kind = {"architecture": architecture(it.net.recipe["name"], it.net.input_px)}
    ours = [row | kind for row in ours]
    found, theirs, scratch = [], [], []
    if cfg.data.name == "scenes":
        found = on_scenes(ours)
    if cfg.data.name == DATA:
        theirs, scratch = paper_rows(TABLE4, transfer.JOB), scratch_rows(given or kept_scratch())
        found = judge_pretrained(learnt(ours), scratch, study.as_in_paper)
        found += [one for record in given.values() for one in kept.findings(record)]
    return study.result([*ours, *scratch, *theirs], found, {"table": "4"})


# Networks from scratch


def scratch_records(cfg: Transfer) -> dict[str, Record]:
    """The rows of cfg.scratch, one a size. Raises DeconvError for a folder that is no result."""
    if cfg.scratch and cfg.data.name != DATA:
        raise DeconvError(f"scratch=… are networks for {DATA}, and the data is {cfg.data.name}")
    sizes: dict[int, list[dict[str, Any]]] = {}
    for folder in map(Path, cfg.scratch):
        try:
            one = kept.fold(folder)
        except (OSError, KeyError) as error:
            raise DeconvError(f"scratch: {folder} is no finished training: {error}") from error
        sizes.setdefault(one["images_per_class"], []).append(one)
    return {f"given, {size} a class": kept.row_of_folds(folds) for size, folds in sizes.items()}


def scratch_rows(records: Mapping[str, Record]) -> list[Row]:
    """Records of folds from scratch as rows of a table.

    The first of each size is "from scratch", another one for the same size has its name beside,
    without the size.
    """
    rows: list[Row] = []
    for name, record in records.items():
        facts, network = record["facts"], record["network"]
        size = facts["images_per_class"]
        another = any(row["per_class"] == size for row in rows)
        name = Path(name).name.replace(f"_{size}", "")
        row = {"source": HERE, "network": f"from scratch{f', {name}' * another}"}
        row |= dict(zip(("classifier", "layer"), transfer.JOB, strict=True))
        row |= {"per_class": size, "mean": facts["mean"]}
        row |= {"std": facts["standard_deviation"] or "", "folds": len(record["tables"]["folds"])}
        row["architecture"] = architecture(network["name"], network.get("input_px"))
        rows.append(row)
    return rows


def kept_scratch() -> dict[str, Record]:
    """The records of networks from scratch in experiments/results."""
    return {name: one for name, one in kept.records().items() if name.startswith(kept.FOLDS)}


def architecture(name: str, input_px: int | None) -> str:
    """A network's name and the side of its input, by which networks are set side by side."""
    return f"{name}, {input_px or input_side(name)} px"


# The claims


def judge_pretrained(
    ours: Sequence[Row], scratch: Sequence[Row], comparable: bool
) -> list[Finding]:
    """Judge whether a network that learnt elsewhere beats one that learnt here alone.

    That is ours of the same architecture, else another of ours, else the paper's. comparable:
    whether ours are the paper's network and splits.
    """
    found = []
    for row in ours:
        if (size := row["per_class"]) not in TABLE4["pretrained"]:
            continue
        sized = [one for one in scratch if one["per_class"] == size]
        alike = [one for one in sized if one["architecture"] == row["architecture"]]
        own = next(iter([*alike, *sized]), None)
        mean, spread = (own["mean"], own["std"] or 0.0) if own else TABLE4["scratch"][size]
        whose = own["architecture"] if own else "the paper's network"
        key = f"table4/pretrained/{size}"
        found.append(against(key, row, mean, spread, f"{whose}, from scratch", comparable))
    return found


# The page


def draw(saved: Saved) -> Page:
    """The figure with its numbers below, from the saved files alone."""
    scratch = any(row["network"].startswith("from scratch") for row in saved.rows())
    words = "From scratch: all layers trained on the same images, ten-crop test. " * scratch
    return transfer.draw(saved, "Table 4", words)


main = experiment(Transfer, compute, draw, saves=probing.SAVES)

if __name__ == "__main__":
    main()
