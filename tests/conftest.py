"""What many tests need and what takes seconds to make."""

import gc
import os
from pathlib import Path

import hydra_mode  # noqa: F401 - of this process too
import matplotlib
import pytest
import torch
from command_line import command
from filelock import FileLock
from hostile_style import MATPLOTLIBRC
from torch import nn

from experiments.kit.forked import IMPORTED, SERVER

pytest_plugins = ["fault_table"]


# PyTorch imports its compiler with the first optimizer: seconds of every training.
SERVER.set_forkserver_preload(
    [*IMPORTED, "pytest", "experiments.train", "torch._dynamo", "tests.hydra_mode"]
)


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory):
    """A folder of all test processes of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(autouse=True, scope="session")
def one_cache(common_folder):
    """Scenes are drawn once."""
    os.environ["DECONV_CACHE"] = str(common_folder / "cache")


@pytest.fixture(autouse=True)
def repeatable():
    """A test that draws from PyTorch's generator without a seed draws the same every time."""
    torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def smoke_run(common_folder, tmp_path_factory):
    """The folder of one training at size=smoke, with its snapshots; made once."""
    place = common_folder / "smoke_run.txt"
    with FileLock(common_folder / "smoke_run.lock"):
        if not place.exists():
            asked = ("size=smoke", "seed=3", "train.test_crops=ten", "pictures=none")
            lines, _ = command("train", *asked, cwd=tmp_path_factory.mktemp("smoke_run"))
            place.write_text(lines[-1])
    return Path(place.read_text())


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
