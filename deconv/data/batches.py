"""Loop over a loader: whatever form its batches have, yield images that a network takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from deconv.data.workers import isolate_worker
from deconv.distributed import rank, share_of
from deconv.errors import DeconvError
from deconv.images import check_batch

IMAGE_KEYS = ("images", "image", "pixel_values", "inputs", "input", "img", "x")
LABEL_KEYS = ("labels", "label", "targets", "target", "y")
"""Keys of a dictionary batch for its images and labels; the first one present is used."""


class Placed(Protocol):
    """A network that knows the device and dtype of its weights."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...


def walk(
    net: Placed,
    loader: Iterable,
    doing: str = "",
    progress: bool = True,
    channels_last: bool = False,
) -> Iterator[tuple[torch.Tensor, Any]]:
    """Yield (images N×3×H×W, labels or None) for each batch of a loader.

    Images are detached and moved to the device and dtype of the weights.

    Args:
        loader: a DataLoader (map-style or iterable) or any iterable of batches. A batch is images,
            (images, labels, …) or a dictionary with IMAGE_KEYS and LABEL_KEYS; images are a
            tensor, an array or a list of images of one size. Empty batches are skipped.
        doing: label of the progress bar; empty: no bar.
        progress: whether process 0 shows the bar on a terminal.
        channels_last: memory layout of the images; makes pooling on a CPU an order of magnitude
            faster.

    Raises:
        DeconvError: for batches of another form; for images that are not preprocessed, lack a
            batch axis or differ in size; for a loader without images, unless it covers one
            process's `Share` of a data set that has some.
    """
    layout = torch.channels_last if channels_last else torch.preserve_format
    seen, hidden = 0, None if doing and progress and rank() == 0 else True
    with tqdm(total=_count(loader), desc=doing, unit="image", disable=hidden) as bar:
        for images, labels in _read(net, loader):
            yield images.detach().to(net.device, net.dtype, memory_format=layout), labels
            seen += len(images)
            bar.update(len(images))
    share = share_of(loader)
    if not seen and (share is None or not share.whole):
        raise DeconvError("the loader yields no image")


def labelled(net: Placed, loader: Iterable) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield `walk` with labels as a tensor; DeconvError if a batch has none."""
    for images, labels in walk(net, loader):
        if labels is None:
            raise DeconvError("the loader yields images without labels: yield (images, labels)")
        yield images, torch.as_tensor(labels)


def walk_squares(
    data: Any, doing: str, workers: int = 0, progress: bool = True, batch_size: int = 64
) -> Iterator[tuple[torch.Tensor, Any]]:
    """Yield (images N×3×S×S uint8, labels) of stored squares in order; `doing` labels the bar."""
    loader = DataLoader(data, batch_size, num_workers=workers, worker_init_fn=isolate_worker)
    yield from tqdm(loader, doing, disable=None if progress and rank() == 0 else True)


def _read(net: Placed, loader: Iterable) -> Iterator[tuple[torch.Tensor, Any]]:
    iterable = hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")
    if not iterable or isinstance(loader, torch.Tensor | np.ndarray | Mapping | str):
        raise DeconvError(
            f"the loader is a {type(loader).__name__}: pass a DataLoader or a list of batches, "
            "such as [images]"
        )
    size = None
    for number, batch in enumerate(loader):
        images, labels = image_and_label(batch)
        images = _tensor(images)
        if images.dim() and not len(images):
            continue
        # N×K×3×H×W: K crops of each image, see `deconv.training.evaluation`.
        check_batch(images.flatten(0, -4) if images.dim() > 4 else images, net.name)
        if size not in (None, images.shape[1:]):
            raise DeconvError(
                f"batch {number} of the loader has images {_shape(images[0])} after "
                f"{'×'.join(map(str, size))}: bring all images to one size"
            )
        size = images.shape[1:]
        yield images, labels


def _count(loader: Any) -> int | None:
    """Number of images of a loader; None if unknown, as for an iterable data set."""
    try:
        return len(loader.dataset)
    except (AttributeError, TypeError, NotImplementedError):
        return None


def image_and_label(batch: Any) -> tuple[Any, Any]:
    """Split a batch, or one item, into images and labels (None if there are none)."""
    if isinstance(batch, Mapping):
        keys = [key for key in IMAGE_KEYS if key in batch]
        if not keys:
            raise DeconvError(
                f"a batch has no images: of its keys {', '.join(map(str, batch)) or '(none)'}, "
                f"name the one with the images {' or '.join(IMAGE_KEYS)}"
            )
        return batch[keys[0]], next((batch[key] for key in LABEL_KEYS if key in batch), None)
    if not isinstance(batch, list | tuple) or all(map(_is_image, batch)):
        return batch, None
    is_item = (isinstance(p, Mapping) or (_is_list(p) and p and _is_image(p[0])) for p in batch)
    if len(batch) > 1 and all(is_item):
        raise DeconvError(
            "a batch is a list of items: collate them, as a DataLoader does by default"
        )
    images, label = image_and_label(batch[0])
    return images, batch[1] if len(batch) > 1 else label


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_image(value: Any) -> bool:
    return isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 3


def _tensor(images: Any) -> torch.Tensor:
    if isinstance(images, torch.Tensor):
        return images
    if _is_list(images):
        parts = [_tensor(image) for image in images]
        if len(shapes := list(dict.fromkeys(map(_shape, parts)))) > 1:
            raise DeconvError(
                f"a batch has images of several sizes, {shapes[0]} and {shapes[1]}: bring all "
                "images to one size"
            )
        return torch.stack(parts) if parts else torch.zeros(0)
    if isinstance(images, np.ndarray) and images.dtype.kind in "biuf":
        return torch.from_numpy(np.array(images, images.dtype.newbyteorder("="), order="C"))
    what = f"array of {images.dtype}" if isinstance(images, np.ndarray) else str(type(images))
    raise DeconvError(
        f"a network cannot take {what}: convert the images to preprocessed float tensors N×3×H×W"
    )


def _shape(image: torch.Tensor) -> str:
    return "×".join(map(str, image.shape))
