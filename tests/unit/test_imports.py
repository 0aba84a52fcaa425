"""The import direction: each file imports downwards only, and the check is shown to fail."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Every folder of the library, and every file that lies loose in it, stands on one floor and imports
# from lower floors only. Inside a folder, files may import each other.
FLOORS = {
    "words": ["deconv.errors", "deconv.standard_streams"],
    "numbers": ["deconv.whole_number", "deconv.finite"],
    "records": ["deconv.records"],
    "operations": [
        "deconv.pooling",
        "deconv.normalisation",
        "deconv.pixels",
        "deconv.fields",
        "deconv.images",
        "deconv.distributed",
        "deconv.atomic_files",
        "deconv.locks",
    ],
    "rules": ["deconv.rules"],
    "data": ["deconv.data"],
    "drawn data": ["deconv.scenes"],
    "networks": ["deconv.networks"],
    "the way down": ["deconv.deconvnet"],
    "over a data set": ["deconv.mining", "deconv.training"],
    "questions": ["deconv.studies", "deconv.figures"],
    "all units": ["deconv.atlas"],
    "shared by experiments": ["experiments.kit"],
    "verdicts": ["experiments.verdicts"],
    "experiments": ["experiments.*"],
    "scripts": ["scripts.*"],
    "tests": ["tests.*"],
}
"""Floors from the ground up. `a.*` stands for every unit of a that is not named elsewhere."""

FACADE = "deconv"
"""deconv/__init__.py gathers the public names: it may import all of deconv."""

LIBRARIES = {
    "hydra": ["experiments.*", "scripts.*", "tests.*"],
    "omegaconf": ["experiments.*", "scripts.*", "tests.*"],
    "matplotlib": ["deconv.figures", "tests.*"],
    "jinja2": ["deconv.atlas"],
}
"""A third-party package -> the units that alone may import it."""

ONLY = {"deconv.records": {"torch", "deconv"}}
"""A unit -> the packages that it may import beside the standard library's."""

STANDARD = {"__future__", "dataclasses", "typing", "collections"}
"""What a unit of ONLY may have from the standard library."""

OURS = ("deconv", "experiments", "scripts", "tests")


def modules(root):
    """Module name -> path, of every Python file of the project."""
    found = {}
    for package in OURS:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(module, path, known):
    """(line, dotted name) of everything a file imports, wherever in it the import stands."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield node.lineno, whole if whole in known else base


def unit(module):
    """deconv.networks.chain -> deconv.networks: a sub-package is one unit."""
    return ".".join(module.split(".")[:2])


def floor(name):
    """The number of a unit's floor, None if it stands on none."""
    listed = {entry: number for number, entries in enumerate(FLOORS.values()) for entry in entries}
    if name == FACADE:
        return listed["deconv.studies"]  # seen from above; the way down is checked apart
    own, package = listed.get(name), name.partition(".")[0]
    return own if own is not None else listed.get(f"{package}.*")


def matches(name, entries):
    return any(name == e or (e.endswith(".*") and name.startswith(e[:-1])) for e in entries)


def violations(root):
    """One line for each import that breaks a rule, and for each file that stands on no floor."""
    known, wrong = modules(root), []
    for module, path in known.items():
        here, place = unit(module), path.relative_to(root)
        if floor(here) is None and module not in OURS:
            wrong.append(f"{place} stands on no floor: register {here!r} in FLOORS of {__name__}")
            continue
        for line, name in imported(module, path, known):
            if problem := _problem(here, name, known):
                wrong.append(f"{place}:{line} imports {name}: {problem}")
    return wrong


def _problem(here, name, known):
    package, there = name.partition(".")[0], unit(name)
    if package in LIBRARIES and not matches(here, LIBRARIES[package]):
        return f"only {', '.join(LIBRARIES[package])} may"
    if here in ONLY and package not in ONLY[here] | STANDARD:
        return f"{here} may import {', '.join(sorted(ONLY[here]))} alone"
    if package not in OURS or here == there:
        return None
    if here == FACADE:
        return None if package == FACADE else "the façade gathers deconv alone"
    if here in OURS:
        return "an __init__ file of this package imports nothing of the project"
    if floor(there) is None:
        return None if there in known else "there is no such file"
    if floor(there) > floor(here):
        return "that is upwards"
    if floor(there) == floor(here):
        return "that is on the same floor"
    return None


def test_every_file_imports_downwards_only():
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_every_registered_unit_exists_or_is_a_pattern():
    known = {unit(module) for module in modules(ROOT)}
    listed = {entry for entries in FLOORS.values() for entry in entries if "*" not in entry}
    assert listed <= known


def test_the_check_sees_the_imports_of_this_project():
    known = modules(ROOT)
    assert len(known) > 20
    seen = {
        name for _, name in imported("deconv.training.fit", known["deconv.training.fit"], known)
    }
    assert {"torch", "deconv.errors", "deconv.networks", "deconv.distributed"} <= seen


