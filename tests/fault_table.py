"""The table of faults: which were tried, how often, and which were survived.

A test marked `fault("killed at a random step")` counts to that row, once, or as often as it says
with `record_property("tries", 20)`. `scripts/faults` runs them all, prints the table and writes it
to docs/faults.md; a row without a test is a failure, as is one with a test that failed.
"""

import os
import platform
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

FAULTS = {
    "killed at a random step": "SIGKILL at a step drawn at random, then resume: weights, buffers, "
    "momentum and metric rows as without it",
    "killed while saving": "SIGKILL at each stage of saving: one loadable snapshot always",
    "other workers": "resume with other loading workers and start methods: identical",
    "killed twice": "two kills in one epoch, a kill before the first save after resume: identical",
    "damaged snapshot": "a flipped bit, truncated, emptied, checksum gone, foreign file: reported, "
    "the next older snapshot is used, the end identical",
    "full disk": "a full disk, a read-only folder: the old snapshot intact, a clear end",
    "signals": "SIGTERM, SIGUSR1 and Ctrl-C, once and twice, to a process and to its group",
    "one folder, many processes": "requeue, a second process in one folder, a stale lock, ten "
    "simultaneous starts and sweeps",
    "not finite": "NaN or infinity in loss, gradient, weights, activations: an end that names it",
    "malicious file": "code in a snapshot, weights or configuration: refused and never run",
    "image corpus": "images of every kind and damage: decoded as declared, skipped or named",
    "bad image in a worker": "a bad image in mid-epoch: named or skipped, the others unchanged",
    "classes": "an empty, missing, extra or changed class, changed data: an early error",
    "killed pass": "mining, reproduce, caches and prepared copies killed and run again; shards and "
    "batch sizes: identical",
    "shared cache": "several processes, one pid, one cache folder: verified before use",
    "killed group": "one of several processes killed: all end, resume identical",
    "hostile environment": "ASCII, unicode paths, files from tomorrow, hash seeds, matplotlibrc, "
    "many saves",
    "random networks": "random chains, sizes, units and options: no crash without a message, no "
    "NaN, engines agree",
    "network access": "sockets blocked: nothing but the documented downloads asks for one",
    "hostile names": "file and class names with markup or paths in them: shown as text",
}
"""The rows, in their order, and what each shows."""


def pytest_addoption(parser):
    parser.addoption("--faults", metavar="FILE", help="write the table of faults to this file")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(row): counts to this row of the table of faults")
    if config.getoption("--faults") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(Path(config.getoption("--faults"))))


def pytest_collection_modifyitems(items):
    """Tell each test's row with its report, which crosses processes where the marker does not."""
    for item in items:
        for mark in item.iter_markers("fault"):
            (row,) = mark.args
            assert row in FAULTS, f"{item.nodeid}: no fault {row!r} in tests/fault_table.py"
            item.user_properties.append(("fault", row))


class Table:
    """Counts the tests of each row and writes the table."""

    def __init__(self, path: Path):
        self.path = path
        self.tries, self.failed = Counter(), Counter()

    def pytest_runtest_logreport(self, report):
        rows = [value for name, value in report.user_properties if name == "fault"]
        if report.when == "call" and not report.skipped:
            tries = dict(report.user_properties).get("tries", 1)
            self.tries.update(dict.fromkeys(rows, tries))
        if report.failed:
            self.failed.update(rows)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if not session.exitstatus and not all(self.tries[row] for row in FAULTS):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        lines = ["| fault | what is shown | tries | passed |", "|---|---|---:|---|"]
        for row, words in FAULTS.items():
            passed = "yes" if self.tries[row] else "not tried"
            if self.failed[row]:
                passed = f"{self.failed[row]} tests failed"
            lines.append(f"| {row} | {words} | {self.tries[row]} | {passed} |")
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(lines))
        self.path.write_text("\n".join(["# Faults tried", "", machine(), "", *lines, ""]))


def machine() -> str:
    """When and where, in a sentence."""
    return (
        f"`scripts/faults` wrote this on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} processors "
        f"({platform.machine()}), {platform.system()}, Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}."
    )
