"""How good a trained network is on a data set, by the ten-crop average or the centre crop.

    python -m experiments.evaluate snapshot=<run>/last.pt data=caltech101 data.root=<folder>
    torchrun --nproc-per-node=8 -m experiments.evaluate snapshot=<run>/last.pt data=imagenet …

Paper: Tables 2 and 3 are errors on ImageNet's validation set, Table 4 mean accuracy per class. How
it tests is not stated; ten crops are AlexNet's way (Krizhevsky et al. 2012, §4.1).

Writes table.csv (one row), config.yaml and provenance.json.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import SPLITS, CentreCrops, TenCrops
from deconv.errors import DeconvError, unknown
from deconv.training.evaluation import PRECISIONS, evaluate
from deconv.training.snapshots import load_snapshot
from experiments.kit.command import experiment
from experiments.kit.inputs import data_name, data_settings, device, log, squares, workers
from experiments.kit.provenance import write_provenance, write_table

CROPS = {"ten": (TenCrops, 8), "centre": (CentreCrops, 32)}
"""Way to crop -> (its data set, images a batch)."""


@experiment("evaluate")
def main(cfg: DictConfig, folder: Path) -> None:
    """Evaluate the snapshot's network on cfg.split of cfg.data."""
    for kind, name, valid in (
        ("way to crop", cfg.crops, CROPS),
        ("precision", cfg.precision, PRECISIONS),
        ("split", cfg.split, SPLITS),
    ):
        if name not in valid:
            raise unknown(kind, name, valid)
    if OmegaConf.is_missing(cfg, "snapshot"):
        raise DeconvError("name the network: snapshot=<run folder>/last.pt")
    snapshot = load_snapshot(cfg.snapshot, cfg.model.name)
    net = snapshot.network().to(device(cfg))
    data = squares(cfg, cfg.split, snapshot.mean.shape[-1])
    if list(data.classes) != snapshot.classes:
        raise DeconvError(
            f"{data_name(cfg)} has {len(data.classes)} classes, which are not the "
            f"{len(snapshot.classes)} that the network was trained on"
        )
    view, batch = CROPS[cfg.crops]
    crops = view(data, snapshot.mean, net.input_px)
    log(f"evaluating {net.name} on {len(data)} images of {data_name(cfg)} ({cfg.split})")
    loader = DataLoader(distributed.Share(crops, batch), batch_size=batch, num_workers=workers(cfg))
    accuracy = evaluate(net, loader, cfg.precision)
    if distributed.rank() > 0:
        return
    row = {"crops": cfg.crops, "images": len(data), "epoch": snapshot.epoch} | asdict(accuracy)
    write_table(folder / "table.csv", [row])
    log(
        f"top-1 error {100 - accuracy.top1:.2f} %, top-5 error {100 - accuracy.top5:.2f} %, "
        f"mean accuracy per class {accuracy.mean_class:.2f} %"
    )
    facts = {
        "data": {
            "name": data_name(cfg),
            "split": cfg.split,
            "images": len(data),
            "fingerprint": data.fingerprint(),
            "settings": data_settings(cfg),
        },
        "training": {key: snapshot.config.get(key) for key in ("data", "data_fingerprint")},
        "precision": cfg.precision,
        "metrics": row,
    }
    write_provenance(folder, net, facts)


if __name__ == "__main__":
    main()
