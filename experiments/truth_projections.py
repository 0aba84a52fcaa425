"""Do projections lie on what their maps respond to? Scored against boxes of the built-in scenes.

    python -m experiments.truth_projections snapshot=<run>/last.pt data=scenes
    python -m experiments.truth_projections redraw=outputs/truth_projections/<folder>

The paper had no such measure: it shows patches beside projections. Of each projection of a map's
strongest units the share of energy (sum of squares) inside the box of the object, and inside the
boxes of the part that the map prefers, is set against
(a) the strongest unit of a random other map of the layer on the same image, projected,
(b) the same network untrained, its own strongest units and preferred parts,
(c) the share of the receptive field that the boxes cover: chance.
The preferred part is decided on the even images of the split, everything is scored on the odd
ones, with the strongest units of each half.

Cost: laptop about a minute (with a snapshot) on 2 CPU cores.
Expected: more of the energy in the object and in the preferred part than by chance, for a random
map of the same layer, or in an untrained network; the more so the higher the layer.

Writes figure.png and figure.pdf, arrays.npz (scores, and the pictures that are drawn), table.csv
(one row per map), summary.csv (one row per layer), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.mining.random_maps import random_maps
from deconv.mining.top_activations import top_activations
from deconv.networks import Network, build
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.studies.bootstrap import LEVEL
from deconv.studies.localisation import (
    GROUPS,
    TRAINED,
    UNTRAINED,
    WHAT,
    boxed_examples,
    grouped,
    map_rows,
    score_maps,
    summarise,
    truth_of,
)
from experiments.kit import (
    Figure,
    Finding,
    Result,
    Saved,
    Subject,
    check_name,
    experiment,
    judged,
    log,
)
from experiments.kit.facts import (
    deconvnet_choices,
    describe_field,
    describe_network,
)
from experiments.kit.inputs import uncached
from experiments.kit.titles import layer_title


@dataclasses.dataclass
class TruthProjections(Figure):
    layers: list[str] = dataclasses.field(
        default_factory=lambda: ["conv1", "conv2", "conv3", "conv4", "conv5"]
    )  # the findings are about the last one
    maps_each: int = 32  # of each layer, a random choice among the live ones
    k: int = 9  # strongest units of a map, of each half of the images
    margin: float = 0.05  # by which a share has to exceed each baseline
    examples: int = 6  # maps of the last layer that are shown
    collisions: str = "sum"  # sum, max, mean, overwrite

    def __post_init__(self) -> None:
        if not self.layers:
            raise DeconvError(f"layers takes a list such as [conv1,conv5], got {self.layers}")
        for name in ("maps_each", "k", "examples"):
            if getattr(self, name) < 1:
                raise DeconvError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.margin < 1:
            raise DeconvError(f"margin is a share of energy in 0…1, got {self.margin}")
        check_name("collision policy", self.collisions, COLLISIONS)


def check(cfg: TruthProjections, it: Subject) -> None:
    """Raise DeconvError for data without boxes, too few images, and layers that are unknown."""
    if cfg.data.name != "scenes":
        raise DeconvError(
            f"the boxes of {cfg.data.name} are not known, only those of the built-in scenes: "
            "data=scenes"
        )
    for layer in cfg.layers:
        describe_field(it.sketch, layer)  # refuses an unknown layer
    it.need_images(2 * cfg.k, f"scoring two halves with k={cfg.k} peaks a map")


def compute(cfg: TruthProjections, it: Subject) -> Result:
    """Score the maps of the trained and of the untrained network."""
    recipe = {key: value for key, value in it.snapshot.recipe.items() if key != "weights"}
    nets = {TRAINED: it.net, UNTRAINED: build(**recipe | {"seed": cfg.seed}).to(it.device)}
    halves = {name: [mine(cfg, it, net, half) for half in (0, 1)] for name, net in nets.items()}
    it.first_alone()
    scenes = uncached(cfg, cfg.split, it.snapshot.mean.shape[-1])
    truth = functools.cache(lambda i: truth_of(scenes.scene(i), it.net.input_px))
    policy = {"collisions": cfg.collisions}
    arrays: dict[str, np.ndarray] = {}
    for name, net in nets.items():
        for layer in cfg.layers:
            log(f"{name}: projecting units of {layer}")
            even, odd = (half[layer] for half in halves[name])
            maps = choose_maps(cfg, [even, odd], layer)
            scores = score_maps(net, it.crops, truth, layer, maps, even, odd, cfg.seed, **policy)
            arrays |= {f"{name}/{layer}/{key}": values for key, values in scores.items()}
            if name == TRAINED and layer == cfg.layers[-1]:
                shown = boxed_examples(
                    net, it.crops, scenes, layer, odd, scores, cfg.examples, cfg.seed, **policy
                )
                arrays |= {f"examples/{key}": values for key, values in shown.items()}
    summary = summarise(arrays, cfg.layers, cfg.seed)
    for row in summary:
        for group in GROUPS:
            arrays[f"summary/{row['layer']}/{row['what']}/{group}"] = np.array(
                [row[group], row[f"{group}_low"], row[f"{group}_high"]]
            )
    choices = {
        "energy": "sum of squares over colours and pixels of the projection, unclipped",
        "peaks": f"k={cfg.k} strongest of each half of the images, at most one per image and "
        "map; even images decide the part, odd ones score",
        "maps": f"a random choice (seed {cfg.seed}) of {cfg.maps_each} a layer among those with "
        f"{cfg.k} live units in both halves",
        "preferred_part": "largest mean over the peaks of (share of the energy in the part's "
        "boxes - share of the receptive field in them); a peak without the part counts as 0",
        "random_map": "the strongest unit of a random other map that is not 0 on that image",
        "untrained": f"the same network with first weights of seed {cfg.seed}; its own peaks "
        "and preferred parts",
        "intervals": f"{100 * LEVEL:.0f} % bootstrap over maps, which share images",
        "margin": cfg.margin,
    }
    facts = {
        "figure": "projections against known boxes",
        "choices": choices
        | deconvnet_choices(it.net, cfg.collisions, it.snapshot.mean, cfg.layers),
        "layers": cfg.layers,
        "k": cfg.k,
    }
    tables = {"table": map_rows(arrays, cfg.layers), "summary": summary}
    return Result(facts, arrays, tables, findings(summary, cfg.layers[-1], cfg.margin))


def mine(cfg: TruthProjections, it: Subject, net: Network, first: int) -> dict[str, Peaks]:
    """The strongest units over every second image from `first` on; images by their own number."""
    loader = it.loader(Subset(it.crops, range(first, len(it.crops), 2)))
    found = top_activations(net, loader, cfg.layers, k=cfg.k)
    return {
        layer: Peaks(p.value, torch.where(p.image < 0, p.image, 2 * p.image + first), p.y, p.x)
        for layer, p in found.items()
    }


def choose_maps(cfg: TruthProjections, halves: Sequence[Peaks], layer: str) -> torch.Tensor:
    """Draw from the maps whose k strongest units are live in both halves."""
    live = torch.stack([(half.value > 0).all(dim=1) for half in halves]).all(dim=0)
    if live.sum() < 2:
        raise DeconvError(
            f"{layer} has {int(live.sum())} maps with {cfg.k} live units in each half of the "
            "images: train longer, take more images or a smaller k"
        )
    return random_maps(live, cfg.maps_each, cfg.seed, layer)


# The claims


def findings(summary: Sequence[dict[str, Any]], layer: str, margin: float) -> list[Finding]:
    """Judge whether the energy of one layer lies in object and part; only where maps have one."""
    out = []
    for row in summary:
        if row["layer"] != layer or not row["maps"]:
            continue
        what = row["what"]
        lows = [row[f"above_{group}_low"] for group in GROUPS[1:]]
        ends = row[f"{TRAINED}_low"], row[f"{TRAINED}_high"]
        holds = all(low > margin for low in lows)  # NaN is not
        above = {f"above_{group}_low": low for group, low in zip(GROUPS[1:], lows, strict=True)}
        key, facts = f"control/truth_projections/{what}_energy", {"layer": layer, "margin": margin}
        out.append(judged(key, row[TRAINED], ends, row["maps"], holds=holds, **facts, **above))
    return out


# The page

TITLES = dict(zip(WHAT, ("In the object's box", "In the preferred part"), strict=True))


def draw(saved: Saved) -> Page:
    """The page from the saved files alone."""
    arrays, facts = saved.arrays, saved.facts
    layers = facts["layers"]
    panels = [
        figures.SharePanel(
            title,
            [layer_title(layer, facts) for layer in layers],
            [grouped(arrays, layer, what) for layer in layers],
            [{g: arrays[f"summary/{layer}/{what}/{g}"] for g in GROUPS} for layer in layers],
        )
        for what, title in TITLES.items()
    ]
    fields = dataclasses.fields(figures.BoxedExamples)[1:]
    shown = {field.name: arrays[f"examples/{field.name}"] for field in fields}
    examples = figures.BoxedExamples(layer_title(layers[-1], facts), **shown)
    return figures.localisation(panels, examples, caption(facts))


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data = facts["data"]
    return (
        f"Share of a projection's energy (sum of squares) inside known boxes, over "
        f"{data['images']} built-in scenes ({data['split']}). A dot is a map, the mean over its "
        f"{facts['k']} strongest units on odd images; the part that a map prefers was decided on "
        "even images. Random map: the strongest unit of another map of the layer on the same "
        "image. Untrained: the same network before training, with its own strongest units and "
        "preferred parts. Chance: the share of the receptive field that the boxes cover. Bars: "
        f"means with {100 * LEVEL:.0f} % bootstrap intervals over maps. Below: a random choice of "
        "maps, their strongest units on odd images; above the image, below the projection; thin "
        "box the object, thick boxes the preferred part. "
        f"{describe_network(facts)}"
    )


SAVES = "arrays.npz table.csv summary.csv findings.json"
main = experiment(
    TruthProjections,
    compute,
    draw,
    check,
    saves=SAVES,
    number="control/truth_projections/object_energy",
)

if __name__ == "__main__":
    main()
