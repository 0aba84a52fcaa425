"""Figure 7: a grey square slid over images, and what the network then answers.

    python -m experiments.fig7_occlusion snapshot=<run>/last.pt
    python -m experiments.fig7_occlusion snapshot=<run>/last.pt 'images=[3,dog.jpg]' 'labels=[…]'
    python -m experiments.fig7_occlusion redraw=outputs/fig7_occlusion/<folder>

Paper: three test images; (a) the input, (b) the summed activation of the layer-5 map that responds
most to the whole image, for each position of the square, (c) that map's projection of this image
and of others, (d) the true class's probability, (e) the most probable label. Not stated there:
size, stride and grey value of the square, what happens at the border, whether "strongest" is the
largest sum or maximum, which unit of the map is projected, which other images. Here: the settings
below; the map's strongest unit; its strongest images in the split.

Beside the figure a number of images is scored: whether the answers fall where the square covers
the object (built-in scenes, whose boxes are known) and where it covers what the deconvnet paints.

Cost: laptop under a minute (with a snapshot) on 2 CPU cores; ZFNet at 224 px some minutes.
Expected: the true class's probability falls where the square covers the object, more than where it
covers the boxes of other scenes.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row an image shown or scored),
findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.errors import DeconvError, unknown
from deconv.figures import Page
from deconv.mining.peak_views import peak_views
from deconv.mining.top_activations import strongest
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.scenes import Scene, Scenes
from deconv.studies.occlusion.maps import STRONGEST, OcclusionMaps, occlude, square_corners
from deconv.studies.occlusion.scored_images import (
    MOST,
    ON_BOX,
    OVER_PART,
    SCORES,
    comparisons,
    score_arrays,
    score_rows,
)
from deconv.studies.occlusion.scores import Comparison, hit
from experiments.kit import Figure, Finding, Result, Saved, Subject, by_size, experiment, log
from experiments.kit.chosen_images import ChosenImage, need_label
from experiments.kit.facts import (
    deconvnet_choices,
    describe_field,
    describe_network,
    layer_title,
)
from experiments.kit.findings import TRUTH

SIZE_SHARE, STRIDE_SHARE = 50 / 224, 8 / 224
"""Of the input's side. The paper states neither."""
MOST_OTHERS = 24
FEWEST = 8
"""Fewer images than this do not judge a claim."""


@dataclasses.dataclass
class Occlusion(Figure):
    images: list[Any] = dataclasses.field(default_factory=list)  # numbers in the split or paths;
    # []: `count` that the network gets right
    labels: list[str] = dataclasses.field(default_factory=list)  # for paths, the class of each
    count: int = 3  # paper: 3
    only_right: bool = by_size(paper=True, laptop=True, smoke=False)
    layer: str = "conv5"  # paper: layer 5
    strongest: str = "sum"  # which map is watched: largest sum or max over the whole image
    size_px: int | None = None  # side of the square; null: 50/224 of the input
    stride_px: int | None = None  # null: 8/224 of the input
    fill: float = 0.0  # on the preprocessed scale; 0: the mean image, a grey
    squares: str = "overhang"  # overhang: maps fill the image; inside: squares wholly inside
    others: int = 3  # pictures of the map's strongest other images in panel c
    collisions: str = "sum"  # sum, max, mean, overwrite
    score_images: int = by_size(paper=50, laptop=24, smoke=3)  # scored beside the figure; 0: none
    score_stride_px: int | None = None  # null: twice stride_px; scored squares lie wholly inside

    def __post_init__(self) -> None:
        if self.strongest not in STRONGEST:
            raise unknown("measure of the strongest map", self.strongest, STRONGEST)
        if self.collisions not in COLLISIONS:
            raise unknown("collision policy", self.collisions, COLLISIONS)
        if not 1 <= self.others <= MOST_OTHERS:
            raise DeconvError(f"others={self.others} cannot be shown: choose 1 to {MOST_OTHERS}")
        if self.score_images < 0:
            raise DeconvError(f"score_images must be 0 or more, got {self.score_images}")
        if not self.images and self.count < 1:
            raise DeconvError(f"count={self.count}: the figure shows at least one image")

    def square(self, input_px: int) -> tuple[int, int, int]:
        """Its side, the stride between its positions, and that of the scored images, in pixels."""
        size = round(SIZE_SHARE * input_px) if self.size_px is None else self.size_px
        stride = max(1, round(STRIDE_SHARE * input_px))
        stride = stride if self.stride_px is None else self.stride_px
        return size, stride, 2 * stride if self.score_stride_px is None else self.score_stride_px


