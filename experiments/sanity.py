"""Sanity checks: does a deconvnet picture depend on what it claims to show?

    python -m experiments.sanity snapshot=<run>/last.pt
    python -m experiments.sanity model=torchvision/resnet18 model.weights=random \
        'layers=[layer1,layer3]' data=scenes
    python -m experiments.sanity redraw=outputs/sanity/<folder>

Not in the paper. For the strongest units of some maps: the picture again with random weights, from
the unit's layer down or in one layer (Adebayo et al. 2018), with another unit in its place
(Mahendran & Vedaldi 2016), other switches, another rule of the way down, another policy for shared
switches. How alike it stays is measured inside the receptive field by three numbers, beside the
likeness of two unrelated pictures. Last, the strongest images of maps over all classes against
those over a single class.

Cost: laptop half a minute (with a snapshot) on 2 CPU cores; a ZFNet at 224 px five minutes.
Expected: random weights and another image's switches leave little of a picture; another map at the
same place leaves much of its outline.

Writes figure.png and figure.pdf, summary.md (what may and may not be read into a picture, by
declared rules), table.csv (a row a layer, check, variant and number), arrays.npz (a row a unit),
findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Subset

from deconv import figures
from deconv.errors import DeconvError, unknown
from deconv.fields import receptive_field
from deconv.figures import Page
from deconv.mining.top_activations import CHUNK, map_maxima
from deconv.pooling import COLLISIONS
from deconv.studies import sanity
from deconv.studies.bootstrap import LEVEL, bootstrap
from deconv.studies.sanity import shares
from deconv.studies.sanity.exchanges import exchange
from deconv.studies.sanity.mined_classes import mine_classes
from deconv.studies.sanity.shares import Row, pick
from deconv.studies.sanity.similarity import NUMBERS
from deconv.studies.sanity.units import strongest_units
from experiments.kit import Figure, Finding, Result, Saved, Subject, by_size, experiment, log
from experiments.kit.facts import deconvnet_choices, describe_field, describe_network, layer_title
from experiments.kit.inputs import workers
from experiments.kit.printed import bullets, table

MOST_STOPS = 8


@dataclass
class Sanity(Figure):
    layers: tuple[str, ...] = ("conv2", "conv3", "conv5")  # the findings are about the last one
    units: int = by_size(paper=48, laptop=24, smoke=3)  # of each layer, of random live maps
    mining_maps: int = by_size(paper=16, laptop=6, smoke=2)  # of these, to mine over one class
    per_class: int = by_size(
        paper=20, laptop=20, smoke=2
    )  # images mined of each class with as many
    k: int = by_size(paper=9, laptop=9, smoke=2)  # strongest images of a map
    how: str = "permute"  # random weights: permute each layer's own, or init, as before training
    stops: int = 6  # at most so many halts of the cascade, evenly spread over depth
    little: float = 0.2  # of a picture that stays: below it nothing to speak of,
    much: float = 0.5  # above it most of the picture
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
        if self.how not in sanity.WAYS:
            raise unknown("way to randomise", self.how, sanity.WAYS)
        if self.collisions not in COLLISIONS:
            raise unknown("collision policy", self.collisions, COLLISIONS)


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
    chosen, labels = Subset(it.crops, pool), np.array([it.data.targets[i] for i in pool])
    log(f"mining {len(layers)} layers of {net.name} over {len(pool)} images")
    loader = DataLoader(chosen, batch_size=CHUNK, num_workers=workers(cfg))
    maxima = map_maxima(net, loader, layers)
    seen = {name for layer in layers for name in sanity.layers_below(net, layer)}
    stops = sanity.spread_evenly([name for name in net.layers if name in seen], cfg.stops)
    arrays: dict[str, np.ndarray] = {}
    for layer in layers:
        units = strongest_units(maxima[layer], layer, cfg.units, cfg.k, cfg.seed)
        maps = units[: cfg.mining_maps, 1].sort().values
        example = min(cfg.example, len(units) - 1)
        common = {"collisions": cfg.collisions, "seed": cfg.seed}
        log(f"{layer}: {len(units)} pictures with one thing exchanged at a time")
        options = {"stops": stops, "how": cfg.how, "example": example if layer == last else None}
        found = exchange(net, chosen, labels, layer, units, **options, **common)
        log(f"{layer}: strongest images of {cfg.mining_maps} maps by class")
        options = {"k": cfg.k, "picture": lambda i: it.crops.picture(pool[i])}
        found |= mine_classes(net, chosen, labels, layer, maxima[layer], maps, **options, **common)
        arrays |= {f"{layer}/{name}": values for name, values in found.items()}
    image, _, y, x = units[example].tolist()
    arrays["example/patch"] = it.crops.picture(pool[image]).numpy()
    arrays["example/box"] = np.array(receptive_field(net, last, y, x, (net.input_px,) * 2))
    rows = shares.share_rows(arrays, layers, cfg.seed)
    judged = findings(arrays, rows, last, cfg.little, cfg.much, cfg.seed)
    return Result(facts_of(cfg, it, layers, stops, len(pool)), arrays, {"table": rows}, judged)


def facts_of(
    cfg: Sanity, it: Subject, layers: list[str], stops: list[str], mined: int
) -> dict[str, Any]:
    """What was chosen, for the sidecar. mined: number of images."""
    ways = {
        "permute": "each layer's weights, and its biases, in a random order",
        "init": "as before training, by the network's own initialiser",
    }
    choices = {
        "seed": "the unit is set to 1, so that its activation, which only scales the picture, "
        "does not count",
        "engine": "mirror where the way down is a chain, else vjp; guided and gradient by vjp",
        "random_weights": ways[cfg.how] + "; normalisation layers keep theirs",
        "units": f"the strongest unit over the images mined, of a random choice (seed {cfg.seed}) "
        f"of {cfg.units} maps above 0 on {cfg.k} images",
        "other_unit": "of a random map that is above 0 at the same position, or of one above 0 "
        "on the image at its own peak; compared in the first unit's receptive field",
        "other_image": "a random one of another class",
        "chance": "a random map's unit on another image, at the same position",
        "numbers": "rank: Spearman's correlation of absolute values; signed: Pearson's; ssim: "
        "of pictures at ± their 99th percentile, windows of 7 px; over all three colours, "
        "inside the receptive field; a blank picture has correlation 0",
        "kept": "(mean similarity - that of chance) / (1 - that of chance)",
        "mining": f"{cfg.per_class} images of each class that has as many; mean pictures of "
        f"the {cfg.k} strongest, each brought to one root mean square",
        "intervals": f"{100 * LEVEL:.0f} % bootstrap over units, which share images",
    }
    mined_from = {"mined": mined, "classes_mined": mined // cfg.per_class}
    return {
        "figure": "sanity checks (not in the paper)",
        "choices": deconvnet_choices(it.net, cfg.collisions, it.snapshot.mean, layers) | choices,
        "data": it.facts()["data"] | mined_from,
        "layers": layers,
        "stops": stops,
        "fields": {layer: describe_field(it.net, layer) for layer in layers},
    } | {name: getattr(cfg, name) for name in ("little", "much", "k", "units", "example")}


# The claims, and what their verdicts mean for the reader of a picture


@dataclass(frozen=True)
class Question:
    """What one exchange leaves of a picture, and how that is judged.

    exchange: in words. row: its check, variant and number in the table. limit: the setting that
    its finding is judged by, "" for no finding. goes, partly, stays: what summary.md advises.
    """

    exchange: str
    row: tuple[str, str | int, str]
    limit: str
    goes: str
    partly: str
    stays: str


QUESTIONS = {
    "learned_weights": Question(
        "random weights in every layer from the unit's down",
        (sanity.CASCADE, shares.LAST, "signed"),
        "little",
        "The picture depends on what was learned; other weights paint another one.",
        "Only what goes beyond the picture of random weights may be read as learned.",
        "Do not read the picture as something learned: random weights paint much the same.",
    ),
    "learned_weights_outline": Question(
        "random weights in every layer from the unit's down",
        (sanity.CASCADE, shares.LAST, "rank"),
        "little",
        "Where it is strong depends on what was learned as well.",
        "It is in part the same with any weights: do not read the outline as learned.",
        "Do not read the outline as learned: random weights are strong at the same places.",
    ),
    "own_layer": Question(
        "random weights in the unit's own layer alone",
        (sanity.INDEPENDENT, shares.FIRST, "signed"),
        "",
        "The filters of the unit's own layer make the picture.",
        "The layers below alone make part of it: do not credit the unit's own layer with that.",
        "The layers below make most of it: do not credit the unit's own layer with it.",
    ),
    "own_unit": Question(
        "another map's unit at the same place",
        (sanity.UNIT, sanity.SAME_POSITION, "signed"),
        "much",
        "The picture may be read as this unit's own.",
        "Read only what differs between units at one place as the unit's own.",
        "Do not read the picture as the unit's own: another map's paints much the same.",
    ),
    "own_unit_outline": Question(
        "another map's unit at the same place",
        (sanity.UNIT, sanity.SAME_POSITION, "rank"),
        "much",
        "Where it is strong may be read as the unit's own as well.",
        "It is in part the image's: do not read the outline as what the unit looks for.",
        "Do not read it as what the unit looks for: another map's unit draws the same one.",
    ),
    "own_image": Question(
        "another image's switches",
        (sanity.SWITCHES, sanity.OTHER_IMAGE, "signed"),
        "much",
        "Read the picture as this unit on this image, not as what the unit prefers in general.",
        "Only what pictures from several images share may be read as the unit's preference.",
        "The picture hardly depends on the image: it may be read as a template of the unit.",
    ),
    "windows": Question(
        "switches at random places of their windows",
        (sanity.SWITCHES, sanity.SHUFFLED, "signed"),
        "",
        "All of it hangs on the exact positions in the pooling windows.",
        "Part of it hangs on the exact positions in the pooling windows.",
        "The exact positions in the pooling windows add little to it.",
    ),
    "rule": Question(
        "another rule (most by {variant})",
        (sanity.RULE, shares.LEAST, "signed"),
        "much",
        "Compare pictures only where they were made by one rule.",
        "Name the rule beside a picture, and do not compare details across rules.",
        "Which rule made the picture matters little.",
    ),
    "collisions": Question(
        "another policy for shared switches (most by {variant})",
        (sanity.COLLISION, shares.LEAST, "signed"),
        "much",
        "Compare pictures only where they were made by one policy.",
        "Name the policy beside a picture, and do not compare details across policies.",
        "The policy for shared switches, which the paper does not state, matters little.",
    ),
}
STAYING = ("rule", "collisions")
"""Findings that hold where the picture stays; the others hold where it goes."""
MEASURES = {"signed": "correlation with signs", "rank": "rank correlation of absolute values"}
INTERVAL = f"± half the {100 * LEVEL:.0f} % bootstrap interval over"


def answers(rows: Sequence[Row], layer: str) -> Iterator[tuple[str, Question, Row]]:
    """The questions that have an answer at a layer, with the row that holds it."""
    for name, question in QUESTIONS.items():
        row = pick(rows, layer, *question.row)
        if row is not None and np.isfinite(row["kept"]):
            yield name, question, row


def findings(
    arrays: Mapping[str, np.ndarray],
    rows: Sequence[Row],
    layer: str,
    little: float,
    much: float,
    seed: int,
) -> list[Finding]:
    """Judge what holds of one layer's pictures, each claim by its declared rule."""
    found = []

    def add(name: str, value: float, half: float | None, holds: Any, rule: str, unit: str) -> None:
        found.append(Finding(f"truth/sanity/{name}", value, half, holds, rule, unit))

    if (equal := arrays.get(f"{layer}/{sanity.ABOVE}/{sanity.ALL_ABOVE}/equal")) is not None:
        rule = (
            f"share of {len(equal)} units of {layer} whose pictures stay equal to the bit with "
            "random weights in all layers above; holds if all do"
        )
        add("layers_above", float(equal.mean()), None, bool(equal.all()), rule, "of the units")
    for name, question, row in answers(rows, layer):
        if not question.limit:
            continue
        limit = {"little": little, "much": much}[question.limit]
        holds, side = shares.below(row, limit), "below"
        if name in STAYING:
            holds, side = None if holds is None else not holds, "above"
        rule = (
            f"{question.exchange.format(**row)}: share of a picture of {layer} that is kept, by "
            f"{MEASURES[question.row[2]]}, 0 for unrelated pictures and 1 for all of it, "
            f"{INTERVAL} units ({row['n']}); holds if the interval lies {side} {limit:g}, does not "
            "if it lies beyond, and is not judged in between"
        )
        half = (row["kept_high"] - row["kept_low"]) / 2
        add(name, row["kept"], half, holds, rule, "of the picture")
    for name, (values, claim, unit) in differences(arrays, layer).items():
        values = values[np.isfinite(values)]
        if len(values):
            low, high = bootstrap(values, seed)
            rule = (
                f"{claim} of {layer}, {INTERVAL} {len(values)} of them; holds if the interval lies "
                "above 0, does not if below, and is not judged in between"
            )
            holds = True if low > 0 else False if high < 0 else None
            add(name, float(values.mean()), (high - low) / 2, holds, rule, unit)
    return found


