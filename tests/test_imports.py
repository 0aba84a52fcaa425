"""The import direction: each file imports downwards only, and the check is shown to fail."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Every file or sub-package stands on one floor and imports from lower floors only. Units on one
# floor do not import each other; inside a sub-package, which is one unit, files may.
FLOORS = {
    "words": ["deconv.errors"],
    "numbers": ["deconv.whole_number"],
    "ground": ["deconv.types"],
    "operations": [
        "deconv.layers",
        "deconv.dropout",
        "deconv.geometry",
        "deconv.images",
        "deconv.class_names",
        "deconv.text_files",
        "deconv.distributed",
        "deconv.checked_files",
        "deconv.locks",
        "deconv.warping",
        "deconv.bootstrap",
        "deconv.average_precision",
        "deconv.similarity",
    ],
    "rules": ["deconv.rules"],
    "what runs": ["deconv.run"],
    "inputs": ["deconv.batches"],
    "networks": ["deconv.models"],
    "tools": [
        "deconv.projection",
        "deconv.snapshots",
        "deconv.data",
        "deconv.figures",
        "deconv.evaluation",
        "deconv.one_pass",
        "deconv.boxes",
        "deconv.pair_statistics",
        "deconv.unit_function",
        "deconv.sparse_coding",
    ],
    "studies": [
        "deconv.top_activations",
        "deconv.evolution",
        "deconv.localisation",
        "deconv.filters",
        "deconv.filter_quality",
        "deconv.occlusion",
        "deconv.way_down",
        "deconv.attribution",
        "deconv.invariance",
        "deconv.invariance_scores",
        "deconv.faces",
        "deconv.correspondence",
        "deconv.occlusion_scores",
        "deconv.one_vs_rest",
        "deconv.peak_views",
        "deconv.layer_table",
        "deconv.map_statistics",
        "deconv.max_activation",
        "deconv.hessian_invariance",
        "deconv.smoothing",
        "deconv.map_correlation",
        "deconv.round_trip",
        "deconv.training",
        "deconv.monitoring",
        "deconv.probes",
        "deconv.overlap",
        "deconv.sanity",
    ],
    "the paper": ["experiments.reported"],
    "records of experiments": [
        "experiments.provenance",
        "experiments.resume",
        "experiments.watching",
        "experiments.findings",
        "experiments.index_page",
        "experiments.printed",
    ],
    "shared by experiments": ["experiments.common", "experiments.command"],
    "parts of experiments": [
        "experiments.facts",
        "experiments.redrawing",
        "experiments.chosen_images",
        "experiments.invariance_findings",
        "experiments.evolution_findings",
        "experiments.steps",
        "experiments.first_two_layers",
        "experiments.occlusion_findings",
        "experiments.correspondence_findings",
        "experiments.sanity_findings",
        "experiments.sanity_mining",
        "experiments.localisation_examples",
        "experiments.localisation_findings",
        "experiments.transfer",
        "experiments.transfer_findings",
        "experiments.ablation_findings",
    ],
    "accounts of experiments": [
        "experiments.ledger",
        "experiments.kept_results",
        "experiments.first_layer_claims",
        "experiments.first_layers_page",
        "experiments.contrast_page",
        "experiments.correspondence_page",
        "experiments.adaptive_page",
        "experiments.deconvnet_page",
        "experiments.deconvnet_stages",
        "experiments.evolution_page",
        "experiments.evolution_pictures",
        "experiments.evolution_tables",
        "experiments.feature_maps_page",
        "experiments.feature_maps_tables",
        "experiments.localisation_page",
        "experiments.invariance_amounts",
        "experiments.invariance_images",
        "experiments.invariance_page",
        "experiments.invariance_tables",
        "experiments.occlusion_page",
        "experiments.sanity_page",
        "experiments.sanity_summary",
    ],
    "all that is kept": ["experiments.kept_account"],
    "trainings of experiments": ["experiments.trained"],
    "transfers of experiments": ["experiments.probing", "experiments.transfer_record"],
    "series of trainings": ["experiments.series", "experiments.single_unit"],
    "parts of units' answers": ["experiments.unit_answer"],
    "answers of units": [
        "experiments.crops_answer",
        "experiments.ascent_answer",
        "experiments.directions_answer",
    ],
    "experiments": ["experiments.*", "scripts.*"],
    "tests": ["tests.*"],
}
"""Floors from the ground up. `a.*` stands for every unit of a that is not named elsewhere."""

FACADE = "deconv"
"""deconv/__init__.py gathers the public names: it may import all of deconv."""

LIBRARIES = {
    "hydra": ["experiments.*", "scripts.*", "tests.*"],
    "omegaconf": ["experiments.*", "scripts.*", "tests.*"],
    "matplotlib": ["deconv.figures", "tests.*"],
}
"""A third-party package -> the units that alone may import it."""

ONLY = {"deconv.types": {"torch", "deconv"}}
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
    """deconv.models.chain -> deconv.models: a sub-package is one unit."""
    return ".".join(module.split(".")[:2])


def floor(name):
    """The number of a unit's floor, None if it stands on none."""
    listed = {entry: number for number, entries in enumerate(FLOORS.values()) for entry in entries}
    if name == FACADE:
        return listed["deconv.top_activations"]  # seen from above; the way down is checked apart
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
    assert {"torch", "deconv.errors", "deconv.models", "deconv.snapshots"} <= seen


