"""One unit, four answers side by side: crops, deconvnet, maximising images, invariances.

    python -m experiments.one_unit snapshot=<run>/last.pt layer=conv5
    python -m experiments.one_unit snapshot=<run>/last.pt layer=conv3 map=17 data=caltech101 …
    python -m experiments.one_unit model=torchvision/resnet50 model.weights=DEFAULT layer=layer3
    python -m experiments.one_unit redraw=outputs/one_unit/<folder>

The methods that Zeiler & Fergus name beside or before their own (§1.1, ECCV's too), for one map of
any network, and theirs. Each has an experiment of its own that shows it in full: image_crops,
fig2_top_activations, max_activation, hessian_invariance.

Cost: laptop about a minute (with a snapshot) on 2 CPU cores.
Expected: crops and projections of one structure; it may be seen in the maximising images too,
among much that no image of the data has, at several times the activation.

Writes figure.png and figure.pdf, arrays.npz, table.csv (one row per crop, start and direction),
config.yaml and provenance.json. There is no claim to judge, so no findings.json.
"""

from __future__ import annotations

from dataclasses import dataclass

from deconv import figures
from deconv.figures import Page
from deconv.pooling import COLLISIONS
from deconv.studies.single_unit.unit_function import unit_function
from experiments.kit import Result, Saved, Subject, check_name, experiment
from experiments.kit.facts import describe_network
from experiments.kit.single_unit import ascent, crops, directions, find_map, result
from experiments.kit.unit_pages import (
    ascent_words,
    crops_of,
    crops_words,
    optima_of,
    shown_crops,
    unit_note,
    walks_of,
    walks_words,
)
from experiments.kit.unit_settings import WithCrops, WithWalks, check


@dataclass
class OneUnit(WithCrops, WithWalks):
    collisions: str = "sum"  # of the projections: sum, max, mean, overwrite

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("collision policy", self.collisions, COLLISIONS)


def compute(cfg: OneUnit, it: Subject) -> Result:
    """Find the four answers."""
    number, peaks = find_map(cfg, it, cfg.k)
    unit = unit_function(it.net, cfg.layer, number)
    cut = crops(cfg, it, number, peaks, cfg.collisions)
    climbed, best = ascent(cfg, it, unit)
    walked = directions(cfg, it, unit, best)
    return result(cfg, it, number, "one unit, four answers", cut, climbed, walked)


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    arrays, facts = saved.arrays, saved.facts
    caption = (
        f"(a) {crops_words(facts, shown_crops(saved))} (b) The deconvnet's projection of "
        "each, with that image's switches; grey is zero, every picture has its own scale. (c) "
        f"{ascent_words(facts)} (d) {walks_words(facts)} {describe_network(facts)}"
    )
    answers = crops_of(saved), optima_of(arrays), walks_of(arrays, facts)
    return figures.one_unit(*answers, facts["unit"]["title"], unit_note(facts), caption)


main = experiment(OneUnit, compute, draw, check, "arrays.npz table.csv", layout="k")

if __name__ == "__main__":
    main()
