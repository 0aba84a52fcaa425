r"""How good a trained network is on a data set, by the ten-crop average or the centre crop.

    python -m experiments.evaluate snapshot=<run>/last.pt data=caltech101 data.root=<folder>
    python -m experiments.evaluate model=torchvision/squeezenet1_0 model.weights=DEFAULT \
        data=imagefolder data.root=<folder of some or all of ImageNet's class folders>
    torchrun --nproc-per-node=8 -m experiments.evaluate snapshot=<run>/last.pt data=imagenet …

Paper: Tables 2 and 3 are errors on ImageNet's validation set, Table 4 mean accuracy per class. How
it tests is not stated; ten crops are AlexNet's way (Krizhevsky et al. 2012, §4.1).
Expected at size=paper: 38.4 % top-1 and 16.5 % top-5 error (Table 2).

Writes table.csv (one row), config.yaml and provenance.json; sweeps compare the top-1 error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from deconv.data.relabelled import Relabelled
from deconv.errors import DeconvError
from deconv.training.evaluation import PRECISIONS, TEST_CROPS, evaluate
from experiments.kit import Result, Settings, Subject, check_name, experiment, log
from experiments.kit.facts import data_facts
from experiments.kit.inputs import data_name, data_settings
from experiments.kit.printed import top1


@dataclass
class Evaluation(Settings):
    of_training: ClassVar = True
    snapshot: str | None = None  # the network: a run's last.pt or another of its snapshots; null:
    # that of model=… model.weights=…
    split: str = "val"  # train, val or test
    crops: str = "ten"  # ten sub-crops of each image, averaged (as AlexNet), or centre
    precision: str = "auto"  # bf16 where the processor has it, else fp32

    def __post_init__(self) -> None:
        check_name("way to crop", self.crops, TEST_CROPS)
        check_name("precision", self.precision, PRECISIONS)


def check(cfg: Evaluation, it: Subject) -> None:
    """Raise DeconvError without a network, and if the images are not of its classes."""
    if it.given is None:
        raise DeconvError("a network has to be given: snapshot=… or model=… model.weights=…")
    if not it.knows_classes:
        raise DeconvError(
            f"{data_name(cfg)} has {len(it.data.classes)} classes, which are not the "
            f"{len(it.snapshot.classes)} that the network was trained on"
        )


def compute(cfg: Evaluation, it: Subject) -> Result:
    """Evaluate the network on cfg.split of cfg.data."""
    view, batch = TEST_CROPS[cfg.crops]
    crops = view(Relabelled(it.data, it.snapshot.classes), it.snapshot.mean, it.net.input_px)
    log(f"evaluating {it.net.name} on {len(it.data)} images of {data_name(cfg)} ({cfg.split})")
    accuracy = evaluate(it.net, it.loader(crops, batch), cfg.precision)
    error = 100 - accuracy.top1
    log(
        f"{top1(error, cfg.crops, 2)}, top-5 error {100 - accuracy.top5:.2f} %, "
        f"mean accuracy per class {accuracy.mean_class:.2f} %"
    )
    row = {"crops": cfg.crops, "images": len(it.data), "epoch": it.snapshot.epoch}
    row |= asdict(accuracy)
    data = data_facts(cfg, cfg.split, it.data) | {"settings": data_settings(cfg)}
    facts = {"data": data, "precision": cfg.precision, "metrics": row}
    return Result(facts, tables={"table": [row]}, number=error)


main = experiment(Evaluation, compute, check=check, number="top-1 error (%)")

if __name__ == "__main__":
    main()
