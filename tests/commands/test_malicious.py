"""Files made by somebody who wants code run: refused in every place they enter, never run."""

import dataclasses
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from command_line import command

import deconv
from deconv.atomic_files import write_checked

pytestmark = pytest.mark.fault("malicious file")


class Touch:
    """Pickled code that makes a file when it is loaded."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (Path.touch, (Path(self.canary),))


@pytest.fixture
def canary(tmp_path):
    """The file that code would make; it is not there at the end of a test that asks for it."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def refused(tmp_path, stem, *overrides):
    """The words with which a command refuses."""
    _, error = command(stem, *overrides, cwd=tmp_path, fails=True)
    assert error.startswith("error: ") or "\nerror: " in error, error
    assert "Traceback" not in error
    return error


def test_the_trap_itself_works(tmp_path):
    pickle.loads(pickle.dumps(Touch(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


PLACES = {
    "a snapshot": ["fig2_top_activations", "snapshot={}"],
    "a network to look at": ["filters", "model.weights={}"],
    "weights to train on": ["train", "model.weights={}"],
    "weights of a foreign network": ["train", "model=torchvision/alexnet", "model.weights={}"],
}


@pytest.mark.parametrize("how", ["torch", "pickle"])
@pytest.mark.parametrize("place", PLACES)
def test_code_in_weights_and_snapshots(tmp_path, canary, place, how):
    evil = {"state_dict": {"conv1.weight": torch.zeros(1)}, "recipe": Touch(canary)}
    path = tmp_path / "evil.pt"
    torch.save(evil, path) if how == "torch" else path.write_bytes(pickle.dumps(evil))
    stem, *overrides = PLACES[place]
    error = refused(tmp_path, stem, "size=smoke", *(one.format(path) for one in overrides))
    assert "evil.pt" in error and ("which may run code" in error or "damaged" in error)
    assert "Where you trust its source, " in error


def test_code_in_the_newest_snapshot_of_a_run_with_a_checksum_that_fits(
    tmp_path, smoke_run, canary
):
    but = shutil.ignore_patterns(".lock")
    run = shutil.copytree(smoke_run, tmp_path / "run", symlinks=True, ignore=but)
    for path in sorted(run.glob("epoch_*.pt")):
        write_checked(path, lambda file: torch.save({"recipe": Touch(canary)}, file))
    error = refused(tmp_path, "train", f"resume={run}", "train.epochs=9")
    assert error.count("may run code") == len(list(run.glob("epoch_*.pt"))) > 1


STORED = {
    "a target": ({"model": {"_target_": "os.system"}}, "model._target_='os.system'"),
    "a target of its own": ({"_target_": "os.system"}, "_target_='os.system'"),
    "one in a list": ({"x": [{"y": "${oc.env:HOME}"}]}, "${oc.env:HOME}"),
    "the environment": ({"data": {"root": "${oc.env:HOME}"}}, "data.root='${oc.env:HOME}'"),
    "a name of the model": ({"model": {"loader": "a"}}, "unknown setting 'model.loader'"),
    "a name of the data": ({"data": {"hook": "../../x"}}, "unknown setting 'data.hook'"),
    "a data set": ({"data": {"name": "../../x"}}, "unknown data.name '../../x'"),
    "no groups": ({"model": "os.system"}, "holds no configuration to go on with"),
}


@pytest.mark.parametrize("case", STORED)
def test_settings_in_a_snapshot_that_are_not_ours(tmp_path, smoke_run, case):
    change, words = STORED[case]
    but = shutil.ignore_patterns(".lock")
    run = shutil.copytree(smoke_run, tmp_path / "run", symlinks=True, ignore=but)
    newest = sorted(run.glob("epoch_*.pt"))[-1]
    held = deconv.load_snapshot(newest)
    settings = dict(held.config["settings"])
    for key, value in change.items():
        settings[key] = settings[key] | value if isinstance(value, dict) else value
    config = held.config | {"settings": settings}
    deconv.save_snapshot(newest, dataclasses.replace(held, config=config))
    before = {path: path.read_bytes() for path in run.glob("*.*") if path.is_file()}
    error = refused(tmp_path, "train", f"resume={run}", "train.epochs=9")
    assert words in error
    if case != "no groups":
        assert "load the weights alone, deconv.load_snapshot(" in error
    assert {path: path.read_bytes() for path in before} == before


YAML = "defaults: [train, _self_]\nseed: !!python/object/apply:pathlib.Path.touch [{}]\n"


def test_code_in_a_yaml_file(tmp_path, canary):
    (tmp_path / "evil.yaml").write_text(YAML.format(canary))
    asked = ("--config-dir", str(tmp_path), "--config-name", "evil")
    assert "cannot read a yaml file: could not determine a constructor" in refused(
        tmp_path, "train", *asked
    )
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "config.yaml").write_text(YAML.format(canary))
    error = refused(tmp_path, "table3_ablation", "size=smoke", f"resume={folder}")
    assert "cannot read a yaml file: could not determine a constructor" in error


def test_a_target_on_the_command_line_or_in_a_file_is_no_setting(tmp_path, canary):
    asked = ["+_target_=os.system", "+model._target_=os.system", "++train._target_=os.system"]
    for one in asked:
        key = one.partition("=")[0].strip("+")
        assert f"unknown setting '{key}'" in refused(tmp_path, "train", "size=smoke", one)
    (tmp_path / "mine.yaml").write_text("defaults: [train, _self_]\nmodel: {_target_: os.system}\n")
    asked = ("--config-dir", str(tmp_path), "--config-name", "mine")
    assert "_target_" in refused(tmp_path, "train", *asked)
