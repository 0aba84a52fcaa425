"""The image patches that excite a unit most, alone, with the receptive fields they are cut from.

    python -m experiments.image_crops snapshot=<run>/last.pt layer=conv5 map=17
    python -m experiments.image_crops model=torchvision/resnet50 model.weights=DEFAULT layer=layer3
    python -m experiments.image_crops redraw=outputs/image_crops/<folder>

Donahue et al. 2013 (DeCAF) and Girshick et al. 2014, whom Zeiler & Fergus name: what a unit looks
for, shown by the images that find it, without a look into the network. Nothing says which part of
a patch excites the unit.

Cost: laptop under a minute (with a snapshot) on 2 CPU cores.
Expected: crops that share a structure.

Writes figure.png and figure.pdf, arrays.npz, table.csv (one row per crop), config.yaml and
provenance.json. There is no claim to judge, so no findings.json.
"""

from __future__ import annotations

from deconv import figures
from deconv.figures import Page
from experiments.kit import Result, Saved, Subject, experiment
from experiments.kit.facts import describe_network
from experiments.kit.single_unit import crops, find_map, result
from experiments.kit.unit_pages import crops_of, crops_words, shown_crops
from experiments.kit.unit_settings import WithCrops, check


class ImageCrops(WithCrops):
    """Settings: those of the map and its crops."""


def compute(cfg: ImageCrops, it: Subject) -> Result:
    """Mine the data set and cut the peaks out."""
    number, peaks = find_map(cfg, it, cfg.k)
    found = crops(cfg, it, number, peaks, whole=True)
    return result(cfg, it, number, "image crops (Donahue et al. 2013)", found)


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts = saved.facts
    caption = (
        f"{crops_words(facts, shown_crops(saved))} The number above a crop is the unit's "
        "value. Below each: the image it is cut from, as the network sees it, and the exact "
        f"receptive field in it, clipped at the border. {describe_network(facts)}"
    )
    title, field = facts["unit"]["title"], facts["crops"]["field"]
    return figures.image_crops(crops_of(saved), title, field, caption)


main = experiment(ImageCrops, compute, draw, check, "arrays.npz table.csv", layout="k")

if __name__ == "__main__":
    main()
