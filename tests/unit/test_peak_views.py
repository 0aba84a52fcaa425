"""The pictures of peaks: the right unit of the right image, cut where it looked."""

import dataclasses

import pytest
import torch

import deconv
from deconv.errors import DeconvError
from deconv.records import Peaks

SIDE = 64


class Images:
    """Random preprocessed images; their pictures are their own numbers as bytes."""

    def __init__(self, count):
        generator = torch.Generator().manual_seed(2)
        self.pixels = torch.randn(count, 3, SIDE, SIDE, generator=generator).double() * 40

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return self.pixels[index], 0

    def picture(self, index):
        return (self.pixels[index] + 128).clamp(0, 255).byte()


@pytest.fixture(scope="module")
def net():
    return deconv.build("zfnet_mini", 5, input_px=SIDE, fc_width=16, init="he", seed=0).double()


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv5", "fc6"])
def test_each_view_is_the_crop_of_a_projection_made_alone(net, layer):
    data = Images(20)
    peaks = deconv.top_activations(net, torch.utils.data.DataLoader(data, 7), [layer], k=3)[layer]
    live = (peaks.value > 0).all(1).nonzero().flatten()[:4]
    views = deconv.peak_views(net, data, layer, peaks, live, data.picture)
    for i, number in enumerate(live.tolist()):
        for rank in range(3):
            image, y, x = (int(f[number, rank]) for f in (peaks.image, peaks.y, peaks.x))
            record = net.record(data.pixels[image][None], [layer])
            assert views.value[i, rank] == peaks.value[number, rank]
            value = record.activations[layer][0, number]
            value = value[y, x] if value.dim() else value
            assert float(value) == pytest.approx(float(peaks.value[number, rank]), rel=1e-9)
            alone = deconv.project(net, record, layer, torch.tensor([[0, number, y, x]]))[0]
            box = deconv.receptive_field(net, layer, y, x, (SIDE, SIDE))
            assert views.box[i, rank].tolist() == list(box)
            top, left = views.offset[i, rank].tolist()
            canvas = views.projection[i, rank]
            restored = torch.zeros_like(alone)
            patch = data.picture(image)
            for row in range(canvas.shape[1]):
                for column in range(canvas.shape[2]):
                    at = (top + row, left + column)
                    seen = box[0] <= at[0] < box[2] and box[1] <= at[1] < box[3]
                    assert bool(views.inside[i, rank, row, column]) == seen
                    if seen:
                        restored[:, at[0], at[1]] = canvas[:, row, column]
                        painted = views.patch[i, rank, :, row, column]
                        assert torch.equal(painted, patch[:, at[0], at[1]])
                    else:
                        assert (canvas[:, row, column] == 0).all()
            assert torch.allclose(restored, alone, rtol=1e-9, atol=1e-12 * float(alone.abs().max()))


@pytest.mark.filterwarnings("ignore::deconv.DeadUnitWarning")
def test_fewer_images_than_peaks_leave_blank_views(net):
    data = Images(2)
    peaks = deconv.top_activations(net, [data.pixels], ["conv3"], k=3)["conv3"]
    views = deconv.peak_views(net, data, "conv3", peaks, [4, 0])
    assert views.image[:, 2].tolist() == [-1, -1]
    assert not views.patch[:, 2].any() and not views.projection[:, 2].any()
    assert not views.inside[:, 2].any() and not views.box[:, 2].any()
    two = deconv.top_activations(net, [data.pixels], ["conv3"], k=2)["conv3"]
    both = deconv.peak_views(net, data, "conv3", two, torch.tensor([4, 0]), data.picture)
    for name in ("patch", "projection", "box", "value", "inside"):
        assert torch.equal(getattr(views, name)[:, :2], getattr(both, name)), name
    nothing = Peaks(*(getattr(peaks, n)[:, 2:] for n in ("value", "image", "y", "x")))
    with pytest.raises(DeconvError, match="none of these maps of conv3 has a peak"):
        deconv.peak_views(net, data, "conv3", nothing, [0])
    with pytest.raises(DeconvError, match="list has no pictures to show: give picture="):
        deconv.peak_views(net, [data[0], data[1]], "conv3", peaks, [0])


def test_peaks_become_units_and_pictures(net):
    data = Images(4)
    peaks = deconv.top_activations(net, [data.pixels], ["conv3"], k=6)["conv3"]
    units = peaks.units([5, 2])
    by_hand = [
        [int(peaks.image[m, i]), m, int(peaks.y[m, i]), int(peaks.x[m, i])]
        for m in (5, 2)
        for i in range(4)
    ]
    assert units.tolist() == by_hand, "without those that are missing"
    found = deconv.project_peaks(net, data, "conv3", peaks, [5, 2])
    record = net.record(torch.stack([data[i][0] for i in range(4)]), ["conv3"])
    wanted = deconv.project(net, record, "conv3", units)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9 * float(wanted.abs().max()))


def test_views_hold_everything_a_figure_needs(net):
    data = Images(3)
    peaks = deconv.top_activations(net, [data.pixels], ["conv4"], k=2)["conv4"]
    maps = (peaks.value > 0).all(1).nonzero().flatten()[:2]
    views = deconv.peak_views(net, data, "conv4", peaks, maps, data.picture, collisions="max")
    shapes = {f.name: tuple(getattr(views, f.name).shape) for f in dataclasses.fields(views)}
    side = shapes["patch"][-1]
    assert shapes["projection"] == shapes["patch"] == (2, 2, 3, side, side)
    assert shapes["inside"] == (2, 2, side, side) and shapes["box"] == (2, 2, 4)


def test_a_field_that_is_the_whole_image_is_shown_as_the_whole_image():
    """Group normalisation looks at all positions, so there is no smaller patch to cut."""
    torch.manual_seed(0)
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.GroupNorm(2, 4), torch.nn.ReLU(), torch.nn.Flatten()
    )
    net = deconv.wrap(made.double(), "grouped", SIDE)
    data = Images(3)
    batch = torch.stack([data[i][0] for i in range(3)])
    peaks = deconv.top_activations(net, [batch], ["2"], k=2, progress=False)["2"]
    views = deconv.peak_views(net, data, "2", peaks, torch.tensor([1, 3]), data.picture)
    assert (views.box == torch.tensor([0, 0, SIDE, SIDE])).all() and views.inside.all()
    picture = data.picture(int(peaks.image[1, 0]))
    assert torch.equal(views.patch[0, 0], picture)
    record = net.record(batch, ["2"])
    unit = torch.tensor([[peaks.image[3, 1], 3, peaks.y[3, 1], peaks.x[3, 1]]])
    expected = deconv.project(net, record, "2", unit, engine="vjp")[0]
    torch.testing.assert_close(views.projection[1, 1], expected)
