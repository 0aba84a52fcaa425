"""The networks: `build` makes one by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch

from deconv.errors import DeconvError, unknown
from deconv.models.chain import ChainNet
from deconv.models.foreign import PREFIXES, Preprocessing, foreign, is_foreign
from deconv.models.from_torchvision import CHAINS, from_torchvision
from deconv.models.mlp import INPUT_PX, mlp
from deconv.models.network import Network
from deconv.models.wrapped import WrappedNet, wrap
from deconv.models.zfnet import ARCHITECTURES, assemble, change, init_weights
from deconv.whole_number import whole_number

__all__ = [
    "MODELS",
    "ChainNet",
    "Network",
    "Preprocessing",
    "WrappedNet",
    "build",
    "foreign",
    "input_side",
    "is_foreign",
    "wrap",
]

MODELS = (*ARCHITECTURES, "mlp", *(f"torchvision/{name}" for name in CHAINS))
"""The networks of this library; `build` also takes foreign names, see `deconv.models.foreign`."""


def input_side(name: str) -> int:
    """The side in pixels of the images that a network is made for, unless it is told another."""
    _check_name(name)
    if name == "mlp":
        return INPUT_PX
    return ARCHITECTURES[name].input_px if name in ARCHITECTURES else 224


def _check_name(name: str) -> None:
    if name not in MODELS and not is_foreign(name):
        raise unknown("model", name, (*MODELS, *(f"{prefix}…" for prefix in PREFIXES)))


def build(
    name: str,
    num_classes: int = 1000,
    *,
    input_px: int | None = None,
    remove: Collection[int] = (),
    maps_345: tuple[int, int, int] | None = None,
    fc_width: int | None = None,
    dropout: float | None = None,
    first_layer: str | None = None,
    norm: str | None = None,
    grey: bool = False,
    init: str | None = None,
    seed: int | None = None,
    weights: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Network:
    """Make a network, in evaluation mode.

    name: "zfnet" (Figure 3), "alexnet" (Krizhevsky et al. 2012), "zfnet_mini" (ours, 64–128 px),
        "mlp" (fully connected, see `deconv.models.mlp`: input_px, fc_width, grey and init alone),
        or "torchvision/alexnet", "torchvision/vgg16", … as chains under this library's names; or
        any foreign network, see `deconv.models.foreign.load`, as a `WrappedNet` (pytorchcv's chains
        as a `ChainNet`) that takes pixels minus a mean.
    input_px: side of the square input; default 224, and 112 for zfnet_mini.
    remove, maps_345, fc_width: the rows of Table 3; dropout: of layers 6 and 7, default 0.5 and 0
        for zfnet_mini; first_layer: "coarse" for one as AlexNet's in zfnet and zfnet_mini
        (Figure 6 b, d); norm: "response" (the default), "local" or "none", the contrast
        normalisation, see `deconv.models.zfnet.NORMS`; for all see `deconv.models.zfnet.change`.
    init: "paper", "gain" or "he", see `deconv.models.zfnet.init_weights`; default "paper",
        "gain" for zfnet_mini and "he" for mlp.
    seed: of the weights; without one torch's own generator draws them.
    weights: for foreign networks alone, the name of a set of trained weights.
    mean, std: for foreign networks alone, see `deconv.models.foreign.foreign`. A chain of
        torchvision's for which they are given is a `WrappedNet` as well.

    Raises DeconvError for an unknown name and for arguments that the network does not have.
    """
    _check_name(name)
    num_classes = whole_number(num_classes, "num_classes", least=1)
    seed = None if seed is None else whole_number(seed, "seed")
    maps_345 = tuple(maps_345) if maps_345 is not None else None
    changes = {"input_px": input_px, "remove": tuple(remove), "maps_345": maps_345}
    changes |= {"fc_width": fc_width, "dropout": dropout, "first_layer": first_layer}
    changes |= {"norm": norm}
    if grey and name != "mlp":
        raise DeconvError(f"{name} takes colours: grey is an option of mlp alone")
    if is_foreign(name) and (name not in MODELS or mean is not None or std is not None):
        if given := [k for k, v in (changes | {"init": init}).items() if v and k != "input_px"]:
            raise DeconvError(f"{name} comes as it is: leave out {', '.join(given)}")
        with _seeded(seed):
            return foreign(name, num_classes, weights, mean=mean, std=std, input_px=input_px)[0]
    if mean is not None or std is not None:
        raise DeconvError(f"{name} takes pixels minus its training mean: leave out mean and std")
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    if name == "mlp":
        if weights is not None:
            raise DeconvError("there are no ready weights for mlp: leave out weights")
        sizes = {"input_px": changes.pop("input_px"), "fc_width": changes.pop("fc_width")}
        if given := [k for k, v in changes.items() if v not in (None, ())]:
            raise DeconvError(f"mlp has no {', '.join(given)}: leave it out")
        recipe = {"name": name, "num_classes": num_classes, "init": init, "grey": grey, **sizes}
        with torch.random.fork_rng(devices=[]):
            net = mlp(num_classes, recipe, **sizes, grey=grey)
        init_weights(net, init or "he", generator)
        return net.eval()
    if name not in ARCHITECTURES:
        if given := [k for k, v in (changes | {"init": init}).items() if v not in (None, ())]:
            raise DeconvError(f"{name} comes as it is: leave out {', '.join(given)}")
        recipe = {"name": name, "num_classes": num_classes}
        with _seeded(seed):
            return from_torchvision(name.split("/")[1], num_classes, weights, recipe).eval()
    if weights is not None:
        raise DeconvError(
            f"there are no ready weights for {name}: leave out weights={weights!r} and load a "
            "snapshot with deconv.load_snapshot"
        )
    architecture = change(ARCHITECTURES[name], **changes)
    recipe = {"name": name, "num_classes": num_classes, "init": init, **changes}
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn again below
        net = assemble(name, architecture, num_classes, recipe)
    init_weights(net, init or architecture.init, generator)
    return net.eval()


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """torch's generator seeded for a while; as it was afterwards. None: nothing happens."""
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield
