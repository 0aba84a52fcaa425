"""Figure 2: the nine strongest activations of random maps of each layer, projected to pixels.

    python -m experiments.fig2_top_activations snapshot=<run>/last.pt data=imagefolder data.root=…
    python -m experiments.fig2_top_activations redraw=outputs/fig2_top_activations/<folder>

Paper: layers 2-5, top 9 over the validation set, each projected separately beside its image
patch; a random subset of maps. Not stated there: which maps, how patches are cut, how projections
are scaled, whether the nine come from nine images. Here: a seeded choice among the maps with nine
live peaks, exact receptive fields, one symmetric scale a picture, one peak an image and map.

Writes figure.png and figure.pdf, arrays.npz (what is drawn), table.csv (a row a peak),
config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader

from deconv import distributed, figures
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.deconvnet.blank import trace
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.mining.peak_views import PeakViews, peak_views
from deconv.mining.top_activations import CHUNK, top_activations
from deconv.networks import ChainNet
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.training.snapshots import Snapshot
from experiments.kit.command import experiment
from experiments.kit.facts import (
    data_facts,
    deconvnet_choices,
    describe_field,
    describe_network,
    layer_title,
    measure_collisions,
    training_facts,
)
from experiments.kit.inputs import (
    build_network,
    data_name,
    data_settings,
    device,
    given,
    log,
    squares,
    stored_side_px,
    workers,
)
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_network

K = 9  # Fig. 2
LIVE = "more than 0 in all nine peaks"


@experiment("fig2_top_activations")
def main(cfg: DictConfig, folder: Path) -> None:
    """Mine, project, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    check(cfg, snapshot)
    data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
    if len(data) < K:
        raise DeconvError(
            f"{cfg.split!r} of {data_name(cfg)} has {len(data)} images; the figure shows one peak "
            f"an image, so it needs {K} or more"
        )
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    compute(cfg, folder, snapshot, data)
    if distributed.rank() == 0:
        draw(folder, folder)


def compute(cfg: DictConfig, folder: Path, snapshot: Snapshot, data: Squares) -> None:
    """Mine `data` with the snapshot's network, project what is to be shown, save it all."""
    started = time.perf_counter()
    net = snapshot.network().to(device(cfg))
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    log(f"mining {len(layers(cfg))} layers of {net.name} over {len(crops)} images")
    mining = time.perf_counter()
    loader = DataLoader(Share(crops, CHUNK), batch_size=CHUNK, num_workers=workers(cfg))
    peaks = top_activations(net, loader, layers(cfg), k=K)
    speed = len(crops) / (time.perf_counter() - mining)
    if distributed.rank() > 0:
        return
    panels, counts = {}, {}
    for layer in layers(cfg):
        maps, counts[layer] = choose_maps(peaks[layer], grid(cfg, layer), cfg.seed, layer)
        log(f"projecting {len(maps) * K} units of {layer}")
        panels[layer] = peak_views(
            net, crops, layer, peaks[layer], maps, crops.picture, collisions=cfg.collisions
        )
        if cfg.trace:
            write_traces(cfg, folder, net, crops, layer, panels[layer])
    save(cfg, folder, panels)
    facts = choices(cfg, net, snapshot, counts) | {
        "data": data_facts(cfg, cfg.split, data),
        "collision_rate": measure_collisions(net, crops),
        "mining_images_per_second": round(speed, 1),
        "panels": {layer: describe_field(net, layer) for layer in panels},
        "seconds": round(time.perf_counter() - started, 1),
        "layout": [list(row) for row in cfg.page],
    }
    write_provenance(folder, net, facts)


def write_traces(
    cfg: DictConfig, folder: Path, net: ChainNet, crops: CentreCrops, layer: str, views: PeakViews
) -> None:
    """trace.txt: what is left of each shown map's strongest unit on its way down, operation by
    operation, and why its picture is blank if it is; the causes also on standard output."""
    for number, image, y, x in zip(
        *(field.tolist() for field in (views.maps, *(f[:, 0] for f in (views.image, views.y,
                                                                       views.x)))), strict=True
    ):  # fmt: skip
        batch = crops[image][0][None].to(net.device)
        record = net.record(batch, [layer], logits=False)
        found = trace(
            net, record, layer, torch.tensor([0, number, y, x]), collisions=cfg.collisions
        )
        with (folder / "trace.txt").open("a") as file:
            file.write(f"image {image} of the data set: {found}\n\n")
        if found.cause:
            log(f"{layer}, map {number}: {found.cause}")


