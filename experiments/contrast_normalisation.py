"""Figure 6's look at what contrast normalisation does to the features of layers 1 and 2.

    python -m experiments.contrast_normalisation
    python -m experiments.contrast_normalisation local=<run>/epoch_010.pt response=… none=…
    python -m experiments.contrast_normalisation redraw=outputs/contrast_normalisation/<folder>

Paper: §3 names a contrast normalisation behind layers 1 and 2, cites Krizhevsky et al. 2012 and
Jarrett et al. 2009 for it and states neither form nor effect. Here: three networks of one recipe
and the same first weights that differ in model.norm alone: "response", Krizhevsky's across maps;
"local", Jarrett's subtractive and divisive one over maps and positions; "none". Of each the filters
of layer 1 and the projections of layer 2, as in Figure 6, and numbers: accuracy, dead maps, the
share of values above 0, and how redundant maps are, also right before and right after a
normalisation, where nothing but the normalisation can make the difference.

Networks that are not given are trained first: twins by one recipe. At size=paper these trainings
come first:
    python -m experiments.train size=paper                           (response, the default)
    python -m experiments.train size=paper model.norm=local
    python -m experiments.train size=paper model.norm=none

Cost: three passes over the validation images a network, and the training of those not given;
laptop 6 minutes on 2 CPU cores.
Expected: not in the paper, which shows no network without the operation.

Writes figure.png and figure.pdf, arrays.npz (what is drawn, and the correlations of maps),
table.csv (one row per network and layer), findings.json, config.yaml and provenance.json; trained
networks in a folder each.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from deconv import figures
from deconv.errors import DeconvError, unknown
from deconv.figures import Page
from deconv.pooling import COLLISIONS
from deconv.studies.first_layers.contrast import across_norms, at_border, norm_of
from deconv.studies.first_layers.features import FIRST, SECOND, features, strengths
from deconv.training.evaluation import evaluate
from deconv.training.snapshots import weights_hash
from experiments.kit import Comparison, Finding, Result, Saved, Subject, experiment, judged
from experiments.kit.facts import deconvnet_choices, describe_network, images_of
from experiments.kit.printed import MISSING, rounded
from experiments.kit.series import unequal

ROLES = ("response", "local", "none")


@dataclasses.dataclass
class Contrast(Comparison):
    response: str | None = None  # snapshot of a network with Krizhevsky's response normalisation
    local: str | None = None  # of one with Jarrett's local contrast normalisation
    none: str | None = None  # of one without any
    faint: float = 0.1  # a filter is faint below this share of the strongest filter's RMS
    collisions: str = "sum"  # sum, max, mean, overwrite

    roles: ClassVar = {role: {"model.norm": role} for role in ROLES}
    twins_of: ClassVar = ROLES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.collisions not in COLLISIONS:
            raise unknown("collision policy", self.collisions, COLLISIONS)
        if not 0 < self.faint < 1:
            raise DeconvError(f"faint is a share between 0 and 1, got {self.faint}")


def check(cfg: Contrast, it: Subject) -> None:
    """Raise DeconvError for networks that differ in anything but their normalisation."""
    recipes = {}
    for role, one in it.roles.items():
        for layer in (FIRST, SECOND):
            one.sketch.check_point(layer)
        if (norm := norm_of(one.sketch)) != role:
            raise DeconvError(f"{role}= has to be trained with model.norm={role}, not {norm}")
        if one.given:
            recipes[role] = one.given.settings() | {"norm": None}
    first, *others = recipes or [""]
    for role in others:
        one, other = recipes[first], recipes[role]
        if apart := sorted(k for k in one | other if one.get(k) != other.get(k)):
            told = "; ".join(f"{k} {other.get(k)} and {one.get(k)}" for k in apart)
            raise DeconvError(f"{role}= and {first}= differ in more than model.norm: {told}")


def compute(cfg: Contrast, it: Subject) -> Result:
    """Look at each network and measure it."""
    peaks, right, measured = {}, {}, {}
    arrays: dict[str, np.ndarray] = {}
    for role, one in it.roles.items():
        peaks[role] = one.mine([FIRST, SECOND], k=1)
        loader = one.loader(one.crops)
        right[role] = evaluate(one.net, loader).top1
        measured[role], found = across_norms(one.net, loader, (FIRST, SECOND))
        arrays |= {f"{role}/{point}/correlations": r for point, r in found.items()}
    it.first_alone()
    rows, networks = [], {}
    for role, one in it.roles.items():
        found = features(one.net, one.crops, peaks[role], cfg.collisions)
        arrays |= {f"{role}/{name}": array for name, array in found.items()}
        for layer in (FIRST, SECOND):
            row = {"network": role, "layer": layer} | strengths(one.net, found, layer, cfg.faint)
            rows.append(rounded(row | measured[role][layer]))
        rows[-1]["at_border"] = at_border(found["inside"])
        seed = one.snapshot.config.get("settings", {}).get("seed")
        networks[role] = {
            "model": one.net.recipe,
            "weights_sha256": weights_hash(one.net),
            "accuracy": right[role],
            "training": one.facts()["training"] | {"seed": seed},
        }
    first, *others = it.roles.values()
    last = others[-1].net
    facts = {
        "figure": "6, of contrast normalisations",
        "choices": choices(cfg)
        | deconvnet_choices(last, cfg.collisions, first.snapshot.mean, (FIRST, SECOND)),
        "data": first.facts()["data"],
        "networks": networks,
        "unequal": {
            one.setting: unequal(first.snapshot, one.snapshot, "network") for one in others
        },
        "rows": rows,
    }
    return Result(facts, arrays, {"table": rows}, findings(rows), net=last)


def choices(cfg: Contrast) -> dict[str, str]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return {
        "maps": "all of layers 1 and 2",
        "peaks": "the strongest unit of each map; read after ReLU, before pooling",
        "dead": "never above 0 on the images",
        "faint": f"RMS below {cfg.faint:g} of the strongest filter's",
        "above 0": "share of positions of all images, mean over maps; after ReLU",
        "redundancy": "mean absolute Pearson correlation of two different maps over all "
        "positions of all images; maps that never vary left out",
        "response": "AlexNet's constants: 5 maps, alpha 1e-4, beta 0.75, k 2",
        "local": "9×9 positions as Jarrett et al. 2009, Gaussian of sigma 1.6",
        "field": "receptive fields leave out the window of the local normalisation",
        "filters": "drawn on one scale a panel",
    }


def findings(rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Whether each normalisation makes maps less redundant, right where it acts.

    What differs between the trained networks (accuracy, dead maps, sparsity) is shown and not
    judged: one training of each says nothing of how much they vary from seed to seed.
    """
    out = []
    for role in ("response", "local"):
        key = f"control/contrast_normalisation/less_redundant/{role}"
        pairs = [
            (row["before_redundancy"], row["behind_redundancy"])
            for row in rows
            if row["network"] == role
        ]
        if any(None in pair for pair in pairs):
            out.append(judged(key, why_not="fewer than two maps vary"))
            continue
        fall = min(before - behind for before, behind in pairs)
        out.append(judged(key, fall, holds=fall > 0))
    return out


