"""ZFNet (Figure 3), AlexNet and a small ZFNet as tables of layers, and the changes of Table 3."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.networks.chain import ChainNet, own_chain, stage_shapes
from deconv.networks.dropout import Dropout
from deconv.normalisation import ContrastNorm, LocalContrastNorm


@dataclass(frozen=True)
class Conv:
    """One convolutional layer; kernel, stride and padding in positions of the map below."""

    maps: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    pool: bool = False
    norm: bool = False


@dataclass(frozen=True)
class Architecture:
    """A network of the ZFNet family.

    convs, fcs: by layer number; the softmax layer is added on top.
    norm_first: contrast normalisation before the pool (AlexNet) rather than after it (ZFNet).
    contrast: the contrast normalisation of layers with norm=True, one of NORMS.
    pool_ceil: whether a last, incomplete 3×3 stride-2 window counts.
    init: the default initialisation, see `init_weights`.
    dropout: probability of dropping a unit of layers 6 and 7 in training (§3: 0.5).
    fc_grid: side of the grid that the last maps are averaged to before the first fully connected
        layer, for networks that take images of several sizes; None for no such step.
    coarse: by number, the layers that first_layer="coarse" replaces, see `change`; empty for no
        such variant.
    """

    input_px: int
    convs: dict[int, Conv]
    fcs: dict[int, int]
    norm_first: bool = False
    contrast: str = "response"
    pool_ceil: bool = True
    dropout: float = 0.5
    init: str = "paper"
    fc_grid: int | None = None
    coarse: dict[int, Conv] = field(default_factory=dict)


# Figure 3 and §3. The paper states no paddings: these, with ceil_mode, give the figure's
# 110/55/26/13/13/13/6. The coarse variant has AlexNet's layer 1 and, as AlexNet, stride 1 in
# layer 2: 55/27/27/13/13/13/6 with AlexNet's paddings and the pools of this table.
ZFNET = Architecture(
    input_px=224,
    convs={
        1: Conv(96, kernel=7, stride=2, padding=1, pool=True, norm=True),
        2: Conv(256, kernel=5, stride=2, pool=True, norm=True),
        3: Conv(384, kernel=3, padding=1),
        4: Conv(384, kernel=3, padding=1),
        5: Conv(256, kernel=3, padding=1, pool=True),
    },
    fcs={6: 4096, 7: 4096},
    coarse={
        1: Conv(96, kernel=11, stride=4, padding=2, pool=True, norm=True),
        2: Conv(256, kernel=5, padding=2, pool=True, norm=True),
    },
)

# Krizhevsky et al. 2012, §3.5: groups represent its two GPUs; norm before pool.
ALEXNET = Architecture(
    input_px=224,
    convs={
        1: Conv(96, kernel=11, stride=4, padding=2, pool=True, norm=True),
        2: Conv(256, kernel=5, padding=2, groups=2, pool=True, norm=True),
        3: Conv(384, kernel=3, padding=1),
        4: Conv(384, kernel=3, padding=1, groups=2),
        5: Conv(256, kernel=3, padding=1, groups=2, pool=True),
    },
    fcs={6: 4096, 7: 4096},
    norm_first=True,
    pool_ceil=False,
)

# Differs from paper: ours, for images of 64 to 128 px on a CPU. Kernels and strides are ZFNet's at
# half the resolution: the maps are 55/27/27/13/13/13/6 at 112 px, and a unit of layer 5 sees 65 %
# of the image's side (62 % in ZFNet). The coarse layer 1 relates to the own one as 11×11 stride 4
# to 7×7 stride 2: 5 · 11/7 = 7.9 px, stride 2 · 4/2. Where the large networks replace stride 2 by 1
# in layer 2, it omits that layer's pool: 27/13/13/13/13/13/6.
ZFNET_MINI = Architecture(
    input_px=112,
    convs={
        1: Conv(48, kernel=5, stride=2, padding=1, pool=True, norm=True),
        2: Conv(96, kernel=3, padding=1, pool=True, norm=True),
        3: Conv(128, kernel=3, padding=1),
        4: Conv(128, kernel=3, padding=1),
        5: Conv(96, kernel=3, padding=1, pool=True),
    },
    fcs={6: 512, 7: 512},
    init="gain",
    dropout=0.0,  # with half of a narrow layer 6 dropped, training does not start
    fc_grid=6,
    coarse={
        1: Conv(48, kernel=8, stride=4, padding=1, pool=True, norm=True),
        2: Conv(96, kernel=3, padding=1, norm=True),
    },
)

ARCHITECTURES = {"zfnet": ZFNET, "alexnet": ALEXNET, "zfnet_mini": ZFNET_MINI}

NORMS: dict[str, Callable[[], nn.Module] | None] = {
    "response": ContrastNorm,
    "local": LocalContrastNorm,
    "none": None,
}
"""Contrast normalisations. §3 cites Krizhevsky et al. 2012 and Jarrett et al. 2009 and states no
form. "response": Krizhevsky's across maps, the default; "local": Jarrett's subtractive and divisive
one over maps and positions; "none": no such layer. See `deconv.normalisation`. On the way down all
are skipped (ECCV 2014, §2.1), "local" with its subtraction."""

FIRST_LAYERS = ("coarse",)
"""Alternatives to a network's own first layer."""


