"""Snapshots: one file that rebuilds a trained network together with its preprocessing."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deconv.errors import DeconvError
from deconv.models import ChainNet, build

FORMAT = 1


@dataclass(frozen=True)
class Snapshot:
    """Everything known of a training at the end of one epoch.

    recipe:    arguments of `deconv.build`.    weights: the network's state_dict, on the CPU.
    mean:      3×S×S float32, the per-pixel training mean (0…255) that inputs have subtracted.
    classes:   class names in the order of the logits.
    epoch:     finished epochs; `step` counts optimizer updates.
    optimizer: its state_dict (None for an untrained network).
    config:    plain data, for reading only; nothing in it is ever instantiated.
    metrics:   numbers of this epoch, e.g. "val_top1_error" in percent.
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
    format: int = FORMAT

    def network(self) -> ChainNet:
        """The network, rebuilt and filled, in evaluation mode.

        Raises DeconvError naming the weights that do not fit.
        """
        try:
            net = build(**self.recipe)
        except TypeError as error:
            raise DeconvError(
                f"the snapshot's recipe {self.recipe} is not one of deconv.build ({error}): build "
                "the network yourself and use load_weights"
            ) from error
        load_weights(net, self.weights)
        return net


def load_weights(net: ChainNet, weights: dict[str, torch.Tensor]) -> None:
    """Copy `weights` into `net`; if any name or shape differs, say which and copy nothing."""
    own = net.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} is not in {net.name}" for name in weights if name not in own]
    for name in own.keys() & weights.keys():
        here, there = tuple(own[name].shape), tuple(weights[name].shape)
        if here != there:
            wrong.append(f"{name} is {there}, the network needs {here}")
    if wrong:
        shown = "; ".join(sorted(wrong)[:6]) + ("; …" if len(wrong) > 6 else "")
        raise DeconvError(f"the snapshot does not fit {net.name}: {shown}")
    net.load_state_dict(weights)


def save_snapshot(path: str | Path, snapshot: Snapshot) -> Path:
    """Write a snapshot whole or not at all: temporary file in the same folder, flushed, renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {f.name: getattr(snapshot, f.name) for f in fields(snapshot)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def load_snapshot(path: str | Path) -> Snapshot:
    """Read a snapshot with `weights_only=True`, so that no code in the file can run.

    Raises DeconvError if the file is missing, damaged, or no snapshot of this library.
    """
    path = Path(path)
    if not path.is_file():
        raise DeconvError(f"there is no snapshot at {path}; train one with experiments.train")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DeconvError(
            f"cannot read the snapshot {path}: it is damaged, or not written by save_snapshot"
        ) from error
    names = {f.name for f in fields(Snapshot)}
    if (
        not isinstance(content, dict)
        or not {"recipe", "weights", "mean"} <= content.keys() <= names
    ):
        raise DeconvError(f"{path} is not a snapshot of this library (no recipe, weights and mean)")
    if content.get("format") != FORMAT:
        raise DeconvError(
            f"{path} has snapshot format {content.get('format')}; this version reads {FORMAT}"
        )
    return Snapshot(**content)


def weights_hash(net: nn.Module) -> str:
    """Sixteen hex digits of SHA-256 over names, types, shapes and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
