"""Trainings of one kind: twins, and what makes trainings unequal."""

import dataclasses

import pytest
import torch

import deconv
from experiments.kit import compose
from experiments.kit.series import twin, unequal


def test_twins_of_a_given_network_have_its_recipe():
    cfg = compose("fig6_first_layers", ["size=smoke"])
    recipe = deconv.build("zfnet_mini", 5, fc_width=8, input_px=64, seed=0).recipe
    ours = deconv.Snapshot(recipe, {}, torch.zeros(3, 74, 74), list("abcde"))
    coarse = twin(cfg, {"model.first_layer": "coarse"}, ours).model
    assert dict(coarse) == recipe | {"first_layer": "coarse"}
    assert cfg.model.fc_width is None, "left as it was"


def snapshot(**changes):
    train = {"lr": 0.01, "epochs": 10, "lr_drops": [8], "max_rms": 0.1, "seed": 0} | changes
    config = {"train": train, "data_fingerprint": train.pop("data", "f")}
    recipe = {"name": "zfnet_mini", "first_layer": train.pop("first_layer", None)}
    return deconv.Snapshot(recipe, {}, torch.zeros(1), [], train.pop("at", 5), config=config)


@pytest.mark.parametrize(
    ("changes", "apart", "wanted"),
    [
        ({}, "network", []),
        ({"first_layer": "coarse"}, "network", []),
        ({"first_layer": "coarse"}, "max_rms", ["network"]),
        ({"max_rms": None}, "max_rms", []),
        ({"max_rms": None}, "network", ["max_rms"]),
        ({"epochs": 70, "seed": 4}, "network", []),
        ({"lr_drops": [7, 9]}, "network", []),
        ({"lr_drops": [3]}, "network", ["lr_drops"]),
        ({"at": 6, "lr": 0.1, "data": "g"}, "network", ["epochs", "images", "lr"]),
    ],
)
def test_unequal_trainings_are_told(changes, apart, wanted):
    assert unequal(snapshot(), snapshot(**changes), apart) == wanted


def test_a_recipe_from_before_first_layer_is_the_same_network():
    before = dataclasses.replace(snapshot(), recipe={"name": "zfnet_mini"})
    assert unequal(snapshot(), before, "max_rms") == []
