"""Mining against sorting all activations in plain Python, for any way of loading the data."""

import importlib
import weakref
from collections import OrderedDict

import pytest
import torch
from oracles import SMALL_SIZE, randn, small_net
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import deconv
from deconv.errors import DeconvError
from deconv.networks.chain import ChainNet

LAYERS = ("conv1", "conv2", "pool2", "norm2", "conv3", "conv3:z", "fc4", "fc5")
IMAGES = randn(41, 3, *SMALL_SIZE, seed=11)


@pytest.fixture(scope="module")
def net():
    return small_net(norm=True)


@pytest.fixture(scope="module")
def activations(net):
    """All activations of all images, layer -> N×C×h×w or N×C."""
    with torch.no_grad():
        return net.record(IMAGES, LAYERS).activations


def brute_force(activation, k):
    """For each map the k best (value, image, y, x), one an image, by Python's own sort."""
    rows = []
    for c in range(activation.shape[1]):
        best = []
        for image in range(activation.shape[0]):
            units = activation[image, c]
            units = units.tolist() if units.dim() else [[units.item()]]
            every = [
                (-value, image, y, x) for y, row in enumerate(units) for x, value in enumerate(row)
            ]
            best.append(min(every))
        best = [(-value, image, y, x) for value, image, y, x in sorted(best)[:k]]
        rows.append(best + [(-torch.inf, -1, -1, -1)] * (k - len(best)))
    return rows


def rows_of(peaks):
    """Peaks in the form of `brute_force`."""
    columns = [field.tolist() for field in (peaks.value, peaks.image, peaks.y, peaks.x)]
    return [list(zip(*maps, strict=True)) for maps in zip(*columns, strict=True)]


def assert_same(found, expected):
    """The same places in the same order; values may differ in the last bits."""
    for one, other in zip(found, expected, strict=True):
        assert [row[1:] for row in one] == [row[1:] for row in other]
        assert [row[0] for row in one] == pytest.approx([row[0] for row in other], rel=1e-12)


def mine(net, loader, layers=LAYERS, **options):
    return deconv.top_activations(net, loader, layers, **{"progress": False} | options)


@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize("batch", [1, 3, 7, 32, 50])
def test_peaks_equal_brute_force_for_any_batch_size(net, activations, batch, k):
    peaks = mine(net, DataLoader(TensorDataset(IMAGES), batch), k=k)
    assert set(peaks) == set(LAYERS)
    for layer in LAYERS:
        assert_same(rows_of(peaks[layer]), brute_force(activations[layer], k))


@pytest.mark.fault("killed pass")
def test_batch_sizes_and_workers_do_not_change_a_bit(net):
    expected = mine(net, [IMAGES], k=5)
    for batch, workers in [(1, 0), (3, 0), (7, 0), (7, 2), (32, 0), (50, 2), (64, 0)]:
        loader = DataLoader(TensorDataset(IMAGES), batch, num_workers=workers)
        found = mine(net, loader, k=5)
        assert all(rows_of(found[layer]) == rows_of(expected[layer]) for layer in LAYERS), batch


def test_nine_is_the_default_and_types_are_declared(net):
    peaks = mine(net, [IMAGES])["conv2"]
    assert all(field.shape == (6, 9) for field in vars(peaks).values())
    assert peaks.value.dtype == torch.float64
    assert {peaks.image.dtype, peaks.y.dtype, peaks.x.dtype} == {torch.int64}
    assert not peaks.value.requires_grad


@pytest.mark.fault("killed pass")
def test_single_precision_is_bit_identical_for_any_loading():
    net = deconv.build("zfnet_mini", 3, fc_width=8, init="he", seed=0)
    images = randn(34, 3, 64, 64, seed=4).float()
    expected = mine(net, [images], ["conv1", "conv5", "fc7"], k=5)
    for batch in (1, 7, 50):
        found = mine(net, images.split(batch), ["conv1", "conv5", "fc7"], k=5)
        for layer, peaks in expected.items():
            assert rows_of(found[layer]) == rows_of(peaks), (layer, batch)


def test_the_strongest_units_are_found_where_they_are(net):
    peaks = mine(net, [IMAGES], k=1)
    for layer in ("conv1", "conv3", "fc4"):
        for c, [(value, image, y, x)] in enumerate(rows_of(peaks[layer])):
            one = net.record(IMAGES[image : image + 1], [layer]).activations[layer][0, c]
            assert abs((one[y, x] if one.dim() else one).item() - value) < 1e-12


