"""Commands that run one after the other in processes of their own, remembered in a file.

A step is a command that writes into a folder of its own. One that fails does not stop the rest;
one that finished with the same settings is not run again. What a step prints goes to a log.
"""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from deconv.atomic_files import write_whole
from deconv.data.text_files import json_text
from deconv.errors import DeconvError
from experiments.kit.budget import Budget
from experiments.kit.command import EXIT_INTERRUPTED, EXIT_NO_DATA
from experiments.kit.forked import Forked
from experiments.kit.signals import on_signals

STATE = "reproduce.json"
DONE, FAILED, NO_DATA, STOPPED, LEFT_OUT, DOES_NOT_APPLY = (
    "done",
    "failed",
    "data not here",
    "interrupted",
    "left out",
    "does not apply",
)
"""How a step can have ended; STOPPED also stands for one that never came to its end."""

PLACES = ("data.root", "run", "snapshot", "snapshots", "ours")
"""Settings that say where something is: a step finished before it was moved is still finished."""


@dataclass(frozen=True)
class Step:
    """One command.

    arguments: what follows the interpreter, but for those that name the folder it writes to.
    place: (folder, whether to go on with what an earlier attempt left there) -> those.
    inputs: hashes of what it reads, so that a changed file under an old name runs it again.
    goes_on: pattern of the files from which it can go on; where an attempt left none of them, or
    the pattern is empty, what it left is deleted.
    """

    name: str
    arguments: tuple[str, ...]
    place: Callable[[Path, bool], list[str]]
    inputs: Mapping[str, str] = field(default_factory=dict)
    goes_on: str = ""


@dataclass
class Outcome:
    """How a step ended. error: the last line of its message; seconds: its wall time."""

    arguments: list[str]
    inputs: dict[str, str]
    status: str = STOPPED
    seconds: float = 0.0
    exit_status: int | None = None
    error: str = ""


@dataclass
class State:
    """What is remembered of a folder of steps: its settings, and step name -> outcome."""

    settings: dict[str, Any]
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def read_state(folder: Path) -> State:
    """The state of a folder. Raises DeconvError if it holds none that can be read."""
    path = folder / STATE
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        outcomes = {name: Outcome(**one) for name, one in kept["outcomes"].items()}
        return State(kept["settings"], outcomes)
    except FileNotFoundError as error:
        raise DeconvError(f"{folder} holds no {STATE}: it is no folder to go on with") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DeconvError(f"{path} cannot be read ({error}): start in a new folder") from error


def write_state(folder: Path, state: State) -> None:
    """Write folder/reproduce.json whole or not at all."""
    write_whole(folder / STATE, (json_text(asdict(state)) + "\n").encode())


def finished(step: Step, state: State) -> bool:
    """Whether a step is done with just these arguments and inputs."""
    old = state.outcomes.get(step.name)
    return (
        old is not None
        and old.status == DONE
        and _without_places(old.arguments) == _without_places(step.arguments)
        and old.inputs == dict(step.inputs)
    )


def _without_places(arguments: Sequence[str]) -> list[str]:
    """Arguments but those that say where something is: its hash is among the inputs."""
    return [text for text in arguments if text.partition("=")[0] not in PLACES]


@contextmanager
def passed_on(child: Callable[[], Forked | None]) -> Iterator[list[int]]:
    """Within it SIGNALS go to the child of the moment; the list holds those that came."""
    came: list[int] = []

    def note(number: int, _: object) -> None:
        came.append(number)
        if process := child():
            process.send_signal(number)

    with on_signals(note):
        yield came


