"""Figure 2: the nine strongest activations of random maps of each layer, projected to pixels.

    python -m experiments.fig2_top_activations snapshot=<run>/last.pt
    python -m experiments.fig2_top_activations snapshot=<run>/last.pt data=imagefolder data.root=…
    python -m experiments.fig2_top_activations redraw=outputs/fig2_top_activations/<folder>

Paper: layers 2-5, top 9 over the validation set, each projected separately beside its image
patch; a random subset of maps. Not stated there: which maps, how patches are cut, how projections
are scaled, whether the nine come from nine images. Here: a seeded choice among the maps with nine
live peaks, exact receptive fields, one symmetric scale a picture, one peak an image and map.

Cost: laptop about a minute (with a snapshot) on 2 CPU cores.

Writes figure.png and figure.pdf, arrays.npz (what is drawn), table.csv (one row per peak),
config.yaml and provenance.json; with trace=true also trace.txt.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.deconvnet.blank import trace
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.mining.peak_views import PeakViews, peak_views
from deconv.mining.random_maps import random_maps
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from experiments.kit import Figure, Result, Saved, Subject, check_name, experiment, log
from experiments.kit.facts import (
    deconvnet_choices,
    describe_field,
    describe_network,
    layer_title,
)
from experiments.kit.inputs import data_settings

K = 9  # Fig. 2
LIVE = "more than 0 in all nine peaks"


@dataclasses.dataclass
class TopActivations(Figure):
    # split: the paper mines the validation set
    collisions: str = "sum"  # sum, max, mean, overwrite
    page: list[Any] = dataclasses.field(  # rows of layers, by name or number
        default_factory=lambda: [["conv1", "conv2"], ["conv3"], ["conv4", "conv5"]]
    )
    grid: dict[str, list[int]] = dataclasses.field(  # rows × columns of maps
        default_factory=lambda: {
            "conv1": [3, 2],
            "conv2": [3, 2],
            "conv3": [3, 4],
            "conv4": [4, 2],
            "conv5": [4, 2],
            "other": [4, 2],  # any other point, e.g. page=[[fc6,fc7]]
        }
    )
    trace: bool = False  # true: trace.txt, what is left of each shown signal on its way down

    def __post_init__(self) -> None:
        if not self.page or not all(isinstance(row, list) and row for row in self.page):
            raise DeconvError(
                f"page takes rows of layers such as [[conv1,conv2],[conv5]]: {self.page}"
            )
        self.page = [[str(layer) for layer in row] for row in self.page]
        for layer in self.layers:
            shape = self.shape(layer)
            if len(shape) != 2 or min(shape) < 1:
                raise DeconvError(f"the grid of {layer} takes [rows,columns], got {shape}")
        check_name("collision policy", self.collisions, COLLISIONS)

    @property
    def layers(self) -> list[str]:
        """The layers of the page, in reading order."""
        return [layer for row in self.page for layer in row]

    def shape(self, layer: str) -> list[int]:
        """Rows and columns of maps of a layer's panel."""
        return self.grid.get(layer, self.grid["other"])


def check(cfg: TopActivations, it: Subject) -> None:
    """Raise DeconvError for unknown layers and too few images.

    Images of the split that the network may have been trained on are noted.
    """
    for layer in cfg.layers:
        describe_field(it.sketch, layer)  # refuses an unknown layer
    it.need_images(K, "the figure, which shows one peak an image,")
    if it.given and it.given.config.get("data") == cfg.data.name:
        there, here = it.given.config.get("data_settings", {}), data_settings(cfg)
        if changed := [key for key in there if there[key] != here.get(key)]:
            log(
                f"note: the network was trained with other data settings ({', '.join(changed)}), "
                f"so {cfg.split!r} may hold images that it was trained on"
            )


