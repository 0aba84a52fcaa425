"""How to train: the recipe of §3 as data, checked when it is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deconv.data.crops import CROPS
from deconv.errors import DeconvError, unknown
from deconv.training.evaluation import PRECISIONS, TEST_CROPS

PAPER_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)
"""The snapshots of Figure 4."""

SCHEDULES = ("plateau", "fixed", "cosine")
OPTIMIZERS = ("sgd", "adamw")


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's (§3); what it leaves open is marked X.

    epochs, batch_size, lr, momentum: §3. The batch is the one over all processes.
    optimizer: "sgd" with momentum (§3); "adamw" (Loshchilov & Hutter 2019, β = momentum and
        0.999). Differs from paper: "adamw".
    weight_decay: X, not mentioned in the paper.
    schedule: when the rate falls. §3: lowered by hand when the validation error stalls.
        "plateau" (X: the rule): times lr_factor when `patience` validations in a row have not
        brought the top-1 error `min_improvement` percentage points under its best, at most
        max_drops times (AlexNet: three). It reads the validation error; where that is also the
        test error, "fixed" keeps the two apart.
        "fixed": times lr_factor after each epoch of lr_drops.
        "cosine": a half cosine from lr to 0. Differs from paper.
    warmup_epochs: the rate rises in a straight line during them. Differs from paper if not 0.
    label_smoothing: share of the target spread over all classes. Differs from paper if not 0.
    max_rms: a convolutional filter whose root mean square exceeds this is scaled back to it after
        each update (X: how often); None never does, as in Figure 6 (a).
    crops: see `deconv.data.TrainingCrops`.
    test_crops: what the trained network is tested on after the last epoch, "ten" sub-crops of
        each image or the "centre" alone (X). Validation between epochs always takes the centre.
    precision: "bf16" runs under autocast; "auto" does so where that is fast.
    channels_last: memory layout of images and filters; several times as fast.
    compile: run through torch.compile.
    eval_every: epochs between validations (the last epoch always has one).
    snapshot_epochs: epochs whose snapshot is never deleted; Figure 4's.
    keep_last: how many of the newest snapshots are kept beside them.
    save_steps: updates between snapshots within an epoch; 0 saves at the ends of epochs alone.
    workers: processes that load images. They do not change the result.
    seed: of order, crops and dropout.
    """

    epochs: int = 70
    batch_size: int = 128
    optimizer: str = "sgd"
    lr: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "plateau"
    lr_factor: float = 0.1
    lr_drops: tuple[int, ...] = ()
    patience: int = 10
    min_improvement: float = 0.1
    max_drops: int = 3
    warmup_epochs: int = 0
    label_smoothing: float = 0.0
    max_rms: float | None = 0.1
    crops: str = "ten"
    test_crops: str = "ten"
    precision: str = "fp32"
    channels_last: bool = True
    compile: bool = False
    eval_every: int = 1
    snapshot_epochs: tuple[int, ...] = PAPER_EPOCHS
    keep_last: int = 2
    save_steps: int = 0
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("lr_drops", "snapshot_epochs"):
            if isinstance(epochs := getattr(self, name), list):
                object.__setattr__(self, name, tuple(epochs))
        for name, what, valid in (
            ("precision", "precision", PRECISIONS),
            ("crops", "way to crop", CROPS),
            ("schedule", "schedule", SCHEDULES),
            ("optimizer", "optimizer", OPTIMIZERS),
            ("test_crops", "crops to test on", TEST_CROPS),
        ):
            if getattr(self, name) not in valid:
                raise unknown(what, getattr(self, name), valid)
        for names, kind, low in (
            (("epochs", "batch_size", "eval_every", "keep_last", "patience"), int, 1),
            (("workers", "seed", "save_steps", "warmup_epochs", "max_drops"), int, 0),
            (("lr", "lr_factor"), float, 1e-30),
            (("momentum", "weight_decay", "label_smoothing", "min_improvement"), float, 0),
        ):
            for name in names:
                self._check_number(name, kind, low)
        if self.max_rms is not None:
            self._check_number("max_rms", float, 1e-30)
        if self.label_smoothing >= 1:
            raise DeconvError(f"label_smoothing must be below 1, got {self.label_smoothing!r}")
        for name in ("channels_last", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise DeconvError(f"{name} is true or false, got {getattr(self, name)!r}")
        for name in ("lr_drops", "snapshot_epochs"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(v, int) for v in value):
                raise DeconvError(f"{name} takes a list of epochs, got {value!r}")
        if self.lr_drops and self.schedule != "fixed":
            raise DeconvError(
                f"lr_drops={list(self.lr_drops)} belong to schedule=fixed, not to "
                f"schedule={self.schedule}: set one of the two"
            )

    def _check_number(self, name: str, kind: type, low: float) -> None:
        value = getattr(self, name)
        numbers = int if kind is int else int | float
        if isinstance(value, bool) or not isinstance(value, numbers) or not value >= low:
            least = "positive" if low else "0 or more"
            raise DeconvError(f"{name} must be {least} ({kind.__name__}), got {value!r}")


def recipe_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, for a snapshot."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(recipe).items()}
