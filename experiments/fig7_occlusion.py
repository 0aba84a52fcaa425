"""Figure 7: a grey square slid over images, and what the network then answers.

    python -m experiments.fig7_occlusion snapshot=<run>/last.pt
    python -m experiments.fig7_occlusion snapshot=<run>/last.pt 'images=[3,dog.jpg]' 'labels=[…]'
    python -m experiments.fig7_occlusion redraw=outputs/fig7_occlusion/<folder>

Paper: three test images; (a) the input, (b) the summed activation of the layer-5 map that responds
most to the whole image, for each position of the square, (c) that map's projection of this image
and of others, (d) the true class's probability, (e) the most probable label. Not stated there:
size, stride and grey value of the square, what happens at the border, whether "strongest" is the
largest sum or maximum, which unit of the map is projected, which other images. Here: options with
defaults in conf/fig7_occlusion.yaml; the strongest unit; the map's strongest images in the split.

Beside the figure a number of images is scored: whether the answers fall where the square covers
the object (built-in scenes, whose boxes are known) and where it covers what the deconvnet paints.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row an image shown or scored),
findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.mining.peak_views import peak_views
from deconv.mining.top_activations import CHUNK, strongest, top_activations
from deconv.networks import ChainNet
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.studies.occlusion.maps import STRONGEST, OcclusionMaps, occlude, square_corners
from deconv.training.snapshots import Snapshot
from experiments.kit.chosen_images import ChosenImage, choose_images, draw_right_ones, need_label
from experiments.kit.command import experiment
from experiments.kit.facts import (
    data_facts,
    deconvnet_choices,
    describe_field,
    measure_collisions,
    training_facts,
)
from experiments.kit.findings import write_findings
from experiments.kit.inputs import (
    build_network,
    data_name,
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
from experiments.occlusion_findings import (
    comparisons,
    findings,
    score_arrays,
    score_rows,
)
from experiments.occlusion_page import SAVED, draw

SIZE_SHARE, STRIDE_SHARE = 50 / 224, 8 / 224
"""Of the input's side. The paper states neither."""
MOST_OTHERS = 24


@experiment("fig7_occlusion")
def main(cfg: DictConfig, folder: Path) -> None:
    """Choose images, slide the square, mine and project the map, save, draw; or draw again."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    data = squares(cfg, check_split(cfg), stored_side_px(cfg, snapshot))
    net = snapshot.network() if snapshot else build_network(cfg, len(data.classes))
    check(cfg, net)
    check_images(cfg, snapshot, net, data)
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
        net = snapshot.network()
    compute(cfg, folder, snapshot, net.to(device(cfg)), data)
    if distributed.rank() == 0:
        draw(folder, folder)


# Before anything long


def check_split(cfg: DictConfig) -> str:
    """cfg.split. Raises DeconvError for one that does not exist."""
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    return cfg.split


def check(cfg: DictConfig, net: ChainNet) -> None:
    """Raise DeconvError for a layer, square, option or number that cannot be used."""
    describe_field(net, cfg.layer)  # refuses one that is not known, which would come after mining
    side = (net.input_px, net.input_px)
    square_corners(side, size_px(cfg, net), stride_px(cfg, net), cfg.squares)
    square_corners(side, size_px(cfg, net), score_stride_px(cfg, net))
    if cfg.strongest not in STRONGEST:
        raise unknown("measure of the strongest map", cfg.strongest, STRONGEST)
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)
    if not 1 <= cfg.others <= MOST_OTHERS:
        raise DeconvError(f"others={cfg.others} cannot be shown: choose 1 to {MOST_OTHERS}")
    if cfg.score_images < 0:
        raise DeconvError(f"score_images must be 0 or more, got {cfg.score_images}")


def check_images(cfg: DictConfig, snapshot: Snapshot | None, net: ChainNet, data: Squares) -> None:
    """Raise DeconvError for images that do not exist, cannot be read, or whose class is not known.

    That of a number in `data` is known only to a network of the same classes.
    """
    if not isinstance(cfg.images, ListConfig):
        raise DeconvError(f"images takes a list of paths or numbers such as [3,17]: {cfg.images}")
    wanted = max(cfg.others + 1, 0 if cfg.images else cfg.count)
    if len(data) < wanted:
        raise DeconvError(
            f"{cfg.split!r} of {data_name(cfg)} has {len(data)} images; the figure needs {wanted}: "
            "lower count or others, or take another split"
        )
    if not cfg.images and cfg.count < 1:
        raise DeconvError(f"count={cfg.count}: the figure shows at least one image")
    if not same_classes(snapshot, data) and not (cfg.images and cfg.labels):
        raise DeconvError(
            f"the network's {len(snapshot.classes)} classes are not those of {data_name(cfg)}: "
            "name images=[…] and labels=[…], each label one of the network's classes"
        )
    if cfg.images:
        blank = Snapshot({}, {}, torch.zeros(data[0][0].shape), list(data.classes))
        for image in choose_images(cfg, snapshot or blank, net, data, cfg.count):
            need_label(image)


def same_classes(snapshot: Snapshot | None, data: Squares) -> bool:
    """Whether the network was trained, or will be, on the classes of `data`."""
    return snapshot is None or list(snapshot.classes) == list(data.classes)


def size_px(cfg: DictConfig, net: ChainNet) -> int:
    """The square's side."""
    return round(SIZE_SHARE * net.input_px) if cfg.size_px is None else cfg.size_px


