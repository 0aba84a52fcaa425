"""Snapshots: one file that rebuilds a trained network together with its preprocessing."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from deconv.atomic_files import write_checked
from deconv.data.class_names import shown_names
from deconv.data.text_files import json_text
from deconv.errors import DeconvError
from deconv.networks import Network, Preprocessing, build
from deconv.networks.weights import MEAN, load_weights, read, upgraded

FORMAT = 3
READABLE = (1, 2, 3)
"""Format 1 has neither `history` nor `progress`: it serves figures but cannot be resumed. Up to
format 2 foreign chains did not divide their input, see `deconv.networks.weights.upgraded`."""


@dataclass(frozen=True)
class Snapshot:
    """The complete state of a training at one step, enough for a bit-exact resume.

    It holds no random state, as order, crops and dropout are functions of (seed, epoch, image), and
    no scheduler state, which is a function of `history`.

    Attributes:
        recipe: arguments of `deconv.build`.
        weights: the network's state_dict, on the CPU.
        mean: 3×S×S float32, the per-pixel training mean (0…255) that is subtracted from inputs.
        classes: class names in the order of the logits, made unique.
        epoch: finished epochs.
        step: optimizer updates so far.
        optimizer: its state_dict; None if the training is not to be resumed.
        config: plain data; a resumed run takes its settings from it.
        metrics: numbers of the last finished epoch, e.g. "val_top1_error" in percent.
        history: the metrics of every finished epoch.
        progress: sums over the finished part of the next epoch; empty at the end of an epoch.
        trusted: whether `network` may run code that the recipe names; never saved.
    """

    recipe: dict[str, Any]
    weights: dict[str, torch.Tensor]
    mean: torch.Tensor
    classes: list[str]
    epoch: int = 0
    step: int = 0
    optimizer: dict[str, Any] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    trusted: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", shown_names(self.classes))

    def settings(self) -> dict[str, Any]:
        """Fill the recipe with the defaults of `deconv.build`, to compare snapshots.

        A recipe saved before `build` gained an argument then equals one saved after.
        """
        signature = inspect.signature(build).parameters.values()
        defaults = {p.name: p.default for p in signature if p.default is not p.empty}
        return defaults | self.recipe

    def network(self) -> Network:
        """Rebuild the network with its weights, in evaluation mode, without downloading any.

        Raises:
            DeconvError: for weights that do not fit, and unless `trusted` for a recipe that names
                code in a file.
        """
        name = self.recipe.get("name")
        if not self.trusted and is_code(name):
            raise DeconvError(
                f"rebuilding the snapshot's network would run the code {name}: inspect it, then "
                f"name it yourself: load_snapshot(path, {name!r})"
            )
        try:
            net = build(**self.recipe | {"weights": None})
        except TypeError as error:
            raise DeconvError(
                f"the snapshot's recipe {self.recipe} is not one of deconv.build ({error}): build "
                "the network yourself and use load_weights"
            ) from error
        load_weights(net, self.weights)
        net.preprocessing = Preprocessing(self.mean, net.input_px, self.mean.shape[-1])
        net.class_names = tuple(self.classes)
        return net


def is_code(name: Any) -> bool:
    """Whether a network's name is a function in a file, which building it would run."""
    return isinstance(name, str) and name.startswith("file:")


def save_snapshot(path: str | Path, snapshot: Snapshot) -> Path:
    """Write a snapshot atomically, with its SHA-256 in a file beside it.

    Both are written under temporary names and flushed, then renamed, then the folder is flushed.

    Raises:
        OSError: e.g. if the disk is full; an existing file is left as it was.
        DeconvError: for content that `load_snapshot` would refuse.
    """
    content = {name: getattr(snapshot, name) for name in _STORED}
    for name in PLAIN:
        _check_plain(content[name], name)
    return write_checked(path, lambda file: torch.save(content, file))


