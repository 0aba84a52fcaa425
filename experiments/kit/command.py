"""Turns an experiment into a command: Hydra reads the settings, errors become one line."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from deconv import distributed
from deconv.data.workers import worker_deaths
from deconv.errors import DataMissing, DeconvError, Interrupted
from deconv.standard_streams import show_all
from deconv.training import Recipe
from deconv.training.snapshots import load_snapshot
from experiments.kit import hydra_errors, sweeps
from experiments.kit.layer_settings import by_layer
from experiments.kit.setting_help import explained
from experiments.kit.settings import (
    DATA,
    Chain,
    Photographs,
    Settings,
    keys,
    register,
    register_foreign,
    typed,
)
from experiments.kit.training_data import trained_on

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
EXIT_BAD_INPUT = 2
EXIT_NO_DATA = 66
"""A data set is not on this machine; sysexits.h calls it no input."""
EXIT_INTERRUPTED = 75
"""Stopped by a signal with all saved; sysexits.h calls it a temporary failure: try again."""
EXIT_AT_ONCE = 130
"""Ctrl-C, the second one where the first saves; what a shell gives for SIGINT."""

OF_HYDRA = (HydraException, OmegaConfBaseException, YAMLError)
REFUSED = (DeconvError, OSError, *OF_HYDRA)
"""What ends a command with one line instead of a traceback."""

OmegaConf.register_new_resolver("first_of", lambda *values: next(filter(None, values)))
OmegaConf.register_new_resolver("letters", lambda: secrets.token_hex(2), use_cache=True)
register()
# Hydra copies the store for each composition and each group that --help lists: half of their time.
# It reads it only, and hands out copies of its nodes.
ConfigStore.__deepcopy__ = lambda store, memo: store

SETTINGS: dict[str, type[Settings]] = {}
"""Stem -> settings of the commands that are imported."""


def setting_help(stem: str) -> str:
    """What --help says of each setting, below the configuration."""
    parts = {"": SETTINGS[stem], "model.": Chain, "data.": Photographs, "train.": Recipe}
    words = "\n".join(explained(kind, prefix) for prefix, kind in parts.items())
    return "== Settings ==\n" + words.replace("$", "$$")


OmegaConf.register_new_resolver("setting_help", setting_help)


@dataclass(frozen=True)
class Command:
    """`python -m experiments.<stem>`; calling it runs it with the process's arguments.

    run: does the work with the settings, as Hydra has them and as a dataclass, in a folder, and
        may return a number for a sweeper to compare jobs by.
    settings: the dataclass of its settings, whose module is the experiment.
    number: what that number is, for the table of a sweep.
    """

    run: Callable[[DictConfig, Settings, Path], float | None]
    settings: type[Settings]
    number: str = "result"

    def __post_init__(self) -> None:
        about = inspect.getdoc(sys.modules[self.settings.__module__]) or ""
        SETTINGS[self.stem] = self.settings
        shown = {"app_name": self.stem, "header": about, "footer": f"${{setting_help:{self.stem}}}"}
        plain = {"job": {"name": self.stem}, "help": shown}
        node = OmegaConf.structured(self.settings)
        node.hydra = plain
        ConfigStore.instance().store(name=self.stem, node=node)

    @property
    def stem(self) -> str:
        """The file's name: with python -m the module's own is __main__."""
        return Path(inspect.getfile(sys.modules[self.settings.__module__])).stem

    def __call__(self) -> None:
        """Read the command line, run, end the process with an exit status unless all went well."""
        failures: list[BaseException] = []
        jobs: list[sweeps.Job] = []
        show_all()
        logging.raiseExceptions = False  # a log that finds no room is no reason to stop
        try:
            sys.argv[1:] = by_layer(sys.argv[1:])
            check_arguments(sys.argv[1:])
            with distributed.group(self._timeout_s()), _hydra_raises():
                if distributed.rank() == 0:
                    register_foreign(sys.argv[1:])
                    start = hydra.main(
                        version_base="1.3",
                        config_path=str(CONF),
                        config_name=configuration(self.stem, sys.argv[1:]),
                    )
                    start(functools.partial(self.job, failures=failures, jobs=jobs))()
                    if jobs:
                        print(sweeps.summary(jobs, self.number), flush=True)
                else:
                    cfg = typed(_composed_as_typed(self.stem))
                    try:
                        self._work(cfg, Path(distributed.from_first(None)))
                    except Interrupted:  # process 0 says it
                        sys.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:  # … --help | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except REFUSED as error:
            self.tell(error, failures, None)
        except KeyboardInterrupt:
            print(
                "stopped at once: what was saved before is intact, and a training goes on with "
                "resume=<its folder>",
                file=sys.stderr,
            )
            sys.exit(EXIT_AT_ONCE)
        finally:
            HydraConfig.instance().cfg = None
        if failures:
            sys.exit(EXIT_NO_DATA if isinstance(failures[0], DataMissing) else EXIT_BAD_INPUT)

    def job(
        self, cfg: DictConfig, failures: list[BaseException], jobs: list[sweeps.Job]
    ) -> float | None:
        """Run one job of Hydra's; print its folder last.

        A job of a sweep is added to `jobs`.

        The folder is new, or that of resume=. The whole configuration is written to config.yaml,
        unless the folder is one that something else wrote before. Bad input leaves no empty folder;
        it is told and kept in `failures`, so that the other jobs of a sweep go on.
        """
        folder = Path(distributed.from_first(HydraConfig.get().runtime.output_dir))
        fresh = not any(folder.iterdir())
        sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        asked = HydraConfig.get().overrides.task if sweep else ()
        try:
            cfg = typed(cfg)
            if fresh:
                OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
            number = self._work(cfg, folder)
        except REFUSED as error:
            if fresh:
                _leave_no_empty(folder)
            text = self.tell(error, failures, folder, asked)
            if sweep:
                jobs.append(sweeps.Job(sweeps.varied(asked), folder, error=text))
            return None
        except Interrupted as reason:
            print(reason, file=sys.stderr, flush=True)
            sys.exit(EXIT_INTERRUPTED)
        if sweep:
            jobs.append(sweeps.Job(sweeps.varied(asked), folder, number))
        print(folder, flush=True)
        return number

    def _timeout_s(self) -> float:
        """How long processes wait for one another; settings are read before they join."""
        if distributed.launched() == 1:
            return 0.0
        return typed(_composed_as_typed(self.stem)).group_timeout_s

    def _work(self, cfg: DictConfig, folder: Path) -> float | None:
        with worker_deaths("start again"):
            return self.run(cfg, settings_of(cfg), folder)

    def tell(
        self,
        error: Exception,
        failures: list[BaseException],
        folder: Path | None,
        overrides: Sequence[str] = (),
    ) -> str:
        """Write an error as one line, in a sweep with the job it is of; folder: of the job.

        Returns:
            The error in words.
        """
        failures.append(error)
        if isinstance(error, OF_HYDRA):
            text = hydra_errors.explain(error, lambda: known_keys(self.stem))
        else:
            text = message(error, folder)
        print(": ".join(["error", *filter(None, [" ".join(overrides)]), text]), file=sys.stderr)
        return text


def settings_of(cfg: DictConfig) -> Any:
    """The settings as their dataclass, which checks them."""
    return OmegaConf.to_object(typed(cfg))


def compose(stem: str, overrides: Iterable[str] = ()) -> DictConfig:
    """The configuration that `python -m experiments.<stem> <overrides>` would run with."""
    return _compose_or_explain(stem, overrides)


def known_keys(stem: str) -> list[str]:
    """The dotted names of a command's settings, Hydra's own included."""
    return list(keys(_compose(stem, return_hydra_config=True)))


def _compose_or_explain(stem: str, *arguments: Any) -> DictConfig:
    try:
        return _compose(stem, *arguments)
    except OF_HYDRA as error:
        raise DeconvError(hydra_errors.explain(error, lambda: known_keys(stem))) from error


def _compose(
    stem: str,
    overrides: Iterable[str] = (),
    name: str | None = None,
    folder: str | None = None,
    return_hydra_config: bool = False,
) -> DictConfig:
    """The configuration; name and folder are those of --config-name and --config-dir."""
    overrides = by_layer(overrides)
    register_foreign(overrides)
    if f"{stem}.yaml" not in ConfigStore.instance().repo:
        importlib.import_module(f"experiments.{stem}")
    running, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            if folder:
                places = create_config_search_path(str(CONF))
                own = f"file://{Path(folder).absolute()}"
                places.prepend("command-line", own, SearchPathQuery(provider="schema"))
                GlobalHydra.instance().clear()
                Hydra.create_main_hydra2(stem, places)
            return hydra.compose(name or stem, overrides, return_hydra_config)
    finally:
        GlobalHydra.instance().hydra = running


def _composed_as_typed(stem: str) -> DictConfig:
    """The configuration of this process's command line, as Hydra composes it in process 0."""
    asked = get_args_parser().parse_args()
    name = asked.config_name or configuration(stem, asked.overrides)
    return _compose_or_explain(stem, asked.overrides, name, asked.config_dir)


