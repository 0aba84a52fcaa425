r"""Feature maps of images at chosen layers, before and after the activation function, and sparsity.

    python -m experiments.feature_maps snapshot=<run>/last.pt
    python -m experiments.feature_maps model=torchvision/resnet50 model.weights=DEFAULT \
        'images=[dog.jpg]' 'layers=[20,40,44,48]'
    python -m experiments.feature_maps redraw=outputs/feature_maps/<folder>

Not in the paper, which shows what excites maps and no maps. For each image and layer: some maps of
z, what the activation function takes in, and of a, what it gives (of one where the other is not
there, then twice as many maps); the strongest unit of each map led back to its receptive field.
Below: how many values are above 0, and how many maps are dead or saturated, over evenly spaced
images of a split, for every layer with an activation function; `images_measured=0` leaves that
out, and then files named by `images` need no data set.

Cost: laptop under a minute (with a snapshot) on 2 CPU cores.
Expected: maps grow coarser and sparser with depth; a is z with everything below 0 cut off.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row a measured layer), units.csv (a row
a map shown), config.yaml and provenance.json. There is no claim to judge, so no findings.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from deconv import figures
from deconv.errors import DeconvError
from deconv.fields import receptive_field
from deconv.figures import Page
from deconv.mining.map_statistics import MapPoints, map_statistics
from deconv.mining.random_maps import random_maps
from deconv.studies.feature_maps import (
    STRONG,
    all_activated,
    depth_trend,
    maps_of_image,
    points_of,
    sparsity_row,
)
from experiments.kit import Figure, Result, Saved, Subject, by_size, check_name, experiment, log
from experiments.kit.chosen_maps import (
    CHOICES,
    ShowsMaps,
    check_choice,
    check_class,
    checked_maps,
    choose_maps,
    maps_of,
    named_maps,
)
from experiments.kit.facts import describe_network, images_of, preprocessing
from experiments.kit.layout import layout_of, saved_layers, saved_maps

SCALES = ("map", "layer")
PEAKS = 9
MOST_IMAGES, MOST_MAPS, SHOWN_LAYERS, BATCH = 6, 64, 5, 8


@dataclasses.dataclass
class FeatureMaps(ShowsMaps, Figure):  # split: where images are drawn from and maps are measured
    images: list[Any] = dataclasses.field(default_factory=list)  # numbers in the split or paths;
    # []: `count` drawn by the seed
    count: int = 1  # 1 to 6 images
    only_right: bool = by_size(paper=True, laptop=True, smoke=False)  # draw among those that the
    # network gets right
    labels: list[str] = dataclasses.field(default_factory=list)  # the class of each of images
    maps_each: int = 12  # how many maps of a layer for which maps names none
    choose: str = "strongest"  # strongest: largest maximum on the image first; first: maps 0, 1, 2,
    # …; random; class: most selective for of_class over the split
    scale: str = "map"  # map: each map its own; layer: one for all maps shown of a layer
    images_measured: int = by_size(paper=1000, laptop=200, smoke=12)  # evenly spaced; 0:
    # sparsity is left out

    def __post_init__(self) -> None:
        self.layers = [str(layer) for layer in self.layers]
        self.maps = checked_maps(self.maps)
        check_choice(self.choose, self.of_class, (*CHOICES, "first"))
        check_name("scale", self.scale, SCALES)
        for many in (self.maps_each, *map(len, self.maps.values())):
            if not 1 <= many <= MOST_MAPS:
                raise DeconvError(f"{many} maps of a layer on a page: choose 1 to {MOST_MAPS}")
        if not 1 <= (count := len(self.images) or self.count) <= MOST_IMAGES:
            raise DeconvError(f"{count} images on one page: choose 1 to {MOST_IMAGES}")
        if self.images_measured < 0:
            raise DeconvError(
                f"images_measured={self.images_measured}: the images to measure sparsity over, or 0"
            )


def check(cfg: FeatureMaps, it: Subject) -> None:
    """Raise DeconvError for a layer or images that cannot be used."""
    pairs = points_of(it.sketch, cfg.shown_layers([]), SHOWN_LAYERS)
    named_maps(cfg, it.sketch, [pair.layer for pair in pairs])
    check_class(cfg, it)
    for pair in pairs:
        receptive_field(it.sketch, pair.measured, 0, 0, (it.sketch.input_px,) * 2)
    if cfg.images_measured or it.by_number:
        it.need_images(1 if cfg.images else cfg.count, "the page")
    it.check_images()


def compute(cfg: FeatureMaps, it: Subject) -> Result:
    """Take the maps of the images shown, and measure sparsity over images of the split."""
    classes = it.snapshot.classes
    images, net = it.images(cfg.count, only_right=cfg.only_right), it.net
    shown = points_of(net, cfg.shown_layers([]), SHOWN_LAYERS)
    chosen = maps_shown(cfg, it, shown)
    measured = sparsity(cfg, it, shown) if cfg.images_measured else []
    it.first_alone()
    arrays, units = {}, []
    for i, image in enumerate(images):
        arrays[f"{i}/picture"] = image.picture().permute(1, 2, 0).numpy()
        for layer, part in maps_of_image(net, image.input, shown, cfg.maps_each, chosen).items():
            arrays |= {f"{i}/{layer}/{name}": array for name, array in part.items()}
            about = {"shown": i + 1, "image": image.index, "file": image.file}
            about |= {"class": classes[image.label] if image.label is not None else ""}
            about["layer"] = layer
            units += [about | row for row in unit_rows(part)]
    facts = {
        "figure": "feature maps (not in the paper)",
        "choices": {
            "maps": map_words(cfg),
            "maps_named": sorted(named_maps(cfg, net, [pair.layer for pair in shown])),
            "scale": WORDS[cfg.scale][0],
            "scale_of": cfg.scale,
            "z": "what the first activation function behind the layer takes in",
            "dead": "never above 0 in the images measured",
            "saturated": "above 0 at every position of every image measured",
            "preprocessing": preprocessing(net, it.snapshot.mean),
        },
        "data": it.facts().get("data", {})
        | {"images_measured": measured[0]["images"] if measured else 0},
        "images": [{"name": one.name, "image": one.index, "file": one.file} for one in images],
        "layers": [
            {"layer": pair.layer, "z": pair.z, "a": pair.a, "title": title_of(it, pair)}
            for pair in shown
        ],
        "measured": measured,
        "depth": depth_trend(measured),
    }
    return Result(facts, arrays, {"table": measured, "units": units})


def sparsity(cfg: FeatureMaps, it: Subject, shown: Sequence[MapPoints]) -> list[dict[str, Any]]:
    """A row for each layer with an activation function, over evenly spaced images of the split."""
    pairs = all_activated(it.net, shown)
    # Of a set in the order of its classes the first would be of a few classes.
    spaced = np.linspace(0, len(it.crops) - 1, min(cfg.images_measured, len(it.crops))).astype(int)
    some = Subset(it.crops, spaced.tolist())
    log(f"measuring {len(pairs)} layers of {it.net.name} over {len(some)} images")
    counted = map_statistics(it.net, it.loader(some, BATCH), [pair.measured for pair in pairs])
    return [sparsity_row(it.net, pair, counted[pair.measured]) for pair in pairs]


def maps_shown(
    cfg: FeatureMaps, it: Subject, shown: Sequence[MapPoints]
) -> dict[str, str | torch.Tensor]:
    """Layer -> its maps, named or chosen over the split, or how to choose them on each image.

    For a class the split is mined; all processes do so together.
    """
    named = named_maps(cfg, it.net, [pair.layer for pair in shown])
    chosen: dict[str, str | torch.Tensor] = {}
    others = [pair for pair in shown if pair.layer not in named]
    points = [pair.measured for pair in others]
    peaks = it.mine(points, k=PEAKS) if cfg.choose == "class" and points else {}
    for pair in others:
        every = torch.ones(maps_of(it.net, pair.measured), dtype=torch.bool)
        count = cfg.maps_each if pair.z and pair.a else 2 * cfg.maps_each
        if cfg.choose == "random":
            chosen[pair.layer] = random_maps(every, count, cfg.seed, pair.layer)
        elif cfg.choose == "class":
            point = pair.measured
            chosen[pair.layer] = choose_maps(cfg, it, point, peaks[point], every, count)
        else:
            chosen[pair.layer] = cfg.choose
    return chosen | {layer: torch.tensor(numbers) for layer, numbers in named.items()}


def map_words(cfg: FeatureMaps) -> str:
    """How the maps were chosen, for sidecar and caption."""
    words = {
        "strongest": "the maps with the largest maximum on the image, largest first",
        "first": "the first maps by number",
        "random": f"a random choice of maps (seed {cfg.seed})",
        "class": f"the maps with the most {cfg.of_class} among their {PEAKS} strongest images",
    }[cfg.choose]
    if not cfg.maps:
        return words
    own = "the maps that were named"
    return own if len(cfg.maps) == len(cfg.shown_layers([])) else f"{own}, of other layers {words}"


def unit_rows(part: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row of units.csv for each map of one layer of one image."""
    edges = ("top", "left", "bottom", "right")
    return [
        {"number": i + 1, "map": one}
        | {name: part[name][i] for name in ("value", "y", "x")}
        | dict(zip(edges, part["box"][i], strict=True))
        for i, one in enumerate(part["maps"])
    ]


