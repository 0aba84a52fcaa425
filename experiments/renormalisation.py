"""How often the renormalisation of filters acts, and when it begins to (§3, Figure 6 a).

    python -m experiments.renormalisation
    python -m experiments.renormalisation model=zfnet data=caltech101 train=paper updates=200

Paper: filters whose RMS exceeds 0.1 are scaled back to it; "crucial", mainly for layer 1, with
inputs in about ±128. Not stated: how often that happens. Here: a short training from the first
weights for each learning rate and each scale of the inputs, by the recipe of cfg.train otherwise.

Writes table.csv, a row for each rate, scale and convolutional layer: the first update after which
a filter was over the limit (empty: none ever), how many filters were scaled back in all, the
largest RMS before scaling, and the training loss of the last update (nan: it was no longer
finite, in update `updates`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader

from deconv.data import Batches, Squares, TrainingCrops, mean_image
from deconv.errors import DeconvError
from deconv.networks import ChainNet
from deconv.networks.dropout import dropout_keys, with_keys
from deconv.training import Recipe
from deconv.training.evaluation import autocast
from deconv.training.renormalisation import conv_layers, rescale
from experiments.kit.command import experiment
from experiments.kit.inputs import (
    build_network,
    data_name,
    device,
    log,
    recipe_of,
    squares,
    stored_side_px,
    workers,
)
from experiments.kit.provenance import write_provenance, write_table


@experiment("renormalisation")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train for a little at each rate and scale, and count."""
    for name in ("rates", "scales"):
        values = cfg[name]
        numbers = isinstance(values, ListConfig) and len(values)
        if not numbers or not all(isinstance(v, int | float) and v > 0 for v in values):
            raise DeconvError(f"{name} takes a list of positive numbers, got {values}")
    if cfg.updates < 1:
        raise DeconvError(f"updates must be at least 1, got {cfg.updates}")
    recipe = recipe_of(cfg)
    if recipe.max_rms is None:
        raise DeconvError("train.max_rms=null has no limit to count by")
    data = squares(cfg, "train", stored_side_px(cfg, None))
    mean = mean_image(data, workers(cfg))
    rows: list[dict[str, Any]] = []
    for scale in cfg.scales:
        for rate in cfg.rates:
            net = build_network(cfg, len(data.classes)).to(device(cfg))
            rows += count(net, data, mean, recipe, rate, scale, cfg.updates)
            write_table(folder / "table.csv", rows)
            log(summary(rows, rate, scale))
    facts = {"data": {"name": data_name(cfg), "images": len(data)}, "max_rms": recipe.max_rms}
    write_provenance(folder, build_network(cfg, len(data.classes)), facts)


def count(
    net: ChainNet,
    data: Squares,
    mean: torch.Tensor,
    recipe: Recipe,
    rate: float,
    scale: float,
    updates: int,
) -> list[dict[str, Any]]:
    """Train `net` for some updates and count the filters scaled back: a row for each layer."""
    where, layers = net.device, conv_layers(net)
    optimizer = torch.optim.SGD(
        net.parameters(), rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    net.to(memory_format=torch.channels_last).train()
    first: dict[str, int] = {}
    scaled, largest = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0.0)
    done, loss = 0, math.nan
    for epoch, number, batch, images, target in _batches(net, data, mean, recipe, updates):
        images = (images * scale).to(where, memory_format=torch.channels_last)
        keys = dropout_keys(recipe.seed, epoch, torch.from_numpy(batch))
        with with_keys(net, keys), autocast(where, recipe.precision):
            logits = net(images).float()
        total = F.cross_entropy(logits, target.to(where))
        done, loss = number, total.item()
        if not math.isfinite(loss):
            loss = math.nan
            break
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        for name, layer in layers.items():
            rms = layer.weight.detach().square().mean(dim=(1, 2, 3)).sqrt().max().item()
            largest[name] = max(largest[name], rms)
        for name, over in zip(
            layers, rescale(list(layers.values()), recipe.max_rms).tolist(), strict=True
        ):
            scaled[name] += over
            if over:
                first.setdefault(name, number)
    return [
        {
            "scale": scale,
            "rate": rate,
            "layer": name,
            "first_update": first.get(name, ""),
            "filters_scaled": scaled[name],
            "largest_rms": largest[name],
            "updates": done,
            "loss": loss,
        }
        for name in layers
    ]


def _batches(net: ChainNet, data: Squares, mean: torch.Tensor, recipe: Recipe, updates: int) -> Any:
    """(epoch, update, indices, images, labels) of the first updates of a training by `recipe`."""
    batches = Batches(len(data), recipe.batch_size, recipe.seed)
    crops = TrainingCrops(data, mean, net.input_px, recipe.seed, recipe.crops)
    loader = DataLoader(crops, batch_sampler=batches, num_workers=recipe.workers)
    update = 0
    while update < updates:
        batches.epoch += 1
        for number, (images, target) in enumerate(loader):
            update += 1
            yield batches.epoch, update, batches.batch(number), images, target
            if update == updates:
                return


def summary(rows: list[dict[str, Any]], rate: float, scale: float) -> str:
    """A line for people about one rate and scale."""
    mine = [row for row in rows if (row["rate"], row["scale"]) == (rate, scale)]
    parts = [
        f"{row['layer']} from update {row['first_update']} on, {row['filters_scaled']} filters"
        for row in mine
        if row["filters_scaled"]
    ]
    text = "; ".join(parts) or f"never (largest RMS {max(r['largest_rms'] for r in mine):.3f})"
    end = "the loss is no longer finite" if math.isnan(mine[0]["loss"]) else "finite"
    return f"rate {rate:g}, inputs × {scale:g}: {text}; {mine[0]['updates']} updates, {end}"


if __name__ == "__main__":
    main()
