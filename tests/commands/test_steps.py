"""Commands one after the other: failures alone, going on, signals, what is remembered."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deconv.errors import DeconvError
from experiments.kit.steps import (
    DONE,
    FAILED,
    NO_DATA,
    STATE,
    STOPPED,
    Outcome,
    State,
    Step,
    finished,
    last_error,
    last_line,
    log_path,
    read_state,
    run_steps,
    status_of,
    write_state,
)

ROOT = Path(__file__).resolve().parents[2]

WRITES = "import sys, pathlib as p; f = p.Path(sys.argv[1]); f.mkdir(exist_ok=True); "
COUNT = WRITES + "a = f / 'n'; a.write_text(a.read_text() + 'x' if a.exists() else 'x'); "


def step(name, program=COUNT, goes_on="", inputs=None):
    def place(folder, again):
        return [str(folder), "again" if again else "new"]

    return Step(name, ("-c", program), place, inputs or {}, goes_on)


def run(folder, steps, state=None):
    """(whether it came to the end, the state, what was shown but for ticks)."""
    state = State({}) if state is None else state
    shown = []

    def show(what, one, outcome):
        if what != "tick":
            shown.append((what, one.name, outcome.status))

    return run_steps(steps, folder, state, show), state, shown


FAILS = {
    "bad input": ("print('error: no such thing', file=sys.stderr); sys.exit(2)", FAILED),
    "a traceback": ("print('noise'); raise KeyError('oops')", FAILED),
    "no data": (
        "sys.exit('error: get it there') if 0 else None; print('error: get it there', "
        "file=sys.stderr); sys.exit(66)",
        NO_DATA,
    ),
    "killed": ("import os; os.kill(os.getpid(), 9)", FAILED),
}


def test_a_step_that_fails_does_not_stop_the_others(tmp_path):
    steps = [step("first")]
    steps += [step(name.replace(" ", "_"), WRITES + code) for name, (code, _) in FAILS.items()]
    steps.append(step("last"))
    whole, state, shown = run(tmp_path, steps)
    assert whole
    ended = {name: one.status for name, one in state.outcomes.items()}
    wanted = {name.replace(" ", "_"): status for name, (_, status) in FAILS.items()}
    assert ended == {"first": DONE} | wanted | {"last": DONE}
    errors = {name: one.error for name, one in state.outcomes.items()}
    assert errors["bad_input"] == "no such thing" and errors["no_data"] == "get it there"
    assert errors["a_traceback"] == "KeyError: 'oops'" and errors["killed"] == "it said nothing"
    assert errors["first"] == ""
    assert state.outcomes["killed"].exit_status == -9
    assert (tmp_path / "first" / "n").read_text() == (tmp_path / "last" / "n").read_text() == "x"
    assert log_path(tmp_path, "a_traceback").read_text().startswith("noise\nTraceback")
    assert shown[:3] == [
        ("start", "first", STOPPED),
        ("end", "first", DONE),
        ("start", "bad_input", STOPPED),
    ]
    assert read_state(tmp_path) == state


def test_what_is_finished_with_the_same_settings_is_not_run_again(tmp_path):
    fails = step("b", COUNT + "sys.exit(3)")
    run(tmp_path, [step("a"), fails])
    *_, shown = run(tmp_path, [step("a"), fails], read_state(tmp_path))
    assert [what for what, *_ in shown] == ["kept", "start", "end"]
    # Of what failed nothing is left when it runs again.
    assert (tmp_path / "a" / "n").read_text() == (tmp_path / "b" / "n").read_text() == "x"
    changed = step("a", COUNT + "print('other settings')")
    run(tmp_path, [changed], read_state(tmp_path))
    assert log_path(tmp_path, "a").read_text() == "other settings\n"
    assert (tmp_path / "a" / "n").read_text() == "x", "in an empty folder"
    assert (tmp_path / "a.1" / "n").read_text() == "x", "what was finished is kept"
    assert not finished(step("a", inputs={"net": "1"}), read_state(tmp_path))
    run(tmp_path, [step("a", inputs={"net": "1"})], read_state(tmp_path))
    assert finished(step("a", inputs={"net": "1"}), read_state(tmp_path))
    assert not finished(step("a", inputs={"net": "2"}), read_state(tmp_path))


@pytest.mark.fault("killed pass")
def test_what_was_finished_is_not_run_again_where_it_was_moved_to():
    arguments = ["size=smoke", "data.root=/here", "snapshot=/here/last.pt"]
    moved = ["size=smoke", "data.root=/there", "snapshot=/there/last.pt"]

    def of(texts, net="1"):
        return Step("a", ("-m", "experiments.a", *texts), lambda place, again: [], {"net": net})

    state = State({}, {"a": Outcome(list(of(arguments).arguments), {"net": "1"}, DONE)})
    assert finished(of(moved), state)
    assert not finished(of(moved, net="2"), state), "other weights under the old name"
    assert not finished(of(["size=laptop", *moved[1:]]), state)


def test_a_step_that_can_goes_on_where_it_left_off(tmp_path):
    code = COUNT + "print(sys.argv[2], a.read_text()); sys.exit(a.read_text() != 'xxx')"
    for what in ("new x", "again xx", "again xxx"):
        state = read_state(tmp_path) if (tmp_path / STATE).exists() else None
        run(tmp_path, [step("t", code, goes_on="n")], state)
        assert log_path(tmp_path, "t").read_text() == what + "\n"
    assert read_state(tmp_path).outcomes["t"].status == DONE
    # Finished, and now with other settings: another work, which begins anew.
    run(tmp_path, [step("t", code + "; 0", goes_on="n")], read_state(tmp_path))
    assert log_path(tmp_path, "t").read_text() == "new x\n"
    # Nothing there from which it could go on.
    state = read_state(tmp_path)
    (tmp_path / "t" / "n").rename(tmp_path / "t" / "other")
    run(tmp_path, [step("t", code + "; 0", goes_on="n")], state)
    assert log_path(tmp_path, "t").read_text() == "new x\n"
    assert not (tmp_path / "t" / "other").exists()


SLOW = WRITES + (
    "import signal, time\n"
    "def stop(n, _):\n    print('told', signal.Signals(n).name, flush=True)\n    sys.exit(STATUS)\n"
    "signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)\n"
    "(f / 'ready').touch()\ntime.sleep(60)"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("status", [75, 0, 1])
def test_a_signal_goes_to_the_child_and_stops_the_rest(tmp_path, number, status):
    def send():
        while not (tmp_path / "slow" / "ready").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    sender = threading.Thread(target=send)
    sender.start()
    steps = [step("slow", SLOW.replace("STATUS", str(status))), step("after")]
    whole, state, _ = run(tmp_path, steps)
    sender.join()
    assert not whole and "after" not in state.outcomes
    # One that came to its end all the same is done.
    assert state.outcomes["slow"].status == (DONE if status == 0 else STOPPED)
    assert log_path(tmp_path, "slow").read_text() == f"told {number.name}\n"
    assert signal.getsignal(number) is before
    assert read_state(tmp_path) == state


def test_ctrl_c_at_a_terminal_reaches_the_child_once(tmp_path):
    """The child is in a session of its own: what the terminal sends to the group it gets from us
    alone."""
    child = SLOW.replace("STATUS", "75").replace("sys.exit(75)", "time.sleep(1); sys.exit(75)")
    child = "import os; print(os.getsid(0) == os.getpid(), flush=True)\n" + child
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from experiments.kit.steps import *\n"
        f"s = Step('slow', ('-c', {child!r}), lambda f, again: [str(f)])\n"
        "run_steps([s], Path(sys.argv[1]), State({}), lambda *a: None)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(ROOT)], start_new_session=True
    )
    while not (tmp_path / "slow" / "ready").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(timeout=60) == 0
    assert log_path(tmp_path, "slow").read_text() == "True\ntold SIGINT\n"


def test_what_was_running_when_the_machine_failed_counts_as_interrupted(tmp_path):
    _, state, _ = run(tmp_path, [step("a")])
    state.outcomes["a"].status = STOPPED  # as written before it started
    write_state(tmp_path, state)
    assert not finished(step("a"), read_state(tmp_path))


def test_the_state_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_state(tmp_path, State({"overrides": {"size": "smoke"}}))
    before = (tmp_path / STATE).read_text()
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_state(tmp_path, State({}))
    assert (tmp_path / STATE).read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"settings": {}}', '{"settings": {}, "outcomes": {"a": {"other": 1}}}']
)
def test_a_state_that_cannot_be_read_is_named(tmp_path, text):
    with pytest.raises(DeconvError, match=r"holds no reproduce\.json"):
        read_state(tmp_path)
    (tmp_path / STATE).write_text(text)
    with pytest.raises(DeconvError, match="start in a new folder"):
        read_state(tmp_path)


def test_what_an_exit_status_says():
    assert status_of(0, False) == status_of(0, True) == DONE
    assert status_of(75, False) == status_of(-15, True) == status_of(2, True) == STOPPED
    assert status_of(66, False) == NO_DATA
    assert {status_of(code, False) for code in (1, 2, -9, 137)} == {FAILED}


def test_the_error_of_a_log_is_its_last_one_on_one_line(tmp_path):
    log = tmp_path / "log"
    log.write_text("error: an old one\nbar 1/9\rbar 9/9\nerror: no images\n  in here\n")
    assert last_error(log) == "no images in here"
    assert last_line(log) == "in here"
    log.write_text("epoch 1\n\rmining 1/9\rmining 5/9\n\n")
    assert last_line(log) == last_error(log) == "mining 5/9"
    log.write_text("")
    assert last_line(log) == "" and last_error(log) == "it said nothing"
    assert last_line(tmp_path / "none") == ""


def test_the_state_is_plain_json(tmp_path):
    run(tmp_path, [step("a", inputs={"epoch_002.pt": "abc"})])
    kept = json.loads((tmp_path / STATE).read_text())
    assert kept["outcomes"]["a"]["inputs"] == {"epoch_002.pt": "abc"}
    assert kept["outcomes"]["a"]["status"] == "done"
