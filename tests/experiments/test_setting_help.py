"""--help explains every setting from the comments of the dataclasses."""

import dataclasses
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from deconv.training import Recipe
from experiments.kit import Command, settings
from experiments.kit.setting_help import comments, explained

EXPERIMENTS = Path(settings.__file__).parents[1]
STEMS = sorted(path.stem for path in EXPERIMENTS.glob("*.py") if path.stem[0] != "_")
GROUPS = (*(type(one) for one in (settings.MODELS | settings.DATA).values()), settings.Foreign)


@dataclass
class Base:
    one: int = 0  # said by the base
    two: bool = False


@dataclass
class Example(Base):
    two: bool = False  # said anew: (0, 1)
    three: list[Any] = field(default_factory=lambda: [1, 2])  # begins here,
    # goes on here

    # of no setting
    four: dict[str, int] = field(  # over several lines
        default_factory=lambda: {
            "a": 1,  # of an entry
        }
    )
    five: str | None = None
    # below its line


def test_a_comment_belongs_to_the_field_that_it_begins_beside():
    assert comments(Example) == {
        "one": "said by the base",
        "two": "said anew: (0, 1)",
        "three": "begins here, goes on here",
        "four": "over several lines",
        "five": "below its line",
    }
    lines = explained(Example, "x.").splitlines()
    assert lines[0].split() == ["x.one=0", "said", "by", "the", "base"]
    assert lines[1].startswith("  x.two=false ") and lines[2].startswith("  x.three=[1,2] ")
    assert lines[3].startswith("  x.four={a:1} ") and lines[4].startswith("  x.five=null ")


def test_a_docstring_is_read_where_there_are_no_comments():
    found = comments(Recipe)
    assert found["epochs"] == found["lr"] == "§3"
    assert found["keep_last"] == "how many of the newest snapshots are kept besides"
    assert found["schedule"] == "when the learning rate drops"


def unexplained(kind):
    """Its settings without a word, nested ones included."""
    words, kinds = comments(kind), get_type_hints(kind)
    for one in dataclasses.fields(kind):
        if dataclasses.is_dataclass(kinds[one.name]):
            yield from unexplained(kinds[one.name])
        elif one.name not in (*words, "defaults", "hydra"):
            yield f"{kind.__name__}.{one.name}"


@pytest.mark.parametrize("stem", STEMS)
def test_every_setting_of_every_command_is_explained(stem):
    main = getattr(importlib.import_module(f"experiments.{stem}"), "main", None)
    if isinstance(main, Command):
        assert not list(unexplained(main.settings))


@pytest.mark.parametrize("kind", [*dict.fromkeys(GROUPS), Recipe])
def test_every_setting_of_every_group_is_explained(kind):
    assert not list(unexplained(kind))
