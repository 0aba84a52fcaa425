"""The ceremony of every experiment: redraw, or check, compute, save, draw."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deconv import distributed, figures
from deconv.errors import DeconvError, NoRuleWarning
from deconv.figures import Look, Page
from experiments.kit.command import Command
from experiments.kit.layout import asked_layout, write_layout
from experiments.kit.provenance import overrides
from experiments.kit.result import AGAIN, ALWAYS, UNUSABLE, Result, Saved, copy_saved
from experiments.kit.settings import Drawn, Settings
from experiments.kit.subject import OthersLeave, Subject


def experiment(
    settings: type[Settings],
    compute: Callable[[Any, Subject], Result],
    draw: Callable[[Saved], Page] | None = None,
    check: Callable[[Any, Subject], None] | None = None,
    saves: str = "",
    layout: str = "",
    number: str = "result",
) -> Command:
    """Make the command of an experiment.

    Args:
        settings: the dataclass of its settings. One that is `Drawn` can be drawn again.
        compute: does the work; under torchrun in all processes, until `it.first_alone()`.
        draw: the page from the saved files alone; None where there is no figure.
        check: raises DeconvError for settings that cannot be used, before anything long.
        saves: names of the files that `draw` needs beside the sidecar and the configuration.
        layout: names of the settings that `redraw` takes, see `experiments.kit.layout`.
        number: what a sweep compares jobs by: the claim whose value it is, or what the number of a
            Result is.
    """

    def show(cfg: Settings, folder: Path) -> None:
        if draw is not None and isinstance(cfg, Drawn):
            with figures.look(quick(cfg.figure) if cfg.size_name == "smoke" else cfg.figure):
                figures.save(draw(Saved(folder)), folder)

    def redraw(config: DictConfig, cfg: Drawn, source: str, folder: Path) -> None:
        names = saves.split()
        copy_saved(source, folder, names)
        try:
            write_layout(folder, asked_layout(config, source, layout))
            show(cfg, folder)
        except UNUSABLE as error:
            for name in (*names, *ALWAYS):
                (folder / name).unlink()
            if isinstance(error, DeconvError):  # says itself what to do
                raise
            raise DeconvError(
                f"{source} cannot be drawn from ({type(error).__name__}: {error}): its files are "
                f"of another figure or of another version; {AGAIN}"
            ) from error

    def run(config: DictConfig, cfg: Settings, folder: Path) -> float | None:
        if isinstance(cfg, Drawn) and cfg.redraw:
            if distributed.rank() == 0:
                redraw(config, cfg, cfg.redraw, folder)
            return None
        it = Subject(config, cfg, folder)
        changes = [it.take_training_data(overrides()), it.take_own_layers(overrides())]
        if any(changes) and distributed.rank() == 0:
            OmegaConf.save(config, folder / "config.yaml", resolve=True)
        if check is not None:
            check(cfg, it)
        started = time.perf_counter()
        try:
            with without_rule() as crossed:
                result = compute(cfg, it)
            it.first_alone()
        except OthersLeave:
            return None
        seconds = {"seconds": round(time.perf_counter() - started, 1)}
        no_rule = {"no_rule": sorted(crossed)} if crossed else {}
        result.facts = it.facts() | seconds | no_rule | result.facts
        result.save(folder, result.net or it.net)
        show(cfg, folder)
        judged = (one.value for one in result.findings or () if one.claim == number)
        return next(judged, result.number)

    return Command(run, settings, number)


@contextlib.contextmanager
def without_rule() -> Iterator[set[str]]:
    """Within it, collect what the deconvnet warns of having no rule for."""
    found: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("default", NoRuleWarning)  # also of what an earlier job told
        show = warnings.showwarning

        def note(message: Warning | str, *rest: Any) -> None:
            found.update(getattr(message, "operations", ()))
            show(message, *rest)

        warnings.showwarning = note
        yield found


def quick(look: Look) -> Look:
    """A look that is drawn and written in no time, but for what was asked for."""
    dpi = look.dpi or (None if look.style else 100)
    return dataclasses.replace(look, dpi=dpi, formats=look.formats or ["png"])
