"""The mathematics, with the lowest versions of all packages that pyproject.toml says will do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("python3.10", "python3.11")
"""Those that the lowest versions are built for; 3.10 is the lowest declared."""

TOOLS = ("pytest", "hypothesis", "captum")
"""Of the extra `test`: what the files below import."""

FULL = {"opencv-python-headless==4.9": "opencv-python-headless==4.9.0.80"}
"""Releases whose numbers have more parts than the declared one."""

MATHEMATICS = (
    "test_pooling",
    "test_geometry",
    "test_mirror",
    "test_vjp",
    "test_projection",
    "test_round_trip",
    "test_top_activations",
    "test_training",
    "test_occlusion",
    "test_sparse_coding",
)
"""Files of tests/unit."""


def lowest(requirement):
    """The lowest version that a requirement allows, as a pin; what follows a semicolon is kept."""
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9][0-9a-z.]*)(?:,<[0-9.]+)?", requirement.strip())
    if not found:
        raise ValueError(f"{requirement!r} states no lowest version")
    pin = "==".join(found.groups())
    return FULL.get(pin, pin)


def pins(project):
    """Pins of everything that the library, the experiments and these tests need."""
    extras = project["optional-dependencies"]
    tools = [one for one in extras["test"] if re.split(r"[><=]", one)[0] in TOOLS]
    return [lowest(one) for one in (*project["dependencies"], *extras["experiments"], *tools)]


def declared():
    """The section `project` of pyproject.toml."""
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml takes Python 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def interpreter():
    """One of PYTHONS that runs and can make environments; None if there is none."""
    for name in PYTHONS:
        if path := shutil.which(name):
            asked = (
                f"import ensurepip, sys; assert 'python%d.%d' % sys.version_info[:2] == {name!r}"
            )
            if subprocess.run([path, "-c", asked], capture_output=True).returncode == 0:
                return path
    return None


IGNORED = shutil.ignore_patterns("__pycache__", "results")


def copied(folder):
    """The checkout without the library, which is imported from where it is installed."""
    for name in ("tests", "experiments", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def commands(python, folder):
    """What is run one after the other: make, fill, install, look, test."""
    own = str(folder / "env" / "bin" / "python")
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    files = [f"tests/unit/{name}.py" for name in MATHEMATICS]
    where = "import deconv, sys; sys.exit(not deconv.__file__.startswith(sys.prefix))"
    return {
        "environment": [python, "-m", "venv", str(folder / "env")],
        "packages": [*pip, *pins(declared())],
        "library": [*pip, "--no-deps", str(ROOT)],
        "look": [own, "-c", where],
        "tests": [own, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
    }


@pytest.mark.slow
def test_the_mathematics_holds_with_the_lowest_versions(tmp_path):
    """Some GB are downloaded."""
    if (python := interpreter()) is None:
        pytest.skip(f"the lowest versions take one of {', '.join(PYTHONS)}, and none is here")
    place = copied(tmp_path / "checkout")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_"))}
    for what, words in commands(python, tmp_path).items():
        done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)
        said = done.stdout + done.stderr
        if what == "packages" and done.returncode:
            assert "conflict" not in said, said
            pytest.skip(f"the lowest versions cannot be had here: {said.splitlines()[-1]}")
        assert done.returncode == 0, f"{what}: {said}"


# Its parts


def test_the_lowest_version_is_read_off_a_requirement():
    assert lowest("torch>=2.4") == "torch==2.4"
    assert lowest("hydra-core>=1.3.8,<1.4") == "hydra-core==1.3.8"
    assert lowest("opencv-python-headless>=4.9") == "opencv-python-headless==4.9.0.80"
    for wrong in ("torch", "torch==2.4", "torch<3"):
        with pytest.raises(ValueError, match="states no lowest version"):
            lowest(wrong)


def test_everything_that_is_declared_is_pinned_at_its_lowest():
    project = declared()
    found = dict(pin.split("==") for pin in pins(project))
    needed = {re.split(r"[><=]", one)[0] for one in project["dependencies"]}
    assert found.keys() == needed | {"hydra-core", "jinja2", "scikit-learn", *TOOLS}
    assert found["torch"] == "2.4" and found["hydra-core"] == "1.3.8"
    assert project["requires-python"] == f">={PYTHONS[0].removeprefix('python')}"


def test_what_is_run_names_files_that_are_there(tmp_path):
    words = commands(sys.executable, tmp_path)
    assert list(words) == ["environment", "packages", "library", "look", "tests"]
    files = [word for word in words["tests"] if word.endswith(".py")]
    assert len(files) == len(MATHEMATICS) and all((ROOT / name).is_file() for name in files)
    place = copied(tmp_path / "checkout")
    assert all((place / name).is_file() for name in files) and not (place / "deconv").exists()
    imported = re.findall(r"^(?:import|from) (\w+)", "".join(map(text, files)), re.M)
    of_tests = {"pytest", "hypothesis", "captum", "timm", "pytorchcv"}
    assert of_tests & set(imported) == set(TOOLS), "what is imported is installed"


def text(name):
    return (ROOT / name).read_text()