def change(
    base: Architecture,
    remove: Collection[int] = (),
    maps_345: tuple[int, int, int] | None = None,
    fc_width: int | None = None,
    input_px: int | None = None,
    dropout: float | None = None,
    first_layer: str | None = None,
    norm: str | None = None,
) -> Architecture:
    """Apply the changes of Table 3 (§5.1) and of Figure 6 to an architecture.

    Args:
        remove: numbers of layers to remove, out of 3, 4, 6, 7 (those without a pool).
        maps_345: numbers of maps of layers 3, 4 and 5.
        fc_width: units of layers 6 and 7.
        input_px: side of the images in pixels.
        dropout: probability in [0, 1).
        first_layer: "coarse" for a layer 1 like AlexNet's, with 11/7 of the network's own kernel
            and twice its stride (§4.1, Figure 6 b, d). Layer 2 then halves once less, so that the
            maps of layers 3 to 5 keep their size.
        norm: one of NORMS.

    Raises:
        DeconvError: for a value out of range.
    """
    removable = {n for n, conv in base.convs.items() if not conv.pool} | set(base.fcs)
    if wrong := set(remove) - removable:
        raise unknown("layer to remove", min(wrong), map(str, sorted(removable)))
    if maps_345 is not None and len(maps_345) != 3:
        raise DeconvError(f"maps_345 takes three numbers, for layers 3, 4 and 5; got {maps_345}")
    if any(n is not None and n < 1 for n in (*(maps_345 or ()), fc_width, input_px)):
        raise DeconvError(
            f"sizes must be positive: maps_345={maps_345}, fc_width={fc_width}, input_px={input_px}"
        )
    if dropout is not None and not 0 <= dropout < 1:
        raise DeconvError(f"dropout must be at least 0 and below 1, got {dropout}")
    if norm is not None and norm not in NORMS:
        raise unknown("contrast normalisation", norm, NORMS)
    if first_layer is not None and first_layer not in FIRST_LAYERS:
        raise unknown("first layer", first_layer, FIRST_LAYERS)
    if first_layer is not None and not base.coarse:
        raise DeconvError(
            "this network has no coarse variant (alexnet's first layer is coarse already): leave "
            "out first_layer"
        )
    convs = dict(base.convs) | (base.coarse if first_layer else {})
    for number, maps in zip((3, 4, 5), maps_345 or (), strict=False):
        convs[number] = replace(convs[number], maps=maps)
    return replace(
        base,
        convs={n: conv for n, conv in convs.items() if n not in remove},
        fcs={n: fc_width or width for n, width in base.fcs.items() if n not in remove},
        input_px=input_px or base.input_px,
        dropout=base.dropout if dropout is None else dropout,
        contrast=norm or base.contrast,
    )


