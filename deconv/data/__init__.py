"""Data sets as uint8 squares, and the crops of them that networks are fed."""

from deconv.data.cache import Cached, cache_path
from deconv.data.crops import (
    Batches,
    CentreCrops,
    Squares,
    TenCrops,
    TenCropsOfEach,
    TrainingCrops,
    mean_image,
    prepare,
    ten_crops,
)
from deconv.data.multi_label import PARTS, MultiLabel, scene_parts
from deconv.data.photographs import Photographs
from deconv.data.sources import DRAWN, SOURCES, SPLITS, WHOLE, photographs, train_and_test
from deconv.scenes.scene import CLASSES, Part, Scene, Scenes, render

__all__ = [
    "CLASSES",
    "DRAWN",
    "PARTS",
    "SOURCES",
    "SPLITS",
    "WHOLE",
    "Batches",
    "Cached",
    "CentreCrops",
    "MultiLabel",
    "Part",
    "Photographs",
    "Scene",
    "Scenes",
    "Squares",
    "TenCrops",
    "TenCropsOfEach",
    "TrainingCrops",
    "cache_path",
    "mean_image",
    "photographs",
    "prepare",
    "render",
    "scene_parts",
    "ten_crops",
    "train_and_test",
]
