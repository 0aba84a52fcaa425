"""Feature maps: counts against loops, points against hooks, the command's files, refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from commands import assert_refused, command
from torch import nn
from torch.utils.data import DataLoader

import deconv
from deconv import figures
from deconv.distributed import Share
from deconv.errors import DeconvError
from deconv.mining.map_statistics import map_points, map_statistics, ordered_maps
from deconv.networks import build
from experiments.feature_maps import check, check_images, shown_layers
from experiments.feature_maps_page import scales_of
from experiments.feature_maps_tables import depth_trend
from experiments.kit.command import compose
from experiments.kit.inputs import given

PX = 64


@pytest.fixture(scope="module")
def resnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = torchvision.models.resnet50(num_classes=5).eval()
    return made, deconv.wrap(made, "resnet50", PX)


# The library


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
    with pytest.raises(DeconvError, match="relu has NaN values"):
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


# The figure's parts


def test_scales_and_shared_boxes():
    maps = np.array([[[1.0, -4.0]], [[0.0, 0.0]], [[2.0, 0.5]]])
    assert scales_of(maps, 3, "map").tolist() == [4, 1, 2]
    assert scales_of(maps, 3, "layer").tolist() == [4, 4, 4]
    assert scales_of(None, 2, "map").tolist() == [1, 1]
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [0, 0, 2, 2]])
    assert figures.shared_boxes(boxes) == [((0, 0, 2, 2), [1, 3]), ((1, 1, 3, 3), [2])]


def test_the_trend_is_read_from_ranks():
    def rows(*sparsity):
        return [{"sparsity": s, "activated": True} for s in sparsity]

    assert depth_trend(rows(0.1, 0.2, 0.25, 0.9))["spearman"] == 1
    assert depth_trend(rows(0.9, 0.5, 0.4))["spearman"] == -1
    # By hand: ranks 2 1 4 3, squared differences 4, 1 - 6·4/(4·15) = 0.6.
    assert depth_trend(rows(0.2, 0.1, 0.4, 0.3))["spearman"] == pytest.approx(0.6)
    assert depth_trend([*rows(0.1, 0.2), {"sparsity": 0, "activated": False}])["spearman"] is None


# The command


@pytest.fixture(scope="module")
def made(smoke_run, tmp_path_factory):
    """The command on that network: (its folder, snapshot)."""
    lines, _ = command(
        "feature_maps", "size=smoke", f"snapshot={smoke_run / 'last.pt'}", "images=[3,8]",
        "layers=[2,conv5,fc8]", "maps=4", cwd=tmp_path_factory.mktemp("maps"),
    )  # fmt: skip
    return Path(lines[-1]), deconv.load_snapshot(smoke_run / "last.pt")


def test_the_command_keeps_what_the_network_answers(made):
    folder, snapshot = made
    net = snapshot.network()
    arrays = np.load(folder / "arrays.npz")
    units = list(csv.DictReader((folder / "units.csv").open()))
    assert len(units) == 2 * 3 * 4
    scenes = deconv.data.Scenes(36, 2, snapshot.mean.shape[-1])
    for i, number in enumerate((3, 8)):
        inputs = deconv.data.prepare(scenes[number][0], snapshot.mean, net.input_px)
        seen = net.record(inputs[None], ["conv2", "conv2:z", "conv5"]).activations
        for layer in ("conv2", "conv5"):
            maps = arrays[f"{i}/{layer}/maps"]
            wanted = seen[layer][0, maps].numpy()
            np.testing.assert_allclose(arrays[f"{i}/{layer}/a"], wanted, rtol=1e-4, atol=1e-4)
            mine = [u for u in units if u["layer"] == layer and u["shown"] == str(i + 1)]
            for row, values in zip(mine, wanted, strict=True):
                y, x = np.unravel_index(values.argmax(), values.shape)
                assert (int(row["y"]), int(row["x"])) == (y, x)
                box = deconv.receptive_field(net, layer, y, x, (net.input_px,) * 2)
                assert tuple(int(row[k]) for k in ("top", "left", "bottom", "right")) == box
        z = seen["conv2:z"][0, arrays[f"{i}/conv2/maps"]].numpy()
        np.testing.assert_allclose(arrays[f"{i}/conv2/z"], z, rtol=1e-4, atol=1e-3)
    assert "0/fc8/a" not in arrays and arrays["0/fc8/z"].shape[1:] == (1, 1)
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert [r["layer"] for r in rows] == [*"conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8".split()]
    assert [r["activated"] for r in rows] == ["True"] * 7 + ["False"]
    record = [deconv.data.prepare(scenes[i][0], snapshot.mean, net.input_px) for i in range(12)]
    values = net.record(torch.stack(record), ["conv3"]).activations["conv3"].numpy()
    share = np.mean([(values[:, c] > 0).mean() for c in range(values.shape[1])])
    assert float(rows[2]["share_above_0"]) == pytest.approx(share, abs=1e-4)
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["data"]["images_measured"] == 12 and facts["depth"]["layers"] == 7


def test_redrawing_gives_the_same_files(made, tmp_path):
    folder, _ = made
    lines, _ = command("feature_maps", f"redraw={folder}", cwd=tmp_path)
    for name in ("figure.png", "figure.pdf", "arrays.npz", "table.csv", "units.csv"):
        assert (Path(lines[-1]) / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_command_takes_a_foreign_network(tmp_path):
    lines, _ = command(
        "feature_maps", "model=torchvision/resnet18", "model.weights=random", "data=scenes_smoke",
        "model.input_px=64", "layers=[2,20,layer4.1.relu:2]", "maps=3", "scale=layer",
        "order=first", "images_measured=3", cwd=tmp_path,
    )  # fmt: skip
    facts = json.loads((Path(lines[-1]) / "provenance.json").read_text())
    assert [layer["layer"] for layer in facts["layers"]][-1] == "layer4.1.relu:2"
    told = facts["choices"]["preprocessing"]
    assert "minus the mean colour (123.7, 116.3, 103.5)" in told
    assert told.endswith("divided by (58.4, 57.1, 57.4), red, green and blue")
    assert (Path(lines[-1]) / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["scale=maps"], "unknown scale 'maps'"),
        (["order=last"], "unknown order 'last'"),
        (["maps=0"], "maps=0 cannot be shown"),
        (["images_measured=0"], "needs at least one"),
        (["layers=[conv1,1]"], "layers names conv1 twice"),
        (["layers=[9]"], "no number 9"),
        (["layers=[conv9]"], "unknown layer"),
        (["images=[99]"], "there is no image 99"),
        (["images=[none.png]"], "cannot read the image none.png"),
        (["count=7"], "7 images on one page"),
    ],
)
def test_what_cannot_be_shown_is_refused(overrides, words):
    cfg = compose("feature_maps", ["size=smoke", *overrides])
    net, data = build("zfnet_mini", 17), deconv.data.Scenes(36, 2, 147)
    with pytest.raises(DeconvError, match=words):
        check(cfg, net, data)
        check_images(cfg, None, net, data)


def test_a_refusal_leaves_nothing(smoke_run, tmp_path):
    snapshot = f"snapshot={smoke_run / 'last.pt'}"
    assert_refused(
        "feature_maps", ["size=smoke", snapshot, "layers=[44]"], "no number 44", tmp_path
    )


def test_layers_are_spread_over_the_depth_where_none_is_named():
    cfg = compose(
        "feature_maps", ["model=torchvision/resnet18", "model.weights=random", "data=scenes_smoke"]
    )
    net = given(cfg).network()
    names = [pair.layer for pair in shown_layers(cfg, net)]
    convolutions = [n for n, m in net.module.named_modules() if isinstance(m, nn.Conv2d)]
    assert len(names) == 5 and names[0] == convolutions[0] and names[-1] == convolutions[-1]
    assert names == sorted(names, key=convolutions.index)