def run_steps(
    steps: Sequence[Step],
    folder: Path,
    state: State,
    show: Callable[[str, Step, Outcome], None],
    budget: Budget | None = None,
    stop_s: float = inf,
) -> bool:
    """Run the steps that are not finished; False if a signal stopped them.

    Each writes into folder/<name>, what it prints into folder/logs/<name>.txt. `state` is brought
    up to date and written before and after each. show: called with "start", "tick" (several times
    a second), "end" or "kept" (finished before), the step and its outcome. budget: what does not
    fit into it is left out. stop_s: seconds after which a step is stopped, as by a signal.
    """
    budget = budget or Budget()
    current: list[Forked] = []
    with passed_on(lambda: current[-1] if current else None) as came:
        for step in steps:
            if came:
                return False
            if finished(step, state):
                show("kept", step, state.outcomes[step.name])
                continue
            if not budget.allows(step.name):
                outcome = Outcome([], {}, LEFT_OUT, error=_too_long(budget, step.name))
                state.outcomes[step.name] = outcome
                show("kept", step, outcome)
                continue
            again = _make_room(step, folder, state)
            outcome = Outcome(list(step.arguments), dict(step.inputs))
            state.outcomes[step.name] = outcome
            write_state(folder, state)
            show("start", step, outcome)
            tick = functools.partial(show, "tick", step, outcome)
            _run(step, folder, again, outcome, current, came, tick, stop_s)
            write_state(folder, state)
            show("end", step, outcome)
            if outcome.status == DONE and not again:
                budget.learn(step.name, outcome.seconds)
    return not came


def _too_long(budget: Budget, name: str) -> str:
    left, expected = budget.left_s(), budget.expected_s(name)
    if left <= 0 or not expected:
        return "no time is left"
    return f"about {expected:.0f} s here, and {left:.0f} s are left"


def _make_room(step: Step, folder: Path, state: State) -> bool:
    """Delete what an earlier attempt left, or answer True where the step goes on with it.

    What was finished, with other settings, is kept beside it under another name.
    """
    place, old = folder / step.name, state.outcomes.get(step.name)
    if not place.exists():
        return False
    if old is not None and old.status == DONE:
        numbers = itertools.count(1)
        place.rename(next(p for n in numbers if not (p := folder / f"{step.name}.{n}").exists()))
        return False
    if step.goes_on and old is not None and any(place.glob(step.goes_on)):
        return True
    shutil.rmtree(place)
    return False


def _run(
    step: Step,
    folder: Path,
    again: bool,
    outcome: Outcome,
    current: list[Forked],
    came: list[int],
    tick: Callable[[], None],
    stop_s: float,
) -> None:
    log = log_path(folder, step.name)
    log.parent.mkdir(exist_ok=True)
    log.write_text("", encoding="utf-8")
    started = time.monotonic()
    process = Forked([*step.arguments, *step.place(folder / step.name, again)], log, log)
    current.append(process)
    if came:  # between the last look and the start
        process.send_signal(came[-1])
    while (status := process.wait(timeout=0.2)) is None:
        tick()
        if time.monotonic() - started > stop_s:
            process.send_signal(signal.SIGTERM)
            stop_s = inf
    outcome.exit_status = status
    outcome.seconds = round(time.monotonic() - started, 1)
    outcome.status = status_of(outcome.exit_status, bool(came))
    outcome.error = "" if outcome.status == DONE else last_error(log)


def status_of(exit_status: int, signalled: bool) -> str:
    """What the exit status of a command says; signalled: whether a signal was passed to it."""
    if exit_status == 0:
        return DONE
    if exit_status == EXIT_INTERRUPTED or signalled:
        return STOPPED
    return NO_DATA if exit_status == EXIT_NO_DATA else FAILED


def log_path(folder: Path, name: str) -> Path:
    """Where what a step prints is kept."""
    return folder / "logs" / f"{name}.txt"


def last_line(log: Path) -> str:
    """The last line of a log that is not empty; of bars drawn over each other the newest."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    return next((line for line in reversed(lines) if line), "")


def last_error(log: Path) -> str:
    """The error that a log ends with: from "error: " on if there is such a line, as one line."""
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    at = [i for i, line in enumerate(lines) if line.startswith("error: ")]
    if at:
        return " ".join(lines[at[-1] :]).removeprefix("error: ")
    return lines[-1] if lines else "it said nothing"