def differences(
    arrays: Mapping[str, np.ndarray], layer: str
) -> dict[str, tuple[np.ndarray, str, str]]:
    """Claims that hold where a difference is above 0: its values, the claim, the unit."""
    out = {}
    if f"{layer}/{sanity.SWITCHES}/{sanity.OTHER_IMAGE}/scores" in arrays:
        out["switches_over_unit"] = (
            shares.signed(arrays, layer, sanity.UNIT, sanity.SAME_POSITION)
            - shares.signed(arrays, layer, sanity.SWITCHES, sanity.OTHER_IMAGE),
            "pictures depend more on the switches than on the unit: correlation with signs, with "
            "another map in the unit's place minus with another image's switches, mean over units",
            "of correlation",
        )
    out["one_class"] = (
        shares.halves_over_class(arrays, layer),
        "mining one class shows another picture than mining all: correlation with signs of the "
        "mean pictures of the strongest, between two halves of the images minus between all "
        "classes and a random one, mean over maps",
        "of correlation",
    )
    own, chance = (arrays[f"{layer}/{sanity.SHARES}/{name}"] for name in sanity.OF_NINE)
    out["favoured_class"] = (
        own - chance,
        "the strongest images are of one class more often than by chance: share of the most "
        "frequent class minus that among random images, mean over maps",
        "of the strongest",
    )
    return out


