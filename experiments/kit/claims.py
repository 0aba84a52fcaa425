"""Each claim of the paper once: what it states, what is measured here, and the rule that decides.

A comparable number (the paper's data, network and protocol) that lies within both spreads agrees.
Every other number is judged by the rule of its claim; where the rule cannot be applied, a
comparable number that lies outside disagrees, and any other is not tested.
"""

from __future__ import annotations

from dataclasses import dataclass

from deconv.studies.occlusion.scored_images import MOST, ON_BOX
from experiments.kit.paper_tables import (
    FIG3_SIDES,
    TABLE1,
    TABLE2,
    TABLE3,
    TABLE4,
    TABLE5,
    TABLE6,
    TABLE7,
)

TEXT, SECONDARY, DERIVED = "text", "secondary source", "derived"
"""How a number is known: from the paper's text; from another's account; by arithmetic."""

# The numbers in the rules.
TOLERANCE = 1e-3
LINEAR = 0.9
"""R² from which a curve counts as quasi-linear; √x has 0.64, x^(2/3) about 0.9."""
KEPT = 0.5
"""Share of the class's probability below which the output counts as not invariant."""
FEW = 0.1
"""Share of filters up to which they are few."""
FEWEST_IMAGES = {"fig5": 5, "fig7": 8}
MARGIN3, MARGIN7, LEVEL7 = 0.5, 1.0, 5.0
"""Points of error (Table 3) or accuracy (Table 7) up to which two numbers do not differ; points
within which Table 7's accuracies are level."""
NEAR, ALIKE = 2.0, 0.5
"""Table 6: points around the mean that are on neither side; rank correlation of like orders."""


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or a control of ours, which is no claim of the paper.

    place: figure or table; the experiment for a control. says: what is stated, or asked. measured:
    what value, low, high and n are. rule: when it agrees. value, spread, unit, n: the paper's, None
    where it prints none. known: how value is known. comparable: when our number may be set beside
    the paper's. needs: what a finding takes that is not built in.
    """

    place: str
    says: str
    measured: str
    rule: str = ""
    value: float | None = None
    spread: float | None = None
    unit: str = ""
    n: int | None = None
    known: str = TEXT
    comparable: str = ""
    needs: str = ""


BOOTSTRAP = "low and high: 95 % bootstrap interval over n images"
SPLITS = "low and high: one standard deviation over n splits"
ERRORS = "low and high: two standard errors of a share over n images"
SMALLER = "the smaller of translation and scale"
OTHERS = "minus the mean over the other squares"
BEYOND = "the intervals of the value and of what lies beyond other images' regions are above 0"
AS_DRAWN = "ZFNet at 224 px without a change"
IMAGENET = "a network trained on ImageNet 2012"

FIGURES: dict[str, Claim] = {
    "fig1/reconstruction": Claim(
        "Fig. 1",
        "unpool by switches, rectify, filter with the transposed filters",
        "largest difference between the pixels of these three steps and those of autograd "
        "under the deconvnet's rules, for one unit of one image",
        f"the value is at most {TOLERANCE:g}",
        unit="of the largest pixel",
    ),
    "fig2/hierarchy": Claim(
        "Fig. 2",
        "the nine strongest images of a map share a structure",
        "nothing: the figure is for the eye",
        needs="a reader's eye",
    ),
    **{
        f"fig3/{stage}": Claim(
            "Fig. 3",
            f"side of {stage}",
            "side of the map of ZFNet as built",
            "the side is the paper's; the paddings, which it does not state, are chosen so",
            side,
            unit="px",
            known=SECONDARY,
            comparable=AS_DRAWN,
        )
        for stage, side in FIG3_SIDES.items()
    },
    "fig3/parameters": Claim(
        "Fig. 3",
        "weights and biases for 1000 classes",
        "weights and biases of ZFNet as built",
        "they are as many as the figure's sizes add up to; the paper prints no total",
        62_357_608,
        known=DERIVED,
        comparable=AS_DRAWN,
    ),
    "fig4/lower_first": Claim(
        "Fig. 4",
        "lower layers settle in a few epochs, upper ones need 40–50",
        "epochs from the snapshot at which the lowest layer has settled to that at which the "
        "highest has; settled: from then on fewer than `threshold` of a map's nine strongest "
        "images change between snapshots",
        "the highest layer settles later than the lowest, and no layer before one below it; "
        "how many epochs either takes is not judged",
        unit="epochs later",
    ),
    "fig5/layer1_sharp": Claim(
        "Fig. 5",
        "small changes move layer 1 much and layer 7 little",
        "share of the largest distance that is reached at a tenth of the range, layer 1 minus "
        f"layer 7, mean over images, {SMALLER}; {BOOTSTRAP}",
        "both intervals lie above 0",
        unit="of the distance",
    ),
    "fig5/quasi_linear": Claim(
        "Fig. 5",
        "layer 7 moves quasi-linearly with translation and scale",
        "R² of the straight line through the origin of layer 7's distance, median over images, "
        f"{SMALLER}; {BOOTSTRAP}",
        f"both are at least {LINEAR:g}, and both lie above layer 1's R² by an interval above 0",
        unit="(R²)",
    ),
    "fig5/not_rotation": Claim(
        "Fig. 5",
        "the output is not invariant to rotation, but for symmetric objects",
        "share of the true class's probability that is kept, mean over angles and images; "
        f"{BOOTSTRAP}; the exception is a control, fig5/rotation_symmetric",
        f"the interval lies below {KEPT:g}",
        unit="of the probability",
    ),
    "fig6/dominating": Claim(
        "Fig. 6",
        "without renormalisation a few filters of layer 1 dominate",
        "smallest share of layer 1's filters that holds half of its squared weights, without "
        "renormalisation",
        f"the share is at most {FEW:g} without renormalisation, and more with it",
        unit="of the filters",
    ),
    "fig6/dead": Claim(
        "Fig. 6",
        "7×7 stride 2 has fewer dead filters than 11×11 stride 4",
        "share of dead or faint filters in layer 1, of the coarse layer minus that of the fine "
        "one; faint: RMS below `faint` of the strongest's",
        "the value is above 0; not tested where neither layer has any",
        unit="of the filters",
    ),
    "fig6/aliasing": Claim(
        "Fig. 6",
        "stride 2 shows fewer aliasing artefacts in layer 2",
        "share of the spectral energy of layer 2's projections above the Nyquist frequency of "
        "layer 1's stride, relative to random weights, coarse minus fine; low and high: two "
        "standard deviations",
        "low lies above 0",
        unit="of the energy",
    ),
    "fig7/probability": Claim(
        "Fig. 7",
        "the true class's probability falls where the square covers the object",
        f"its fall, mean over squares with at least {ON_BOX:g} of them in the object's box "
        f"{OTHERS}; {BOOTSTRAP}",
        BEYOND,
        needs="boxes of the objects (the built-in scenes have them)",
        unit="of the probability",
    ),
    "fig7/activation": Claim(
        "Fig. 7",
        "the strongest map of layer 5 falls where the square covers what it shows",
        "fall of its summed activation as a share of the whole image's, mean over the "
        f"{MOST:.0%} of squares that cover most of the strongest unit's projection {OTHERS}; "
        f"{BOOTSTRAP}",
        BEYOND,
        unit="of the activation",
    ),
}


def _correspondence() -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for part, pair in TABLE1.items():
        who = "the mean of eyes and nose" if part == "random" else "it"
        for layer, (value, spread) in zip((5, 7), pair, strict=True):
            less = "" if layer == 5 else ", and at layer 7 less far below, as a share of random"
            found[f"table1/{part}/layer{layer}"] = Claim(
                "Table 1",
                f"sign change, {part.replace('_', ' ')} hidden, layer {layer}",
                "mean Δ over n draws of five faces; low and high: one standard deviation "
                "between draws",
                f"at layer 5 {who} lies below random{less} (95 % intervals above 0); of a network "
                "without conv5 and fc7 the middle and the last of the layers compared stand for "
                "layers 5 and 7",
                value,
                spread,
                "(Δ)",
                comparable="the paper's five photographs, which are not published",
            )
    return found


def _errors() -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for row, errors in TABLE2.items():
        for column, error in zip(
            ("validation top-1", "validation top-5", "test top-5"), errors, strict=True
        ):
            if error is not None:
                found[f"table2/{row}/{column}"] = Claim(
                    "Table 2",
                    f"{row}, {column} error",
                    f"error of the averaged networks; {ERRORS}",
                    "the error of the average lies below the mean error of its networks",
                    error,
                    unit="%",
                    comparable="the paper's networks, as many, on ImageNet's validation images",
                    needs="the paper's networks trained on ImageNet 2012, several of them",
                )
    for change, networks in TABLE3.items():
        for network, errors in networks.items():
            for column, error in zip(
                ("train top-1", "validation top-1", "validation top-5"), errors, strict=True
            ):
                found[f"table3/{network}/{change}/{column}"] = Claim(
                    "Table 3",
                    f"{network}, change: {change}, {column} error",
                    f"error of the changed network; {ERRORS}",
                    "the error moves against the unchanged network's in the paper's direction, "
                    f"by more than two standard errors and {MARGIN3:g} points",
                    error,
                    unit="%",
                    comparable="the paper's networks, trained as there, on ImageNet 2012",
                    needs=IMAGENET,
                )
    return found


def _transfer() -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    transfer = {
        "scratch": (
            "ZFNet, all layers trained on this data alone",
            "its number lies within both spreads of the paper's; that of another network is not "
            "tested",
            "ZFNet at 224 px, trained by the paper's recipe on the same protocol's splits",
            "",
        ),
        "pretrained": (
            "a softmax on frozen layers 1–7 of a network trained on other data",
            "it lies above a network trained on this data alone by more than both spreads",
            "ZFNet trained on ImageNet 2012",
            IMAGENET,
        ),
    }
    for place, name, data, rows in (
        ("Table 4", "table4", "Caltech-101", TABLE4),
        ("Table 5", "table5", "Caltech-256", TABLE5),
    ):
        for row, (what, rule, comparable, needs) in transfer.items():
            for size, (value, spread) in rows[row].items():
                found[f"{name}/{row}/{size}"] = Claim(
                    place,
                    f"{data}, {row}, {size} a class",
                    f"mean accuracy per class of {what}; {SPLITS}",
                    rule,
                    value,
                    spread,
                    "%",
                    5,
                    comparable=comparable,
                    needs=" and ".join(filter(None, (data, needs))),
                )
    best = TABLE5["Bo et al."][60][0]
    found["fig9/few_images"] = Claim(
        "Fig. 9",
        f"6 images a class of Caltech-256 beat Bo et al. with 60 ({best} %)",
        f"mean accuracy per class with 6 images a class; {SPLITS}",
        f"it lies above {best} % by more than both spreads",
        unit="%",
        comparable="ZFNet trained on ImageNet 2012",
        needs=f"Caltech-256 and {IMAGENET}",
    )
    return found


def _frozen() -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for label, values in TABLE6.items():
        mean = label == "mean"
        found[f"table6/{label}"] = Claim(
            "Table 6",
            f"VOC 2012, {label}, average precision",
            "average precision of classifiers on frozen features, on the validation images",
            f"the order of n classes is the paper's: rank correlation at least {ALIKE:g}"
            if mean
            else "the class lies on the same side of the mean as in the paper; not tested "
            f"within {NEAR:g} points of it",
            values[2],
            unit="%",
            comparable="VOC 2012's test images, whose labels are not published",
            needs="VOC 2012 and " + IMAGENET,
        )
    for (kind, layer), pair in TABLE7.items():
        for data, (value, spread) in zip(("caltech101", "caltech256"), pair, strict=True):
            found[f"table7/{data}/{kind}/layer{layer}"] = Claim(
                "Table 7",
                f"{data}, {kind} on layer {layer}",
                f"mean accuracy per class; {SPLITS}",
                "it lies above the layer probed below it by more than both spreads together "
                f"({MARGIN7:g} point for one split), or, where the paper's two are level, "
                f"within {LEVEL7:g} points; the lowest layer is not tested",
                value,
                spread,
                "%",
                5,
                comparable="ZFNet trained on ImageNet 2012, five splits",
                needs=IMAGENET if data == "caltech101" else f"{data} and {IMAGENET}",
            )
    return found


TABLES = _correspondence() | _errors() | _transfer() | _frozen()
CLAIMS: dict[str, Claim] = FIGURES | TABLES
"""Key -> claim; other authors' rows of the paper's tables are in `paper_tables` alone."""
