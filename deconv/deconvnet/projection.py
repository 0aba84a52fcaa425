"""`project`: what the deconvnet paints in pixel space for chosen units (§2.1 of the paper)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from deconv.deconvnet.mirror import OPERATIONS, Step, mirror, mirror_steps, refusal
from deconv.deconvnet.vjp import vector_jacobian
from deconv.errors import DeadUnitWarning, DeconvError, NoRuleWarning, unknown
from deconv.networks import ChainNet, Network
from deconv.pooling import COLLISIONS
from deconv.records import Record
from deconv.rules import RULES
from deconv.rules.run import Run, Watcher, held
from deconv.whole_number import whole_number, whole_numbers

__all__ = [
    "ENGINES",
    "OPERATIONS",
    "RULES",
    "SEEDS",
    "Step",
    "project",
    "project_steps",
    "vector_jacobian",
]

ENGINES = ("auto", "mirror", "vjp")
SEEDS = ("activation", "one")
Seeder = Callable[[torch.Tensor], torch.Tensor]
"""From the values K×C(×h×w) of a layer to the K signals that hold one unit each."""


def project(
    net: Network,
    record: Record,
    layer: str,
    units: torch.Tensor,
    *,
    engine: str = "auto",
    rule: str = "deconvnet",
    seed: str = "activation",
    collisions: str = "sum",
    chunk: int = 16,
    switches: Mapping[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Paint units of one layer in pixel space, each alone: all other units of the layer are zero.

    Args:
        net: a chain, or any network from `deconv.wrap`; the record is moved to where it is.
        record: from `net.record(images, layers=[layer, …])`; its switches are used.
        layer: any name of a point of the record.
        units: K×4 integers, rows (image, map, y, x); image is the row in the record. Fully
            connected layers have y = x = 0.
        engine: "mirror" (explicit, stage by stage, chains alone) or "vjp" (autograd under rules,
            any network); "auto" takes the mirror where it has a way down through every stage.
        rule: "deconvnet", the paper's; "guided" (guided backpropagation) and "gradient" to compare
            with, see `deconv.rules.operation`; both go by "vjp".
        seed: "activation", the unit keeps its own value; or "one", it is set to 1, which changes
            only the scale of the picture unless the value is negative (a pre-activation), because
            the rectification on the way down is not symmetric.
        collisions: what happens where overlapping pooling windows share a switch, see
            `deconv.pooling.unpool`.
        chunk: units projected at a time; memory grows with it.
        switches: to use in place of the images' own, by pool, as in the record (N×C×h×w): what the
            picture owes to them can be seen by changing them.

    Returns:
        K×3×H×W pixels on the scale of the preprocessed input, around zero.

    Raises:
        DeconvError: for a unit outside its map and for unknown names.

    Warns with DeadUnitWarning of units whose activation is 0: their pictures are blank; and with
    NoRuleWarning where a signal crosses something that the deconvnet has no rule for (GELU,
    attention …): there its own derivative is taken.
    """
    if engine not in ENGINES:
        raise unknown("projection engine", engine, ENGINES)
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    if rule != "deconvnet" and engine == "mirror":
        raise DeconvError(f"rule={rule!r} goes by engine='vjp'; the mirror is the deconvnet's")
    chunk = whole_number(chunk, "chunk", least=1)
    record = record.to(net.device)
    units = _checked(net, record, layer, units, seed, collisions)
    if len(units) == 0:
        return record.images.new_zeros(record.images.shape).detach()[:0]
    if switches is not None:
        record = _with_switches(net, record, layer, switches)
    refused = refusal(net, layer) if rule == "deconvnet" and engine != "vjp" else "another rule"
    if engine == "mirror" and refused:
        raise DeconvError(refused)
    crossed: dict[str, str] = {}
    send: Callable[..., torch.Tensor] = _send_mirror
    if refused or engine == "vjp":
        send = partial(_send_vjp, rule=rule, given=switches is not None, crossed=crossed)
    with torch.no_grad():
        parts = [
            send(net, record, layer, part[:, 0], _seeder(part, seed), collisions)
            for part in units.split(chunk)
        ]
    if crossed and rule == "deconvnet":
        _warn_of_no_rule(crossed, layer)
    return torch.cat(parts)


def project_watched(
    net: Network,
    record: Record,
    layer: str,
    units: torch.Tensor,
    *,
    seed: str = "activation",
    collisions: str = "sum",
    watch: Watcher,
) -> torch.Tensor:
    """Project all units at once by engine="vjp", each operation's call shown to `watch`."""
    record = record.to(net.device)
    units = _checked(net, record, layer, units, seed, collisions)
    run = Run("deconvnet", parts_of(net), collisions=collisions, watch=watch)
    return _send(net, record, layer, units[:, 0], _seeder(units, seed), run)


def project_steps(
    net: Network,
    record: Record,
    layer: str,
    units: torch.Tensor,
    *,
    seed: str = "activation",
    collisions: str = "sum",
) -> Iterator[Step]:
    """The way down of `project`, one operation at a time.

    Takes, warns and raises as `project` does with engine="mirror", before the first step. Yields
    the kept units alone, then the K signals below each stage; the last are the K×3×H×W pixels.
    All K units go down at once. A step is worked out when it is asked for.
    """
    record = record.to(net.device)
    units = _checked(net, record, layer, units, seed, collisions)
    if refused := refusal(net, layer):
        raise DeconvError(refused)
    assert isinstance(net, ChainNet)  # any other is refused
    return _steps(net, record, layer, units, _seeder(units, seed), collisions)


