"""Why is it blank? What is left of a unit's signal after each operation of its way down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from deconv.errors import DeconvError
from deconv.models import ChainNet, GraphNet
from deconv.projection import project, project_steps
from deconv.projection.mirror import refusal
from deconv.projection.vjp import MAX_POOLS, rectification
from deconv.types import Record
from deconv.whole_number import whole_numbers

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
    x). A chain that the mirror knows is followed operation by operation. Of another network, whose
    way down has no single order, the rows are what each rectification and each max-pool on any
    path leaves of what reaches it, and the pixels.
    Warns and raises as `project` does.
    """
    row = whole_numbers(unit, "unit").reshape(-1)
    if row.numel() != 4:
        raise DeconvError(f"trace follows one unit (image, map, y, x), got {row.tolist()}")
    at = tuple(row.tolist())
    if not refusal(net, layer):
        rows, pixels = _along_chain(net, record, layer, row[None], seed, collisions)
        explain = _cause
    else:
        rows, pixels = _through_graph(net, record, layer, row[None], seed, collisions)
        explain = _cause_in_graph
    values = record.activations[layer]
    activation = float(values[at[: values.dim()]])
    visible = visible_share(pixels)
    return Trace(layer, at, activation, tuple(rows), visible, explain(activation, rows, visible))


def _along_chain(
    net: ChainNet | GraphNet,
    record: Record,
    layer: str,
    unit: torch.Tensor,
    seed: str,
    collisions: str,
) -> tuple[list[Left], torch.Tensor]:
    """What each operation of the mirror leaves, and the pixels."""
    rows: list[Left] = []
    signal = before = None
    for step in project_steps(net, record, layer, unit, seed=seed, collisions=collisions):
        signal = step.signal[0]
        rows.append(_left(step.stage, step.operation, signal, before))
        before = signal
    return rows, signal


def _through_graph(
    net: GraphNet, record: Record, layer: str, unit: torch.Tensor, seed: str, collisions: str
) -> tuple[list[Left], torch.Tensor]:
    """What each rectification and max-pool leaves, in the order the signal meets them; pixels.

    The first row is the kept unit; the last is what arrives at the image, as a share of it.
    """
    kinds = {"rectify", "pool"}
    watch = _Watch([step.name for step in net.steps.values() if step.kind in kinds])
    pixels = project(
        _Watched(net, watch), record, layer, unit, engine="vjp", seed=seed, collisions=collisions
    )[0]  # fmt: skip
    values = record.activations[layer].detach()
    kept = torch.zeros_like(values[unit[0, 0]])
    index = tuple(unit[0, 1 : values.dim()].tolist())
    kept[index] = 1.0 if seed == "one" else values[unit[0, 0]][index]
    first = _left(layer, "seed", kept, None)
    return [first, *watch.rows, _left("image", "arrive", pixels, kept)], pixels


class _Watched:
    """A network whose forward passes run under a watch."""

    def __init__(self, net: GraphNet, watch: _Watch) -> None:
        self._net, self._watch = net, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)

    def record(self, *arguments: Any, **options: Any) -> Record:
        with self._watch:
            return self._net.record(*arguments, **options)


class _Watch(TorchFunctionMode):
    """Notes what rectifications and max-pools leave of the signal when it comes down.

    Stands inside `DeconvnetRules`, which replaces what comes down; changes nothing itself.
    names: of these operations in the order in which they run.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names, self.rows = iter(names), []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        rectifies, pools = rectification(func, args, kwargs) is not None, func in MAX_POOLS
        x = args[0] if args else kwargs.get("input")
        if not (rectifies or pools) or not x.requires_grad:  # such as a second look for switches
            return func(*args, **kwargs)
        name = next(self.names, func.__name__)
        if rectifies:
            values = func(*args, **kwargs)
            values.register_hook(lambda signal: self._note(name, "rectify", signal, None))
            return values
        # The gradient of a view is what comes down by this path alone.
        below = x.view_as(x)
        args, kwargs = ((below, *args[1:]), kwargs) if args else (args, kwargs | {"input": below})
        values = func(*args, **kwargs)
        reached: list[torch.Tensor] = []
        tensor = values if isinstance(values, torch.Tensor) else values[0]
        tensor.register_hook(lambda signal: reached.append(signal.detach()))
        below.register_hook(lambda signal: self._note(name, "unpool", reached[-1], signal))
        return values

    def _note(
        self, name: str, operation: str, before: torch.Tensor, after: torch.Tensor | None
    ) -> None:
        after = before.clamp(min=0) if after is None else after
        self.rows.append(_left(name, operation, after[0].detach(), before[0].detach()))


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


def _cause_in_graph(activation: float, rows: list[Left], visible: float) -> str:
    """What one path loses may come down by another: only where nothing arrives is it a cause."""
    if rows[0].energy == 0 or rows[-1].energy > 0:
        return _cause(activation, [rows[0]], visible)
    ends = [f"the {r.operation} of {r.stage}" for r in rows[1:-1] if r.energy == 0]
    return f"blank: nothing arrives, the signal ends at {' and '.join(ends) or 'no ReLU or pool'}"


def _kept(row: Left) -> float:
    return row.kept
