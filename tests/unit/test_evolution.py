"""How features change during training: turnover, settling and jumps, by hand and by loops."""

import math

import numpy as np
import pytest
import torch

import deconv
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.mining.random_maps import live_maps_first, random_maps
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.studies.evolution import (
    evolution,
    jumps,
    map_turnover,
    settled_at,
    strongest_views,
    turnover,
)


def blank(maps, k):
    nothing = torch.zeros(maps, k, dtype=torch.long)
    return Peaks(torch.zeros(maps, k), nothing, nothing, nothing)


def peaks(rows):
    """Peaks with the given images of each map, best first; None is an activation of 0."""
    image = torch.tensor([[0 if i is None else i for i in row] for row in rows])
    value = torch.tensor([[0.0 if i is None else 9.0 - n for n, i in enumerate(r)] for r in rows])
    return Peaks(value, image, torch.zeros_like(image), torch.zeros_like(image))


def turnover_by_hand(course):
    """The mean over maps with sets and loops."""
    out = [math.nan]
    for t in range(1, len(course)):
        shares = []
        for number in range(len(course[0].value)):
            sets = [
                {
                    int(at.image[number, rank])
                    for rank in range(at.image.shape[1])
                    if at.value[number, rank] > 0
                }
                for at in course[t - 1 : t + 1]
            ]
            if sets[1]:
                shares.append(len(sets[1] - sets[0]) / len(sets[1]))
        out.append(sum(shares) / len(shares) if shares else math.nan)
    return out


def test_turnover_settling_and_jumps_of_a_typed_out_course():
    course = [
        peaks([[1, 2, 3], [4, 5, 6], [None, None, None], [0, 1, 2]]),
        peaks([[3, 2, 1], [7, 5, 8], [0, 1, 2], [None, None, None]]),
        peaks([[3, 1, None], [5, 7, 8], [2, 1, 9], [None, None, None]]),
        peaks([[3, 1, 2], [5, 7, 8], [2, 9, 1], [None, None, None]]),
    ]
    found = evolution(course, threshold=0.5)
    assert found.strongest.tolist() == [[1, 4, -1, 0], [3, 7, 0, -1], [3, 5, 2, -1], [3, 5, 2, -1]]
    assert found.jumped.tolist() == [
        [False, False, False, False],
        [True, True, True, False],
        [False, True, True, False],
        [False, False, False, False],
    ]
    assert map_turnover(course[0], course[1]).tolist()[:3] == pytest.approx([0, 2 / 3, 1])
    assert math.isnan(map_turnover(course[0], course[1])[3])
    wanted = [math.nan, 5 / 9, 1 / 9, 1 / 9]
    assert found.turnover == pytest.approx(wanted, nan_ok=True)
    assert found.settled == 1
    assert evolution(course, threshold=0.1).settled is None
    assert evolution(course, threshold=0.6).settled == 0


def test_turnover_and_jumps_agree_with_plain_loops():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        maps, k, steps = rng.integers(1, 6), rng.integers(1, 10), rng.integers(1, 6)
        course = []
        for _ in range(steps):
            image = np.stack([rng.permutation(12)[:k] for _ in range(maps)])
            value = -np.sort(-np.maximum(rng.normal(0.5, size=(maps, k)), 0), axis=1)
            fields = torch.from_numpy(value), *(torch.from_numpy(image) for _ in range(3))
            course.append(Peaks(*fields))
        assert turnover(course) == pytest.approx(turnover_by_hand(course), nan_ok=True)
        found = evolution(course, 0.5)
        for t in range(steps):
            for number in range(maps):
                now, before = (
                    int(at.image[number, 0]) if at.value[number, 0] > 0 else -1
                    for at in (course[t], course[t - 1])
                )
                assert int(found.strongest[t, number]) == now
                assert bool(found.jumped[t, number]) == (t > 0 and now >= 0 and now != before)


@pytest.mark.parametrize(
    ("shares", "settled"),
    [
        ([math.nan, 0.9, 0.8, 0.7], None),
        ([math.nan, 0.9, 0.4, 0.3], 1),
        ([math.nan, 0.4, 0.6, 0.3], 2),
        ([math.nan, 0.1, 0.1, 0.5], None),
        ([math.nan, 0.4, 0.4, 0.4], 0),
        ([math.nan, 0.1, math.nan, 0.1], 2),
        ([math.nan, 0.1, 0.1, math.nan], None),
        ([math.nan], None),
    ],
)
def test_settled_is_the_first_snapshot_after_which_turnover_stays_low(shares, settled):
    assert settled_at(shares, 0.5) == settled
    after = [i for i in range(len(shares) - 1) if all(v < 0.5 for v in shares[i + 1 :])]
    assert settled == (after[0] if after else None), "by the definition"


def test_other_networks_are_not_compared():
    with pytest.raises(DeconvError, match="3 maps and the next 2"):
        turnover([blank(3, 2), blank(2, 2)])
    assert not jumps(torch.tensor([[1, -1]])).any()


def test_live_maps_are_drawn_by_seed_and_dead_ones_last():
    live = torch.tensor([True, False, True, True, False, True, True, True])
    alive = set(live.nonzero().flatten().tolist())
    for draw in (random_maps, live_maps_first):
        first = draw(live, 3, seed=0, layer="conv1")
        assert live[first].all() and first.tolist() == sorted(set(first.tolist()))
        assert torch.equal(first, draw(live, 3, seed=0, layer="conv1"))
        others = [draw(live, 3, seed, f"conv{n}") for seed in range(4) for n in range(5)]
        assert len({tuple(other.tolist()) for other in others}) > 4
    assert set(live_maps_first(live, 7, 0, "conv1").tolist()) > alive
    assert set(random_maps(live, 7, 0, "conv1").tolist()) == alive


def test_a_dead_map_leaves_an_empty_tile():
    net = deconv.build("zfnet_mini", 3, input_px=64, init="he", seed=0)
    with torch.no_grad():
        net.conv2.weight[1], net.conv2.bias[1] = 0, -1
    crops = CentreCrops(Scenes(10, 0, 74), torch.full((3, 74, 74), 128.0), 64)
    loader = torch.utils.data.DataLoader(crops, batch_size=32)
    found = deconv.top_activations(net, loader, ["conv2"], progress=False)["conv2"]
    for maps in ([0, 1, 2], [1]):
        views = strongest_views(net, crops, "conv2", found, torch.tensor(maps))
        for row, number in enumerate(maps):
            dead = number == 1
            assert (views["image"][row] == -1) == (views["y"][row] == -1) == dead
            assert views["inside"][row].any() != dead
            assert (np.abs(views["projection"][row]).max() > 0) != dead
        assert views["projection"].shape == (len(maps), 3, 17, 17)