def configuration(stem: str, arguments: Sequence[str]) -> str:
    """The name of the configuration that a command begins with.

    With resume=, run= or snapshot= and a setting of the data, it has the training's data set, so
    that its settings, such as data.root, are known; what they are is taken from the training.
    """
    parts = (argument.partition("=") for argument in arguments)
    given = {key.lstrip("+"): value.strip("'\"") for key, _, value in parts}
    folder = given.get("resume") or given.get("run")
    path = folder or given.get("snapshot") or given.get("ours")
    chosen = {"data", "size"} if "resume" in given else {"data"}
    if not path or chosen & given.keys() or not any(k[:5] == "data." for k in given):
        return stem
    try:
        beside = Path(path) if folder else Path(path).parent
        if (beside / "config.yaml").is_file():
            name = OmegaConf.select(OmegaConf.load(beside / "config.yaml"), "data.name")
        else:
            name = (trained_on(load_snapshot(path)) or {}).get("name")
    except REFUSED:
        return stem
    if name not in DATA:
        return stem
    node = {"defaults": [stem, {"override data": name}, "_self_"]}
    ConfigStore.instance().store(name=f"{stem} resumed", node=node)
    return f"{stem} resumed"


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise DeconvError for what Hydra would not refuse in words, before it makes a folder."""
    for argument in arguments:
        key, equals, value = argument.partition("=")
        value = value.strip("'\"")
        if equals and not key:
            raise DeconvError(f"{argument!r} names no setting; write key=value")
        if key == "resume" and value not in ("", "null") and not Path(value).is_dir():
            raise DeconvError(f"there is no run folder {value} to go on with")
    if distributed.launched() > 1 and {"-m", "--multirun"} & set(arguments):
        raise DeconvError("-m runs its jobs one after the other in one process: leave torchrun out")


def message(error: Exception, folder: Path | None) -> str:
    """What went wrong, also where a worker process of a DataLoader wrapped it in its traceback.

    folder: the job's; None where there is none yet, as it cannot be made.
    """
    if isinstance(error, OSError) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        text = f"cannot use {path}: {error.strerror}"
        ours = folder is None or path.is_relative_to(folder)
        return text + ours * (
            "; choose another folder by hydra.run.dir=<folder>, for a sweep by "
            "hydra.sweep.dir=<folder>"
        )
    text = re.split(rf"{re.escape(DeconvError.__module__)}\.\w+: ", str(error))[-1].strip()
    return re.sub(r"(?<=set )(root|partial)=|(?<= )download=", r"data.\g<0>", text)


@contextlib.contextmanager
def _hydra_raises() -> Iterator[None]:
    """Within it Hydra hands its errors on instead of printing them."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _leave_no_empty(folder: Path) -> None:
    """Delete a folder that holds nothing but what every run begins with."""
    names = {path.name for path in folder.iterdir()}
    if names <= {"config.yaml", ".lock", f"{HydraConfig.get().job.name}.log"}:
        for name in names:
            (folder / name).unlink()
        with contextlib.suppress(OSError):  # a disk of its own; the error that led here matters
            folder.rmdir()
