"""Figure 6: features of layers 1 and 2, without renormalisation, with a coarse and a fine layer 1.

    python -m experiments.fig6_first_layers
    python -m experiments.fig6_first_layers ours=<run>/epoch_010.pt
    python -m experiments.fig6_first_layers redraw=outputs/fig6_first_layers/<folder>

Paper: (a) layer 1 without the renormalisation of filters, where one filter dominates; (b) layer 1
of Krizhevsky's network, 11×11 stride 4: a mix of extreme high and low frequencies, little between;
(c) 7×7 stride 2, fewer dead features; (d), (e) layer 2 of both, aliasing artefacts in (d) alone.
Not stated there: any number, which images layer 2 is projected from, how filters are scaled. Here:
all filters of a panel on one scale; of each map of layer 2 the strongest unit over the validation
images; dominance, dead and faint filters and aliasing as `deconv.studies.first_layers.quality`
measures them.

Networks that are not given are trained first: twins of `ours` by one recipe, but for the change.
Writes figure.png and figure.pdf, arrays.npz (what is drawn, and the measures of each filter),
table.csv (a row a network and layer), findings.json, config.yaml and provenance.json; trained
networks in a folder each.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader, Subset

from deconv import distributed
from deconv.data import CentreCrops, Squares
from deconv.errors import DeconvError
from deconv.mining.top_activations import CHUNK, top_activations
from deconv.networks import ChainNet, build
from deconv.studies.first_layers.quality import (
    aliased,
    bands,
    responses_aliased,
    share_within,
    square_stride,
)
from deconv.training.snapshots import Snapshot, weights_hash
from experiments.first_layer_claims import FEW, differences, judge
from experiments.first_layers_page import ROLES, SAVED, draw
from experiments.first_two_layers import (
    FIRST,
    SECOND,
    brief_training,
    check_common,
    digits,
    given_networks,
    look,
    projections,
    strengths,
)
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, deconvnet_choices, training_facts
from experiments.kit.findings import write_findings
from experiments.kit.inputs import build_network, device, squares, stored_side_px, workers
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_missing

FREQUENCIES = np.linspace(0, 0.5, 51)
"""Cycles a pixel, where the curves of the spectra are computed."""
CONTROL_IMAGES, CONTROL_SEED = 256, 1000
"""Of networks with random weights: images they are mined over, the seed of the first one."""


@experiment("fig6_first_layers")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train what is missing, look at the three networks, save, draw; or draw again."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    check(cfg)
    given = given_networks(cfg, ROLES)
    settings = {role: twin(cfg, role, given.get("ours")) for role in ROLES}
    check_networks(settings, given)
    compute(cfg, folder, train_missing(settings, given, folder))
    if distributed.rank() == 0:
        draw(folder, folder)


def check(cfg: DictConfig) -> None:
    """Raise DeconvError for a setting that cannot be used, before anything long."""
    check_common(cfg, ROLES, "fig6_first_layers")
    edges = list(cfg.bands) if isinstance(cfg.bands, ListConfig) else []
    numbers = len(edges) == 2 and all(isinstance(e, int | float) for e in edges)
    if not numbers or not 0 < edges[0] < edges[1] < 0.5:
        raise DeconvError(f"bands takes two frequencies that rise within 0…0.5, got {cfg.bands}")
    for name, least in (("response_images", 1), ("controls", 2)):
        if cfg[name] < least:
            raise DeconvError(f"{name} must be at least {least}, got {cfg[name]}")


def twin(cfg: DictConfig, role: str, ours: Snapshot | None) -> DictConfig:
    """The settings by which the network of a role is trained; of `ours` if it is given."""
    changes = {"model.first_layer": "coarse"} if role == "coarse" else {}
    changes |= {"train.max_rms": None} if role == "without" else {}
    return brief_training(cfg, changes, ours)


def check_networks(settings: dict[str, DictConfig], given: dict[str, Snapshot]) -> None:
    """Raise DeconvError for networks that do not belong in their role."""
    strides = {}
    for role, cfg in settings.items():
        snapshot = given.get(role)
        net = snapshot.network() if snapshot else build_network(cfg, 2)
        for layer in (FIRST, SECOND):
            net.check_point(layer)
        strides[role] = square_stride(net.get_submodule(FIRST))
        recipe = snapshot.config.get("train", {}) if snapshot else cfg.train
        limit = recipe.get("max_rms", "not known")
        if limit != "not known" and (limit is None) != (role == "without"):
            wanted = "null" if role == "without" else "a limit"
            raise DeconvError(f"{role}= has to be trained with train.max_rms={wanted}, not {limit}")
    if strides["coarse"] <= strides["ours"]:
        raise DeconvError(
            f"layer 1 of coarse= has stride {strides['coarse']}, that of ours= {strides['ours']}: "
            "the coarse one has to be larger (model=alexnet, or model.first_layer=coarse)"
        )


def compute(cfg: DictConfig, folder: Path, snapshots: dict[str, Snapshot]) -> None:
    """Look at each network, judge the paper's claims, save it all."""
    started = time.perf_counter()
    arrays, rows, networks = {"frequencies": FREQUENCIES}, [], {}
    sides = {role: stored_side_px(cfg, snapshot) for role, snapshot in snapshots.items()}
    data = {side: squares(cfg, cfg.split, side) for side in set(sides.values())}
    for role, snapshot in snapshots.items():
        net = snapshot.network().to(device(cfg))
        crops = CentreCrops(data[sides[role]], snapshot.mean, net.input_px)
        found = look(cfg, role, net, crops)
        if distributed.rank() > 0:
            continue
        found |= spectra(cfg, net, crops, found)
        if role != "without":
            found["random_aliased"] = controls(cfg, snapshot, data[sides[role]])
        arrays |= {f"{role}/{name}": array for name, array in found.items()}
        rows += [summary(cfg, role, net, found, layer) for layer in (FIRST, SECOND)]
        networks[role] = {
            "model": net.recipe,
            "weights_sha256": weights_hash(net),
            "max_rms": snapshot.config.get("train", {}).get("max_rms"),
            "training": training_facts(snapshot, cfg[role]),
        }
    if distributed.rank() > 0:
        return
    unequal = {role: differences(snapshots["ours"], snapshots[role], role) for role in ROLES[:2]}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    write_findings(folder, judge(rows, arrays, unequal, cfg.faint))
    facts = choices(cfg, net, snapshots["ours"].mean) | {
        "data": data_facts(cfg, cfg.split, data[sides["ours"]]),
        "networks": networks,
        "unequal": unequal,
        "rows": rows,
        "response_images": min(cfg.response_images, len(data[sides["ours"]])),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)


