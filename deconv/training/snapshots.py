"""Snapshots: one file that rebuilds a trained network together with its preprocessing."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from deconv.atomic_files import write_checked
from deconv.data.class_names import unique_names
from deconv.errors import DeconvError
from deconv.networks import Network, Preprocessing, build
from deconv.networks.weights import MEAN, load_weights, read, upgraded

FORMAT = 3
READABLE = (1, 2, 3)
"""Format 1 knew neither `history` nor `progress`: good for figures, not for going on. Up to format
2 chains of others divided nothing, see `deconv.networks.weights.upgraded`."""


@dataclass(frozen=True)
class Snapshot:
    """Everything known of a training at one step: enough to go on as if it had never stopped.

    There is no state of a random generator in it, because order, crops and dropout are functions
    of (seed, epoch, image), and no state of the schedule, which is a function of `history`.

    recipe:    arguments of `deconv.build`.    weights: the network's state_dict, on the CPU.
    mean:      3×S×S float32, the per-pixel training mean (0…255) that inputs have subtracted.
    classes:   class names in the order of the logits, each another.
    epoch:     finished epochs; `step` counts optimizer updates.
    optimizer: its state_dict (None for a network that is not to be trained on).
    config:    plain data, for reading; a run that goes on takes its settings from it.
    metrics:   numbers of the last finished epoch, e.g. "val_top1_error" in percent.
    history:   the metrics of every finished epoch.
    progress:  sums over the part of the next epoch that is done; empty at the end of an epoch.
    trusted:   not in a file: whether `network` may run the code that the recipe names, if it does.
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
        object.__setattr__(self, "classes", unique_names(self.classes))

    def settings(self) -> dict[str, Any]:
        """The recipe with the default of every argument of `deconv.build` that it leaves out.

        What two snapshots are compared by: one written before `build` learned an argument is of
        the same network as one written after.
        """
        signature = inspect.signature(build).parameters.values()
        defaults = {p.name: p.default for p in signature if p.default is not p.empty}
        return defaults | self.recipe

    def network(self) -> Network:
        """The network, rebuilt and filled, in evaluation mode.

        Nothing is downloaded: trained weights that the recipe names are left out, as the
        snapshot's own take their place. Raises DeconvError naming the weights that do not fit,
        and for a recipe that names code in a file unless `trusted`.
        """
        name = self.recipe.get("name")
        if not self.trusted and is_code(name):
            raise DeconvError(
                f"to rebuild the snapshot's network would run the code {name}: have a look at it, "
                f"then name it yourself, by model.name='{name}' or load_snapshot(path, {name!r})"
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
    """Whether a network's name stands for a function in a file, which would be run to build it."""
    return isinstance(name, str) and name.startswith("file:")


def save_snapshot(path: str | Path, snapshot: Snapshot) -> Path:
    """Write a snapshot whole or not at all, with its SHA-256 in a file beside it.

    Both are written under temporary names in the same folder and flushed, then renamed, then the
    folder is flushed. Raises OSError, leaving what was there before, if the disk is full, and
    DeconvError for what `load_snapshot` would refuse to read.
    """
    content = {name: getattr(snapshot, name) for name in _STORED}
    for name in PLAIN:
        _check_plain(content[name], name)
    return write_checked(path, lambda file: torch.save(content, file))


def save_safetensors(path: str | Path, snapshot: Snapshot) -> Path:
    """The plain weights as safetensors, for other programs, written as `save_snapshot` does.

    Its metadata hold the network's recipe and the classes, as JSON.
    """
    told = {name: getattr(snapshot, name) for name in ("recipe", "classes", "format")}
    notes = {name: json.dumps(value) for name, value in told.items()}
    content = safetensors.torch.save(snapshot.weights, metadata=notes)
    return write_checked(path, lambda file: file.write(content))


def save_compact(path: str | Path, snapshot: Snapshot) -> Path:
    """Write a snapshot to look at, not to go on with, as one small safetensors file.

    Weights are rounded to fp16 and the mean image to uint8. `load_snapshot` reads it.
    """
    told = _STORED - {"weights", "mean", "optimizer", "progress"}
    notes = {name: json.dumps(getattr(snapshot, name)) for name in sorted(told)}
    tensors = {name: weight.half().contiguous() for name, weight in snapshot.weights.items()}
    tensors[MEAN] = snapshot.mean.round().to(torch.uint8).contiguous()
    content = safetensors.torch.save(tensors, metadata=notes)
    return write_checked(path, lambda file: file.write(content))


SHIPPED = Path(__file__).parents[1] / "pretrained"
"""Networks in the package, as `save_compact` writes them; scripts/make_pretrained.py makes them."""


def load_snapshot(path: str | Path, code: str | None = None) -> Snapshot:
    """Read a snapshot without running code in the file.

    Args:
        path: of the file, or the name of a network in the package, such as "zfnet_mini", trained
            on the built-in scenes. A file at that path wins over the name.
        code: the name "file:…" of a network that its recipe may name, and `Snapshot.network` run.

    Raises:
        DeconvError: if the file is missing, damaged (also by the checksum beside it, if there is
            one), or no snapshot of this library.
        MemoryError, OSError: as they come, since they are the machine's.
    """
    path = Path(path)
    names = {one.stem: one for one in SHIPPED.glob("*.safetensors")}
    if not path.is_file():
        path = names.get(str(path), path)
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        there = sorted(one.name for one in folder.glob("*.pt"))
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
"""The fields that hold texts, numbers, lists and dictionaries alone."""


def _check_plain(value: Any, name: str) -> None:
    """Raise DeconvError, naming the place, for anything but plain data."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, f"a key of {name}")
            _check_plain(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _check_plain(item, f"{name}.{number}")
    elif type(value) not in (str, int, float, bool, type(None)):
        raise DeconvError(f"{name} is a {type(value).__name__}, not plain data")


def weights_hash(net: nn.Module) -> str:
    """Sixteen hex digits of SHA-256 over names, types, shapes and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
