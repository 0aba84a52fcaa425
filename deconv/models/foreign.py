"""Networks of others by name: torchvision, timm, pytorchcv, or a function in a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torchvision
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.models.chain import ChainNet
from deconv.models.files import made_by_file
from deconv.models.from_torchvision import name_stages
from deconv.models.wrapped import WrappedNet

PREFIXES = ("torchvision/", "timm/", "pytorchcv/", "file:")
"""What the name of a foreign network begins with."""


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its images: (pixels − mean) / std, channel by channel.

    mean, std: three numbers each in 0…255. input_px: side of the square input. stored_px: what
    the shorter side is resized to before the centre is cut out.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_px: int
    stored_px: int


@dataclass(frozen=True)
class Foreign:
    """A module as its package made it, with what the package says of its images and classes."""

    module: nn.Module
    preprocessing: Preprocessing | None
    classes: tuple[str, ...] | None


def is_foreign(name: str) -> bool:
    """Whether a model's name says that it comes from elsewhere."""
    return name.startswith(PREFIXES)


def load(name: str, num_classes: int = 1000, weights: str | None = None) -> Foreign:
    """The module that a name stands for.

    name: "torchvision/resnet50"; "timm/convnext_tiny" and "pytorchcv/zfnet", if those packages
        are installed; or "file:path.py:factory", where factory() makes the module.
    weights: which trained ones; for torchvision a name such as "IMAGENET1K_V2" or "DEFAULT", for
        timm and pytorchcv "DEFAULT"; None for random ones. They are downloaded on first use.
        For "file:" the path of a file with a state_dict, or None for what factory() gives.
    Raises DeconvError for a name, weights or package that is not there.
    """
    for prefix, make in _SOURCES.items():
        if name.startswith(prefix):
            return make(name.removeprefix(prefix), num_classes, weights)
    raise unknown("source of networks", name, PREFIXES)


def foreign(
    name: str,
    num_classes: int = 1000,
    weights: str | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_px: int | None = None,
) -> tuple[WrappedNet | ChainNet, Preprocessing, tuple[str, ...] | None]:
    """A foreign network that takes pixels minus the mean, its preprocessing, and its classes.

    Of pytorchcv those that are chains, such as its ZFNet, come as chains under this library's
    names (conv5, fc7), all else as a graph under the names of its modules.
    mean, std: three numbers in 0…255 each, where the package does not state them, or other ones.
        Where it does not, both are wanted: std=(1, 1, 1) says that nothing is divided.
    Raises DeconvError, saying how to state it, where the preprocessing is not known.
    """
    found = load(name, num_classes, weights)
    stated = found.preprocessing
    if stated is None and (mean is None or std is None):
        missing = " and ".join(
            f"no model.{key}" for key, one in (("mean", mean), ("std", std)) if one is None
        )
        raise DeconvError(
            f"how {name} wants its images is not stated, {missing}: give model.mean and "
            "model.std, three numbers each in 0…255, for example model.mean=[123.7,116.3,103.5] "
            "model.std=[58.4,57.1,57.4] for images standardised as ImageNet's usually are, "
            "model.std=[1,1,1] for images that are not divided"
        )
    mean = _three(mean if mean is not None else stated.mean, "mean")
    std = _three(std if std is not None else stated.std, "std")
    side = input_px or (stated.input_px if stated else 224)
    scale = stated.stored_px / stated.input_px if stated else 256 / 224
    wanted = Preprocessing(mean, std, side, round(side * scale))
    net = WrappedNet(found.module.eval(), name, side, None, None if set(std) == {1.0} else std)
    if name.startswith("pytorchcv/"):
        net = _as_chain(net) or net
    # The weights are not named: a snapshot holds them, and builds the network without.
    net.recipe = {"name": name, "num_classes": net.classes, "input_px": side}
    net.recipe |= {"mean": list(mean), "std": list(std)}
    return net, wanted, found.classes


