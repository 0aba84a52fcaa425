"""Train a network and keep its snapshots (§3 of the paper).

    python -m experiments.train size=laptop
    python -m experiments.train model=zfnet data=caltech101 data.root=<folder> train=paper

Writes metrics.csv (a row an epoch), epoch_NNN.pt and last.pt, config.yaml and provenance.json.
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from experiments.command import experiment
from experiments.common import train_network
from experiments.provenance import write_provenance


@experiment("train")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train cfg.model on cfg.data by cfg.train."""
    snapshot = train_network(cfg, folder)
    facts = {"epochs": snapshot.epoch, "metrics": snapshot.metrics}
    write_provenance(folder, snapshot.network(), snapshot.config | facts)


if __name__ == "__main__":
    main()
