"""What is measured here and is no claim of the paper: scores against known truth, and controls.

A control is called `control/<experiment>/<name>`; what follows in the key of a finding (a layer, a
part of a face) is one of its cases, and stands in the finding's facts.
"""

from __future__ import annotations

from experiments.kit.claims import BEYOND, BOOTSTRAP, MARGIN7, OTHERS, SPLITS, Claim

CONTROL = "control/"
P_VALUE = "p"
"""The unit of a control whose value is the p value of a test."""
CHANCE = 0.05
"""The p value below which a single test counts."""
UNITS = "low and high: 95 % bootstrap interval over n units"
FACES = "mean over resamples of n faces; low and high: 95 % interval"
BELOW, ABOVE = "the interval lies below", "the interval lies above"
BEYOND_LIMIT = "it disagrees if the interval lies on the other side, else it is not tested"


def _kept(what: str, limit: str, side: str = BELOW, by: str = "correlation with signs") -> Claim:
    return Claim(
        "sanity",
        what,
        f"share of a picture that is kept, by {by} (0: unrelated pictures, 1: all of it); {UNITS}",
        f"{side} the setting `{limit}`; {BEYOND_LIMIT}",
        unit="of the picture",
    )


def _differs(what: str, measured: str, unit: str) -> Claim:
    return Claim("sanity", what, f"{measured}; {UNITS}", f"{ABOVE} 0; {BEYOND_LIMIT}", unit=unit)


def _falls(what: str, where: str, unit: str = "share") -> Claim:
    return Claim("fig7", f"{what}, {where}", f"mean over images; {BOOTSTRAP}", BEYOND, unit=unit)


ON_OBJECT = f"mean over squares on the object's box {OTHERS}"
RANK = "rank correlation of absolute values"
CONTROLS: dict[str, Claim] = {
    "control/fig5/right_angles": Claim(
        "fig5",
        "right angles keep the class better than odd ones",
        "share of the probability kept at 90, 180 and 270° minus that at 45, 135, 225 and 315°; "
        + BOOTSTRAP,
        f"{ABOVE} 0",
    ),
    "control/fig5/rotation_symmetric": Claim(
        "fig5",
        "objects that look alike when turned keep their class",
        "share of the probability kept over all angles, symmetric objects minus the others; "
        + BOOTSTRAP,
        f"{ABOVE} 0; not tested below five images in a group",
    ),
    "control/fig7/probability_drop_on_object": _falls("fall of the probability", ON_OBJECT),
    "control/fig7/activation_drop_on_object": _falls("fall of the activation", ON_OBJECT),
    "control/fig7/probability_drop_on_parts": _falls(
        "fall of the probability", f"mean over squares on some part's box {OTHERS}"
    ),
    "control/fig7/largest_drop_on_object": _falls(
        "the square with the largest fall of probability",
        "its middle is on the object",
        "of images",
    ),
    "control/sanity/layers_above": Claim(
        "sanity",
        "pictures are the same to the bit with random weights in all layers above",
        "share of n units of which that is so",
        "it is so of all",
        unit="of the units",
    ),
    "control/sanity/learned_weights": _kept("random weights from the unit's layer down", "little"),
    "control/sanity/learned_weights_outline": _kept(
        "random weights from the unit's layer down: the outline", "little", by=RANK
    ),
    "control/sanity/own_unit": _kept("another map's unit at the same place", "much"),
    "control/sanity/own_unit_outline": _kept(
        "another map's unit at the same place: the outline", "much", by=RANK
    ),
    "control/sanity/own_image": _kept("another image's switches", "much"),
    "control/sanity/rule": _kept("another rule, the one that changes most", "much", ABOVE),
    "control/sanity/collisions": _kept(
        "another policy for shared switches, the one that changes most", "much", ABOVE
    ),
    "control/sanity/switches_over_unit": _differs(
        "pictures depend more on the switches than on the unit",
        "correlation with another map's unit minus that with another image's switches",
        "of correlation",
    ),
    "control/sanity/one_class": _differs(
        "mining one class shows another picture than mining all",
        "correlation of the mean pictures of the strongest, between two halves of the images minus "
        "between all classes and a random one",
        "of correlation",
    ),
    "control/sanity/favoured_class": _differs(
        "the strongest images are of one class more often than by chance",
        "share of the most frequent class minus that among random images",
        "of the strongest",
    ),
    "control/truth_projections/object_energy": Claim(
        "truth_projections",
        "the energy of a projection lies on the object",
        "share of it in the object's box; low and high: 95 % bootstrap interval over n maps",
        "it lies above a random map's unit, an untrained network and the box's share of the field, "
        "each by more than the setting `margin`",
        unit="of the energy",
    ),
    "control/truth_projections/part_energy": Claim(
        "truth_projections",
        "the energy of a projection lies on the part that its map prefers",
        "share of it in that part's box, the part chosen on the other half of the images; low and "
        "high: 95 % bootstrap interval over n maps",
        "as for the object",
        unit="of the energy",
    ),
    "control/table1/exchange": Claim(
        "table1",
        "a part lies below random",
        "p of a test that shuffles the names of each image's masks; n: faces",
        f"p is below {CHANCE:g}",
        unit=P_VALUE,
    ),
    "control/table1/place": Claim(
        "table1",
        "a part lies below masks where another face has it",
        f"Δ of the part minus that of those masks, zeros left out, {FACES}",
        f"{BELOW} 0",
        unit="Δ",
    ),
    "control/table1/learned": Claim(
        "table1",
        "a part lies farther below random than in an untrained network",
        f"how far below, as a share of random, untrained minus trained, zeros left out, {FACES}",
        f"{BELOW} 0",
        unit="Δ",
    ),
    "control/table1/same_part": Claim(
        "table1",
        "the same part hidden in both faces changes them more alike than two different ones",
        f"Δ with the same part hidden minus Δ with different parts hidden, {FACES}",
        f"{BELOW} 0",
        unit="Δ",
    ),
    "control/contrast_normalisation/less_redundant": Claim(
        "contrast_normalisation",
        "the normalisation makes maps less redundant",
        "mean absolute correlation of two maps right before it minus right behind it, the smaller "
        "fall of layers 1 and 2",
        "the fall is above 0",
    ),
    "control/adaptive_deconv/gain": Claim(
        "adaptive_deconv",
        "learned filters and inference explain held-out images better",
        "share of the images' energy that the other way leaves unexplained minus that of learned "
        "filters, last layer; low and high: 95 % bootstrap interval over n images",
        "the interval lies above 0 at every layer",
        unit="of the energy",
    ),
    "control/transfer/scenes": Claim(
        "table4 and table5",
        "a softmax on layer 7, trained on scenes that the network did not learn from",
        f"mean accuracy per class; {SPLITS}",
        unit="%",
    ),
    "control/table6/parts": Claim(
        "table6",
        "parts of the scenes can be told from the features",
        "mean average precision over n parts",
        "it is at least 10 points above that of the same scores dealt out at random",
        unit="%",
    ),
    "control/table7/scenes": Claim(
        "table7",
        "accuracy rises with depth on the scenes",
        f"mean accuracy per class; {SPLITS}",
        "it lies above the layer probed below it by more than both spreads",
        unit="%",
    ),
    "control/table7/learned": Claim(
        "table7",
        "accuracy rises more with depth than with first random weights",
        "points by which it rises from the lowest to the highest layer probed, minus the same with "
        "random weights; low and high: the sum of the standard deviations over n splits",
        f"low lies above 0; for one split, the value above {MARGIN7:g}",
        unit="points",
    ),
}
"""First three parts of a key -> control. A control without a rule is a number to look at."""
