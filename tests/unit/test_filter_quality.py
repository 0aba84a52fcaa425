"""Strength and spectrum of filters, against loops, typed-out answers and a DFT."""

import math

import numpy as np
import pytest
import torch
from oracles import randn
from torch import nn

from deconv.errors import DeconvError
from deconv.studies.first_layers.quality import (
    aliased,
    bands,
    effective_filters,
    faint,
    filter_rms,
    filters_of_half,
    nyquist,
    responses_aliased,
    share_within,
    square_stride,
)

# Strength


def test_strengths_of_a_typed_out_layer():
    weights = torch.zeros(4, 3, 2, 2)
    weights[0] = 2.0
    weights[1, 0, 0, 0] = math.sqrt(12)
    weights[2, :, 0] = -1.0
    rms = filter_rms(weights)
    assert rms.tolist() == pytest.approx([2, 1, math.sqrt(0.5), 0])
    # Energies 4, 1, 0.5, 0.
    assert effective_filters(rms) == pytest.approx(5.5**2 / (16 + 1 + 0.25))
    assert filters_of_half(rms) == 1
    assert faint(rms, 0.4).tolist() == [False, False, True, True]
    assert faint(rms, 0.1).tolist() == [False, False, False, True]


def test_equal_one_alone_and_none():
    assert effective_filters(torch.full((7,), 0.3)) == pytest.approx(7)
    assert filters_of_half(torch.full((7,), 0.3)) == 4 and filters_of_half(torch.ones(8)) == 4
    alone = torch.tensor([0, 0, 5.0])
    assert effective_filters(alone) == 1 and filters_of_half(alone) == 1
    nothing = torch.zeros(3)
    assert effective_filters(nothing) == filters_of_half(nothing) == 0
    assert faint(nothing, 0.1).all()


def test_half_the_energy_agrees_with_a_search():
    for seed in range(20):
        rms = randn(9, seed=seed).abs()
        energy = sorted((float(r) ** 2 for r in rms), reverse=True)
        wanted = next(n for n in range(1, 10) if sum(energy[:n]) >= 0.5 * sum(energy))
        assert filters_of_half(rms) == wanted


# Spectrum


def share_by_dft(signal, frequency, bins=512):
    """The share by summing |DFT|² over a fine grid; a bin on the edge counts half a bin."""
    power = sum(np.abs(np.fft.fft2(channel, (bins, bins))) ** 2 for channel in signal)
    away = np.abs(np.fft.fftfreq(bins))
    width = 1 / bins
    # How much of each bin's interval lies inside the band.
    inside = np.clip((frequency - away) / width + 0.5, 0, 1)
    inside[away == 0.5] *= 2  # its interval goes on at the other end
    return (power * inside[:, None] * inside).sum() / power.sum()


@pytest.mark.parametrize("frequency", [0.0, 0.0625, 0.125, 0.17, 0.25, 0.4, 0.5])
@pytest.mark.parametrize("size", [(5, 5), (7, 7), (11, 11), (8, 13)])
def test_shares_agree_with_a_dft(frequency, size):
    signals = randn(3, 3, *size, seed=size[0])
    signals[1] = signals[1].cumsum(1).cumsum(2)  # smooth
    signals[2] *= torch.tensor([1.0, -1.0]).repeat(size[1])[: size[1]]
    found = share_within(signals, frequency)
    assert found.dtype == torch.float64
    for signal, share in zip(signals, found.tolist(), strict=True):
        assert share == pytest.approx(share_by_dft(signal.numpy(), frequency), abs=2e-4)


def test_shares_by_hand():
    point = torch.zeros(1, 3, 5, 5)
    point[0, 1, 2, 3] = -7.0
    for stride in (1, 2, 4):  # a point is white
        assert aliased(point, stride).item() == pytest.approx(1 - 1 / stride**2)
    pair = torch.tensor([[[[1.0, 1.0]]]])  # |1 + e^(-2πif)|² = 2 + 2 cos 2πf along x
    for f in (0.1, 0.25, 0.5):
        along = (4 * f + 2 * math.sin(2 * math.pi * f) / math.pi) / 2
        assert share_within(pair, f).item() == pytest.approx(2 * f * along)
    assert share_within(point, 0.0).item() == 0
    assert share_within(torch.zeros(2, 3, 4, 4), 0.2).isnan().all()


def test_waves_fall_on_their_side_of_the_strides_limit():
    assert [nyquist(stride) for stride in (1, 2, 4)] == [0.5, 0.25, 0.125]
    at = torch.arange(64.0)

    def wave(fy, fx):
        return torch.cos(2 * math.pi * (fy * at[:, None] + fx * at)).expand(1, 3, 64, 64)

    for stride, signal, above in (
        (2, wave(0.05, 0.1), False),
        (2, wave(0.35, 0.0), True),
        (2, wave(0.05, 0.4), True),
        (4, wave(0.05, 0.05), False),
        (4, wave(0.2, 0.05), True),
        (4, wave(0.05, 0.2), True),
        (2, wave(0.2, 0.2), False),
    ):
        share = aliased(signal, stride).item()
        # Not 1 and 0, because the waves end.
        assert share > 0.93 if above else share < 0.07, (stride, above)


def test_bands_add_up_and_are_the_steps_of_the_shares():
    signals = randn(4, 3, 7, 7, seed=1)
    found = bands(signals, (0.125, 0.25))
    assert found.shape == (4, 3) and (found > 0).all()
    assert found.sum(1).tolist() == pytest.approx([1] * 4)
    torch.testing.assert_close(found[:, 0], share_within(signals, 0.125))
    torch.testing.assert_close(found[:, 2], 1 - share_within(signals, 0.25))


@pytest.mark.parametrize("frequency", [-0.1, 0.51])
def test_frequencies_that_do_not_exist_are_refused(frequency):
    with pytest.raises(DeconvError, match=r"within 0…0\.5"):
        share_within(torch.ones(1, 1, 2, 2), frequency)


# Responses


def test_responses_are_taken_at_every_pixel():
    """Against correlation by loops and a DFT; the bias and the layer's padding do not count."""
    conv = nn.Conv2d(3, 2, 3, stride=2, padding=1)
    images = [randn(3, 9, 10, seed=seed).float() for seed in (1, 2)]
    below, total = np.zeros(2), np.zeros(2)
    for image in images:
        for number, weight in enumerate(conv.weight.detach().double().numpy()):
            dense = np.zeros((7, 8))
            for y in range(7):
                for x in range(8):
                    dense[y, x] = (image.double().numpy()[:, y : y + 3, x : x + 3] * weight).sum()
            total[number] += (dense**2).sum()
            below[number] += share_by_dft(dense[None], 0.25) * (dense**2).sum()
    found = responses_aliased(conv, iter(images))
    assert found.tolist() == pytest.approx((1 - below / total).tolist(), abs=3e-4)
    with pytest.raises(DeconvError, match="no image"):
        responses_aliased(conv, [])


def test_a_stride_of_its_own_for_each_axis_is_refused():
    assert square_stride(nn.Conv2d(3, 2, 3, stride=4)) == 4
    with pytest.raises(DeconvError, match=r"got \(1, 2\)"):
        square_stride(nn.Conv2d(3, 2, 3, stride=(1, 2)))
