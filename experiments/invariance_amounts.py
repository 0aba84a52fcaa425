"""The amounts of Figure 5's transforms: from ranges in the settings to numbers at an input size.

In: the settings and the network's input size. Out: pixels, factors or degrees; DeconvErrors for
ranges that are none.
"""

from __future__ import annotations

import numpy as np
from omegaconf import DictConfig

from deconv.errors import DeconvError

MOST_AMOUNTS = 1000


def amounts(cfg: DictConfig, kind: str, input_px: int) -> np.ndarray:
    """The amounts of a transform, ascending: pixels at `input_px`, factors or degrees."""
    three = cfg[kind]
    if len(three) != 3 or not all(isinstance(n, int | float) for n in three):
        raise DeconvError(f"{kind} takes [from,to,step], got {three}")
    first, last, step = three
    if not (step > 0 and first <= last and (last - first) / step < MOST_AMOUNTS):
        raise DeconvError(
            f"{kind}={list(three)}: needs from <= to, a step above 0 and at most {MOST_AMOUNTS} "
            "steps"
        )
    values = first + step * np.arange(int((last - first) / step + 1e-6) + 1)
    return np.unique(_at_input(cfg, kind, values, input_px).round(9))


def example_amounts(cfg: DictConfig, kind: str, input_px: int) -> np.ndarray:
    """The amounts that are shown as pictures, as `amounts`."""
    values = cfg.examples[kind]
    if not values or not all(isinstance(n, int | float) for n in values):
        raise DeconvError(f"examples.{kind} takes a list of numbers, got {values}")
    return _at_input(cfg, kind, np.array(values, dtype=float), input_px)


def _at_input(cfg: DictConfig, kind: str, values: np.ndarray, input_px: int) -> np.ndarray:
    """Translations for another input size, in whole pixels; everything else as it is."""
    if kind != "translation" or cfg.reference_px in (0, input_px):
        return values
    return np.rint(values * input_px / cfg.reference_px)
