"""Slow second ways of computing, and the small networks that tests share."""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict

import torch
from torch import nn

import deconv
from deconv.networks.chain import ChainNet
from deconv.normalisation import ContrastNorm


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    """Reproducible float64 normal numbers, whatever torch's own generator does."""
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def relative_error(actual, expected):
    """Largest difference over the largest expected magnitude (1 where all is expected to be 0)."""
    assert actual.shape == expected.shape
    return ((actual - expected).abs().max() / (expected.abs().max() or 1.0)).item()


def window_starts(size, kernel, stride, padding, dilation, ceil_mode):
    """Where the windows of a max-pool begin along one axis, found by trying one after another."""
    starts, end = [], size + padding
    while True:
        start = len(starts) * stride - padding
        whole = start + dilation * (kernel - 1) < end
        uncovered = not starts or starts[-1] + dilation * (kernel - 1) < end - 1
        if not (whole or (ceil_mode and uncovered and start < size)):
            return starts
        starts.append(start)


def loop_max_pool(x, kernel, stride, padding=0, dilation=1, ceil_mode=False):
    """Max-pooling with switches, value by value. Sizes are ints or (rows, columns)."""
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding, dilation)]
    height, width = x.shape[2:]
    tops, lefts = (
        window_starts(x.shape[2 + a], *(pair[a] for pair in pairs), ceil_mode) for a in (0, 1)
    )
    (rows, columns), _, _, (down, right) = pairs
    values = torch.full((*x.shape[:2], len(tops), len(lefts)), -torch.inf, dtype=x.dtype)
    switches = torch.full(values.shape, -1, dtype=torch.int64)
    for n, c, i, j in itertools.product(*map(range, values.shape)):
        for r, s in itertools.product(range(rows), range(columns)):
            y, x_ = tops[i] + r * down, lefts[j] + s * right
            inside = 0 <= y < height and 0 <= x_ < width
            if inside and x[n, c, y, x_] > values[n, c, i, j]:
                values[n, c, i, j] = x[n, c, y, x_]
                switches[n, c, i, j] = y * width + x_
    return values, switches


