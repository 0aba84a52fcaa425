"""The image that excites a unit most: gradient ascent under a norm constraint, several starts.

    python -m experiments.max_activation snapshot=<run>/last.pt layer=conv5 map=17
    python -m experiments.max_activation snapshot=<run>/last.pt layer=conv5 blur_px=0.5 jitter_px=4
    python -m experiments.max_activation redraw=outputs/max_activation/<folder>

Erhan, Bengio, Courville & Vincent 2009; Zeiler & Fergus say of it that it needs a careful
initialisation and tells nothing of a unit's invariances. So: several random starts, and how far
their images agree. The norm's value is not stated: here the mean norm of the data's own patches.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row a start), config.yaml and
provenance.json. There is no number to compare with, so no findings.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from deconv import figures
from experiments.ascent_answer import ascent_answer, ascent_words, optima_of
from experiments.kit.command import experiment
from experiments.kit.facts import describe_network
from experiments.kit.redrawing import redraw
from experiments.single_unit import subject
from experiments.unit_answer import SAVED, save, unit_note


@experiment("max_activation")
def main(cfg: DictConfig, folder: Path) -> None:
    """Climb, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    one = subject(cfg, folder, needs_crops=False, climbs=True)
    if one is None:
        return
    found, _ = ascent_answer(cfg, one, one.unit())
    save(cfg, folder, one, "maximising images (Erhan et al. 2009)", ascent=found)
    draw(folder, folder)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    caption = (
        f"{ascent_words(facts)} The number above an image is the unit's activation, the strongest "
        f"first, in the order of the matrix. {describe_network(facts)}"
    )
    page = figures.max_activation(
        optima_of(arrays), facts["unit"]["title"], unit_note(facts), caption
    )
    figures.save(page, folder)


if __name__ == "__main__":
    main()
