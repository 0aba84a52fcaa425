"""The claims of Figure 7: the answers fall where the square covers the object (§4.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deconv.studies.occlusion.scored_images import SCORES
from deconv.studies.occlusion.scores import Comparison
from experiments.kit.claims import FEWEST_IMAGES
from experiments.kit.findings import Finding, judged

FEWEST = FEWEST_IMAGES["fig7"]
"""Fewer images than this do not judge a claim."""
CLAIMED = {
    "fig7/probability": "probability_drop_on_object",
    "fig7/activation": "activation_drop_on_projection",
}
"""Claim -> the score that decides it."""


def findings(compared: Mapping[str, Comparison], known_boxes: bool) -> list[Finding]:
    """The claims of Figure 7 and, where boxes are known, the scores against them."""
    truth = {
        f"control/fig7/{score}": score
        for score in compared
        if known_boxes and SCORES[score][0] != "painted"
    }
    return [_finding(key, compared.get(score)) for key, score in (CLAIMED | truth).items()]


def _finding(key: str, result: Comparison | None) -> Finding:
    if result is None:
        return judged(key)
    low, beyond = result.own_interval[0], result.beyond_interval
    holds = None if result.images < FEWEST else bool(low > 0 and beyond[0] > 0)
    facts = {"with_other_regions": result.shuffled, "beyond": result.beyond}
    facts |= {"beyond_low": beyond[0], "beyond_high": beyond[1], "p_exchange": result.chance}
    return judged(key, result.own, result.own_interval, result.images, holds=holds, **facts)


def describe_scores(scored: dict[str, Any]) -> str:
    """The sentences of the caption about the scores, none for fewer than FEWEST images."""
    words = []
    for score, sentence in SENTENCES.items():
        result = scored.get(score)
        if result and result["images"] >= FEWEST:
            sentence = sentence.format(**result).replace(" -", " −")
            sentence = re.sub(r"−(0%|0\.00) ", r"\1 ", sentence)
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
