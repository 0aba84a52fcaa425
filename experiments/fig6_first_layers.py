"""Figure 6: features of layers 1 and 2, without renormalisation, with a coarse and a fine layer 1.

    python -m experiments.fig6_first_layers
    python -m experiments.fig6_first_layers ours=<run>/epoch_010.pt
    python -m experiments.fig6_first_layers redraw=outputs/fig6_first_layers/<folder>

Paper: (a) layer 1 without the renormalisation of filters, where one filter dominates; (b) layer 1
of Krizhevsky's network, 11×11 stride 4: a mix of extreme high and low frequencies, little between;
(c) 7×7 stride 2, fewer dead features; (d), (e) layer 2 of both, aliasing artefacts in (d) alone.
Not stated there: any number, which images layer 2 is projected from, how filters are scaled. Here:
all filters of a panel on one scale; of each map of layer 2 the strongest unit over the validation
images; dominance, dead and faint filters and aliasing as `deconv.filter_quality` measures them.

Networks that are not given are trained first: twins of `ours` by one recipe, but for the change.
Writes figure.png and figure.pdf, arrays.npz (what is drawn, and the measures of each filter),
table.csv (a row a network and layer), findings.json, config.yaml and provenance.json; trained
networks in a folder each.
"""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.utils.data import DataLoader, Subset

from deconv import distributed, figures
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.filter_quality import (
    aliased,
    bands,
    effective_filters,
    faint,
    filter_rms,
    filters_of_half,
    responses_aliased,
    share_within,
    square_stride,
)
from deconv.geometry import unclipped_field
from deconv.layers import COLLISIONS
from deconv.models import ChainNet, build
from deconv.peak_views import peak_views
from deconv.snapshots import Snapshot, load_snapshot, weights_hash
from deconv.top_activations import CHUNK, top_activations
from deconv.types import Peaks
from experiments.command import experiment
from experiments.common import build_network, device, log, squares, stored_side_px, workers
from experiments.facts import data_facts, deconvnet_choices, describe_network, training_facts
from experiments.findings import write_findings
from experiments.first_layer_claims import FEW, FIRST, SECOND, differences, judge
from experiments.provenance import write_provenance, write_table
from experiments.redrawing import redraw
from experiments.trained import train_network

ROLES = ("without", "coarse", "ours")
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
    given = {role: load_snapshot(cfg[role]) for role in ROLES if cfg[role]}
    settings = {role: twin(cfg, role, given.get("ours")) for role in ROLES}
    check_networks(settings, given)
    for role in ROLES:
        if role not in given:
            log(f"{role}= is not given: training it first, {settings[role].train.epochs} epochs")
            (folder / role).mkdir(exist_ok=True)
            given[role] = train_network(settings[role], folder / role)
    compute(cfg, folder, {role: given[role] for role in ROLES})
    if distributed.rank() == 0:
        draw(folder, folder)


def check(cfg: DictConfig) -> None:
    """Raise DeconvError for a setting that cannot be used, before anything long."""
    missing = [f"{role}=" for role in ROLES if not cfg[role]]
    if missing and cfg.size_name == "paper":
        raise DeconvError(
            f"size=paper needs trained networks, {', '.join(missing)} missing: "
            "conf/fig6_first_layers.yaml lists the trainings"
        )
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)
    edges = list(cfg.bands) if isinstance(cfg.bands, ListConfig) else []
    numbers = len(edges) == 2 and all(isinstance(e, int | float) for e in edges)
    if not numbers or not 0 < edges[0] < edges[1] < 0.5:
        raise DeconvError(f"bands takes two frequencies that rise within 0…0.5, got {cfg.bands}")
    if not 0 < cfg.faint < 1:
        raise DeconvError(f"faint is a share between 0 and 1, got {cfg.faint}")
    for name, least in (("epochs", 1), ("response_images", 1), ("controls", 2)):
        if cfg[name] < least:
            raise DeconvError(f"{name} must be at least {least}, got {cfg[name]}")