def test_a_map_has_at_most_one_peak_an_image(net):
    for layer, peaks in mine(net, [IMAGES]).items():
        for images in peaks.image.tolist():
            assert len(set(images)) == len(images), layer


def test_fully_connected_units_are_at_0_0(net):
    for layer in ("fc4", "fc5"):
        peaks = mine(net, [IMAGES])[layer]
        assert peaks.y.count_nonzero() == 0 and peaks.x.count_nonzero() == 0


def identity():
    """A network whose one layer shows the image itself, three maps."""
    conv = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.eye(3)[:, :, None, None])
        conv.bias.zero_()
    stages = OrderedDict(conv1=conv, relu1=nn.ReLU(), conv2=nn.Conv2d(3, 1, 1))
    return ChainNet("identity", stages, {}, 3).eval()


def test_ties_go_to_the_lower_image_then_y_then_x_typed_out():
    images = torch.zeros(4, 3, 2, 3)
    images[:, 0] = 5.0  # constant
    images[:, 1] = torch.tensor([[1.0, 2.0, 7.0], [7.0, 7.0, 0.0]])  # the same in all images
    images[1, 2, 1, 0] = images[3, 2, 1, 0] = images[3, 2, 1, 2] = 3.0
    images[2, 2, 0, 2] = 4.0
    for batch in (1, 2, 4):
        peaks = mine(identity(), images.split(batch), "conv1", k=3)["conv1"]
        assert rows_of(peaks) == [
            [(5.0, 0, 0, 0), (5.0, 1, 0, 0), (5.0, 2, 0, 0)],
            [(7.0, 0, 0, 2), (7.0, 1, 0, 2), (7.0, 2, 0, 2)],
            [(4.0, 2, 0, 2), (3.0, 1, 1, 0), (3.0, 3, 1, 0)],
        ]


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_duplicated_images_come_in_their_order(net, batch):
    images = IMAGES[:5].repeat(9, 1, 1, 1)
    for layer, peaks in mine(net, images.split(batch), ["conv1", "norm2", "conv3"], k=9).items():
        for value, image in zip(peaks.value, peaks.image, strict=True):
            assert (value == value[0]).all(), layer
            # A map that is 0 everywhere ties over all images, the others over nine copies.
            step = 5 if value[0] != 0 else 1
            assert image[0] < 5
            assert torch.equal(image, image[0] + step * torch.arange(9)), layer


def test_duplicated_images_have_neighbouring_peaks_in_fully_connected_layers(net):
    """A matrix product can differ in its last bit from row to row, so their order is open."""
    for peaks in mine(net, [IMAGES[:5].repeat(9, 1, 1, 1)], ["fc4:z", "fc5"], k=9).values():
        assert torch.allclose(peaks.value, peaks.value[:, :1], rtol=1e-12, atol=0)
        copies = peaks.image.sort(1).values
        assert torch.equal(copies, copies[:, :1] + 5 * torch.arange(9))


@pytest.mark.parametrize("count", [1, 4])
def test_fewer_images_than_k_leave_places_empty(net, activations, count):
    peaks = mine(net, [IMAGES[:count]], k=9)
    for layer in LAYERS:
        found = peaks[layer]
        assert found.value.shape[1] == 9
        assert (found.value[:, count:] == -torch.inf).all()
        for field in (found.image, found.y, found.x):
            assert (field[:, count:] == -1).all()
        values = activations[layer][:count].flatten(2) if activations[layer].dim() == 4 else None
        if values is not None:
            assert torch.allclose(
                found.value[:, :count], values.amax(2).T.sort(1, descending=True).values
            )
        assert (found.image[:, :count].sort(1).values == torch.arange(count)).all()


def test_labels_are_ignored_and_plain_tensors_taken(net):
    labels = torch.arange(41)
    expected = mine(net, [IMAGES], k=3)
    for loader in (
        IMAGES.split(8),
        list(zip(IMAGES.split(8), labels.split(8), strict=True)),
        [[images, 0, "more"] for images in IMAGES.split(8)],
        DataLoader(TensorDataset(IMAGES, labels), 8),
    ):
        found = mine(net, loader, k=3)
        for layer in LAYERS:
            assert rows_of(found[layer]) == rows_of(expected[layer])


def test_layers_do_not_influence_each_other(net):
    together = mine(net, [IMAGES[:9]], k=3)
    for asked in ("conv1", ["conv3:z"], ("fc5",), iter(["pool2"])):
        alone = mine(net, [IMAGES[:9]], asked, k=3)
        assert len(alone) == 1
        for layer, peaks in alone.items():
            assert rows_of(peaks) == rows_of(together[layer])


