"""Why is it blank? What is left of a unit's signal after each operation of its way down."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deconv.errors import DeconvError
from deconv.models import ChainNet, GraphNet
from deconv.projection import project_steps
from deconv.types import Record

ALMOST = 0.01
"""A share of energy, or of pixels, below which a picture counts as almost blank."""
LEVELS = 127
"""Grey levels on each side of zero; what stays under one of them cannot be seen."""
PERCENTILE = 0.99
"""Of the non-zero pixels, where a picture's scale ends (see `deconv.figures.grey_centred`)."""


@dataclass(frozen=True)
class Left:
    """What one operation left of the signal.

    stage, operation: as in `deconv.projection.Step`. energy: sum of squares. kept: energy over
    that before the operation; above 1 where a filter amplifies. nonzero: share of positions that
    are not 0. negative: share of the energy that lay below 0 before a rectification, else None.
    """

    stage: str
    operation: str
    energy: float
    kept: float
    nonzero: float
    negative: float | None


@dataclass(frozen=True)
class Trace:
    """The way down of one unit; `str` of it is a table for people.

    layer, unit: (image, map, y, x). activation: the unit's. rows: from the kept unit to the
    pixels. visible: share of the image's pixels that differ from grey when the picture is drawn.
    cause: why the picture is blank or almost, in words; "" if it is not.
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
        lines = [head, f"{'stage':<10} {'operation':<9} {'energy':>11} {'kept':>8} {'non-zero':>9}"]
        for row in self.rows:
            note = "" if row.negative is None else f"   {100 * row.negative:.1f} % was negative"
            lines.append(
                f"{row.stage:<10} {row.operation:<9} {row.energy:>11.4g} {100 * row.kept:>7.3g}% "
                f"{100 * row.nonzero:>8.3g}%{note}"
            )
        return "\n".join([*lines, self.cause or f"not blank: {100 * self.visible:.1f} % visible"])


def check_trace(net: ChainNet | GraphNet, layer: str) -> None:
    """Raise DeconvError for a layer that `trace` cannot follow down, before anything is computed.

    Only a chain has one order of stages; a network that branches has it up to its first branch.
    """
    if isinstance(net, GraphNet) and not net.is_chain(net.check_point(layer)):
        raise DeconvError(
            f"{net.name} branches on its way up to {layer}, so its signal has no single way down "
            "to follow: trace a layer before the first branch"
        )


def trace(
    net: ChainNet | GraphNet,
    record: Record,
    layer: str,
    unit: torch.Tensor,
    *,
    seed: str = "activation",
    collisions: str = "sum",
) -> Trace:
    """Follow one unit down the deconvnet and say where its signal goes.

    record, layer, seed, collisions: as for `deconv.project`. unit: four integers (image, map, y,
    x). Raises DeconvError for a network that is no chain, whose way down has no order of stages.
    """
    check_trace(net, layer)
    row = torch.as_tensor(unit).reshape(-1)
    if row.numel() != 4:
        raise DeconvError(f"trace follows one unit (image, map, y, x), got {row.tolist()}")
    rows: list[Left] = []
    signal = before = None
    for step in project_steps(net, record, layer, row[None], seed=seed, collisions=collisions):
        signal = step.signal[0]
        rows.append(_left(step.stage, step.operation, signal, before))
        before = signal
    at = tuple(row.tolist())
    values = record.activations[layer]
    activation = float(values[at[: values.dim()]])
    visible = visible_share(signal)
    return Trace(layer, at, activation, tuple(rows), visible, _cause(activation, rows, visible))


def _left(stage: str, operation: str, signal: torch.Tensor, before: torch.Tensor | None) -> Left:
    energy = float(signal.double().square().sum())
    was = energy if before is None else float(before.double().square().sum())
    negative = None
    if operation == "rectify" and before is not None and was > 0:
        negative = float(before.double().clamp(max=0).square().sum()) / was
    nonzero = float((signal != 0).double().mean())
    return Left(stage, operation, energy, energy / was if was else 0.0, nonzero, negative)


def visible_share(pixels: torch.Tensor) -> float:
    """The share of positions of 3×H×W pixels that a drawn picture shows as other than grey."""
    strongest = pixels.abs().amax(dim=0)
    values = pixels.abs()[pixels != 0]
    if values.numel() == 0:
        return 0.0
    scale = float(values.double().quantile(PERCENTILE)) if values.numel() < 2**24 else 1.0
    return float((strongest * LEVELS >= 0.5 * scale).double().mean())


def _cause(activation: float, rows: list[Left], visible: float) -> str:
    if rows[0].energy == 0:
        return f"blank: the unit is dead here, its activation is {activation:g}"
    for row in rows[1:]:
        if row.energy == 0:
            if row.operation == "rectify":
                return f"blank: everything was negative at the rectification of {row.stage}"
            return f"blank: nothing passes the {row.operation} of {row.stage}"
    lost = min((row for row in rows[1:] if row.operation == "rectify"), key=_kept, default=None)
    if lost is not None and lost.kept < ALMOST:
        return (
            f"almost blank: the rectification of {lost.stage} keeps {100 * lost.kept:.2g} % of the "
            "energy, the rest was negative"
        )
    covered = min((row for row in rows[1:] if row.operation == "unpool"), key=_kept, default=None)
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


def _kept(row: Left) -> float:
    return row.kept
