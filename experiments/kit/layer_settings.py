"""Settings with a value for each layer, as a person types them and as Hydra takes them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

BY_LAYER = ("maps", "grid")
"""Settings that are dictionaries, layer -> list of numbers."""
_ONE = re.compile(rf"\+*({'|'.join(BY_LAYER)})\.([^=]+)=((?:\[[^\[\]]*\],?)+)")
_WHOLE = re.compile(rf"\+*({'|'.join(BY_LAYER)})=\{{(.*)\}}")


def by_layer(arguments: Iterable[str]) -> list[str]:
    r"""Gather maps.<layer>=[…] of all layers into one maps={<layer>: […], …}.

    Hydra reads a dot in a key as a step into a dictionary and takes no colon, but names of layers
    have both: maps.features.12=[3,7], maps.layer1.0.relu:2=[5]. Several lists, [3],[7], are for a
    sweep.
    """
    others: list[str] = []
    found: dict[str, list[list[str]]] = {}
    for argument in arguments:
        if one := _ONE.fullmatch(argument):
            name, layer, lists = one.groups()
            key = re.sub(r"([\\()\[\]{}:=,\s])", r"\\\1", layer.strip("'\""))
            numbers = re.findall(r"\[[^\[\]]*\]", lists)
            found.setdefault(name, []).append([f"{key}: {some}" for some in numbers])
        elif (whole := _WHOLE.fullmatch(argument)) and "}" not in whole[2]:
            found.setdefault(whole[1], []).append([whole[2]])
        else:
            others.append(argument)
    for name, parts in found.items():
        choices = (", ".join(filter(None, some)) for some in itertools.product(*parts))
        others.append(f"{name}=" + ",".join(f"{{{one}}}" for one in choices))
    return others