class Stream:
    """Batches of random images, made when asked for; counts how many are alive at once."""

    def __init__(self, batches):
        self.batches, self.alive, self.most = batches, 0, 0

    def __iter__(self):
        for number in range(self.batches):
            pixels = randn(16, 3, *SMALL_SIZE, seed=number).numpy()
            # The array dies with the last tensor that shares its memory.
            weakref.finalize(pixels, self.died)
            self.alive += 1
            self.most = max(self.most, self.alive)
            batch = torch.from_numpy(pixels)
            del pixels
            yield (batch,)
            del batch

    def died(self):
        self.alive -= 1


def test_no_more_images_are_held_for_a_longer_data_set(net):
    most = []
    for batches in (5, 15):
        stream = Stream(batches)
        peaks = mine(net, stream, ["conv1", "fc4"], k=3)
        assert peaks["conv1"].image.max() >= 16
        most.append(stream.most)
    assert most[0] == most[1] < 5


def test_what_is_kept_between_batches_is_c_times_k(net, monkeypatch):
    module = importlib.import_module("deconv.mining.top_activations")
    sizes = set()
    entered = module._entered

    def watched(*arguments):
        merged = entered(*arguments)
        sizes.update(field.untyped_storage().nbytes() for field in vars(merged).values())
        return merged

    monkeypatch.setattr(module, "_entered", watched)
    mine(net, IMAGES.repeat(2, 1, 1, 1).split(10), "conv2", k=2)
    assert sizes == {6 * 2 * 8}


@pytest.mark.parametrize("training", [False, True])
def test_the_training_flag_is_left_as_it_was(training):
    net = small_net(norm=True).train(training)
    expected = mine(net.eval(), [IMAGES], k=2)
    net.train(training)
    found = mine(net, [IMAGES], k=2)
    assert all(module.training is training for module in net.modules())
    assert all(rows_of(found[layer]) == rows_of(expected[layer]) for layer in LAYERS)
    assert torch.is_grad_enabled()
    assert all(p.grad is None for p in net.parameters())


class Sized(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return IMAGES[i]


@pytest.mark.parametrize(
    ("loader", "arguments", "message"),
    [
        ([], {}, "the loader yields no image"),
        ([IMAGES[:0]], {}, "the loader yields no image"),
        (DataLoader(Sized(), 2, shuffle=True), {}, "shuffles.*shuffle=False"),
        ([IMAGES], {"k": 0}, "k must be at least 1, got 0"),
        ([IMAGES], {"k": -2}, "got -2"),
        ([IMAGES], {"layers": ["conv1", "conv9"]}, r"unknown layer of small 'conv9'.*'conv1'"),
        ([IMAGES], {"layers": "conv9"}, r"unknown layer of small 'conv9'"),
        ([IMAGES], {"layers": []}, "name at least one layer of conv1:z, conv1"),
        ([torch.zeros(2, 4, *SMALL_SIZE)], {}, "takes 3 channels"),
        ([torch.zeros(2, 3, 2, 2)], {}, "small takes .* got 3×2×2"),
    ],
)
def test_what_cannot_be_mined_is_refused(net, loader, arguments, message):
    with pytest.raises(DeconvError, match=message):
        mine(net, loader, **arguments)


@pytest.mark.parametrize("sampler", [torch.utils.data.SubsetRandomSampler, None])
def test_other_random_orders_are_refused(net, sampler):
    if sampler:
        loader = DataLoader(Sized(), 2, sampler=sampler(range(4)))
    else:
        random = torch.utils.data.RandomSampler(Sized())
        loader = DataLoader(
            Sized(), batch_sampler=torch.utils.data.BatchSampler(random, 2, drop_last=False)
        )
    with pytest.raises(DeconvError, match="shuffle"):
        mine(net, loader)


@pytest.mark.fault("not finite")
@pytest.mark.parametrize("bad", [0, 33, 40])
@pytest.mark.parametrize("batch", [7, 41])
def test_nan_is_refused_with_the_image_and_the_layer(net, bad, batch):
    images = IMAGES.clone()
    images[bad, 0, 3, 3] = torch.nan
    with pytest.raises(DeconvError, match=f"conv2 of \\S+ holds NaN for image {bad} of"):
        mine(net, images.split(batch), ["conv2"])
