"""Nothing asks for a network but the documented downloads of weights."""

import os
import re

import pytest
from command_line import ROOT, SMALLEST
from test_environment import typed

pytestmark = [pytest.mark.slow, pytest.mark.fault("network access")]

BLOCKED = """
import os, socket, sys
ASKING = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")

def refuse(event, arguments):
    if event in ASKING and getattr(arguments[0], "family", None) != socket.AF_UNIX:
        with open(os.environ["ASKED"], "a") as file:
            file.write(f"{event} {arguments[-1]}\\n")
        raise OSError(101, "Network is unreachable")

sys.addaudithook(refuse)
"""
"""Run before anything else: whatever asks for a network is noted and refused."""


RANDOM = ("size=smoke", "model.weights=random", "layer=1")


def offline(*arguments, cwd):
    """Run a command so: (exit status, stderr, what asked for the network)."""
    (cwd / "site").mkdir()
    (cwd / "site" / "sitecustomize.py").write_text(BLOCKED)
    (cwd / "asked").write_text("")
    status, _, err = typed(
        *arguments,
        cwd=cwd,
        timeout_s=1800,
        ASKED=str(cwd / "asked"),
        PYTHONPATH=os.pathsep.join([str(cwd / "site"), str(ROOT)]),
        HOME=str(cwd),
        XDG_CACHE_HOME=str(cwd / "cache"),
    )
    return status, err.decode(), (cwd / "asked").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["train", *SMALLEST, "pictures=each", "data.workers=1"],
        ["image_crops", "size=smoke", "snapshot=zfnet_mini", "layer=conv5"],
        ["evaluate", "size=smoke", "snapshot=zfnet_mini"],
        [
            "image_crops",
            "size=smoke",
            "model=torchvision/resnet18",
            "model.weights=random",
            "layer=1",
        ],
        ["image_crops", "size=smoke", "model=timm/resnet10t", "model.weights=random", "layer=1"],
    ],
)
def test_a_command_asks_for_no_network(tmp_path, command):
    stem, *overrides = command
    status, err, asked = offline("-m", f"experiments.{stem}", *overrides, cwd=tmp_path)
    assert (status, asked) == (0, ""), err


def test_the_demo_asks_for_no_network(tmp_path):
    """What scripts/demo runs, at size=smoke; every experiment is a process of its own."""
    (skipped,) = re.findall(r"'(skip=.*)'", (ROOT / "scripts" / "demo").read_text())
    status, err, asked = offline("-m", "experiments.reproduce", "size=smoke", skipped, cwd=tmp_path)
    assert (status, asked) == (0, ""), err


@pytest.mark.parametrize("name", ["torchvision/alexnet", "timm/resnet10t", "pytorchcv/zfnet"])
def test_a_download_that_fails_is_named(tmp_path, name):
    wanted = [f"model={name}", "model.weights=DEFAULT", "layer=1"]
    status, err, asked = offline(
        "-m", "experiments.image_crops", "size=smoke", *wanted, cwd=tmp_path
    )
    assert status == 2 and asked, "what is refused here is noticed"
    assert f"error: the weights DEFAULT of {name} cannot be downloaded (" in err
    assert "name the file, weights=<file>" in err and "Traceback" not in err
