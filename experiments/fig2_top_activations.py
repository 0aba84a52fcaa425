"""Figure 2: the nine strongest activations of random maps of each layer, projected to pixels.

    python -m experiments.fig2_top_activations snapshot=<run>/last.pt
    python -m experiments.fig2_top_activations snapshot=<run>/last.pt data=imagefolder data.root=…
    python -m experiments.fig2_top_activations snapshot=<run>/last.pt 'maps.conv5=[32,93]' k=4
    python -m experiments.fig2_top_activations snapshot=<run>/last.pt \
        'rule=[deconvnet,guided,gradient]' layers=[conv3,conv5] 'grid.other=[2,1]' k=4
    python -m experiments.fig2_top_activations redraw=outputs/fig2_top_activations/<folder>

Paper: layers 2-5, top 9 over the validation set, each projected separately beside its image
patch; a random subset of maps. Not stated there: which maps, how patches are cut, how projections
are scaled, whether the nine come from nine images. Here: a seeded choice among the maps with nine
live peaks, exact receptive fields, one symmetric scale a picture, one peak an image and map. Where
a map paints less than its field, projections and patches are cut alike to what it paints. Several
rules set other ways down beside the deconvnet's, for the same peaks; none of them is the paper's.

Cost: laptop about a minute (with a snapshot) on 2 CPU cores.

Writes figure.png and figure.pdf, arrays.npz (what is drawn), table.csv (one row per peak),
config.yaml and provenance.json; with trace=true also trace.txt.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.data import Squares
from deconv.deconvnet.blank import trace
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.mining.peak_views import PeakViews, peak_views
from deconv.pixels import ENERGY, energy_window
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.rules import RULES
from experiments.kit import Figure, Result, Saved, Subject, check_name, experiment, log
from experiments.kit.chosen_maps import (
    MOST,
    MinesPeaks,
    ShowsMaps,
    above_0,
    check_class,
    choice_words,
    choose_maps,
    named_maps,
    whole_words,
)
from experiments.kit.facts import (
    deconvnet_choices,
    describe_field,
    describe_network,
    image_arrays,
    image_columns,
    images_of,
)
from experiments.kit.inputs import data_settings
from experiments.kit.layout import layout_of, not_saved, saved_layers, saved_maps
from experiments.kit.rule_words import caution, heading, painted_by, rule_choices
from experiments.kit.titles import layer_title

PAGE = (("conv1", "conv2"), ("conv3",), ("conv4", "conv5"))  # Fig. 2
GRID = {"conv1": (3, 2), "conv2": (3, 2), "conv3": (3, 4), "conv4": (4, 2), "conv5": (4, 2)}
OTHER, PEAKS = (4, 2), 9
LIVE = "above 0 in all peaks"


@dataclasses.dataclass
class TopActivations(ShowsMaps, MinesPeaks, Figure):
    # split: the paper mines the validation set
    k: int = PEAKS  # strongest activations of each map
    page: list[Any] | None = None  # rows of layers, [[conv1,conv2],[conv5]]; null: the paper's, or
    # those of layers and maps in twos
    grid: Any = None  # rows and columns of maps by layer: grid.conv5=[4,2]; grid.other=[4,2]: of
    # all others; null: the paper's, or as many as maps names
    collisions: str = "sum"  # sum, max, mean, overwrite
    rule: Any = "deconvnet"  # deconvnet, the paper's; guided, gradient: guided backpropagation and
    # the plain gradient, for comparison; [deconvnet,guided,gradient]: side by side
    patches: bool = True  # false: projections alone, of images that may not be shown
    trace: bool = False  # true: trace.txt, what is left of each shown signal on its way down

    def __post_init__(self) -> None:
        super().__post_init__()
        self.grid = checked_grid(self.grid)
        if self.page is not None and self.layers:
            raise DeconvError("page and layers both name the layers: give one of them")
        if not 1 <= self.k <= MOST:
            raise DeconvError(f"k={self.k} cannot be shown: choose 1 to {MOST}")
        self.page = page_of(self.page, self.shown_layers([]))
        self.layers = [layer for row in self.page for layer in row]
        check_name("collision policy", self.collisions, COLLISIONS)
        self.rule = self.rule if isinstance(self.rule, list) else [self.rule]
        for rule in self.rule:
            check_name("rule", rule, RULES)
        if len(set(self.rule)) < max(1, len(self.rule)):
            raise DeconvError(f"rule takes one or several different ones, got {self.rule}")

    def shape(self, layer: str, named: int = 0) -> list[int]:
        """Rows and columns of a layer's panel. named: how many maps are named, 0: to be chosen."""
        return shape_of(self.grid, layer, named)


