"""Explain a blank projection: what each operation on the way down leaves of a unit's signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from deconv.deconvnet.mirror import refusal
from deconv.deconvnet.projection import project_steps, project_watched
from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.pixels import display_scale
from deconv.pooling import max_pool, unpool
from deconv.records import Record
from deconv.rules import Call, Operation
from deconv.rules.pooling import MAX_POOL, pool_of
from deconv.rules.rectification import RECTIFY
from deconv.whole_number import whole_numbers

ALMOST = 0.01
"""Share of energy or of pixels below which a picture counts as almost blank."""
LEVELS = 127
"""Grey levels on each side of zero in a drawn picture."""


@dataclass(frozen=True)
class Left:
    """What one operation left of the signal.

    stage, operation: as in `deconv.deconvnet.mirror.Step`. energy: sum of squares. kept: energy
    relative to before the operation; above 1 where a filter amplifies. nonzero: share of non-zero
    positions. negative: for a rectification the share of the energy below 0 before it, else None.
    """

    stage: str
    operation: str
    energy: float
    kept: float
    nonzero: float
    negative: float | None


@dataclass(frozen=True)
class Trace:
    """The way down of one unit; `str` of it is a readable table.

    unit: (image, map, y, x) in `layer`. activation: the unit's. rows: from the seed to the pixels.
    visible: share of the image's pixels that differ from grey when drawn. cause: why the picture
    is (almost) blank; "" if it is not.
    """

    layer: str
    unit: tuple[int, int, int, int]
    activation: float
    rows: tuple[Left, ...]
    visible: float
    cause: str

    def __str__(self) -> str:
        head = (
            f"{self.layer}, unit (image, map, y, x) = {self.unit}, activation {self.activation:g}"
        )
        wide = max(10, *(len(row.stage) for row in self.rows))
        columns = f"{'operation':<9} {'energy':>11} {'kept':>8} {'non-zero':>9}"
        lines = [head, f"{'stage':<{wide}} {columns}"]
        for row in self.rows:
            note = "" if row.negative is None else f"   {100 * row.negative:.1f} % was negative"
            lines.append(
                f"{row.stage:<{wide}} {row.operation:<9} {row.energy:>11.4g} "
                f"{100 * row.kept:>7.3g}% {100 * row.nonzero:>8.3g}%{note}"
            )
        return "\n".join([*lines, self.cause or f"not blank: {100 * self.visible:.1f} % visible"])


def trace(
    net: Network,
    record: Record,
    layer: str,
    unit: torch.Tensor,
    *,
    seed: str = "activation",
    collisions: str = "sum",
) -> Trace:
    """Follow one unit down the deconvnet and say where its signal is lost.

    In a chain that the mirror can undo there is one row per operation. In any other network, whose
    way down has no single order, the rows are what each rectification and max-pool on any path
    leaves of the signal that reaches it, and the pixels.

    Args:
        record, layer, seed, collisions: as for `deconv.project`.
        unit: four integers (image, map, y, x).

    Raises:
        DeconvError: as `project`; it also warns as `project` does.
    """
    row = whole_numbers(unit, "unit").reshape(-1)
    if row.numel() != 4:
        raise DeconvError(f"trace follows one unit (image, map, y, x), got {row.tolist()}")
    at = tuple(row.tolist())
    if not refusal(net, layer):
        rows, pixels = _trace_chain(net, record, layer, row[None], seed, collisions)
        explain = _cause
    else:
        rows, pixels = _trace_graph(net, record, layer, row[None], seed, collisions)
        explain = _cause_in_graph
    values = record.activations[layer]
    activation = float(values[at[: values.dim()]])
    visible = visible_share(pixels)
    return Trace(layer, at, activation, tuple(rows), visible, explain(activation, rows, visible))


def _trace_chain(
    net: Network, record: Record, layer: str, unit: torch.Tensor, seed: str, collisions: str
) -> tuple[list[Left], torch.Tensor]:
    """Return what each operation of the mirror leaves, and the pixels."""
    rows: list[Left] = []
    before: torch.Tensor | None = None
    for step in project_steps(net, record, layer, unit, seed=seed, collisions=collisions):
        rows.append(_left(step.stage, step.operation, step.signal[0], before))
        before = step.signal[0]
    return rows, step.signal[0]


def _trace_graph(
    net: Network, record: Record, layer: str, unit: torch.Tensor, seed: str, collisions: str
) -> tuple[list[Left], torch.Tensor]:
    """Return what each rectification and max-pool leaves, in top-down order, and the pixels.

    The first row is the seed; the last is what arrives at the image, relative to the seed.
    """
    names = iter([ran.name for ran in net.calls.ran if ran.operation in (RECTIFY, MAX_POOL)])
    rows: list[Left] = []

    def watch(call: Call, operation: Operation | None, where: str, value: Any) -> None:
        if operation not in (RECTIFY, MAX_POOL):
            return
        values = value if isinstance(value, torch.Tensor) else value[0]
        if not values.requires_grad:  # such as a second pooling, run for its switches
            return
        name, size = next(names, where), call.input.shape[2:]
        switches = None
        if operation is MAX_POOL:
            switches = max_pool(pool_of(call), call.input.detach())[1]

        def note(signal: torch.Tensor) -> None:
            above = signal.detach()
            below = above.clamp(min=0)
            if switches is not None:
                below = unpool(above, switches, size, collisions)
            rows.append(_left(name, operation.name, below[0], above[0]))

        values.register_hook(note)

    pixels = project_watched(
        net, record, layer, unit, seed=seed, collisions=collisions, watch=watch
    )[0]
    values = record.activations[layer].detach()
    kept = torch.zeros_like(values[unit[0, 0]])
    index = tuple(unit[0, 1 : values.dim()].tolist())
    kept[index] = 1.0 if seed == "one" else values[unit[0, 0]][index]
    first = _left(layer, "seed", kept, None)
    return [first, *rows, _left("image", "arrive", pixels, kept)], pixels


def _left(stage: str, operation: str, signal: torch.Tensor, before: torch.Tensor | None) -> Left:
    energy = float(signal.double().square().sum())
    was = energy if before is None else float(before.double().square().sum())
    negative = None
    if operation == "rectify" and before is not None and was > 0:
        negative = float(before.double().clamp(max=0).square().sum()) / was
    nonzero = float((signal != 0).double().mean())
    return Left(stage, operation, energy, energy / was if was else 0.0, nonzero, negative)


def visible_share(pixels: torch.Tensor) -> float:
    """Compute the share of positions of 3×H×W pixels that differ from grey in a drawn picture."""
    strongest = pixels.abs().amax(dim=0)
    scale = display_scale(pixels.double().cpu().numpy())
    return float((strongest * LEVELS >= 0.5 * scale).double().mean())


def _cause(activation: float, rows: list[Left], visible: float) -> str:
    if rows[0].energy == 0:
        return f"blank: the unit is dead here, its activation is {activation:g}"
    for row in rows[1:]:
        if row.energy == 0:
            if row.operation == "rectify":
                return f"blank: everything was negative at the rectification of {row.stage}"
            return f"blank: nothing passes the {row.operation} of {row.stage}"
    lost = _weakest(rows[1:], "rectify")
    if lost is not None and lost.kept < ALMOST:
        return (
            f"almost blank: the rectification of {lost.stage} keeps {100 * lost.kept:.2g} % of the "
            "energy, the rest was negative"
        )
    covered = _weakest(rows[1:], "unpool")
    if covered is not None and covered.kept < ALMOST:
        return (
            f"almost blank: the unpooling of {covered.stage} keeps {100 * covered.kept:.2g} % of "
            "the energy, because windows share their switches: collisions=sum loses none"
        )
    if visible < ALMOST:
        return (
            f"looks blank: a few strong pixels set the scale, and only {100 * visible:.2g} % of "
            "the image differs from grey: crop to the receptive field or lower the percentile"
        )
    return ""


def _cause_in_graph(activation: float, rows: list[Left], visible: float) -> str:
    """Explain by paths only if nothing arrives: what one path loses may come down another."""
    if rows[0].energy == 0 or rows[-1].energy > 0:
        return _cause(activation, [rows[0]], visible)
    ends = [f"the {r.operation} of {r.stage}" for r in rows[1:-1] if r.energy == 0]
    return f"blank: nothing arrives, the signal ends at {' and '.join(ends) or 'no ReLU or pool'}"


def _weakest(rows: list[Left], operation: str) -> Left | None:
    return min((r for r in rows if r.operation == operation), key=lambda r: r.kept, default=None)
