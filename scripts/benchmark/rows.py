"""The tasks: each row's docstring is what the page says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

import deconv
from deconv.deconvnet.projection import project_images
from deconv.networks import ChainNet, Network
from deconv.training import Recipe
from deconv.training.updates import Updates
from scripts.benchmark import peers
from scripts.benchmark.inputs import (
    EACH,
    PIXELS,
    TOP,
    UNIT_VARIANCE,
    Units,
    chain,
    convs,
    pixels,
    units_of,
    wrapped,
)
from scripts.benchmark.measure import Way, case, compared, of_rates
from scripts.benchmark.size import Run


def project(run: Run) -> list[dict[str, Any]]:
    """Projecting the nine strongest units of all maps of ZFNet's convolutional layers, from images,
    beside captum's `NeuronDeconvolution`, unit by unit and in batches of 32. A sample is measured,
    twelve units of an image as if the images were a thousand, and extrapolated by layer; then units
    of conv5 of as many images. The network has no contrast normalisation, which captum would
    differentiate and the deconvnet skips, so that both compute the same."""
    net, module = chain(run.size.zfnet, run.size.px, norm="none")
    layers = convs(net)
    counts = [TOP * net.get_submodule(layer).out_channels for layer in layers]
    cases = [projected(run, net, module, *one, EACH) for one in zip(layers, counts, strict=True)]
    whole = extrapolated(cases, counts, run.rates["fp32"])
    return [*cases, whole, projected(run, net, module, layers[-1], counts[-1], 1)]


def projected(
    run: Run, net: ChainNet, module: nn.Module, layer: str, count: int, each: int
) -> dict[str, Any]:
    """Measure a sample of `count` units of a layer, `each` of an image."""
    images = pixels(max(1, count // run.size.share // each), net.input_px)
    relu = module.get_submodule(layer.replace("conv", "relu"))
    units = units_of(net, layer, images, each)
    many, batched = len(units[0]), partial(peers.projections, module, relu, *units, at_once=32)
    ways = [
        Way("here", many, partial(pictures, net, layer, units)),
        Way("captum", many, partial(peers.projections, module, relu, *units)),
        Way("captum, batches", many, batched),
    ]
    name = layer if each > 1 else f"{layer}, one an image"
    return run.case(name, "units", ways, pictures_differ)


def wrapped_project(run: Run) -> list[dict[str, Any]]:
    """The same for networks of any shape (`deconv.wrap`), beside captum unit by unit. The law of a
    layer's fields is found in the first call, which is not counted."""
    cases = []
    for name, layers, many, few in run.size.wrapped:
        net = wrapped(name)
        for layer in layers:
            images = pixels(many, run.size.px or net.input_px, UNIT_VARIANCE)
            part, units = net.module.get_submodule(layer), units_of(net, layer, images)
            some = (units[0][:few], units[1][:few], images)
            ways = [
                Way("here", many, partial(pictures, net, layer, units)),
                Way("captum", few, partial(peers.projections, net.module, part, *some)),
            ]
            cases.append(run.case(f"{name} {layer}", "units", ways, pictures_differ))
    return cases


def pictures(net: Network, layer: str, units: Units) -> torch.Tensor:
    """Project units of images without a record of them, K×3×H×W."""
    rows, values, images = units
    found = torch.zeros(len(rows), *images.shape[1:])
    for some, windows, painted in project_images(net, layer, rows, values, images.__getitem__):
        for row, window, picture in zip(some, windows, painted, strict=True):
            window.cut(found[row]).copy_(picture)
    return found


def pictures_differ(found: torch.Tensor, wanted: torch.Tensor, *_: Any) -> float:
    """Compare as many pictures as there are of both: the worst error over the largest pixel."""
    error = (found[: len(wanted)] - wanted).flatten(1).abs().amax(1)
    return float((error / wanted.flatten(1).abs().amax(1)).max())


def extrapolated(
    cases: Sequence[dict[str, Any]], counts: Sequence[int], rates: dict[str, float]
) -> dict[str, Any]:
    """Weight the times of units of several layers by the number of units there."""
    share = np.array(counts) / sum(counts)
    by_way = zip(*(one["ways"] for one in cases), strict=True)
    times = {some[0]["way"]: share @ [way["seconds"] for way in some] for some in by_way}
    about = of_rates(share @ [one["gflop"] for one in cases], times["here"], rates)
    return compared(f"all {sum(counts):,}", "units", times) | about


