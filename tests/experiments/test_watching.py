"""What a run shows while it runs: pictures at snapshots, TensorBoard, lines in long epochs."""

import sys
import types

import pytest
import torch
from test_training import Bars, recipe, small_net

from deconv.data import mean_image
from deconv.errors import DeconvError
from deconv.training import Hooks, fit
from deconv.training.monitoring import load_watch
from deconv.training.snapshots import load_snapshot
from experiments.kit import training as trained
from experiments.kit import watching


def run(folder, pictures, images=5, **changes):
    data = Bars(12)
    net, rule, mean = small_net(), recipe(epochs=3, **changes), mean_image(data)
    draw = watching.watcher(net, data, mean, rule, folder, "bars", pictures, images)
    fit(net, data, data, mean, rule, folder, hooks=Hooks(snapshot=draw))
    return sorted(path.stem for path in (folder / "watch").glob("*.png"))


def test_a_page_is_drawn_at_each_snapshot_or_at_those_that_stay(tmp_path):
    every = [f"epoch_{epoch:03d}" for epoch in range(4)]
    assert run(tmp_path / "each", "each") == every
    kept = run(tmp_path / "kept", "kept", save_steps=1)
    assert kept == ["epoch_000", "epoch_001", "epoch_003"], "1 is asked for, 3 the last"
    assert run(tmp_path / "none", "none") == []
    assert load_watch(tmp_path / "each" / "watch" / "epoch_003.npz").images == 5
    with pytest.raises(DeconvError, match=r"'all'\. Valid: each, kept, none"):
        run(tmp_path / "all", "all")


def test_watching_changes_nothing_of_the_training(tmp_path):
    for pictures in ("each", "none"):
        run(tmp_path / pictures, pictures)
    weights = [load_snapshot(tmp_path / p / "epoch_003.pt").weights for p in ("each", "none")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


class Writer:
    """A stand-in for TensorBoard's SummaryWriter that notes what it is given."""

    made: list["Writer"] = []  # noqa: RUF012

    def __init__(self, folder, purge_step):
        self.folder, self.purge_step, self.scalars = folder, purge_step, []
        Writer.made.append(self)

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def flush(self):
        pass


def test_tensorboard_gets_each_epoch_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(watching.importlib.util, "find_spec", lambda name: None)
    watching.tensorboard(tmp_path, 0)({"epoch": 1, "train_loss": 2.0})
    assert not list(tmp_path.iterdir())

    monkeypatch.setattr(watching.importlib.util, "find_spec", lambda name: name == "tensorboard")
    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    write = watching.tensorboard(tmp_path, finished=4)
    write({"epoch": 5, "train_loss": 2.0, "renormalised_conv1": 7, "images_per_second": None})
    writer = Writer.made[-1]
    assert writer.purge_step == 5 and writer.folder == tmp_path / "tensorboard"
    assert writer.scalars == [("metrics/train_loss", 2.0, 5), ("renormalised/conv1", 7, 5)]
    watching.tensorboard(tmp_path, finished=0)({"epoch": 1})
    assert Writer.made[-1].purge_step is None


@pytest.mark.fault("full disk")
@pytest.mark.parametrize("where", ["__init__", "add_scalar"])
def test_tensorboard_that_fails_is_said_once_and_the_run_goes_on(
    tmp_path, monkeypatch, caplog, where
):
    caplog.set_level("INFO", "experiments")
    monkeypatch.setattr(watching.importlib.util, "find_spec", lambda name: True)
    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = type("Full", (Writer,), {where: full})
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    write = watching.tensorboard(tmp_path, finished=0)
    for epoch in (1, 2):
        write({"epoch": epoch, "train_loss": 2.0})
    (line,) = caplog.messages
    assert "TensorBoard ([Errno 28] No space" in line and "the run goes on" in line


def full(*arguments, **options):
    raise OSError(28, "No space left on device")


@pytest.mark.fault("full disk")
@pytest.mark.parametrize("broken", ["save_watch", "watch", "figures.save", "figures.training_page"])
def test_a_picture_that_cannot_be_drawn_is_said_and_the_run_goes_on(
    tmp_path, monkeypatch, caplog, broken
):
    caplog.set_level("INFO", "experiments")
    monkeypatch.setattr(f"experiments.kit.watching.{broken}", full)
    assert run(tmp_path, "each") == []
    lines = [line for line in caplog.messages if "was not drawn ([Errno 28] No space" in line]
    assert len(lines) == 4 and lines[3].startswith(f"note: {tmp_path}/watch/epoch_003.png")
    assert load_snapshot(tmp_path / "last.pt").epoch == 3
    assert not list(tmp_path.glob("watch/.*"))


def test_a_long_epoch_says_how_far_it_is(caplog):
    caplog.set_level("INFO", "experiments")
    for update in range(1, 4):
        trained.now_and_then(seconds=0.0)(2, update, 10, 1.5)
    trained.now_and_then(seconds=1000.0)(2, 4, 10, 1.5)
    assert caplog.messages == [f"epoch 2, update {update}/10: loss 1.500" for update in range(1, 4)]
