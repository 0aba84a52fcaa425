"""Commands in environments that are not the developer's: styles, locales, paths, clocks, seeds."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import ROOT, SMALLEST, command
from hostile_style import MATPLOTLIBRC

import deconv
from deconv.standard_streams import show_all

pytestmark = pytest.mark.fault("hostile environment")

PAGE = """
import sys
from pathlib import Path
import numpy as np
from deconv import figures
maps = np.random.default_rng(0).normal(size=(2, 9, 3, 8, 8))
patches, inside = (maps.clip(-2, 2) * 60 + 128).astype(np.uint8), np.ones((2, 9, 8, 8), bool)
numbers = np.arange(2)
window, painted = np.array([[0, 0, 8, 8]] * 2), {"projections": maps}
panel = figures.Panel("Layer 1", "a note", 2, numbers, painted, patches, inside, window)
figures.save(figures.top_activations([[panel]], "a caption"), Path(sys.argv[1]))
"""


def typed(*arguments, cwd, timeout_s=300, **environment):
    """A process of its own, `python <arguments>`: (exit status, stdout, stderr) as bytes."""
    known = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(os.fsencode, arguments)],
        cwd=cwd,
        env=known | environment,
        capture_output=True,
        timeout=timeout_s,
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
    page, spoilt = (tmp_path / name / "figure.png" for name in (".", "spoilt"))
    assert page.read_bytes() == spoilt.read_bytes()


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
PLACES = ["a b/é ü 犬", os.fsdecode(b"caf\xe9 \xff")]
DRAWN = ("figure.png", "table.csv", "findings.json")


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=["unicode", "bytes"])
@pytest.mark.parametrize("locale", [ASCII, {"LC_ALL": "C.UTF-8"}], ids=["ascii", "utf-8"])
def test_in_any_locale_and_folder_files_are_the_same(tmp_path, locale, place):
    """And the last line, as bytes, is the folder; what one locale wrote another reads."""
    where = tmp_path / place
    where.mkdir(parents=True)
    status, out, err = typed("-m", "experiments.fig3_architecture", cwd=where, **locale)
    assert status == 0 and b"Traceback" not in err, err
    folder = Path(os.fsdecode(out.splitlines()[-1]))
    assert folder.is_relative_to(where)
    for other in (ASCII, {"LC_ALL": "C.UTF-8"}):
        asked = ("-m", "experiments.fig3_architecture", f'redraw="{folder}"')
        status, out, err = typed(*asked, cwd=where, **other)
        assert status == 0 and b"Traceback" not in err, err
        again = Path(os.fsdecode(out.splitlines()[-1]))
        for name in DRAWN:
            assert (again / name).read_bytes() == (folder / name).read_bytes()
    (folder / "table.csv").read_bytes().decode("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=["unicode", "bytes"])
def test_a_training_goes_on_in_an_ascii_locale(tmp_path, place):
    where = tmp_path / place
    where.mkdir(parents=True)
    asked = ("-m", "experiments.train", *SMALLEST, "pictures=each")
    status, out, err = typed(*asked, "train.epochs=1", cwd=where, **ASCII)
    assert status == 0 and b"Traceback" not in err, err
    folder = os.fsdecode(out.splitlines()[-1])
    asked = ("-m", "experiments.train", f'resume="{folder}"', "train.epochs=2")
    status, out, err = typed(*asked, cwd=where, **ASCII)
    assert status == 0 and b"epoch 2/2" in out + err, err
    status, _, err = typed("-m", "experiments.train", "model=é", cwd=where, **ASCII)
    assert status == 2 and err.startswith(b"error: ") and b"Traceback" not in err
    status, out, err = typed("-m", "experiments", cwd=where, **ASCII)
    assert status == 0 and b"train " in out, err


class Latin(io.TextIOWrapper):
    """A stream that takes no letter beyond ASCII."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="ascii", errors="strict", write_through=True)


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("1×1", rb"1\xd71"),
        ("caf\udce9", b"caf\xe9"),
        ("犬", rb"\u72ac"),
        ("\U0001f9a9", rb"\U0001f9a9"),
    ],
)
def test_what_an_encoding_lacks_is_escaped_and_bytes_stay(monkeypatch, words, printed):
    monkeypatch.setattr(sys, "stdout", stream := Latin())
    show_all()
    print(words)
    assert stream.buffer.getvalue() == printed + b"\n"


TOO_LONG = "x" * 300


@pytest.mark.parametrize("folder", ["/proc/nothing", "file/x", TOO_LONG, f"new/{TOO_LONG}"])
@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir", "resume"])
def test_a_folder_that_cannot_be_made_ends_with_what_to_do(tmp_path, folder, key):
    (tmp_path / "file").write_text("")
    many = ["-m"] * (key == "hydra.sweep.dir")
    asked = [*many, *SMALLEST, f"{key}={folder}"]
    _, error = command("train", *asked, cwd=tmp_path, fails=True)
    assert error.startswith(("error: cannot use ", "error: there is no run folder "))
    assert folder[-9:] in error and "Traceback" not in error
    assert ("choose another folder by hydra.run.dir=" in error) or key == "resume"


@pytest.mark.slow
def test_a_missing_compiler_is_said_with_what_to_do(tmp_path):
    none = {
        "CXX": "/no/compiler",
        "PATH": "/no/programs",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    }
    asked = ("-m", "experiments.train", *SMALLEST, "train.compile=true")
    status, _, err = typed(*asked, cwd=tmp_path, **none)
    assert status == 2 and b"Traceback" not in err, err
    assert b"error: compile=True, but the network cannot be compiled here (" in err
    assert b"install a C++ compiler" in err


@pytest.mark.slow
def test_neither_a_clock_set_back_nor_the_hash_seed_changes_a_run(tmp_path):
    """One runs through; the other stops, and then all its files are of tomorrow."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    asked = ("-m", "experiments.train", *SMALLEST)
    for seed, *rest in (
        ("0", *asked, f"hydra.run.dir={whole}", "train.epochs=2"),
        ("1", *asked, f"hydra.run.dir={parts}", "train.epochs=1"),
        ("7", *asked[:2], f"resume={parts}", "train.epochs=2"),
    ):
        status, _, err = typed(*rest, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert status == 0, err
        tomorrow = time.time() + 86400
        for path in parts.glob("*"):
            os.utime(path, (tomorrow, tomorrow))
    one, other = (deconv.load_snapshot(folder / "last.pt") for folder in (whole, parts))
    assert one.epoch == other.epoch == 2
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    rows = zip(one.history, other.history, strict=True)
    assert all(a[key] == b[key] for a, b in rows for key in a if "second" not in key)


@pytest.mark.slow
def test_the_hash_seed_changes_no_byte_of_a_figure(tmp_path):
    made = []
    for seed in ("0", "123"):
        asked = (
            "-m",
            "experiments.image_crops",
            "size=smoke",
            "snapshot=zfnet_mini",
            "layer=conv5",
        )
        status, out, err = typed(*asked, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert status == 0, err
        made.append(Path(os.fsdecode(out.splitlines()[-1])))
    for name in ("figure.png", "arrays.npz", "table.csv"):
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes(), name
