"""Keep the numbers of a training and of figures made with it, and print them in the README.

    python scripts/keep_results.py <name> <training folder> <figure folder> [<figure folder> …]
    python scripts/keep_results.py                  # only write the README's block again

Reads config.yaml and metrics.csv of the training and provenance.json of the figures; writes
experiments/results/<name>.json and the block between the markers in README.md. No number is typed
by hand.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

CHECKOUT = Path(__file__).resolve().parent.parent
RESULTS = CHECKOUT / "experiments" / "results"
README = CHECKOUT / "README.md"
START = "<!-- results: written by scripts/keep_results.py -->"
END = "<!-- end of results -->"


def collect(training: Path, figures: list[Path]) -> dict[str, Any]:
    """What is kept of one training and its figures, as plain data."""
    config = OmegaConf.to_container(OmegaConf.load(training / "config.yaml"))
    rows = list(csv.DictReader((training / "metrics.csv").open()))
    speeds = [float(row["images_per_second"]) for row in rows]
    provenance = json.loads((training / "provenance.json").read_text())
    validated = [row for row in rows if row["val_top1_error"]]
    keep = (
        "train_error",
        "train_loss",
        "val_top1_error",
        "val_top5_error",
        "val_mean_class_accuracy",
    )
    return {
        "model": provenance["model"],
        "data": {k: v for k, v in config["data"].items() if k not in ("root", "workers", "cache")},
        "recipe": config["train"],
        "seed": config["seed"],
        "weights_sha256": provenance["weights_sha256"],
        "versions": provenance["versions"],
        "last_epoch": {key: round(float(rows[-1][key]), 3) for key in keep},
        "validation_top1_error": {
            r["epoch"]: round(float(r["val_top1_error"]), 2) for r in validated
        },
        "renormalised_filters": {
            key.removeprefix("renormalised_"): sum(int(row[key]) for row in rows)
            for key in rows[0]
            if key.startswith("renormalised_")
        },
        "images_per_second": {"median": round(statistics.median(speeds), 1), "best": max(speeds)},
        "training_images": provenance["training_images"],
        # At the median speed: an epoch during which the machine did other work does not count more.
        "training_minutes": round(
            len(rows) * provenance["training_images"] / statistics.median(speeds) / 60, 1
        ),
        "figures": [figure(folder) for folder in figures],
    }


def figure(folder: Path) -> dict[str, Any]:
    """What is kept of one figure."""
    facts = json.loads((folder / "provenance.json").read_text())
    names = (
        "data",
        "collision_rate",
        "live_maps",
        "mining_images_per_second",
        "choices",
        "seconds",
        "device",
        "threads",
    )
    return {"figure": facts["figure"]} | {name: facts[name] for name in names}


def block() -> str:
    """The README's tables, from all of experiments/results."""
    lines = [
        "| network | trained on | epochs | top-1 accuracy | mean per class | training | images/s |",
        "|---|---|---|---|---|---|---|",
    ]
    mined = [
        "| figure 2 of | mined | images/s | figure | on | shared switches, pools in order |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text())
        last, recipe = kept["last_epoch"], kept["recipe"]
        name = f"{kept['model']['name']}, {path.stem}"
        lines.append(
            f"| {kept['model']['name']} | {path.stem} ({kept['model']['num_classes']} classes) "
            f"| {recipe['epochs']} | {100 - last['val_top1_error']:.1f} % "
            f"| {last['val_mean_class_accuracy']:.1f} % | {kept['training_minutes']:.0f} min "
            f"| {kept['images_per_second']['median']:.0f} |"
        )
        for drawn in kept["figures"]:
            rates = ", ".join(f"{100 * rate:.0f} %" for rate in drawn["collision_rate"].values())
            mined.append(
                f"| {name} | {drawn['data']['images']} images of {drawn['data']['name']} "
                f"| {drawn['mining_images_per_second']:.0f} | {drawn['seconds']:.0f} s "
                f"| {drawn['device']}, {drawn['threads']} threads | {rates} |"
            )
    return "\n".join([START, *lines, "", *mined, "", END])


def write_block() -> None:
    """Put the block between the markers of README.md."""
    text = README.read_text()
    before, rest = text.split(START)
    README.write_text(before + block() + rest.split(END)[1])


def main(arguments: list[str]) -> None:
    """Keep one result, if one is named, and write the README's block."""
    if arguments and len(arguments) < 3:
        sys.exit("usage: keep_results.py [<name> <training folder> <figure folder> …]")
    if arguments:
        name, training, *figures = arguments
        kept = collect(Path(training), [Path(folder) for folder in figures])
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n")
    write_block()


if __name__ == "__main__":
    main(sys.argv[1:])
