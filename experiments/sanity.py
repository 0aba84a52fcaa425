"""Sanity checks: does a deconvnet picture depend on what it claims to show?

    python -m experiments.sanity snapshot=<run>/last.pt
    python -m experiments.sanity model=torchvision/resnet18 model.weights=random \
        'layers=[layer1,layer3]' data=scenes
    python -m experiments.sanity redraw=outputs/sanity/<folder>

Not in the paper. The strongest units of some maps are projected again with one thing exchanged:
random weights, in all layers below or in one (Adebayo et al. 2018), another unit (Mahendran &
Vedaldi 2016), other switches, another backward rule, another collision policy. Three similarities
inside the receptive field stand beside those of two unrelated pictures. Last, the strongest images
of maps over all classes against those over a single class.

Cost: laptop half a minute (with a snapshot) on 2 CPU cores; a ZFNet at 224 px five minutes.
Expected: random weights and another image's switches leave little of a picture; another map at the
same place leaves much of its outline.

Writes figure.png and figure.pdf, summary.md (what may be read into a picture, by declared rules),
table.csv (one row per layer, check, variant and number), arrays.npz (one row per unit),
findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Subset

from deconv import figures
from deconv.errors import DeconvError
from deconv.fields import receptive_field
from deconv.figures import Page
from deconv.mining.top_activations import CHUNK, map_maxima
from deconv.pooling import COLLISIONS
from deconv.studies import sanity
from deconv.studies.bootstrap import LEVEL
from deconv.studies.sanity.exchanges import exchange
from deconv.studies.sanity.mined_classes import mine_classes
from deconv.studies.sanity.shares import Row, chance_of, pick, share_rows
from deconv.studies.sanity.similarity import NUMBERS
from deconv.studies.sanity.units import strongest_units
from experiments.kit import Figure, Result, Saved, Subject, by_size, check_name, experiment, log
from experiments.kit.facts import (
    deconvnet_choices,
    describe_field,
    describe_network,
    images_of,
)
from experiments.kit.inputs import workers
from experiments.kit.titles import layer_title
from experiments.verdicts.sanity import findings, summary

MOST_STOPS = 8


@dataclass
class Sanity(Figure):
    layers: tuple[str, ...] = ("conv2", "conv3", "conv5")  # the findings are about the last one
    units: int = by_size(paper=48, laptop=24, smoke=3)  # of each layer, of random live maps
    mining_maps: int = by_size(paper=16, laptop=6, smoke=2)  # of these, to mine over one class
    per_class: int = by_size(paper=20, laptop=20, smoke=2)  # images mined of each class
    k: int = by_size(paper=9, laptop=9, smoke=2)  # strongest images of a map
    how: str = "permute"  # random weights: permute each layer's own, or init, as before training
    stops: int = 6  # at most so many stops of the cascade: blocks of layers, spread over depth
    little: float = 0.2  # kept share of a picture below which it has gone,
    much: float = 0.5  # above which it mostly stays
    example: int = 0  # which unit of the last layer is drawn
    collisions: str = "sum"  # sum, max, mean, overwrite

    def __post_init__(self) -> None:
        if not self.layers:
            raise DeconvError("layers takes a list such as [conv2,conv5], got none")
        for name, least in (("units", 2), ("mining_maps", 2), ("per_class", 1), ("k", 1)):
            if (value := getattr(self, name)) < least:
                raise DeconvError(f"{name}={value} must be at least {least}")
        if self.per_class < self.k:
            raise DeconvError(
                f"per_class={self.per_class}: mining over one class needs at least k={self.k} of "
                "its images"
            )
        if not 0 < self.little < self.much < 1:
            raise DeconvError(f"little={self.little} and much={self.much}: 0 < little < much < 1")
        if not 1 <= self.stops <= MOST_STOPS:
            raise DeconvError(f"stops={self.stops} cannot be shown: choose 1 to {MOST_STOPS}")
        if not 0 <= self.example < self.units:
            raise DeconvError(
                f"there is no unit {self.example}: example takes 0 to {self.units - 1}"
            )
        check_name("way to randomise", self.how, sanity.WAYS)
        check_name("collision policy", self.collisions, COLLISIONS)


def check(cfg: Sanity, it: Subject) -> None:
    """Raise DeconvError for layers or classes that cannot be used."""
    names = [it.sketch.check_point(layer) for layer in cfg.layers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DeconvError(f"layers names {', '.join(twice)} twice")
    sanity.balanced(it.data.targets, cfg.per_class, cfg.seed)


def compute(cfg: Sanity, it: Subject) -> Result:
    """Mine, exchange one thing at a time, compare."""
    net = it.net
    it.first_alone()
    layers = [net.check_point(layer) for layer in cfg.layers]
    last = layers[-1]
    pool = sanity.balanced(it.data.targets, cfg.per_class, cfg.seed)
    mined, labels = Subset(it.crops, pool), np.array([it.data.targets[i] for i in pool])
    log(f"mining {len(layers)} layers of {net.name} over {len(pool)} images")
    loader = DataLoader(mined, batch_size=CHUNK, num_workers=workers(cfg))
    maxima = map_maxima(net, loader, layers)
    stops = sanity.choose_stops(net, layers, cfg.stops)
    arrays: dict[str, np.ndarray] = {}
    common = {"collisions": cfg.collisions, "seed": cfg.seed}
    for layer in layers:
        units = strongest_units(maxima[layer], layer, cfg.units, cfg.k, cfg.seed)
        maps = units[: cfg.mining_maps, 1].sort().values
        example = min(cfg.example, len(units) - 1)
        log(f"{layer}: {len(units)} pictures with one thing exchanged at a time")
        options = {"stops": stops, "how": cfg.how, "example": example if layer == last else None}
        found = exchange(net, mined, labels, layer, units, **options, **common)
        log(f"{layer}: strongest images of {cfg.mining_maps} maps by class")
        options = {"k": cfg.k, "picture": lambda i: it.crops.picture(pool[i])}
        found |= mine_classes(net, mined, labels, layer, maxima[layer], maps, **options, **common)
        arrays |= {f"{layer}/{name}": values for name, values in found.items()}
    image, _, y, x = units[example].tolist()
    arrays["example/patch"] = it.crops.picture(pool[image]).numpy()
    arrays["example/box"] = np.array(receptive_field(net, last, y, x, (net.input_px,) * 2))
    rows = share_rows(arrays, layers, cfg.seed)
    facts = {
        "figure": "sanity checks (not in the paper)",
        "choices": deconvnet_choices(net, cfg.collisions, it.snapshot.mean, layers) | choices(cfg),
        "data": it.facts()["data"]
        | {"mined": len(pool), "classes_mined": len(pool) // cfg.per_class},
        "layers": layers,
        "stops": list(stops),
        "fields": {layer: describe_field(net, layer) for layer in layers},
    }
    facts |= {name: getattr(cfg, name) for name in ("little", "much", "k", "units", "example")}
    judged = findings(arrays, rows, last, cfg.little, cfg.much, cfg.seed)
    return Result(facts, arrays, {"table": rows}, judged)


def choices(cfg: Sanity) -> dict[str, str]:
    """What was chosen, for the sidecar."""
    ways = {
        "permute": "each layer's weights, and its biases, in a random order",
        "init": "as before training, by the network's own initialiser",
    }
    return {
        "seed": "the unit is set to 1, as its activation only scales the picture",
        "engine": "mirror where the way down is a chain, else vjp; guided and gradient by vjp",
        "random_weights": ways[cfg.how] + "; normalisation layers keep theirs",
        "units": f"the strongest of each of {cfg.units} random maps (seed {cfg.seed}) that are "
        f"above 0 on {cfg.k} images",
        "other_unit": "of a random map above 0 at the same position, or of one above 0 on the "
        "image at its own peak; compared in the first unit's receptive field",
        "other_image": "a random one of another class",
        "chance": "a random map's unit on another image, at the same position",
        "numbers": "rank: Spearman's correlation of absolute values; signed: Pearson's; ssim: "
        "of pictures clipped at ± their 99th percentile, windows of 7 px; over all colours, "
        "inside the receptive field; a blank picture has correlation 0",
        "kept": "(mean similarity - that of chance) / (1 - that of chance)",
        "mining": f"{cfg.per_class} images of each class that has as many; mean pictures of "
        f"the {cfg.k} strongest, each scaled to a root mean square of 1",
        "intervals": f"{100 * LEVEL:.0f} % bootstrap over units, which share images",
    }


# The page

TITLES = {
    sanity.ABOVE: "Random weights above",
    sanity.CASCADE: "Random weights, all down to",
    sanity.INDEPENDENT: "Random weights in one layer",
    sanity.UNIT: "Another map's unit",
    sanity.SWITCHES: "Switches",
    sanity.RULE: "Another rule",
    sanity.COLLISION: "Another collision policy",
    sanity.MINING: "Mined over all classes and",
}
"""Check -> the title of its rows and pictures, in the order of the page."""

SHORT = {sanity.SHUFFLED: "shuffled", sanity.OTHER_HALF: "other half of images"}
"""Variant -> its name beside a row, where that is another."""


def short(variant: str, facts: Mapping[str, Any]) -> str:
    """What stands beside a row or above a picture: a block of layers by its title."""
    return SHORT.get(variant) or (facts.get("titles") or {}).get(variant, variant)


def draw(saved: Saved) -> Page:
    """The figure, and summary.md beside it, from the saved files alone."""
    facts, numbers = saved.facts, ("mean", "low", "high", "kept", "kept_low", "kept_high")
    rows = [row | {name: float(row[name] or "nan") for name in numbers} for row in saved.rows()]
    (saved.folder / "summary.md").write_text(summary(rows, facts), encoding="utf-8")
    return figures.sanity(*pictures(saved.arrays, facts), *panels(rows, facts), caption(facts))


def pictures(
    arrays: Mapping[str, np.ndarray], facts: dict[str, Any]
) -> tuple[str, list[figures.TileGroup]]:
    """The heading and the tiles of the example unit, with two numbers below each."""
    layer = facts["layers"][-1]
    units = arrays[f"{layer}/units"]
    i = min(facts["example"], len(units) - 1)
    top, left, bottom, right = arrays["example/box"]

    def shown(check: str, variant: str, name: str) -> figures.Tile:
        at = f"{layer}/{check}/{variant}"
        rank, signs, _ = arrays[f"{at}/scores"][i]
        note = f"signed {signs:.2f}, rank {rank:.2f}" if np.isfinite(signs) else "none there"
        return figures.Tile(name, note, arrays[f"{at}/example"])

    patch = arrays["example/patch"][:, top:bottom, left:right]
    image = figures.Tile("image", "receptive field", patch)
    original = arrays[f"{layer}/{sanity.ORIGINAL}/{sanity.ORIGINAL}/example"]
    unrelated = shown(sanity.CHANCE, sanity.UNRELATED, "map, image")
    groups = [
        figures.TileGroup("The unit", [image, figures.Tile("original", "", original)]),
        figures.TileGroup("Unrelated", [unrelated]),
    ]
    for check, title in TITLES.items():
        keys = [key for key in arrays if key.startswith(f"{layer}/{check}/")]
        variants = [key.split("/")[2] for key in keys if key.endswith("/example")]
        if variants:
            tiles = [shown(check, variant, short(variant, facts)) for variant in variants]
            groups.append(figures.TileGroup(title, tiles))
    title = (
        f"{layer_title(layer, facts)}, map {units[i, 1]}: one unit, one thing exchanged at a time"
    )
    return title, groups


def panels(
    rows: Sequence[Row], facts: dict[str, Any]
) -> tuple[list[figures.Section], list[figures.SimilarityPanel]]:
    """The rows that all panels share, and a panel a layer."""
    names: dict[str, list[str]] = {}
    for check in TITLES:
        found = dict.fromkeys(r["variant"] for r in rows if r["check"] == check)
        found.pop(sanity.ANOTHER_MAP, None)
        if check in (sanity.CASCADE, sanity.INDEPENDENT):
            found = [stop for stop in reversed(facts["stops"]) if stop in found]
        if found:
            names[check] = list(found)

    def ends(*at: str) -> list[float]:
        row = pick(rows, *at)
        return [row[end] if row else np.nan for end in ("mean", "low", "high")]

    sections = [
        figures.Section(TITLES[check], [short(variant, facts) for variant in some])
        for check, some in names.items()
    ]
    by_layer = []
    for layer in facts["layers"]:
        values = [
            {n: np.array([ends(layer, check, v, n) for v in some]) for n in NUMBERS}
            for check, some in names.items()
        ]
        bands = [
            {n: np.array(ends(layer, *chance_of(check), n)) for n in NUMBERS} for check in names
        ]
        own, by_luck = (100 * ends(layer, sanity.SHARES, n, "share")[0] for n in sanity.OF_NINE)
        first = f"one class has {own:.0f} % of the {facts['k']} strongest,"
        units = pick(rows, layer, sanity.ORIGINAL, sanity.ORIGINAL, "signed")["n"]
        note = f"{units} units, {facts['fields'][layer].replace('receptive ', '')}"
        notes = [first, f"by chance {by_luck:.0f} %"]
        by_layer.append(
            figures.SimilarityPanel(layer_title(layer, facts), note, values, bands, notes)
        )
    return sections, by_layer


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, choices = facts["data"], facts["choices"]
    return (
        "Above: the deconvnet's picture of one unit, in its receptive field, and the same with one "
        "thing exchanged; grey is zero, each picture has its own scale. Numbers: correlation with "
        "the original, with signs and by ranks of absolute values. Below: means over the strongest "
        f"units of randomly chosen maps, one a map, among {data['mined']} images of "
        f"{images_of(data)}, with {100 * LEVEL:.0f} % bootstrap intervals over units. Bands: the "
        "similarity of two unrelated pictures (another map's unit on another image at the same "
        f"position); in the last rows, which compare mean pictures of the {facts['k']} strongest "
        f"images, that of another map. Random weights: {choices['random_weights']}. Collisions: "
        f"{choices['collisions']}. {describe_network(facts)}"
    )


main = experiment(
    Sanity,
    compute,
    draw,
    check,
    saves="arrays.npz table.csv findings.json",
    number="control/sanity/learned_weights",
)

if __name__ == "__main__":
    main()