# The page

TITLES = {"response": "response", "local": "local", "none": "without"}
"""Role -> the title of its column."""


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    columns = [column(saved.arrays, saved.facts, role) for role in ROLES]
    return figures.contrast_normalisation(columns, numbers(saved.facts), caption(saved.facts))


def column(
    arrays: Mapping[str, np.ndarray], facts: dict[str, Any], role: str
) -> figures.FirstLayers:
    """What the page needs of one network."""
    row = _row(facts, role, FIRST)
    return figures.FirstLayers(
        TITLES[role],
        row["stride"],
        arrays[f"{role}/filters"],
        arrays[f"{role}/{FIRST}/rms"],
        arrays[f"{role}/projection"],
        arrays[f"{role}/inside"],
        {},
        f"{row['maps']} of {row['kernel']}×{row['kernel']} px stride {row['stride']}, one scale "
        "for all",
    )


def _row(facts: dict[str, Any], role: str, layer: str) -> dict[str, Any]:
    return next(r for r in facts["rows"] if (r["network"], r["layer"]) == (role, layer))


def numbers(facts: dict[str, Any]) -> list[figures.NumberRow]:
    """The lines under the pictures."""

    def line(name: str, note: str, words: Callable[[dict[str, Any]], str]) -> figures.NumberRow:
        both = [[words(_row(facts, role, at)) for at in (FIRST, SECOND)] for role in ROLES]
        return figures.NumberRow(name, both, note)

    def percent(name: str, note: str, key: str) -> figures.NumberRow:
        return line(name, note, lambda row: _number(row[key], 1, 100))

    def redundancy(name: str, note: str, key: str) -> figures.NumberRow:
        return line(name, note, lambda row: _number(row[key], 3))

    error = [
        [error_words(100 - facts["networks"][role]["accuracy"], facts["data"]["images"])]
        for role in ROLES
    ]
    return [
        figures.NumberRow("Top-1 error (%)", error, "centre crop; ± standard error over images"),
        line("Dead maps", "never above 0", lambda row: f"{row['dead']} of {row['maps']}"),
        line(
            "Strongest at the border",
            "field reaches outside the image",
            lambda row: f"{row['at_border']} of {row['maps']}" if "at_border" in row else MISSING,
        ),
        percent("Values above 0 (%)", "after ReLU", "above_0"),
        percent("    behind normalisation", "", "behind_above_0"),
        redundancy("Redundancy of maps", "mean |r|, after ReLU", "redundancy"),
        redundancy("    before normalisation", "", "before_redundancy"),
        redundancy("    behind normalisation", "", "behind_redundancy"),
    ]


