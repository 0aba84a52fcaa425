"""How often the renormalisation of filters acts, and when it begins to (§3, Figure 6 a).

    python -m experiments.renormalisation
    python -m experiments.renormalisation model=zfnet data=caltech101 train=paper updates=200

Paper: filters whose RMS exceeds 0.1 are scaled back to it; "crucial", mainly for layer 1, with
inputs in about ±128. Not stated: how often that happens. Here: a short training from the first
weights for each learning rate and each scale of the inputs, by the recipe of cfg.train otherwise.

Cost: as many updates as rates × scales × updates; laptop: 2 minutes on 2 CPU cores.

Writes table.csv, a row for each rate, scale and convolutional layer: the first update after which
a filter was over the limit (empty: none ever), how many filters were scaled back in all, the
largest RMS before scaling, and the training loss of the last update (nan: it was no longer
finite, in update `updates`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from deconv.data import mean_image
from deconv.errors import DeconvError
from deconv.studies.first_layers.renormalised import count_renormalised
from experiments.kit import Result, Settings, Subject, experiment, log
from experiments.kit.inputs import build_network, data_name, workers
from experiments.kit.provenance import write_table


@dataclasses.dataclass
class Renormalisation(Settings):
    rates: list[float] = dataclasses.field(
        default_factory=lambda: [0.005, 0.01, 0.02, 0.04]
    )  # learning rates to try
    scales: list[float] = dataclasses.field(default_factory=lambda: [0.5, 1.0, 2.0])
    # ^ what the inputs are multiplied by; 1: the paper's ±128
    updates: int = 100  # of each training

    def __post_init__(self) -> None:
        for name in ("rates", "scales"):
            values = getattr(self, name)
            if not values or min(values) <= 0:
                raise DeconvError(f"{name} takes a list of positive numbers, got {values}")
        if self.updates < 1:
            raise DeconvError(f"updates must be at least 1, got {self.updates}")
        if self.train.max_rms is None:
            raise DeconvError("train.max_rms=null has no limit to count by")


def compute(cfg: Renormalisation, it: Subject) -> Result:
    """Train for a little at each rate and scale, and count."""
    data = it.squares("train")
    mean = mean_image(data, workers(cfg))
    rows: list[dict[str, Any]] = []
    for scale in cfg.scales:
        for rate in cfg.rates:
            net = build_network(cfg, len(data.classes)).to(it.device)
            found = count_renormalised(net, data, mean, cfg.train, rate, scale, cfg.updates)
            rows += [{"scale": scale, "rate": rate} | row for row in found]
            write_table(it.folder / "table.csv", rows)  # complete so far, while others run
            log(f"rate {rate:g}, inputs × {scale:g}: {in_words(found)}")
    facts = {"data": {"name": data_name(cfg), "images": len(data)}, "max_rms": cfg.train.max_rms}
    return Result(facts, net=build_network(cfg, len(data.classes)))


def in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a training at one rate and scale found, for people."""
    parts = [
        f"{row['layer']} from update {row['first_update']} on, {row['filters_scaled']} filters"
        for row in rows
        if row["filters_scaled"]
    ]
    text = "; ".join(parts) or f"never (largest RMS {max(r['largest_rms'] for r in rows):.3f})"
    end = "the loss is no longer finite" if math.isnan(rows[0]["loss"]) else "finite"
    return f"{text}; {rows[0]['updates']} updates, {end}"


main = experiment(Renormalisation, compute)

if __name__ == "__main__":
    main()