def checked_grid(grid: Any) -> dict[str, list[int]]:
    """The setting `grid` as a dictionary; DeconvError for what is none."""
    grid = {} if grid is None else grid
    if not isinstance(grid, dict):
        raise DeconvError(f"grid takes rows and columns of each layer, grid.conv5=[4,2]: {grid!r}")
    for layer, shape in grid.items():
        good = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
        if not good or min(shape) < 1:
            raise DeconvError(f"the grid of {layer} takes [rows,columns], got {shape}")
    return {str(layer): shape for layer, shape in grid.items()}


def page_of(page: Any, layers: Sequence[str]) -> list[list[str]]:
    """Rows of layers: `page` where it is given, else `layers` in twos, else the paper's."""
    if page is None:
        page = [list(layers[i : i + 2]) for i in range(0, len(layers), 2)] or list(map(list, PAGE))
    if not isinstance(page, list) or not page or not all(isinstance(r, list) and r for r in page):
        raise DeconvError(f"page takes rows of layers such as [[conv1,conv2],[conv5]]: {page}")
    return [[str(layer) for layer in row] for row in page]


def shape_of(grid: Mapping[str, Sequence[int]], layer: str, named: int) -> list[int]:
    """Rows and columns of a layer's panel: the grid's, or what holds the maps that are named."""
    shape = grid.get(layer) or grid.get("other") or GRID.get(layer, OTHER)
    if layer in grid or not named:
        return list(shape)
    columns = min(named, shape[1])
    return [-(-named // columns), columns]


def check(cfg: TopActivations, it: Subject) -> None:
    """Raise DeconvError for unknown layers and too few images.

    Images of the split that the network may have been trained on are noted.
    """
    if cfg.layers != [layer for row in cfg.page for layer in row]:  # the network's own
        cfg.page = page_of(None, cfg.layers)
    for layer in cfg.layers:
        describe_field(it.sketch, layer)  # refuses an unknown layer
    for layer, numbers in named_maps(cfg, it.sketch, cfg.layers).items():
        check_room(layer, len(numbers), cfg.shape(layer, len(numbers)))
    check_class(cfg, it)
    it.need_images(cfg.k, "the figure, which shows one peak an image,")
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
    peaks = it.mine(cfg.layers, k=cfg.k)
    speed = len(crops) / (time.perf_counter() - started)
    it.first_alone()
    arrays: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    counts = {}
    named = named_maps(cfg, it.net, cfg.layers)
    for layer in cfg.layers:
        maps, counts[layer] = maps_shown(cfg, it, layer, peaks[layer], named.get(layer))
        log(f"projecting {len(maps) * cfg.k} units of {layer}")
        own = above_0(peaks[layer])
        by_rule = {
            rule: peak_views(it.net, crops, layer, own, maps, rule=rule, collisions=cfg.collisions)
            for rule in cfg.rule
        }
        views = next(iter(by_rule.values()))
        if cfg.trace:
            write_traces(cfg, it, layer, views)
        fields = {name: field.numpy() for name, field in vars(views).items()}
        painted = {rule: one.projection.numpy() for rule, one in by_rule.items()}
        fields |= {rule: painted[rule] for rule in cfg.rule[1:]}
        fields["window"] = windows(list(painted.values()))
        arrays |= {f"{layer}/{name}": field for name, field in fields.items()}
        arrays[f"{layer}/grid"] = np.array(cfg.shape(layer, len(named.get(layer, ()))))
        arrays |= image_arrays(it.data, fields["image"], f"{layer}/")
        rows += peak_rows(layer, fields, it.data)
    choices = {
        "maps_seed": cfg.seed,
        "maps": choice_words(cfg, named, cfg.layers, LIVE),
        "peaks": f"k={cfg.k}, at most one per image and map{whole_words(cfg)}; read after ReLU, "
        "before pooling",
    }
    facts = {
        "figure": "2",
        "choices": choices
        | deconvnet_choices(it.net, cfg.collisions, it.snapshot.mean, cfg.layers)
        | rule_choices(cfg.rule)
        | {
            "window": f"the square that holds at least {ENERGY:.0%} of the energy of each of a "
            "map's pictures, where it is smaller than the field"
        },
        "live_maps": counts,
        "whole_fields": cfg.whole_fields,
        "rules": cfg.rule,
        "patches": cfg.patches,
        "collision_rate": it.collisions(),
        "mining_images_per_second": round(speed, 1),
        "panels": {layer: describe_field(it.net, layer) for layer in cfg.layers},
        "layout": cfg.page,
    }
    return Result(facts, arrays, {"table": rows})


def windows(painted: Sequence[np.ndarray]) -> np.ndarray:
    """The part of the canvas to show of each map (see `energy_window`): M×4, for all rules alike.

    painted: M×k×3×R×S by rule.
    """
    return np.array([energy_window(each) for each in np.concatenate(painted, axis=1)])


def check_room(layer: str, named: int, shape: Sequence[int]) -> None:
    """Raise DeconvError where a layer's grid has no room for the maps that are named."""
    if named > shape[0] * shape[1]:
        raise DeconvError(
            f"maps.{layer} names {named} maps, grid.{layer}={list(shape)} has room for "
            f"{shape[0] * shape[1]}"
        )


def maps_shown(
    cfg: TopActivations, it: Subject, layer: str, peaks: Peaks, named: list[int] | None
) -> tuple[torch.Tensor, dict[str, int]]:
    """The maps that are named, or rows×columns chosen among the live ones (see LIVE).

    Also counts all maps and the live ones. Raises DeconvError for one that is named and dead.
    """
    live = (peaks.value > 0).all(dim=1)
    counts = {"maps": len(live), "live": int(live.sum())}
    if named is not None:
        if dead := [n for n in named if peaks.value[n, 0] <= 0]:
            raise DeconvError(
                f"map {dead[0]} of {layer} is never above 0 over the {len(it.data)} images of "
                f"{cfg.split!r}: name another one, or more images"
            )
        return torch.tensor(named), counts
    shape = cfg.shape(layer)
    wanted = shape[0] * shape[1]
    if counts["live"] < wanted:
        raise DeconvError(
            f"{layer} has {counts['live']} maps that are {LIVE} among {counts['maps']}, the figure "
            f"wants {wanted}: mine more images, train longer, or set "
            f"grid.{layer}=[rows,columns], or name maps.{layer}=[…]"
        )
    return choose_maps(cfg, it, layer, peaks, live, wanted), counts


def peak_rows(
    layer: str, views: Mapping[str, np.ndarray], data: Squares
) -> Iterator[dict[str, Any]]:
    """Rows of table.csv. views: the fields of PeakViews."""
    for i, number in enumerate(views["maps"]):
        for rank in range(int((views["image"][i] >= 0).sum())):
            at = {name: views[name][i, rank] for name in ("value", "image", "y", "x")}
            box = zip(("top", "left", "bottom", "right"), views["box"][i, rank], strict=True)
            row = {"layer": layer, "map": number, "rank": rank + 1, **at, **dict(box)}
            yield row | image_columns(data, at["image"])


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
    asked, notes = layout_of(saved), saved.facts["panels"]
    page = saved.facts["layout"]
    if asked.get("page") or asked.get("layers") or asked.get("maps"):
        page = page_of(asked.get("page"), saved_layers(saved, list(notes)))
    for layer in [layer for row in page for layer in row]:
        if layer not in notes:
            raise not_saved(layer, notes)
    panels = [[_panel(saved, layer, notes[layer]) for layer in row] for row in page]
    shown = [panel for row in panels for panel in row]
    cut = any((one.window[:, 2] - one.window[:, 0]).min() < one.patch.shape[-2] for one in shown)
    facts = saved.facts
    if asked.get("maps"):
        facts["choices"]["maps"] = "those that were named"
    words = caption(facts, shown[0].patch.shape[1], cut, shown[0].patches)
    return figures.top_activations(panels, words)


def _panel(saved: Saved, layer: str, note: str) -> figures.Panel:
    arrays, asked = saved.arrays, layout_of(saved)
    maps = saved_maps(saved, layer, arrays[f"{layer}/maps"].tolist())
    k, most = asked.get("k"), arrays[f"{layer}/patch"].shape[1]
    if k is not None and not 1 <= k <= most:
        raise DeconvError(f"{most} peaks of each map were saved: k={k} has to be computed")
    grid, named = checked_grid(asked.get("grid")), len((asked.get("maps") or {}).get(layer, ()))
    shape = arrays[f"{layer}/grid"].tolist()
    if named or {layer, "other"} & grid.keys():
        shape = shape_of(grid, layer, named)
    check_room(layer, named, shape)
    maps = maps[: shape[0] * shape[1]]
    rules = saved.facts["rules"]
    names = zip(rules, ("projection", *rules[1:]), strict=True)
    painted = {heading(rules, rule): arrays[f"{layer}/{name}"] for rule, name in names}
    return figures.Panel(
        layer_title(layer, saved.facts),
        note,
        shape[1],
        arrays[f"{layer}/maps"][maps],
        {words: pixels[maps, :k] for words, pixels in painted.items()},
        *(arrays[f"{layer}/{name}"][maps, :k] for name in ("patch", "inside")),
        arrays[f"{layer}/window"][maps],
        asked.get("patches", saved.facts["patches"]),
    )


COUNTS = {3: "three", 4: "four", 9: "nine"}


def caption(facts: dict[str, Any], k: int, cut: bool, patches: bool) -> str:
    """The text under the figure.

    k: how many peaks of each map are shown. cut: whether parts of fields are shown.
    """
    data, rules = facts["data"], facts["rules"]
    whole = ", its field not cut by the border" * facts.get("whole_fields", False)
    right = " Right: the same units' image patches, cut to the exact receptive field" * patches
    alike = ", projections and patches alike" * patches
    part = (
        f" Of fields that a map leaves mostly grey, the part with {ENERGY:.0%} or more of each "
        f"picture's energy is shown{alike}: dark in the small square above."
    )
    return (
        f"For each map{', left' * patches}: the {COUNTS.get(k, k)} strongest activations over "
        f"{data['images']} images of {images_of(data)}, one an image{whole}, each painted alone, "
        f"with that image's switches, by {painted_by(rules)}; grey is zero, every picture has its "
        f"own scale{'.' * patches}{right} (hatched: outside the image).{part * cut} Maps: "
        f"{facts['choices']['maps']}. {describe_network(facts)} Shared switches: "
        f"{facts['choices']['collisions']}.{caution(rules)}"
    )


LAYOUT = "page grid layers maps k patches"
main = experiment(TopActivations, compute, draw, check, "arrays.npz table.csv", LAYOUT)

if __name__ == "__main__":
    main()