# summary.md

WORDS = {shares.GOES: "goes", shares.PARTLY: "stays in part", shares.STAYS: "mostly stays"}


def summary(rows: Sequence[Row], told: dict[str, Any]) -> str:
    """What may and may not be read into a picture, from the table's rows and the sidecar."""
    little, much, data, layers = told["little"], told["much"], told["data"], told["layers"]
    parts = [
        "# What a deconvnet picture may be read as",
        f"{describe_network(told)} Units: the strongest of {told['units']} maps a layer, or of "
        f"all live ones where there are fewer, over {data['mined']} images of {data['name']} "
        f"({data['split']}).",
        "A share says how much of the picture stays when one thing is exchanged: 0 is the likeness "
        "of two unrelated pictures, 1 all of it; in brackets its 95 % bootstrap interval. Rule: it "
        f"*goes* where the interval lies below {little:g}, *mostly stays* where it lies above "
        f"{much:g}, and *stays in part* otherwise. Signs and colours are compared by Pearson's "
        "correlation, the outline (where a picture is strong) by the rank correlation of absolute "
        "values.",
    ]
    for layer in reversed(layers):
        parts += [f"## {layer}", bullets(sentences(rows, layer, little, much))]
    return "\n\n".join([*parts, "## All shares", all_shares(rows, layers)]) + "\n"


