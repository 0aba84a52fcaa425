"""Figure 3: the layers of a network with their sizes, read off the built model.

    python -m experiments.fig3_architecture
    python -m experiments.fig3_architecture model=alexnet|zfnet_mini|torchvision/vgg16
    python -m experiments.fig3_architecture model.remove=[3,4] model.fc_width=2048

Paper: a drawing of the eight-layer model with sizes of maps, filters and strides. Here the same
for any chain, with receptive fields, parameters and multiply-adds beside them. No number is typed
in: each follows from the modules. Paddings are not stated in the paper; they are in the table.
The paper's sizes are those of its own network, so with another one (model=zfnet_mini) they are
judged on `zfnet` as it is built beside it.

Writes figure.png and figure.pdf, table.csv (a row a stage), findings.json, config.yaml and
provenance.json, and prints the table. Neither data nor a trained network is needed.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from deconv import distributed, figures
from deconv.errors import DeconvError
from deconv.networks import ChainNet, build
from deconv.networks.layer_table import LayerRow, layer_table, totals
from experiments.kit.command import experiment
from experiments.kit.findings import Finding, write_findings
from experiments.kit.inputs import build_network, log
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.reported import FIG3_SIDES, REPORTED


@experiment("fig3_architecture")
def main(cfg: DictConfig, folder: Path) -> None:
    """Build, measure, print, save, draw; or draw again what a run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    if distributed.rank() > 0:
        return
    if cfg.classes < 1:
        raise DeconvError(f"classes must be at least 1, got {cfg.classes}")
    net = build_network(cfg, cfg.classes)
    rows = layer_table(net)
    table = [record(row) for row in rows]
    log(as_text(table))
    write_table(folder / "table.csv", table)
    parameters, multiply_adds = totals(rows)
    judged, found = judge(net, rows)
    facts = {
        "figure": "3",
        "data": {"name": "no images"},
        "judged": judged,
        "choices": {
            "paddings": "not stated in the paper; for zfnet those that give the figure's sizes",
            "multiply_adds": "of one image, convolutions and linear layers alone, no biases",
            "receptive_field": "of a unit away from the borders",
        },
        "input_px": net.input_px,
        "parameters": parameters,
        "multiply_adds": multiply_adds,
    }
    write_provenance(folder, net, facts)
    write_findings(folder, found)
    draw(folder, folder)


def record(row: LayerRow) -> dict[str, Any]:
    """One row of table.csv; pairs that are alike are written once, others as rows×columns."""
    return {
        "stage": row.stage,
        "kind": row.kind,
        "maps": row.maps,
        "height": row.height,
        "width": row.width,
        "kernel": _pair(row.kernel),
        "stride": _pair(row.stride),
        "padding": _pair(row.padding),
        "dilation": _pair(row.dilation),
        "groups": row.groups,
        "relu": row.relu,
        "field_px": _pair(row.field_px),
        "step_px": _pair(row.step_px),
        "parameters": row.parameters,
        "multiply_adds": row.multiply_adds,
    }


def _pair(pair: tuple[int, int] | None) -> str:
    if pair is None:
        return ""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}×{pair[1]}"


