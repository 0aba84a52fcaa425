"""Training speed of this code beside torchvision's reference loop, interleaved on one machine.

    python scripts/bench_training.py [--model zfnet] [--batch 64] [--rounds 5] [--json <file>]
        [--loading original=<image folder> prepared=<image folder>]

Each round times one update of every way to train, one after the other, so that a machine that
slows down slows all of them; what counts are the medians and their ratios. Ways, in fp32 and bf16:

ours       an update as `deconv.training.fit` makes it: channels_last, finite-loss check, dropout
           by keys, renormalisation of the filters
reference  the update of torchvision's references/classification/train.py (its default layout,
           NCHW; autocast for bf16) on the same network
stock      the same loop on the same network with torch.nn.LocalResponseNorm and torch.nn.Dropout

The share of the matrix-multiplication rate is the floating-point operations of an update (forward,
gradients of weights, gradients of inputs except the image's) / time, over the rate of one large
matrix product of that precision, measured in every round: by `@` and as a 1 × 1 convolution,
whichever is faster, for the two use different libraries and one of them can be far below the
machine. With --loading also: how many images one process reads, decodes and crops in a second.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import deconv
from deconv.data import TrainingCrops, photographs
from deconv.data.text_files import json_text
from deconv.errors import DeconvError
from deconv.networks import ChainNet
from deconv.normalisation import ContrastNorm
from deconv.training import Recipe
from deconv.training.evaluation import autocast
from deconv.training.updates import Updates

CLASSES = 1000
MATRIX = 4096


class Synthetic:
    """One batch of random squares, enough for `Updates`."""

    def __init__(self, images: int, side_px: int) -> None:
        self.images = torch.randint(0, 256, (images, 3, side_px, side_px), dtype=torch.uint8)
        self.classes = [str(number) for number in range(CLASSES)]
        self.targets = [number % CLASSES for number in range(images)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], self.targets[index]

    def contents(self) -> str:
        return ""

    def fingerprint(self) -> str:
        return "synthetic"

    def cache_key(self) -> str:
        return "synthetic"


def ours(net: ChainNet, batch: int, precision: str) -> Callable[[], None]:
    """An update of this library."""
    side = net.input_px * 256 // 224
    data = Synthetic(batch, side)
    recipe = Recipe(batch_size=batch, precision=precision, lr=1e-3)
    updates = Updates(net, data, torch.full((3, side, side), 128.0), recipe)
    updates.start_epoch(1, updates.new_progress())
    images, target = next(iter(updates.loader))

    def update() -> None:
        updates.update(updates.new_progress(), recipe.lr, images, target)

    return update


def reference(net: nn.Module, batch: int, precision: str, input_px: int) -> Callable[[], None]:
    """What torchvision's train_one_epoch does with a batch, its measures of accuracy included."""
    device = next(net.parameters()).device
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    images = torch.randn(batch, 3, input_px, input_px)
    target = torch.arange(batch) % CLASSES
    net.train()

    def update() -> None:
        image, label = images.to(device), target.to(device)
        with autocast(device, precision):
            output = net(image)
            loss = criterion(output, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.inference_mode():
            correct = output.topk(5, 1).indices.t().eq(label[None])
            for k in (1, 5):
                correct[:k].flatten().sum(dtype=torch.float32).item()
        loss.item()

    return update


def stock(net: ChainNet) -> nn.Sequential:
    """The same network from PyTorch's own modules."""
    stages = []
    for stage in net.children():
        if isinstance(stage, ContrastNorm):
            stage = nn.LocalResponseNorm(
                stage.size, alpha=stage.alpha * stage.size, beta=stage.beta, k=stage.k
            )
        elif isinstance(stage, nn.Dropout):
            stage = nn.Dropout(stage.p)
        stages.append(stage)
    return nn.Sequential(*stages)


def multiply_adds(net: ChainNet) -> int:
    """Multiply-adds per image and update: 3 × weights × positions, 2 × in the first layer."""
    image = torch.zeros(1, 3, net.input_px, net.input_px)
    points = [name if name == net.layers[-1] else f"{name}:z" for name in net.layers]
    seen = net.record(image, points).activations
    count = 0
    for name, point in zip(net.layers, points, strict=True):
        positions = seen[point][0, 0].numel()
        times = 2 if name == net.layers[0] else 3
        count += times * net.get_submodule(name).weight.numel() * positions
    return count


def product_conv(a: torch.Tensor, b: torch.Tensor) -> Callable[[], Any]:
    """The product of two square matrices, as a 1 × 1 convolution."""
    side = len(a)
    image = a.reshape(1, 1, side, side).permute(0, 3, 1, 2)
    weight = b.t().reshape(side, side, 1, 1)
    return lambda: nn.functional.conv2d(image, weight)


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Wall-clock time of one call, with the GPU's queue empty before and after."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


def measure(model: str, batch: int, rounds: int, device: torch.device) -> dict[str, Any]:
    """Medians over the rounds for each precision and way, as plain data."""
    flop = 2 * multiply_adds(deconv.build(model, CLASSES, seed=0))
    result: dict[str, Any] = {"model": model, "batch": batch, "rounds": rounds}
    result["gflop_per_image"] = round(flop / 1e9, 2)
    for precision in ("fp32", "bf16"):
        nets = [deconv.build(model, CLASSES, seed=0).to(device) for _ in range(3)]
        size = nets[0].input_px
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(MATRIX, MATRIX, device=device).to(kind) for _ in range(2))
        ways: dict[str, Callable[[], Any]] = {
            "ours": ours(nets[0], batch, precision),
            "reference": reference(nets[1], batch, precision, size),
            "stock": reference(stock(nets[2]), batch, precision, size),
            "matmul": lambda a=a, b=b: a @ b,
            "product_conv": product_conv(a, b),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way, work in ways.items():
                taken = seconds(work, device)
                if number:  # the first round warms up
                    times[way].append(taken)
            print(f"{precision}: round {number} of {rounds}", file=sys.stderr, flush=True)
        median = {way: statistics.median(values) for way, values in times.items()}
        rate = 2 * MATRIX**3 / min(median.pop("matmul"), median.pop("product_conv"))
        result[precision] = {"matmul_gflops": round(rate / 1e9)} | {
            way: {
                "images_per_second": round(batch / taken, 1),
                "share_of_matmul": round(flop * batch / taken / rate, 3),
                "ours_is_times_faster": round(
                    statistics.median(
                        t / o for t, o in zip(times[way], times["ours"], strict=True)
                    ),
                    2,
                ),
            }
            for way, taken in median.items()
        }
    return result


def loading(folder: str, input_px: int, images: int = 300) -> float:
    """Images a second that one process makes ready to train on, from an image folder."""
    side = input_px * 256 // 224
    data = photographs("imagefolder", folder, "val", side)
    crops = TrainingCrops(data, torch.zeros(3, side, side), input_px, seed=0)
    keys = [(1, index) for index in range(min(images, len(crops)))]
    crops[keys[0]]
    started = time.perf_counter()
    for key in keys:
        crops[key]
    return round(len(keys) / (time.perf_counter() - started), 1)


def table(result: dict[str, Any]) -> str:
    """Format the result as text."""
    lines = [f"{'':14}{'images/s':>10}{'of matmul':>11}{'ours is':>9}"]
    for precision in ("fp32", "bf16"):
        found = result[precision]
        for way in ("ours", "reference", "stock"):
            one = found[way]
            lines.append(
                f"{precision} {way:9}{one['images_per_second']:10.1f}"
                f"{100 * one['share_of_matmul']:9.0f} %{one['ours_is_times_faster']:8.2f}×"
            )
        lines.append(f"{precision} matrix product: {found['matmul_gflops']} GFLOP/s")
    for name, rate in result["loading"].items():
        lines.append(f"loading {name}: {rate:.0f} images/s in one process")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and save as JSON if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="zfnet")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--loading", nargs="*", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if min(options.batch, options.rounds) < 1:
            raise DeconvError("--batch and --rounds must be at least 1")
        net = deconv.build(options.model, CLASSES, seed=0)
        pairs = [argument.partition("=") for argument in options.loading]
        # First, so that a wrong folder does not waste the measurement.
        rates = {n: loading(folder, net.input_px) for n, _, folder in pairs}
        result = measure(options.model, options.batch, options.rounds, device)
        result["loading"] = rates
    except DeconvError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    result |= {
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }
    print(table(result))
    if options.json:
        options.json.write_text(json_text(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