def check(cfg: DictConfig, snapshot: Snapshot | None) -> None:
    """Raise DeconvError for a layer, split or policy that does not exist, before anything long.

    A snapshot that was trained on another choice of the same images is pointed out.
    """
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    page_is_rows = isinstance(cfg.page, ListConfig) and all(
        isinstance(row, ListConfig) and len(row) for row in cfg.page
    )
    if not page_is_rows or not cfg.page:
        raise DeconvError(f"page takes rows of layers such as [[conv1,conv2],[conv5]]: {cfg.page}")
    for layer in layers(cfg):
        net.check_point(layer)
        describe_field(net, layer)  # refuses one that is not known, which would come after mining
        shape = grid(cfg, layer)
        if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise DeconvError(f"the grid of {layer} takes [rows,columns], got {shape}")
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)
    if snapshot and snapshot.config.get("data") == cfg.data.name:
        there, here = snapshot.config.get("data_settings", {}), data_settings(cfg)
        if changed := [key for key in there if there[key] != here.get(key)]:
            log(
                f"note: the network was trained with other data settings ({', '.join(changed)}), "
                f"so {cfg.split!r} may hold images that it was trained on"
            )


def grid(cfg: DictConfig, layer: str) -> list[int]:
    """Rows and columns of maps of a layer's panel."""
    shape = cfg.grid.get(layer) or cfg.grid.other
    return list(shape) if isinstance(shape, ListConfig) else [shape]


def layers(cfg: DictConfig) -> list[str]:
    """The layers of the page, in reading order."""
    return [layer for row in cfg.page for layer in row]


def choose_maps(
    peaks: Peaks, shape: list[int], seed: int, layer: str
) -> tuple[torch.Tensor, dict[str, int]]:
    """A seeded random subset of the live maps, rows×columns of them, in order of number.

    Also how many maps there are and how many are live (see LIVE).
    """
    live = (peaks.value > 0).all(dim=1).nonzero().flatten()
    wanted = shape[0] * shape[1]
    counts = {"maps": len(peaks.value), "live": len(live)}
    if len(live) < wanted:
        raise DeconvError(
            f"{layer} has {len(live)} maps that are {LIVE} among {counts['maps']}, the figure "
            f"wants {wanted}: mine more images, train longer, or set "
            f"grid.{layer if layer.startswith('conv') else 'other'}=[rows,columns]"
        )
    random = np.random.default_rng((seed, *layer.encode()))
    return live[np.sort(random.permutation(len(live))[:wanted])], counts


def choices(
    cfg: DictConfig, net: ChainNet, snapshot: Snapshot, counts: dict[str, dict[str, int]]
) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return {
        "figure": "2",
        "choices": {
            "maps": f"a random subset (seed {cfg.seed}) of those {LIVE}",
            "peaks": f"k={K}, at most one per image and map; read after ReLU, before pooling",
        }
        | deconvnet_choices(net, cfg.collisions, snapshot.mean, layers(cfg)),
        "live_maps": counts,
        "training": training_facts(snapshot, cfg.snapshot),
    }


def save(cfg: DictConfig, folder: Path, panels: dict[str, PeakViews]) -> None:
    """arrays.npz with <layer>/<field> of every PeakViews and its grid, and table.csv."""
    arrays, rows = {}, []
    for layer, views in panels.items():
        fields = {f.name: getattr(views, f.name).numpy() for f in dataclasses.fields(views)}
        arrays |= {f"{layer}/{name}": array for name, array in fields.items()}
        arrays[f"{layer}/grid"] = np.array(grid(cfg, layer))
        for i, number in enumerate(fields["maps"]):
            for rank in range(K):
                at = {name: fields[name][i, rank] for name in ("value", "image", "y", "x")}
                box = dict(
                    zip(("top", "left", "bottom", "right"), fields["box"][i, rank], strict=True)
                )
                rows.append({"layer": layer, "map": number, "rank": rank + 1, **at, **box})
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)


SAVED = ("arrays.npz", "table.csv", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    page = [
        [_panel(arrays, layer, facts["panels"][layer]) for layer in row] for row in facts["layout"]
    ]
    figures.save(figures.top_activations(page, caption(facts)), folder)


def _panel(arrays: Any, layer: str, note: str) -> figures.Panel:
    names = ("maps", "projection", "patch", "inside")
    rows, columns = (int(n) for n in arrays[f"{layer}/grid"])
    return figures.Panel(
        layer_title(layer), note, rows, columns, *(arrays[f"{layer}/{n}"] for n in names)
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data = facts["data"]
    return (
        f"For each map, left: the nine strongest activations over {data['images']} images of "
        f"{data['name']} ({data['split']}), one an image, each painted by the deconvnet alone with "
        "that image's switches; grey is zero, every picture has its own scale. Right: the same "
        "nine units' image patches, cut to the exact receptive field (blue-grey lies outside the "
        "image). Maps are a random choice among the live ones. "
        f"{describe_network(facts)} Shared switches: {facts['choices']['collisions']}."
    )


if __name__ == "__main__":
    main()
