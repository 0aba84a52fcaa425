"""The processes that load images, and the signals that are not meant for them."""

from __future__ import annotations

import os
import signal


def apart(number: int) -> None:
    """Keep a DataLoader's worker out of what stops the run; its `worker_init_fn`.

    torchrun, a terminal's Ctrl-C and timeout(1) signal a whole process group. A worker that ended
    by that would raise an error in the run at any place, and it could no longer save. So workers
    get a group of their own, and ignore SIGUSR1, which Slurm sends to every process of a step.
    PyTorch ends them with the run all the same, also one that is killed. A SIGTERM to every
    process of a container or cgroup still reaches them: there `train.save_steps` bounds the loss.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