def title_of(it: Subject, pair: MapPoints) -> str:
    """A layer's title or name; before a name its number where that is no part of it."""
    net = it.net
    if title := it.titles.get(pair.layer) or it.titles.get(pair.measured):
        return title
    if pair.layer in net.layers and hasattr(net, "module"):
        return f"{net.layers.index(pair.layer) + 1}: {pair.layer}"
    return pair.layer


WORDS = {
    "map": (
        "each map its own, z and a apart",
        "every map has its own scale, ± its largest absolute value",
    ),
    "layer": (
        "one for all maps shown of a layer and image, z and a apart",
        "all maps shown of a layer share one scale, printed at the right",
    ),
}
"""Of `scale`, for the sidecar and for the caption."""


# The page


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts, images = saved.facts, []
    asked = layout_of(saved)
    scale = asked.get("scale", facts["choices"]["scale_of"])
    check_name("scale", scale, SCALES)
    layers = {layer["layer"]: layer for layer in facts["layers"]}
    for i, image in enumerate(facts["images"]):
        rows = [_layer(saved, i, layers[name], scale) for name in saved_layers(saved, list(layers))]
        number = "" if image["image"] is None else f", image {image['image']}"
        picture = saved.arrays[f"{i}/picture"]
        images.append(figures.MappedImage(f"{image['name']}{number}", picture, rows))
    return figures.feature_maps(images, _sparsity(facts), caption(facts, scale))


