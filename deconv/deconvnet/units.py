"""The units that are projected: checked against the record, and seeded into a signal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from deconv.errors import DeadUnitWarning, DeconvError, unknown
from deconv.networks import Network
from deconv.pooling import COLLISIONS
from deconv.records import Record
from deconv.whole_number import whole_numbers

SEEDS = ("activation", "one")
Seeder = Callable[[torch.Tensor], torch.Tensor]
"""From the values K×C(×h×w) of a layer to the K signals that keep one unit each."""


def checked(
    net: Network, record: Record, layer: str, units: torch.Tensor, seed: str, collisions: str
) -> torch.Tensor:
    """Check the input of `project` and return its units on the record's device."""
    check_names(seed, collisions)
    net.check_point(layer)
    if layer not in record.activations:
        raise DeconvError(
            f"the record holds no {layer!r}; record it with layers=[{layer!r}] "
            f"(it has {', '.join(record.activations) or 'no layer'})"
        )
    activation = record.activations[layer].detach()
    units = whole_numbers(units, "units")
    _check_places(units, activation, layer)
    units = units.to(activation.device)
    if seed == "activation":
        values = activation[tuple(units[:, : activation.dim()].T)]
        warn_of_dead(units, values, layer, stacklevel=3)
    return units


def check_names(seed: str, collisions: str) -> None:
    """Raise DeconvError for an unknown way to seed or collision policy."""
    if seed not in SEEDS:
        raise unknown("seed", seed, SEEDS)
    if collisions not in COLLISIONS:
        raise unknown("collision policy", collisions, COLLISIONS)


def with_switches(
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


def seeder_of(units: torch.Tensor, seed: str) -> Seeder:
    """Make the seeder of K units, rows (…, map, y, x), one in each of K images."""
    rows = torch.arange(len(units), device=units.device)

    def seeder(values: torch.Tensor) -> torch.Tensor:
        at = (rows, *units[:, 1 : values.dim()].T)
        signal = torch.zeros_like(values)
        signal[at] = values[at] if seed == "activation" else 1.0
        return signal

    return seeder


def _check_places(units: torch.Tensor, activation: torch.Tensor, layer: str) -> None:
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


def warn_of_dead(units: torch.Tensor, values: torch.Tensor, layer: str, stacklevel: int) -> None:
    """Warn of units K×4 whose activations `values` are 0."""
    dead = units[values == 0].tolist()
    if dead:
        shown = ", ".join(str(tuple(row)) for row in dead[:3]) + (", …" if len(dead) > 3 else "")
        warnings.warn(
            f"{len(dead)} of {len(units)} units of {layer} have activation 0, so nothing is "
            f"painted for them: (image, map, y, x) = {shown}. Choose other units; a map that is "
            f"0 everywhere is dead.",
            DeadUnitWarning,
            stacklevel=stacklevel + 1,
        )