def _as_chain(net: WrappedNet) -> ChainNet | None:
    """The same network under this library's names, conv1 … fc8, if its stages form such a chain.

    What images are divided by goes into the filters of the first layer. It shares the others.
    """
    try:
        stages = name_stages(_modules(net))
    except DeconvError:
        return None
    first, last = (stages[name] for name in (next(iter(stages)), next(reversed(stages))))
    if not isinstance(first, nn.Conv2d) or not isinstance(last, nn.Linear):
        return None
    if net.divide_by is not None:
        with torch.no_grad():
            first.weight /= net.divide_by
    return ChainNet(net.name, stages, {}, net.input_px).eval()


def _modules(net: WrappedNet) -> list[nn.Module]:
    """The modules of a network that is a chain of them. Raises DeconvError for any other."""
    for i, ran in enumerate(net.calls.ran):
        if ran.module is None or ran.inputs != (i - 1,):
            raise DeconvError(f"{net.name} is no chain of modules (at {ran.name}, {ran.what})")
    return [ran.module for ran in net.calls.ran]


def _three(values: Sequence[float], what: str) -> tuple[float, float, float]:
    numbers = tuple(float(v) for v in values)
    if len(numbers) != 3 or (what == "std" and min(numbers) <= 0):
        raise DeconvError(f"{what} takes three {'positive ' * (what == 'std')}numbers: {values}")
    if what == "mean" and max(numbers) <= 1.0 and max(numbers) > 0:
        raise DeconvError(f"mean={values} looks like 0…1: give it in 0…255")
    return numbers


def _pixels(values: Sequence[float]) -> tuple[float, float, float]:
    return tuple(255.0 * v for v in values)


def _torchvision(name: str, num_classes: int, weights: str | None) -> Foreign:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise unknown("torchvision classifier", name, names)
    sets = torchvision.models.get_model_weights(name)
    valid = [w.name for w in sets]
    if weights is not None and weights not in (*valid, "DEFAULT"):
        raise unknown(f"weights of torchvision/{name}", weights, valid)
    builder = torchvision.models.get_model_builder(name)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if weights is None:
        options["num_classes"] = num_classes
    elif name == "googlenet":
        options = {}
    chosen = None if weights is None else sets[weights]
    module = builder(weights=chosen, **options)
    preset = (chosen or sets.DEFAULT).transforms()
    stated = Preprocessing(
        _pixels(preset.mean), _pixels(preset.std), preset.crop_size[0], preset.resize_size[0]
    )
    classes = None if chosen is None else tuple(chosen.meta["categories"])
    return Foreign(module, stated, classes)


def _timm(name: str, num_classes: int, weights: str | None) -> Foreign:
    timm = _package("timm", name)
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    options = {} if weights else {"num_classes": num_classes}
    module = timm.create_model(name, pretrained=bool(weights), **options)
    config = module.pretrained_cfg
    side = config["input_size"][1]
    stored = round(side / config.get("crop_pct", 0.875))
    stated = Preprocessing(_pixels(config["mean"]), _pixels(config["std"]), side, stored)
    return Foreign(module, stated, None)


def _pytorchcv(name: str, num_classes: int, weights: str | None) -> Foreign:
    provider = _package("pytorchcv.model_provider", name)
    try:
        options = {} if weights else {"num_classes": num_classes}
        module = provider.get_model(name, pretrained=bool(weights), **options)
    except ValueError as error:
        raise unknown("pytorchcv model", name, provider._models) from error
    # The package's ImageNet models share one way to prepare images.
    side = module.in_size[0]
    stated = Preprocessing(
        _pixels((0.485, 0.456, 0.406)), _pixels((0.229, 0.224, 0.225)), side, round(side / 0.875)
    )
    return Foreign(module, stated, None)


def _package(module: str, name: str):
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DeconvError(
            f"{package}/{name} needs the package {package}: pip install {package}"
        ) from error


def _file(where: str, num_classes: int, weights: str | None) -> Foreign:
    return Foreign(made_by_file(where, num_classes, weights), None, None)


_SOURCES: dict[str, Callable[[str, int, str | None], Foreign]] = {
    "torchvision/": _torchvision,
    "timm/": _timm,
    "pytorchcv/": _pytorchcv,
    "file:": _file,
}