def twin(cfg: DictConfig, role: str, ours: Snapshot | None) -> DictConfig:
    """The settings by which the network of a role is trained; of `ours` if it is given."""
    cfg = copy.deepcopy(cfg)
    if ours is not None:
        cfg.model = OmegaConf.create(dict(ours.recipe))
    epochs = min(cfg.epochs, cfg.train.epochs)
    changes = {"model.first_layer": "coarse"} if role == "coarse" else {}
    changes |= {"train.max_rms": None} if role == "without" else {}
    changes |= {"train.epochs": epochs, "train.eval_every": epochs, "train.keep_last": 1}
    changes |= {"train.snapshot_epochs": [epochs], "train.test_crops": "centre", "pictures": "none"}
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


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
        found = look(cfg, role, net, CentreCrops(data[sides[role]], snapshot.mean, net.input_px))
        if distributed.rank() > 0:
            continue
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


def look(cfg: DictConfig, role: str, net: ChainNet, crops: CentreCrops) -> dict[str, np.ndarray]:
    """What there is to see and to measure of one network's layers 1 and 2, as arrays by name."""
    log(f"{role}: layers 1 and 2 of {net.name} over {len(crops)} images")
    loader = DataLoader(Share(crops, CHUNK), batch_size=CHUNK, num_workers=workers(cfg))
    peaks = top_activations(net, loader, [FIRST, SECOND], k=1)
    if distributed.rank() > 0:
        return {}
    conv = net.get_submodule(FIRST)
    stride, weights = square_stride(conv), conv.weight.detach().cpu()
    views = projections(net, crops, peaks[SECOND], cfg.collisions)
    pictures = torch.from_numpy(views["projection"])
    images = [crops[i][0] for i in range(min(cfg.response_images, len(crops)))]
    out = views | {"filters": weights.float().numpy()}
    for layer in (FIRST, SECOND):
        out[f"{layer}/strongest"] = peaks[layer].value[:, 0].numpy()
        out[f"{layer}/rms"] = filter_rms(net.get_submodule(layer).weight.detach()).cpu().numpy()
    for layer, signals in ((FIRST, weights), (SECOND, pictures)):
        out[f"{layer}/aliased"] = aliased(signals, stride).numpy()
        out[f"{layer}/bands"] = bands(signals, list(cfg.bands)).numpy()
        curve = [share_within(signals, f).nanmean().item() for f in FREQUENCIES]
        out[f"{layer}/within"] = np.array(curve)
    out["responses_aliased"] = responses_aliased(conv, images).numpy()
    return out


