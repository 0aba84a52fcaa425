"""What a sidecar says of engine and preprocessing is what was done, for foreign networks too."""

import pytest
import torch
from torch import nn

import deconv
from deconv.deconvnet import painting, way_down
from experiments.kit.facts import deconvnet_choices, engines, preprocessing

SIDE = 16


class Residual(nn.Module):
    """A chain up to `first`, a branch after it: as ResNets are."""

    def __init__(self):
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 4, 3, stride=2), nn.ReLU()
        self.inner, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.end = nn.Linear(4 * 7 * 7, 5)

    def forward(self, x):
        x = self.first(self.stem(x))
        x = self.last(self.inner(x) + x)
        return self.end(x.flatten(1))


def networks():
    torch.manual_seed(0)
    chain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 7 * 7, 5)
    )
    return {
        "own": (deconv.build("zfnet_mini", num_classes=3, seed=0), ["conv1", "conv5"]),
        "chain": (deconv.wrap(chain, input_px=SIDE), ["1", "2"]),
        "residual": (
            deconv.wrap(
                Residual(),
                input_px=SIDE,
                normalize=([0.5] * 3, [0.229, 0.224, 0.225]),
            ),
            ["first", "last"],
        ),
    }


@pytest.mark.parametrize("name", ["own", "chain", "residual"])
def test_the_engine_is_the_one_that_paints(name, monkeypatch):
    net, layers = networks()[name]
    used = []

    def noting(engine, send):
        def noted(*arguments, **options):
            used.append(engine)
            return send(*arguments, **options)

        return noted

    for engine, place, function in (
        ("mirror", way_down, "mirror"),
        ("mirror", painting, "mirror_patches"),
        ("vjp", way_down, "up"),
    ):
        monkeypatch.setattr(place, function, noting(engine, getattr(place, function)))
    images = 50 * torch.randn(1, 3, net.input_px, net.input_px)
    record = net.record(images, layers, logits=False)
    for layer in layers:
        unit = torch.tensor([[0, *(record.activations[layer][0] > 0).nonzero()[0].tolist()]])
        deconv.project(net, record, layer, unit)
        assert engines(net, [layer]) == used[-1], layer
    assert len(used) == len(layers)
    both = {"own": "mirror", "chain": "vjp", "residual": "vjp"}
    assert engines(net, layers) == both[name]


def test_preprocessing_tells_the_mean_and_the_division():
    nets = networks()
    pixels = torch.arange(3.0 * 20 * 20).view(3, 20, 20)
    colour = torch.tensor([123.7, 116.3, 103.5]).view(3, 1, 1).expand(3, 20, 20)
    own = preprocessing(nets["own"][0], pixels)
    assert "minus the per-pixel training mean" in own and own.endswith("no division")
    theirs = preprocessing(nets["residual"][0], colour)
    assert "minus the mean colour (123.7, 116.3, 103.5)" in theirs
    assert "divided by (58.4, 57.1, 57.4)" in theirs and "no division" not in theirs
    assert f"centre crop of {SIDE} px" in theirs and "per-pixel" not in theirs
    scaled = preprocessing(deconv.build("zfnet_mini", 3, std=(58.4, 57.1, 57.4)), colour)
    assert scaled.endswith("divided by (58.4, 57.1, 57.4), red, green and blue")
    told = deconvnet_choices(nets["residual"][0], "sum", colour, ["last"])
    assert told["engine"] == "vjp" and told["preprocessing"] == theirs
    assert told["relu"] == "on the top-down signal, at each ReLU"
