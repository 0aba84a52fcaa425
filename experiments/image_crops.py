"""The image patches that excite a unit most, alone, with the receptive fields they are cut from.

    python -m experiments.image_crops snapshot=<run>/last.pt layer=conv5 map=17
    python -m experiments.image_crops model=torchvision/resnet50 model.weights=DEFAULT layer=layer3
    python -m experiments.image_crops redraw=outputs/image_crops/<folder>

Donahue et al. 2013 (DeCAF) and Girshick et al. 2014, whom Zeiler & Fergus name: what a unit looks
for, shown by the images that find it, without a look into the network. Nothing says which part of
a patch excites the unit.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row a crop), config.yaml and
provenance.json. There is no claim to judge, so no findings.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from deconv import figures
from experiments.crops_answer import crops_answer, crops_of, crops_words
from experiments.kit.command import experiment
from experiments.kit.facts import describe_network
from experiments.kit.redrawing import redraw
from experiments.single_unit import subject
from experiments.unit_answer import SAVED, save


@experiment("image_crops")
def main(cfg: DictConfig, folder: Path) -> None:
    """Mine, cut, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    one = subject(cfg, folder, needs_crops=True, climbs=False)
    if one is None:
        return
    found = crops_answer(cfg, one, pictures=True)
    save(cfg, folder, one, "image crops (Donahue et al. 2013)", crops=found)
    draw(folder, folder)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    caption = (
        f"{crops_words(facts, len(arrays['crops/value']))} The number above a crop is the unit's "
        "value. Below each: the image it is cut from, as the network sees it, and the exact "
        f"receptive field in it, clipped at the border. {describe_network(facts)}"
    )
    page = figures.image_crops(
        crops_of(arrays), facts["unit"]["title"], facts["crops"]["field"], caption
    )
    figures.save(page, folder)


if __name__ == "__main__":
    main()