def stride_px(cfg: DictConfig, net: ChainNet) -> int:
    """From one position of the square to the next."""
    return max(1, round(STRIDE_SHARE * net.input_px)) if cfg.stride_px is None else cfg.stride_px


def score_stride_px(cfg: DictConfig, net: ChainNet) -> int:
    """The same for the scored images."""
    return 2 * stride_px(cfg, net) if cfg.score_stride_px is None else cfg.score_stride_px


# Computing


def compute(
    cfg: DictConfig, folder: Path, snapshot: Snapshot, net: ChainNet, data: Squares
) -> None:
    """Everything the figure shows and everything that is scored, saved to `folder`."""
    started = time.perf_counter()
    shown = choose(cfg, snapshot, net, data, cfg.count)
    scored = to_score(cfg, snapshot, net, data)
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    log(f"mining {cfg.layer} of {net.name} over {len(crops)} images")
    loader = DataLoader(Share(crops, CHUNK), batch_size=CHUNK, num_workers=workers(cfg))
    peaks = top_activations(net, loader, [cfg.layer], k=cfg.others + 1)[cfg.layer]
    if distributed.rank() > 0:
        return
    arrays: dict[str, np.ndarray] = {}
    rows = []
    for i, image in enumerate(shown):
        part, row = one_image(cfg, snapshot, net, crops, peaks, image)
        arrays |= {f"{i}/{name}": array for name, array in part.items()}
        rows.append(row)
    sliding = time.perf_counter() - started
    known, compared, table = False, {}, [{"role": "shown"} | row_of(row) for row in rows]
    if scored:
        scenes = scenes_of(cfg, data, scored)
        log(f"scoring {len(scored)} images")
        known = scenes is not None
        arrays |= score_arrays(
            net, [(image.input, need_label(image)) for image in scored], scenes, cfg.layer,
            cfg.collisions, size_px=size_px(cfg, net), stride_px=score_stride_px(cfg, net),
            fill=cfg.fill, strongest=cfg.strongest,
        )  # fmt: skip
        compared = comparisons(arrays, cfg.seed)
        for image, scores in zip(scored, score_rows(arrays), strict=True):
            table.append({"role": "scored", "image": image.index, "class": image.name} | scores)
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", table)
    write_findings(folder, findings(compared, known))
    facts = {
        "figure": "7",
        "choices": choices(cfg, net, snapshot.mean),
        "training": training_facts(snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, data),
        "collision_rate": measure_collisions(net, crops),
        "rows": rows,
        "scored": {"images": len(scored), "known_boxes": known}
        | {name: dataclasses.asdict(result) for name, result in compared.items()},
        "seconds_to_figure": round(sliding, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)


def choose(
    cfg: DictConfig, snapshot: Snapshot, net: ChainNet, data: Squares, count: int
) -> list[ChosenImage]:
    """The images to show; without only_right, any images of the split in an order of the seed."""
    if not cfg.images and not cfg.only_right:
        numbers = np.random.default_rng(cfg.seed).permutation(len(data))[:count].tolist()
        cfg = OmegaConf.merge(cfg, {"images": numbers, "labels": []})
    return choose_images(cfg, snapshot, net, data, count)


def to_score(
    cfg: DictConfig, snapshot: Snapshot, net: ChainNet, data: Squares
) -> list[ChosenImage]:
    """The images to score: of the split, none if its classes are not the network's."""
    if not cfg.score_images:
        return []
    if not same_classes(snapshot, data):
        log(
            f"note: nothing is scored, as the network does not know the classes of {data_name(cfg)}"
        )
        return []
    count = min(cfg.score_images, len(data))
    plain = OmegaConf.merge(cfg, {"images": [], "labels": []})
    if not cfg.only_right:
        return choose(plain, snapshot, net, data, count)
    numbers = draw_right_ones(snapshot, net, data, count, cfg.seed)
    return choose(OmegaConf.merge(plain, {"images": numbers}), snapshot, net, data, count)


def scenes_of(cfg: DictConfig, data: Squares, images: Sequence[ChosenImage]) -> list[Any] | None:
    """The scenes of images of the built-in data, with their boxes; None for photographs."""
    if cfg.data.name != "scenes":
        return None
    stored = images[0].square.shape[-1]
    scenes = Scenes(len(data), cfg.data[f"{cfg.split}_seed"], stored)
    return [scenes.scene(image.index) for image in images]


def one_image(
    cfg: DictConfig,
    snapshot: Snapshot,
    net: ChainNet,
    crops: CentreCrops,
    peaks: Peaks,
    image: ChosenImage,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of one row of the figure, and its facts."""
    target, size = need_label(image), size_px(cfg, net)
    log(f"sliding a square of {size} px over {image.name}")
    maps = occlude(
        net, image.input, target, cfg.layer, size, stride_px(cfg, net), cfg.fill, cfg.strongest,
        cfg.squares,
    )  # fmt: skip
    lowest = int(maps.probability.argmin())
    y, x = maps.positions.flatten(0, 1)[lowest].tolist()
    cut = (slice(None), slice(max(y, 0), y + size), slice(max(x, 0), x + size))
    picture = image.picture().clone()
    picture[cut] = grey(snapshot.mean, net.input_px, cfg.fill)[cut]
    tiles = projections(cfg, net, crops, peaks, image, maps.map)
    arrays = {"picture": picture, "probability": maps.probability, "activation": maps.activation,
              "label": maps.label, "positions": maps.positions}  # fmt: skip
    numbers = sorted({*maps.label.flatten().tolist(), target})
    row = facts_of(image, maps, target, lowest) | {
        "square": [y, x, y + size, x + size],
        "names": {str(n): snapshot.classes[n] for n in numbers},
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
    cfg: DictConfig,
    net: ChainNet,
    crops: CentreCrops,
    peaks: Peaks,
    image: ChosenImage,
    number: int,
) -> dict[str, torch.Tensor]:
    """(1 + others) tiles of one map: this image's strongest unit, then other images' strongest.

    projection: T×3×R×S; inside: T×R×S, all False where the map answers to no further image;
    others: their numbers in the data set.
    """
    given = image.input[None].to(net.device)
    own = strongest(net.record(given, [cfg.layer], logits=False).activations[cfg.layer], 0)
    chosen = torch.tensor([number])
    first = peak_views(
        net, [(image.input,)], cfg.layer, Peaks(*(t.cpu() for t in vars(own).values())), chosen,
        lambda _: image.picture(), collisions=cfg.collisions,
    )  # fmt: skip
    elsewhere = without(peaks, image.index, cfg.others)
    live = int((elsewhere.value[number] > 0).sum())
    shape = first.projection.shape[2:]
    projection, inside = (
        torch.zeros(1 + cfg.others, *shape),
        torch.zeros(1 + cfg.others, *shape[1:]),
    )
    projection[0], inside[0] = first.projection[0, 0], first.inside[0, 0]
    if live:
        best = Peaks(*(field[:, :live] for field in vars(elsewhere).values()))
        views = peak_views(
            net, crops, cfg.layer, best, chosen, crops.picture, collisions=cfg.collisions
        )
        projection[1 : 1 + live], inside[1 : 1 + live] = views.projection[0], views.inside[0]
    return {
        "projection": projection,
        "inside": inside.bool(),
        "others": elsewhere.image[number, :live],
    }


def without(peaks: Peaks, image: int | None, k: int) -> Peaks:
    """The k strongest peaks of every map that are not of `image`."""
    own = peaks.image == (-1 if image is None else image)
    order = own.int().sort(dim=1, stable=True).indices[:, :k]
    return Peaks(*(field.gather(1, order) for field in vars(peaks).values()))


def choices(cfg: DictConfig, net: ChainNet, mean: torch.Tensor) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return deconvnet_choices(net, cfg.collisions, mean, [cfg.layer]) | {
        "layer": cfg.layer,
        "size_px": size_px(cfg, net),
        "stride_px": stride_px(cfg, net),
        "fill": cfg.fill,
        "squares": cfg.squares,
        "strongest": {"sum": "by its sum", "max": "by its maximum"}[cfg.strongest],
        "drawn_square": "where the true class's probability is lowest",
        "projected": "the map's strongest unit; others: its strongest units in other images",
        "images": "named" if cfg.images else f"drawn (seed {cfg.seed})"
        + (" among those classified rightly" if cfg.only_right else ""),
        "score_stride_px": score_stride_px(cfg, net),
        "score_squares": "inside",
    }  # fmt: skip


if __name__ == "__main__":
    main()
