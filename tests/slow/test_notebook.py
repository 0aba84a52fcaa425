"""docs/tour.ipynb runs from top to bottom, and holds what it shows."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "tour.ipynb"
CELLS = [
    cell
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    if cell["cell_type"] == "code"
]


def test_the_notebook_shows_small_pictures():
    pictures = [
        base64.b64decode(out["data"]["image/png"])
        for cell in CELLS
        for out in cell["outputs"]
        if "data" in out
    ]
    assert len(pictures) == 4 and all(one.startswith(b"\x89PNG") for one in pictures)
    assert NOTEBOOK.stat().st_size < 400_000
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in CELLS:
        exec("".join(cell["source"]), names)
    assert len(names["painted"]) == 5 and all(np.abs(one).max() > 0 for one in names["painted"])
    assert len(names["crops"]) == 8 and names["views"].patch.shape[:2] == (1, 4)
    assert names["maps"].probability.max() > names["maps"].probability.min()
    crops = float(names["peaks"].value[names["number"], 0])
    assert float(names["found"].value.max()) > crops, "the ascent goes beyond any crop"
    assert len(names["on"].found.vectors) == 2 and names["on"].fall_deg.shape == (2,)
