"""The claims of Figure 7: the answers fall where the square covers the object (§4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deconv.studies.occlusion.scored_images import MOST, ON_BOX, OVER_PART, SCORES
from deconv.studies.occlusion.scores import Comparison, hit
from experiments.kit.findings import TRUTH, Finding

FEWEST = 8
"""Fewer images than this do not judge a claim."""
ELSEWHERE = "minus mean over the other squares"
ON_OBJECT = f"mean over squares of which at least {ON_BOX:g} lies in the object's box {ELSEWHERE}"
PROBABILITY = "fall of the true class's probability"
ACTIVATION = "fall of the strongest map's summed activation, as a share of the whole image's"
ON_PICTURE = (
    f"mean over the {MOST:.0%} of squares that cover most energy of the strongest unit's "
    f"projection {ELSEWHERE}"
)
RULES = {
    "probability_drop_on_object": f"{PROBABILITY}, {ON_OBJECT}",
    "activation_drop_on_object": f"{ACTIVATION}: {ON_OBJECT}",
    "probability_drop_on_parts": f"{PROBABILITY}, mean over squares that cover at least "
    f"{OVER_PART:g} of some part's box {ELSEWHERE}",
    "largest_drop_on_object": "share of images in which the middle of the square with the largest "
    "fall of probability lies in the object's box",
    "probability_drop_on_projection": f"{PROBABILITY}, {ON_PICTURE}",
    "activation_drop_on_projection": f"{ACTIVATION}: {ON_PICTURE}",
}
"""Score -> what it measures."""


def findings(compared: Mapping[str, Comparison], known_boxes: bool) -> list[Finding]:
    """The claims of Figure 7 and, where boxes are known, the scores against them."""
    claims = {
        "fig7/probability": ("probability_drop_on_object", "no boxes of objects are known here"),
        "fig7/activation": ("activation_drop_on_projection", "no image was scored"),
    }
    out = []
    for key, (score, missing) in claims.items():
        rule = RULES[score] if score in compared else f"{RULES[score]}: not judged, {missing}"
        out.append(_finding(key, compared.get(score), rule, ""))
    for score, result in compared.items():
        if known_boxes and SCORES[score][0] != "painted":
            unit = "share of images" if SCORES[score][2] is hit else "share"
            out.append(_finding(f"{TRUTH}fig7_occlusion/{score}", result, RULES[score], unit))
    return out


def _finding(key: str, result: Comparison | None, rule: str, unit: str) -> Finding:
    if result is None:
        return Finding(key, rule=rule, unit=unit)
    low, high = result.own_interval
    beyond = result.beyond_interval
    holds = None if result.images < FEWEST else bool(low > 0 and beyond[0] > 0)
    rule = (
        f"{rule}; {result.images} images with squares on it and off it; spread: half the 95 % "
        "bootstrap interval over images; with the regions of the other images "
        f"{result.shuffled:.4f}, beyond that {result.beyond:.4f} ({beyond[0]:.4f} to "
        f"{beyond[1]:.4f}), reached by {result.chance:.4f} of random exchanges; holds if the "
        "intervals of the score and of what lies beyond the other regions are above 0; not judged "
        f"on fewer than {FEWEST} images"
    )
    return Finding(key, result.own, (high - low) / 2, holds, rule, unit)


def describe_scores(scored: dict[str, Any]) -> str:
    """The sentences of the caption about the scores, none for fewer than FEWEST images."""
    words = []
    for score, sentence in SENTENCES.items():
        result = scored.get(score)
        if result and result["images"] >= FEWEST:
            sentence = sentence.format(**result).replace(" -", " −")
            words.append(f" Over {result['images']} {sentence}")
    return "".join(words)


SENTENCES = {
    "probability_drop_on_object": "scenes the probability falls by {own:.2f} more where the square "
    "lies on the object than elsewhere, against {shuffled:.2f} with the boxes of other scenes.",
    "activation_drop_on_projection": "images the sum of (b) falls by {own:.0%} more where the "
    "square covers what (c) paints than elsewhere, against {shuffled:.0%} with what is painted for "
    "other images.",
}
"""Of the caption, by score."""