def sentences(rows: Sequence[Row], layer: str, little: float, much: float) -> Iterator[str]:
    """What is to be said of one layer."""
    if (above := pick(rows, layer, sanity.ABOVE, sanity.ALL_ABOVE, "signed")) is not None:
        equal, n = int(above["equal"]), int(above["n"])
        only = "only " if equal < n else ""
        advice = "Something is wrong" if only else "Do not read a class into a picture"
        yield (
            f"Random weights in all layers above: {only}{equal} of {n} pictures are equal to the "
            f"bit. {advice}: nothing above a unit takes part in its picture."
        )
    for _, question, row in answers(rows, layer):
        said = shares.verdict(row, little, much)
        what = "the outline" if question.row[2] == "rank" else "the picture"
        change = question.exchange.format(**row)
        yield (
            f"{change[0].upper()}{change[1:]}: {what} **{WORDS[said]}** ({share(row)}). "
            f"{getattr(question, said)}"
        )
    yield from of_classes(rows, layer)


def of_classes(rows: Sequence[Row], layer: str) -> Iterator[str]:
    """What mining by class says."""

    def percent(variant: str) -> str:
        return f"{100 * pick(rows, layer, sanity.SHARES, variant, 'share')['mean']:.0f} %"

    def alike(variant: str) -> str:
        return f"{pick(rows, layer, sanity.MINING, variant, 'signed')['mean']:.2f}"

    own, chance = map(percent, sanity.OF_NINE)
    yield (
        f"Of the strongest images over all classes {own} are of one class, by chance {chance}. Of "
        f"those of a random single class {percent(f'same images, {sanity.ANOTHER_CLASS}')} are "
        f"among them, and they are {percent(f'strength, {sanity.ANOTHER_CLASS}')} as strong."
    )
    apart = pick(rows, layer, sanity.SHARES, sanity.HALVES_OVER_CLASS, "signed")["low"] > 0
    advice = (
        "Say which classes were mined: one class shows its own picture of a map."
        if apart
        else "Another class changes the mean picture no more than other images of all classes do: "
        "it is not the map's alone, and says nothing without its images."
    )
    yield (
        f"Mean pictures of the strongest correlate {alike(sanity.OTHER_HALF)} between two halves "
        f"of the images, {alike(sanity.FAVOURED)} between all classes and the favoured one, "
        f"{alike(sanity.ANOTHER_CLASS)} between all and a random other one. {advice}"
    )


