"""Training settings (§3), validated on construction."""

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
    """Training settings. Defaults are the paper's (§3); X marks what the paper does not state.

    Attributes:
        epochs, lr, momentum: §3.
        batch_size: images per update over all processes (§3).
        optimizer: "sgd" with momentum (§3) or "adamw" (Loshchilov & Hutter 2019, β = momentum and
            0.999). Differs from paper: "adamw".
        weight_decay: X.
        schedule: when the learning rate drops. §3: by hand, when the validation error stalls.
            "plateau" (the rule is X): times `lr_factor` when `patience` validations in a row did
            not lower the best top-1 error by `min_improvement` percentage points; at most
            `max_drops` times (AlexNet: three). It reads the validation error; where that is also
            the test error, use "fixed".
            "fixed": times `lr_factor` after each epoch in `lr_drops`.
            "cosine": half a cosine from `lr` to 0. Differs from paper.
        warmup_epochs: epochs of linear warm-up. Differs from paper if not 0.
        lr_factor: what a drop multiplies the learning rate by.
        lr_drops: epochs after which it drops with "fixed".
        patience: validations without progress before a drop with "plateau".
        min_improvement: percentage points of the top-1 error that count as progress.
        max_drops: most drops with "plateau".
        label_smoothing: target probability spread over all classes. Differs from paper if not 0.
        max_rms: after each update (X: how often) a convolutional filter with a larger RMS is
            scaled back to it; None: never, as in Figure 6 (a).
        crops: see `deconv.data.TrainingCrops`.
        test_crops: "ten" or "centre" (X) for the test after the last epoch. Validation between
            epochs always uses the centre crop.
        precision: "bf16" uses autocast; "auto" does so on hardware with fast bfloat16.
        channels_last: memory layout of images and filters; several times as fast.
        compile: whether to run through torch.compile.
        eval_every: epochs between validations; the last epoch is always validated.
        snapshot_epochs: epochs whose snapshots are kept for good, as far as the run goes; by
            default Figure 4's.
        keep_last: how many of the newest snapshots are kept besides.
        save_steps: updates between snapshots within an epoch; 0: at the ends of epochs only.
        workers: data-loading processes; the result does not depend on their number.
        seed: of data order, crops and dropout.
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
                raise DeconvError(f"{name} must be true or false, got {getattr(self, name)!r}")
        for name in ("lr_drops", "snapshot_epochs"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not all(isinstance(v, int) for v in value):
                raise DeconvError(f"{name} takes a list of epochs, got {value!r}")
            object.__setattr__(self, name, tuple(value))
        if self.lr_drops and self.schedule != "fixed":
            raise DeconvError(
                f"lr_drops={list(self.lr_drops)} belong to schedule=fixed, not to "
                f"schedule={self.schedule}: change one of the two"
            )

    def _check_number(self, name: str, kind: type, low: float) -> None:
        value = getattr(self, name)
        numbers = int if kind is int else int | float
        if isinstance(value, bool) or not isinstance(value, numbers) or not value >= low:
            least = "positive" if low else "0 or more"
            raise DeconvError(f"{name} must be {least} ({kind.__name__}), got {value!r}")


def recipe_dict(recipe: Recipe) -> dict[str, Any]:
    """Convert to plain data for a snapshot."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(recipe).items()}
