"""Projections against captum, against their definition and engine for engine; their properties."""

import copy
import dataclasses
import itertools
import warnings
from collections import OrderedDict

import pytest
import torch
from captum.attr import NeuronDeconvolution
from oracles import (
    SMALL_SIZE,
    assert_unchanged,
    chain,
    live_units,
    randn,
    randomise,
    relative_error,
    small_net,
    small_stages,
    state,
    walk_down,
)
from torch import nn

import deconv
from deconv.errors import DeadUnitWarning
from deconv.networks.chain import ChainNet
from deconv.pooling import COLLISIONS

ENGINES = ("mirror", "vjp")

IMAGES = randn(3, 3, *SMALL_SIZE, seed=7)
POINTS = small_net(norm=True).points
NORM_POINTS = ("norm1", "norm2")


@pytest.fixture(scope="module")
def plain():
    """The small net without contrast normalisation, and the record of all its points."""
    net = small_net()
    return net, net.record(IMAGES, net.points)


@pytest.fixture(scope="module")
def normed():
    """The small net with contrast normalisation, and the record of all its points."""
    net = small_net(norm=True)
    return net, net.record(IMAGES, net.points)


@pytest.fixture(scope="module")
def mini():
    """zfnet_mini on two images of 64 px, in float64, and the record of all its points."""
    net = deconv.build("zfnet_mini", 4, fc_width=8, init="he", seed=0).double()
    return net, net.record(randn(2, 3, 64, 64, seed=2) * 60, net.points)


# ------------------------------------------------------------------ other libraries and oracles