def share(row: Row | None) -> str:
    """A share with its interval, as 0.31 [0.22, 0.40]; "" where there is none."""
    if row is None or not np.isfinite(row["kept"]):
        return ""
    return f"{row['kept']:.2f} [{row['kept_low']:.2f}, {row['kept_high']:.2f}]"


def all_shares(rows: Sequence[Row], layers: Sequence[str]) -> str:
    """Every share, a line a variant, a column a layer and number."""
    columns = [(layer, number) for layer in layers for number in ("signed", "rank")]
    head = ["check", "changed to", *(", ".join(column) for column in columns)]
    left_out = (sanity.SHARES, sanity.ORIGINAL)
    lines = {(r["check"], r["variant"]): None for r in rows if r["check"] not in left_out}
    cells = [
        [*at, *(share(pick(rows, layer, *at, number)) for layer, number in columns)] for at in lines
    ]
    return table(head, cells)


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


def draw(saved: Saved) -> Page:
    """The figure, and summary.md beside it, from the saved files alone."""
    told, numbers = saved.facts, ("mean", "low", "high", "kept", "kept_low", "kept_high")
    rows = [row | {name: float(row[name] or "nan") for name in numbers} for row in saved.rows()]
    (saved.folder / "summary.md").write_text(summary(rows, told))
    return figures.sanity(*pictures(saved.arrays, told), *panels(rows, told), caption(told))


