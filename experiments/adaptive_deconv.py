"""What the deconvnet grew out of: Zeiler, Taylor & Fergus (ICCV 2011), at small scale, no labels.

    python -m experiments.adaptive_deconv
    python -m experiments.adaptive_deconv redraw=outputs/adaptive_deconv/<folder>

Layers of convolutional sparse coding with switch pooling, learned one by one; each reconstructs
the input through all layers below it. `deconv/sparse_coding/__init__.py` states the cost, what is
known of the original and what is unverified; every number of conf/adaptive_deconv.yaml is a
choice. Beside the 2014 deconvnet: there the filters are a trained convnet's, transposed, and its
maps come from a single pass; here the filters are learned for reconstruction and the maps are
inferred, step by step. Both unpool with the image's switches and paint by transposed convolution.

Of held-out images: the share of their energy that each layer does not explain, beside (a) filters
drawn at random, inferred alike, (b) a single step of inference from zero, at its best gain.

Writes figure.png and figure.pdf, arrays.npz (filters, pictures), table.csv (a row a layer),
history.csv (a row an epoch), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from deconv import distributed
from deconv.data import Squares
from deconv.errors import DeconvError, unknown
from deconv.normalisation import local_contrast_norm
from deconv.pixels import Grey
from deconv.studies.bootstrap import bootstrap
from deconv.studies.sparse_coding import (
    SOLVERS,
    AdaptiveDeconvNet,
    Epoch,
    decompose,
    encode,
    infer,
    project_units,
    strongest_units,
    train,
)
from experiments.adaptive_page import PARTS, SAVED, draw
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts
from experiments.kit.findings import Finding, write_findings
from experiments.kit.inputs import data_name, device, log, squares
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw

STEM = "adaptive_deconv"


@experiment(STEM)
def main(cfg: DictConfig, folder: Path) -> None:
    """Learn, measure, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    net = check(cfg)
    data = {
        split: squares(cfg, split, cfg.crop_px + 2 * edge_px(cfg)) for split in ("train", "val")
    }
    for split, key in (("train", "train_on"), ("val", "measured")):
        if len(data[split]) < cfg[key]:
            raise DeconvError(
                f"{split!r} of {data_name(cfg)} has {len(data[split])} images, {key}={cfg[key]}"
            )
    if distributed.rank() == 0:
        compute(cfg, folder, net, data)
        draw(folder, folder)


def check(cfg: DictConfig) -> AdaptiveDeconvNet:
    """The network that is to be learned; DeconvError for what cannot be, before anything long."""
    counts = ("train_on", "measured", "shown", "epochs", "steps", "filter_steps", "final_steps")
    for name in (*counts, "crop_px"):
        if cfg[name] < 1:
            raise DeconvError(f"{name}={cfg[name]} must be at least 1")
    if cfg.shown > cfg.measured:
        raise DeconvError(f"shown={cfg.shown} images of measured={cfg.measured}")
    if cfg.solver not in SOLVERS:
        raise unknown("solver", cfg.solver, SOLVERS)
    if cfg.window_px < 0 or (cfg.window_px and cfg.window_px % 2 == 0):
        raise DeconvError(f"window_px={cfg.window_px} is odd, or 0 for no window")
    if cfg.window_sigma <= 0:
        raise DeconvError(f"window_sigma={cfg.window_sigma} must be above 0")
    net = build(cfg, cfg.seed)
    net.check_size(cfg.crop_px, cfg.crop_px)
    return net


def build(cfg: DictConfig, seed: int) -> AdaptiveDeconvNet:
    """The network of cfg with random filters."""
    lists = {k: OmegaConf.to_container(cfg[k]) for k in ("maps", "kernels_px", "lambdas")}
    return AdaptiveDeconvNet(**lists, pool_px=cfg.pool_px, pool_maps=cfg.pool_maps, seed=seed)


