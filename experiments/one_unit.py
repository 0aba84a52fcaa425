"""One unit, four answers side by side: crops, deconvnet, maximising images, invariances.

    python -m experiments.one_unit snapshot=<run>/last.pt layer=conv5
    python -m experiments.one_unit snapshot=<run>/last.pt layer=conv3 map=17 data=caltech101 …
    python -m experiments.one_unit model=torchvision/resnet50 model.weights=DEFAULT layer=layer3
    python -m experiments.one_unit redraw=outputs/one_unit/<folder>

The methods that Zeiler & Fergus name beside or before their own (§1.1, ECCV's too), for one map of
any network, and theirs. Each has an experiment of its own that shows it in full: image_crops,
fig2_top_activations, max_activation, hessian_invariance.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row a crop, a start and a direction),
config.yaml and provenance.json. There is no claim to judge, so no findings.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from deconv import figures
from experiments.ascent_answer import ascent_answer, ascent_words, optima_of
from experiments.crops_answer import crops_answer, crops_of, crops_words
from experiments.directions_answer import directions_answer, directions_words, walks_of
from experiments.kit.command import experiment
from experiments.kit.facts import describe_network
from experiments.kit.redrawing import redraw
from experiments.single_unit import subject
from experiments.unit_answer import SAVED, save, unit_note


@experiment("one_unit")
def main(cfg: DictConfig, folder: Path) -> None:
    """Compute the four answers, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    one = subject(cfg, folder, needs_crops=True, climbs=True)
    if one is None:
        return
    unit = one.unit()
    crops = crops_answer(cfg, one, pictures=False)
    climbed, best = ascent_answer(cfg, one, unit)
    found = directions_answer(cfg, one, unit, best)
    save(cfg, folder, one, "one unit, four answers", crops=crops, ascent=climbed, walks=found)
    draw(folder, folder)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    caption = (
        f"(a) {crops_words(facts, len(arrays['crops/value']))} (b) The deconvnet's projection of "
        "each, with that image's switches; grey is zero, every picture has its own scale. (c) "
        f"{ascent_words(facts)} (d) {directions_words(facts)} {describe_network(facts)}"
    )
    page = figures.one_unit(
        crops_of(arrays), optima_of(arrays), walks_of(arrays, facts["walks"]),
        facts["unit"]["title"], unit_note(facts), caption,
    )  # fmt: skip
    figures.save(page, folder)


if __name__ == "__main__":
    main()