def pictures(
    arrays: Mapping[str, np.ndarray], told: dict[str, Any]
) -> tuple[str, list[figures.TileGroup]]:
    """The line above the example's pictures, and the pictures, with two numbers below each."""
    layer = told["layers"][-1]
    units = arrays[f"{layer}/units"]
    i = min(told["example"], len(units) - 1)
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
            tiles = [shown(check, variant, SHORT.get(variant, variant)) for variant in variants]
            groups.append(figures.TileGroup(title, tiles))
    title = f"{layer_title(layer)}, map {units[i, 1]}: one unit, one thing exchanged at a time"
    return title, groups


def panels(
    rows: Sequence[Row], told: dict[str, Any]
) -> tuple[list[figures.Section], list[figures.SimilarityPanel]]:
    """The rows that all panels share, and a panel a layer."""
    names: dict[str, list[str]] = {}
    for check in TITLES:
        found = dict.fromkeys(r["variant"] for r in rows if r["check"] == check)
        found.pop(sanity.ANOTHER_MAP, None)
        if check in (sanity.CASCADE, sanity.INDEPENDENT):
            found = [stop for stop in reversed(told["stops"]) if stop in found]
        if found:
            names[check] = list(found)

    def ends(*at: str) -> list[float]:
        row = pick(rows, *at)
        return [row[end] if row else np.nan for end in ("mean", "low", "high")]

    sections = [
        figures.Section(TITLES[check], [SHORT.get(variant, variant) for variant in some])
        for check, some in names.items()
    ]
    by_layer = []
    for layer in told["layers"]:
        values = [
            {n: np.array([ends(layer, check, v, n) for v in some]) for n in NUMBERS}
            for check, some in names.items()
        ]
        bands = [
            {n: np.array(ends(layer, *shares.chance_of(check), n)) for n in NUMBERS}
            for check in names
        ]
        own, by_luck = (100 * ends(layer, sanity.SHARES, n, "share")[0] for n in sanity.OF_NINE)
        first = f"one class has {own:.0f} % of the {told['k']} strongest,"
        units = pick(rows, layer, sanity.ORIGINAL, sanity.ORIGINAL, "signed")["n"]
        note = f"{units} units, {told['fields'][layer].replace('receptive ', '')}"
        notes = [first, f"by chance {by_luck:.0f} %"]
        by_layer.append(figures.SimilarityPanel(layer_title(layer), note, values, bands, notes))
    return sections, by_layer


def caption(told: dict[str, Any]) -> str:
    """The text under the figure."""
    data, choices = told["data"], told["choices"]
    return (
        "Above: what the deconvnet paints for one unit, in its receptive field, and what it paints "
        "when one thing is exchanged; grey is zero, each picture has its own scale; below it its "
        "correlation with the original, with signs and by ranks of absolute values. Below: the "
        "same over the strongest units of a random choice of maps, one a map, among "
        f"{data['mined']} images of {data['name']} ({data['split']}): means with "
        f"{100 * LEVEL:.0f} % bootstrap intervals over units. Bands: another map's unit on another "
        "image at the same position, the likeness of two unrelated pictures; in the last rows, "
        f"which compare mean pictures of the {told['k']} strongest images, those of another map. "
        f"Random weights: {choices['random_weights']}. Collisions: {choices['collisions']}. "
        f"{describe_network(told)}"
    )


main = experiment(Sanity, compute, draw, check, saves="arrays.npz table.csv findings.json")

if __name__ == "__main__":
    main()