def as_text(table: list[dict[str, Any]]) -> str:
    """The table in columns for a terminal, with the sums below it."""
    heads = ("stage", "operation", "output", "field", "step", "parameters", "multiply-adds")
    lines = [heads]
    for row in table:
        cells = (
            row["stage"], describe(row), f"{row['maps']}×{row['height']}×{row['width']}",
            field_words(row), row["step_px"] or "-",
            f"{row['parameters']:,}", f"{row['multiply_adds']:,}",
        )  # fmt: skip
        lines.append(cells)
    sums = [sum(row[name] for row in table) for name in ("parameters", "multiply_adds")]
    lines.append(("all", "", "", "", "", *(f"{n:,}" for n in sums)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    left = 3  # columns of words, the rest are numbers
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def field_words(row: dict[str, Any]) -> str:
    """The receptive field of a row of the table in pixels, "all" for the whole image."""
    return row["field_px"] or ("all" if row["kind"] == "fully connected" else "-")


def describe(row: dict[str, Any]) -> str:
    """What a stage does, in words, from a row of the table."""
    words = [row["kind"]]
    if row["kernel"]:
        size = row["kernel"] if "×" in row["kernel"] else f"{row['kernel']}×{row['kernel']}"
        words = [f"{size} {row['kind']}, stride {row['stride']}"]
        if row["padding"] != "0":
            words.append(f"padding {row['padding']}")
        if row["dilation"] != "1":
            words.append(f"dilation {row['dilation']}")
        if int(row["groups"]) > 1:
            words.append(f"{row['groups']} groups")
    return ", ".join(words) + (", ReLU" if str(row["relu"]) == "True" else "")


def judge(net: ChainNet, rows: list[LayerRow]) -> tuple[str, list[Finding]]:
    """The network that the paper's sizes are judged on, in words, and the findings.

    That is `net` where it is a zfnet; else zfnet as built by default, without memory for weights.
    """
    if net.recipe["name"] != PAPER_NETWORK:
        with torch.device("meta"):
            net = build(PAPER_NETWORK, num_classes=PAPER_CLASSES)
        rows = layer_table(net)
    return f"{PAPER_NETWORK}, {net.input_px} px, as built", findings(net, rows)


def findings(net: ChainNet, rows: list[LayerRow]) -> list[Finding]:
    """The sides of the figure's stages beside ours, and the sum of parameters; for zfnet alone.

    Their numbers are targets where the network is the figure's: 224 px and no change of Table 3.
    """
    if net.recipe["name"] != PAPER_NETWORK:
        return []
    changed = {k: v for k, v in net.recipe.items() if k not in ("name", "num_classes", "init")}
    unchanged = not any(v for k, v in changed.items() if k not in ("input_px", "dropout"))
    comparable = unchanged and net.input_px == PAPER_PX
    sides = {row.stage: max(row.height, row.width) for row in rows}
    found = [
        Finding(
            f"fig3/{stage}", sides[stage], holds=sides[stage] == side, comparable=comparable,
            rule=f"the map of zfnet at {net.input_px} px, as built, has exactly this side; "
            "the paddings, which the paper does not state, are chosen so",
        )
        for stage, side in FIG3_SIDES.items()
        if stage in sides
    ]  # fmt: skip
    if comparable and net.recipe["num_classes"] == PAPER_CLASSES:
        claim, (parameters, _) = REPORTED["fig3/parameters"], totals(rows)
        rule = "exactly as many weights and biases as the figure's sizes add up to"
        holds = parameters == claim.value
        found.append(Finding("fig3/parameters", parameters, None, holds, rule, comparable=True))
    return found


PAPER_NETWORK, PAPER_PX, PAPER_CLASSES = "zfnet", 224, 1000  # §3 and Fig. 3

SAVED = ("table.csv", "findings.json", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    with (source / "table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    facts = json.loads((source / "provenance.json").read_text())
    page = figures.architecture_boxes(
        boxes(table), ROW_NAMES, f"{facts['model']['name']}, layer by layer", caption(facts)
    )
    figures.save(page, folder)


ROW_NAMES = ("output", "receptive field", "step between units", "parameters", "multiply-adds")


def boxes(table: list[dict[str, str]]) -> list[figures.Box]:
    """A box for each stage but normalisation, which belongs to the stage that it follows."""
    found: list[figures.Box] = []
    layer = ""
    for i, row in enumerate(table):
        if row["kind"] == "contrast norm":
            normalised = (*found[-1].operation, *operation_lines(row))
            found[-1] = dataclasses.replace(found[-1], operation=normalised)
            continue
        if row["kind"] in ("convolution", "fully connected"):
            layer = row["stage"].lstrip("convf")
        group = f"Layer {layer}" if layer else "Input"
        after = next((r for r in table[i + 1 :] if r["kind"] != "contrast norm"), None)
        found.append(
            figures.Box(
                title=row["stage"],
                group=group if after else "Output",
                operation=tuple(operation_lines(row)),
                maps=int(row["maps"]),
                side=max(int(row["height"]), int(row["width"])),
                kernel=int(after["kernel"].split("×")[0] or 0) if after else 0,
                facts=box_facts(row),
            )
        )
    return found


def operation_lines(row: dict[str, str]) -> list[str]:
    """What leads to a box, in short lines."""
    if row["kind"] == "image":
        return []
    if not row["kernel"]:
        short = {"contrast norm": "contrast\nnorm", "average pool": "average\npool"}
        lines = [short.get(row["kind"], "fully\nconnected")]
    else:
        size = row["kernel"] if "×" in row["kernel"] else f"{row['kernel']}×{row['kernel']}"
        lines = [f"{size} {'conv' if row['kind'] == 'convolution' else 'max'}"]
        lines.append(f"stride {row['stride']}")
        lines += [f"pad {row['padding']}"] if row["padding"] != "0" else []
        lines += [f"{row['groups']} groups"] if row["groups"] != "1" else []
    return lines + (["ReLU"] if row["relu"] == "True" else [])


def box_facts(row: dict[str, str]) -> tuple[str, ...]:
    """The lines below a box, by ROW_NAMES."""
    maps, height, width = (int(row[name]) for name in ("maps", "height", "width"))
    output = f"{maps}" if height == width == 1 else f"{maps}×{height}×{width}"
    if row["kind"] == "image":
        return (output, "–", "–", "–", "–")
    field = f"{row['field_px']} px" if row["field_px"] else field_words(row).replace("-", "–")
    step = f"{row['step_px']} px" if row["step_px"] else "–"
    counts = (short_count(int(row[name])) for name in ("parameters", "multiply_adds"))
    return (output, field, step, *counts)


def short_count(number: int) -> str:
    """1234567 as 1.23 M; three digits, for people."""
    if number == 0:
        return "–"
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number)


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    side, model = facts["input_px"], facts["model"]
    plain = ("name", "init", "num_classes")
    changes = {k: v for k, v in model.items() if v not in (None, [], ()) and k not in plain}
    settings = "".join(f", {k} {v}" for k, v in changes.items())
    return (
        f"Every number is read off the built network ({model['name']}, {model['num_classes']} "
        f"classes{settings}) for one RGB image of {side}×{side} px. The side of a stack grows with "
        "the square root of the map's side, which stands below it; its depth with the logarithm of "
        "the number of maps. Blue: the window of the next operation, enlarged where it would be "
        "too small to see. Receptive field: pixels along a side that a unit away from the borders "
        f"depends on. In all {facts['parameters']:,} parameters and {facts['multiply_adds']:,} "
        "multiply-adds an image (convolutions and linear layers; biases, pooling and "
        "normalisation not counted)."
    )


if __name__ == "__main__":
    main()
