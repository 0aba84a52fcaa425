"""Data sets as uint8 squares, and the crops of them that networks are fed."""

from deconv.data.cache import Cached, cache_path
from deconv.data.crops import (
    Batches,
    CentreCrops,
    Squares,
    TenCrops,
    TrainingCrops,
    mean_image,
    prepare,
    ten_crops,
)
from deconv.data.photographs import Photographs
from deconv.data.scenes import CLASSES, Part, Scene, Scenes, render
from deconv.data.sources import DRAWN, SOURCES, SPLITS, WHOLE, photographs, train_and_test

__all__ = [
    "CLASSES",
    "DRAWN",
    "SOURCES",
    "SPLITS",
    "WHOLE",
    "Batches",
    "Cached",
    "CentreCrops",
    "Part",
    "Photographs",
    "Scene",
    "Scenes",
    "Squares",
    "TenCrops",
    "TrainingCrops",
    "cache_path",
    "mean_image",
    "photographs",
    "prepare",
    "render",
    "ten_crops",
    "train_and_test",
]
