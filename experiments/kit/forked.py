"""Python processes that begin with the library imported: forked from a server that did so once.

Starting `python -m experiments.<stem>` takes seconds of imports; a fork of a process that has them
takes none. Everything else is as in a process started from a shell.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import runpy
import signal
import sys
import traceback
import types
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path

from deconv.data.preparation.processes import end_with_parent

CHECKOUT = Path(__file__).resolve().parent.parent.parent
IMPORTED = ["experiments.kit", "deconv.figures", "deconv.scenes"]

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(IMPORTED)


def start_server() -> None:
    """Start the server unless it runs.

    It is told where this checkout is: up to Python 3.13 it does not look where this process does,
    and what it cannot import it leaves to each fork without a word.
    """
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CHECKOUT), before)))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


class Forked:
    """`python <arguments>`, in a session of its own, so that Ctrl-C at a terminal passes it by.

    Args:
        arguments: "-m", a module, and its arguments; or "-c", a program, and its arguments.
        out, err: files that standard output and error go to; one and the same is written in order.
        cwd: where it runs; None for here.
        environment: variables that differ from this process's.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        out: Path,
        err: Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        where = str(cwd or Path.cwd())
        variables = dict(os.environ) | dict(environment or {})
        files = (str(out.absolute()), str(err.absolute()))
        start_server()
        self._process = SERVER.Process(target=_run, args=(list(arguments), files, where, variables))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status once it has ended; None if it has not within `timeout` seconds."""
        self._process.join(timeout)
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None and self.pid is not None:
            os.kill(self.pid, number)


def _run(
    arguments: list[str], files: tuple[str, str], where: str, variables: dict[str, str]
) -> None:
    os.setsid()
    gc.freeze()  # what the server imported lives on: the collector need not look at it again
    out, err = (os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666) for path in files)
    for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, err)):
        os.dup2(descriptor, number)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout, sys.stderr = map(_text, (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(where)
    os.environ.clear()
    os.environ.update(variables)
    multiprocessing.set_start_method(None, force=True)  # of its own children: the system's
    kind, what, *rest = arguments
    sys.argv = [what if kind == "-m" else kind, *rest]
    try:
        if kind == "-m":
            # One killed by force could not pass it on, and is resumed in this folder.
            end_with_parent()
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = module = types.ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), vars(module))
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _text(descriptor: int) -> io.TextIOWrapper:
    """Open a descriptor for text that is written line by line."""
    file = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
    return io.TextIOWrapper(file, encoding="utf-8", line_buffering=True)