def edge_px(cfg: DictConfig) -> int:
    """Cut off each side after normalisation, whose two windows reach over the border."""
    return 2 * (cfg.window_px // 2)


def load(cfg: DictConfig, data: Squares, count: int) -> torch.Tensor:
    """`count` images of a seeded choice, grey and normalised: N×1×S×S."""
    chosen = np.sort(np.random.default_rng(cfg.seed).permutation(len(data))[:count])
    stored = torch.stack([data[int(i)][0] for i in chosen]).float() / 255
    grey = Grey()(stored)
    if not cfg.window_px:
        return grey - grey.mean(dim=(2, 3), keepdim=True)
    cut = slice(edge_px(cfg), edge_px(cfg) + cfg.crop_px)
    return local_contrast_norm(grey, cfg.window_px, cfg.window_sigma)[..., cut, cut].contiguous()


def compute(
    cfg: DictConfig, folder: Path, net: AdaptiveDeconvNet, data: dict[str, Squares]
) -> None:
    """Learn on "train", measure on "val", save everything."""
    started, where = time.perf_counter(), device(cfg)
    how = {"solver": cfg.solver, "competition": cfg.competition, "seed": cfg.seed}
    net, untrained = net.to(where), build(cfg, cfg.seed).to(where)
    held_out = load(cfg, data["val"], cfg.measured).to(where)
    history = train(
        net, load(cfg, data["train"], cfg.train_on).to(where), epochs=cfg.epochs, steps=cfg.steps,
        filter_steps=cfg.filter_steps, switch_steps=cfg.final_steps, report=tell, **how,
    )  # fmt: skip
    log(f"measuring on {len(held_out)} images")
    found, switches = encode(net, held_out, cfg.final_steps, **how)
    other, _ = encode(untrained, held_out, cfg.final_steps, **how)
    energy = held_out.square().flatten(1).sum(1, dtype=torch.float64)
    single = [
        single_step(net, layer, held_out, switches, how) for layer in range(1, net.layers + 1)
    ]
    scores = {
        "learned": [(one.error / energy).cpu().numpy() for one in found],
        "random": [(one.error / energy).cpu().numpy() for one in other],
        "single_step": [left for left, _ in single],
    }
    rows = [row(net, i, history, found[i], scores, held_out) for i in range(net.layers)]
    for one, (_, share) in zip(rows, single, strict=True):
        one["single_step_nonzero_share"] = float(share.mean())
    for one in rows:
        log(
            f"layer {one['layer']}: {one['relative_error']:.3f} of the energy not explained "
            f"(random filters {one['random_filters']:.3f}, single step {one['single_step']:.3f}), "
            f"{100 * one['nonzero_share']:.1f} % of values not zero"
        )
    write_table(folder / "table.csv", rows)
    write_table(folder / "history.csv", [epoch_row(one) for one in history])
    arrays = pictures(cfg, net, held_out, found, switches, history)
    arrays |= {f"{name}/{i + 1}": v for name, of in scores.items() for i, v in enumerate(of)}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    facts = choices(cfg, net) | {
        "training_data": data_facts(cfg, "train", data["train"]),
        "data": data_facts(cfg, "val", data["val"]),
        "layers": rows,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)
    write_findings(folder, findings(scores, cfg.seed))


def tell(epoch: Epoch) -> None:
    """A line an epoch."""
    log(
        f"layer {epoch.layer}, epoch {epoch.epoch}: cost {epoch.cost[0]:.1f} to "
        f"{epoch.cost[-1]:.1f}, {epoch.error:.3f} of the energy not explained"
    )


def single_step(
    net: AdaptiveDeconvNet,
    layer: int,
    images: torch.Tensor,
    switches: list[torch.Tensor],
    how: dict[str, Any],
) -> np.ndarray:
    """2×N: what one step from zero leaves unexplained at its best gain; values not zero."""
    maps = infer(net, layer, images, switches, 1, **how).maps
    painted = net.down(layer, maps, switches).flatten(1).double()
    flat = images.flatten(1).double()
    own = painted.square().sum(1)
    met = (painted * flat).sum(1).square() / own.clamp(min=torch.finfo(own.dtype).tiny)
    left = 1 - met / flat.square().sum(1)
    return torch.stack([left, (maps != 0).double().mean(dim=(1, 2, 3))]).cpu().numpy()


def row(
    net: AdaptiveDeconvNet,
    i: int,
    history: list[Epoch],
    found: Any,
    scores: dict[str, list[np.ndarray]],
    images: torch.Tensor,
) -> dict[str, Any]:
    """table.csv of layer i + 1. Shares are of the images' energy; SNR is of the mean share."""
    size, stride, _ = net.field(i + 1)
    last = [one for one in history if one.layer == i + 1][-1]
    share = float(scores["learned"][i].mean())
    live = (found.maps != 0).any(dim=(0, 2, 3))
    return {
        "layer": i + 1,
        "maps": len(net.filters[i]),
        "live_maps": int(live.sum()),
        "kernel_px": net.filters[i].shape[-1],
        "field_px": size,
        "stride_px": stride,
        "lambda": net.lambdas[i],
        "relative_error": share,
        "snr_db": -10 * math.log10(max(share, 1e-12)),
        "random_filters": float(scores["random"][i].mean()),
        "single_step": float(scores["single_step"][i].mean()),
        "training_error": last.error,
        "nonzero_share": float((found.maps != 0).double().mean()),
        "nonzero_per_pixel": float((found.maps != 0).sum() / images[:, 0].numel()),
        "cost_start": float(found.cost[0].mean()),
        "cost_end": float(found.cost[-1].mean()),
        "refused_steps": float(found.refused.double().mean() / (len(found.cost) - 1)),
    }


def epoch_row(one: Epoch) -> dict[str, Any]:
    """history.csv of one epoch."""
    return {
        "layer": one.layer,
        "epoch": one.epoch,
        "cost_before": one.cost[0],
        "cost_after": one.cost[-1],
        "error_after_inference": one.error,
        "error_after_filters": one.learned,
        "refused_steps": one.refused,
    }


def pictures(
    cfg: DictConfig,
    net: AdaptiveDeconvNet,
    images: torch.Tensor,
    found: list[Any],
    switches: list[torch.Tensor],
    history: list[Epoch],
) -> dict[str, np.ndarray]:
    """What is drawn: images, and of each layer filters, features, reconstructions, parts, costs."""
    shown = slice(0, cfg.shown)
    own = [one[shown] for one in switches]
    arrays = {"images": images[shown]}
    size = images.shape[-2:]
    unit, value = strongest_unit(net, found[-1].maps)
    chain = decompose(net, net.layers, unit, value, switches, size, PARTS[: net.layers - 1])
    for i in range(net.layers):
        layer = i + 1
        features, at = view_maps(net, layer, found[i].maps, switches, size)
        arrays[f"{layer}/filters"] = net.filters[i].data
        arrays[f"{layer}/features"], arrays[f"{layer}/units"] = features, at
        arrays[f"{layer}/rebuilt"] = net.down(layer, found[i].maps[shown], own)
        arrays[f"{layer}/nonzero"] = (found[i].maps[shown] != 0).double().mean(dim=(1, 2, 3))
        arrays[f"{layer}/parts"] = chain[net.layers - layer]
        costs = [one.cost for one in history if one.layer == layer]
        start = costs[0][0]
        curve = [start, *(c for one in costs for c in one[1:])]
        arrays[f"{layer}/cost"] = torch.tensor(curve) / start
    arrays["unit"] = unit
    return {name: one.detach().cpu().numpy() for name, one in arrays.items()}


def inside(net: AdaptiveDeconvNet, layer: int, maps: torch.Tensor, side_px: int) -> torch.Tensor:
    """`maps` with the units zeroed whose field reaches over the image's border.

    All are kept where no unit's field lies inside.
    """
    size, stride, start = net.field(layer)
    first = torch.arange(maps.shape[-1], device=maps.device) * stride + start
    whole = (first >= 0) & (first + size <= side_px)
    if not whole.any():
        return maps
    return maps * (whole[:, None] & whole[None, :]).to(maps.dtype)


def view_maps(
    net: AdaptiveDeconvNet,
    layer: int,
    maps: torch.Tensor,
    switches: list[torch.Tensor],
    size: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each map's strongest unit painted alone, with a positive sign, cut to its field.

    Returns K×C×s×s (zeros outside the image and for dead maps) and units K×4, -1 for dead maps.
    """
    best = strongest_units(inside(net, layer, maps, size[0]), 1)
    number = torch.arange(len(best.value), device=maps.device)
    units = torch.stack([best.image[:, 0], number, best.y[:, 0], best.x[:, 0]], 1)
    pixels = project_units(net, layer, units.clamp(min=0), best.value[:, 0].abs(), switches, size)
    side, stride, start = net.field(layer)
    padded = torch.nn.functional.pad(pixels, (side,) * 4)
    cut = [
        padded[i, :, top : top + side, left : left + side]
        for i, (top, left) in enumerate(
            (units[:, 2:].clamp(min=0) * stride + start + side).tolist()
        )
    ]
    return torch.stack(cut), torch.where(best.image >= 0, units, -1)


def strongest_unit(net: AdaptiveDeconvNet, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The strongest unit of the last layer over all images: (image, map, y, x) and its value."""
    side_px = maps.shape[-1] * net.pool_px ** (net.layers - 1)
    maps = inside(net, net.layers, maps, side_px)
    flat = int(maps.abs().argmax())
    unit = torch.tensor(np.unravel_index(flat, maps.shape))
    return unit, maps.flatten()[flat]


def findings(scores: dict[str, list[np.ndarray]], seed: int) -> list[Finding]:
    """Whether learned filters and inference explain held-out images better than what stands in."""
    found = []
    for name, words in (
        ("random", "filters drawn at random, inferred alike,"),
        ("single_step", "one step of inference at its best gain"),
    ):
        gains = [o - m for m, o in zip(scores["learned"], scores[name], strict=True)]
        ranges = [bootstrap(one, seed) for one in gains]
        found.append(
            Finding(
                f"truth/{STEM}/gain_over_{name}",
                float(gains[-1].mean()),
                (ranges[-1][1] - ranges[-1][0]) / 2,
                all(low > 0 for low, _ in ranges),
                f"the share of held-out images' energy that {words} leaves unexplained is above "
                "that of learned filters after inference, at every layer by the bootstrap interval "
                "over images (95 %); the number is the last layer's",
                "of the energy",
            )
        )
    return found


def choices(cfg: DictConfig, net: AdaptiveDeconvNet) -> dict[str, Any]:
    """How it was done, and that the original's way is not verified."""
    window = f"local contrast, window {cfg.window_px}, sigma {cfg.window_sigma}, border cut off"
    return {
        "figure": "of Zeiler, Taylor & Fergus 2011, in kind",
        "choices": {
            "input": f"grey; {window if cfg.window_px else 'minus its mean'}",
            "cost": "lambda/2 · |R z - y|² + |z|_1 against the image, through all layers below",
            "lambdas": net.lambdas,
            "pooling": f"blocks of {cfg.pool_maps} maps × {cfg.pool_px}×{cfg.pool_px}, largest "
            "magnitude, sign kept",
            "competition": bool(cfg.competition),
            "switches": "a layer's own renewed with each step, fixed for the layers above",
            "solver": cfg.solver,
            "steps": f"{cfg.steps} an epoch, going on from the epoch before; {cfg.final_steps} "
            "from zero for switches and numbers",
            "filters": f"{cfg.filter_steps} steps of conjugate gradients an epoch, unit length",
            "epochs": cfg.epochs,
            "unverified": "all of these against the original's text, but for the layers of sparse "
            "coding and max pooling and the image as what each layer reconstructs (abstract)",
        },
        "train_on": cfg.train_on,
        "measured": cfg.measured,
        "steps": cfg.steps,
        "epochs": cfg.epochs,
    }


if __name__ == "__main__":
    main()