def loop_unpool(signal, switches, size, collisions):
    """Unpooling, one list of arriving values for each position below."""
    below = torch.zeros(*signal.shape[:2], *size, dtype=signal.dtype)
    merge = {
        "sum": sum,
        "max": max,
        "mean": lambda values: sum(values) / len(values),
        "overwrite": lambda values: values[-1],
    }[collisions]
    for n, c in itertools.product(*map(range, signal.shape[:2])):
        arriving = {}
        for i, j in itertools.product(*map(range, signal.shape[2:])):
            arriving.setdefault(switches[n, c, i, j].item(), []).append(signal[n, c, i, j].item())
        for at, values in arriving.items():
            below[n, c, at // size[1], at % size[1]] = merge(values)
    return below


def loop_contrast_norm(x, size, alpha, beta, k):
    """Krizhevsky's formula map by map; an even window reaches one map further down."""
    out = torch.empty_like(x)
    for c in range(x.shape[1]):
        scale = torch.full_like(x[:, 0], k)
        for other in range(c - size // 2, c - size // 2 + size):
            if 0 <= other < x.shape[1]:
                scale = scale + alpha * x[:, other] ** 2
        out[:, c] = x[:, c] / scale**beta
    return out


def randomise(net, seed=0):
    """Random weights with non-zero biases, scaled so that signals neither die nor explode."""
    source = generator(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=source)
    return net.double().eval()


def small_stages(norm=False, fully_connected=True):
    """A chain with everything in it: overlap, ceil_mode, padding, stride, groups, dilation, norm.

    Takes 3×19×22 images.
    """
    stages = OrderedDict(
        conv1=nn.Conv2d(3, 4, 3, stride=2, padding=1),  # 10×11
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, 2, ceil_mode=True),  # 5×5
        **({"norm1": ContrastNorm(3, alpha=0.3)} if norm else {}),
        conv2=nn.Conv2d(4, 6, 3, padding=1, groups=2),
        relu2=nn.ReLU(),
        **({"norm2": ContrastNorm(3, alpha=0.3)} if norm else {}),
        pool2=nn.MaxPool2d(3, 1, padding=1),
        conv3=nn.Conv2d(6, 4, 2, padding=1, dilation=2),  # 5×5
        relu3=nn.ReLU(),
        pool3=nn.MaxPool2d(2),  # 2×2
    )
    if fully_connected:
        stages.update(
            grid=nn.AdaptiveAvgPool2d((3, 2)),
            flatten=nn.Flatten(),
            fc4=nn.Linear(24, 7),
            relu4=nn.ReLU(),
            drop4=nn.Dropout(0.5),
            fc5=nn.Linear(7, 5),
        )
    return stages


SMALL_SIZE = (19, 22)


def small_net(norm=False, fully_connected=True, seed=0):
    """`small_stages` as a ChainNet in float64 with random weights."""
    net = ChainNet("small", small_stages(norm, fully_connected), {}, SMALL_SIZE[0])
    return randomise(net, seed)


def chain(**stages):
    """These stages as a ChainNet in float64."""
    return ChainNet("chain", OrderedDict(stages), {}, 1).double()


def meta(name, **arguments):
    """A network with shapes and without numbers."""
    with torch.device("meta"):
        return deconv.build(name, **arguments)


def live_units(activation, count, seed=0):
    """`count` rows (image, map, y, x) of units that are not 0, of N×C×h×w or N×C."""
    at = activation.nonzero()
    at = at[torch.randperm(len(at), generator=generator(seed))[:count]]
    return torch.cat([at, at.new_zeros(len(at), 4 - at.shape[1])], dim=1)


def linear_down(stage, signal, shape):
    """The transpose of a convolution, linear layer or average, by PyTorch's own autograd."""
    below = torch.zeros(len(signal), *shape, dtype=signal.dtype, requires_grad=True)
    with torch.enable_grad():
        above = stage(below)
    (gradient,) = torch.autograd.grad(above, below, signal)
    return gradient


def walk_down(net, record, point, units, collisions="sum", seed="activation"):
    """The deconvnet one unit at a time, from its definition: unpool, rectify, filter."""
    pixels = []
    for row, *unit in units.tolist():
        values = record.activations[point][row : row + 1].detach()
        at = (0, *unit)[: values.dim()]
        signal = torch.zeros_like(values)
        signal[at] = values[at] if seed == "activation" else 1.0
        for name, stage in reversed(net.stages_to(point)):
            if isinstance(stage, nn.ReLU):
                signal = torch.where(signal > 0, signal, 0.0)
            elif isinstance(stage, nn.MaxPool2d):
                switches, size = record.switches[name][row : row + 1], record.shapes[name][1:]
                signal = loop_unpool(signal, switches, size, collisions)
            elif not isinstance(stage, ContrastNorm | nn.LocalResponseNorm | nn.Dropout):
                signal = linear_down(stage, signal, record.shapes[name])
        pixels.append(signal[0])
    return torch.stack(pixels)


def state(module):
    """What a module holds besides its weights, and its weights."""
    attributes = [copy.deepcopy(vars(m)) for m in module.modules()]
    for kept in attributes:
        kept.pop("_parameters"), kept.pop("_modules"), kept.pop("_buffers")
    return attributes, {key: value.clone() for key, value in module.state_dict().items()}


def assert_unchanged(module, before):
    attributes, weights = state(module)
    assert attributes == before[0]
    assert weights.keys() == before[1].keys()
    assert all(torch.equal(weights[key], before[1][key]) for key in weights)
    assert all(p.grad is None for p in module.parameters())


def positions_reached(net, point, axis, size):
    """pixel × unit, bool: which rows (axis 0) or columns (1) of size×size a unit looks at, found
    by NaNs: a row of them makes NaN of exactly the units that depend on it."""
    images = torch.zeros(size, 3, size, size, dtype=torch.float64)
    for i in range(size):
        images[i].select(1 + axis, i).fill_(float("nan"))
    values = net.record(images, [point], logits=False, finite=False).activations[point]
    reached = values.isnan().any(1)
    return reached.any(2 - axis) if reached.dim() == 3 else reached[:, None]
