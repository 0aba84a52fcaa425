"""Overlap of a network's training images with those it is probed on: test images must be unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deconv.data import DRAWN, Squares, train_and_test
from deconv.errors import DeconvError
from deconv.studies.probes.folds import Fold
from deconv.training.snapshots import Snapshot, is_code


def trained_on(snapshot: Snapshot) -> str | None:
    """Name the data set that a network was trained on; for an image folder also the folder.

    None if it is not known, or there is none.
    """
    settings = snapshot.config.get("settings", {}).get("data", {})
    name = snapshot.config.get("data")
    root = settings.get("root") if name == "imagefolder" else None
    return f"{name} {Path(root).name}" if root else name


def untrained(snapshot: Snapshot) -> bool:
    """Whether it holds a network of random weights, which was built to be looked at."""
    told, code = snapshot.config, is_code(snapshot.recipe.get("name"))
    return not told.get("data") and told.get("weights", "") is None and not code


def training_in_words(snapshot: Snapshot) -> str:
    """Say what a network was trained on, as far as it is known."""
    if there := trained_on(snapshot):
        return f"trained on {there}"
    if untrained(snapshot):
        return "random weights"
    return f"weights {snapshot.config.get('weights') or 'of its own'}"


def seen_images(
    snapshot: Snapshot, name: str, settings: Mapping[str, Any], data: Squares, folds: Sequence[Fold]
) -> dict[str, Any]:
    """Describe which images of a data set the network was trained on.

    Args:
        name: of the data set, as from `trained_on`.
        settings: of the data set, without its location.
        data: its images; only their labels are read.

    Returns:
        "seen" in words; "caveat" if a caption must mention it; "data_settings" of the network.

    Raises:
        DeconvError: naming the fold, if the network was trained on test images.
    """
    there, theirs = trained_on(snapshot), snapshot.config.get("data_settings")
    if there is None:
        return {"seen": f"the network has {training_in_words(snapshot)}"}
    if there != name:
        return {"seen": f"the network was trained on {there}, another data set"}
    whose = f"{snapshot.recipe['name']} of {there} was trained"
    if not theirs:
        return {
            "seen": f"{whose} on images of that data set, it is not known on which, so its test "
            "images may be among them",
            "caveat": True,
        }
    if settings["name"] in DRAWN:
        return {"seen": f"{whose} {_share_seen(theirs, data, folds)}", "caveat": True}
    if theirs == settings:
        return {"seen": f"the network was trained on 'train' of {there}; this is its 'val'"}
    return {
        "seen": f"{whose} with other settings of its data, so some test images may be among those "
        "that it was trained on",
        "caveat": True,
        "data_settings": theirs,
    }


def _share_seen(theirs: Mapping[str, Any], data: Squares, folds: Sequence[Fold]) -> str:
    chosen = (theirs[key] for key in ("train_per_class", "test_per_class", "seed"))
    seen = set(train_and_test(data.targets, data.classes, *chosen)["train"])
    for fold in folds:
        if both := seen & set(fold.test):
            raise DeconvError(
                f"the network was trained on {len(both)} of the {len(fold.test)} test images of "
                f"fold {fold.number} (split seed {fold.seed}): only the split that it was trained "
                f"beside is fair: one fold with the split seed {theirs['seed']}"
            )
    trained = {i for fold in folds for i in fold.train}
    return (
        f"on {len(seen & trained)} of the {len(trained)} images that the classifiers are trained "
        "on, and on no test image"
    )