@pytest.mark.parametrize("point", [p for p in POINTS if p not in NORM_POINTS])
def test_a_projection_is_captums_deconvolution_times_the_activation(plain, point):
    net, record = plain
    twin = copy.deepcopy(net)
    twin = nn.Sequential(OrderedDict(twin.named_children())).eval()
    at = len(net.stages_to(point)) - 1
    units = live_units(record.activations[point].clamp(min=0), 2)
    for unit, pixels in zip(units, deconv.project(net, record, point, units), strict=True):
        image, *place = unit.tolist()
        place = tuple(place[: record.activations[point].dim() - 1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # captum tells of its hooks
            attribution = NeuronDeconvolution(twin, twin[at]).attribute(
                IMAGES[image : image + 1], place
            )
        expected = attribution[0] * record.activations[point][(image, *place)]
        assert expected.count_nonzero() > 0
        assert relative_error(pixels, expected.detach()) < 1e-10


@pytest.mark.parametrize("collisions", COLLISIONS)
@pytest.mark.parametrize("point", POINTS)
def test_both_engines_follow_the_definition(normed, point, collisions):
    net, record = normed
    units = live_units(record.activations[point], 3)
    assert len(units[:, 0].unique()) > 1
    expected = walk_down(net, record, point, units, collisions)
    # Zeros from other windows may erase a lone unit, but not where they are summed.
    assert expected.count_nonzero() > 0 or collisions in ("overwrite", "max")
    for engine in ENGINES:
        pixels = deconv.project(net, record, point, units, engine=engine, collisions=collisions)
        assert relative_error(pixels, expected) < 1e-10, engine


@pytest.mark.parametrize("collisions", COLLISIONS)
@pytest.mark.parametrize("point", ["conv1:z", "norm1", "conv3", "pool5", "fc6", "fc7:z", "fc8"])
def test_the_engines_agree_on_zfnet_mini(mini, point, collisions):
    net, record = mini
    units = live_units(record.activations[point], 4)
    first, second = (
        deconv.project(net, record, point, units, engine=engine, collisions=collisions)
        for engine in ENGINES
    )
    assert relative_error(first, second) < 1e-10


def test_the_engines_agree_on_zfnet():
    net = deconv.build("zfnet", 2, fc_width=2, init="he", seed=0).double()
    with torch.no_grad():
        record = net.record(randn(1, 3, 224, 224) * 60, ["conv5"], logits=False)
    units = live_units(record.activations["conv5"], 1)
    first, second = (deconv.project(net, record, "conv5", units, engine=e) for e in ENGINES)
    assert relative_error(first, second) < 1e-10


def test_the_policies_differ_where_windows_overlap(mini):
    net, record = mini
    units = live_units(record.activations["conv5"], 2)
    painted = [deconv.project(net, record, "conv5", units, collisions=c) for c in COLLISIONS]
    for one, other in itertools.combinations(painted, 2):
        assert relative_error(one, other) > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_torchs_own_response_norm_is_skipped_too(engine):
    net = chain(
        conv1=nn.Conv2d(3, 6, 3),
        relu1=nn.ReLU(),
        norm1=nn.LocalResponseNorm(5, alpha=2.0),
        conv2=nn.Conv2d(6, 4, 3),
        relu2=nn.ReLU(),
    )
    randomise(net)
    record = net.record(IMAGES, ["conv2"], logits=False)
    units = live_units(record.activations["conv2"], 3)
    expected = walk_down(net, record, "conv2", units)
    pixels = deconv.project(net, record, "conv2", units, engine=engine)
    assert relative_error(pixels, expected) < 1e-10


def test_contrast_norm_is_skipped_on_the_way_down(normed):
    net, record = normed
    without = ChainNet("without", small_stages(norm=False), {}, SMALL_SIZE[0]).double()
    without.load_state_dict(net.state_dict())
    for point in ("pool2", "conv3", "fc5"):
        units = live_units(record.activations[point], 4)
        pixels = deconv.project(net, record, point, units)
        assert torch.equal(pixels, deconv.project(without, record, point, units))


# ------------------------------------------------------------------ properties


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv1", "pool1", "conv2", "norm2", "pool2", "conv3", "pool3"])
def test_nothing_is_painted_outside_the_receptive_field(normed, point, engine):
    net, record = normed
    height, width = record.activations[point].shape[2:]
    places = [(0, 0), (height - 1, width - 1), (0, width - 1), (height // 2, width // 2)]
    units = torch.tensor([[i, c, *p] for i in range(3) for c in range(4) for p in places])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadUnitWarning)
        pixels = deconv.project(net, record, point, units, engine=engine)
    assert pixels.count_nonzero() > 0
    for unit, painted in zip(units, pixels, strict=True):
        y, x = unit[2:].tolist()
        top, left, bottom, right = deconv.receptive_field(net, point, y, x, SMALL_SIZE)
        painted[:, top:bottom, left:right] = 0
        assert painted.count_nonzero() == 0, (point, unit)


def test_the_final_pixels_keep_their_sign(plain):
    net, record = plain
    for point in POINTS:
        if point not in NORM_POINTS:
            units = live_units(record.activations[point], 8)
            assert (deconv.project(net, record, point, units) < 0).any(), point


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv1", "norm1", "conv3", "fc4", "fc5"])
def test_a_seed_of_one_changes_only_the_scale(normed, point, engine):
    net, record = normed
    units = live_units(record.activations[point].clamp(min=0), 5)
    value = record.activations[point][tuple(units[:, : record.activations[point].dim()].T)]
    ones = deconv.project(net, record, point, units, engine=engine, seed="one")
    pixels = deconv.project(net, record, point, units, engine=engine)
    assert relative_error(ones * value.view(-1, 1, 1, 1), pixels) < 1e-10
    assert relative_error(ones, walk_down(net, record, point, units, seed="one")) < 1e-10


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv2", "pool3", "fc4"])
def test_units_of_several_images_do_not_mix_whatever_the_chunk(normed, point, engine):
    net, record = normed
    units = live_units(record.activations[point], 5)
    together = deconv.project(net, record, point, units, engine=engine)
    for row in range(len(units)):
        alone = deconv.project(net, record, point, units[row : row + 1], engine=engine)
        assert relative_error(together[row], alone[0]) < 1e-12
        image = int(units[row, 0])
        own = net.record(IMAGES[image : image + 1], [point])
        unit = units[row : row + 1] * torch.tensor([0, 1, 1, 1])
        assert relative_error(deconv.project(net, own, point, unit)[0], alone[0]) < 1e-10
    for chunk in (2, 5, 100):
        parts = deconv.project(net, record, point, units, engine=engine, chunk=chunk)
        assert relative_error(parts, together) < 1e-12


def test_a_unit_asked_for_twice_is_painted_twice(normed):
    net, record = normed
    unit = live_units(record.activations["conv3"], 1)
    pixels = deconv.project(net, record, "conv3", unit.repeat(2, 1))
    assert torch.equal(pixels[0], pixels[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_no_units_give_no_pictures(normed, engine):
    net, record = normed
    none = torch.empty(0, 4, dtype=torch.int64)
    pixels = deconv.project(net, record, "conv2", none, engine=engine)
    assert pixels.shape == (0, 3, *SMALL_SIZE)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_projection_leaves_nothing_behind(engine, training):
    net = small_net(norm=True).train(training)
    record = net.record(IMAGES, net.points)
    before, kept = state(net), copy.deepcopy(dataclasses.asdict(detached(record)))
    units = live_units(record.activations["fc5"], 2)
    pixels = deconv.project(net, record, "fc5", units, engine=engine)
    assert not pixels.requires_grad
    assert_unchanged(net, before)
    after = dataclasses.asdict(detached(record))
    for part in ("activations", "switches"):
        assert all(torch.equal(after[part][name], kept[part][name]) for name in kept[part])
    assert torch.equal(after["images"], kept["images"])
    assert torch.is_grad_enabled()


def detached(record):
    return dataclasses.replace(
        record,
        activations={name: value.detach() for name, value in record.activations.items()},
        logits=None,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_dropout_plays_no_part_in_training_mode(engine):
    net = small_net(norm=True)
    record = net.record(IMAGES, ["fc5"])
    units = live_units(record.activations["fc5"], 3)
    expected = deconv.project(net, record, "fc5", units, engine=engine)
    net.train()
    assert torch.equal(deconv.project(net, record, "fc5", units, engine=engine), expected)
