"""What captions and sidecars say of the rules by which pictures were painted."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.kit.facts import VJP

WORDS = {
    "deconvnet": "the deconvnet",
    "guided": "guided backpropagation",
    "gradient": "the gradient",
}
WAYS = {
    "guided": "Springenberg et al. 2015: passes what is positive where the way up was above 0",
    "gradient": "Simonyan et al. 2014: passes both signs where the way up was above 0",
}
"""How other rules differ from the deconvnet's."""


def heading(rules: Sequence[str], rule: str) -> str:
    """What stands above the pictures of one of the rules."""
    return "projections" if rules == ["deconvnet"] else WORDS[rule].removeprefix("the ")


def painted_by(rules: Sequence[str]) -> str:
    """The rules in words: the deconvnet and guided backpropagation."""
    return " and ".join(WORDS[rule] for rule in rules)


def caution(rules: Sequence[str]) -> str:
    """The sentence on rules that are not the paper's; empty where there is none."""
    others = [rule for rule in rules if rule in WAYS]
    if not others:
        return ""
    words = painted_by(others)
    methods = "are other methods" if len(others) > 1 else "is another method"
    return f" {words[0].upper()}{words[1:]} {methods} than the paper's."


def rule_choices(rules: Sequence[str]) -> dict[str, str]:
    """What a sidecar says of other rules; {} where the deconvnet's is the only one.

    Without the deconvnet's, its engine and rectification do not hold either.
    """
    if rules == ["deconvnet"]:
        return {}
    said = "; ".join(f"{rule} ({WAYS[rule]})" if rule in WAYS else rule for rule in rules)
    if "deconvnet" in rules:
        return {"rule": said}
    own = {"engine": VJP, "relu": "see rule", "contrast_normalisation": "its own derivative"}
    return own | {"rule": said}
