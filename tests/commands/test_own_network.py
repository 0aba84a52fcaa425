"""A network of one's own, file:mine.py:Net: trained, resumed, looked at."""

import csv
import json
from pathlib import Path

import pytest
import torch
from command_line import assert_refused, command

import deconv

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=2)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, num_classes)
        nn.init.constant_(self.second.weight[0], 0.5)

    def forward(self, x):
        x = self.pool(self.relu(self.first(x)))
        x = self.relu(self.second(x))
        return self.head(self.drop(x.mean((2, 3))))
"""
SMALL = ("size=smoke", "pictures=none", "data.train_images=20", "data.val_images=18")
SMALL += ("model.input_px=64", "train.max_rms=0.1", "train.epochs=3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(where it lies, the folder of a training of it)."""
    place = tmp_path_factory.mktemp("own")
    (place / "mine.py").write_text(NET)
    lines, _ = command("train", "model=file:mine.py:Net", *SMALL, cwd=place)
    return place, Path(lines[-1])


def test_it_is_trained_by_the_recipe(trained):
    _, run = trained
    snapshot = deconv.load_snapshot(run / "last.pt", "file:mine.py:Net")
    assert snapshot.classes == list(deconv.scenes.CLASSES) and snapshot.epoch == 3
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert sum(int(row["renormalised_module.second"]) for row in rows) >= 1, "the filter of 0.5"
    for name, weight in snapshot.weights.items():
        if weight.dim() == 4:
            assert weight.square().mean(dim=(1, 2, 3)).sqrt().max() <= 0.1 + 1e-6, name


def test_resuming_is_exact_to_the_bit(trained):
    place, run = trained
    part = place / "part"
    stopped = [*SMALL[:-1], "train.epochs=1", f"hydra.run.dir={part}"]
    command("train", "model=file:mine.py:Net", *stopped, cwd=place)
    named = "model.name=file:mine.py:Net"
    command("train", f"resume={part}", named, "train.epochs=3", cwd=place)
    whole, resumed = (deconv.load_snapshot(folder / "epoch_003.pt") for folder in (run, part))
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
    for number, state in whole.optimizer["state"].items():
        for name, value in state.items():
            assert torch.equal(
                torch.as_tensor(value),
                torch.as_tensor(resumed.optimizer["state"][number][name]),
            )


def test_figures_take_it_and_its_code_has_to_be_named(trained):
    place, run = trained
    named = f"snapshot={run / 'last.pt'}"
    assert_refused("fig2_top_activations", [named], "would run the code file:mine.py:Net", place)
    assert_refused("fig4_feature_evolution", [f"run={run}"], "would run the code", place)
    # The layers that take the place of the paper's are those of the run's own network.
    own = [f"run={run}", "model=file:mine.py:Net", "maps_each=2", "figure.formats=[png]"]
    (*_, folder), _ = command("fig4_feature_evolution", *own, cwd=place)
    assert (place / folder / "figure.png").is_file()
    chosen = ["model=file:mine.py:Net", "maps.first=[1,2]", "maps.relu:2=[0,1]", "k=2"]
    (*_, folder), _ = command("fig2_top_activations", named, *chosen, cwd=place)
    facts = (place / folder / "provenance.json").read_text()
    notes = json.loads(facts)["panels"]
    assert notes["first"] == "before its ReLU; receptive field 5×5 px, stride 2"
    assert notes["relu:2"].startswith("receptive field")