def projections(
    net: ChainNet, crops: CentreCrops, peaks: Peaks, policy: str
) -> dict[str, np.ndarray]:
    """The strongest unit of each map of layer 2, projected; blank and -1 where the map is dead."""
    top, left, bottom, right = unclipped_field(net, SECOND, 0, 0, (net.input_px, net.input_px))
    maps, canvas = len(peaks.value), (bottom - top, right - left)
    out = {
        **{name: np.full(maps, -1) for name in ("image", "y", "x")},
        "box": np.zeros((maps, 4), int),
        "projection": np.zeros((maps, 3, *canvas), np.float32),
        "inside": np.zeros((maps, *canvas), bool),
    }
    live = (peaks.value[:, 0] > 0).nonzero().flatten()
    if len(live):
        views = peak_views(net, crops, SECOND, peaks, live, crops.picture, collisions=policy)
        for name, values in out.items():
            values[live.numpy()] = getattr(views, name)[:, 0].numpy()
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
    conv, rms = net.get_submodule(layer), torch.from_numpy(found[f"{layer}/rms"])
    stride = square_stride(net.get_submodule(FIRST))
    dead = found[f"{layer}/strongest"] <= 0
    weak = faint(rms, cfg.faint).numpy()
    shares = dict(zip(("low", "mid", "high"), _mean(found[f"{layer}/bands"]), strict=True))
    return {
        "network": role,
        "layer": layer,
        "kernel": conv.kernel_size[0],
        "stride": conv.stride[0],
        "maps": len(rms),
        "dead": int(dead.sum()),
        "faint": int(weak.sum()),
        "dead_or_faint": int((dead | weak).sum()),
        "largest_rms": _digits(rms.max()),
        "median_rms": _digits(rms.median()),
        "effective_filters": round(effective_filters(rms), 2),
        "filters_of_half": filters_of_half(rms),
        "spectrum_of": "filters" if layer == FIRST else "projections",
        **{name: _digits(share) for name, share in shares.items()},
        "aliased": _digits(_mean(found[f"{layer}/aliased"])),
        "white_noise_aliased": 1 - 1 / stride**2,
        "random_aliased": _digits(_mean(found["random_aliased"]))
        if layer == SECOND and role != "without"
        else "",
        "responses_aliased": _digits(_mean(found["responses_aliased"])) if layer == FIRST else "",
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over filters that are not zero; NaN where all are."""
    known = values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(values.shape[1:], np.nan)


def _digits(value: Any) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None


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


SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with np.load(source / "arrays.npz") as arrays:
        networks = [panel(arrays, facts, role) for role in ROLES]
        page = figures.first_layers(
            *networks,
            arrays["frequencies"],
            caption(facts),
            max_rms=facts["networks"]["ours"]["max_rms"],
        )
    figures.save(page, folder)


def panel(arrays: Any, facts: dict[str, Any], role: str) -> figures.FirstLayers:
    """What the page needs of one network."""
    row = next(r for r in facts["rows"] if (r["network"], r["layer"]) == (role, FIRST))
    kernel, stride = row["kernel"], row["stride"]
    times = row["largest_rms"] / row["median_rms"] if row["median_rms"] else math.inf
    note = (
        f"{row['maps']} of {kernel}×{kernel} px, strongest {times:.1f}× median, "
        f"{row['dead']} dead, {row['faint']} faint"
    )
    return figures.FirstLayers(
        f"{kernel}×{kernel} stride {stride}",
        stride,
        arrays[f"{role}/filters"],
        arrays[f"{role}/{FIRST}/rms"],
        arrays[f"{role}/projection"],
        arrays[f"{role}/inside"],
        {"layer 1": arrays[f"{role}/{FIRST}/within"], "layer 2": arrays[f"{role}/{SECOND}/within"]},
        note,
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, networks = facts["data"], facts["networks"]
    rows = {(row["network"], row["layer"]): row for row in facts["rows"]}
    lost = [100 * (rows[role, FIRST]["responses_aliased"] or 0) for role in ROLES[1:]]
    random = [100 * (rows[role, SECOND]["random_aliased"] or 0) for role in ROLES[1:]]
    return (
        "(a) to (c): the filters of layer 1, one scale a panel, grey is zero; (a) trained without "
        "the renormalisation of filters, (b) with a coarse first layer. (d), (e): of each map of "
        f"layer 2 the strongest activation over {data['images']} images of {data['name']} "
        f"({data['split']}), painted by the deconvnet with that image's switches and cut to the "
        "exact receptive field (blue-grey lies outside the image); every picture has its own "
        "symmetric scale, a dash is a dead map. Dead: never above 0 on these images; faint: "
        f"{facts['choices']['faint']}. Spectra: the share of energy at frequencies up to f along "
        "both axes; what lies above the dot, the Nyquist frequency 1/(2·stride) of layer 1, is "
        f"aliased. In layer 2 of networks with random weights that is {random[0]:.0f} % for the "
        f"coarse and {random[1]:.0f} % for the fine layer 1; of layer 1's responses to "
        f"{facts['response_images']} images it is {lost[0]:.0f} % in (b) and {lost[1]:.0f} % in "
        "(c). "
        f"{inequality(facts)}{describe_network(networks['ours'])} {others(networks)} "
        f"Shared switches: {facts['choices']['collisions']}."
    )


def inequality(facts: dict[str, Any]) -> str:
    """A sentence about comparisons that are not between twins; empty if all are."""
    names = dict(zip(ROLES, "abc", strict=True))
    parts = [
        f"({names[role]}) in {', '.join(what)}" for role, what in facts["unequal"].items() if what
    ]
    return f"Trained otherwise than (c): {'; '.join(parts)}. " if parts else ""


def others(networks: dict[str, Any]) -> str:
    """A sentence about the networks of (a) and (b)."""
    words = []
    for role, letter in zip(ROLES, "ab", strict=False):
        training, model = networks[role]["training"], networks[role]["model"]
        error = training["metrics"].get("val_top1_error")
        result = "" if error is None else f", {100 - error:.1f} %"
        words.append(f"({letter}) {model['name']}, {training['epochs']} epochs{result}")
    return f"That is (c); {'; '.join(words)}."


if __name__ == "__main__":
    main()
