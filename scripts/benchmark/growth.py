"""How time and memory grow with the number of images, of units, and the images' side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import deconv
from deconv.deconvnet.projection import project_images
from deconv.networks import ChainNet
from scripts.benchmark.inputs import TOP, chain, convs, pixels, units_of
from scripts.benchmark.measure import in_child, significant
from scripts.benchmark.size import Run


def growth(run: Run) -> list[dict[str, Any]]:
    """How time and memory grow with `zfnet_mini`: mining conv1 to conv5 with the number of images
    (64 px) and their side, projecting conv3 with the number of units and the side, an occlusion map
    of 13 × 13 positions (square of a quarter of the side) with the side. The exponent is fitted to
    the time of the whole work."""
    size, nets = run.size, {px: chain("zfnet_mini", px)[0] for px in run.size.growth_px}
    small, least = chain("zfnet_mini", 64)[0], nets[run.size.growth_px[0]]
    works = {
        ("mining", "images"): {n: (n, partial(mine, small, n)) for n in size.growth_images},
        ("projecting", "units"): {n: (n, painting(least, n)) for n in size.growth_units},
        ("mining", "px"): {px: (32, partial(mine, net, 32)) for px, net in nets.items()},
        ("projecting", "px"): {px: (32, painting(net, 32)) for px, net in nets.items()},
        ("occlusion", "px"): {px: (1, partial(cover, net)) for px, net in nets.items()},
    }
    cases = []
    for (name, of), points in works.items():
        next(iter(points.values()))[1]()  # warms up
        found = [(n, count, *in_child(work)) for n, (count, work) in points.items()]
        slope = np.polyfit(*np.log([(n, seconds) for n, _, seconds, _ in found]).T, 1)[0]
        rows = [[n, significant(1e3 * s / count), memory] for n, count, s, memory in found]
        cases.append({"case": name, "of": of, "exponent": significant(slope), "points": rows})
    return cases


def mine(net: ChainNet, count: int) -> None:
    """Mine 32 images again and again, up to a number of images."""
    images = pixels(32, net.input_px)
    batches = (images for _ in range(count // 32))
    deconv.top_activations(net, batches, convs(net), TOP, progress=False)


def painting(net: ChainNet, count: int) -> Callable[[], None]:
    """Make the projection of units of conv3, none of which is kept."""
    rows, values, images = units_of(net, "conv3", pixels(count, net.input_px))

    def paint() -> None:
        for _ in project_images(net, "conv3", rows, values, images.__getitem__):
            pass

    return paint


def cover(net: ChainNet) -> None:
    """Make an occlusion map of 13×13 positions."""
    side = net.input_px
    deconv.occlude(net, pixels(1, side)[0], 0, size_px=side // 4, stride_px=side // 16)