def _layer(saved: Saved, image: int, layer: dict[str, Any], scale: str) -> figures.LayerMaps:
    arrays, at = saved.arrays, f"{image}/{layer['layer']}"
    maps = saved_maps(saved, layer["layer"], arrays[f"{at}/maps"].tolist())
    part = {
        name: arrays[key][maps] if (key := f"{at}/{name}") in arrays else None
        for name in ("maps", "z", "a", "box", "y", "x")
    }
    scales = {name: scales_of(part[name], len(part["maps"]), scale) for name in ("z", "a")}
    height, width = (part["z"] if part["a"] is None else part["a"]).shape[1:]
    words = [f"{height}×{width} units"]
    if scale == "layer":
        words += [f"{name} to {scales[name][0]:.3g}" for name in "za" if part[name] is not None]
    return figures.LayerMaps(
        title=layer["title"],
        note=", ".join(words),
        z=part["z"],
        a=part["a"],
        z_name=z_name(layer),
        a_name=f"a: {layer['a']}" if layer["a"] else "",
        maps=part["maps"],
        unit=np.stack([part["y"], part["x"]], 1),
        box=part["box"],
        scale_z=scales["z"],
        scale_a=scales["a"],
    )


def z_name(layer: dict[str, Any]) -> str:
    """Words above a layer's maps of z."""
    if layer["z"] is None:
        return ""
    return f"z: {layer['z']}" if layer["a"] else "no activation function follows"


def scales_of(maps: np.ndarray | None, count: int, scale: str) -> np.ndarray:
    """The largest absolute value of each map, or for each that of all; 1 where all is 0."""
    if maps is None:
        return np.ones(count)
    largest = np.abs(maps).reshape(len(maps), -1).max(1)
    if scale == "layer":
        largest = np.full(count, largest.max())
    return np.where(largest > 0, largest, 1.0)


def _sparsity(facts: dict[str, Any]) -> figures.SparsityPanel | None:
    """The panel below the maps: layers with an activation function. None where none is measured."""
    if not facts["measured"]:
        return None
    rows = [row for row in facts["measured"] if row["activated"]] or facts["measured"]
    shown = {layer["a"] or layer["z"] for layer in facts["layers"]}
    maps = np.array([row["maps"] for row in rows])
    columns = ("share_above_0_p10", "share_above_0", "share_above_0_p90")
    return figures.SparsityPanel(
        numbers=np.arange(1, len(rows) + 1),
        names=[facts.get("titles", {}).get(row["measured"], row["layer"]) for row in rows],
        shown=np.array([len(rows) <= 10 or row["measured"] in shown for row in rows]),
        active=np.array([[row[name] for name in columns] for row in rows]),
        dead=np.array([row["dead"] for row in rows]) / maps,
        saturated=np.array([row["saturated"] for row in rows]) / maps,
    )


def caption(facts: dict[str, Any], scale: str) -> str:
    """The text under the figure."""
    data, chosen = facts["data"], facts["choices"]
    below = ""
    if facts["measured"]:
        below = (
            " Below: values above 0, and maps that are dead or saturated, in every layer with an "
            "activation function, in order of depth, over "
            f"{data['images_measured']} images of {images_of(data)}. {depth_words(facts['depth'])}"
        )
    return (
        f"For each layer {chosen['maps']}: z, which the activation function behind the "
        "layer takes in, and a, which it gives. White is 0, warm above, blue below; "
        f"{WORDS[scale][1]}, z and a apart. A circle marks a map's strongest unit (of "
        "a, or of z where there is no a); on the image is that unit's exact receptive field, "
        f"clipped, with the map's place in the row, several where maps share a box.{below} "
        f"{describe_network(facts)}"
    )


def depth_words(depth: dict[str, Any]) -> str:
    """Whether sparsity rises with depth."""
    if (rho := depth["spearman"]) is None:
        return "Too few layers to say whether sparsity rises with depth."
    verb = "rises" if rho >= STRONG else "falls" if rho <= -STRONG else "neither rises nor falls"
    first, last = (f"{100 * share:.0f} %" for share in depth["first_and_last"])
    return (
        f"Sparsity (the share of values not above 0) {verb} with depth (Spearman's ρ {rho:+.2f} "
        f"over {depth['layers']} layers; {first} in the first, {last} in the last)."
    )


SAVES = "arrays.npz table.csv units.csv"
main = experiment(FeatureMaps, compute, draw, check, SAVES, layout="layers maps scale")

if __name__ == "__main__":
    main()
