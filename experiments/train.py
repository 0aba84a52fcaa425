"""Train a network and keep its snapshots (§3 of the paper).

    python -m experiments.train size=laptop
    python -m experiments.train model=zfnet data=caltech101 data.root=<folder> train=paper
    python -m experiments.train resume=<run folder> train.epochs=90
    torchrun --nproc-per-node=8 -m experiments.train size=paper data.root=<folder>

Cost: laptop about 5 minutes on 2 CPU cores; paper: 70 epochs of ImageNet (12 days on a GTX 580 in
the paper). Expected at size=paper: 38.4 % top-1 and 16.5 % top-5 validation error (Table 2).

Writes metrics.csv (one row per epoch), snapshots epoch_NNN.pt with last.pt as a link to the newest,
their checksums, weights as safetensors, config.yaml and provenance.json.
SIGTERM, SIGUSR1 and Ctrl-C save after the update in progress and end with exit status 75.
Under torchrun send SIGTERM alone, to torchrun: it passes that on, and its exit status is its own,
not 75. It passes SIGUSR1 on to nobody and dies of it, and its processes stay behind; where a
cluster sends SIGUSR1, start the processes with srun, which gives 75, as scripts/train.sbatch does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from deconv import distributed
from experiments.kit import Command, Settings
from experiments.kit.provenance import write_provenance
from experiments.kit.training import train_network


@dataclass
class Train(Settings):
    resume: str | None = None  # a run's folder, to go on; then only epochs and such may change
    changed_data: bool = False  # go on although the data set is not as it was
    watch_images: int = 64  # validation images that the pictures look for dead maps on


def run(config: DictConfig, cfg: Train, folder: Path) -> float | None:
    """Train, and return the last validation error in percent."""
    snapshot = train_network(config, folder)
    facts = {"epochs": snapshot.epoch, "metrics": snapshot.metrics}
    if distributed.rank() == 0:
        write_provenance(folder, snapshot.network(), snapshot.config | facts)
    return snapshot.metrics.get("val_top1_error")


main = Command(run, Train, "top-1 error (%), validation, centre crop")

if __name__ == "__main__":
    main()
