"""The networks: `build` makes one by name, `wrap` takes any module."""

from deconv.models.chain import ChainNet
from deconv.models.network import Network
from deconv.models.preprocessing import Preprocessing
from deconv.models.registry import MODELS, build, input_side
from deconv.models.sources import is_foreign
from deconv.models.wrapped import WrappedNet, wrap

__all__ = [
    "MODELS",
    "ChainNet",
    "Network",
    "Preprocessing",
    "WrappedNet",
    "build",
    "input_side",
    "is_foreign",
    "wrap",
]
