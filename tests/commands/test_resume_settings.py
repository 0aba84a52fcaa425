"""Which settings a run may change when it goes on, and what is said of the others."""

import re
from functools import cache

import pytest
import torch
from command_line import composed
from omegaconf import OmegaConf

from deconv.errors import DeconvError
from experiments.kit import provenance
from experiments.kit.resume import go_on

MAY_CHANGE = {
    "resume",
    "device",
    "group_timeout_s",
    "cache_dir",
    "changed_data",
    "pictures",
    "watch_images",
    "data.root",
    "data.workers",
    "data.bad_images",
    "data.cache",
    "data.download",
    "data.partial",
    "train.epochs",
    "train.eval_every",
    "train.keep_last",
    "train.save_steps",
    "train.snapshot_epochs",
    "train.test_crops",
    "train.workers",
}
"""How long a run goes on, where it finds and shows things; all else makes it another run."""


@cache
def resolved(*overrides):
    return OmegaConf.to_container(composed("train", overrides), resolve=True)


def leaves(settings, prefix=""):
    """Every setting under its dotted name."""
    found = {}
    for key, value in settings.items():
        inner = isinstance(value, dict)
        found |= leaves(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, 99] if isinstance(value, list) else f"{value}x"


def resumed(saved, key, value):
    """What becomes of the run `saved` when it goes on with key=value."""
    asked = OmegaConf.create(resolved(*RUN))
    OmegaConf.update(asked, key, value, force_add=True)
    return go_on(saved, asked, [f"{key}={value}"])


RUN = ("size=smoke",)
PHOTOGRAPHS = ("size=smoke", "data=imagefolder", "data.root=photos")


@pytest.mark.parametrize("start", [RUN, PHOTOGRAPHS, ("size=paper",)], ids=" ".join)
@pytest.mark.parametrize("schedule", ["fixed", "plateau", "cosine"])
def test_every_setting_but_some_is_locked(start, schedule):
    saved = resolved(*start, f"train.schedule={schedule}", "train.lr_drops=[]")
    bound = {"plateau": {"train.eval_every"}, "cosine": {"train.epochs"}, "fixed": set()}[schedule]
    every = leaves(saved)
    assert len(every) > 40 and "train.lr" in every and "model.dropout" in every
    for key, value in every.items():
        new = other(value)
        if key in MAY_CHANGE - bound:
            result = OmegaConf.to_container(resumed(saved, key, new))
            changed = {k for k, v in leaves(result).items() if v != every.get(k)}
            assert changed <= {key}, "nothing else changes with it"
            assert key == "resume" or leaves(result)[key] == new
        elif key != "size_name":
            with pytest.raises(DeconvError, match=re.escape(f"{key}: {value} in the run, {new} ")):
                resumed(saved, key, new)


@pytest.mark.parametrize(
    ("saved", "overrides", "differences"),
    [
        (["size=smoke"], ["size=smoke"], []),
        (["size=smoke"], ["train=smoke", "model=zfnet_mini"], []),
        (["size=smoke", "train.epochs=9"], ["size=smoke"], []),
        (["size=smoke", "train.lr=0.5"], [], []),
        (["size=smoke", "train.lr=0.5"], ["train=smoke"], ["train.lr: 0.5 in the run, 0.01 asked"]),
        (["size=smoke", "train.lr=0.5"], ["train=smoke", "train.lr=0.5"], []),
        (
            ["size=smoke"],
            ["train=modern"],
            [
                "train.schedule: fixed in the run, cosine asked",
                "train.crops: ten in the run, resized ",
            ],
        ),
        (
            ["size=smoke"],
            ["size=paper"],
            ["model.name: zfnet_mini in the run, zfnet asked", "data.name: scenes in the run, "],
        ),
        (["size=smoke"], ["data=imagenet", "data.root=x"], ["data.name: scenes in the run, "]),
        (["size=smoke"], ["+model.more=1"], ["model.more: None in the run, 1 asked"]),
        (["size=smoke"], ["hydra.run.dir=elsewhere"], []),
    ],
)
def test_a_group_is_compared_key_by_key(saved, overrides, differences):
    before = resolved(*saved)
    asked = composed("train", [*overrides, "resume=there"])
    if not differences:
        result = OmegaConf.to_container(go_on(before, asked, overrides))
        assert {k for k, v in result.items() if v != before[k]} <= {"resume", "train"}
        changed = {k for k, v in result["train"].items() if v != before["train"][k]}
        assert changed <= {"epochs"} and result["resume"] == "there"
        return
    with pytest.raises(DeconvError, match="cannot change when it goes on") as error:
        go_on(before, asked, overrides)
    for difference in differences:
        assert difference in str(error.value)
    if overrides == ["train=smoke"]:
        assert str(error.value).count(" asked for") == 1, "only what differs is listed"


@pytest.mark.fault("malicious file")
def test_a_network_that_is_code_is_run_again_only_for_who_names_it_again():
    model = ("model=file:mine.py:net", "model.mean=[1,2,3]")
    saved = resolved("size=smoke", *model)
    asked = OmegaConf.create(resolved("size=smoke", "resume=there", *model))
    with pytest.raises(DeconvError, match=r"file:mine\.py:net.*model\.name='file:mine\.py:net'"):
        go_on(saved, asked, ["resume=there"])
    for named in (["model.name=file:mine.py:net"], ["model=foreign", *model[1:]]):
        assert go_on(saved, asked, ["resume=there", *named]).model.name == "file:mine.py:net"


def test_the_configuration_of_a_run_is_not_changed_by_going_on():
    saved = resolved(*RUN, "train.keep_last=5")
    before = OmegaConf.to_yaml(saved)
    result = resumed(saved, "train.epochs", 50)
    assert (result.train.epochs, result.train.keep_last, saved["train"]["epochs"]) == (50, 5, 2)
    assert OmegaConf.to_yaml(saved) == before


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({}, "holds no configuration"),
        ({"train": {}}, "holds no configuration"),
        ({"train": {"lr": 1}, "model": {}, "data": {}, "seed": 0}, "by another version"),
    ],
)
def test_a_snapshot_without_this_configuration_is_refused(saved, message):
    with pytest.raises(DeconvError, match=message):
        go_on(saved, OmegaConf.create(resolved(*RUN)), [])


def test_a_run_of_another_version_names_the_commit_to_go_on_with():
    saved = {"train": {"lr": 1}, "model": {}, "data": {}, "seed": 0}
    asked = OmegaConf.create(resolved(*RUN))
    with pytest.raises(DeconvError, match=r"go on with that version, commit abc123$"):
        go_on(saved, asked, [], commit="abc123")


def test_what_changes_the_last_bits_is_noted(monkeypatch):
    now = provenance.circumstances() | {"device": provenance.device_kind(torch.device("cpu"))}
    assert provenance.changes(now, now) == [] and now["device"].startswith("cpu")
    before = now | {"processes": 3, "threads": 5, "device": "cuda (a GPU)"}
    before["versions"] = now["versions"] | {"torch": "1.0", "python": "2.7"}
    assert provenance.changes(before, now) == [
        f"processes: {now['processes']} in place of 3",
        f"threads: {now['threads']} in place of 5",
        f"torch: {torch.__version__} in place of 1.0",
        f"device: {now['device']} in place of cuda (a GPU)",
    ]
    older = {key: now[key] for key in ("processes", "commit")}
    assert provenance.changes(older, now) == [], "an older snapshot does not say"
