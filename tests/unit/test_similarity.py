"""How alike two pictures are: against SciPy and against loops written from the formula."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from deconv.errors import DeconvError
from deconv.studies.sanity.similarity import correlation, rank_correlation, similarity, ssim


def pictures(seed, shape=(3, 11, 9)):
    random = np.random.default_rng(seed)
    one = random.normal(size=shape)
    other = 0.6 * one + random.normal(size=shape)
    return one, np.where(random.random(shape) < 0.4, 0, other)  # many ties


@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_scipys(seed):
    one, other = pictures(seed)
    assert correlation(one, other) == pytest.approx(pearsonr(one.ravel(), other.ravel())[0])
    wanted = spearmanr(np.abs(one).ravel(), np.abs(other).ravel()).statistic
    assert rank_correlation(one, other) == pytest.approx(wanted)
    assert abs(rank_correlation(one, other) - rank_correlation(one, -other)) == 0
    assert correlation(one, -other) == pytest.approx(-correlation(one, other))


def loop_ssim(one, other):
    """Wang et al. 2004, window by window, for pictures of at least 7 px."""

    def scaled(picture):
        magnitudes = sorted(abs(v) for v in picture.ravel().tolist() if v != 0)
        place = 0.99 * (len(magnitudes) - 1)
        lower = magnitudes[int(place)]
        upper = magnitudes[min(int(place) + 1, len(magnitudes) - 1)]
        limit = lower + (place - int(place)) * (upper - lower)
        return [[[max(-1, min(1, v / limit)) for v in row] for row in c] for c in picture.tolist()]

    a, b, values = scaled(one), scaled(other), []
    for c in range(one.shape[0]):
        for y in range(one.shape[1] - 6):
            for x in range(one.shape[2] - 6):
                p = [a[c][y + i][x + j] for i in range(7) for j in range(7)]
                q = [b[c][y + i][x + j] for i in range(7) for j in range(7)]
                mp, mq = sum(p) / 49, sum(q) / 49
                vp = sum((v - mp) ** 2 for v in p) / 48
                vq = sum((v - mq) ** 2 for v in q) / 48
                both = sum((v - mp) * (w - mq) for v, w in zip(p, q, strict=True)) / 48
                values.append(
                    (2 * mp * mq + 0.0004)
                    * (2 * both + 0.0036)
                    / ((mp**2 + mq**2 + 0.0004) * (vp + vq + 0.0036))
                )
    return sum(values) / len(values)


@pytest.mark.parametrize("seed", range(3))
def test_ssim_is_that_of_loops(seed):
    one, other = pictures(seed)
    assert ssim(one, other) == pytest.approx(loop_ssim(one, other), abs=1e-9)


def test_equal_pictures_are_alike_exactly_and_scale_does_not_count():
    one, other = pictures(0)
    assert similarity(one, one).tolist() == [1.0, 1.0, 1.0]
    assert similarity(other, other).tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(similarity(one, 37 * other), similarity(one, other))
    assert similarity(one, -one)[0] == 1 and similarity(one, -one)[1] == -1


def test_a_blank_picture_shares_nothing():
    one, _ = pictures(0)
    rank, signed, structure = similarity(one, np.zeros_like(one))
    assert rank == 0 and signed == 0 and 0 <= structure < 0.2


def test_pictures_that_cannot_be_compared_are_refused():
    one, _ = pictures(0)
    with pytest.raises(DeconvError, match="cannot be compared"):
        similarity(one, one[:, 1:])
    with pytest.raises(DeconvError, match="no structure"):
        ssim(one[:, :2], one[:, :2])
