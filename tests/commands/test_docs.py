"""README and docs: their Python runs as printed, their commands compose, their links are there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from command_line import composed
from PIL import Image

import deconv
from experiments.__main__ import commands
from experiments.kit.command import settings_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
PYTHON = {
    f"{name}:{number}": block
    for name, text in TEXTS.items()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.S))
}
SHELL = [
    (name, line.strip())
    for name, text in TEXTS.items()
    for block in re.findall(r"```bash\n(.*?)```", text, re.S)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]
DOWNLOAD = 'weights="DEFAULT"'
"""What needs the internet, and is left out."""


def test_the_front_page_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 200
    assert len(TEXTS["README.md"].encode()) <= 12 * 1024


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


@pytest.mark.parametrize("block", PYTHON)
@pytest.mark.filterwarnings("ignore::deconv.DeadUnitWarning")
def test_python_runs_as_printed(block, photographs):
    names = {}
    exec(PYTHON[block].replace(DOWNLOAD, "weights=None"), names)
    if "strongest" in names:
        values = names["record"].activations["conv5"]
        first = tuple(names["strongest"][0].tolist())
        assert values[first] == values.max() and names["pixels"].shape == (3, 3, 112, 112)
        assert all(np.asarray(Image.open(f"cat_{i}.png")).std() > 1 for i in range(3))
    if "pictures" in names:
        assert names["pixels"].shape == (5, 3, 112, 112) and names["pixels"].any()
        assert names["pictures"].shape == (18, 3, 112, 112)
        assert names["maps"].probability.shape == (11, 11)
    if "views" in names:
        field = deconv.receptive_field(names["net"], "layer3", 7, 7, (224, 224))
        size = field[2] - field[0], field[3] - field[1]
        assert names["views"].projection.shape == (2, 9, 3, *size)


def test_what_is_checked_is_there():
    told = {"strongest", "pictures", "views"}
    assert all(any(f"{name} =" in block for block in PYTHON.values()) for name in told)
    assert len(PYTHON) >= 4 and len(SHELL) > 40


FILLED = {"$options": "size=paper data.root=x train.precision=bf16 data.workers=16"}
"""A variable of a block -> its value there."""
RUN = re.compile(r"(?:torchrun .*?|python )-m experiments\.(\w+) ?(.*)")


@pytest.mark.parametrize(("page", "line"), SHELL)
def test_commands_name_what_there_is(page, line):
    for variable, value in FILLED.items():
        line = line.replace(variable, value)
    words = shlex.split(re.sub(r"<[^>]+>", "x", line), comments=True)
    for word in words:
        if word.startswith(("scripts/", "requirements/", "tests/", "docs/")):
            assert (ROOT / word).exists(), word
        if word.startswith("scripts.") and words[1] == "-m":
            assert (ROOT / word.replace(".", "/")).with_suffix(".py").is_file()
    if not (found := RUN.search(" ".join(map(shlex.quote, words)))):
        return
    stem, rest = found[1], shlex.split(found[2])
    assert stem in commands()
    settings = [word for word in rest if "=" in word and not word.startswith(("-", "hydra."))]
    sweep = "-m" in rest
    jobs = [word.partition(",")[0] if sweep else word for word in settings]
    settings_of(composed(stem, jobs))


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_to_files(page):
    here = (ROOT / page).parent
    links = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", TEXTS[page])
    assert all((here / link).exists() for link in links), links
    named = re.findall(r"`((?:deconv|experiments|tests|scripts|docs|conf)/[\w/.]+)`", TEXTS[page])
    assert all((ROOT / name).exists() for name in named), named
