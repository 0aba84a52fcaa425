"""Windows: what is painted in a part of an image is what is painted in the whole."""

import weakref

import pytest
import torch
from oracles import randn, randomise, relative_error
from torch import nn
from torchvision import models

import deconv
from deconv.deconvnet.painting import paste
from deconv.deconvnet.projection import project, project_images
from deconv.deconvnet.windows import Window, in_batches, windows_of
from deconv.mining.peak_views import project_peaks
from deconv.normalisation import LocalContrastNorm

pytestmark = pytest.mark.filterwarnings("ignore::deconv.DeadUnitWarning")


def units_of(values, seed=0):
    """The strongest units at the four corners, in the middle and at random, over all images."""
    images, maps, height, width = values.shape
    generator = torch.Generator().manual_seed(seed)
    sizes = (images, maps, height, width)
    units = torch.stack([torch.randint(0, n, (12,), generator=generator) for n in sizes], 1)
    last = (height - 1, width - 1)
    places = [(0, 0), (0, last[1]), (last[0], 0), last, (height // 2, width // 2)]
    units[: len(places), 2:] = torch.tensor(places)
    strongest = values.argmax(dim=1)
    units[:, 1] = strongest[units[:, 0], units[:, 2], units[:, 3]]
    return units


def assert_equal_to_whole(net, layer, size, **options):
    record = net.record(randn(2, 3, *size, seed=4).to(net.dtype) * 40, [layer], logits=False)
    units = units_of(record.activations[layer])
    assert windows_of(net, layer, size) is not None
    whole = project(net, record, layer, units, windows=False, **options)
    assert whole.flatten(1).abs().amax(1).count_nonzero() > 3
    for one, other in zip(project(net, record, layer, units, **options), whole, strict=True):
        assert relative_error(one, other) < 1e-10 or not other.any()


@pytest.mark.parametrize("engine", ["mirror", "vjp"])
@pytest.mark.parametrize("layer", ["conv1", "pool1", "norm1", "conv2:z", "conv3"])
@pytest.mark.parametrize("size", [(200, 200), (187, 230)])
def test_of_the_papers_chain(layer, engine, size):
    """At borders too, where strides leave a rest."""
    net = randomise(deconv.build("zfnet_mini", num_classes=3, seed=0).double())
    assert_equal_to_whole(net, layer, size, engine=engine, seed="one")


@pytest.mark.parametrize("layer", ["conv5", "pool5", "conv4:z"])
def test_patches_that_hang_over_every_border_are_the_mirror_s_whole_images(layer):
    """Also without a record: of images with many units, and with one."""
    net = randomise(deconv.build("zfnet_mini", num_classes=3, seed=0).double())
    images = randn(3, 3, net.input_px, net.input_px, seed=4) * 40
    record = net.record(images, [layer], logits=False)
    values = record.activations[layer]
    units = units_of(values)
    units = torch.cat([units[units[:, 0] < 2], units[units[:, 0] == 2][:1]])
    whole = project(net, record, layer, units, windows=False)
    assert relative_error(project(net, record, layer, units), whole) < 1e-12
    found = torch.zeros_like(whole)
    read = []

    def image_of(number):
        read.append(number)
        return images[number]

    paste(project_images(net, layer, units, values[tuple(units.T)], image_of), found)
    assert relative_error(found, whole) < 1e-12
    assert sorted(read[1:]) == [0, 1, 2], "each once, after one for its size"
    one, other = (
        project(net, record, layer, units, windows=windows, seed="one") for windows in (True, False)
    )
    assert relative_error(one, other) < 1e-12


@pytest.mark.parametrize("collisions", ["max", "mean", "overwrite"])
def test_policies_that_read_beside_the_unit_s_own_windows_run_whole_images(collisions):
    net = randomise(deconv.build("zfnet_mini", num_classes=3, seed=0).double())
    record = net.record(randn(1, 3, 150, 150, seed=4) * 40, ["conv2"], logits=False)
    units = units_of(record.activations["conv2"])
    whole = project(net, record, "conv2", units, collisions=collisions, windows=False)
    assert torch.equal(project(net, record, "conv2", units, collisions=collisions), whole)


class Branches(nn.Module):
    """Padding, dilation, ceil mode, a sum of two ways of different reach, a strided shortcut."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, 2, 2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.wide = nn.Conv2d(4, 4, 3, 2, 2, dilation=2)
        self.narrow = nn.Conv2d(4, 4, 1, 2)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.pool(torch.relu(self.stem(x)))
        x = torch.relu(self.wide(x)[..., :-1, :-1] + self.narrow(x)[..., :-1, :-1])
        return self.head(torch.relu(self.last(x)).mean((2, 3)))


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("layer", ["stem", "pool", "wide", "last"])
def test_of_a_wrapped_graph(layer, rule):
    torch.manual_seed(3)
    net = deconv.wrap(Branches().double().eval(), input_px=96)
    assert_equal_to_whole(net, layer, (96, 96), rule=rule)


@pytest.mark.parametrize(
    ("name", "layer"), [("squeezenet1_0", "features.5"), ("resnet18", "layer1")]
)
def test_of_networks_that_people_use(name, layer):
    torch.manual_seed(1)
    net = deconv.wrap(getattr(models, name)(num_classes=4).double().eval(), input_px=160)
    assert_equal_to_whole(net, layer, (160, 160))


def test_whole_images_run_where_a_unit_sees_them():
    net = deconv.build("zfnet_mini", num_classes=3, seed=0)
    size = (net.input_px, net.input_px)
    assert windows_of(net, "fc6", size) is None, "everything"
    assert windows_of(net, "conv5", (40, 40)) is None, "nearly everything"
    local = nn.Sequential(nn.Conv2d(3, 4, 3), LocalContrastNorm(), nn.Conv2d(4, 4, 3))
    head = nn.Sequential(local, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert windows_of(deconv.wrap(head, input_px=64), "0.2", (64, 64)) is None, "a mean of all"


class OneSize(nn.Module):
    """Refuses images of another size, or sees them otherwise."""

    def __init__(self, refuses):
        super().__init__()
        self.refuses, self.conv = refuses, nn.Conv2d(3, 4, 3)

    def forward(self, x):
        if self.refuses:
            assert x.shape[-1] == 48, "images of 48 px"
        return (self.conv(x) * (x.shape[-1] / 48)).relu().mean((2, 3))


@pytest.mark.parametrize("refuses", [True, False])
def test_whole_images_run_where_a_window_is_another_matter(refuses):
    torch.manual_seed(2)
    net = deconv.wrap(OneSize(refuses).double(), input_px=48)
    (point,) = (name for name in net.points if name.startswith("mul"))
    assert windows_of(net, point, (48, 48)) is not None
    record = net.record(randn(2, 3, 48, 48, seed=1), [point])
    units = units_of(record.activations[point])
    whole = project(net, record, point, units, windows=False)
    assert torch.equal(project(net, record, point, units), whole)
    images = record.images

    best = deconv.top_activations(net, [images], [point], k=2)[point]
    rows = best.units([0, 2])
    found = project_peaks(net, list(images), point, best, [0, 2])
    assert relative_error(found, project(net, record, point, rows, windows=False)) < 1e-12


def test_each_image_is_read_once_and_equal_windows_share_a_batch():
    net = deconv.build("zfnet_mini", num_classes=3, seed=0)
    window = windows_of(net, "conv2", (96, 96))
    units = torch.tensor([[i % 5, 0, 4 + i % 7, 5] for i in range(40)])
    read, images = [], []

    def image_of(number):
        alive = sum(image() is not None for image in images)
        assert alive <= 1, "of the images before, their windows alone are kept"
        read.append(number)
        image = torch.full((3, 96, 96), float(number))
        images.append(weakref.ref(image))
        return image

    seen = []
    for rows, windows, crops in in_batches(units, window, image_of, pixels_at_once=10**5):
        assert len({(one.height, one.width) for one in windows}) == 1
        assert crops.numel() <= 3 * 10**5 and len(rows) == len(windows) == len(crops)
        assert crops[:, 0, 0, 0].tolist() == units[rows, 0].tolist()
        seen += rows
    assert sorted(seen) == list(range(40)) and read == [0, 1, 2, 3, 4]


@pytest.mark.fault("killed pass")
def test_batch_sizes_change_no_peak_and_no_picture():
    net = randomise(deconv.build("zfnet_mini", num_classes=3, seed=0).double())
    images = randn(20, 3, 96, 96, seed=6) * 40
    pictures = images.clamp(0, 255).byte()
    found = []
    for size in (1, 7, 64):
        peaks = deconv.top_activations(net, images.split(size), ["conv2"], k=3)["conv2"]
        seen = pictures.__getitem__
        views = deconv.peak_views(net, list(images), "conv2", peaks, [0, 5, 9], seen, chunk=size)
        found.append((vars(peaks), vars(views)))
    for peaks, views in found[1:]:
        for mine, first in ((peaks, found[0][0]), (views, found[0][1])):
            for name, values in first.items():
                if name == "projection":
                    assert relative_error(mine[name], values) < 1e-12
                else:
                    assert torch.equal(mine[name], values), name


def test_a_window_cuts_what_it_says():
    image = torch.arange(60).view(1, 6, 10)
    window = Window(1, 2, 4, 5, 0, 0)
    assert torch.equal(window.cut(image), image[:, 1:5, 2:7])
    assert torch.equal(window.inside(window.cut(image), (2, 3, 4, 6)), image[:, 2:4, 3:6])
