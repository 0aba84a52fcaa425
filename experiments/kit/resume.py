"""Going on with a run: its configuration stays, but for what does not define it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deconv.errors import DeconvError
from deconv.training import Recipe
from deconv.training.snapshots import is_code
from experiments.kit.command import compose
from experiments.kit.provenance import overrides
from experiments.kit.settings import typed

FREE = {
    "cache_dir",
    "changed_data",
    "data.bad_images",
    "data.cache",
    "data.download",
    "data.partial",
    "data.root",
    "data.workers",
    "device",
    "group_timeout_s",
    "pictures",
    "resume",
    "train.epochs",
    "train.eval_every",
    "train.keep_last",
    "train.save_steps",
    "train.snapshot_epochs",
    "train.test_crops",
    "train.workers",
    "watch_images",
}
"""What may change when a run goes on: how long it runs, where it finds things, what it shows."""

GROUPS = {"size": ("model", "data", "train"), "model": ("model",), "data": ("data",)} | {
    "train": ("train",)
}


NOT_OURS = (
    "not what this version saves; nothing of them was run. Unless another version wrote them, they "
    "may have been tampered with: load the weights alone, deconv.load_snapshot(<run>/last.pt)"
)


def go_on(
    saved: dict[str, Any],
    cfg: DictConfig,
    overrides: Iterable[str],
    may_change: Collection[str] = FREE,
    commit: str = "unknown",
) -> DictConfig:
    """The configuration `saved` in a run's snapshot, with what `overrides` ask for.

    cfg: the configuration that the overrides give together with the defaults, which do not count.
    may_change: the settings that may be otherwise than they were. commit: of the run's last start.
    Raises DeconvError with the differences if an override would make it another run.
    """
    _check_known(saved, commit)
    asked, explicit = dict(saved), _explicit(overrides, cfg)
    name = saved["model"].get("name")
    if is_code(name) and "model.name" not in explicit:
        raise DeconvError(
            f"to go on with the run would run the code {name}, which its snapshot names: have a "
            f"look at it, then name it yourself, by model.name='{name}'"
        )
    for key in explicit:
        value = OmegaConf.select(cfg, key)
        _set(asked, key, OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)
    before, after = _flat(saved), _flat(asked)
    free = set(may_change) - _bound(saved)
    wrong = [
        f"{key}: {before.get(key)} in the run, {after.get(key)} asked for"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key not in free and key != "size_name"
    ]
    if wrong:
        raise DeconvError(
            "these settings define the run and cannot change when it goes on:\n  "
            + "\n  ".join(wrong)
            + "\nLeave them out, or train anew without resume"
        )
    return OmegaConf.create(asked | {"resume": cfg.resume})


def saved_settings(
    stem: str, cfg: DictConfig, folder: Path, may_change: Collection[str]
) -> DictConfig:
    """The settings of `folder`, which an experiment with several trainings goes on with.

    Args:
        stem: of the experiment.
        cfg: the configuration of the command that goes on.
        folder: that of the experiment.
        may_change: as for `go_on`.
    Raises DeconvError if the folder is another experiment's or would become another run.
    """
    path = folder / "config.yaml"
    saved = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    if "figure" in cfg:  # how it looks defines no run
        saved["figure"] = OmegaConf.to_container(cfg.figure)
    if missing := sorted(cfg.keys() - saved.keys()):
        raise DeconvError(
            f"{folder} is not a folder of {stem}, or one of another version: its config.yaml has "
            f"no {missing[0]}; begin a new one, without resume="
        )
    asked = go_on(saved, cfg, overrides(), may_change)
    # Composed again, the groups have their kinds; what an older version saved beside is left out.
    kinds = compose(stem, [f"{group}={asked[group].name}" for group in ("model", "data")])
    return OmegaConf.merge(kinds, {key: asked[key] for key in kinds})


def _bound(saved: dict[str, Any]) -> set[str]:
    """Settings that define a run only under its schedule."""
    schedule = saved["train"]["schedule"]
    return {"cosine": {"train.epochs"}, "plateau": {"train.eval_every"}}.get(schedule, set())


def _check_known(saved: dict[str, Any], commit: str) -> None:
    """Raise DeconvError unless `saved` is the configuration of a training of this version."""
    known = {f.name for f in fields(Recipe)}
    recipe = saved.get("train") if isinstance(saved, dict) else None
    groups = {key: saved.get(key) for key in ("model", "data")} if recipe else {}
    if not all(isinstance(one, dict) for one in (recipe, *groups.values())) or "seed" not in saved:
        raise DeconvError("the run's snapshot holds no configuration to go on with")
    if differing := sorted(known ^ recipe.keys()):
        raise DeconvError(
            f"the run was trained by another version: settings of train differ "
            f"({', '.join(differing)}); go on with that version, commit {commit}"
        )
    for key, value in _flat(saved).items():
        if "_target_" in key.split(".") or "${" in str(value):
            raise DeconvError(f"the settings saved with the run hold {key}={value!r}, {NOT_OURS}")
    try:
        typed(OmegaConf.create(groups))
    except DeconvError as error:
        words = f"of the settings saved with the run: {error} They are {NOT_OURS}"
        raise DeconvError(words) from error


def _explicit(overrides: Iterable[str], cfg: DictConfig) -> list[str]:
    """The keys that overrides name, all those of a group where a group is chosen."""
    keys = []
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key in GROUPS:
            keys += [f"{group}.{name}" for group in GROUPS[key] for name in cfg[group]]
        elif not key.startswith(("hydra.", "hydra/", "-")):
            keys.append(key)
    return keys


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, without changing the dictionaries that `tree` shares with another."""
    head, _, rest = key.partition(".")
    if rest:
        tree[head] = dict(tree.get(head) or {})
        _set(tree[head], rest, value)
    else:
        tree[head] = value
