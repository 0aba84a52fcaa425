"""The networks: `build` makes one by name, `wrap` takes any module."""

from deconv.models.chain import ChainNet
from deconv.models.graph import GraphNet, wrap
from deconv.models.preprocessing import Preprocessing
from deconv.models.registry import MODELS, build, input_side
from deconv.models.sources import is_foreign

__all__ = [
    "MODELS",
    "ChainNet",
    "GraphNet",
    "Preprocessing",
    "build",
    "input_side",
    "is_foreign",
    "wrap",
]