def check(cfg: Occlusion, it: Subject) -> None:
    """Raise DeconvError for a layer, square or images that cannot be used."""
    wanted = max(cfg.others + 1, 0 if cfg.images else cfg.count)
    it.need_images(wanted, f"the figure with count={cfg.count} and others={cfg.others}")
    net = it.sketch
    describe_field(net, cfg.layer)  # refuses one that is not known, which would come after mining
    size, stride, score_stride = cfg.square(net.input_px)
    square_corners((net.input_px, net.input_px), size, stride, cfg.squares)
    square_corners((net.input_px, net.input_px), size, score_stride)
    it.check_images(need_labels=True)


def compute(cfg: Occlusion, it: Subject) -> Result:
    """Slide the square over the images shown, project their maps, score the others."""
    shown, scored = it.images(cfg.count, only_right=cfg.only_right), to_score(cfg, it)
    peaks = it.mine([cfg.layer], k=cfg.others + 1)[cfg.layer]
    it.first_alone()
    size, stride, score_stride = cfg.square(it.net.input_px)
    arrays: dict[str, np.ndarray] = {}
    rows = []
    for i, image in enumerate(shown):
        part, row = one_image(cfg, it, peaks, image)
        arrays |= {f"{i}/{name}": array for name, array in part.items()}
        rows.append(row)
    table = [{"role": "shown"} | row_of(row) for row in rows]
    scenes, compared = scenes_of(cfg, it, scored), {}
    if scored:
        log(f"scoring {len(scored)} images")
        arrays |= score_arrays(
            it.net, [(image.input, need_label(image)) for image in scored], scenes, cfg.layer,
            cfg.collisions, size_px=size, stride_px=score_stride, fill=cfg.fill,
            strongest=cfg.strongest,
        )  # fmt: skip
        compared = comparisons(arrays, cfg.seed)
        for image, scores in zip(scored, score_rows(arrays), strict=True):
            table.append({"role": "scored", "image": image.index, "class": image.name} | scores)
    choices = {
        "layer": cfg.layer,
        "size_px": size,
        "stride_px": stride,
        "fill": cfg.fill,
        "squares": cfg.squares,
        "strongest": {"sum": "by its sum", "max": "by its maximum"}[cfg.strongest],
        "drawn_square": "where the true class's probability is lowest",
        "projected": "the map's strongest unit; others: its strongest units in other images",
        "images": "named" if cfg.images else f"drawn (seed {cfg.seed})"
        + (" among those classified rightly" if cfg.only_right else ""),
        "score_stride_px": score_stride,
        "score_squares": "inside",
    }  # fmt: skip
    facts = {
        "figure": "7",
        "choices": deconvnet_choices(it.net, cfg.collisions, it.snapshot.mean, [cfg.layer])
        | choices,
        "collision_rate": it.collisions(),
        "rows": rows,
        "scored": {"images": len(scored), "known_boxes": scenes is not None}
        | {name: dataclasses.asdict(result) for name, result in compared.items()},
    }
    return Result(facts, arrays, {"table": table}, findings(compared, scenes is not None))


def to_score(cfg: Occlusion, it: Subject) -> list[ChosenImage]:
    """The images to score: of the split, none if its classes are not the network's."""
    if not cfg.score_images:
        return []
    if list(it.snapshot.classes) != list(it.data.classes):
        log("note: nothing is scored, as the network does not know the classes of the images")
        return []
    count = min(cfg.score_images, len(it.data))
    return it.drawn(count, only_right=cfg.only_right)