def compute(cfg: TopActivations, it: Subject) -> Result:
    """Mine the split, then project and cut out the peaks of the maps that are shown."""
    crops, started = it.crops, time.perf_counter()
    peaks = it.mine(cfg.layers, k=K)
    speed = len(crops) / (time.perf_counter() - started)
    it.first_alone()
    arrays: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    counts = {}
    for layer in cfg.layers:
        maps, counts[layer] = choose_maps(peaks[layer], cfg.shape(layer), cfg.seed, layer)
        log(f"projecting {len(maps) * K} units of {layer}")
        views = peak_views(it.net, crops, layer, peaks[layer], maps, collisions=cfg.collisions)
        if cfg.trace:
            write_traces(cfg, it, layer, views)
        fields = {name: field.numpy() for name, field in vars(views).items()}
        arrays |= {f"{layer}/{name}": field for name, field in fields.items()}
        arrays[f"{layer}/grid"] = np.array(cfg.shape(layer))
        rows += peak_rows(layer, fields)
    choices = {
        "maps": f"a random subset (seed {cfg.seed}) of those {LIVE}",
        "peaks": f"k={K}, at most one per image and map; read after ReLU, before pooling",
    }
    facts = {
        "figure": "2",
        "choices": choices
        | deconvnet_choices(it.net, cfg.collisions, it.snapshot.mean, cfg.layers),
        "live_maps": counts,
        "collision_rate": it.collisions(),
        "mining_images_per_second": round(speed, 1),
        "panels": {layer: describe_field(it.net, layer) for layer in cfg.layers},
        "layout": cfg.page,
    }
    return Result(facts, arrays, {"table": rows})


def choose_maps(
    peaks: Peaks, shape: list[int], seed: int, layer: str
) -> tuple[torch.Tensor, dict[str, int]]:
    """Draw rows×columns of the live maps; also count all maps and the live ones (see LIVE)."""
    live = (peaks.value > 0).all(dim=1)
    counts = {"maps": len(live), "live": int(live.sum())}
    wanted = shape[0] * shape[1]
    if counts["live"] < wanted:
        raise DeconvError(
            f"{layer} has {counts['live']} maps that are {LIVE} among {counts['maps']}, the figure "
            f"wants {wanted}: mine more images, train longer, or set "
            f"grid.{layer if layer.startswith('conv') else 'other'}=[rows,columns]"
        )
    return random_maps(live, wanted, seed, layer), counts


def peak_rows(layer: str, views: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Rows of table.csv. views: the fields of PeakViews."""
    for i, number in enumerate(views["maps"]):
        for rank in range(K):
            at = {name: views[name][i, rank] for name in ("value", "image", "y", "x")}
            box = zip(("top", "left", "bottom", "right"), views["box"][i, rank], strict=True)
            yield {"layer": layer, "map": number, "rank": rank + 1, **at, **dict(box)}


def write_traces(cfg: TopActivations, it: Subject, layer: str, views: PeakViews) -> None:
    """Append to trace.txt what each operation leaves of the shown maps' strongest units.

    Why a picture is blank, if it is, is also logged.
    """
    at = (views.maps, views.image[:, 0], views.y[:, 0], views.x[:, 0])
    for number, image, y, x in torch.stack(at, dim=1).tolist():
        batch = it.crops[image][0][None].to(it.device)
        record = it.net.record(batch, [layer], logits=False)
        unit = torch.tensor([0, number, y, x])
        found = trace(it.net, record, layer, unit, collisions=cfg.collisions)
        with (it.folder / "trace.txt").open("a", encoding="utf-8") as file:
            file.write(f"image {image} of the data set: {found}\n\n")
        if found.cause:
            log(f"{layer}, map {number}: {found.cause}")


# The page


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    notes = saved.facts["panels"]
    page = [
        [_panel(saved.arrays, layer, notes[layer]) for layer in row]
        for row in saved.facts["layout"]
    ]
    return figures.top_activations(page, caption(saved.facts))


def _panel(arrays: Mapping[str, np.ndarray], layer: str, note: str) -> figures.Panel:
    names = ("maps", "projection", "patch", "inside")
    rows, columns = arrays[f"{layer}/grid"].tolist()
    pictures = (arrays[f"{layer}/{name}"] for name in names)
    return figures.Panel(layer_title(layer), note, rows, columns, *pictures)


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data = facts["data"]
    return (
        f"For each map, left: the nine strongest activations over {data['images']} images of "
        f"{data['name']} ({data['split']}), one an image, each painted by the deconvnet alone with "
        "that image's switches; grey is zero, every picture has its own scale. Right: the same "
        "nine units' image patches, cut to the exact receptive field (hatched: outside the "
        "image). Maps are a random choice among the live ones. "
        f"{describe_network(facts)} Shared switches: {facts['choices']['collisions']}."
    )


main = experiment(TopActivations, compute, draw, check, saves="arrays.npz table.csv")

if __name__ == "__main__":
    main()
