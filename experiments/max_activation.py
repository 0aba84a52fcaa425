"""The image that excites a unit most: gradient ascent under a norm constraint, several starts.

    python -m experiments.max_activation snapshot=<run>/last.pt layer=conv5 map=17
    python -m experiments.max_activation snapshot=<run>/last.pt layer=conv5 blur_px=0.5 jitter_px=4
    python -m experiments.max_activation redraw=outputs/max_activation/<folder>

Erhan, Bengio, Courville & Vincent 2009; Zeiler & Fergus say of it that it needs a careful
initialisation and tells nothing of a unit's invariances. So: several random starts, and how far
their images agree. The norm's value is not stated: here the mean norm of the data's own patches.

Cost: laptop about a minute (with a snapshot) on 2 CPU cores.
Expected: different images of nearly the same activation: starts hardly agree.

Writes figure.png and figure.pdf, arrays.npz, table.csv (one row per start), config.yaml and
provenance.json. There is no number to compare with, so no findings.json.
"""

from __future__ import annotations

from deconv import figures
from deconv.figures import Page
from deconv.studies.single_unit.unit_function import unit_function
from experiments.kit import Result, Saved, Subject, experiment
from experiments.kit.facts import describe_network
from experiments.kit.single_unit import ascent, find_map, result
from experiments.kit.unit_pages import ascent_words, optima_of, unit_note
from experiments.kit.unit_settings import WithAscent, check


class MaxActivation(WithAscent):
    """Settings: those of the map and of the ascent."""


def compute(cfg: MaxActivation, it: Subject) -> Result:
    """Climb from every start."""
    number, _ = find_map(cfg, it)
    found, _ = ascent(cfg, it, unit_function(it.net, cfg.layer, number))
    return result(cfg, it, number, "maximising images (Erhan et al. 2009)", found)


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts = saved.facts
    caption = (
        f"{ascent_words(facts)} The number above an image is the unit's activation, the strongest "
        f"first, in the order of the matrix. {describe_network(facts)}"
    )
    title = facts["unit"]["title"]
    return figures.max_activation(optima_of(saved.arrays), title, unit_note(facts), caption)


main = experiment(MaxActivation, compute, draw, check, saves="arrays.npz table.csv")

if __name__ == "__main__":
    main()
