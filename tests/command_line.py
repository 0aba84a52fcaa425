"""Running an experiment as a person would."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def command(stem, *overrides, cwd, fails=False, timeout_s=300):
    """Run `python -m experiments.<stem>` in a folder of its own; (stdout lines, stderr)."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{stem}", *overrides],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout.splitlines(), done.stderr


def assert_refused(stem, overrides, message, cwd):
    """The command ends with `message` as its error, without a traceback, and leaves no file."""
    before = {path for path in Path(cwd).rglob("*") if path.is_file()}
    _, error = command(stem, *overrides, cwd=cwd, fails=True)
    assert message in error and error.startswith("error: ") and "Traceback" not in error, error
    assert {path for path in Path(cwd).rglob("*") if path.is_file()} == before