def save_safetensors(path: str | Path, snapshot: Snapshot) -> Path:
    """Write the weights alone as safetensors, for other programs, atomically with a checksum.

    The metadata hold the network's recipe and the classes, as JSON.
    """
    metadata = _json_fields(snapshot, ("recipe", "classes", "format"))
    content = safetensors.torch.save(snapshot.weights, metadata=metadata)
    return write_checked(path, lambda file: file.write(content))


def save_compact(path: str | Path, snapshot: Snapshot) -> Path:
    """Write a snapshot for inference as one small safetensors file, for `load_snapshot`.

    Weights are rounded to fp16 and the mean image to uint8; the optimizer is left out.
    """
    names = _STORED - {"weights", "mean", "optimizer", "progress"}
    metadata = _json_fields(snapshot, sorted(names))
    tensors = {name: weight.half().contiguous() for name, weight in snapshot.weights.items()}
    tensors[MEAN] = snapshot.mean.round().to(torch.uint8).contiguous()
    content = safetensors.torch.save(tensors, metadata=metadata)
    return write_checked(path, lambda file: file.write(content))


def _json_fields(snapshot: Snapshot, names: Iterable[str]) -> dict[str, str]:
    return {name: json_text(getattr(snapshot, name), indent=None) for name in names}


SHIPPED = Path(__file__).parents[1] / "pretrained"
"""The trained networks in the package, made by scripts/make_pretrained.py."""


def load_snapshot(path: str | Path, code: str | None = None) -> Snapshot:
    """Read a snapshot without running code in the file.

    Args:
        path: a file, or the name of a network in the package such as "zfnet_mini" (trained on the
            built-in scenes). A file of that name takes precedence.
        code: the network name "file:…" that the recipe may have and `Snapshot.network` may run.

    Raises:
        DeconvError: if the file is missing, damaged (also by its checksum, if there is one) or not
            a snapshot of this library.
        MemoryError, OSError: from the machine, unchanged.
    """
    path = Path(path)
    names = {file.stem: file for file in SHIPPED.glob("*.safetensors")}
    if not path.is_file():
        path = names.get(str(path), path)
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        there = sorted(file.name for file in folder.glob("*.pt"))
        instead = f"there are {', '.join(there)}" if there else "train one with experiments.train"
        raise DeconvError(
            f"there is no snapshot at {path}; {instead}; in the package: {', '.join(names)}"
        )
    content = read(path, "the snapshot")
    if (
        not isinstance(content, dict)
        or not {"recipe", "weights", "mean"} <= content.keys() <= _STORED
        or not isinstance(content["recipe"], dict)
    ):
        raise DeconvError(f"{path} is not a snapshot of this library (no recipe, weights and mean)")
    if content.get("format") not in READABLE:
        raise DeconvError(
            f"{path} has snapshot format {content.get('format')}; this version reads {FORMAT}"
        )
    try:
        for name in PLAIN:
            _check_plain(content.get(name, {}), name)
    except DeconvError as error:
        raise DeconvError(f"{path} is not a snapshot of this library: {error}") from error
    recipe, weights = upgraded(content)
    content |= {"recipe": recipe, "weights": weights, "format": FORMAT}
    return Snapshot(**content, trusted=recipe.get("name") == code)


_STORED = {f.name for f in fields(Snapshot)} - {"trusted"}

PLAIN = ("recipe", "config", "metrics", "history", "progress")
"""Fields of strings, numbers, lists and dictionaries only."""


def _check_plain(value: Any, name: str) -> None:
    """Raise DeconvError with the path to the first value that is not plain data."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, f"a key of {name}")
            _check_plain(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _check_plain(item, f"{name}.{number}")
    elif type(value) not in (str, int, float, bool, type(None)):
        raise DeconvError(f"{name} is a {type(value).__name__}, not plain data")


def weights_hash(net: nn.Module | Network) -> str:
    """Hash names, types, shapes and values of all weights: 16 hex digits of SHA-256."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
