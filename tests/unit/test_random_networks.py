"""Random chains, image sizes, units and options: an answer without NaN that all engines share, or a
message."""

import warnings
from collections import OrderedDict

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oracles import randn, randomise, relative_error
from torch import nn

import deconv
from deconv.deconvnet.projection import RULES, SEEDS
from deconv.errors import DeconvError
from deconv.networks.chain import ChainNet
from deconv.normalisation import ContrastNorm
from deconv.pooling import COLLISIONS

MAPS = 4


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def stages(draw):
    """Stages from the image on, by name; fully connected ones may follow."""
    made, maps = OrderedDict(), 3
    for i in range(1, draw(st.integers(1, 4)) + 1):
        groups = draw(st.sampled_from([1, 1, 2])) if maps == MAPS else 1
        window = [draw(pairs(*ends)) for ends in ((1, 4), (1, 3), (0, 3), (1, 2))]
        made[f"conv{i}"] = nn.Conv2d(maps, MAPS, *window, groups=groups, bias=draw(st.booleans()))
        maps = MAPS
        if draw(st.booleans()):
            made[f"bn{i}"] = nn.BatchNorm2d(MAPS)
        if draw(st.sampled_from([True, True, False])):
            made[f"relu{i}"] = draw(st.sampled_from([nn.ReLU, nn.ReLU6]))()
        if draw(st.booleans()):
            made[f"pool{i}"] = draw(pools())
        if draw(st.sampled_from([True, False, False])):
            made[f"norm{i}"] = draw(
                st.sampled_from([ContrastNorm(3, alpha=0.3), nn.LocalResponseNorm(2)])
            )
    if draw(st.booleans()):
        grid = draw(pairs(1, 3))
        made["grid"], made["flatten"] = nn.AdaptiveAvgPool2d(grid), nn.Flatten()
        made["fc9"] = nn.Linear(MAPS * grid[0] * grid[1], 5)
    return made


@st.composite
def pools(draw):
    kernel = draw(pairs(1, 4))
    padding = tuple(draw(st.integers(0, side // 2)) for side in kernel)
    stride, dilation = draw(pairs(1, 3)), draw(pairs(1, 2))
    return nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=draw(st.booleans()))


where = st.tuples(*(st.floats(0, 0.999) for _ in range(4)))
"""A unit (image, map, y, x), as fractions of what there is."""
options = st.fixed_dictionaries(
    {
        "seed": st.sampled_from(SEEDS),
        "collisions": st.sampled_from(sorted(COLLISIONS)),
        "chunk": st.integers(1, 5),
        "rule": st.sampled_from(RULES),
    }
)


def random_state(net, seed):
    """Random weights and statistics."""
    randomise(net, seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(randn(MAPS, seed=seed) / 4)
            module.running_var.copy_(randn(MAPS, seed=seed + 1).abs() + 0.1)
    return net


def prove(made, size, count, fractions, chosen, seed):
    """All of the properties of one network; nothing may be raised but what is expected here."""
    net = random_state(ChainNet("chain", made, {}, max(size)), seed)
    images = randn(count, 3, *size, seed=seed)
    point = net.points[-1]
    try:
        with torch.no_grad():
            plain = nn.Sequential(OrderedDict(net.stages_to(point)))(images)
        fits = plain.numel() > 0 and not plain.isinf().any() and not plain.isnan().any()
    except RuntimeError:
        fits = False
    if not fits:
        with pytest.raises(DeconvError, match=r"does not fit its|lies in the padding alone"):
            net.record(images, [point])
        return
    record = net.record(images, [point], logits=False)
    values = record.activations[point]
    assert relative_error(values, plain) < 1e-10 and values.isfinite().all()
    shape = [*values.shape, 1, 1][:4]
    units = torch.tensor(
        [[int(f * n) for f, n in zip(unit, shape, strict=True)] for unit in fractions],
        dtype=torch.int64,
    ).reshape(-1, 4)
    agree(net, record, point, units, chosen)
    refuse(net, record, point, shape, chosen)


def agree(net, record, point, units, chosen):
    """The mirror, autograd under rules, the module wrapped, chunks, one image alone; the fields."""
    vjp = deconv.project(net, record, point, units, engine="vjp", **chosen)
    size = tuple(record.images.shape[2:])
    assert vjp.shape == (len(units), 3, *size) and vjp.isfinite().all()
    if not len(units):
        return
    others = {"auto": deconv.project(net, record, point, units, **chosen)}
    others["one chunk"] = deconv.project(net, record, point, units, **chosen | {"chunk": 99})
    if chosen["rule"] == "deconvnet":
        others["mirror"] = deconv.project(net, record, point, units, engine="mirror", **chosen)
    last = net.stages_to(point)[-1][0]
    ends = () if last.startswith("fc") else (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module = nn.Sequential(
        OrderedDict([*net.stages_to(point), *((f"end{i}", end) for i, end in enumerate(ends))])
    )
    wrapped = deconv.wrap(module, "wrapped", max(size))
    again = wrapped.record(record.images, [last], logits=False)
    assert relative_error(again.activations[last], record.activations[point]) < 1e-10
    others["wrapped"] = deconv.project(wrapped, again, last, units, **chosen)
    for image in set(units[:, 0].tolist()):
        alone = net.record(record.images[image : image + 1], [point], logits=False)
        rows = units[:, 0] == image
        shifted = units[rows] * torch.tensor([0, 1, 1, 1])
        found = deconv.project(net, alone, point, shifted, **chosen)
        assert relative_error(found, vjp[rows]) < 1e-9, "one image alone"
    for name, pixels in others.items():
        assert relative_error(pixels, vjp) < 1e-9, name
    for unit, pixels in zip(units.tolist(), vjp, strict=True):
        box = deconv.receptive_field(net, point, *unit[2:], size)
        assert box == wrapped.field(last, *unit[2:], size)
        outside = pixels.clone()
        outside[:, box[0] : box[2], box[1] : box[3]] = 0
        assert not outside.any(), "a picture stays in the field"


def refuse(net, record, point, shape, chosen):
    """A unit just outside is refused."""
    for place in range(4):
        for number in (-1, shape[place]):
            unit = torch.zeros(1, 4, dtype=torch.int64)
            unit[0, place] = number
            with pytest.raises(DeconvError):
                deconv.project(net, record, point, unit, **chosen)


@pytest.mark.fault("random networks")
@pytest.mark.parametrize(
    "tries", [10, pytest.param(300, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_random_networks_answer_alike_or_with_a_message(tries, record_property):
    @settings(
        max_examples=tries,
        deadline=None,
        derandomize=tries < 100,
        database=None,
        print_blob=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        stages(),
        st.tuples(st.integers(1, 24), st.integers(1, 24)),
        st.integers(1, 3),
        st.lists(where, max_size=4),
        options,
        st.integers(0, 1000),
    )
    def proven(made, size, count, fractions, chosen, seed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prove(made, size, count, fractions, chosen, seed)

    proven()
    record_property("tries", tries)
