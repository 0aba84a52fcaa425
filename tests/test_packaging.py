"""What is shipped: a wheel with the library alone, configurations that compose, honest numbers."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deconv.networks import build
from deconv.training import Recipe
from experiments.kit.command import CONF, compose

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_holds_the_library_alone_and_works_elsewhere(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("deconv", "experiments", "scripts", "conf", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels = tmp_path / "wheels"
    subprocess.run(
        [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(wheels)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"deconv"}
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "deconv").rglob("*.py")}
    assert modules == {name for name in inside if name.endswith(".py")}
    assert "deconv/pretrained/zfnet_mini.safetensors" in inside
    program = (
        "import torch, deconv, deconv.data, pathlib; "
        f"assert pathlib.Path(deconv.__file__).is_relative_to({str(tmp_path)!r}); "
        "net = deconv.load_snapshot('zfnet_mini').network(); "
        "image, label = deconv.data.Scenes(3, 0, 128)[1]; "
        "r = net.record(net.preprocess(image)[None], ['conv2']); "
        "u = (r.activations['conv2'] > 0).nonzero()[:1]; "
        "print(float(deconv.project(net, r, 'conv2', u).abs().sum()) > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "True", done.stderr


def options(group):
    return [
        p.relative_to(CONF / group).with_suffix("").as_posix()
        for p in (CONF / group).rglob("*.yaml")
    ]


@pytest.mark.parametrize("stem", ["train", "fig2_top_activations"])
@pytest.mark.parametrize("group", ["size", "model", "data", "train"])
def test_every_choice_of_every_group_composes(stem, group):
    for choice in options(group):
        cfg = compose(stem, [f"{group}={choice}"])
        assert cfg.train.epochs > 0 and cfg.model.name and cfg.data.name
        Recipe(
            **{
                k: tuple(v) if k in ("lr_drops", "snapshot_epochs") else v
                for k, v in cfg.train.items()
            }
        )


def test_a_choice_on_the_command_line_beats_that_of_the_size():
    cfg = compose("train", ["size=smoke", "data=caltech101", "model=alexnet"])
    assert (cfg.data.name, cfg.model.name, cfg.train.epochs) == ("caltech101", "alexnet", 2)


def test_the_paper_s_recipe_is_the_paper_s():
    """Section 3: the numbers that it states."""
    cfg = compose("train", ["size=paper"])
    stated = {"batch_size": 128, "lr": 0.01, "momentum": 0.9, "epochs": 70, "max_rms": 0.1}
    assert {key: cfg.train[key] for key in stated} == stated
    assert list(cfg.train.snapshot_epochs) == [1, 2, 5, 10, 20, 30, 40, 64]  # Figure 4
    assert cfg.train.crops == "ten" and cfg.train.weight_decay == 0
    assert (
        cfg.train.optimizer == "sgd"
        and cfg.train.test_crops == "ten"
        and cfg.train.schedule == "plateau"
    )
    assert (cfg.model.name, cfg.data.name, cfg.model.init) == ("zfnet", "imagenet", None)
    dropped = {n: m.p for n, m in build("zfnet", 2).named_children() if n.startswith("drop")}
    assert dropped == {"drop6": 0.5, "drop7": 0.5}


def test_the_readme_shows_the_numbers_of_the_results():
    """The blocks between the markers are what scripts/keep_results.py writes from the files."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import keep_results
    finally:
        sys.path.pop(0)
    assert list(keep_results.RESULTS.glob("*.json"))
    text = (ROOT / "README.md").read_text()
    assert keep_results.block() in text and keep_results.ledger_block() in text


def test_every_file_that_the_readme_shows_is_there():
    links = re.findall(r"\]\(([^):#]+)\)", (ROOT / "README.md").read_text())
    assert links and all((ROOT / link).is_file() for link in links), links


def test_results_name_the_weights_and_choices_they_come_from():
    for path in (ROOT / "experiments" / "results").glob("trained_*.json"):
        kept = json.loads(path.read_text())
        assert len(kept["weights_sha256"]) == 16 and kept["figures"], path
        for figure in kept["figures"]:
            assert figure["data"]["fingerprint"] and figure["choices"]["collisions"]
