"""Figure 7: a grey square slid over images, and what the network then answers.

    python -m experiments.fig7_occlusion snapshot=<run>/last.pt
    python -m experiments.fig7_occlusion snapshot=<run>/last.pt 'images=[3,dog.jpg]' 'labels=[…]'
    python -m experiments.fig7_occlusion snapshot=<run>/last.pt layer=conv4 map=17
    python -m experiments.fig7_occlusion redraw=outputs/fig7_occlusion/<folder>

Paper: three test images; (a) the input, (b) the summed activation of the layer-5 map that responds
most to the whole image, for each position of the square, (c) that map's projection of this image
and of others, (d) the true class's probability, (e) the most probable label. Not stated there:
size, stride and grey value of the square, what happens at the border, whether "strongest" is the
largest sum or maximum, which unit of the map is projected, which other images. Here: the settings
below; the map's strongest unit; its strongest images in the split.

Further images are scored: does the probability fall where the square covers the object (built-in
scenes, whose boxes are known), the activation where it covers the deconvnet's picture?

Cost: laptop under a minute (with a snapshot) on 2 CPU cores; ZFNet at 224 px some minutes.
Expected: the true class's probability falls where the square covers the object, more than where it
covers the boxes of other scenes.

Writes figure.png and figure.pdf, arrays.npz, table.csv (one row per image shown or scored),
findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.pixels import ENERGY
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.scenes import Scene
from deconv.studies.boxes import masked_pictures
from deconv.studies.occlusion.map_pictures import map_pictures, without_image
from deconv.studies.occlusion.maps import STRONGEST, map_numbers, occlude, square_corners
from deconv.studies.occlusion.scored_images import comparisons, score_arrays, score_rows
from experiments.kit import (
    Figure,
    Result,
    Saved,
    Subject,
    by_size,
    check_name,
    experiment,
    log,
)
from experiments.kit.chosen_images import ChosenImage, need_label
from experiments.kit.chosen_maps import MinesPeaks, check_numbers
from experiments.kit.facts import (
    deconvnet_choices,
    describe_field,
    describe_network,
    image_arrays,
    images_of,
)
from experiments.kit.inputs import uncached
from experiments.kit.layout import layout_of
from experiments.kit.titles import layer_title
from experiments.verdicts.occlusion import describe_scores, findings

SIZE_SHARE, STRIDE_SHARE = 50 / 224, 8 / 224
"""Of the input's side. The paper states neither."""
MOST_OTHERS = 24


@dataclasses.dataclass
class Occlusion(MinesPeaks, Figure):
    images: list[Any] = dataclasses.field(default_factory=list)  # numbers in the split or paths;
    # []: `count` that the network gets right
    labels: list[str] = dataclasses.field(default_factory=list)  # for paths, the class of each
    count: int = 3  # paper: 3
    only_right: bool = by_size(paper=True, laptop=True, smoke=False)  # of images that are drawn
    layer: str = "conv5"  # paper: layer 5
    map: int | None = None  # which map is watched; null: the one that responds most, by strongest
    strongest: str = "sum"  # which map is watched: largest sum or max over the whole image
    size_px: int | None = None  # side of the square; null: 50/224 of the input
    stride_px: int | None = None  # null: 8/224 of the input
    fill: float = 0.0  # on the preprocessed scale; 0: the mean image, a grey
    squares: str = "overhang"  # overhang: maps fill the image; inside: squares wholly inside
    k: int = 3  # pictures of the map's strongest other images in panel c
    collisions: str = "sum"  # sum, max, mean, overwrite
    score_images: int = by_size(paper=50, laptop=24, smoke=3)  # scored beside the figure; 0: none
    score_stride_px: int | None = None  # null: twice stride_px; scored squares lie wholly inside

    def __post_init__(self) -> None:
        check_name("measure of the strongest map", self.strongest, STRONGEST)
        check_name("collision policy", self.collisions, COLLISIONS)
        if not 1 <= self.k <= MOST_OTHERS:
            raise DeconvError(f"k={self.k} cannot be shown: choose 1 to {MOST_OTHERS}")
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
    net = it.sketch
    describe_field(net, cfg.layer)  # refuses one that is not known, which would come after mining
    if cfg.map is not None:
        check_numbers(net, cfg.layer, [cfg.map], "map")
    size, stride, score_stride = cfg.square(net.input_px)
    square_corners((net.input_px, net.input_px), size, stride, cfg.squares)
    square_corners((net.input_px, net.input_px), size, score_stride)
    wanted = max(cfg.k + 1, 0 if cfg.images else cfg.count)
    it.need_images(wanted, f"the figure with count={cfg.count} and k={cfg.k}")
    it.check_images(need_labels=True)


