"""The Slurm example, with stand-ins for srun and scontrol."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import deconv

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


@pytest.fixture
def submit(tmp_path):
    """A function that runs the script as job 12 would; returns (exit status, the calls made)."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    calls = tmp_path / "calls"

    def run(*overrides, **variables):
        calls.write_text("")
        environment = os.environ | variables
        environment |= {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "CALLS": str(calls), "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "12",
            "SLURM_NTASKS": "1", "SLURM_JOB_NODELIST": "node[7-8]",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(ROOT / "scripts" / "train.sbatch"), *overrides],
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return done.returncode, calls.read_text().splitlines(), done.stdout + done.stderr

    return run


def test_a_job_trains_and_when_it_starts_again_goes_on_in_the_same_folder(submit, tmp_path):
    status, calls, output = submit("size=smoke", "pictures=none")
    assert status == 0, output
    assert not any("requeue" in call for call in calls)
    folder = tmp_path / "runs" / "12"
    assert deconv.load_snapshot(folder / "last.pt").epoch == 2
    status, calls, output = submit("size=smoke", "pictures=none")
    assert status == 0 and any("resume=runs/12" in call for call in calls), output
    assert "going on from epoch_002.pt" in output


def test_a_job_that_starts_again_names_its_network_again(submit, tmp_path):
    (tmp_path / "runs" / "12").mkdir(parents=True)
    (tmp_path / "runs" / "12" / "last.pt").touch()
    for asked in ("model=file:mine.py:net", "model.name='file:mine.py:net'"):
        _, calls, _ = submit("size=smoke", asked, "model.mean=[1,2,3]", SRUN_STATUS="75")
        assert calls[1].endswith("experiments.train resume=runs/12 model.name='file:mine.py:net'")


def test_a_job_whose_snapshots_are_gone_does_not_start_afresh(submit, tmp_path):
    folder = tmp_path / "runs" / "12"
    folder.mkdir(parents=True)
    (folder / "last.pt").symlink_to("epoch_007.pt")
    status, calls, output = submit("size=smoke", "pictures=none")
    assert status == 2 and "resume=runs/12" in calls[1] and len(calls) == 2, output
    assert "epoch_007.pt: last.pt points to it, and it is not there" in output
    assert not (folder / "epoch_000.pt").exists()


def test_only_an_interrupted_job_goes_back_into_the_queue(submit):
    assert submit(SRUN_STATUS="75")[:1] == (75,)
    assert submit(SRUN_STATUS="75")[1][-1] == "scontrol requeue 12"
    status, calls, _ = submit(SRUN_STATUS="2")
    assert status == 2 and not any("requeue" in call for call in calls)
