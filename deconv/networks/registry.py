"""`build`: make a network by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.networks.from_torchvision import CHAINS
from deconv.networks.mlp import INPUT_PX, mlp
from deconv.networks.preprocessing import Preprocessing, three
from deconv.networks.sources import SOURCES, foreign, is_foreign, trained_sets
from deconv.networks.weights import Network, Weights, filled, read_weights, unknown_weights
from deconv.networks.zfnet import ARCHITECTURES, zfnet
from deconv.whole_number import whole_number

MODELS = (*ARCHITECTURES, "mlp", *(f"torchvision/{name}" for name in CHAINS))
"""Names of this library's chains; `build` also takes those of `deconv.networks.sources`."""


def input_side(name: str) -> int:
    """Return the default side in pixels of a network's input."""
    _family(name)
    if name == "mlp":
        return INPUT_PX
    return ARCHITECTURES[name].input_px if name in ARCHITECTURES else 224


def build(
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
    grey: bool = False,
    init: str | None = None,
    seed: int | None = None,
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Network:
    """Make a network that takes RGB pixels 0…255 minus a mean, in evaluation mode.

    Args:
        name: "zfnet" (Figure 3), "alexnet" (Krizhevsky et al. 2012), "zfnet_mini" (ours, for
            64–128 px), "mlp" (fully connected, see `deconv.networks.mlp`), or a third-party
            network such as "torchvision/vgg16", see `deconv.networks.sources.foreign`.
        num_classes: None for that of the weights or the network's default (1000).
        input_px: side of the square input; None for the network's default.
        remove, maps_345, fc_width: the changes of Table 3, see `deconv.networks.zfnet.change`.
        dropout: of layers 6 and 7; None for 0.5, and 0 for zfnet_mini.
        first_layer: "coarse" for one like AlexNet's, in zfnet and zfnet_mini (Figure 6 b, d).
        norm: "response" (the default), "local" or "none", see `deconv.networks.zfnet.NORMS`.
        grey: of mlp, whether images are converted to greyscale first.
        init: of this library's networks, see `deconv.networks.zfnet.init_weights`; None for
            "paper", "gain" for zfnet_mini and "he" for mlp.
        seed: of random weights; None for torch's global generator.
        weights: a pretrained set of the source, such as "DEFAULT"; a .pth, .pt or .safetensors file
            with the module's own names; or a snapshot of this network, whose recipe supplies the
            arguments left out here. `RenamedWeightsWarning` reports a key or prefix that was
            removed. None for random weights.
        mean: three numbers in 0…255 for `preprocess`; None for those of the weights or the source.
        std: three numbers in 0…255 that the network divides by, (1, 1, 1) for no division; None for
            the source's.

    Raises:
        DeconvError: for an unknown name, an option that the network does not have, and weights
            that are missing or do not fit.
    """
    family = _family(name)
    if num_classes is not None:
        num_classes = whole_number(num_classes, "num_classes", least=1)
    seed = None if seed is None else whole_number(seed, "seed")
    options = {
        "input_px": input_px,
        "remove": tuple(remove),
        "maps_345": maps_345,
        "fc_width": fc_width,
        "dropout": dropout,
        "first_layer": first_layer,
        "norm": norm,
        "grey": grey,
        "init": init,
        "mean": None if mean is None else three(mean, "mean"),
        "std": None if std is None else three(std, "std"),
    }
    defaults = inspect.signature(build).parameters
    options = {key: value for key, value in options.items() if value != defaults[key].default}
    accepted = inspect.signature(family).parameters
    if wrong := ", ".join(key for key in options if key not in accepted):
        raise DeconvError(f"{name} has no {wrong}: leave out {wrong}")
    file = None
    if weights is not None:
        weights, sets = str(weights), trained_sets(name) if is_foreign(name) else []
        if weights in sets:
            options["weights"] = weights
        elif Path(weights).is_file():
            file = read_weights(weights)
            options = _recipe_options(file, name, accepted) | options
        else:
            raise unknown_weights(name, weights, sets)

    def make(classes: int | None) -> tuple[Network, nn.Module]:
        made = family(name, classes, **options)
        return made if isinstance(made, tuple) else (made, made)

    with _seeded(seed):
        net = make(num_classes)[0] if file is None else filled(make, num_classes, file)
    if num_classes not in (None, net.classes):
        whose = name if weights is None else f"{name} with weights={weights}"
        raise DeconvError(
            f"{whose} has {net.classes} classes, not num_classes={num_classes}: leave it out"
        )
    if file is not None:
        net.class_names = file.classes
        if file.mean is not None and mean is None:
            net.preprocessing = Preprocessing(file.mean, net.input_px, file.mean.shape[-1])
    return net.eval()


def _family(name: str) -> Callable[..., Any]:
    """Return the function (name, num_classes, **options) that makes a network of this name."""
    if is_foreign(name):
        return foreign
    if name == "mlp":
        return mlp
    if name in ARCHITECTURES:
        return zfnet
    raise unknown("model", name, (*MODELS, *(f"{prefix}…" for prefix in SOURCES)))


def _recipe_options(file: Weights, name: str, accepted: Collection[str]) -> dict[str, Any]:
    """Read options of `build` from a snapshot's recipe."""
    recipe = file.recipe
    if recipe and recipe["name"] != name and not name.startswith("file:"):
        raise DeconvError(f"{file.path} is of {recipe['name']}, not of {name}: build that")
    keys = [key for key in accepted if key not in ("name", "num_classes", "weights")]
    return {key: recipe[key] for key in keys if recipe.get(key) is not None}


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Seed torch's global generator and restore it afterwards; None does nothing."""
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield
