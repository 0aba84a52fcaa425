"""What the sidecar of a figure says about its network, its data and the deconvnet's choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.data import WHOLE, CentreCrops, Squares, paths_of
from deconv.deconvnet.mirror import refusal
from deconv.fields import WholeImage
from deconv.mining.map_statistics import map_points
from deconv.networks import ChainNet, Network
from deconv.pixels import Divide
from deconv.pooling import collision_rate
from deconv.training.snapshots import Snapshot
from experiments.kit.inputs import data_name
from experiments.kit.printed import top1


def deconvnet_choices(
    net: Network, collisions: str, mean: torch.Tensor, layers: Sequence[str]
) -> dict[str, str]:
    """What the paper leaves open about a projection and its picture, and how it was decided.

    mean: as for `preprocessing`. layers: those that were projected.
    """
    engine = engines(net, layers)
    rectified = "before each transposed convolution" if engine == MIRROR else "at each ReLU"
    return {
        "seed": "the unit keeps its own activation",
        "relu": f"on the top-down signal, {rectified}",
        "contrast_normalisation": "skipped on the way down",
        "biases": "not used on the way down",
        "collisions": collisions,
        "scale": f"each picture its own: grey at 0, ± the {figures.PERCENTILE} percentile of the "
        "non-zero values",
        "engine": engine,
        "preprocessing": preprocessing(net, mean),
        "patches": "exact receptive field, hatched outside the image",
    }


MIRROR, VJP = "mirror", "vjp"


def engines(net: Network, layers: Sequence[str]) -> str:
    """The engine that `deconv.project` takes for these layers by itself, or both and which."""
    by_engine: dict[str, list[str]] = {}
    for layer in layers:
        by_engine.setdefault(VJP if refusal(net, layer) else MIRROR, []).append(layer)
    if len(by_engine) == 1:
        return next(iter(by_engine))
    return "; ".join(f"{engine}: {', '.join(own)}" for engine, own in by_engine.items())


def preprocessing(net: Network, mean: torch.Tensor) -> str:
    """How images become the network's input, in words. mean: 3×S×S, what is subtracted."""
    flat = mean.flatten(1)
    if torch.equal(flat.amin(dim=1), flat.amax(dim=1)):
        what = f"the mean colour {_three(flat[:, 0].tolist())}"
    else:
        what = "the per-pixel training mean"
    then = "about ±128, no division"
    scale = getattr(net, "scale", None)
    by = scale.by if isinstance(scale, Divide) else getattr(net, "divide_by", None)
    if by is not None:
        numbers = by.flatten().expand(3).tolist()
        then = f"divided by {_three(numbers)}, red, green and blue"
    return (
        f"RGB, shorter side and centre square, minus {what}, centre crop of {net.input_px} px, "
        f"{then}"
    )


def _three(numbers: Sequence[float]) -> str:
    return f"({', '.join(f'{number:.1f}' for number in numbers)})"


def training_facts(snapshot: Snapshot, path: str | None) -> dict[str, Any]:
    """What the network was trained on and how far. path: of the snapshot, None if trained here."""
    return {
        "data": snapshot.config.get("data"),
        "weights": snapshot.config.get("weights"),
        "images": snapshot.config.get("training_images"),
        "epochs": snapshot.epoch,
        "classes": len(snapshot.classes),
        "data_fingerprint": snapshot.config.get("data_fingerprint"),
        "snapshot": path,
        "metrics": snapshot.metrics,
    }


def data_facts(cfg: Any, split: str, data: Squares) -> dict[str, Any]:
    """Which images a figure was computed on."""
    return {
        "name": data_name(cfg),
        "split": split,
        "images": len(data),
        "fingerprint": data.fingerprint(),
        "drawn": getattr(data, "drawn", ""),
    }


def images_of(data: Mapping[str, Any]) -> str:
    """Which images, for a caption. data: from `data_facts`."""
    drawn = data.get("drawn")
    split = "train and val" if data["split"] == WHOLE else data["split"]
    return f"{data['name']} ({split}{f', {drawn}' if drawn else ''})"


def image_columns(data: Squares, index: int) -> dict[str, str]:
    """The file and the class of an image, for tables; empty where it has none, or for index -1.

    A file is named with its folder, as files of two classes may have one name.
    """
    paths = paths_of(data)
    file = "" if paths is None or index < 0 else "/".join(Path(paths[index]).parts[-2:])
    return {"file": file, "class": "" if index < 0 else class_of(data, index)}


def class_of(data: Squares, index: int) -> str:
    """The class of an image, or its classes, by name."""
    label = data.targets[index]
    if torch.is_tensor(label):
        return ", ".join(name for name, mark in zip(data.classes, label, strict=True) if mark > 0)
    return data.classes[label]


def image_arrays(data: Squares, images: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays of text `file` and `class`, one of each for every number of an image."""
    columns = [image_columns(data, int(i)) for i in images.flat]
    return {
        f"{prefix}{name}": np.array([one[name] for one in columns], str).reshape(images.shape)
        for name in ("file", "class")
    }


def describe_network(facts: dict[str, Any]) -> str:
    """The sentence of a caption about the network, from the sidecar: model and training facts."""
    training = facts["training"]
    other = facts.get("data", {}).get("of_training") is False
    note = " The images shown are not those that it was trained or validated on." if other else ""
    return _trained(facts, training) + note + no_rule(facts)


def no_rule(facts: Mapping[str, Any]) -> str:
    """The sentence of a caption on operations that the deconvnet has no rule for, or ""."""
    operations = facts.get("no_rule")
    if not operations:
        return ""
    own = "its own derivative is" if len(operations) == 1 else "their own derivatives are"
    return (
        f" The deconvnet has no rule for {', '.join(operations)}: {own} used, and the pictures "
        "are a mixture of a deconvnet's and a gradient's."
    )


def _trained(facts: dict[str, Any], training: Mapping[str, Any]) -> str:
    if training["images"] is None:  # trained elsewhere
        learnt, weights = training.get("data"), training.get("weights")
        where = f"trained elsewhere on {learnt}" if learnt else "trained elsewhere"
        words = f", weights {weights}" if weights else ""
        return f"Network: {facts['model']['name']}, {where}{words}."
    error = training["metrics"].get("val_top1_error")
    result = "" if error is None else f", {top1(error)} on its validation images"
    return (
        f"Network: {facts['model']['name']}, {training['epochs']} epochs on {training['images']} "
        f"images of {training['data']} ({training['classes']} classes){result}."
    )


def network_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a sidecar says of its network: name, input, training, accuracy and weights.

    {} where it tells of none.
    """
    model, training = facts.get("model") or {}, facts.get("training") or {}
    if not model.get("name") or not training:
        return {}
    error = (training.get("metrics") or {}).get("val_top1_error")
    told = {
        "name": model["name"],
        "input_px": model.get("input_px"),
        "data": training.get("data"),
        "images": training.get("images"),
        "classes": training.get("classes"),
        "epochs": training.get("epochs") or None,  # none: trained elsewhere
        "top1": None if error is None else round(100 - error, 2),
        "weights_sha256": facts.get("weights_sha256"),
    }
    return {key: value for key, value in told.items() if value is not None}


def describe_field(net: ChainNet, layer: str) -> str:
    """The note beside a layer's title."""
    before = before_rectification(net, layer)
    try:
        size, stride, _ = net.interior(layer, 0)
    except WholeImage:
        return f"{before}each unit sees the whole image"
    return f"{before}receptive field {size}×{size} px, stride {stride}"


def before_rectification(net: Network, layer: str) -> str:
    """Words for a point whose values a ReLU, or another activation function, takes in."""
    points = map_points(net, layer)
    if points.a is None or net.check_point(layer) != points.z:
        return ""
    index = net.calls.values[points.a].index
    what = "" if index is None else net.calls.ran[index].what
    return f"before its {'ReLU' if 'relu' in what.lower() else 'activation function'}; "


def measure_collisions(net: ChainNet, crops: CentreCrops, images: int = 32) -> dict[str, float]:
    """Pool -> the share of windows that share their switch, over the first images."""
    batch = torch.stack([crops[i][0] for i in range(min(images, len(crops)))])
    record = net.record(batch.to(net.device))
    return {name: round(collision_rate(s), 4) for name, s in record.switches.items()}
