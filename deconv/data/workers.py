"""Data-loading worker processes: the signals they must not receive, and their sudden end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from deconv.errors import DeconvError


def isolate_worker(number: int) -> None:
    """Shield a DataLoader worker from signals to the run (a `worker_init_fn`).

    torchrun, Ctrl-C and timeout(1) signal the whole process group. A worker that died of that would
    raise an error anywhere in the run, which could then no longer save. So each worker gets its own
    group and ignores SIGUSR1, which Slurm sends to every process of a step. PyTorch still ends the
    workers with the run, even if it is killed. A SIGTERM to all processes of a container or cgroup
    does reach them; `train.save_steps` bounds that loss.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@contextlib.contextmanager
def worker_deaths(advice: str) -> Iterator[None]:
    """Turn the error for a DataLoader worker that was killed into a DeconvError.

    PyTorch raises it from a signal handler, anywhere in the block.

    Args:
        advice: how to go on afterwards.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise DeconvError(
            f"a process that loads images has died ({str(error).splitlines()[0].strip()}), most "
            f"often because memory ran out: {advice}, with fewer such processes (workers) or "
            "smaller batches"
        ) from error
