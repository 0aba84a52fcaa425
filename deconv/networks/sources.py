"""Third-party networks by name: torchvision, timm, pytorchcv, or a function in a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.networks.chain import ChainNet, divided
from deconv.networks.files import made_by_file
from deconv.networks.from_torchvision import CHAINS, modules_of, name_stages
from deconv.networks.preprocessing import Preprocessing, colour
from deconv.networks.wrapped import WrappedNet
from deconv.rules import Call


@dataclass(frozen=True)
class Found:
    """A module as its package made it, with the package's preprocessing and class names.

    mean, std: in 0…255; None if not stated. stored_px: what the shorter side is resized to.
    """

    module: nn.Module
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_px: int = 224
    stored_px: int = 256
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Source:
    """A package of networks.

    sets: network name -> names of its sets of pretrained weights; raises for an unknown network.
    make: (name, number of classes or None for the network's own, set of weights or None) -> Found.
    """

    sets: Callable[[str], list[str]]
    make: Callable[[str, int | None, str | None], Found]


def is_foreign(name: str) -> bool:
    """Tell whether a name is of a third-party network."""
    return name.startswith(tuple(SOURCES))


def trained_sets(name: str) -> list[str]:
    """List the sets of pretrained weights of a third-party network, downloaded on first use."""
    source, short = _source(name)
    return source.sets(short)


def foreign(
    name: str,
    num_classes: int | None = None,
    *,
    weights: str | None = None,
    input_px: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> tuple[ChainNet | WrappedNet, nn.Module]:
    """Make a third-party network that takes pixels minus a mean and divides them itself.

    Args:
        name: "torchvision/resnet50"; "timm/convnext_tiny" and "pytorchcv/zfnet", if those packages
            are installed; or "file:path.py:factory", where factory() makes the module.
        num_classes: None for the module's own.
        weights: one of `trained_sets`; None for random weights, or those of factory().
        input_px: side of the square input; None for the module's own.
        mean, std: three numbers in 0…255; None for the package's.

    Returns:
        (network, module in it). torchvision's AlexNet and VGGs and the chains among pytorchcv's
        networks, such as its ZFNet, become chains with this library's names (conv5, fc7).

    Raises:
        DeconvError: for an unknown name, a missing package, an unknown mean or std, and weights
            that cannot be downloaded.
    """
    source, short = _source(name)
    source.sets(short)  # refuses an unknown name
    try:
        found = source.make(short, num_classes, weights)
    except (OSError, RuntimeError) as error:  # no network; a file that is not what it should be
        if weights is None:
            raise
        raise DeconvError(
            f"the weights {weights} of {name} cannot be downloaded ({' '.join(str(error).split())})"
            ": try again with a network, or fetch them elsewhere and name the file, weights=<file>"
        ) from error
    mean, std = mean or found.mean, std or found.std
    if mean is None or std is None:
        missing = " and ".join(
            f"no {key}" for key, one in (("mean", mean), ("std", std)) if one is None
        )
        raise DeconvError(
            f"how {name} wants its images is not stated, {missing}: give mean and std, three "
            "numbers each in 0…255, for example mean=[123.7,116.3,103.5] and std=[58.4,57.1,57.4] "
            "for images standardised as ImageNet's usually are, std=[1,1,1] for images that are "
            "not divided"
        )
    side = input_px or found.input_px
    net: ChainNet | WrappedNet | None = _chain(name, found.module.eval(), side, std)
    if net is None:
        divide_by = None if set(std) == {1.0} else std
        net = WrappedNet(found.module, name, side, None, divide_by)
    # Without the weights: a snapshot holds them itself.
    net.recipe = {"name": name, "num_classes": net.classes, "input_px": side}
    net.recipe |= {"mean": list(mean), "std": list(std)}
    stored = round(side * found.stored_px / found.input_px)
    net.preprocessing = Preprocessing(colour(mean), side, stored)
    net.class_names = found.classes
    return net, found.module


def _chain(name: str, module: nn.Module, side: int, std: Sequence[float]) -> ChainNet | None:
    """Make a chain with this library's names of a module; None if it is no known chain."""
    package, _, short = name.partition("/")
    if package == "torchvision" and short in CHAINS:
        stages = name_stages(modules_of(module))
    elif package == "pytorchcv":
        try:
            stages = name_stages(_stages_in_order(WrappedNet(module, name, side)))
        except DeconvError:
            return None
        first, last = (stages[key] for key in (next(iter(stages)), next(reversed(stages))))
        if not isinstance(first, nn.Conv2d) or not isinstance(last, nn.Linear):
            return None
    else:
        return None
    return ChainNet(name, divided(stages, std), {}, side).eval()


def _stages_in_order(net: WrappedNet) -> list[nn.Module]:
    """List the modules of a chain in running order, each function replaced by a module.

    Raises:
        DeconvError: for a network that is no chain.
    """
    modules = []
    for i, ran in enumerate(net.calls.ran):
        module = ran.module
        if module is None and ran.call is not None and ran.call.name in _FUNCTIONS:
            module = _FUNCTIONS[ran.call.name](ran.call)
        if module is None or ran.inputs != (i - 1,):
            raise DeconvError(f"{net.name} is no chain of modules (at {ran.name}, {ran.what})")
        modules.append(module)
    return modules


_FUNCTIONS: dict[str, Callable[[Call], nn.Module]] = {
    **dict.fromkeys(("view", "flatten", "reshape"), lambda call: nn.Flatten()),
    "local_response_norm": lambda call: nn.LocalResponseNorm(*call.args[1:], **call.kwargs),
}
"""A function that pytorchcv's chains call -> the equivalent module."""


def _source(name: str) -> tuple[Source, str]:
    for prefix, source in SOURCES.items():
        if name.startswith(prefix):
            return source, name.removeprefix(prefix)
    raise unknown("source of networks", name, SOURCES)


def _pixels(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(255.0 * v for v in values)


def _torchvision_sets(name: str) -> list[str]:
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise unknown("torchvision classifier", name, names)
    return ["DEFAULT", *(one.name for one in torchvision.models.get_model_weights(name))]


def _torchvision(name: str, num_classes: int | None, weights: str | None) -> Found:
    import torchvision

    sets = torchvision.models.get_model_weights(name)
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3") and weights is None:
        options = {"init_weights": False, "aux_logits": False}  # auxiliary outputs, in training
    if weights is None and num_classes is not None:
        options["num_classes"] = num_classes
    chosen = None if weights is None else sets[weights]
    module = torchvision.models.get_model(name, weights=chosen, **options)
    preset = (chosen or sets.DEFAULT).transforms()
    classes = None if chosen is None else tuple(chosen.meta["categories"])
    mean, std = _pixels(preset.mean), _pixels(preset.std)
    return Found(module, mean, std, preset.crop_size[0], preset.resize_size[0], classes)


def _timm_sets(name: str) -> list[str]:
    timm = _package("timm", name)
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    base, _, tag = name.partition(".")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{base}.*")]
    return ["DEFAULT", *([] if tag else tags)] if tags else []


def _timm(name: str, num_classes: int | None, weights: str | None) -> Found:
    full = name if weights in (None, "DEFAULT") else f"{name}.{weights}"
    options = {} if weights or num_classes is None else {"num_classes": num_classes}
    module = _package("timm", name).create_model(full, pretrained=weights is not None, **options)
    config = module.pretrained_cfg
    side = config["input_size"][1]
    stored = round(side / config.get("crop_pct", 0.875))
    return Found(module, _pixels(config["mean"]), _pixels(config["std"]), side, stored)


def _pytorchcv_sets(name: str) -> list[str]:
    provider = _package("pytorchcv.model_provider", name)
    if name not in provider._models:
        raise unknown("pytorchcv model", name, provider._models)
    return ["DEFAULT"]


def _pytorchcv(name: str, num_classes: int | None, weights: str | None) -> Found:
    options = {} if weights or num_classes is None else {"num_classes": num_classes}
    provider = _package("pytorchcv.model_provider", name)
    module = provider.get_model(name, pretrained=weights is not None, **options)
    # The package's ImageNet models share one preprocessing.
    mean, std = _pixels((0.485, 0.456, 0.406)), _pixels((0.229, 0.224, 0.225))
    return Found(module, mean, std, module.in_size[0], round(module.in_size[0] / 0.875))


def _package(module: str, name: str) -> Any:
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DeconvError(
            f"{package}/{name} needs the package {package}: pip install {package}"
        ) from error


def _file(where: str, num_classes: int | None, weights: str | None) -> Found:
    return Found(made_by_file(where, num_classes))


SOURCES = {
    "torchvision/": Source(_torchvision_sets, _torchvision),
    "timm/": Source(_timm_sets, _timm),
    "pytorchcv/": Source(_pytorchcv_sets, _pytorchcv),
    "file:": Source(lambda where: [], _file),
}
"""Prefix of a third-party network's name -> its source."""
