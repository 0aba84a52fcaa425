"""What the sidecar of a figure says about its network, its data and the deconvnet's choices."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig

from deconv import figures
from deconv.data import CentreCrops, Squares
from deconv.geometry import WholeImage
from deconv.layers import collision_rate
from deconv.models import ChainNet
from deconv.snapshots import Snapshot
from experiments.common import data_name


def deconvnet_choices(net: ChainNet, collisions: str) -> dict[str, str]:
    """What the paper leaves open about a projection and its picture, and how it was decided."""
    return {
        "seed": "the unit keeps its own activation",
        "relu": "on the top-down signal, before each transposed convolution",
        "contrast_normalisation": "skipped on the way down",
        "biases": "not used on the way down",
        "collisions": collisions,
        "scale": f"each picture its own: grey at 0, ± the {figures.PERCENTILE} percentile of the "
        "non-zero values",
        "engine": "mirror",
        "preprocessing": preprocessing(net),
        "patches": "exact receptive field, blue-grey outside the image",
    }


def preprocessing(net: ChainNet) -> str:
    """How images become the network's input, in words."""
    return (
        "RGB, shorter side and centre square, minus the per-pixel training mean, centre crop of "
        f"{net.input_px} px, about ±128, no division"
    )


def training_facts(snapshot: Snapshot, path: str | None) -> dict[str, Any]:
    """What the network was trained on and how far. path: of the snapshot, None if trained here."""
    return {
        "data": snapshot.config.get("data"),
        "images": snapshot.config.get("training_images"),
        "epochs": snapshot.epoch,
        "classes": len(snapshot.classes),
        "data_fingerprint": snapshot.config.get("data_fingerprint"),
        "snapshot": path,
        "metrics": snapshot.metrics,
    }


def data_facts(cfg: DictConfig, split: str, data: Squares) -> dict[str, Any]:
    """Which images a figure was computed on."""
    return {
        "name": data_name(cfg),
        "split": split,
        "images": len(data),
        "fingerprint": data.fingerprint(),
    }


def describe_network(facts: dict[str, Any]) -> str:
    """The sentence of a caption about the network, from the sidecar: model and training facts."""
    training = facts["training"]
    if training["images"] is None:  # trained elsewhere
        return f"Network: {facts['model']['name']}, {training['data']}."
    error = training["metrics"].get("val_top1_error")
    result = "" if error is None else f", {100 - error:.1f} % top-1 on its validation images"
    return (
        f"Network: {facts['model']['name']}, {training['epochs']} epochs on {training['images']} "
        f"images of {training['data']} ({training['classes']} classes){result}."
    )


def describe_field(net: ChainNet, layer: str) -> str:
    """The note beside a layer's title."""
    try:
        size, stride, _ = net.interior(layer, 0)
    except WholeImage:
        return "each unit sees the whole image"
    return f"receptive field {size}×{size} px, stride {stride}"


def layer_title(layer: str) -> str:
    """A layer's name as the paper writes it: conv3 -> Layer 3."""
    return f"Layer {layer[4:]}" if layer.startswith("conv") else layer


def measure_collisions(net: ChainNet, crops: CentreCrops, images: int = 32) -> dict[str, float]:
    """Pool -> the share of windows that share their switch, over the first images."""
    batch = torch.stack([crops[i][0] for i in range(min(images, len(crops)))])
    record = net.record(batch.to(next(net.parameters()).device))
    return {name: round(collision_rate(s), 4) for name, s in record.switches.items()}
