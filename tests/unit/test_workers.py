"""The processes that load images: signals to a run's group, or to all of its processes."""

import os
import signal

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from deconv.data.workers import isolate_worker


class Process(Dataset):
    """Each item says which process made it, and in which group that is."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([os.getpid(), os.getpgid(0)])


@pytest.mark.skipif(not hasattr(os, "setpgid"), reason="no process groups here")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_worker_has_a_group_of_its_own_and_lives_through_sigusr1(start):
    loader = DataLoader(
        Process(),
        batch_size=None,
        num_workers=1,
        worker_init_fn=isolate_worker,
        multiprocessing_context=start,
        prefetch_factor=1,
    )
    batches = iter(loader)
    worker, group = next(batches).tolist()
    assert worker == group != os.getpgid(0)
    os.kill(worker, signal.SIGUSR1)
    assert [one.tolist() for one in batches] == [[worker, group]] * 3
