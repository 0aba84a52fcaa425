"""The networks: `build` makes one by name, `wrap` makes one of any module."""

from deconv.networks.chain import ChainNet
from deconv.networks.network import Network
from deconv.networks.preprocessing import Preprocessing
from deconv.networks.registry import MODELS, build, input_side
from deconv.networks.sources import is_foreign
from deconv.networks.wrapped import WrappedNet, wrap

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
