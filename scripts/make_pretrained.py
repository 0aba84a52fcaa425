"""Make the trained network in the package, deconv/pretrained/zfnet_mini.safetensors.

    python scripts/make_pretrained.py [<run folder>]

Trains the small network on the built-in scenes as scripts/demo does, about 10 minutes on one core,
or takes the last snapshot of a run, and writes it in fp16. Fails if the rounding changes the
accuracy on the validation images, by centre crops, by more than 0.2 points.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

from torch.utils.data import DataLoader

from deconv.data import CentreCrops
from deconv.scenes import Scenes
from deconv.training.evaluation import evaluate
from deconv.training.snapshots import SHIPPED, Snapshot, load_snapshot, save_compact

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ("experiments.train", "size=laptop", "pictures=none")


def train() -> Path:
    """Run the training and return its folder."""
    done = subprocess.run(
        [sys.executable, "-m", *TRAIN], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return ROOT / done.stdout.splitlines()[-1]


def top1_error(snapshot: Snapshot) -> float:
    """Top-1 error in percent on the validation images of its own training."""
    settings = snapshot.config["data_settings"]
    scenes = Scenes(settings["val_images"], settings["val_seed"], snapshot.mean.shape[-1])
    net = snapshot.network()
    crops = CentreCrops(scenes, snapshot.mean, net.input_px)
    return 100 - evaluate(net, DataLoader(crops, batch_size=32)).top1


def main(folder: str | None = None) -> None:
    """Train, round, compare and write."""
    snapshot = load_snapshot((Path(folder) if folder else train()) / "last.pt")
    exact = top1_error(snapshot)
    path = SHIPPED / f"{snapshot.recipe['name']}.safetensors"
    metrics = snapshot.metrics | {"exact_top1_error": exact}
    save_compact(path, dataclasses.replace(snapshot, metrics=metrics))
    rounded = top1_error(load_snapshot(path))
    metrics |= {"rounded_top1_error": rounded}
    save_compact(path, dataclasses.replace(snapshot, metrics=metrics))
    print(f"top-1 error {exact:.2f} %, rounded {rounded:.2f} %; {path.stat().st_size} bytes")
    if abs(rounded - exact) > 0.2:
        sys.exit("the rounding changes the accuracy")
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