CLEAN = {
    "deconv/__init__.py": "from deconv.mining.top_activations import f\n",
    "deconv/errors.py": "import difflib\n",
    "deconv/records.py": "from dataclasses import dataclass\nimport torch\n",
    "deconv/pooling.py": "from deconv.errors import f\nfrom . import records\n",
    "deconv/fields.py": "",
    "deconv/networks/__init__.py": "from deconv.networks.chain import f\n",
    "deconv/networks/chain.py": "from deconv.pooling import f\n",
    "deconv/networks/zfnet.py": "from .chain import f\nfrom ..errors import g\n",
    "deconv/deconvnet/__init__.py": "from deconv.networks import f\n",
    "deconv/data/__init__.py": "",
    "deconv/figures/__init__.py": "import matplotlib.pyplot\n",
    "deconv/mining/__init__.py": "",
    "deconv/mining/top_activations.py": "from deconv.deconvnet import f\n",
    "deconv/training/__init__.py": "import deconv.data\n",
    "deconv/studies/occlusion.py": "import deconv.data\nfrom deconv.studies import boxes\n",
    "deconv/studies/boxes.py": "",
    "experiments/__init__.py": "",
    "experiments/kit/__init__.py": "",
    "experiments/kit/command.py": "import hydra\nimport deconv\nfrom omegaconf import f\n",
    "experiments/fig2.py": "from deconv import figures\nfrom experiments import kit\n",
    "experiments/fig4.py": "from experiments.kit.command import f\n",
    "scripts/bench.py": "import deconv\n",
    "tests/test_all.py": "import hydra\nfrom experiments import fig2\n",
}
"""A small project in which every import goes downwards."""

OCCLUSION, CHAIN = "deconv/studies/occlusion.py", "deconv/networks/chain.py"
WRONG = {
    "upwards inside the library": (CHAIN, "import deconv.deconvnet", "upwards"),
    "upwards with from": ("deconv/pooling.py", "from deconv.networks.chain import f", "upwards"),
    "upwards with a folder's name": ("deconv/pooling.py", "from deconv import networks", "upwards"),
    "upwards and relative": ("deconv/networks/zfnet.py", "from ..deconvnet import f", "upwards"),
    "upwards inside a function": (CHAIN, "def f():\n    from deconv.mining import f", "upwards"),
    "the library imports an experiment": (
        "deconv/data/__init__.py",
        "import experiments",
        "upwards",
    ),
    "the library imports a common part": (
        OCCLUSION,
        "from experiments.kit.command import f",
        "upwards",
    ),
    "the library imports its façade": ("deconv/data/__init__.py", "import deconv", "upwards"),
    "a study imports the façade": (OCCLUSION, "from deconv import f", "same floor"),
    "mining imports a study": (
        "deconv/mining/__init__.py",
        "from deconv.studies import boxes",
        "upwards",
    ),
    "same floor below": ("deconv/pooling.py", "import deconv.fields", "same floor"),
    "same floor, two folders": ("deconv/mining/__init__.py", "import deconv.training", "same"),
    "a study draws": (OCCLUSION, "import deconv.figures", "same floor"),
    "one experiment imports another": ("experiments/fig2.py", "import experiments.fig4", "same"),
    "an experiment imports a script": ("experiments/fig2.py", "import scripts.bench", "upwards"),
    "the kit imports an experiment": (
        "experiments/kit/command.py",
        "import experiments.fig2",
        "upwards",
    ),
    "the library imports a test": (OCCLUSION, "from tests.test_all import f", "upwards"),
    "the façade imports an experiment": ("deconv/__init__.py", "import experiments.fig2", "alone"),
    "a package gathers its parts": ("experiments/__init__.py", "import experiments.fig2", "noth"),
    "errors imports records": ("deconv/errors.py", "import deconv.records", "upwards"),
    "records imports pooling": ("deconv/records.py", "from deconv.pooling import f", "upwards"),
    "records imports numpy": ("deconv/records.py", "import numpy", "deconv, torch alone"),
    "the library imports hydra": (
        "deconv/training/__init__.py",
        "import hydra.utils",
        "experiments",
    ),
    "the library imports omegaconf": ("deconv/data/a.py", "from omegaconf import f", "experiments"),
    "plotting outside figures": (OCCLUSION, "from matplotlib import f", "figures"),
    "plotting in an experiment": ("experiments/fig2.py", "import matplotlib", "deconv.figures"),
    "a file on no floor": ("deconv/utils.py", "", "stands on no floor: register 'deconv.utils'"),
    "a package on no floor": ("deconv/helpers/a.py", "", "register 'deconv.helpers' in FLOORS"),
}
"""Kind of violation -> (file, line added to it, a part of what the check has to say)."""


@pytest.fixture
def project(tmp_path):
    for name, text in CLEAN.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_clean_project_passes(project):
    assert violations(project) == []


@pytest.mark.parametrize("kind", WRONG)
def test_the_check_fails_on(kind, project):
    name, line, said = WRONG[kind]
    path = project / name
    path.parent.mkdir(exist_ok=True)
    text = path.read_text() if path.exists() else ""
    path.write_text(text + line + "\n")
    found = violations(project)
    assert len(found) == 1
    assert found[0].startswith(name) and said in found[0]
