"""Sequences of modules, such as torchvision's AlexNet and VGGs, as named stages of a chain."""

from __future__ import annotations

from collections import OrderedDict
from string import ascii_lowercase

from torch import nn

from deconv.errors import DeconvError
from deconv.networks.dropout import Dropout
from deconv.rules import of_module

CHAINS = ("alexnet", "vgg11", "vgg13", "vgg16", "vgg19")
"""The torchvision classifiers that are chains of convolution, ReLU, max-pool and linear layers."""


def modules_of(module: nn.Module) -> list[nn.Module]:
    """List the modules of a network of CHAINS in running order."""
    features, average, classifier = module.children()
    return [*features.children(), average, nn.Flatten(), *classifier.children()]


def name_stages(modules: list[nn.Module]) -> OrderedDict[str, nn.Module]:
    """Name plain modules in order: conv1 … conv13, pool2, …, fc16.

    Layers with weights are numbered consecutively; a pool bears the number of the convolution
    before it. The modules are kept, except that ReLUs are replaced by ones that do not work in
    place, so that both z and a can be read, and dropout by `deconv.networks.dropout.Dropout`, so
    that training resumes bit-exactly.

    Raises:
        DeconvError: for a module that a chain has no rule for.
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
                "deconv.wrap, which takes any module"
            )
        unnumbered = isinstance(module, nn.Flatten | nn.AdaptiveAvgPool2d)
        name = prefix if unnumbered else f"{prefix}{number}"
        if name in stages:  # a second pool after one convolution is pool1b
            lettered = (f"{name}{letter}" for letter in ascii_lowercase[1:])
            name = next(one for one in lettered if one not in stages)
        if isinstance(module, nn.ReLU):
            module = nn.ReLU()
        elif isinstance(module, nn.Dropout):
            module = Dropout(module.p, number=len(stages))
        stages[name] = module
    return stages
