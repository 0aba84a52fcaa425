"""Numbers of numpy and PyTorch give what Python's give; bools and floats are refused in words."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

import deconv
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.mining.peak_views import peak_views
from deconv.scenes import Scenes
from deconv.studies.occlusion.maps import square_corners
from deconv.studies.single_unit.unit_function import map_size, unit_function
from deconv.whole_number import whole_number, whole_numbers

GOOD = {
    "np.int64": np.int64,
    "np.int32": np.int32,
    "np.uint8": np.uint8,
    "tensor": torch.tensor,
    "uint8 tensor": lambda v: torch.tensor(v, dtype=torch.uint8),
    "0-d array": np.array,
}
BAD = {
    "bool": bool,
    "np.bool": np.bool_,
    "bool tensor": lambda v: torch.tensor(bool(v)),
    "float": float,
    "np.float64": np.float64,
    "float tensor": lambda v: torch.tensor(float(v)),
    "text": str,
    "none": lambda v: None,
    "list": lambda v: [v],
}


@pytest.fixture(scope="module")
def world():
    """A network, images, their record and peaks, and scenes."""
    net = deconv.build("zfnet_mini", 3, fc_width=8, init="he", seed=0, input_px=64)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    peaks = deconv.top_activations(net, [images], ["conv3"], k=2, progress=False)["conv3"]
    return net, images, net.record(images, ["conv3"]), peaks, Scenes(3, 0, 72)


def views(world, maps):
    net, images, _, peaks, _ = world
    picture = torch.zeros(3, 64, 64, dtype=torch.uint8)
    return peak_views(net, [(x, 0) for x in images], "conv3", peaks, maps, lambda i: picture)


CALLS = {
    "k": lambda w, n: deconv.top_activations(w[0], [w[1]], "conv3", n(2), progress=False)["conv3"],
    "occlude target": lambda w, n: deconv.occlude(w[0], w[1][0], n(1), size_px=32, stride_px=32),
    "square size": lambda w, n: square_corners((4, 4), n(1), 2),
    "square stride": lambda w, n: square_corners((4, 4), 2, n(1)),
    "field y": lambda w, n: deconv.receptive_field(w[0], "conv3", n(1), 0, (64, 64)),
    "field x": lambda w, n: deconv.receptive_field(w[0], "conv3", 0, n(1), (64, 64)),
    "field of an image": lambda w, n: deconv.receptive_field(w[0], "conv3", 0, 1, (n(64), n(64))),
    "unit's map": lambda w, n: unit_function(w[0], "conv3", n(1)).map,
    "unit's position": lambda w, n: unit_function(w[0], "conv3", 1, (n(1), n(1))).box,
    "map of a layer": lambda w, n: map_size(w[0], "conv3", n(1)),
    "units": lambda w, n: deconv.project(w[0], w[2], "conv3", [(n(1), 0, 0, n(1))]),
    "chunk": lambda w, n: deconv.project(w[0], w[2], "conv3", torch.ones(2, 4).long(), chunk=n(1)),
    "traced unit": lambda w, n: deconv.trace(w[0], w[2], "conv3", (n(1), 0, 0, n(1))).unit,
    "maps": lambda w, n: views(w, [n(1), n(2)]),
    "scene": lambda w, n: w[4][n(1)],
    "crop": lambda w, n: CentreCrops(w[4], torch.zeros(3, 72, 72), 64)[n(1)],
    "classes and seed": lambda w, n: (lambda net: (net.recipe, *net.state_dict().values()))(
        deconv.build("mlp", n(3), input_px=8, fc_width=4, seed=n(1))
    ),
    "transform's target": lambda w, n: deconv.transform_response(
        w[0],
        torch.zeros(3, 72, 72).byte(),
        torch.zeros(3, 72, 72),
        n(1),
        "rotation",
        [9.0],
        ["conv1"],
    ),
}


def assert_same(one, other):
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        one, other = vars(one), vars(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = tuple(one.values()), tuple(other.values())
    if isinstance(one, tuple | list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.filterwarnings("ignore::deconv.DeadUnitWarning")
@pytest.mark.parametrize("call", CALLS)
def test_every_kind_of_integer_gives_what_python_s_gives(world, call):
    expected = CALLS[call](world, int)
    for kind in GOOD.values():
        assert_same(CALLS[call](world, kind), expected)


WORDS = r"whole numbers|rows of one length|must be integers|takes a list"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_integer_is_refused_in_words(world, call, kind):
    if kind == "none" and call == "classes and seed":
        return  # no seed is a seed of torch's own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", deconv.DeadUnitWarning)
        with pytest.raises(DeconvError, match=WORDS):
            CALLS[call](world, BAD[kind])


ROWS = [(0, 1, 0, 2), (3, 2, 1, 0)]


@pytest.mark.filterwarnings("ignore::deconv.DeadUnitWarning")
@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        [list(r) for r in ROWS],
        tuple(ROWS),
        np.array(ROWS),
        np.array(ROWS, np.uint16),
        np.array(ROWS)[::-1][::-1],
        torch.tensor(ROWS, dtype=torch.int32),
        list(torch.tensor(ROWS)),
        list(np.array(ROWS)),
        [[torch.tensor(v) for v in r] for r in ROWS],
    ],
)
def test_units_come_as_tensors_arrays_and_lists_of_rows(world, rows):
    net, _, record, _, _ = world
    expected = deconv.project(net, record, "conv3", torch.tensor(ROWS))
    assert torch.equal(deconv.project(net, record, "conv3", rows), expected)


@pytest.mark.parametrize(
    "maps", [range(1, 3), np.array([1, 2]), torch.tensor([1, 2]).int(), (1, 2)]
)
def test_maps_come_as_any_sequence(world, maps):
    assert_same(views(world, maps), views(world, torch.tensor([1, 2])))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ([1, 999], "there are maps 0 to 127, no map 999"),
        ([-1], "no map -1"),
        ([], "maps takes a list of maps"),
        (torch.tensor([True, False]), "maps must be integers, got torch.bool"),
        (np.array([1.0]), "maps must be integers, got float64"),
    ],
)
def test_maps_that_do_not_exist_are_refused(world, maps, message):
    with pytest.raises(DeconvError, match=message):
        views(world, maps)


def test_a_number_is_bounded_and_named():
    assert whole_number(np.int64(3), "k", 1) == 3 and type(whole_number(np.int64(3), "k")) is int
    with pytest.raises(DeconvError, match="k must be at least 1, got 0"):
        whole_number(torch.tensor(0), "k", 1)
    with pytest.raises(DeconvError, match=r"k takes whole numbers, got 1\.0"):
        whole_number(1.0, "k")
    with pytest.raises(DeconvError, match="units takes rows of one length"):
        whole_numbers([[1, 2], [1]], "units")
