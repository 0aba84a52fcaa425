"""Tables of what is kept beside findings: networks, folds, probes, mining, onset."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.kit.kept import Record
from experiments.kit.printed import table
from experiments.kit.result_words import images, network


def tables(records: Mapping[str, Record]) -> list[str]:
    """The sections, in Markdown, of those tables that have a row."""
    sections = {
        "Networks": networks(records),
        "Caltech-101 from scratch": folds(records),
        "Linear classifiers on frozen layers": probes(records),
        "Figure 2: mining and shared switches": mining(records),
        "When the renormalisation acts": onset(records),
    }
    return [part for head, text in sections.items() if text for part in (f"## {head}", text)]


def networks(records: Mapping[str, Record]) -> str:
    """The trainings: accuracy of the centre crop, time of the steps at their median speed."""
    rows = [
        (
            network(one),
            f"{one['network']['images']} images, {one['network']['classes']} classes",
            f"{100 - one['facts']['last_epoch']['val_top1_error']:.1f} %",
            f"{one['facts']['last_epoch']['val_mean_class_accuracy']:.1f} %",
            f"{one['facts']['training_minutes']:.0f} min",
            f"{one['facts']['images_per_second']['median']:.0f}",
        )
        for one in records.values()
        if "last_epoch" in one["facts"]
    ]
    head = ("network", "trained on", "top-1 accuracy", "mean per class", "training", "images/s")
    return table(head, rows) if rows else ""


def folds(records: Mapping[str, Record]) -> str:
    """The networks from scratch, split by split."""
    rows = []
    for name, one in records.items():
        if "images_per_class" in one["facts"] and (own := one["tables"].get("folds")):
            mean, spread = one["facts"]["mean"], one["facts"]["standard_deviation"]
            each = ", ".join(f"{fold['mean_class_accuracy']:.1f}" for fold in own)
            centre = ", ".join(f"{fold['centre_crop_mean_class_accuracy']:.1f}" for fold in own)
            here = f"{mean:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")
            minutes = f"{own[0]['training_minutes']:.0f} min"
            size = str(one["facts"]["images_per_class"])
            rows.append((name, network(one), size, here, each, centre, minutes))
    head = ("kept in", "network", "images a class", "mean per class, %", "splits, ten crops")
    return table((*head, "centre crop", "training of one"), rows) if rows else ""


def probes(records: Mapping[str, Record]) -> str:
    """Linear classifiers: a line a network, classifier and number of images.

    Networks whose layers have titles have a table each.
    """
    groups: dict[str, dict[tuple[str, ...], dict[str, str]]] = {}
    for one in records.values():
        rows = [row for row in one["tables"].get("table", []) if "classifier" in row]
        ours = [row for row in rows if row["source"] in ("here", "control")]
        for row in ours:
            if row["network"].startswith("from scratch"):  # they have a section of their own
                continue
            whose = network(one) if "data" in one["network"] else row["network"]
            if row["network"] != ours[0]["network"]:
                whose = f"{whose.partition(',')[0]}, {row['network']}"
            line = (one["data"]["name"], row["per_class"], whose, row["classifier"], row["folds"])
            spread = f" ± {float(row['std']):.1f}" if row.get("std") else ""
            cells = groups.setdefault(one["network"]["name"] if row.get("title") else "", {})
            layer = row.get("title") or f"layer {row['layer']}"
            cells.setdefault(line, {})[layer] = f"{float(row['mean']):.1f}{spread}"
    return "\n\n".join(_by_layer(cells) for cells in groups.values())


def _by_layer(cells: Mapping[tuple[str, ...], Mapping[str, str]]) -> str:
    """A table with a column for each layer, in the order of the line that has most of them."""
    lines = sorted(cells.values(), key=len, reverse=True)
    layers = list(dict.fromkeys(layer for line in lines for layer in line))
    head = ("data", "images a class", "frozen network", "classifier", "splits", *layers)
    rows = [(*line, *(row.get(layer, "") for layer in layers)) for line, row in cells.items()]
    return table(head, rows)


def mining(records: Mapping[str, Record]) -> str:
    """How fast a data set was mined, and how many windows share their switch."""
    rows = []
    for one in records.values():
        facts = one["facts"]
        if "mining_images_per_second" in facts and "collision_rate" in facts:
            rates = ", ".join(f"{100 * rate:.0f} %" for rate in facts["collision_rate"].values())
            where = f"{facts.get('device', '')}, {facts.get('threads', '')} threads"
            speed = f"{facts['mining_images_per_second']:.0f}"
            rows.append((network(one), images(one), speed, where, rates))
    head = ("network", "mined", "images/s", "on", "shared switches, pools in order")
    return table(head, rows) if rows else ""


def onset(records: Mapping[str, Record]) -> str:
    """From which inputs and learning rates the renormalisation acts in a short training."""
    rows = []
    for one in records.values():
        pairs: dict[tuple[float, float], list[Mapping[str, str]]] = {}
        for row in one["tables"].get("table", []) if one["experiment"] == "renormalisation" else []:
            pairs.setdefault((float(row["scale"]), float(row["rate"])), []).append(row)
        for (scale, rate), own in sorted(pairs.items()):
            acted = [row for row in own if int(row["filters_scaled"])]
            largest = max(float(row["largest_rms"]) for row in own)
            what = f"never (largest RMS {largest:.3f})"
            if acted:
                times = sum(int(row["filters_scaled"]) for row in acted)
                first = min(int(row["first_update"]) for row in acted)
                names = ", ".join(row["layer"] for row in acted)
                what = f"{names}, {times} times, first in update {first}"
            end = "finite" if own[0]["loss"] != "nan" else "not finite"
            line = (f"{scale:g}", f"{rate:g}", what, own[0]["updates"], end)
            rows.append((f"{one['network']['name']}, {one['data']['name']}", *line))
    head = ("network and data", "inputs ×", "learning rate", "acts on", "updates", "loss")
    return table(head, rows) if rows else ""