def _number(value: float | str | None, places: int, times: int = 1) -> str:
    return MISSING if value in ("", None) else f"{times * value:.{places}f}"


def error_words(percent: float, images: int) -> str:
    """An error and its standard error."""
    return f"{percent:.1f} ± {math.sqrt(percent * (100 - percent) / images):.1f}"


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, networks = facts["data"], facts["networks"]
    first = networks["response"]  # its error is in the table
    first = first | {"training": first["training"] | {"metrics": {}}}
    return (
        "Three networks that differ in the contrast normalisation behind layers 1 and 2 alone: "
        "Krizhevsky's response normalisation across maps; Jarrett's local one, which takes off the "
        "mean of a window over all maps and divides by its deviation; none. Above: the filters of "
        "layer 1, one scale a panel, grey is zero. Middle: of each map of layer 2 the "
        f"strongest activation over {data['images']} images of {images_of(data)}"
        f", painted by the deconvnet with that image's switches (every "
        "normalisation is skipped on the way down) and cut to the receptive field, in which a "
        "local normalisation's window is left out; hatched lies outside the image, every "
        "picture has its own symmetric scale, a dash is a dead map. "
        f"{describe_places(networks)}Numbers: of the same images. Redundancy: the absolute "
        "correlation of two maps over all positions of all images, mean over pairs of maps; before "
        "the normalisation it is that of the pooled maps. "
        f"{describe_inequality(facts)}{describe_network(first)} One training each: differences "
        "between networks include chance and how fast each learns. "
        f"Shared switches: {facts['choices']['collisions']}."
    )


def describe_places(networks: dict[str, Any]) -> str:
    """A sentence about tiles at one place, where all began from the same first weights."""
    seeds = {network["training"]["seed"] for network in networks.values()}
    same = len(seeds) == 1 and None not in seeds
    return "Tiles at one place began from the same first weights. " if same else ""


def describe_inequality(facts: dict[str, Any]) -> str:
    """A sentence about trainings that are not twins; empty if all are."""
    parts = [f"{TITLES[r]} in {', '.join(what)}" for r, what in facts["unequal"].items() if what]
    return f"Trained otherwise than response: {'; '.join(parts)}. " if parts else ""


main = experiment(Contrast, compute, draw, check, saves="arrays.npz table.csv findings.json")

if __name__ == "__main__":
    main()
