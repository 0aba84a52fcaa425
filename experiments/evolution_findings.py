"""Figure 4's claim, judged by when the layers settle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.kit.findings import Finding

FEWEST = 4
"""Fewer snapshots than this do not judge the claim."""


def judge(rows: Sequence[Mapping[str, Any]], threshold: float) -> Finding:
    """Whether lower layers settle first.

    rows: of turnover.csv, layers in order from below, as written or as read from the file.
    threshold: the turnover below which a layer counts as settled.
    """
    epochs = sorted({int(row["epoch"]) for row in rows})
    settled: dict[str, int | None] = {}
    for row in rows:
        known = settled.setdefault(row["layer"], None)
        if known is None and str(row["settled"]) == "True":
            settled[row["layer"]] = int(row["epoch"])
    names, when = list(settled), list(settled.values())
    first, last = when[0], when[-1]
    each = ", ".join(
        f"{name} {'never' if epoch is None else epoch}" for name, epoch in settled.items()
    )
    rule = (
        f"value: epochs from the snapshot at which {names[0]} has settled to that at which "
        f"{names[-1]} has; settled: from then on less than {threshold:g} of a map's nine strongest "
        f"images change from snapshot to snapshot ({each}; snapshots at "
        f"{', '.join(map(str, epochs))}); holds if {names[-1]} settles later than {names[0]}, or "
        "never, and no layer before one below it; how many epochs either takes is not judged"
    )
    value = None if first is None or last is None else float(last - first)
    never = max(epochs) + 1
    order = [never if epoch is None else epoch for epoch in when]
    holds = order[0] < order[-1] and order == sorted(order)
    if len(names) < 2 or len(epochs) < FEWEST or all(epoch is None for epoch in when):
        why = f"two layers, {FEWEST} snapshots and a layer that settles are needed"
        return Finding("fig4/lower_first", value, rule=f"{rule}; not judged: {why}")
    return Finding("fig4/lower_first", value, holds=holds, rule=rule)
