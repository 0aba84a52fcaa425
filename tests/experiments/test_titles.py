"""What layers are called in figures, and what captions say of a network of others."""

import torch

import deconv
from experiments.kit.command import compose, settings_of
from experiments.kit.facts import describe_network, training_facts
from experiments.kit.inputs import weights_snapshot
from experiments.kit.titles import layer_title, titles_of


def test_titles_are_the_papers_then_those_that_are_known_then_those_that_are_given():
    facts = {"titles": titles_of("torchvision/squeezenet1_0", {"features.3": "mine"})}
    layers = ("conv1", "fc7", "conv3:z", "pool2", "features.3", "features.12", "features.2")
    titles = [layer_title(layer, facts) for layer in layers]
    assert titles == ["Layer 1", "Layer 7", "Layer 3", "pool2", "mine", "fire9", "features.2"]


def test_the_caption_tells_what_weights_learnt_and_not_where_they_lie(tmp_path):

    path = tmp_path / "weights.pt"
    torch.save(deconv.build("torchvision/squeezenet1_1", 5).module.state_dict(), path)
    model = ["model=torchvision/squeezenet1_1", f"model.weights={path}"]
    model += ["model.trained_on=imagenet", "model.titles={features.3: first fire}"]
    cfg = settings_of(compose("fig2_top_activations", model))
    snapshot = weights_snapshot(cfg)
    words = describe_network({"model": snapshot.recipe, "training": training_facts(snapshot, None)})
    assert "imagenet" in words
    assert "weights.pt" in words
    assert str(tmp_path) not in words
    assert titles_of("torchvision/squeezenet1_1", cfg.model.titles)["features.3"] == "first fire"
