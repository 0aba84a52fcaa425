"""Figure 6's claims, judged: what dominates, what is dead, what aliases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deconv.snapshots import Snapshot
from experiments.findings import Finding

FIRST, SECOND = "conv1", "conv2"
FEW = 0.1
"""Filters dominate if no larger share of them holds half of their layer's energy."""
IDLE = ("epochs", "snapshot_epochs", "keep_last", "save_steps", "eval_every", "test_crops")
IDLE += ("workers", "seed", "compile", "channels_last", "max_rms", "lr_drops")
"""Settings of a training that do not make two of them unequal, or are compared apart."""


def differences(one: Snapshot, other: Snapshot) -> list[str]:
    """What two trainings differ in beside the limit of the RMS and the network's first layers."""

    def course(snapshot: Snapshot) -> dict[str, Any]:
        recipe = snapshot.config.get("train", {})
        drops = [epoch for epoch in recipe.get("lr_drops", ()) if epoch < snapshot.epoch]
        facts = {"epochs": snapshot.epoch, "images": snapshot.config.get("data_fingerprint")}
        facts |= {name: value for name, value in recipe.items() if name not in IDLE}
        return facts | {"lr_drops": drops}

    left, right = course(one), course(other)
    return sorted(name for name in left | right if left.get(name) != right.get(name))


def judge(
    rows: Sequence[dict[str, Any]],
    arrays: dict[str, np.ndarray],
    unequal: dict[str, list[str]],
    threshold: float,
) -> list[Finding]:
    """The claims of Figure 6. A comparison of trainings that are not equal is not judged.

    rows: of table.csv. arrays: <role>/conv2/aliased of "coarse" and "ours". threshold: cfg.faint.
    """
    first = {row["network"]: row for row in rows if row["layer"] == FIRST}
    found = [dominating(first), dead(first, threshold), aliasing(arrays)]
    out = []
    for finding, role in zip(found, ("without", "coarse", "coarse"), strict=True):
        if unequal[role]:
            why = f"; not judged, as the trainings differ in {', '.join(unequal[role])}"
            finding = Finding(finding.key, finding.value, finding.spread, None, finding.rule + why)
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
    rule = (
        "value: share of layer 1's filters that no image brings above 0 or whose RMS is below "
        f"{threshold:g} of the strongest's, of the coarse layer minus that of the fine one "
        f"({share['ours']:.3f}); holds if above 0, not judged if neither layer has any"
    )
    lost = share["coarse"] - share["ours"]
    some = share["coarse"] + share["ours"] > 0
    return Finding("fig6/dead", lost, holds=lost > 0 if some else None, rule=rule)


def aliasing(arrays: dict[str, np.ndarray]) -> Finding:
    """Whether projections of layer 2 above the coarse layer hold more that its stride aliases."""
    shares = [arrays[f"{role}/{SECOND}/aliased"] for role in ("coarse", "ours")]
    shares = [values[~np.isnan(values)] for values in shares]
    rule = (
        "value: share of the spectral energy of layer 2's projections above the Nyquist frequency "
        "of layer 1's stride, mean over live maps, coarse minus fine; spread: two standard errors; "
        "holds if the value exceeds its spread"
    )
    if min(map(len, shares)) < 2:
        return Finding("fig6/aliasing", rule=rule + "; not judged, as fewer than two maps live")
    more = float(shares[0].mean() - shares[1].mean())
    spread = 2 * math.sqrt(sum(values.var(ddof=1) / len(values) for values in shares))
    return Finding("fig6/aliasing", more, spread, more > spread, rule)
