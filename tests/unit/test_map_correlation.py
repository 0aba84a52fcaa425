"""Correlations of maps over a data set, against loops and typed-out cases."""

import numpy as np
import pytest
import torch
from oracles import randn
from torch.utils.data import DataLoader

import deconv
from deconv.distributed import Share
from deconv.errors import DeconvError
from deconv.studies.map_correlation import map_correlations, redundancy


class _Images(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], 0


def loop_correlation(one, other):
    """Pearson's, number by number."""
    n = len(one)
    mean, mean_other = sum(one) / n, sum(other) / n
    both = sum((a - mean) * (b - mean_other) for a, b in zip(one, other, strict=True))
    spread = sum((a - mean) ** 2 for a in one) * sum((b - mean_other) ** 2 for b in other)
    return both / spread**0.5 if spread else float("nan")


def test_correlations_are_those_of_loops():
    net = deconv.build("zfnet_mini", 3, input_px=32, fc_width=4, init="he", norm="local", seed=0)
    with torch.no_grad():
        net.conv1.weight[2], net.conv1.bias[2] = 0, -1  # dead
        net.conv1.weight[3], net.conv1.bias[3] = 0, 0.3  # the same everywhere
        net.conv1.weight[5], net.conv1.bias[5] = 2 * net.conv1.weight[4], 2 * net.conv1.bias[4]
    images = randn(5, 3, 32, 32).float()
    loader = DataLoader(Share(_Images(images), 2), batch_size=2)
    points = ["conv1", "norm1"]
    found = map_correlations(net, loader, points, progress=False)
    values = net.record(images, points).activations
    for point in points:
        maps = [values[point][:, c].double().flatten().tolist() for c in range(7)]
        pairs = []
        for a in range(7):
            for b in range(7):
                wanted = loop_correlation(maps[a], maps[b])
                still = point == "conv1" and {a, b} & {2, 3}
                assert np.isnan(float(found[point][a, b])) == bool(still)
                if not still:
                    assert float(found[point][a, b]) == pytest.approx(wanted, abs=1e-6)
                    pairs += [abs(wanted)] if a != b else []
        assert redundancy(found[point][:7, :7]) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    assert float(found["conv1"][4, 5]) == pytest.approx(1)


def test_redundancy_of_typed_cases():
    nan = float("nan")
    one = torch.tensor([[1.0, -0.5, nan], [-0.5, 1.0, nan], [nan, nan, nan]])
    assert redundancy(one) == 0.5
    assert redundancy(torch.tensor([[1.0, 0.2, 0.6], [0.2, 1, -0.1], [0.6, -0.1, 1]])) == (
        pytest.approx(0.3)
    )
    assert np.isnan(redundancy(torch.ones(1, 1))) and np.isnan(redundancy(one[1:, 1:]))


def test_correlating_refuses_nothing_and_nan():
    net = deconv.build("zfnet_mini", 3, input_px=32, fc_width=4, seed=0)
    with pytest.raises(DeconvError, match="yields no image"):
        map_correlations(net, [], ["conv1"], False)
    with pytest.raises(DeconvError, match="at least one layer"):
        map_correlations(net, [], [], False)
    with pytest.raises(DeconvError, match=r"conv1 of .* holds NaN"):
        map_correlations(net, [(torch.full((1, 3, 32, 32), torch.nan), 0)], ["conv1"], False)