def scenes_of(cfg: Occlusion, it: Subject, images: list[ChosenImage]) -> list[Scene] | None:
    """The scenes of images of the built-in data, with their boxes; None for photographs."""
    if cfg.data.name != "scenes" or not images:
        return None
    seed = getattr(cfg.data, f"{cfg.split}_seed")
    scenes = Scenes(len(it.data), seed, images[0].square.shape[-1])
    return [scenes.scene(image.index) for image in images]


def one_image(
    cfg: Occlusion, it: Subject, peaks: Peaks, image: ChosenImage
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of one row of the figure, and its facts."""
    target = need_label(image)
    size, stride, _ = cfg.square(it.net.input_px)
    log(f"sliding a square of {size} px over {image.name}")
    maps = occlude(
        it.net, image.input, target, cfg.layer, size, stride, cfg.fill, cfg.strongest, cfg.squares
    )
    lowest = int(maps.probability.argmin())
    y, x = maps.positions.flatten(0, 1)[lowest].tolist()
    cut = (slice(None), slice(max(y, 0), y + size), slice(max(x, 0), x + size))
    picture = image.picture().clone()
    picture[cut] = grey(it.snapshot.mean, it.net.input_px, cfg.fill)[cut]
    tiles = projections(cfg, it, peaks, image, maps.map)
    arrays = {name: getattr(maps, name) for name in ("probability", "activation", "label")}
    arrays |= {"picture": picture, "positions": maps.positions}
    numbers = sorted({*maps.label.flatten().tolist(), target})
    row = facts_of(image, maps, target, lowest) | {
        "square": [y, x, y + size, x + size],
        "names": {str(n): it.snapshot.classes[n] for n in numbers},
        "others": tiles.pop("others").tolist(),
    }
    return {name: array.numpy() for name, array in (arrays | tiles).items()}, row


def grey(mean: torch.Tensor, crop_px: int, fill: float) -> torch.Tensor:
    """What a square of `fill` looks like to people, everywhere: the centre crop of mean + fill."""
    edge = (mean.shape[-1] - crop_px) // 2
    crop = mean[:, edge : edge + crop_px, edge : edge + crop_px]
    return (crop + fill).round().clamp(0, 255).to(torch.uint8)


def facts_of(image: ChosenImage, maps: OcclusionMaps, target: int, lowest: int) -> dict[str, Any]:
    """What the maps say in numbers."""
    probability, activation, label = maps.clean
    least = float(maps.activation.min())
    return {
        "name": image.name,
        "image": image.index,
        "true": target,
        "map": maps.map,
        "probability": probability,
        "activation": activation,
        "label": label,
        "lowest_probability": float(maps.probability.min()),
        "largest_drop": probability - float(maps.probability.min()),
        "label_there": int(maps.label.flatten()[lowest]),
        "lowest_activation_share": least / activation if activation > 0 else None,
        "positions": maps.label.numel(),
        "label_changed": float((maps.label != label).float().mean()),
    }


def row_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row's facts as a line of the table."""
    top, left, _, _ = row["square"]
    names = {key: row["names"].get(str(row[key]), row[key]) for key in ("true", "label_there")}
    left_out = ("square", "names", "others", "name", "label", *names)
    numbers = {key: value for key, value in row.items() if key not in left_out}
    first = {"image": row["image"], "class": names["true"], "file_or_class": row["name"]}
    last = {"label_at_largest_drop": names["label_there"], "top": top, "left": left}
    return first | numbers | last


def projections(
    cfg: Occlusion, it: Subject, peaks: Peaks, image: ChosenImage, number: int
) -> dict[str, torch.Tensor]:
    """(1 + others) tiles of one map: this image's strongest unit, then other images' strongest.

    projection: T×3×R×S; inside: T×R×S, all False where the map answers to no further image;
    others: their numbers in the data set.
    """
    record = it.net.record(image.input[None].to(it.device), [cfg.layer], logits=False)
    own = Peaks(*(t.cpu() for t in vars(strongest(record.activations[cfg.layer], 0)).values()))
    elsewhere = without(peaks, image.index, cfg.others)
    live = int((elsewhere.value[number] > 0).sum())
    best = Peaks(*(field[:, :live] for field in vars(elsewhere).values()))
    views = [([(image.input,)], own, lambda _: image.picture())]
    views += [(it.crops, best, it.crops.picture)] if live else []
    chosen = torch.tensor([number])
    found = [
        peak_views(it.net, data, cfg.layer, some, chosen, picture, collisions=cfg.collisions)
        for data, some, picture in views
    ]
    tiles = {
        name: torch.cat([getattr(one, name)[0] for one in found])
        for name in ("projection", "inside")
    }
    empty = {n: t.new_zeros(cfg.others - live, *t.shape[1:]) for n, t in tiles.items()}
    return {n: torch.cat([tiles[n], empty[n]]) for n in tiles} | {
        "others": elsewhere.image[number, :live]
    }


def without(peaks: Peaks, image: int | None, k: int) -> Peaks:
    """The k strongest peaks of every map that are not of `image`."""
    own = peaks.image == (-1 if image is None else image)
    order = own.int().sort(dim=1, stable=True).indices[:, :k]
    return Peaks(*(field.gather(1, order) for field in vars(peaks).values()))


# The claims

BETTER = (
    "holds if the lower ends of the 95 % bootstrap intervals over images (spread: half the width "
    "of the first) are above 0 for the score and for the score minus its mean with the regions of "
    f"the other images; not judged on fewer than {FEWEST} images"
)

WORDS = {
    "probability_drop_on_object": "fall of the true class's probability, mean over squares of "
    f"which at least {ON_BOX:g} lies in the object's box minus mean over the other squares",
    "activation_drop_on_object": "fall of the strongest map's summed activation, as a share of the "
    f"whole image's: mean over squares of which at least {ON_BOX:g} lies in the object's box minus "
    "mean over the other squares",
    "probability_drop_on_parts": "fall of the true class's probability, mean over squares that "
    f"cover at least {OVER_PART:g} of some part's box minus mean over the other squares",
    "largest_drop_on_object": "share of images in which the middle of the square with the largest "
    "fall of probability lies in the object's box",
    "probability_drop_on_projection": "fall of the true class's probability, mean over the "
    f"{MOST:.0%} of squares that cover most of the strongest unit's projection minus the others",
    "activation_drop_on_projection": "fall of the strongest map's summed activation, as a share of "
    f"the whole image's: mean over the {MOST:.0%} of squares that cover most energy of the "
    "strongest unit's projection minus mean over the others",
}


def findings(compared: Mapping[str, Comparison], known_boxes: bool) -> list[Finding]:
    """The claims of Figure 7 and, where boxes are known, the scores against them."""
    claims = {
        "fig7/probability": ("probability_drop_on_object", "no boxes of objects are known here"),
        "fig7/activation": ("activation_drop_on_projection", "no image was scored"),
    }
    out = []
    for key, (score, missing) in claims.items():
        rule = WORDS[score] if score in compared else f"{WORDS[score]}: not judged, {missing}"
        out.append(_finding(key, compared.get(score), rule, ""))
    for score, result in compared.items():
        if known_boxes and SCORES[score][0] != "painted":
            unit = "share of images" if SCORES[score][2] is hit else "share"
            out.append(_finding(f"{TRUTH}fig7_occlusion/{score}", result, WORDS[score], unit))
    return out


def _finding(key: str, result: Comparison | None, rule: str, unit: str) -> Finding:
    if result is None:
        return Finding(key, rule=rule, unit=unit)
    low, high = result.own_interval
    beyond = result.beyond_interval
    holds = None if result.images < FEWEST else bool(low > 0 and beyond[0] > 0)
    rule = (
        f"{rule}; {result.images} images that have squares on it and off it; with the regions of "
        f"the other images "
        f"{result.shuffled:.4f}, beyond that {result.beyond:.4f} ({beyond[0]:.4f} to "
        f"{beyond[1]:.4f}), reached by {result.chance:.4f} of random exchanges; {BETTER}"
    )
    return Finding(key, result.own, (high - low) / 2, holds, rule, unit)


# The page


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts = saved.facts
    rows = [_row(saved.arrays, i, row, facts["choices"]) for i, row in enumerate(facts["rows"])]
    title = layer_title(facts["choices"]["layer"]).lower()
    return figures.occlusion(rows, title, caption(facts))


def _row(arrays: Any, i: int, row: dict[str, Any], chosen: dict[str, Any]) -> figures.OcclusionRow:
    names = {int(number): name for number, name in row["names"].items()}
    there = row["label_there"]
    instead = "" if there == row["true"] else f" (then {figures.shorten(names[there])})"
    file = "" if row["name"] == names[row["true"]] else f"{figures.shorten(row['name'])}; "
    note = (
        f"{file}map {row['map']}; probability {row['probability']:.3f} uncovered, at least "
        f"{row['lowest_probability']:.3f}{instead}; another label at {row['label_changed']:.0%} of "
        f"{row['positions']} positions"
    )
    fields = {n: arrays[f"{i}/{n}"] for n in ("probability", "activation", "label",
                                              "projection", "inside")}  # fmt: skip
    return figures.OcclusionRow(
        title=names[row["true"]],
        picture=arrays[f"{i}/picture"].transpose(1, 2, 0),
        note=note,
        square=tuple(row["square"]),
        centres=arrays[f"{i}/positions"] + chosen["size_px"] / 2,
        stride_px=chosen["stride_px"],
        clean=(row["probability"], row["activation"]),
        true=row["true"],
        names=names,
        **fields,
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    chosen, data = facts["choices"], facts["data"]
    size, stride = chosen["size_px"], chosen["stride_px"]
    border = {"overhang": "squares at the border hang over", "inside": "squares lie wholly inside"}
    shade = f" {chosen['fill']:+g}" if chosen["fill"] else ""
    return (
        f"A square of {size}×{size} px of the mean image{shade} is slid over the input in steps of "
        f"{stride} px; each cell of (b), (d) and (e) lies at the square's centre in the input "
        f"({border[chosen['squares']]}). (a) The square where the true class's probability is "
        "lowest; the small frame in the maps marks that position. (b) Sum over the map of "
        f"{layer_title(chosen['layer']).lower()} that responds most to the whole image "
        f"({chosen['strongest']}). The triangle on the scales of (b) and (d) is the value without "
        "a square. (c) The deconvnet's picture of that map's strongest unit in this image (black "
        f"frame) and in those others of {data['images']} images of {data['name']} "
        f"({data['split']}) to which it responds most, cut to the receptive field; "
        "grey is zero, every picture has its own scale. (e) The true class is set in "
        f"bold.{describe_scores(facts['scored'])} "
        f"{describe_network(facts)}"
    )


def describe_scores(scored: dict[str, Any]) -> str:
    """The sentences of the caption about the scores, none for fewer than FEWEST images."""
    words = []
    for score, sentence in SENTENCES.items():
        result = scored.get(score)
        if result and result["images"] >= FEWEST:
            sentence = sentence.format(**result).replace(" -", " −")
            words.append(f" Over {result['images']} {sentence}")
    return "".join(words)


SENTENCES = {
    "probability_drop_on_object": "scenes the probability falls by {own:.2f} more where the square "
    "lies on the object than elsewhere, against {shuffled:.2f} with the boxes of other scenes.",
    "activation_drop_on_projection": "images the sum of (b) falls by {own:.0%} more where the "
    "square covers what (c) paints than elsewhere, against {shuffled:.0%} with what is painted for "
    "other images.",
}
"""Of the caption, by score."""

main = experiment(Occlusion, compute, draw, check, saves="arrays.npz table.csv findings.json")

if __name__ == "__main__":
    main()
