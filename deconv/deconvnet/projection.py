"""`project`: what the deconvnet paints in pixel space for chosen units (§2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from deconv.deconvnet.mirror import OPERATIONS, Step, mirror_steps, refusal
from deconv.deconvnet.painting import Painted, Painting, paste
from deconv.deconvnet.units import (
    SEEDS,
    check_names,
    checked,
    seeder_of,
    warn_of_dead,
    with_switches,
)
from deconv.deconvnet.vjp import vector_jacobian
from deconv.deconvnet.way_down import ENGINES, WayDown
from deconv.errors import DeconvError
from deconv.finite import check_finite
from deconv.networks import ChainNet, Network
from deconv.records import Record
from deconv.rules import RULES
from deconv.rules.run import Watcher
from deconv.whole_number import whole_number

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
    windows: bool = True,
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
        chunk: images run at a time, or windows of as many pixels; memory grows with it.
        switches: by pool, N×C×h×w as in the record, to use instead of the images' own: changing
            them shows what the picture owes to the switches.
        windows: run only the part of each image that a unit depends on where that is exact and
            saves time (see `deconv.deconvnet.windows`); False: always whole images. The pictures
            are equal but for rounding.

    Returns:
        K×3×H×W pixels on the scale of the preprocessed input, around zero.

    Raises:
        DeconvError: for a unit outside its map and for unknown names.

    Warns:
        DeadUnitWarning: for units whose activation is 0; their pictures are blank.
        NoRuleWarning: where a signal crosses an operation that the deconvnet has no rule for
            (GELU, attention …) and that operation's own derivative is used.
    """
    way = WayDown(net, layer, engine, rule, collisions)
    chunk = whole_number(chunk, "chunk", least=1)
    record = record.to(net.device)
    units = checked(net, record, layer, units, seed, collisions)
    images, values = record.images.detach(), record.activations[layer].detach()
    values = values[tuple(units[:, : values.dim()].T)]
    own = switches is not None
    if switches is not None:
        record = with_switches(net, record, layer, switches)
    painting = Painting(
        way, units, values, images.__getitem__, seed, chunk, windows, record, own_switches=own
    )
    pixels = images.new_zeros(len(units), *images.shape[1:])
    paste(painting.run(), pixels)
    way.warn(stacklevel=2)
    what = f"the projection of {layer} of {net.name}"
    check_finite(pixels, what, of="those asked for", row="unit")
    return pixels


def project_images(
    net: Network,
    layer: str,
    units: torch.Tensor,
    values: torch.Tensor,
    image_of: Callable[[int], torch.Tensor],
    *,
    engine: str = "auto",
    rule: str = "deconvnet",
    seed: str = "activation",
    collisions: str = "sum",
    chunk: int = 16,
    windows: bool = True,
) -> Iterator[Painted]:
    """Project units of images that are read one by one, without a record of them.

    Args:
        units: K×4 as for `project`; image is what `image_of` takes.
        values: their K activations, as mined.
        image_of: number of an image -> 3×H×W, preprocessed; all of one size.
        engine, rule, seed, collisions, chunk, windows: as for `project`.

    Yields:
        (numbers of some units, the window of each, their pictures N×3×h×w in these windows).

    Raises, warns: as `project`.
    """
    check_names(seed, collisions)
    way = WayDown(net, layer, engine, rule, collisions)
    chunk = whole_number(chunk, "chunk", least=1)
    if seed == "activation":
        warn_of_dead(units, values, layer, stacklevel=3)
    painting = Painting(way, units, values, image_of, seed, chunk, windows)
    for rows, cut, painted in painting.run():
        for row, picture in zip(rows, painted, strict=True):
            what = f"the projection of {layer} of {net.name}"
            check_finite(picture[None], what, row, of="those asked for", row="unit")
        yield rows, cut, [picture.cpu() for picture in painted]
    way.warn(stacklevel=3)


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
    units = checked(net, record, layer, units, seed, collisions)
    return WayDown(net, layer, "vjp", "deconvnet", collisions).watched(record, units, seed, watch)


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
    units = checked(net, record, layer, units, seed, collisions)
    if obstacle := refusal(net, layer):
        raise DeconvError(obstacle)
    assert isinstance(net, ChainNet)
    image = units[:, 0]
    start = seeder_of(units, seed)(record.activations[layer][image].detach())
    return mirror_steps(net, record, layer, image, start, collisions)
