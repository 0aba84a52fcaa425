"""Train a network and keep its snapshots (§3 of the paper).

    python -m experiments.train size=laptop
    python -m experiments.train model=zfnet data=caltech101 data.root=<folder> train=paper
    python -m experiments.train resume=<run folder> train.epochs=90
    torchrun --nproc-per-node=8 -m experiments.train size=paper data.root=<folder>

Writes metrics.csv (a row an epoch), snapshots epoch_NNN.pt with last.pt as a link to the newest,
their checksums, weights as safetensors, config.yaml and provenance.json.
SIGTERM, SIGUSR1 and Ctrl-C save after the update in progress and end with exit status 75.
Under torchrun send SIGTERM alone, to torchrun: it passes that on, and its exit status is its own,
not 75. It passes SIGUSR1 on to nobody and dies of it, and its processes stay behind; where a
cluster sends SIGUSR1, start the processes with srun, which gives 75, as scripts/train.sbatch does.
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from deconv import distributed
from experiments.kit.command import experiment
from experiments.kit.provenance import write_provenance
from experiments.kit.training import train_network


@experiment("train")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train cfg.model on cfg.data by cfg.train."""
    snapshot = train_network(cfg, folder)
    facts = {"epochs": snapshot.epoch, "metrics": snapshot.metrics}
    if distributed.rank() == 0:
        write_provenance(folder, snapshot.network(), snapshot.config | facts)


if __name__ == "__main__":
    main()
