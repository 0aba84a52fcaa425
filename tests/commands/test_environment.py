"""Commands in environments that are not the developer's: styles, locales, paths, clocks, seeds."""

import os
import subprocess
import sys

import pytest
from command_line import ROOT
from hostile_style import MATPLOTLIBRC

pytestmark = pytest.mark.fault("hostile environment")

PAGE = """
import sys
from pathlib import Path
import numpy as np
from deconv import figures
maps = np.random.default_rng(0).normal(size=(2, 9, 3, 8, 8))
patches, inside = (maps.clip(-2, 2) * 60 + 128).astype(np.uint8), np.ones((2, 9, 8, 8), bool)
numbers = np.arange(2)
panel = figures.Panel("Layer 1", "a note", 1, 2, numbers, maps, patches, inside)
figures.save(figures.top_activations([[panel]], "a caption"), Path(sys.argv[1]))
"""


def typed(*arguments, cwd, **environment):
    """A process of its own, `python <arguments>`: (exit status, stdout, stderr) as bytes."""
    known = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(os.fsencode, arguments)],
        cwd=cwd,
        env=known | environment,
        capture_output=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", ["nonsense", "module://matplotlib_inline.backend_inline", "qtagg", "svg"]
)
def test_a_users_settings_of_matplotlib_change_no_pixel(tmp_path, backend):
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC)
    rc = str(tmp_path / "matplotlibrc")
    status, _, err = typed("-c", PAGE, ".", cwd=tmp_path)
    assert status == 0, err
    status, _, err = typed("-c", PAGE, "spoilt", cwd=tmp_path, MATPLOTLIBRC=rc, MPLBACKEND=backend)
    assert status == 0 and err == b"", err
    for name in ("figure.png", "figure.pdf"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "spoilt" / name).read_bytes()
