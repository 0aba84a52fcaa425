"""What a unit is invariant to at its maximising image: eigenvectors of the Hessian on the sphere.

    python -m experiments.hessian_invariance snapshot=<run>/last.pt layer=conv5 map=17
    python -m experiments.hessian_invariance snapshot=<run>/last.pt layer=conv5 smoothing=none
    python -m experiments.hessian_invariance redraw=outputs/hessian_invariance/<folder>

Berkes & Wiskott 2006, Le et al. 2010. ReLUs and max-pools have no second derivative but at their
kinks, so smoothing=softplus rounds them (see `deconv.studies.single_unit.smoothing`), climbs on to
the optimum of the rounded unit and takes its Hessian there; what is drawn along the directions is
the network itself.
smoothing=none takes the Hessian of the network as it is: that of the contrast normalisation alone,
or zero, which is said. Zeiler & Fergus hold that a quadratic form is too simple for high layers:
random directions are walked beside, to judge it.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row a start and a row a direction),
config.yaml and provenance.json. There is no number to compare with, so no findings.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from deconv import figures
from experiments.ascent_answer import ascent_answer, ascent_words
from experiments.directions_answer import directions_answer, directions_words, walks_of
from experiments.kit.command import experiment
from experiments.kit.facts import describe_network
from experiments.kit.redrawing import redraw
from experiments.single_unit import subject
from experiments.unit_answer import SAVED, save, unit_note


@experiment("hessian_invariance")
def main(cfg: DictConfig, folder: Path) -> None:
    """Climb, find directions, walk, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    one = subject(cfg, folder, needs_crops=False, climbs=True)
    if one is None:
        return
    unit = one.unit()
    climbed, best = ascent_answer(cfg, one, unit)
    found = directions_answer(cfg, one, unit, best)
    title = "invariance directions (Berkes & Wiskott 2006, Le et al. 2010)"
    save(cfg, folder, one, title, ascent=climbed, walks=found)
    draw(folder, folder)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    caption = f"{directions_words(facts)} {ascent_words(facts)} {describe_network(facts)}"
    page = figures.hessian_invariance(
        walks_of(arrays, facts["walks"]), facts["unit"]["title"], unit_note(facts), caption
    )
    figures.save(page, folder)


if __name__ == "__main__":
    main()
