"""Turns `run(cfg, folder)` into a command: Hydra's configuration, readable errors, one folder."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from deconv import distributed
from deconv.errors import DataMissing, DeconvError, Interrupted, unknown
from deconv.networks import is_foreign

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
EXIT_BAD_INPUT = 2
EXIT_NO_DATA = 66
"""A data set is not on this machine; sysexits.h calls it no input."""
EXIT_INTERRUPTED = 75
"""Stopped by a signal with all saved; sysexits.h calls it a temporary failure: try again."""

OmegaConf.register_new_resolver("first_of", lambda *values: next(filter(None, values)))


def experiment(stem: str) -> Callable[[Callable[[DictConfig, Path], None]], Callable[[], None]]:
    """Decorate `run(cfg, folder)` of experiments/<stem>.py; the result is the command's main().

    The folder is new, under outputs/<stem>/, or that of `resume`; its path is the last line on
    standard output. The whole configuration is written to folder/config.yaml, unless the folder
    is one that something else wrote before. A DeconvError ends the command with its message on
    standard error and exit status 2, or 66 where a data set is not on this machine, and leaves no
    empty folder; Interrupted ends it with exit status 75. Under torchrun every process runs,
    process 0 under Hydra, and the others in its folder.
    """

    def decorate(run: Callable[[DictConfig, Path], None]) -> Callable[[], None]:
        def guarded(cfg: DictConfig, folder: Path, fresh: bool) -> None:
            try:
                run(cfg, folder)
            except (DeconvError, OSError) as error:
                if fresh:
                    _leave_no_empty(folder)
                missing = isinstance(error, DataMissing)
                _exit(message(error), EXIT_NO_DATA if missing else EXIT_BAD_INPUT)
            except Interrupted as reason:
                print(reason, file=sys.stderr, flush=True)
                sys.exit(EXIT_INTERRUPTED)

        @functools.wraps(run)
        def job(cfg: DictConfig) -> None:
            with_names(cfg)
            folder = Path(distributed.from_first(HydraConfig.get().runtime.output_dir))
            fresh = not any(folder.iterdir())
            if fresh:
                OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
            guarded(cfg, folder, fresh)
            print(folder, flush=True)

        def main() -> None:
            sys.argv[1:] = arguments = expand(sys.argv[1:])
            try:
                check_overrides(stem, arguments)
                check_folder(arguments)
                with distributed.group():
                    if distributed.rank() == 0:
                        start = hydra.main(
                            version_base="1.3", config_path=str(CONF), config_name=stem
                        )
                        start(job)()
                    else:
                        cfg = compose(stem, arguments)
                        guarded(cfg, Path(distributed.from_first(None)), fresh=False)
            except (DeconvError, OSError) as error:
                _exit(str(error), EXIT_BAD_INPUT)

        return main

    return decorate


def _exit(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def _leave_no_empty(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    if names <= {"config.yaml", ".lock"}:
        for name in names:
            (folder / name).unlink()
        folder.rmdir()


def check_folder(arguments: Iterable[str]) -> None:
    """Raise DeconvError if `resume=` names no folder, before anything makes it."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        value = value.strip("'\"")
        if key == "resume" and value not in ("", "null") and not Path(value).is_dir():
            raise DeconvError(f"there is no run folder {value} to go on with")


def message(error: Exception) -> str:
    """What went wrong, also where a worker process of a DataLoader wrapped it in its traceback."""
    return str(error).rsplit(f"{DeconvError.__module__}.{DeconvError.__name__}: ", 1)[-1].strip()


def expand(arguments: Iterable[str]) -> list[str]:
    """Arguments in which `model=timm/<name>` and the like are written out for Hydra.

    Foreign networks have no file of their own each in conf/model: `foreign` stands for all.
    """
    out = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "model" and is_foreign(value):
            out += ["model=foreign", f"model.name='{value}'"]
        else:
            out.append(argument)
    return out


def compose(stem: str, overrides: Iterable[str] = ()) -> DictConfig:
    """The configuration that `python -m experiments.<stem> <overrides>` would run with."""
    overrides = expand(overrides)
    overrides = list(overrides)
    running, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return with_names(hydra.compose(stem, overrides=overrides))
    except HydraException as error:
        raise DeconvError(
            f"cannot read {' '.join(overrides)}: {str(error).splitlines()[0]}. Quote values with "
            "special characters for Hydra, and write $HOME instead of ~"
        ) from error
    finally:
        GlobalHydra.instance().hydra = running


