"""Choosing maps and units: by strength, by class, whole fields alone; both splits as one."""

import numpy as np
import pytest
import torch

import deconv
from deconv.data import Joined
from deconv.errors import DeconvError
from deconv.fields import unclipped_field, whole_units
from deconv.mining.chosen_maps import selective_maps, selectivity, strongest_maps
from deconv.records import Peaks
from deconv.scenes import Scenes


def peaks_of(value, image):
    value, image = torch.tensor(value), torch.tensor(image)
    return Peaks(value, image, torch.zeros_like(image), torch.zeros_like(image))


def test_the_strongest_maps_and_those_of_a_class():
    peaks = peaks_of(
        [[5.0, 4, 1], [9, 0, 0], [7, 6, 5], [8, 2, 1], [0, 0, 0]],
        [[0, 1, 2], [1, 0, 2], [2, 3, 0], [0, 2, 1], [0, 1, 2]],
    )
    live = peaks.value[:, 0] > 0
    assert strongest_maps(peaks.value[:, 0], live, 3).tolist() == [1, 3, 2]
    assert strongest_maps(peaks.value[:, 0], live, 9).tolist() == [1, 3, 2, 0], "none that is dead"
    of_class = torch.tensor([True, True, False, False])
    # By hand: images 0 and 1 are of the class; a peak that is 0 is no hit.
    np.testing.assert_allclose(selectivity(peaks, of_class), [2 / 3, 1 / 3, 1 / 3, 2 / 3, 0])
    assert selective_maps(peaks, of_class, live, 4).tolist() == [3, 0, 1, 2]


@pytest.fixture(scope="module")
def net():
    return deconv.build("zfnet_mini", num_classes=3, input_px=64)


def test_whole_units_by_looking_at_each(net):
    for layer in ("conv1", "conv2", "pool1"):
        _, height, width = net.calls.values[layer].shape
        inside = []
        for y in range(height):
            for x in range(width):
                top, left, bottom, right = unclipped_field(net, layer, y, x, (64, 64))
                if min(top, left) >= 0 and max(bottom, right) <= 64:
                    inside.append((y, x))
        top, left, bottom, right = whole_units(net, layer, (64, 64), (height, width))
        assert inside == [(y, x) for y in range(top, bottom) for x in range(left, right)]
    with pytest.raises(DeconvError, match="every unit of conv5 is cut"):
        whole_units(net, "conv5", (64, 64), net.calls.values["conv5"].shape[1:])


def test_mining_whole_fields_is_mining_the_inner_units(net):
    torch.manual_seed(1)
    images = 60 * torch.randn(5, 3, 64, 64)
    found = deconv.top_activations(net, [images], ["conv1", "conv2", "fc7"], 3, whole_fields=True)
    for layer in ("conv1", "conv2"):
        values = net.record(images, [layer]).activations[layer]
        top, left, bottom, right = whole_units(net, layer, (64, 64), tuple(values.shape[2:]))
        masked = torch.full_like(values, -1)
        masked[:, :, top:bottom, left:right] = values[:, :, top:bottom, left:right]
        peaks = found[layer]
        for number in (0, 7, 40):
            best = masked[:, number].flatten(1).max(dim=1)
            order = best.values.argsort(descending=True, stable=True)[:3]
            torch.testing.assert_close(peaks.value[number], best.values[order])
            assert peaks.image[number].tolist() == order.tolist()
            at = best.indices[order]
            assert (peaks.y[number] * values.shape[3] + peaks.x[number]).tolist() == at.tolist()
    plain = deconv.top_activations(net, [images], ["fc7"], 3)
    assert torch.equal(found["fc7"].value, plain["fc7"].value), "it has no border"


def test_two_splits_as_one():
    parts = [Scenes(3, 1, 32), Scenes(4, 2, 32)]
    both = Joined(parts)
    assert len(both) == 7 and both.targets == parts[0].targets + parts[1].targets
    for i in range(7):
        part, number = (0, i) if i < 3 else (1, i - 3)
        assert both.place(i) == (part, number)
        assert torch.equal(both[i][0], parts[part][number][0])
        assert both.scene(i).box == parts[part].scene(number).box
    assert both.paths is None and both.fingerprint() != Joined(parts[::-1]).fingerprint()
    with pytest.raises(IndexError):
        both[7]
    parts[1].classes = parts[1].classes[:5]
    with pytest.raises(DeconvError, match="other classes"):
        Joined(parts)