@torch.no_grad()
def _steps(
    net: ChainNet,
    record: Record,
    layer: str,
    units: torch.Tensor,
    seeder: Seeder,
    collisions: str,
) -> Iterator[Step]:
    image = units[:, 0]
    start = seeder(record.activations[layer][image])
    yield from mirror_steps(net, record, layer, image, start, collisions)


def _checked(
    net: Network,
    record: Record,
    layer: str,
    units: torch.Tensor,
    seed: str,
    collisions: str,
) -> torch.Tensor:
    """`units` on the record's device, after all that `project` has to say about its input."""
    if seed not in SEEDS:
        raise unknown("seed", seed, SEEDS)
    if collisions not in COLLISIONS:
        raise unknown("collision policy", collisions, COLLISIONS)
    net.check_point(layer)
    if layer not in record.activations:
        raise DeconvError(
            f"the record holds no {layer!r}; record it with layers=[{layer!r}] "
            f"(it has {', '.join(record.activations) or 'no layer'})"
        )
    activation = record.activations[layer].detach()
    units = whole_numbers(units, "units")
    _check_units(units, activation, layer)
    units = units.to(activation.device)
    if seed == "activation":
        _warn_of_dead(units, activation, layer)
    return units


def _send_mirror(
    net: ChainNet,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seeder: Seeder,
    collisions: str,
) -> torch.Tensor:
    signal = seeder(record.activations[layer][image])
    return mirror(net, record, layer, image, signal, collisions)


def _send_vjp(
    net: Network,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seeder: Seeder,
    collisions: str,
    rule: str,
    given: bool,
    crossed: dict[str, str],
) -> torch.Tensor:
    switches = [of_pool[image] for of_pool in record.switches.values()] if given else None
    run = Run(rule, parts_of(net), collisions=collisions, switches=switches)
    pixels = _send(net, record, layer, image, seeder, run)
    crossed |= run.crossed
    return pixels


def parts_of(net: Network) -> nn.Module:
    """The module whose parts' names are those of the network's points."""
    module = getattr(net, "module", net)
    assert isinstance(module, nn.Module)
    return module


def _send(
    net: Network, record: Record, layer: str, image: torch.Tensor, seeder: Seeder, run: Run
) -> torch.Tensor:
    def point(images: torch.Tensor) -> torch.Tensor:
        return net.record(images, [layer], logits=False).activations[layer]

    with held(parts_of(net)):
        return vector_jacobian(point, record.images[image], seeder, run=run)


def _with_switches(
    net: Network, record: Record, layer: str, switches: Mapping[str, torch.Tensor]
) -> Record:
    """The record with other switches. Raises DeconvError for those that fit no pool of it."""
    for name, of_pool in switches.items():
        if name not in record.switches:
            raise unknown(f"pool on the way to {layer}", name, record.switches)
        wanted, size = record.switches[name].shape, record.shapes[name][1:]
        if of_pool.shape != wanted or of_pool.dtype != torch.int64:
            raise DeconvError(
                f"switches of {name} are int64 of {tuple(wanted)}, got {of_pool.dtype} of "
                f"{tuple(of_pool.shape)}"
            )
        if of_pool.min() < 0 or of_pool.max() >= size[0] * size[1]:
            raise DeconvError(f"switches of {name} lie outside its plane of {size[0]}×{size[1]}")
    return replace(record, switches=record.switches | dict(switches))


def _seeder(units: torch.Tensor, seed: str) -> Seeder:
    rows = torch.arange(len(units), device=units.device)

    def seeder(values: torch.Tensor) -> torch.Tensor:
        at = (rows, *units[:, 1 : values.dim()].T)
        signal = torch.zeros_like(values)
        signal[at] = values[at] if seed == "activation" else 1.0
        return signal

    return seeder


def _warn_of_no_rule(crossed: Mapping[str, str], layer: str) -> None:
    """crossed: place -> what stands there, the last that runs first."""
    kinds = ", ".join(sorted(set(crossed.values())))
    times = "once" if len(crossed) == 1 else f"{len(crossed)} times"
    *_, first = crossed
    warnings.warn(
        f"the deconvnet has no rule for {kinds}, which the way down from {layer} crosses "
        f"{times} (first at {first}): the derivative is taken there, so "
        "the picture is a mixture of a deconvnet's and a gradient's",
        NoRuleWarning,
        stacklevel=3,
    )


def _check_units(units: torch.Tensor, activation: torch.Tensor, layer: str) -> None:
    if units.dim() != 2 or units.shape[1] != 4:
        raise DeconvError(
            f"units must be K×4 integers, rows (image, map, y, x), got {tuple(units.shape)}"
        )
    shape = (*activation.shape, 1, 1)[:4]
    limits = torch.tensor(shape, device=units.device)
    outside = ((units < 0) | (units >= limits)).any(1).nonzero().flatten()
    if len(outside):
        row = tuple(units[outside[0]].tolist())
        images, maps, height, width = shape
        raise DeconvError(
            f"unit (image, map, y, x) = {row} is outside {layer}, which has {maps} maps of "
            f"{height}×{width} for each of {images} images"
        )


def _warn_of_dead(units: torch.Tensor, activation: torch.Tensor, layer: str) -> None:
    values = activation[tuple(units[:, : activation.dim()].T)]
    dead = units[values == 0].tolist()
    if dead:
        shown = ", ".join(str(tuple(row)) for row in dead[:3]) + (", …" if len(dead) > 3 else "")
        warnings.warn(
            f"{len(dead)} of {len(units)} units of {layer} have activation 0, so nothing is "
            f"painted for them: (image, map, y, x) = {shown}. Choose other units; a map that is "
            f"0 everywhere is dead.",
            DeadUnitWarning,
            stacklevel=4,
        )
