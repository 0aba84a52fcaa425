"""What is shipped: the library as a wheel, configurations that compose, honest numbers."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import deconv
from deconv.networks import build
from deconv.training import Recipe
from experiments.kit.command import CONF, compose, settings_of
from experiments.kit.settings import DATA, MODELS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that pip makes of the checkout."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("deconv", "experiments", "scripts", "conf", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(wheels)],
        check=True,
        capture_output=True,
    )
    (path,) = wheels.glob("*.whl")
    return path


def test_the_wheel_holds_the_library_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
        about = next(name for name in inside if name.endswith(".dist-info/METADATA"))
        words = archive.read(about).decode()
        needs = re.findall(r"^Requires-Dist: ([\w-]+)(.*)$", words, re.M)
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"deconv"}
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "deconv").rglob("*.py")}
    assert modules == {name for name in inside if name.endswith(".py")}
    assert {"deconv/pretrained/zfnet_mini.safetensors", "deconv/py.typed"} <= set(inside)
    extra = {name: "extra ==" in rest for name, rest in needs}
    assert extra["hydra-core"] and extra["scikit-learn"] and not extra["torch"]
    assert f"\nVersion: {deconv.__version__}\n" in words and "\nLicense-Expression: MIT\n" in words
    assert any(name.endswith("licenses/LICENSE") for name in inside)


ELSEWHERE = """
import importlib, pathlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("hydra", "omegaconf", "experiments"):
            raise ModuleNotFoundError(f"no module named {name!r} here", name=name)

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import deconv

assert pathlib.Path(deconv.__file__).is_relative_to(sys.argv[1]), deconv.__file__
slow = {"cv2", "matplotlib", "torchvision", "torch._dynamo", "deconv.scenes", "deconv.figures"}
assert not slow & set(sys.modules), slow & set(sys.modules)
names = [one.name for one in pkgutil.walk_packages(deconv.__path__, "deconv.")]
for name in names:
    importlib.import_module(name)
assert not {"hydra", "omegaconf", "experiments"} & set(sys.modules)
net = deconv.load_snapshot("zfnet_mini").network()
image, label = deconv.scenes.Scenes(3, 0, 128)[1]
record = net.record(net.preprocess(image)[None], ["conv2"])
units = (record.activations["conv2"] > 0).nonzero()[:1]
assert float(deconv.project(net, record, "conv2", units).abs().sum()) > 0
print(*names)
"""
"""Run where neither Hydra nor the experiments can be imported."""


def test_the_wheel_works_where_there_is_no_hydra(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "site")],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    files = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / "deconv").rglob("*.py")]
    modules = {".".join(f.parts).removesuffix(".__init__") for f in files} - {"deconv"}
    assert set(done.stdout.split()) == modules, "each was imported"


def test_the_experiments_do_need_hydra():
    """Else the test above would show nothing."""
    refused = "import sys; sys.modules['hydra'] = None\nimport experiments.kit"
    done = subprocess.run([sys.executable, "-c", refused], cwd=ROOT, capture_output=True, text=True)
    assert "ModuleNotFoundError: import of hydra halted" in done.stderr


def options(group):
    """The choices of a group, those in files and those in the code."""
    files = [p.relative_to(CONF / group) for p in (CONF / group).rglob("*.yaml")]
    coded = {"model": MODELS, "data": DATA}.get(group, ())
    return [*coded, *(path.with_suffix("").as_posix() for path in files)]


@pytest.mark.parametrize("stem", ["train", "fig7_occlusion"])
@pytest.mark.parametrize("group", ["size", "model", "data", "train"])
def test_every_choice_of_every_group_composes(stem, group):
    chosen = options(group)
    assert len(chosen) >= 3
    for choice in chosen:
        cfg = settings_of(compose(stem, [f"{group}={choice}"]))
        assert cfg.train.epochs > 0 and cfg.model.name and cfg.data.name
        assert isinstance(cfg.train, Recipe)


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


LOCK = ROOT / "requirements" / "dev.lock"


def test_the_lock_has_a_hash_for_every_package_that_is_asked_for():
    """And names no registry: where the files come from is for whoever installs them to choose."""
    text = LOCK.read_text(encoding="utf-8")
    locked = dict(re.findall(r"^(\S+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}$", text, re.M))
    body = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(body) == 2 * len(locked) > 100 and "://" not in text
    wanted = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for asked in map(Requirement, re.findall(r'^    "([a-z].*?)",', wanted, re.M)):
        if asked.name != "deconv":
            assert asked.specifier.contains(locked[asked.name]), asked


@pytest.mark.slow
def test_the_audit_without_a_network_says_so():
    nothing = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PYTHON": sys.executable}
    done = subprocess.run(
        [ROOT / "scripts" / "audit"], env=nothing, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2 and "the audit needs a network" in done.stderr