def zfnet(
    name: str,
    num_classes: int | None = None,
    *,
    input_px: int | None = None,
    remove: Collection[int] = (),
    maps_345: Sequence[int] | None = None,
    fc_width: int | None = None,
    dropout: float | None = None,
    first_layer: str | None = None,
    norm: str | None = None,
    init: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ChainNet:
    """Build a network of the ZFNet family; for the other arguments see `change`.

    Args:
        name: one of ARCHITECTURES.
        num_classes: None for 1000.
        init: see `init_weights`; None for the architecture's own.
        mean: three numbers in 0…255 that are subtracted from images; None if unknown.
        std: three numbers that the network divides images by; None for no division, as in the
            paper.
    """
    if name not in ARCHITECTURES:
        raise unknown("network of the ZFNet family", name, ARCHITECTURES)
    changes: dict[str, Any] = {
        "input_px": input_px,
        "remove": tuple(remove),
        "maps_345": None if maps_345 is None else tuple(maps_345),
        "fc_width": fc_width,
        "dropout": dropout,
        "first_layer": first_layer,
        "norm": norm,
    }
    arch = change(ARCHITECTURES[name], **changes)
    recipe = {"name": name, "num_classes": num_classes or 1000, "init": init, **changes}
    with torch.random.fork_rng(devices=[]):  # PyTorch's default weights are overwritten below
        stages = _stages(arch, recipe["num_classes"])
    net = own_chain(stages, recipe, arch.input_px, mean, std)
    init_weights(net, init or arch.init)
    return net


def _stages(arch: Architecture, num_classes: int) -> OrderedDict[str, nn.Module]:
    """Build the stages of an architecture, with PyTorch's default weights."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for number, conv in arch.convs.items():
        stages[f"conv{number}"] = nn.Conv2d(
            channels, conv.maps, conv.kernel, conv.stride, conv.padding, groups=conv.groups
        )
        stages[f"relu{number}"] = nn.ReLU()
        pool = {f"pool{number}": nn.MaxPool2d(3, 2, ceil_mode=arch.pool_ceil)} if conv.pool else {}
        make = NORMS[arch.contrast] if conv.norm else None
        norm = {f"norm{number}": make()} if make else {}
        stages.update({**norm, **pool} if arch.norm_first else {**pool, **norm})
        channels = conv.maps
    side = _last_side(stages, arch.input_px)
    if arch.fc_grid is not None:
        stages["grid"] = nn.AdaptiveAvgPool2d(arch.fc_grid)
        side = arch.fc_grid
    stages["flatten"] = nn.Flatten()
    features = channels * side * side
    for number, width in arch.fcs.items():
        stages[f"fc{number}"] = nn.Linear(features, width)
        stages[f"relu{number}"] = nn.ReLU()
        stages[f"drop{number}"] = Dropout(arch.dropout, number)
        features = width
    stages["fc8"] = nn.Linear(features, num_classes)
    return stages


def _last_side(stages: OrderedDict[str, nn.Module], input_px: int) -> int:
    side = input_px
    for name, _, _, (_, side, _) in stage_shapes(stages.items(), (input_px, input_px)):
        if side < 1:
            raise DeconvError(f"input_px={input_px} is too small: nothing is left at {name}")
    return side


INITS = ("paper", "gain", "he", "he_pixels")
PIXEL_STD = 64.0
"""About the standard deviation of photographs minus their mean image, in pixel values."""


@torch.no_grad()
def init_weights(net: ChainNet, init: str, generator: torch.Generator | None = None) -> None:
    """Draw the weights of a network of the ZFNet family or of an mlp; biases are 0 (§3).

    "paper": N(0, 0.01²). §3 says only that weights are 10⁻²; a constant would keep all maps equal,
        so it is read as AlexNet's Gaussian.
    "gain": N(0, 0.01² · n / m) with ZFNet's fan-in n and the layer's own fan-in m, which gives each
        layer the gain it has in ZFNet. Differs from paper: with 0.01 the signal of a narrow network
        fades and its training does not start.
    "he": N(0, 2 / fan-in). Differs from paper: for inputs of unit variance, not ±128.
    "he_pixels": N(0, 2 / fan-in · PIXEL_STD^(−2/L)) for L layers: He's for inputs in about ±128,
        each layer taking an equal share of that scale. If the first layer took all of it, its
        weights would be so small that their gradients outweigh them. Differs from paper.
    """
    if init not in INITS:
        raise unknown("init", init, INITS)
    if init in ("gain", "he_pixels") and net.name == "mlp":
        raise DeconvError(f"init={init} is for convolutional networks: mlp has paper and he")
    for name in net.layers:
        weight, bias = (net.get_parameter(f"{name}.{kind}") for kind in ("weight", "bias"))
        fan_in = weight[0].numel()
        std = {
            "paper": 0.01,
            "gain": 0.01 * (_ZFNET_FAN_IN.get(name, fan_in) / fan_in) ** 0.5,
            "he": (2.0 / fan_in) ** 0.5,
            "he_pixels": (2.0 / fan_in) ** 0.5 * PIXEL_STD ** (-1 / len(net.layers)),
        }[init]
        weight.normal_(0.0, std, generator=generator)
        bias.zero_()


_ZFNET_FAN_IN = {
    "conv1": 3 * 7 * 7,
    "conv2": 96 * 5 * 5,
    "conv3": 256 * 3 * 3,
    "conv4": 384 * 3 * 3,
    "conv5": 384 * 3 * 3,
    "fc6": 256 * 6 * 6,
    "fc7": 4096,
    "fc8": 4096,
}
