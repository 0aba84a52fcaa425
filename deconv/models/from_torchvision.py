"""torchvision's chain-like classifiers (AlexNet and the VGGs) as a `ChainNet`."""

from __future__ import annotations

from collections import OrderedDict
from string import ascii_lowercase

import torchvision
from torch import nn

from deconv.dropout import Dropout
from deconv.errors import DeconvError, unknown
from deconv.models.chain import ChainNet
from deconv.rules import of_module

CHAINS = ("alexnet", "vgg11", "vgg13", "vgg16", "vgg19")
"""The torchvision classifiers that are chains of convolution, ReLU, max-pool and linear layers."""


def from_torchvision(
    name: str, num_classes: int, weights: str | None, recipe: dict[str, object]
) -> ChainNet:
    """A torchvision network under the names of this library: conv1 … conv13, pool2, …, fc16.

    Layers with weights are numbered through; a pool bears the number of the convolution before
    it. weights: a torchvision weight name such as "IMAGENET1K_V1" (downloaded on first use) or
    None for torchvision's random ones. The images go in as torchvision's weights expect them
    (0…1, minus mean, over standard deviation), not on the paper's scale of ±128.
    """
    if name not in CHAINS:
        raise unknown("torchvision chain", name, CHAINS)
    valid = [w.name for w in torchvision.models.get_model_weights(name)]
    if weights is not None and weights not in (*valid, "DEFAULT"):
        raise unknown(f"weights of torchvision/{name}", weights, valid)
    classes = {} if weights else {"num_classes": num_classes}
    module = torchvision.models.get_model(name, weights=weights, **classes)
    stages = name_stages([*module.features, module.avgpool, nn.Flatten(), *module.classifier])
    if (outputs := stages[next(reversed(stages))].out_features) != num_classes:
        raise DeconvError(
            f"the weights {weights} of {name} have {outputs} classes, not {num_classes}; "
            f"pass num_classes={outputs}"
        )
    return ChainNet(f"torchvision/{name}", stages, recipe, input_px=224)


def name_stages(modules: list[nn.Module]) -> OrderedDict[str, nn.Module]:
    """Stage names for plain modules in order; the modules themselves are kept.

    ReLUs are replaced by ones that do not work in place, so that z and a both can be read, and
    dropout by `deconv.dropout.Dropout`, so that a training can be resumed exactly.
    Raises DeconvError for a module that the chain has no rule for.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    number = 0
    for module in modules:
        number += isinstance(module, nn.Conv2d | nn.Linear)
        operation = of_module(module)
        prefix = operation.prefix if operation is not None and operation.mirror else ""
        if not prefix:
            raise DeconvError(
                f"a chain has no rule for {type(module).__name__}: use "
                "deconv.projection.vector_jacobian, which takes any graph"
            )
        unnumbered = isinstance(module, nn.Flatten | nn.AdaptiveAvgPool2d)
        name = prefix if unnumbered else f"{prefix}{number}"
        if name in stages:  # a second pool behind one convolution is pool1b
            name = next(
                f"{name}{letter}"
                for letter in ascii_lowercase[1:]
                if f"{name}{letter}" not in stages
            )
        if isinstance(module, nn.ReLU):
            module = nn.ReLU()
        elif isinstance(module, nn.Dropout):
            module = Dropout(module.p, number=len(stages))
        stages[name] = module
    return stages