def mining(run: Run) -> list[dict[str, Any]]:
    """The nine strongest units of every map of all convolutional layers (of SqueezeNet all ReLUs),
    beside a tracker in Python (a heap for each map, image by image) on the same modules, and beside
    the bare forward pass up to the highest of these layers in batches of 32 with channels last,
    which is the limit."""
    net, module = chain(run.size.zfnet, run.size.px)
    top = len(net.stages_to(convs(net)[-1]))
    relus = [module.get_submodule(layer.replace("conv", "relu")) for layer in convs(net)]
    cases = [mined(run, net, convs(net), module, relus, module[:top], PIXELS)]
    net = wrapped("squeezenet1_0")
    parts = dict(net.module.named_modules())
    found = {at: parts[at] for at in net.points if isinstance(parts.get(at), nn.ReLU)}
    hooked = [*found.values()]
    return [*cases, mined(run, net, [*found], net.module, hooked, net.module, UNIT_VARIANCE)]


def mined(
    run: Run,
    net: Network,
    layers: Sequence[str],
    module: nn.Module,
    hooked: Sequence[nn.Module],
    bare: nn.Module,
    scale: float,
) -> dict[str, Any]:
    """Measure the mining of one network; `bare` ends with the highest layer."""
    images = pixels(run.size.images, run.size.px or net.input_px, scale)
    batches = images.split(32)
    fast = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]
    ours = partial(deconv.top_activations, net, batches, layers, TOP, progress=False)
    ways = [
        Way("here", len(images), ours),
        Way("tracker in Python", len(images), partial(peers.mine, module, hooked, images, TOP)),
        Way("bare forward pass", len(images), partial(peers.forward, bare, fast)),
    ]
    return run.case(net.name, "images", ways, peaks_differ)


def peaks_differ(found: dict[str, deconv.Peaks], tracked: Iterable[Any], *_: Any) -> float:
    """Compare the values of all peaks: the largest error over the layer's largest value."""
    worst = 0.0
    for own, heaps in zip(found.values(), tracked, strict=True):
        theirs = torch.tensor([[one[0] for one in sorted(heap, reverse=True)] for heap in heaps])
        error = (own.value[:, : theirs.shape[1]] - theirs).abs().max()
        worst = max(worst, float(error / theirs.abs().max()))
    return worst


def occlusion(run: Run) -> list[dict[str, Any]]:
    """One occlusion map, square 50 px, stride 16, beside captum's `Occlusion` with its default of
    one square a forward pass and with 32, on the same modules; mixed is precision="mixed" here. The
    difference is that of the probability from running every whole image here (partial=False), over
    the largest change."""
    square, cases = (run.size.square, run.size.stride), []
    for name in dict.fromkeys((run.size.zfnet, run.size.alexnet)):
        net, module = chain(name, run.size.px)
        image = pixels(1, net.input_px)[0]
        target = int(net(image[None]).argmax())
        ours = partial(deconv.occlude, net, image, target, None, *square)
        plain = ours(partial=False)
        theirs = partial(peers.occlusion, module, image, target, *square)
        count = peers.occlusion_positions(net.input_px, *square)
        ways = [
            Way("here", plain.label.numel(), ours),
            Way("captum", count, theirs),
            Way("captum, 32 at once", count, partial(theirs, at_once=32)),
            Way("here, mixed", plain.label.numel(), partial(ours, precision="mixed")),
        ]
        cases.append(run.case(name, "positions", ways, partial(maps_differ, plain)))
    return cases


def maps_differ(plain: deconv.OcclusionMaps, fast: deconv.OcclusionMaps, *_: Any) -> float:
    """Compare probabilities: the largest error over the largest change by a square."""
    change = (plain.probability - plain.clean[0]).abs().max()
    return float((fast.probability - plain.probability).abs().max() / change)


def training(run: Run) -> list[dict[str, Any]]:
    """An optimizer step of ZFNet as `deconv.training.fit` makes it (finite loss, gradients and
    weights checked, renormalisation) beside the loop of torchvision's references on the network of
    PyTorch's own modules (`torch.nn.LocalResponseNorm`, default layout), batches of 64. Shares are
    of the rates in bf16."""
    count = run.size.batch
    ways = [Way(f"here, {kind}", count, own_step(run, kind)) for kind in ("bf16", "fp32")]
    for precision in ("fp32", "bf16"):
        net, _ = chain(run.size.zfnet, run.size.px)
        images, target = pixels(count, net.input_px), torch.arange(count)
        step = peers.training_step(peers.stock(net), images, target, precision)
        ways += [Way(f"reference, {precision}", count, step)]
    return [case(run.size.zfnet, "images", ways, run.rounds, run.rates["bf16"])]


def own_step(run: Run, precision: str) -> Callable[[], Any]:
    """Make the step of this library on one batch of random squares."""
    net, _ = chain(run.size.zfnet, run.size.px)
    count, side = run.size.batch, net.input_px * 256 // 224
    squares = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
    recipe = Recipe(batch_size=count, precision=precision, lr=1e-3)
    data = TensorDataset(squares, torch.arange(count))
    updates = Updates(net, data, torch.full((3, side, side), 128.0), recipe)
    updates.start_epoch(1, updates.new_progress())
    images, target = next(iter(updates.loader))
    return lambda: updates.update(updates.new_progress(), recipe.lr, images, target)
