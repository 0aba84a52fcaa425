"""What many tests need and what takes seconds to make."""

import gc
import os
import sys
from pathlib import Path

import matplotlib
import pytest
import torch
from command_line import command
from hostile_style import MATPLOTLIBRC
from hydra._internal.hydra import Hydra
from torch import nn

from experiments.kit.forked import IMPORTED, SERVER

pytest_plugins = ["fault_table"]


def mode_of(hydra, config_name, overrides, composed=Hydra.get_mode):
    """Whether a job is a sweep, which Hydra learns by composing it once more, half of its time."""
    said = any("hydra" in word or word.startswith(("-c", "--c")) for word in sys.argv)
    return composed(hydra, config_name, overrides) if said else None


Hydra.get_mode = mode_of

# PyTorch imports its compiler with the first optimizer: seconds of every training.
SERVER.set_forkserver_preload([*IMPORTED, "pytest", "experiments.train", "torch._dynamo"])


@pytest.fixture(autouse=True, scope="session")
def one_cache(tmp_path_factory):
    """Scenes are drawn once for all tests of all processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["DECONV_CACHE"] = str(shared / "cache")


@pytest.fixture(autouse=True)
def repeatable():
    """A test that draws from PyTorch's generator without a seed draws the same every time."""
    torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """The folder of one training at size=smoke, with its snapshots; made once a test process."""
    lines, _ = command("train", "size=smoke", "seed=3", cwd=tmp_path_factory.mktemp("smoke_run"))
    return Path(lines[-1])


@pytest.fixture
def narrow(monkeypatch):
    """Networks of others have 32 units where they have 4096: their weights are drawn in no time."""

    class Narrow(nn.Linear):
        def __init__(self, in_features, out_features, *rest, **options):
            sides = (32 if side == 4096 else side for side in (in_features, out_features))
            super().__init__(*sides, *rest, **options)

    monkeypatch.setattr(nn, "Linear", Narrow)


@pytest.fixture
def hostile_style(tmp_path_factory):
    """A style of the caller's that no figure may heed and nothing may change."""
    path = tmp_path_factory.mktemp("style") / "matplotlibrc"
    path.write_text(MATPLOTLIBRC)
    with matplotlib.rc_context(fname=path):
        before = dict(matplotlib.rcParams)
        yield path
        assert dict(matplotlib.rcParams) == before


LONGEST = ("test_reproduce", "test_wrapped", "test_fields_by_probe")


def pytest_collection_modifyitems(items):
    """Begin with the longest files: one that came last would run alone."""
    items.sort(key=lambda item: not item.path.stem.startswith(LONGEST))


def pytest_collection_finish():
    """Half a million objects of the libraries live on: looked through again and again, they take a
    tenth of the time of all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
