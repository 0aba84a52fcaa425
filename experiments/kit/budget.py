"""How much time a run of several steps may take, and which of them it leaves out for that."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from deconv.errors import DeconvError

FILE = Path(__file__).parent.parent / "results" / "seconds.json"
"""Seconds of each step at one size on two idle cores, written by scripts/results.py."""


def usual_seconds(size: str) -> Mapping[str, float]:
    """Step -> its seconds on two idle cores at a size; {} where none were kept."""
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    return kept["seconds"] if kept.get("size") == size else {}


@dataclass
class Budget:
    """The time of a run.

    minutes: in all; None: no limit. usual: step -> seconds on two idle cores. slow: by how much
    longer steps take on this machine, as far as is known.
    """

    minutes: float | None = None
    usual: Mapping[str, float] = field(default_factory=dict)
    slow: float = 1.0
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.minutes is not None and not self.minutes > 0:
            raise DeconvError(f"minutes={self.minutes}: give more than 0, or null for no limit")

    def left_s(self) -> float:
        """Seconds that are left."""
        return inf if self.minutes is None else 60 * self.minutes - (time.monotonic() - self.began)

    def expected_s(self, step: str) -> float:
        """Seconds that a step takes here; 0 where nothing is known of it."""
        return self.usual.get(step, 0.0) * self.slow

    def allows(self, step: str) -> bool:
        """Whether a step is expected to end in time."""
        return self.left_s() > 0 and self.expected_s(step) <= self.left_s()

    def share_s(self, step: str, others: Iterable[str]) -> float:
        """The part of the time left that a step may take, so that the `others` can follow."""
        own = self.usual.get(step, 0.0)
        total = own + sum(self.usual.get(one, 0.0) for one in others)
        return self.left_s() * (own / total if own else 1.0)

    def learn(self, step: str, seconds: float, share: float = 1.0) -> None:
        """Learn from what a step took how slow this machine is now; share: of it that was done."""
        if self.usual.get(step) and share > 0:
            self.slow = seconds / (self.usual[step] * share)
