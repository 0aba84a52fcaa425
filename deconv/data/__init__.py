"""Data sets as uint8 squares, and the crops of them that networks are fed."""

from deconv.data.cache import Cached
from deconv.data.crops import (
    CentreCrops,
    EpochOrder,
    Squares,
    TrainingCrops,
    mean_image,
    prepare,
    ten_crops,
)
from deconv.data.photographs import SOURCES, SPLITS, Photographs, photographs

__all__ = [
    "SOURCES",
    "SPLITS",
    "Cached",
    "CentreCrops",
    "EpochOrder",
    "Photographs",
    "Squares",
    "TrainingCrops",
    "mean_image",
    "photographs",
    "prepare",
    "ten_crops",
]
