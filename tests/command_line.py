"""Running an experiment as a person would: in this process, or in one of its own."""

import contextlib
import copy
import functools
import importlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.kit import Subject, compose
from experiments.kit.command import OF_HYDRA, settings_of
from experiments.kit.forked import Forked
from experiments.kit.layer_settings import by_layer

ROOT = Path(__file__).resolve().parents[1]

SMALLEST = (
    "size=smoke",
    "pictures=none",
    "data.train_images=20",
    "data.val_images=18",
    "model.input_px=64",
    "model.fc_width=16",
)
"""The settings of the smallest training: two epochs of two updates."""


def command(stem, *overrides, cwd, fails=False):
    """Run `python -m experiments.<stem>` in a folder, without a process; (stdout lines, stderr).

    Everything from the arguments to the exit status is as typed; only the start of Python and the
    imports are saved. What a process alone can show (signals, torchrun) is for `process`.
    fails: whether it ends with an error, or the exit status of that error.
    """
    module = importlib.import_module(f"experiments.{stem}")
    out, err, status = io.StringIO(), io.StringIO(), 0
    handlers = logging.root.handlers[:]

    def tell(message, category, filename, lineno, file=None, line=None):
        err.write(warnings.formatwarning(message, category, filename, lineno, line))

    with contextlib.ExitStack() as stack:
        stack.callback(os.chdir, os.getcwd())
        stack.enter_context(mock.patch.object(sys, "argv", [f"{stem}.py", *map(str, overrides)]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", ResourceWarning)  # as Python does
        warnings.showwarning = tell
        os.chdir(cwd)
        try:
            module.main()
        except SystemExit as end:
            status = end.code or 0
        finally:
            for handler in set(logging.root.handlers) - set(handlers):
                handler.close()
            logging.root.handlers[:] = handlers
    as_expected = status != 0 if fails is True else status == fails
    assert as_expected, f"exit status {status}\n{out.getvalue()}{err.getvalue()}"
    return out.getvalue().splitlines(), err.getvalue()


def process(stem, *overrides, cwd, fails=False, timeout_s=300):
    """The same in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{stem}", *overrides],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout.splitlines(), done.stderr


def group(arguments, processes, cwd):
    """The processes that `torchrun --nproc-per-node=<processes> <arguments>` would start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"OMP_NUM_THREADS": "1"}
    return [
        Forked(
            list(map(str, arguments)),
            cwd / f"out_{rank}.txt",
            cwd / f"err_{rank}.txt",
            cwd,
            shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]


def together(arguments, processes, cwd, timeout_s=300):
    """Run such a group; (stdout lines, stderr) of all processes."""
    members = group(arguments, processes, cwd)
    try:
        statuses = [member.wait(timeout_s) for member in members]
    finally:
        for member in members:
            member.send_signal(signal.SIGKILL)
    said = [
        (cwd / f"{name}_{rank}.txt").read_text()
        for name in ("out", "err")
        for rank in range(processes)
    ]
    assert statuses == [0] * processes, (statuses, *said)
    return "".join(said[:processes]).splitlines(), "".join(said[processes:])


def program(text, *arguments, cwd, status=0):
    """Run a Python program in a process that has the library imported; what it printed."""
    out, err = (Path(cwd) / f".program.{name}" for name in ("out", "err"))
    for path in (out, err):
        path.write_text("")
    ended = Forked(["-c", text, *map(str, arguments)], out, err, Path(cwd)).wait(300)
    said = out.read_text(), err.read_text()
    out.unlink(), err.unlink()
    assert ended == status, (ended, *said)
    return said


def assert_refused(stem, overrides, message, cwd):
    """The command ends with `message` as its error and leaves no file."""
    before = {path for path in Path(cwd).rglob("*") if path.is_file()}
    _, error = command(stem, *overrides, cwd=cwd, fails=True)
    assert message in error and error.startswith("error: ") and "Traceback" not in error, error
    assert {path for path in Path(cwd).rglob("*") if path.is_file()} == before


GROUPS = {"model", "data", "train", "size"}
composed_groups = functools.cache(lambda stem, groups: compose(stem, groups))


def composed(stem, overrides):
    """`compose`, by Hydra's own steps; those of the same groups are taken once for all tests."""
    typed = OverridesParser.create().parse_overrides(by_layer(overrides))
    settings = [one for one in typed if one.key_or_group not in GROUPS]
    if any(one.input_line[0] in "+~" or one.is_sweep_override() for one in settings):
        return compose(stem, overrides)
    groups = tuple(one.input_line for one in typed if one not in settings)
    config = copy.deepcopy(composed_groups(stem, groups))
    try:
        ConfigLoaderImpl._apply_overrides_to_config(settings, config)
    except OF_HYDRA:
        return compose(stem, overrides)  # raises it in words
    return config


def subject(stem, *overrides, snapshot=None, data=None, folder="."):
    """The settings of a command and what it works on: (cfg, it) as `compute` and `check` get them.

    snapshot, data: in place of what the settings name; snapshot=None: none is given.
    """
    config = composed(stem, overrides)
    cfg = settings_of(config)
    it = Subject(config, cfg, Path(folder))
    it.given = snapshot
    if data is not None:
        it._squares[cfg.split] = data
    return cfg, it
