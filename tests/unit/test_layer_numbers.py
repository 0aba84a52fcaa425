"""Layers by number: one rule for chains, graphs, the library and the command line."""

import pytest
import torch
from command_line import composed
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.mining.map_statistics import map_points
from experiments.kit.command import settings_of

PX = 64


@pytest.fixture(scope="module")
def nets():
    """A chain, a graph, and a graph whose modules' own names are numbers."""
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten())
    return {
        "chain": deconv.build("zfnet_mini", 4),
        "graph": deconv.wrap(Two(), "two", 8),
        "numbered": deconv.wrap(plain, "numbered", 8),
    }


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(self, x):
        return self.second(self.first(x).relu()).flatten(1)


@pytest.mark.parametrize(
    ("net", "number", "name"),
    [("chain", 2, "conv2"), ("graph", 2, "second"), ("numbered", 2, "2"), ("numbered", 1, "1")],
)
def test_a_number_counts_the_layers_unless_it_is_a_name(nets, net, number, name):
    net = nets[net]
    assert net.check_point(number) == net.check_point(str(number)) == name
    assert map_points(net, number) == map_points(net, str(number)) == map_points(net, name)
    images = torch.randn(1, 3, net.input_px, net.input_px)
    with torch.no_grad():
        record = net.record(images, [str(number), name], logits=False)
    assert torch.equal(record.activations[str(number)], record.activations[name])
    assert net.before(str(number)) == net.before(name)
    fields = [deconv.receptive_field(net, n, 0, 0, (64, 64)) for n in (str(number), name)]
    assert fields[0] == fields[1]
    units = torch.tensor([[0, 0, 1, 1]])
    pair = [deconv.project(net, record, n, units, seed="one") for n in (str(number), name)]
    assert torch.equal(*pair) and pair[0].any()


@pytest.mark.parametrize(("net", "number", "last"), [("chain", 9, "fc7"), ("graph", 0, "second")])
def test_a_number_beyond_the_layers_names_the_ends(nets, net, number, last):
    net = nets[net]
    with pytest.raises(DeconvError, match=f"no number {number}: 1 is .*{len(net.layers)} is"):
        net.check_point(number)


@pytest.mark.parametrize(
    ("stem", "setting", "expected"),
    [
        ("fig2_top_activations", "page=[[20],[1,conv2]]", [["20"], ["1", "conv2"]]),
        ("fig4_feature_evolution", "layers=[1,20]", ["1", "20"]),
        ("fig5_invariance", "layers=[1,7]", ["1", "7"]),
        ("table1_correspondence", "layers=[5]", ["5"]),
        ("truth_projections", "layers=[5]", ["5"]),
        ("feature_maps", "layers=[5]", ["5"]),
        ("fig7_occlusion", "layer=5", "5"),
    ],
)
def test_numbers_on_the_command_line_are_names(stem, setting, expected):
    settings = settings_of(composed(stem, [setting]))
    assert getattr(settings, setting.partition("=")[0]) == expected
