"""Figure 6's claims, judged: what dominates, what is dead, what aliases."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deconv.training.snapshots import Snapshot
from experiments.first_two_layers import FIRST, SECOND, unequal
from experiments.kit.findings import Finding

FEW = 0.1
"""Filters dominate if no larger share of them holds half of their layer's energy."""


def differences(ours: Snapshot, other: Snapshot, role: str) -> list[str]:
    """What a training differs in from that of `ours` beside what its role is about.

    role: "without", which has no limit of the RMS and else the same network; or "coarse", which
    has another network.
    """
    return unequal(ours, other, "max_rms" if role == "without" else "network")


def judge(
    rows: Sequence[dict[str, Any]],
    arrays: dict[str, np.ndarray],
    unequal: dict[str, list[str]],
    threshold: float,
) -> list[Finding]:
    """The claims of Figure 6. A comparison of trainings that are not equal is not judged.

    rows: of table.csv. arrays: <role>/conv2/aliased, of each map, and <role>/random_aliased, of
    each network with random weights, of "coarse" and "ours"; <role>/filters of "without" and
    "ours". threshold: cfg.faint. Dominance is not judged where the renormalisation never acted, so
    that both networks are one.
    """
    first = {row["network"]: row for row in rows if row["layer"] == FIRST}
    found = [dominating(first), dead(first, threshold), aliasing(arrays)]
    out = []
    for finding, role in zip(found, ("without", "coarse", "coarse"), strict=True):
        if unequal[role]:
            why = f"; not judged, as the trainings differ in {', '.join(unequal[role])}"
            finding = dataclasses.replace(finding, holds=None, rule=finding.rule + why)
        elif role == "without" and np.array_equal(
            arrays["without/filters"], arrays["ours/filters"]
        ):
            why = "; not judged, as no filter reached the limit and both networks are one"
            finding = dataclasses.replace(finding, holds=None, rule=finding.rule + why)
        out.append(finding)
    return out


def dominating(first: dict[str, dict[str, Any]]) -> Finding:
    """Whether a few filters dominate without renormalisation, and not with it."""
    share = {role: first[role]["filters_of_half"] / first[role]["maps"] for role in first}
    rule = (
        "value: the smallest share of layer 1's filters that holds half of its squared weights, "
        f"without renormalisation (with it: {share['ours']:.3f}); holds if that is at most {FEW:g} "
        "without and more with"
    )
    return Finding(
        "fig6/dominating",
        share["without"],
        holds=share["without"] <= FEW < share["ours"],
        rule=rule,
    )


def dead(first: dict[str, dict[str, Any]], threshold: float) -> Finding:
    """Whether the coarse first layer has the larger share of dead or faint filters."""
    share = {role: first[role]["dead_or_faint"] / first[role]["maps"] for role in first}
    kind = {
        role: f"{row['kernel']}×{row['kernel']}, stride {row['stride']}"
        for role, row in first.items()
    }
    rule = (
        "value: share of layer 1's filters that no image brings above 0 or whose RMS is below "
        f"{threshold:g} of the strongest's, of the coarse layer ({kind['coarse']}) minus "
        f"that of the fine one ({kind['ours']}: {share['ours']:.3f}); holds if above 0, not judged "
        "if neither layer has any"
    )
    lost = share["coarse"] - share["ours"]
    some = share["coarse"] + share["ours"] > 0
    return Finding("fig6/dead", lost, holds=lost > 0 if some else None, rule=rule)


def aliasing(arrays: dict[str, np.ndarray]) -> Finding:
    """Whether projections of layer 2 above the coarse layer hold more that its stride aliases.

    A larger stride aliases more of anything, so each share is taken relative to that of the same
    network with random weights; then a network that has learnt nothing does not differ.
    """
    means, variances = [], []
    for role in ("coarse", "ours"):
        shares, random = arrays[f"{role}/{SECOND}/aliased"], arrays[f"{role}/random_aliased"]
        shares = shares[~np.isnan(shares)] / random.mean()
        if len(shares) < 2:
            return Finding("fig6/aliasing", rule=f"{ALIASING}; not judged, as fewer than two live")
        means.append(shares.mean())
        variances += [shares.var(ddof=1) / len(shares), (random / random.mean()).var(ddof=1)]
    more, spread = float(means[0] - means[1]), 2 * math.sqrt(sum(variances))
    return Finding("fig6/aliasing", more, spread, more > spread, ALIASING)


ALIASING = (
    "value: share of the spectral energy of layer 2's projections above the Nyquist frequency of "
    "layer 1's stride, mean over live maps, relative to the same network with random weights, "
    "coarse minus fine; spread: two standard deviations, of these means and among random weights "
    "together; holds if the value exceeds its spread"
)
