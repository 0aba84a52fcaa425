"""What a unit is invariant to at its maximising image: eigenvectors of the Hessian on the sphere.

    python -m experiments.hessian_invariance snapshot=<run>/last.pt layer=conv5 map=17
    python -m experiments.hessian_invariance snapshot=<run>/last.pt layer=conv5 smoothing=none
    python -m experiments.hessian_invariance redraw=outputs/hessian_invariance/<folder>

Berkes & Wiskott 2006, Le et al. 2010. ReLUs and max-pools have no second derivative but at their
kinks, so smoothing=softplus rounds them (see `deconv.studies.single_unit.smoothing`), climbs on to
the optimum of the rounded unit and takes its Hessian there; what is drawn along the directions is
the network itself. smoothing=none takes the Hessian of the network as it is: that of the contrast
normalisation alone, or zero, and the figure says so. Zeiler & Fergus hold that a quadratic form is
too simple for high layers: random directions are walked beside, to judge it.

Cost: laptop about a minute (with a snapshot) on 2 CPU cores.
Expected: the activation falls first along the least invariant directions. Random ones hardly reach
the unit and fall with the cosine, by a fifth at about 40°; they may outlast the most invariant
ones, since a second derivative speaks of the first degrees alone.

Writes figure.png and figure.pdf, arrays.npz, table.csv (one per start and direction),
config.yaml and provenance.json. There is no number to compare with, so no findings.json.
"""

from __future__ import annotations

from deconv import figures
from deconv.figures import Page
from deconv.studies.single_unit.unit_function import unit_function
from experiments.kit import Result, Saved, Subject, experiment
from experiments.kit.facts import describe_network
from experiments.kit.single_unit import ascent, directions, find_map, result
from experiments.kit.unit_pages import ascent_words, unit_note, walks_of, walks_words
from experiments.kit.unit_settings import WithWalks, check


class HessianInvariance(WithWalks):
    """Settings: those of the map, of the ascent and of the walks."""


def compute(cfg: HessianInvariance, it: Subject) -> Result:
    """Climb, take the Hessian at the best image, walk along its directions."""
    number, _ = find_map(cfg, it)
    unit = unit_function(it.net, cfg.layer, number)
    climbed, best = ascent(cfg, it, unit)
    figure = "invariance directions (Berkes & Wiskott 2006, Le et al. 2010)"
    return result(cfg, it, number, figure, climbed, directions(cfg, it, unit, best))


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts = saved.facts
    caption = f"{walks_words(facts)} {ascent_words(facts)} {describe_network(facts)}"
    walks, title = walks_of(saved.arrays, facts), facts["unit"]["title"]
    return figures.hessian_invariance(walks, title, unit_note(facts), caption)


main = experiment(HessianInvariance, compute, draw, check, saves="arrays.npz table.csv")

if __name__ == "__main__":
    main()
