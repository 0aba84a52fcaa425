"""Data-loading worker processes and the signals they must not receive."""

from __future__ import annotations

import os
import signal


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
