"""One-time resized copies of large data sets, so that decoding does not hold up training.

`layouts` and `imagenet` plan where each image of a data set goes; `copying` makes the copies;
`manifest` keeps their hashes; `command` is the command line that scripts/prepare_*.py share.
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
