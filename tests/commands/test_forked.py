"""A process forked from the server is as one started from a shell."""

import multiprocessing
import os
import signal
import time

import pytest
from command_line import program

from experiments.kit.forked import Forked

LOOK = """
import multiprocessing, os, sys
before = set(sys.modules)
import experiments.train, deconv.figures, deconv.scenes
assert "torch" in before and not {"deconv.scenes", "deconv.figures"} - before, "imported before"
print(multiprocessing.get_start_method(), os.getcwd(), sys.argv, os.environ.get("MINE"))
print(os.getsid(0) == os.getpid(), sys.stdin.read() == "")

def double(number):
    return 2 * number

with multiprocessing.Pool(2) as pool:
    print(pool.map(double, [1, 2]))
"""


def test_it_has_the_library_and_is_otherwise_as_from_a_shell(tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "yes")
    said, errors = program(LOOK, "a", "b=c", cwd=tmp_path)
    method = multiprocessing.get_context().get_start_method()
    assert said.splitlines() == [
        f"{method} {tmp_path} ['-c', 'a', 'b=c'] yes",
        "True True",
        "[2, 4]",
    ]
    assert errors == ""


def test_its_end_is_told_as_a_shell_does(tmp_path):
    assert "ZeroDivisionError" in program("1 / 0", cwd=tmp_path, status=1)[1]
    assert program("import sys; sys.exit('words')", cwd=tmp_path, status=1) == ("", "words\n")
    program("import sys; sys.exit(75)", cwd=tmp_path, status=75)
    out = tmp_path / "out"
    process = Forked(["-c", "import time; print('on', flush=True); time.sleep(60)"], out, out)
    while not (out.exists() and out.read_text()):
        time.sleep(0.01)
    assert process.poll() is None and process.wait(0.01) is None
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) != 0 and "KeyboardInterrupt" in out.read_text()


PARENT = """
import time
from pathlib import Path
from experiments.kit.forked import Forked
out = Path("child.txt")
Path("works.py").write_text(
    "import time\\nwhile True: print('works', flush=True); time.sleep(0.01)"
)
child = Forked(["-m", "works"], out, out)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.fault("killed pass")
def test_a_process_ends_with_the_one_that_started_it_however_that_ended(tmp_path):
    """Else what is resumed after a kill would find its folder in use."""
    out, written = tmp_path / "parent.txt", tmp_path / "child.txt"
    parent = Forked(["-c", PARENT], out, out, tmp_path)
    try:
        while not (written.exists() and written.stat().st_size):
            assert parent.poll() is None, out.read_text()
            time.sleep(0.01)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    before, deadline = -1, time.monotonic() + 20
    while (now := written.stat().st_size) != before:
        assert time.monotonic() < deadline, "it goes on alone"
        before = now
        time.sleep(0.5)
