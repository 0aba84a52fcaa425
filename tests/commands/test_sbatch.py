"""The Slurm example, with stand-ins for srun and scontrol, and in most tests for Python."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import SMALLEST

import deconv
from experiments.kit.forked import Forked

ROOT = Path(__file__).resolve().parents[2]

SRUN = """#!/usr/bin/env bash
echo "$@" >> "$CALLS"
[ -z "${SRUN_STATUS:-}" ] || exit "$SRUN_STATUS"
SLURM_PROCID=0 SLURM_LOCALID=0 exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $@" >> "$CALLS"
[ "$1" != show ] || printf 'node7\\nnode8\\n'
"""
PYTHON = """#!/usr/bin/env bash
env -0 > "$CALLS.env"
printf '%s\\0' "$@" > "$CALLS.new" && mv "$CALLS.new" "$CALLS.asked"
until [ -e "$CALLS.status" ]; do sleep 0.05; done
exit "$(cat "$CALLS.status")"
"""
"""Has the test run the program, in a fork of a process with the library imported."""


def answer(calls, log):
    """Run the program that the stand-in for Python asks for."""
    asked = Path(f"{calls}.asked").read_text().split("\0")[:-1]
    given = Path(f"{calls}.env").read_text().split("\0")[:-1]
    environment = dict(one.split("=", 1) for one in given if not one.startswith("BASH_FUNC"))
    status = Forked(asked, log, log, Path(environment["PWD"]), environment).wait(300)
    Path(f"{calls}.asked").unlink()
    Path(f"{calls}.status").write_text(str(status))


@pytest.fixture
def submit(tmp_path):
    """A function that runs the script as job 12 would; returns (exit status, calls, output).

    own: in a Python of its own.
    """
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("python", PYTHON)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    calls = tmp_path / "calls"

    def run(*overrides, own=False, **variables):
        calls.write_text("")
        Path(f"{calls}.status").unlink(missing_ok=True)
        log = tmp_path / "log"
        log.write_text("")
        environment = os.environ | variables
        environment |= {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHON": sys.executable if own else str(tools / "python"),
            "OMP_NUM_THREADS": "1",
            "CALLS": str(calls),
            "SLURM_SUBMIT_DIR": str(tmp_path),
            "SLURM_JOB_ID": "12",
            "SLURM_NTASKS": "1",
            "SLURM_JOB_NODELIST": "node[7-8]",
        }
        script = ["bash", str(ROOT / "scripts" / "train.sbatch"), *overrides]
        with (
            log.open("ab") as out,
            subprocess.Popen(script, env=environment, stdout=out, stderr=out) as job,
        ):
            while job.poll() is None:
                if Path(f"{calls}.asked").exists():
                    answer(calls, log)
                time.sleep(0.02)
        return job.returncode, calls.read_text().splitlines(), log.read_text()

    return run


@pytest.mark.fault("one folder, many processes")
def test_a_job_trains_and_when_it_starts_again_goes_on_in_the_same_folder(submit, tmp_path):
    status, calls, output = submit(*SMALLEST)
    assert status == 0, output
    assert not any("requeue" in call for call in calls)
    folder = tmp_path / "runs" / "12"
    assert deconv.load_snapshot(folder / "last.pt").epoch == 2
    status, calls, output = submit(*SMALLEST)
    assert status == 0 and any("resume=runs/12" in call for call in calls), output
    assert "going on from epoch_002.pt" in output


def test_a_job_that_starts_again_names_its_network_again(submit, tmp_path):
    (tmp_path / "runs" / "12").mkdir(parents=True)
    (tmp_path / "runs" / "12" / "last.pt").touch()
    for asked in ("model=file:mine.py:net", "model.name='file:mine.py:net'"):
        _, calls, _ = submit("size=smoke", asked, "model.mean=[1,2,3]", SRUN_STATUS="75")
        assert calls[1].endswith("experiments.train resume=runs/12 model.name='file:mine.py:net'")


@pytest.mark.fault("one folder, many processes")
def test_a_job_whose_snapshots_are_gone_does_not_start_afresh(submit, tmp_path):
    folder = tmp_path / "runs" / "12"
    folder.mkdir(parents=True)
    (folder / "last.pt").symlink_to("epoch_007.pt")
    status, calls, output = submit("size=smoke", "pictures=none", own=True)
    assert status == 2 and "resume=runs/12" in calls[1] and len(calls) == 2, output
    assert "epoch_007.pt: last.pt points to it, and it is not there" in output
    assert not (folder / "epoch_000.pt").exists()


@pytest.mark.fault("one folder, many processes")
def test_only_an_interrupted_job_goes_back_into_the_queue(submit):
    assert submit(SRUN_STATUS="75")[:1] == (75,)
    assert submit(SRUN_STATUS="75")[1][-1] == "scontrol requeue 12"
    status, calls, _ = submit(SRUN_STATUS="2")
    assert status == 2 and not any("requeue" in call for call in calls)