def compute(cfg: Occlusion, it: Subject) -> Result:
    """Slide the square over the images shown, project their maps, score the others."""
    shown, scored = it.images(cfg.count, only_right=cfg.only_right), to_score(cfg, it)
    peaks = it.mine([cfg.layer], k=cfg.k + 1)[cfg.layer]
    it.first_alone()
    size, stride, score_stride = cfg.square(it.net.input_px)
    arrays: dict[str, np.ndarray] = {}
    rows = []
    for i, image in enumerate(shown):
        part, row = one_image(cfg, it, peaks, image)
        arrays |= {f"{i}/{name}": array for name, array in part.items()}
        rows.append(row)
    table = [table_row(row) for row in rows]
    scenes, compared = scenes_of(cfg, it, scored), {}
    if scored:
        log(f"scoring {len(scored)} images")
        targets = [(image.input, need_label(image)) for image in scored]
        options = {"size_px": size, "stride_px": score_stride, "fill": cfg.fill}
        options["strongest"] = cfg.strongest
        arrays |= score_arrays(it.net, targets, scenes, cfg.layer, cfg.collisions, **options)
        compared = comparisons(arrays, cfg.seed)
        for image, scores in zip(scored, score_rows(arrays), strict=True):
            row = {"role": "scored", "image": image.index, "class": image.name}
            table.append(row | {"file": image.file} | scores)
    choices = {
        "layer": cfg.layer,
        "size_px": size,
        "stride_px": stride,
        "fill": cfg.fill,
        "squares": cfg.squares,
        "strongest": {"sum": "by its sum", "max": "by its maximum"}[cfg.strongest],
        "map": cfg.map,
        "drawn_square": "where the true class's probability is lowest",
        "projected": "the map's strongest unit; others: its strongest units in other images",
        "images": "named"
        if cfg.images
        else f"drawn (seed {cfg.seed})"
        + (" among those classified rightly" if cfg.only_right else ""),
        "score_stride_px": score_stride,
        "score_squares": "inside",
    }
    engine = deconvnet_choices(it.net, cfg.collisions, it.snapshot.mean, [cfg.layer])
    known_boxes = scenes is not None
    facts = {
        "figure": "7",
        "choices": engine | choices,
        "collision_rate": it.collisions(),
        "rows": rows,
        "scored": {"images": len(scored), "known_boxes": known_boxes}
        | {name: dataclasses.asdict(result) for name, result in compared.items()},
    }
    return Result(facts, arrays, {"table": table}, findings(compared, known_boxes))


def to_score(cfg: Occlusion, it: Subject) -> list[ChosenImage]:
    """The images to score: of the split, none if its classes are not the network's."""
    if not cfg.score_images:
        return []
    if not it.knows_classes:
        log("note: nothing is scored, as the network does not know the classes of the images")
        return []
    return it.drawn(min(cfg.score_images, len(it.data)), only_right=cfg.only_right)


def scenes_of(cfg: Occlusion, it: Subject, images: list[ChosenImage]) -> list[Scene] | None:
    """The scenes of images of the built-in data, with their boxes; None for photographs."""
    if cfg.data.name != "scenes" or not images:
        return None
    scenes = uncached(cfg, cfg.split, images[0].square.shape[-1])
    return [scenes.scene(image.index) for image in images]


def covered(
    image: torch.Tensor, y: int, x: int, size_px: int, fill: float, mean: torch.Tensor
) -> torch.Tensor:
    """The picture of an input 3×P×P with the square at (y, x), which may overhang: 3×P×P uint8."""
    box = (max(y, 0), max(x, 0), y + size_px, x + size_px)
    return masked_pictures(image, [box], fill, mean)[1]


