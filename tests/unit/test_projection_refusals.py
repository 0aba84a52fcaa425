"""What a projection refuses, and what it warns of."""

import warnings

import pytest
import torch
from oracles import SMALL_SIZE, chain, live_units, randn, relative_error, small_net, walk_down
from torch import nn

import deconv
from deconv.deconvnet.projection import ENGINES
from deconv.errors import DeadUnitWarning, DeconvError, NoRuleWarning
from deconv.rules.run import Run

IMAGES = randn(3, 3, *SMALL_SIZE, seed=7)


@pytest.fixture(scope="module")
def normed():
    """The small net with contrast normalisation, and the record of all its points."""
    net = small_net(norm=True)
    return net, net.record(IMAGES, net.points)


@pytest.mark.parametrize(
    "unit", [(3, 0, 0, 0), (0, 6, 0, 0), (0, 0, 5, 0), (0, 0, 0, 5), (-1, 0, 0, 0), (0, 0, -1, 0)]
)
def test_a_unit_outside_its_map_is_refused_with_the_numbers(normed, unit):
    net, record = normed
    units = torch.tensor([(0, 0, 0, 0), unit])
    said = rf"{unit} is outside conv2, which has 6 maps of 5×5 for each of 3 images"
    with pytest.raises(DeconvError, match=said.replace("(", r"\(").replace(")", r"\)")):
        deconv.project(net, record, "conv2", units)


def test_a_fully_connected_unit_has_y_and_x_zero(normed):
    net, record = normed
    with pytest.raises(DeconvError, match=r"fc4, which has 7 maps of 1×1"):
        deconv.project(net, record, "fc4", torch.tensor([[0, 0, 0, 1]]))


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([0, 0, 0, 0], "units must be K×4 integers"),
        ([(0, 0, 0)], "K×4"),
        (torch.zeros(4, dtype=torch.int64), "K×4"),
        (torch.zeros(1, 3, dtype=torch.int64), "K×4"),
        (torch.zeros(1, 1, 4, dtype=torch.int64), "K×4"),
        (torch.zeros(1, 4), "integers.*torch.float32"),
        (torch.zeros(1, 4, dtype=torch.bool), "integers.*torch.bool"),
        (torch.zeros(1, 4, dtype=torch.complex128), "integers.*torch.complex128"),
    ],
)
def test_units_of_a_wrong_shape_or_type_are_refused(normed, units, message):
    net, record = normed
    with pytest.raises(DeconvError, match=message):
        deconv.project(net, record, "conv2", units)


def test_a_layer_that_was_not_recorded_is_refused_with_those_that_were(normed):
    net, _ = normed
    record = net.record(IMAGES, ["conv1", "conv3"])
    with pytest.raises(DeconvError, match=r"no 'conv2'; record it .*it has conv1, conv3"):
        deconv.project(net, record, "conv2", torch.zeros(1, 4, dtype=torch.int64))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv1", "conv3"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "miror"}, "unknown projection engine 'miror'. Did you mean 'mirror'.*vjp"),
        ({"seed": "ones"}, "unknown seed 'ones'. Did you mean 'one'.*activation"),
        ({"collisions": "summ"}, "unknown collision policy 'summ'. Did you mean 'sum'.*mean"),
        ({"chunk": 0}, "chunk"),
        ({"layer": "conv9"}, "unknown layer of small 'conv9'"),
    ],
)
def test_unknown_options_are_named_with_the_nearest_ones(normed, engine, point, arguments, message):
    net, record = normed
    units = live_units(record.activations[point], 1)
    arguments = {"engine": engine, "layer": point} | arguments
    with pytest.raises(DeconvError, match=message):
        deconv.project(net, record, units=units, **arguments)


def test_an_unknown_policy_is_refused_by_the_rules():
    with pytest.raises(DeconvError, match="unknown collision policy 'summ'"):
        Run("deconvnet", collisions="summ")


def test_the_mirror_names_a_stage_that_it_cannot_go_down_through():
    net = chain(conv1=nn.Conv2d(3, 2, 1), act1=nn.Sigmoid(), conv2=nn.Conv2d(2, 2, 1))
    record = net.record(randn(1, 3, 4, 4), ["conv2"])
    units = torch.zeros(1, 4, dtype=torch.int64)
    with pytest.raises(
        DeconvError, match=r"no way down through Sigmoid \(act1\); use engine='vjp'"
    ):
        deconv.project(net, record, "conv2", units, engine="mirror")
    with pytest.warns(NoRuleWarning, match="no rule for Sigmoid.* crosses once"):
        assert deconv.project(net, record, "conv2", units, engine="vjp").count_nonzero() > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_dead_units_are_blank_and_warned_of_at_the_callers_line(normed, engine):
    net, record = normed
    dead = (record.activations["conv2"] == 0).nonzero()[:5]
    units = torch.cat([dead, live_units(record.activations["conv2"], 1)])
    with pytest.warns(DeadUnitWarning, match="5 of 6 units of conv2 have activation 0") as seen:
        pixels = deconv.project(net, record, "conv2", units, engine=engine)
    assert str(tuple(dead[0].tolist())) in str(seen[0].message)
    assert seen[0].filename == __file__
    assert pixels[:5].count_nonzero() == 0
    assert pixels[5].count_nonzero() > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_of_one_paints_dead_units_and_warns_of_none(normed, engine):
    net, record = normed
    dead = (record.activations["conv3"] == 0).nonzero()[:3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = deconv.project(net, record, "conv3", dead, engine=engine, seed="one")
    assert relative_error(pixels, walk_down(net, record, "conv3", dead, seed="one")) < 1e-10
    assert pixels.flatten(1).any(1).all()


def test_live_units_are_not_warned_of(normed):
    net, record = normed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for point in net.points:
            deconv.project(net, record, point, live_units(record.activations[point], 4))