CLEAN = {
    "deconv/__init__.py": "from deconv.top_activations import f\n",
    "deconv/errors.py": "import difflib\n",
    "deconv/types.py": "from dataclasses import dataclass\nimport torch\n",
    "deconv/layers.py": "from deconv.errors import f\nfrom . import types\n",
    "deconv/geometry.py": "",
    "deconv/models/__init__.py": "from deconv.models.chain import f\n",
    "deconv/models/chain.py": "from deconv.layers import f\n",
    "deconv/models/zfnet.py": "from .chain import f\nfrom ..errors import g\n",
    "deconv/projection/__init__.py": "from deconv.models import f\n",
    "deconv/data/__init__.py": "",
    "deconv/figures.py": "import matplotlib.pyplot\n",
    "deconv/top_activations.py": "from deconv.projection import f\n",
    "deconv/occlusion.py": "import deconv.data\n",
    "experiments/__init__.py": "",
    "experiments/common.py": "import deconv\nfrom omegaconf import f\n",
    "experiments/command.py": "import hydra\n",
    "experiments/fig2.py": "from deconv import figures\nfrom experiments import common\n",
    "experiments/fig4.py": "from experiments.command import f\n",
    "scripts/bench.py": "import deconv\n",
    "tests/test_all.py": "import hydra\nfrom experiments import fig2\n",
}
"""A small project in which every import goes downwards."""

WRONG = {
    "upwards inside the library": ("deconv/models/chain.py", "import deconv.projection", "upwards"),
    "upwards with from": ("deconv/layers.py", "from deconv.models.chain import f", "upwards"),
    "upwards with a module's name": ("deconv/layers.py", "from deconv import models", "upwards"),
    "upwards and relative": ("deconv/models/zfnet.py", "from ..projection import f", "upwards"),
    "upwards inside a function": (
        "deconv/projection/__init__.py",
        "def f():\n    from deconv.occlusion import f",
        "upwards",
    ),
    "the library imports an experiment": (
        "deconv/data/__init__.py",
        "import experiments",
        "upwards",
    ),
    "the library imports a common part": (
        "deconv/occlusion.py",
        "from experiments.common import f",
        "upwards",
    ),
    "the library imports its façade": ("deconv/data/__init__.py", "import deconv", "upwards"),
    "a study imports the façade": ("deconv/occlusion.py", "from deconv import f", "same floor"),
    "same floor below": ("deconv/layers.py", "import deconv.geometry", "same floor"),
    "same floor, two packages": ("deconv/projection/__init__.py", "import deconv.data", "same"),
    "same floor above": ("deconv/occlusion.py", "import deconv.top_activations", "same floor"),
    "one experiment imports another": ("experiments/fig2.py", "import experiments.fig4", "same"),
    "an experiment imports a script": ("experiments/fig2.py", "import scripts.bench", "same floor"),
    "common imports command": ("experiments/common.py", "import experiments.command", "same floor"),
    "the library imports a test": ("deconv/figures.py", "from tests.test_all import f", "upwards"),
    "the façade imports an experiment": ("deconv/__init__.py", "import experiments.fig2", "alone"),
    "a package gathers its parts": ("experiments/__init__.py", "import experiments.fig2", "noth"),
    "errors imports types": ("deconv/errors.py", "import deconv.types", "upwards"),
    "types imports layers": ("deconv/types.py", "from deconv.layers import f", "upwards"),
    "types imports numpy": ("deconv/types.py", "import numpy", "deconv, torch alone"),
    "the library imports hydra": ("deconv/training.py", "import hydra.utils", "experiments"),
    "the library imports omegaconf": ("deconv/data/a.py", "from omegaconf import f", "experiments"),
    "plotting outside figures": ("deconv/occlusion.py", "from matplotlib import f", "figures"),
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