def one_image(
    cfg: Occlusion, it: Subject, peaks: Peaks, image: ChosenImage
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of one row of the figure, and its facts."""
    target, net, classes = need_label(image), it.net, it.snapshot.classes
    size, stride, _ = cfg.square(net.input_px)
    log(f"sliding a square of {size} px over {image.name}")
    maps = occlude(
        net,
        image.input,
        target,
        cfg.layer,
        size,
        stride,
        cfg.fill,
        cfg.strongest,
        cfg.squares,
        number=cfg.map,
    )
    y, x = maps.positions.flatten(0, 1)[int(maps.probability.argmin())].tolist()
    picture = covered(image.input, y, x, size, cfg.fill, it.snapshot.mean)
    pictures, others = map_pictures(
        net,
        cfg.layer,
        maps.map,
        image.input,
        image.picture(),
        it.crops,
        without_image(peaks, image.index, cfg.k),
        cfg.collisions,
    )
    arrays = {name: getattr(maps, name) for name in ("probability", "activation", "label")}
    arrays |= {"picture": picture, "positions": maps.positions} | pictures
    arrays |= {"other_images": torch.tensor(others)}
    row = {"name": image.name, "image": image.index, "file": image.file, "true": target}
    row |= map_numbers(maps)
    row |= {
        "square": [y, x, y + size, x + size],
        "names": {str(n): classes[n] for n in sorted({*maps.label.flatten().tolist(), target})},
        "others": others,
    }
    saved = {name: array.numpy() for name, array in arrays.items()}
    return saved | image_arrays(it.data, saved["other_images"], "other_"), row


def table_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row's facts as a line of the table."""
    names = row["names"]
    top, left, _, _ = row["square"]
    there = names.get(str(row["label_there"]), row["label_there"])
    words = ("square", "names", "others", "name", "label", "true", "label_there", "image", "file")
    return {
        "role": "shown",
        "image": row["image"],
        "class": names[str(row["true"])],
        "file": row["file"],
        **{key: value for key, value in row.items() if key not in words},
        "label_at_largest_drop": there,
        "top": top,
        "left": left,
    }


# The page

TILES = ("projection", "inside")
FIELDS = ("probability", "activation", "label", *TILES)


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts, k = saved.facts, layout_of(saved).get("k")
    most = len(saved.arrays["0/projection"]) - 1
    if k is not None and not 1 <= k <= most:
        raise DeconvError(f"{most} pictures of other images were saved: k={k} has to be computed")
    shown = None if k is None else k + 1
    rows = [
        _row(saved.arrays, i, row, facts["choices"], shown) for i, row in enumerate(facts["rows"])
    ]
    layer, number = (
        layer_title(facts["choices"]["layer"], facts).lower(),
        facts["choices"].get("map"),
    )
    title = f"{layer}'s strongest map" if number is None else f"map {number} of {layer}"
    return figures.occlusion(rows, title, caption(facts))


def _row(
    arrays: Any, i: int, row: dict[str, Any], chosen: dict[str, Any], shown: int | None = None
) -> figures.OcclusionRow:
    names = {int(number): name for number, name in row["names"].items()}
    there = row["label_there"]
    instead = "" if there == row["true"] else f" (then {figures.shorten(names[there])})"
    file = "" if row["name"] == names[row["true"]] else f"{figures.shorten(row['name'])}; "
    others = int((arrays[f"{i}/label"] != row["label"]).sum())
    note = (
        f"{file}map {row['map']}; probability {row['probability']:.3f} uncovered, at least "
        f"{row['lowest_probability']:.3f}{instead}; another label at {others} of "
        f"{row['positions']} positions"
    )
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
        **{n: arrays[f"{i}/{n}"][: shown if n in TILES else None] for n in FIELDS},
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    chosen, data = facts["choices"], facts["data"]
    size, stride = chosen["size_px"], chosen["stride_px"]
    border = {"overhang": "squares hang over the border", "inside": "squares lie wholly inside"}
    shade = f" {chosen['fill']:+g}" if chosen["fill"] else ""
    layer = layer_title(chosen["layer"], facts).lower()
    watched = f"the map of {layer} that responds most to the whole image ({chosen['strongest']})"
    if chosen.get("map") is not None:
        watched = f"map {chosen['map']} of {layer}"
    return (
        f"A square of {size}×{size} px of the mean image{shade} slides over the input in steps of "
        f"{stride} px; each cell of (b), (d) and (e) lies at the square's centre "
        f"({border[chosen['squares']]}). (a) The square where the true class's probability is "
        f"lowest, framed in the maps too. (b) Sum over {watched}. Triangles on the scales of (b) "
        "and (d): the value without a square; the scales end at the least and the largest value. "
        "(c) The deconvnet's picture of that map's strongest unit in this image (black frame) and "
        f"in the others of {data['images']} images of {images_of(data)} that excite it most, cut "
        f"alike to where {ENERGY:.0%} of each one's energy lies, at most to the receptive field "
        "(hatched: outside the image); grey is zero, every picture has its own scale. "
        f"(e) Bold: the true class.{describe_scores(facts['scored'])} "
        f"{describe_network(facts)}"
    )


SAVES = "arrays.npz table.csv findings.json"
main = experiment(Occlusion, compute, draw, check, SAVES, layout="k", number="fig7/activation")

if __name__ == "__main__":
    main()
