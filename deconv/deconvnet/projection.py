"""`project`: what the deconvnet paints in pixel space for chosen units (§2.1)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import nn

from deconv.deconvnet.mirror import OPERATIONS, Step, mirror, mirror_steps, refusal
from deconv.deconvnet.vjp import vector_jacobian
from deconv.errors import DeadUnitWarning, DeconvError, NoRuleWarning, unknown
from deconv.finite import check_finite
from deconv.networks import ChainNet, Network
from deconv.pooling import COLLISIONS
from deconv.records import Record
from deconv.rules import RULES
from deconv.rules.run import Run, Watcher, frozen
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
"""From the values K×C(×h×w) of a layer to the K signals that keep one unit each."""


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
    """Project units of one layer to pixels, each alone: all other units of the layer are zero.

    Args:
        net: a chain, or any network from `deconv.wrap`; the record is moved to its device.
        record: from `net.record(images, layers=[layer, …])`; its switches are used.
        layer: any name of a point in the record.
        units: K×4 integers, rows (image, map, y, x); image is the row in the record. Fully
            connected layers have y = x = 0.
        engine: "mirror" (explicit, stage by stage; chains only) or "vjp" (autograd under rules;
            any network); "auto" takes the mirror where it can undo every stage.
        rule: "deconvnet", the paper's; "guided" (guided backpropagation) and "gradient" for
            comparison, see `deconv.rules.operation`; both need "vjp".
        seed: "activation", the unit keeps its own value; or "one", it is set to 1, which changes
            only the scale of the picture unless the value is negative (a pre-activation), because
            the rectification on the way down is not symmetric.
        collisions: what happens where overlapping pooling windows share a switch, see
            `deconv.pooling.unpool`.
        chunk: units projected at a time; memory grows with it.
        switches: by pool, N×C×h×w as in the record, to use instead of the images' own: changing
            them shows what the picture owes to the switches.

    Returns:
        K×3×H×W pixels on the scale of the preprocessed input, around zero.

    Raises:
        DeconvError: for a unit outside its map and for unknown names.

    Warns:
        DeadUnitWarning: for units whose activation is 0; their pictures are blank.
        NoRuleWarning: where a signal crosses an operation that the deconvnet has no rule for
            (GELU, attention …) and that operation's own derivative is used.
    """
    if engine not in ENGINES:
        raise unknown("projection engine", engine, ENGINES)
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    if rule != "deconvnet" and engine == "mirror":
        raise DeconvError(f"rule={rule!r} needs engine='vjp'; the mirror has the deconvnet's alone")
    chunk = whole_number(chunk, "chunk", least=1)
    record = record.to(net.device)
    units = _checked(net, record, layer, units, seed, collisions)
    if len(units) == 0:
        return record.images.new_zeros(record.images.shape).detach()[:0]
    if switches is not None:
        record = _with_switches(net, record, layer, switches)
    obstacle = refusal(net, layer) if rule == "deconvnet" and engine != "vjp" else "not asked for"
    if engine == "mirror" and obstacle:
        raise DeconvError(obstacle)
    crossed: dict[str, str] = {}
    pixels = []
    for part in units.split(chunk):
        image, seeder = part[:, 0], _seeder(part, seed)
        if not obstacle:
            assert isinstance(net, ChainNet)
            start = seeder(record.activations[layer][image].detach())
            pixels.append(mirror(net, record, layer, image, start, collisions))
            continue
        own = None if switches is None else [of_pool[image] for of_pool in record.switches.values()]
        run = Run(rule, inner_module(net), collisions=collisions, switches=own)
        pixels.append(_run_down(net, record, layer, image, seeder, run))
        crossed |= run.crossed
    if crossed and rule == "deconvnet":
        _warn_of_no_rule(crossed, layer)
    painted = torch.cat(pixels)
    what = f"the projection of {layer} of {net.name}"
    check_finite(painted.detach(), what, of="those asked for", row="unit")
    return painted


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
    """Project all units at once with engine="vjp" and show each operation's call to `watch`."""
    record = record.to(net.device)
    units = _checked(net, record, layer, units, seed, collisions)
    run = Run("deconvnet", inner_module(net), collisions=collisions, watch=watch)
    return _run_down(net, record, layer, units[:, 0], _seeder(units, seed), run)


def project_steps(
    net: Network,
    record: Record,
    layer: str,
    units: torch.Tensor,
    *,
    seed: str = "activation",
    collisions: str = "sum",
) -> Iterator[Step]:
    """Project all units at once with the mirror, one lazily computed step at a time.

    Takes, warns and raises as `project` with engine="mirror" does, before the first step.

    Returns:
        The seeded units, then the K signals below each stage; the last are the K×3×H×W pixels.
    """
    record = record.to(net.device)
    units = _checked(net, record, layer, units, seed, collisions)
    if obstacle := refusal(net, layer):
        raise DeconvError(obstacle)
    assert isinstance(net, ChainNet)
    image = units[:, 0]
    start = _seeder(units, seed)(record.activations[layer][image].detach())
    return mirror_steps(net, record, layer, image, start, collisions)


def inner_module(net: Network) -> nn.Module:
    """Return the module whose submodules bear the names of the network's points."""
    module = getattr(net, "module", net)
    assert isinstance(module, nn.Module)
    return module


def _run_down(
    net: Network, record: Record, layer: str, image: torch.Tensor, seeder: Seeder, run: Run
) -> torch.Tensor:
    def point(images: torch.Tensor) -> torch.Tensor:
        return net.record(images, [layer], logits=False, finite=False).activations[layer]

    with frozen(inner_module(net)):
        return vector_jacobian(point, record.images[image], seeder, run=run)


def _checked(
    net: Network, record: Record, layer: str, units: torch.Tensor, seed: str, collisions: str
) -> torch.Tensor:
    """Check the input of `project` and return its units on the record's device."""
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


def _with_switches(
    net: Network, record: Record, layer: str, switches: Mapping[str, torch.Tensor]
) -> Record:
    """Replace switches in a record, after checking that they fit its pools."""
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
    """Warn of operations without a rule; crossed: place -> operation, the topmost first."""
    kinds = ", ".join(sorted(set(crossed.values())))
    times = "once" if len(crossed) == 1 else f"{len(crossed)} times"
    *_, first = crossed
    warnings.warn(
        f"the deconvnet has no rule for {kinds}, which the way down from {layer} crosses "
        f"{times} (first at {first}): its own derivative is used there, so "
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