def spectra(
    cfg: DictConfig, net: ChainNet, crops: CentreCrops, found: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The spectra of what `look` found, and what layer 1's stride aliases, as arrays by name."""
    conv, out = net.get_submodule(FIRST), {}
    stride = square_stride(conv)
    for layer, name in ((FIRST, "filters"), (SECOND, "projection")):
        signals = torch.from_numpy(found[name])
        out[f"{layer}/aliased"] = aliased(signals, stride).numpy()
        out[f"{layer}/bands"] = bands(signals, list(cfg.bands)).numpy()
        curve = [share_within(signals, f).nanmean().item() for f in FREQUENCIES]
        out[f"{layer}/within"] = np.array(curve)
    images = [crops[i][0] for i in range(min(cfg.response_images, len(crops)))]
    out["responses_aliased"] = responses_aliased(conv, images).numpy()
    return out


def controls(cfg: DictConfig, snapshot: Snapshot, data: Squares) -> np.ndarray:
    """What layer 1's stride aliases of layer 2's projections, in networks of random weights.

    One number each, the mean over maps, of cfg.controls networks over the first CONTROL_IMAGES.
    """
    shares = []
    for number in range(cfg.controls):
        net = build(**snapshot.recipe, seed=CONTROL_SEED + number).to(device(cfg))
        crops = CentreCrops(data, snapshot.mean, net.input_px)
        some = Subset(crops, range(min(CONTROL_IMAGES, len(crops))))
        loader = DataLoader(some, batch_size=CHUNK, num_workers=workers(cfg))
        peaks = top_activations(net, loader, SECOND, k=1, progress=False)[SECOND]
        pictures = torch.from_numpy(projections(net, crops, peaks, cfg.collisions)["projection"])
        stride = square_stride(net.get_submodule(FIRST))
        shares.append(aliased(pictures, stride).nanmean().item())
    return np.array(shares)


def summary(
    cfg: DictConfig, role: str, net: ChainNet, found: dict[str, np.ndarray], layer: str
) -> dict[str, Any]:
    """The row of table.csv for one network and layer.

    Strengths are those of the layer's filters; the spectrum is that of the filters for layer 1,
    of the projections for layer 2, and `aliased` refers to the stride of layer 1 in both.
    """
    stride = square_stride(net.get_submodule(FIRST))
    shares = dict(zip(("low", "mid", "high"), _mean(found[f"{layer}/bands"]), strict=True))
    return strengths(cfg, role, net, found, layer) | {
        "spectrum_of": "filters" if layer == FIRST else "projections",
        **{name: digits(share) for name, share in shares.items()},
        "aliased": digits(_mean(found[f"{layer}/aliased"])),
        "white_noise_aliased": 1 - 1 / stride**2,
        "random_aliased": digits(_mean(found["random_aliased"]))
        if layer == SECOND and role != "without"
        else "",
        "responses_aliased": digits(_mean(found["responses_aliased"])) if layer == FIRST else "",
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over filters that are not zero; NaN where all are."""
    known = values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(values.shape[1:], np.nan)


def choices(cfg: DictConfig, net: ChainNet, mean: torch.Tensor) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return {
        "figure": "6",
        "choices": {
            "maps": "all of layers 1 and 2",
            "peaks": "the strongest unit of each map; read after ReLU, before pooling",
            "dead": "never above 0 on the images",
            "faint": f"RMS below {cfg.faint:g} of the strongest filter's",
            "dominance": f"half of layer 1's squared weights in at most {FEW:g} of its filters",
            "bands": f"max(|f_y|, |f_x|) up to {cfg.bands[0]}, up to {cfg.bands[1]}, above, cycles "
            "a pixel",
            "aliasing": "energy at |f_y| or |f_x| above 1/(2·stride of layer 1)",
            "random weights": f"{cfg.controls} networks of the same recipe, over the first "
            f"{CONTROL_IMAGES} images",
            "responses": f"of the first {cfg.response_images} images, at every pixel, without bias "
            "and ReLU",
            "filters": "drawn on one scale a panel",
        }
        | deconvnet_choices(net, cfg.collisions, mean, (FIRST, SECOND)),
    }


if __name__ == "__main__":
    main()
