"""One-time resized copies of large data sets, so that decoding does not slow down training.

`layouts` and `imagenet` plan where each image goes; `copying` makes the copies; `manifest` stores
their hashes; `command` is the command line shared by scripts/prepare_*.py.
"""

from deconv.data.preparation.copying import resized_copy, resized_jpeg
from deconv.data.preparation.imagenet import imagenet
from deconv.data.preparation.layouts import caltech101, caltech256, tiny_imagenet
from deconv.data.preparation.manifest import verify
from deconv.data.preparation.plan import Original, Plan

__all__ = [
    "Original",
    "Plan",
    "caltech101",
    "caltech256",
    "imagenet",
    "resized_copy",
    "resized_jpeg",
    "tiny_imagenet",
    "verify",
]
