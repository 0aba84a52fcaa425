"""Figure 6's look at what contrast normalisation does to the features of layers 1 and 2.

    python -m experiments.contrast_normalisation
    python -m experiments.contrast_normalisation local=<run>/epoch_010.pt response=… none=…
    python -m experiments.contrast_normalisation redraw=outputs/contrast_normalisation/<folder>

Paper: §3 names a contrast normalisation behind layers 1 and 2, cites Krizhevsky et al. 2012 and
Jarrett et al. 2009 for it and states neither form nor effect. Here: three networks of one recipe
and the same first weights that differ in model.norm alone: "response", Krizhevsky's across maps;
"local", Jarrett's subtractive and divisive one over maps and positions; "none". Of each the filters
of layer 1 and the projections of layer 2, as in Figure 6, and numbers: accuracy, dead maps, the
share of values above 0, and how redundant maps are, also right before and right after a
normalisation, where nothing but the normalisation can make the difference.

Networks that are not given are trained first: twins by one recipe.
Writes figure.png and figure.pdf, arrays.npz (what is drawn, and the correlations of maps),
table.csv (a row a network and layer), findings.json, config.yaml and provenance.json; trained
networks in a folder each.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import CentreCrops
from deconv.distributed import Share
from deconv.errors import DeconvError
from deconv.mining.map_statistics import map_statistics
from deconv.mining.top_activations import CHUNK
from deconv.networks import ChainNet
from deconv.networks.zfnet import NORMS
from deconv.studies.map_correlation import map_correlations, redundancy
from deconv.training.evaluation import evaluate
from deconv.training.snapshots import Snapshot, weights_hash
from experiments.contrast_page import ROLES, SAVED, draw
from experiments.first_two_layers import (
    FIRST,
    SECOND,
    brief_training,
    check_common,
    digits,
    given_networks,
    look,
    strengths,
    unequal,
)
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, deconvnet_choices, training_facts
from experiments.kit.findings import Finding, write_findings
from experiments.kit.inputs import build_network, device, squares, stored_side_px, workers
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_missing


@experiment("contrast_normalisation")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train what is missing, look at the three networks, save, draw; or draw again."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    check_common(cfg, ROLES, "contrast_normalisation")
    given = given_networks(cfg, ROLES)
    like = next(iter(given.values()), None)
    settings = {role: brief_training(cfg, {"model.norm": role}, like) for role in ROLES}
    check_networks(settings, given)
    compute(cfg, folder, train_missing(settings, given, folder))
    if distributed.rank() == 0:
        draw(folder, folder)


def check_networks(settings: dict[str, DictConfig], given: dict[str, Snapshot]) -> None:
    """Raise DeconvError for networks that differ in anything but their normalisation."""
    recipes = {}
    for role, cfg in settings.items():
        net = given[role].network() if role in given else build_network(cfg, 2)
        for layer in (FIRST, SECOND):
            net.check_point(layer)
        if (norm := norm_of(net)) != role:
            raise DeconvError(f"{role}= has to be trained with model.norm={role}, not {norm}")
        if role in given:
            recipes[role] = given[role].settings() | {"norm": None}
    first, *others = recipes or [""]
    for role in others:
        one, other = recipes[first], recipes[role]
        if apart := sorted(k for k in one | other if one.get(k) != other.get(k)):
            told = "; ".join(f"{k} {other.get(k)} and {one.get(k)}" for k in apart)
            raise DeconvError(f"{role}= and {first}= differ in more than model.norm: {told}")


def norm_of(net: ChainNet) -> str:
    """Which of NORMS a network has."""
    kinds = {module: name for name, module in NORMS.items() if module is not None}
    found = {kinds[type(module)] for module in net.modules() if type(module) in kinds}
    return " and ".join(sorted(found)) or "none"


def around(net: ChainNet, layer: str) -> tuple[str, str | None]:
    """The points before and behind the normalisation that follows a layer.

    Without one the first is where it would be, behind the layer's pool, and the second None.
    """
    points, number = list(net.points), layer.removeprefix("conv")
    norm = f"norm{number}"
    if norm in points:
        return points[points.index(norm) - 1], norm
    return f"pool{number}" if f"pool{number}" in points else layer, None


def compute(cfg: DictConfig, folder: Path, snapshots: dict[str, Snapshot]) -> None:
    """Look at each network, measure it, save it all."""
    started = time.perf_counter()
    arrays, rows, networks = {}, [], {}
    sides = {role: stored_side_px(cfg, snapshot) for role, snapshot in snapshots.items()}
    data = {side: squares(cfg, cfg.split, side) for side in set(sides.values())}
    for role, snapshot in snapshots.items():
        net = snapshot.network().to(device(cfg))
        crops = CentreCrops(data[sides[role]], snapshot.mean, net.input_px)
        found = look(cfg, role, net, crops)
        right, kept, measured = measure(cfg, net, crops)
        if distributed.rank() > 0:
            continue
        arrays |= {f"{role}/{name}": array for name, array in (found | kept).items()}
        for layer in (FIRST, SECOND):
            rows.append(strengths(cfg, role, net, found, layer) | measured[layer])
        rows[-1]["at_border"] = at_border(found["inside"])
        networks[role] = {
            "model": net.recipe,
            "weights_sha256": weights_hash(net),
            "accuracy": right,
            "training": training_facts(snapshot, cfg[role])
            | {"seed": snapshot.config.get("settings", {}).get("seed")},
        }
    if distributed.rank() > 0:
        return
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    write_findings(folder, judge(rows))
    facts = choices(cfg, net, snapshots[ROLES[0]].mean) | {
        "data": data_facts(cfg, cfg.split, data[sides[ROLES[0]]]),
        "networks": networks,
        "unequal": {
            role: unequal(snapshots[ROLES[0]], snapshots[role], "network") for role in ROLES[1:]
        },
        "rows": rows,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)


def measure(
    cfg: DictConfig, net: ChainNet, crops: CentreCrops
) -> tuple[float, dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """(top-1 accuracy in percent, correlations of maps by name, columns of the table by layer)."""
    loader = DataLoader(Share(crops, CHUNK), batch_size=CHUNK, num_workers=workers(cfg))
    right = evaluate(net, loader).top1
    sides = {layer: around(net, layer) for layer in (FIRST, SECOND)}
    points = dict.fromkeys(p for layer in sides for p in (layer, *sides[layer]) if p)
    correlations = map_correlations(net, loader, points)
    above = map_statistics(net, loader, points)
    kept = {f"{point}/correlations": r.numpy() for point, r in correlations.items()}
    alike = {point: digits(redundancy(r)) for point, r in correlations.items()}
    share = {point: digits(one.active_share.mean()) for point, one in above.items()}
    columns = {}
    for layer, (before, behind) in sides.items():
        columns[layer] = {
            "above_0": share[layer],
            "redundancy": alike[layer],
            "before": before,
            "before_above_0": share[before],
            "before_redundancy": alike[before],
            "behind": behind or "",
            "behind_above_0": share[behind] if behind else "",
            "behind_redundancy": alike[behind] if behind else "",
        }
    return right, kept, columns


def at_border(inside: np.ndarray) -> int:
    """Of how many live maps the strongest unit's field reaches outside the image.

    inside: M×R×S bool, False outside the image, throughout for a dead map.
    """
    return int((inside.any(axis=(1, 2)) & ~inside.all(axis=(1, 2))).sum())


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """Whether each normalisation makes maps less redundant, right where it acts.

    What differs between the trained networks (accuracy, dead maps, sparsity) is shown and not
    judged: one training of each says nothing of how much they vary from seed to seed.
    """
    found = []
    for role in ROLES[:2]:
        falls = [
            None
            if None in (row["before_redundancy"], row["behind_redundancy"])
            else row["before_redundancy"] - row["behind_redundancy"]
            for row in rows
            if row["network"] == role
        ]
        known = None not in falls
        found.append(
            Finding(
                f"truth/contrast_normalisation/less_redundant/{role}",
                min(falls) if known else None,
                holds=min(falls) > 0 if known else None,
                rule=RULE if known else f"{RULE}; not judged, as fewer than two maps vary",
            )
        )
    return found


RULE = (
    "value: mean absolute correlation of two maps over positions and images right before the "
    "normalisation minus right behind it, of layers 1 and 2 the smaller fall; holds if above 0"
)


def choices(cfg: DictConfig, net: ChainNet, mean: torch.Tensor) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return {
        "figure": "6, of contrast normalisations",
        "choices": {
            "maps": "all of layers 1 and 2",
            "peaks": "the strongest unit of each map; read after ReLU, before pooling",
            "dead": "never above 0 on the images",
            "faint": f"RMS below {cfg.faint:g} of the strongest filter's",
            "above 0": "share of positions of all images, mean over maps; after ReLU",
            "redundancy": "mean absolute Pearson correlation of two different maps over all "
            "positions of all images; maps that never vary left out",
            "response": "AlexNet's constants: 5 maps, alpha 1e-4, beta 0.75, k 2",
            "local": "9×9 positions as Jarrett et al. 2009, Gaussian of sigma 1.6",
            "field": "receptive fields leave out the window of the local normalisation",
            "filters": "drawn on one scale a panel",
        }
        | deconvnet_choices(net, cfg.collisions, mean, (FIRST, SECOND)),
    }


if __name__ == "__main__":
    main()
