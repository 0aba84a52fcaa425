"""Images that two data sets share: planted ones are found, and correlation is NumPy's."""

import numpy as np
import pytest
import torch

from deconv.errors import DeconvError
from deconv.scenes import Scenes
from deconv.studies import overlap
from deconv.studies.overlap import find_overlap, thumbnails


class Pictures:
    """Squares from a list."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index >= len(self.images):
            raise IndexError
        return self.images[index], 0


@pytest.fixture(scope="module")
def scenes():
    return [Scenes(30, 5, 64)[i][0] for i in range(30)]


def test_thumbnails_correlate_as_numpy_says(scenes):
    images = torch.stack(scenes[:6])
    thumbs = thumbnails(images, 16)
    for i in range(6):
        for j in range(6):
            grey = [
                np.tensordot([0.299, 0.587, 0.114], scenes[k].numpy().astype(float), 1)
                .reshape(16, 4, 16, 4)
                .mean((1, 3))
                .ravel()
                for k in (i, j)
            ]
            wanted = np.corrcoef(*grey)[0, 1]
            assert float(thumbs[i] @ thumbs[j]) == pytest.approx(wanted, abs=1e-5)
    plain = torch.full((1, 3, 64, 64), 130, dtype=torch.uint8)
    assert not thumbnails(plain, 16).any(), "a plain image is like nothing"


def test_planted_twins_are_found_and_nothing_else(scenes, monkeypatch):
    noise = torch.randint(-6, 7, (3, 64, 64), generator=torch.Generator().manual_seed(0))
    noisy = (scenes[4].int() + noise).clamp(0, 255).to(torch.uint8)
    darker = (scenes[8].float() * 0.6 + 20).to(torch.uint8)
    target = Pictures([*scenes[:12], noisy, darker])
    source = Pictures([*scenes[12:30], scenes[8], scenes[4], scenes[4]])
    monkeypatch.setattr(overlap, "CHUNK", 5)
    monkeypatch.setattr(overlap, "BATCH", 4)
    found = find_overlap(target, source, progress=False)
    pairs = [(twin.target, twin.source) for twin in found]
    assert pairs == [(4, 19), (8, 18), (12, 19), (13, 18)], "of equals the first"
    assert all(0.95 <= twin.correlation <= 1 for twin in found)
    exact = find_overlap(target, source, threshold=1.0, progress=False)
    assert [twin.target for twin in exact] == [4, 8]
    assert not find_overlap(Pictures(scenes[:9]), Pictures(scenes[9:]), progress=False)


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.1])
def test_a_threshold_outside_its_range_is_refused(scenes, threshold):
    with pytest.raises(DeconvError, match="threshold must be above 0"):
        find_overlap(Pictures(scenes[:1]), Pictures(scenes[:1]), threshold, progress=False)
