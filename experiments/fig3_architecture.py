"""Figure 3: the layers of a network with their sizes, read off the built model.

    python -m experiments.fig3_architecture
    python -m experiments.fig3_architecture model=alexnet|zfnet_mini|torchvision/vgg16
    python -m experiments.fig3_architecture model.remove=[3,4] model.fc_width=2048
    python -m experiments.fig3_architecture redraw=outputs/fig3_architecture/<folder>

Paper: a drawing of the eight-layer model with sizes of maps, filters and strides. Here the same
for any chain, with receptive fields, parameters and multiply-adds beside them. No number is typed
in: each follows from the modules. Paddings are not stated in the paper; they are in the table.
The paper's sizes are those of its own network, so with another one (model=zfnet_mini) they are
judged on `zfnet` as it is built beside it.

Cost: seconds. Needs neither data nor a trained network.
Expected (zfnet): sides 110, 55, 26, 13, 13, 13, 13, 6; 62,357,608 parameters for 1000 classes.

Writes figure.png and figure.pdf, table.csv (one row per stage), findings.json, config.yaml and
provenance.json, and prints the table.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.networks import ChainNet, build
from deconv.networks.layer_table import LayerRow, layer_table, totals
from experiments.kit import Drawn, Finding, Result, Saved, Subject, experiment, judged, log
from experiments.kit.claims import CLAIMS
from experiments.kit.inputs import build_network
from experiments.kit.paper_tables import FIG3_SIDES
from experiments.kit.settings import groups

PAPER_NETWORK, PAPER_PX, PAPER_CLASSES = "zfnet", 224, 1000  # §3 and Fig. 3

Row = Mapping[str, Any]
"""A row of the table, as it was computed or as it was read again."""


@dataclasses.dataclass
class Architecture(Drawn):
    defaults: list[Any] = dataclasses.field(default_factory=lambda: groups(size="paper"))
    classes: int = PAPER_CLASSES  # of the softmax, unless model.num_classes says otherwise

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise DeconvError(f"classes must be at least 1, got {self.classes}")


def compute(cfg: Architecture, it: Subject) -> Result:
    """Build, measure, print."""
    it.first_alone()
    net = build_network(cfg, cfg.classes)
    rows = layer_table(net)
    table = [row.record() for row in rows]
    log(as_text(table))
    parameters, multiply_adds = totals(rows)
    network, found = judge(net, rows)
    facts = {
        "figure": "3",
        "data": {"name": "no images"},
        "judged": network,
        "choices": {
            "paddings": "not stated in the paper; for zfnet those that give the figure's sizes",
            "multiply_adds": "of one image, convolutions and linear layers alone, no biases",
            "receptive_field": "of a unit away from the borders",
        },
        "input_px": net.input_px,
        "parameters": parameters,
        "multiply_adds": multiply_adds,
    }
    return Result(facts, None, {"table": table}, found, net)


# The claims


def judge(net: ChainNet, rows: Sequence[LayerRow]) -> tuple[dict[str, Any], list[Finding]]:
    """The network that the paper's sizes are judged on, and the findings.

    That is `net` where it is a zfnet; else zfnet as built by default, without memory for weights.
    """
    if net.recipe["name"] != PAPER_NETWORK:
        with torch.device("meta"):
            net = build(PAPER_NETWORK, num_classes=PAPER_CLASSES)
        rows = layer_table(net)
    return {"name": PAPER_NETWORK, "input_px": net.input_px}, findings(net, rows)


def findings(net: ChainNet, rows: Sequence[LayerRow]) -> list[Finding]:
    """The sides of the figure's stages beside a zfnet's, and the sum of its parameters.

    Their numbers are targets where the network is the figure's: 224 px and no change of Table 3.
    """
    free = ("name", "num_classes", "init", "input_px", "dropout")
    unchanged = not any(value for key, value in net.recipe.items() if key not in free)
    comparable = unchanged and net.input_px == PAPER_PX
    sides = {row.stage: max(row.height, row.width) for row in rows}
    judge_it = functools.partial(judged, comparable=comparable, input_px=net.input_px)
    found = [
        judge_it(f"fig3/{stage}", sides[stage], holds=sides[stage] == side)
        for stage, side in FIG3_SIDES.items()
        if stage in sides
    ]
    if comparable and net.recipe["num_classes"] == PAPER_CLASSES:
        key, (parameters, _) = "fig3/parameters", totals(rows)
        found.append(judge_it(key, parameters, holds=parameters == CLAIMS[key].value))
    return found


# The printed table


def as_text(table: Sequence[Row]) -> str:
    """The table in columns for a terminal, with the sums below it."""
    heads = ("stage", "operation", "output", "field", "step", "parameters", "multiply-adds")
    lines = [heads]
    for row in table:
        output = f"{row['maps']}×{row['height']}×{row['width']}"
        counts = (f"{row[name]:,}" for name in ("parameters", "multiply_adds"))
        step = row["step_px"] or "-"
        lines.append((row["stage"], describe(row), output, field_words(row), step, *counts))
    sums = [sum(row[name] for row in table) for name in ("parameters", "multiply_adds")]
    lines.append(("all", "", "", "", "", *(f"{n:,}" for n in sums)))
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    sides = "<<<>>>>"  # columns of words, then of numbers
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return "\n".join(form.format(*line).rstrip() for line in lines)


def field_words(row: Row) -> str:
    """The receptive field of a row of the table in pixels, "all" for the whole image."""
    return row["field_px"] or ("all" if row["kind"] == "fully connected" else "-")


def describe(row: Row) -> str:
    """What a stage does, in words, from a row of the table."""
    words = [row["kind"]]
    if row["kernel"]:
        words = [f"{kernel_words(row)} {row['kind']}, stride {row['stride']}"]
        words += [f"padding {row['padding']}"] if row["padding"] != "0" else []
        words += [f"dilation {row['dilation']}"] if row["dilation"] != "1" else []
        words += [f"{row['groups']} groups"] if int(row["groups"]) > 1 else []
    return ", ".join([*words, "ReLU"] if str(row["relu"]) == "True" else words)


def kernel_words(row: Row) -> str:
    """The window of a row of the table, rows×columns."""
    return row["kernel"] if "×" in row["kernel"] else f"{row['kernel']}×{row['kernel']}"


# The page

ROW_NAMES = ("output", "receptive field", "step between units", "parameters", "multiply-adds")


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    title = f"{saved.facts['model']['name']}, layer by layer"
    return figures.architecture_boxes(boxes(saved.rows()), ROW_NAMES, title, caption(saved.facts))


def boxes(table: Sequence[Row]) -> list[figures.Box]:
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


def operation_lines(row: Row) -> list[str]:
    """What leads to a box, in short lines."""
    if row["kind"] == "image":
        return []
    if row["kernel"]:
        lines = [f"{kernel_words(row)} {'conv' if row['kind'] == 'convolution' else 'max'}"]
        lines.append(f"stride {row['stride']}")
        lines += [f"pad {row['padding']}"] if row["padding"] != "0" else []
        lines += [f"{row['groups']} groups"] if row["groups"] != "1" else []
    else:
        short = {"contrast norm": "contrast\nnorm", "average pool": "average\npool"}
        lines = [short.get(row["kind"], "fully\nconnected")]
    return lines + (["ReLU"] if row["relu"] == "True" else [])


def box_facts(row: Row) -> tuple[str, ...]:
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
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number or "–")


def caption(facts: Mapping[str, Any]) -> str:
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


main = experiment(Architecture, compute, draw, saves="table.csv findings.json")

if __name__ == "__main__":
    main()