LAYERS = ("layer", "layers", "page")
"""The settings that name layers of a network."""


def with_names(cfg: DictConfig) -> DictConfig:
    """The same configuration, its layers by number written as text: Hydra reads 20 as a number,
    and tables and files are named by layer."""
    for key in LAYERS:
        if key in cfg:
            cfg[key] = _as_names(cfg[key])
    return cfg


def _as_names(value: object) -> object:
    if isinstance(value, ListConfig):
        return [_as_names(one) for one in value]
    return str(value) if type(value) is int else value


HYDRA_OPTIONS = ("--cfg", "-c", "--info", "-i", "--package", "-p")


def check_overrides(stem: str, arguments: list[str]) -> None:
    """Raise DeconvError for a group choice or key that does not exist, naming the nearest ones.

    Hydra's own message names neither; anything else about the arguments is left to Hydra.
    """
    multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    # The values of Hydra's own options, such as the "job" of --cfg job, are not settings.
    values = {a for flag, a in itertools.pairwise(arguments) if flag in HYDRA_OPTIONS}
    pairs = [a.partition("=") for a in arguments if a[:1] not in "-+~" and a not in values]
    choices, keys = [], []
    for key, equals, value in pairs:
        group = CONF / key
        if not equals:
            raise DeconvError(f"{key!r} is not a setting; write key=value")
        if group.is_dir():
            valid = [p.relative_to(group).with_suffix("").as_posix() for p in group.rglob("*.yaml")]
            for one in value.split(",") if multirun else [value]:
                if one not in valid:
                    raise unknown(key, one, sorted(valid))
            choices.append(f"{key}={value.split(',')[0]}")
        elif not key.startswith(("hydra.", "hydra/")):
            keys.append(key)
    if not keys:
        return
    base = compose(stem, choices)
    valid = sorted(_keys(base))
    for key in keys:
        if key not in valid:
            raise unknown("setting", key, valid)
    if not multirun:
        settings = [f"{key}={value}" for key, _, value in pairs if key in keys]
        check_kinds(base, compose(stem, choices + settings), keys)


NULLABLE: dict[str, type] = {
    "boxes": str,
    "coarse": str,
    "compare": str,
    "data.side_px": int,
    "data.test_per_class": int,
    "ensembles": DictConfig,
    "epochs_each": int,
    "images_root": str,
    "local": str,
    "map": int,
    "model.class_names": str,
    "model.dropout": float,
    "model.fc_width": int,
    "model.first_layer": str,
    "model.init": str,
    "model.input_px": int,
    "model.maps_345": ListConfig,
    "model.mean": ListConfig,
    "model.name": str,
    "model.norm": str,
    "model.num_classes": int,
    "model.std": ListConfig,
    "model.weights": str,
    "networks": ListConfig,
    "none": str,
    "norm": float,
    "ours": str,
    "overlap_root": str,
    "redraw": str,
    "response": str,
    "resume": str,
    "rows": ListConfig,
    "score_stride_px": int,
    "size_px": int,
    "snapshot": str,
    "symmetric": ListConfig,
    "stride_px": int,
    "train.max_rms": float,
    "train_per_class": int,
    "unit": ListConfig,
    "without": str,
}
"""The kinds of the settings that are null until somebody sets them."""


_KINDS: dict[type, str] = {
    ListConfig: "a list such as [1,2]",
    DictConfig: "a group of settings",
    float: "a number such as 0.01",
    int: "a whole number",
    bool: "true or false",
    str: "text",
}


def check_kinds(base: DictConfig, changed: DictConfig, keys: Iterable[str]) -> None:
    """Raise DeconvError for a setting of another kind (text for a number …) than in `base`."""
    for key in keys:
        had, got = OmegaConf.select(base, key), OmegaConf.select(changed, key)
        wanted = NULLABLE.get(key, type(had))
        if got is None and key in NULLABLE:
            continue
        if wanted is float and type(got) is int:
            continue
        if type(got) is not wanted:
            kind = _KINDS.get(wanted, wanted.__name__)
            raise DeconvError(f"{key} takes {kind}, got {got!r}")


def _keys(cfg: DictConfig, prefix: str = "") -> Iterable[str]:
    """Every dotted key of a configuration, those of groups included."""
    for key in cfg:
        name = f"{prefix}{key}"
        yield name
        value = None if OmegaConf.is_missing(cfg, key) else cfg._get_node(key)
        if isinstance(value, DictConfig):
            yield from _keys(value, f"{name}.")
