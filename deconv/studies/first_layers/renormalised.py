"""How often the renormalisation of filters acts in the first updates of a training (§3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from deconv.data import Batches, Squares, TrainingCrops
from deconv.networks import ChainNet
from deconv.networks.dropout import dropout_keys, with_keys
from deconv.training import Recipe
from deconv.training.evaluation import autocast
from deconv.training.renormalisation import conv_layers, rescale


def count_renormalised(
    net: ChainNet,
    data: Squares,
    mean: torch.Tensor,
    recipe: Recipe,
    rate: float,
    scale: float,
    updates: int,
) -> list[dict[str, Any]]:
    """Train a network for some updates and count the filters that are scaled back.

    Args:
        net: trained in place.
        mean: 3×S×S, subtracted from the images.
        recipe: what is not said here, with the limit max_rms.
        rate: learning rate, fixed.
        scale: what the inputs are multiplied by.

    Returns:
        For each convolutional layer: first_update, the first one after which a filter was over
        the limit ("": none ever); filters_scaled in all; largest_rms before scaling; and of the
        training: updates done, and the last loss (nan: no longer finite, the training ended).
    """
    where, layers, limit = net.device, conv_layers(net), recipe.max_rms
    assert limit is not None  # the command refuses such a recipe
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
        over = rescale(list(layers.values()), limit).tolist()
        for name, count in zip(layers, over, strict=True):
            scaled[name] += count
            if count:
                first.setdefault(name, number)
    return [
        {
            "layer": name,
            "first_update": first.get(name, ""),
            "filters_scaled": scaled[name],
            "largest_rms": largest[name],
            "updates": done,
            "loss": loss,
        }
        for name in layers
    ]


def _batches(
    net: ChainNet, data: Squares, mean: torch.Tensor, recipe: Recipe, updates: int
) -> Iterator[tuple[int, int, Any, torch.Tensor, torch.Tensor]]:
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
