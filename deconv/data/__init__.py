"""Data sets as uint8 squares, and the mean-subtracted crops that networks take."""

from deconv.data.cache import Cached, cache_path
from deconv.data.crops import (
    Batches,
    CentreCrops,
    Squares,
    TenCrops,
    TenCropsOfEach,
    TrainingCrops,
    mean_image,
    paths_of,
    prepare,
    ten_crops,
)
from deconv.data.joined import Joined
from deconv.data.multi_label import MultiLabel
from deconv.data.photographs import Photographs
from deconv.data.sources import DRAWN, SOURCES, SPLITS, WHOLE, photographs, train_and_test

__all__ = [
    "DRAWN",
    "SOURCES",
    "SPLITS",
    "WHOLE",
    "Batches",
    "Cached",
    "CentreCrops",
    "Joined",
    "MultiLabel",
    "Photographs",
    "Squares",
    "TenCrops",
    "TenCropsOfEach",
    "TrainingCrops",
    "cache_path",
    "mean_image",
    "paths_of",
    "photographs",
    "prepare",
    "ten_crops",
    "train_and_test",
]
