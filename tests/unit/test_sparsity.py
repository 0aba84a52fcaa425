"""Feature maps: counts against loops, points against hooks, order, sparsity over depth."""

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader

import deconv
from deconv.distributed import Share
from deconv.errors import DeconvError
from deconv.mining.map_statistics import map_points, map_statistics, ordered_maps
from deconv.networks import build
from deconv.studies.feature_maps import all_activated, depth_trend, points_of

PX = 64


@pytest.fixture(scope="module")
def resnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = torchvision.models.resnet50(num_classes=5).eval()
    return made, deconv.wrap(made, "resnet50", PX)


class Typed(nn.Module):
    """A convolution of 1×1 whose maps are: red, minus red (dead where red >= 0), 1, red - 2."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:, 0, 0, 0] = torch.tensor([1.0, -1.0, 0.0, 1.0])
            self.conv.bias.copy_(torch.tensor([0.0, 0.0, 1.0, -2.0]))

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def test_counts_of_a_typed_case():
    images = torch.zeros(3, 3, 2, 2)
    images[0, 0] = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    images[1, 0] = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    net = deconv.wrap(Typed(), input_px=2)
    points = map_points(net, "1")
    assert (points.layer, points.z) == ("conv", "conv") and points.a not in (None, "conv")
    one = map_statistics(net, [(images[:2], 0), (images[2:], 0)], [points.a], False)[points.a]
    assert one.above_0.tolist() == [4, 0, 12, 2]
    assert one.values == 12 and one.images == 3
    assert one.maximum.tolist() == [5, 0, 1, 3]
    assert one.dead.tolist() == [False, True, False, False]
    assert one.saturated.tolist() == [False, False, True, False]
    assert one.active_share.tolist() == pytest.approx([1 / 3, 0, 1, 1 / 6])


def test_counts_are_those_of_loops(resnet):
    _, net = resnet
    images = torch.randn(5, 3, PX, PX, generator=torch.Generator().manual_seed(1)) * 50
    points = ["layer4.0.relu:2", "fc"]
    values = net.record(images, points).activations
    found = map_statistics(net, DataLoader(Share(_Plain(images), 2), batch_size=2), points, False)
    for point in points:
        maps = values[point].reshape(5, values[point].shape[1], -1).tolist()
        for c in range(0, len(maps[0]), 37):
            numbers = [v for image in maps for v in image[c]]
            assert int(found[point].above_0[c]) == sum(v > 0 for v in numbers)
            assert found[point].values == len(numbers)
            assert float(found[point].maximum[c]) == pytest.approx(max(numbers), rel=1e-5)
            assert bool(found[point].dead[c]) == all(not v > 0 for v in numbers)
            assert bool(found[point].saturated[c]) == all(v > 0 for v in numbers)


class _Plain(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], 0


def test_measuring_refuses_nothing_and_nan(resnet):
    _, net = resnet
    with pytest.raises(DeconvError, match="yields no image"):
        map_statistics(net, [], ["relu"], False)
    with pytest.raises(DeconvError, match=r"relu of .* holds NaN"):
        map_statistics(net, [(torch.full((1, 3, PX, PX), torch.nan), 0)], ["relu"], False)
    with pytest.raises(DeconvError, match="at least one layer"):
        map_statistics(net, [], [], False)


def test_points_of_a_residual_network_are_what_hooks_see(resnet):
    """z and a by hand, from the block's own modules; a is always z without what is below 0."""
    made, net = resnet
    expected = {
        1: ("bn1", "relu"),
        2: ("layer1.0.bn1", "layer1.0.relu:1"),
        3: ("layer1.0.bn2", "layer1.0.relu:2"),
        4: ("layer1.0.add", "layer1.0.relu:3"),
        5: ("layer1.0.add", "layer1.0.relu:3"),  # the downsampling branch ends in the same sum
        54: ("fc", None),
    }
    for number, (z, a) in expected.items():
        pair = map_points(net, number)
        assert (pair.z, pair.a) == (z, a), number
    weighty = [n for n, m in made.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    numbers = {name: i for i, name in enumerate(net.layers, 1)}
    assert set(weighty) == set(numbers) and net.check_point("20") == net.layers[19]
    images = torch.randn(1, 3, PX, PX)
    pairs = [map_points(net, n) for n in (1, 4, 20, 40, 44, 48)]
    seen = net.record(images, {p for pair in pairs for p in (pair.z, pair.a)}).activations
    for pair in pairs:
        torch.testing.assert_close(seen[pair.a], seen[pair.z].clamp(min=0), rtol=0, atol=0)
    bn = []
    hook = made.bn1.register_forward_hook(lambda m, i, out: bn.append(out.clone()))
    with torch.no_grad():
        made(images)
    hook.remove()
    torch.testing.assert_close(seen["bn1"], bn[0], rtol=0, atol=0)


def test_points_of_a_chain_and_where_nothing_follows():
    net = build("zfnet_mini", 4)
    assert map_points(net, 2) == map_points(net, "conv2") == map_points(net, "conv2:z")
    pair = map_points(net, "conv2")
    assert (pair.z, pair.a, pair.measured) == ("conv2:z", "conv2", "conv2")
    last = map_points(net, len(net.layers))
    assert (last.layer, last.a, last.measured) == ("fc8", None, "fc8")
    assert map_points(net, "pool1").a is None
    for wrong in ("0", "9", 99):
        with pytest.raises(DeconvError, match=f"no number {wrong}: 1 is conv1, 8 is fc8"):
            map_points(net, wrong)
    with pytest.raises(DeconvError, match="Did you mean 'conv1'"):
        map_points(net, "cnov1")


def test_an_activation_behind_other_maps_is_not_taken():
    """densenet's layers are concatenated before they are rectified; pools end it."""
    with torch.random.fork_rng(devices=[]):
        net = deconv.wrap(torchvision.models.densenet121(num_classes=3), "d", PX)
    assert map_points(net, "features.denseblock1.denselayer1.conv2").a is None
    assert map_points(net, "features.transition1.conv").a is None
    assert map_points(net, "features.pool0").z == "features.denseblock1.denselayer1.norm1"
    assert map_points(net, "features.conv0").a == "features.relu0"


def test_activations_side_by_side_are_a():
    """A fire module joins what two ReLUs give; a pooling of it is no activation."""
    with torch.random.fork_rng(devices=[]):
        made = torchvision.models.squeezenet1_1(num_classes=3)
        net = deconv.wrap(made, "s", PX)
        images = torch.randn(2, 3, PX, PX)
    pair = map_points(net, "features.3")
    assert (pair.z, pair.a, pair.measured) == (None, "features.3", "features.3")
    branches = []
    for one in (made.features[3].expand1x1, made.features[3].expand3x3):
        one.register_forward_hook(lambda m, i, out: branches.append(out.clone().clamp(min=0)))
    made.eval()(images)
    seen = net.record(images, ["features.3"]).activations["features.3"]
    torch.testing.assert_close(seen, torch.cat(branches[:2], 1), rtol=0, atol=0)
    assert map_points(net, "features.5").a is None


def test_maps_in_order_are_those_of_a_loop():
    values = torch.randn(9, 3, 4, generator=torch.Generator().manual_seed(0)).round()
    peaks = [max(v for row in one for v in row) for one in values.tolist()]
    expected = sorted(range(9), key=lambda c: (-peaks[c], c))[:5]
    assert len(set(peaks)) < 9, "some are equal"
    assert ordered_maps(values, 5).tolist() == expected
    assert ordered_maps(values, 5, "first").tolist() == [0, 1, 2, 3, 4]
    assert len(ordered_maps(values, 99)) == 9
    for count, order, words in ((0, "first", "at least one map"), (1, "last", "order of maps")):
        with pytest.raises(DeconvError, match=words):
            ordered_maps(values, count, order)


def test_layers_are_spread_over_the_depth_where_none_is_named(resnet):
    _, net = resnet
    names = [pair.layer for pair in points_of(net, [], 5)]
    assert names == ["relu", "layer1", "layer2", "layer3", "layer4"]
    assert [pair.layer for pair in points_of(build("mlp", 4), [], 5)] == ["fc1", "fc2", "fc3"]
    with pytest.raises(DeconvError, match="layers names conv1 twice"):
        points_of(net, ["conv1", "1"], 5)


def test_each_point_is_measured_once_in_running_order(resnet):
    _, net = resnet
    shown = points_of(net, ["54", "5"], 5)
    measured = all_activated(net, shown)
    points = [pair.measured for pair in measured]
    assert points == sorted(set(points), key=list(net.points).index)
    assert measured[-1].layer == "fc" and measured[-1].a is None
    names = [pair.layer for pair in measured]
    assert net.layers[4] in names and net.layers[3] not in names, "of two branches the shown one"


def test_the_trend_is_read_from_ranks():
    def rows(*sparsity):
        return [{"sparsity": s, "activated": True} for s in sparsity]

    assert depth_trend(rows(0.1, 0.2, 0.25, 0.9))["spearman"] == 1
    assert depth_trend(rows(0.9, 0.5, 0.4))["spearman"] == -1
    # By hand: ranks 2 1 4 3, squared differences 4, 1 - 6·4/(4·15) = 0.6.
    assert depth_trend(rows(0.2, 0.1, 0.4, 0.3))["spearman"] == pytest.approx(0.6)
    assert depth_trend([*rows(0.1, 0.2), {"sparsity": 0, "activated": False}])["spearman"] is None
