"""The README's Python, run as it is printed."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deconv

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
DOWNLOAD = 'weights="DEFAULT"'
"""What needs the internet, and is left out."""


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """photos/val/<class>/*.jpg in the current folder: noise."""
    draw = np.random.default_rng(0)
    for i in range(4):
        folder = tmp_path / "photos" / "val" / f"class{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (280, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
@pytest.mark.filterwarnings("ignore::deconv.DeadUnitWarning")
def test_a_block_runs_as_printed(number, photographs):
    names = {}
    exec(BLOCKS[number].replace(DOWNLOAD, "weights=None"), names)
    if number == 0:
        assert names["pixels"].shape == (5, 3, 112, 112) and names["pixels"].any()
        assert names["pictures"].shape == (18, 3, 112, 112)
        assert names["maps"].probability.shape == (11, 11)
    if "views" in names:
        field = deconv.receptive_field(names["net"], "layer3", 7, 7, (224, 224))
        assert names["views"].projection.shape == (
            2,
            9,
            3,
            field[2] - field[0],
            field[3] - field[1],
        )
