"""Runs that are killed, stopped, damaged or out of room, and what they are when they go on.

Each training is `experiments.train` in a process of its own that stops before everything it does
(an update, a batch of the validation, each change of a file in its folder) until it is told to go
on, so that it can be killed exactly there. The processes are forks of one that has imported all.
"""

import contextlib
import csv
import errno
import itertools
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache, partial
from multiprocessing import connection
from pathlib import Path

import pytest
import torch
from mostly_slow import mostly_slow
from omegaconf import OmegaConf
from small_disk import small_disk
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

import deconv
from deconv import atomic_files, distributed
from deconv.atomic_files import damage
from deconv.networks import ChainNet
from deconv.training import lock_folder, newest_intact, snapshots
from experiments.kit import compose
from experiments.kit import training as trained
from experiments.kit.command import EXIT_AT_ONCE, EXIT_BAD_INPUT, EXIT_INTERRUPTED
from experiments.kit.forked import SERVER, Forked, start_server
from experiments.train import main

ROOT = Path(__file__).resolve().parents[2]

SMALL = (
    "size=smoke",
    "device=cpu",
    "pictures=none",
    "data.train_images=20",
    "data.val_images=18",
    "data.cache=true",
    "model.input_px=64",
    "model.fc_width=16",
    "model.maps_345=[16,16,16]",
    "model.dropout=0.5",
    "train.batch_size=8",
    "train.epochs=3",
    "train.max_rms=0.04",
    "train.schedule=plateau",
    "train.patience=1",
    "train.min_improvement=10.0",
    "train.lr_drops=[]",
    "train.test_crops=ten",
)
"""Three epochs of three updates; the learning rate follows the validation error."""

UPDATES, BATCHES = 3, 3
"""Of each epoch; the validation is of as many batches."""


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    """The images of all trainings are drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


# What happens in the process of a training.


def work(there, folder, log, overrides, cache_dir, method):
    """`python -m experiments.train <overrides>`, which tells `there` what it is about to do."""
    os.environ["DECONV_CACHE"] = cache_dir
    torch.set_num_threads(1)
    multiprocessing.set_start_method(method, force=True)  # of those that load images
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a process of a shell's
    process = os.getpid()

    def tell(what):
        if os.getpid() == process:  # not in those that load images
            there.send(what)
            if (act := there.recv()) is not None:
                act()

    def audit(name, arguments):
        """Python's own notice of a change of a file."""
        written = name in ("os.rename", "os.remove", "os.symlink")
        written |= name == "open" and isinstance(arguments[1], str) and arguments[1][0] in "wax"
        if written and str(arguments[0]).startswith(f"{folder}/"):
            tell(f"{name} {Path(arguments[0]).name}")

    def forward(module, _):
        if isinstance(module, ChainNet):
            tell("train" if module.training else "validate")

    sys.stdout = sys.stderr = log.open("a", buffering=1)
    sys.argv = ["train.py", *overrides]
    sys.addaudithook(audit)
    register_module_forward_pre_hook(forward)
    register_optimizer_step_post_hook(lambda *_: tell("updated"))
    try:
        main()
    finally:
        tell("end")


def fill(folder):
    """Leave room for half a snapshot."""
    with (folder / "others").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(folder / "others", (folder / "others").stat().st_size - 100_000)


# What happens in the process of the tests.


class Training:
    """A training in a process of its own. Iterate over what it is about to do, to let it do it.

    Within a loop it waits; `kill` and `break` there, or let it `act` first. Without a loop `end`
    lets it do everything that is left.
    """

    def __init__(self, folder, *overrides, resume=False, method="fork"):
        self.folder, self.log = Path(folder), Path(f"{folder}.log")
        own = (f"resume={folder}",) if resume else (*SMALL, f"hydra.run.dir={folder}")
        self.here, there = SERVER.Pipe()
        arguments = (
            there,
            self.folder,
            self.log,
            (*own, *overrides),
            os.environ["DECONV_CACHE"],
            method,
        )
        self.process = SERVER.Process(target=work, args=arguments)
        self.act = None

    def __enter__(self):
        start_server()
        self.process.start()
        return self

    def __exit__(self, *_):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    def __iter__(self):
        while (what := self._next()) is not None:
            yield what
            self.here.send(self.act)
            self.act = None

    def _next(self):
        ready = connection.wait([self.here, self.process.sentinel], timeout=120)
        assert ready, f"it hangs:\n{self.said()}"
        try:
            return self.here.recv() if self.here.poll() else None
        except (EOFError, ConnectionResetError):
            return None

    def said(self):
        return self.log.read_text() if self.log.exists() else ""

    def reach(self, *whats):
        """Let it go on until it has reached these, one after the other; there it waits."""
        whats = list(whats)
        for what in self:
            if re.fullmatch(whats[0], what):
                whats.pop(0)
                if not whats:
                    return
        raise AssertionError(f"it never came to {whats}:\n{self.said()}")

    def end(self, status=0):
        """Let it do all that is left, from where it waits or from its start."""
        done = list(self)
        self.process.join()
        assert self.process.exitcode == status, self.said()
        return done

    def go_on(self):
        self.here.send(self.act)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL


def run(folder, *overrides, resume=False, status=0):
    """A training without a stop; what it did."""
    with Training(folder, *overrides, resume=resume) as training:
        return training.end(status)


def names(folder):
    """The files right in a run's folder."""
    return {path.name for path in folder.iterdir() if not path.is_dir()}


UNCOUNTED = (".lock", "train.log")
"""What a run that is refused may touch: the lock, and its log."""


def tree(folder, but=()):
    """All there is in a folder, byte for byte; links by where they lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.name not in but and not path.is_dir()
    }


def rows(folder):
    """metrics.csv without the speed."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [without_speed(row) for row in csv.DictReader(file)]


def without_speed(row):
    return {key: value for key, value in row.items() if key != "images_per_second"}


def bits(tensor):
    return tensor.contiguous().view(torch.uint8)


def assert_same_end(folder, expected, but=()):
    """Two runs have ended alike: each bit of each weight and momentum, and each metric."""
    one, other = (deconv.load_snapshot(path / "last.pt") for path in (folder, expected))
    for field in ("recipe", "classes", "epoch", "step", "progress"):
        assert getattr(one, field) == getattr(other, field), field
    assert torch.equal(one.mean, other.mean)
    assert one.weights.keys() == other.weights.keys()
    for name, weight in one.weights.items():
        assert torch.equal(bits(weight), bits(other.weights[name])), name
    assert_same_optimizer(one.optimizer, other.optimizer)
    assert list(map(without_speed, one.history)) == list(map(without_speed, other.history))
    assert rows(folder) == rows(expected)
    assert names(folder) - set(but) == names(expected), "the same files remain"


def assert_same_optimizer(one, other):
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys() and one["state"]
    for number, state in one["state"].items():
        assert state.keys() == other["state"][number].keys() and state, number
        for name, value in state.items():
            assert torch.equal(bits(value), bits(other["state"][number][name])), (number, name)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """(folder, what it did) of a run without a stop, by its `train.save_steps`."""

    @cache
    def of(save_steps):
        folder = tmp_path_factory.mktemp("uninterrupted") / f"every{save_steps}"
        return folder, run(folder, f"train.save_steps={save_steps}")

    return of


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a run that was killed in its second epoch, two updates after its first."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with Training(folder, "train.save_steps=1") as training:
        training.reach("validate", "train", "train", "train")
        training.kill()
    return folder


@pytest.fixture
def stopped(killed, tmp_path):
    """A copy of that folder."""
    return Path(shutil.copytree(killed, tmp_path / "run", symlinks=True))


# Killed.


def test_the_run_of_these_tests_is_not_trivial(uninterrupted):
    folder, done = uninterrupted(1)
    last = deconv.load_snapshot(folder / "last.pt")
    assert [done.count(what) for what in ("train", "updated")] == [3 * UPDATES] * 2
    assert done.count("validate") == 3 * BATCHES + 3, "and the ten crops, eight images a batch"
    assert sum(v for k, v in last.history[1].items() if k.startswith("renormalised_")) > 0
    assert len({row["lr"] for row in last.history}) > 1, "the rate has fallen"
    assert any(layer.p == 0.5 for layer in last.network().modules() if hasattr(layer, "p"))
    initial = deconv.load_snapshot(folder / "epoch_000.pt")
    assert all(not torch.equal(w, initial.weights[name]) for name, w in last.weights.items())


KILLS = ("early", "edge", "validation", "writing", "update") * 4
"""Where each kill falls."""


def kinds(done):
    """Kind of moment -> the numbers of the moments, in what a run did."""
    updated = [i for i, what in enumerate(done) if what == "updated"]
    trains = [i for i, what in enumerate(done) if what == "train"]
    edges = [(i, i + 1) for i in updated[UPDATES - 1 :: UPDATES]]
    edges += [(i - 1, i) for i in trains[::UPDATES]]
    return {
        "early": list(range(trains[0] + 2)),
        "edge": [i for edge in edges for i in edge],
        "validation": [i for i, what in enumerate(done) if what == "validate"],
        "writing": [i for i, what in enumerate(done) if " " in what],
        "update": trains + updated,
    }


@pytest.mark.fault("other workers")
@pytest.mark.fault("killed at a random step")
@pytest.mark.parametrize("number", mostly_slow(range(len(KILLS)), first=5))
def test_a_killed_run_ends_as_if_it_had_never_stopped(uninterrupted, tmp_path, number):
    """The workers are others after each kill; about every other run is killed again."""
    chance = random.Random(number)
    steps, workers = 1 + number % 3, 2 * (number % 2)
    expected, done = uninterrupted(steps)
    moment = chance.choice(kinds(done)[KILLS[number]])
    folder, resumed, kills = tmp_path / "run", False, 0
    while True:
        start = () if resumed else (f"train.save_steps={steps}",)
        with Training(folder, *start, f"train.workers={workers}", resume=resumed) as training:
            for count, _ in enumerate(training):
                if count == moment:
                    training.kill()
                    kills += 1
                    break
            else:
                assert training.end() == []
                break
        resumed = folder.is_dir() and bool(snapshots(folder))
        workers = 2 - workers
        moment = chance.randrange(len(done)) if chance.random() < 0.4 else -1
    assert kills
    assert_same_end(folder, expected)


@pytest.mark.slow
@pytest.mark.fault("other workers")
def test_a_run_goes_on_with_other_workers_and_start_methods(
    uninterrupted, tmp_path, record_property
):
    """Killed after each update of the second epoch, each time with others."""
    folder = tmp_path / "run"
    loaders = [(0, "fork"), (1, "fork"), (4, "spawn"), (1, "forkserver"), (4, "fork"), (0, "fork")]
    for number, (workers, method) in enumerate(loaders):
        own = () if number else ("train.save_steps=1",)
        uncached = ("data.cache=false", f"data.workers={workers}", f"train.workers={workers}")
        with Training(folder, *own, *uncached, resume=bool(number), method=method) as training:
            if number == len(loaders) - 1:
                training.end()
            else:
                training.reach("updated", "train")
                training.kill()
    record_property("tries", len(loaders) - 1)
    assert_same_end(folder, uninterrupted(1)[0])


@pytest.mark.slow
@pytest.mark.fault("killed twice")
def test_kills_in_one_epoch_and_before_the_first_save_of_a_resume(
    uninterrupted, tmp_path, record_property
):
    folder = tmp_path / "run"
    record_property("tries", 3)
    # After an update that is not saved; before the first one after it; and after the next one.
    for number, moment in enumerate((["validate", "train", "updated"], ["train"], ["updated"] * 2)):
        start = () if number else ("train.save_steps=1",)
        with Training(folder, *start, resume=number > 0) as training:
            training.reach(*moment)
            training.kill()
        assert snapshots(folder)[-1].name.startswith("epoch_001")
    run(folder, resume=True)
    assert_same_end(folder, uninterrupted(1)[0])


def die_in(name, call):
    """Have this process kill itself in a call of a function by which files are written."""
    owner = atomic_files._Hashing if name == "write" else atomic_files
    real, count = getattr(owner, name), itertools.count(1)

    def dying(*arguments):
        if (now := next(count)) == call and name == "write":
            arguments[0].file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*arguments)
        if now == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, dying)


STAGES = {
    "half written": ("write", 20),
    "opened": ("write", 1),
    "flushed": ("_sync", 1),
    "its checksum flushed": ("_sync", 2),
    "renamed": ("_sync_folder", 1),
    "between the names": r"os\.rename \.epoch_001_step_000002\.pt\.\S+-.*",
    "before the link": r"os\.rename \.last\.pt\..*",
    "before pruning": r"os\.remove epoch_.*",
    "half pruned": r"os\.remove epoch_.*\.sha256",
}


@pytest.mark.fault("killed while saving")
@pytest.mark.parametrize("stage", mostly_slow(STAGES))
def test_a_kill_at_any_stage_of_saving_leaves_a_snapshot_and_no_litter(
    uninterrupted, tmp_path, stage
):
    folder, what = tmp_path / "run", STAGES[stage]
    with Training(folder, "train.save_steps=1") as training:
        training.reach(r"open \.epoch_001_step_000002\.pt\.\S+\.tmp")
        if isinstance(what, str):
            training.go_on()
            training.reach(what)
            training.kill()
        else:
            training.act = partial(die_in, *what)
            training.go_on()
            training.act = None
            training.end(-signal.SIGKILL)
    left = [name for name in names(folder) if name.endswith(".tmp")]
    assert bool(left) == (stage not in ("renamed", "before pruning", "half pruned"))
    path, found = newest_intact(folder, print)
    assert found.epoch == 1 and damage(path) is None
    with Training(folder, resume=True) as training:
        training.reach("train", "train")
        assert not [name for name in names(folder) if name.endswith(".tmp")]
        training.go_on()
        training.end()
    assert_same_end(folder, uninterrupted(1)[0])


def workers_of(training):
    """The numbers of its two processes that load images."""
    pid = training.process.pid
    if not (children := Path(f"/proc/{pid}/task/{pid}/children")).exists():
        pytest.skip("a process's children are not listed here")
    workers = [int(worker) for worker in children.read_text().split()]
    assert len(workers) == 2
    return workers


@pytest.mark.fault("killed group")
def test_a_killed_loading_process_is_named_and_the_run_goes_on(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    with Training(folder, "train.save_steps=1", "train.workers=2") as training:
        training.reach("train", "train")
        os.kill(workers_of(training)[0], signal.SIGKILL)
        training.go_on()
        training.end(EXIT_BAD_INPUT)
    assert "error: a process that loads images has died (DataLoader worker" in training.said()
    assert f"go on with resume={folder}, with fewer such processes" in training.said()
    assert "Traceback" not in training.said()
    run(folder, resume=True)
    assert_same_end(folder, uninterrupted(1)[0])


def test_a_page_of_pictures_that_a_kill_prevented_is_drawn_by_the_run_that_goes_on(tmp_path):
    one = ("pictures=kept", "train.epochs=1", "watch_images=4")
    whole, folder = tmp_path / "whole", tmp_path / "run"
    run(whole, *one)
    moments = [r"open \.epoch_000\.npz.*", r"open \.epoch_001.*\.png"]
    for resume, moment in enumerate(moments):
        with Training(folder, *(() if resume else one), resume=bool(resume)) as training:
            training.reach(moment)
            training.kill()
    assert not (folder / "watch" / "epoch_001.png").exists()
    run(folder, resume=True)
    pages = {Path(f"epoch_00{n}{end}") for n in (0, 1) for end in (".npz", ".png")}
    found = tree(folder / "watch")
    assert found.keys() == tree(whole / "watch").keys() >= set(map(str, pages))
    assert found["epoch_001.npz"] == tree(whole / "watch")["epoch_001.npz"]
    before = {path: path.stat().st_mtime_ns for path in (folder / "watch").iterdir()}
    run(folder, resume=True)
    assert {path: path.stat().st_mtime_ns for path in (folder / "watch").iterdir()} == before


def test_a_killed_command_goes_on_from_the_command_line(tmp_path):
    """The commands as one types them, and a process that nothing holds back."""
    command = ["-m", "experiments.train"]
    settings = [*SMALL, "train.save_steps=1", "train.epochs=6"]
    said = tmp_path / "said.txt"
    process = Forked([*command, *settings, "train.workers=2"], said, said, tmp_path)
    deadline = time.monotonic() + 120
    while not (found := list(tmp_path.glob("outputs/train/*/epoch_001_step_000001.pt"))):
        assert process.poll() is None and time.monotonic() < deadline, said.read_text()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    folder = found[0].parent
    assert not (folder / "epoch_006.pt").exists()
    resume = [*command, f"resume={folder.relative_to(tmp_path)}", "train.workers=0"]
    again = tmp_path / "again.txt"
    assert Forked(resume, again, again, tmp_path).wait(120) == 0, again.read_text()
    text = again.read_text()
    assert "going on from epoch_" in text and "epoch 6/6: loss" in text
    assert (tmp_path / text.splitlines()[-1]).resolve() == folder
    run(tmp_path / "uninterrupted", "train.save_steps=1", "train.epochs=6")
    assert_same_end(folder, tmp_path / "uninterrupted")


# Asked to stop.


SIGNALS = [
    ("SIGTERM", ["updated", "train"], "epoch_000_step_000002.pt"),
    ("SIGUSR1", ["validate"] * (BATCHES + 1), "epoch_001_step_000003.pt"),
    ("SIGUSR1", ["updated"], "epoch_000_step_000002.pt"),
    ("SIGTERM", ["updated"] * UPDATES, "epoch_000_step_000003.pt"),
    ("SIGTERM", ["validate"], "epoch_000_step_000003.pt"),
]


@pytest.mark.fault("signals")
@pytest.mark.parametrize(("name", "reached", "saved"), mostly_slow(SIGNALS, first=2))
def test_a_signal_saves_at_the_next_step_and_ends_with_status_75(
    uninterrupted, tmp_path, name, reached, saved
):
    folder = tmp_path / "run"
    with Training(folder, "train.workers=2") as training:
        training.reach(*reached)
        os.kill(training.process.pid, getattr(signal, name))
        training.go_on()
        training.end(EXIT_INTERRUPTED)
    assert snapshots(folder)[-1].name == saved and (folder / "last.pt").resolve().name == saved
    assert damage(folder / saved) is None
    epoch, step = int(saved[6:9]), int(saved[-9:-3])
    assert f"stopped in epoch {epoch + 1} after {step} of {UPDATES} updates" in training.said()
    assert f"go on with resume={folder}" in training.said()
    assert "Traceback" not in training.said()
    run(folder, "train.workers=0", resume=True)
    assert_same_end(folder, uninterrupted(0)[0], but=[saved, f"{saved}.sha256"])


GROUP = [
    ("SIGTERM", "train", "epoch_000_step_000002.pt"),
    ("SIGUSR1", r"open \.epoch_000_step_000001\.pt.*", "epoch_000_step_000002.pt"),
    ("SIGINT", "train", "epoch_000_step_000002.pt"),
    ("SIGUSR1", "train", "epoch_000_step_000002.pt"),
    ("SIGTERM", r"open \.epoch_000_step_000001\.pt.*", "epoch_000_step_000002.pt"),
    ("SIGTERM", "validate", "epoch_000_step_000003.pt"),
    ("SIGUSR1", "validate", "epoch_000_step_000003.pt"),
]
"""During the second update's loading and computing, during a save, and during the validation."""


@pytest.mark.fault("signals")
@pytest.mark.parametrize(("name", "reached", "saved"), mostly_slow(GROUP))
def test_a_signal_to_the_whole_process_group_saves_as_well(tmp_path, name, reached, saved):
    """As torchrun, timeout(1) and a terminal send it: to those that load images, too."""
    folder = tmp_path / "run"
    with Training(folder, "train.workers=2", "train.save_steps=1") as training:
        training.reach("open .*")
        training.act = partial(os.setpgid, 0, 0)
        training.go_on()
        training.act = None
        training.reach("updated", reached)
        os.killpg(training.process.pid, getattr(signal, name))
        training.go_on()
        training.end(EXIT_INTERRUPTED)
    assert snapshots(folder)[-1].name == saved
    assert "Traceback" not in training.said()


TWICE = [("SIGINT", EXIT_AT_ONCE), ("SIGTERM", -signal.SIGTERM), ("SIGUSR1", -signal.SIGUSR1)]


@pytest.mark.fault("signals")
@pytest.mark.parametrize(("name", "status"), mostly_slow(TWICE))
def test_a_second_signal_while_saving_ends_at_once_and_costs_nothing(
    uninterrupted, tmp_path, name, status
):
    folder = tmp_path / "run"
    with Training(folder, "train.save_steps=1") as training:
        training.reach("validate", "updated", r"open \.epoch_001_step_000001\.pt\..*")
        for _ in range(2):
            os.kill(training.process.pid, getattr(signal, name))
            time.sleep(0.1)  # else both are one
        with contextlib.suppress(OSError):  # it is gone
            training.go_on()
        training.end(status)
    assert "Traceback" not in training.said()
    assert name != "SIGINT" or "stopped at once: what was saved before" in training.said()
    assert newest_intact(folder, pytest.fail)[0].name == "epoch_001.pt"
    run(folder, resume=True)
    assert_same_end(folder, uninterrupted(1)[0])


# Damaged.


def flip(path):
    """Turn one bit of a file over."""
    content = bytearray(path.read_bytes())
    chance = random.Random(len(content))
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path):
    os.truncate(path, path.stat().st_size * 2 // 3)


def without_checksum(path):
    path.with_name(f"{path.name}.sha256").unlink()


def empty(path):
    os.truncate(path, 0)


def foreign(path):
    path.write_bytes(b"GIF89a")


DAMAGES = {
    flip: "it is not what its checksum says",
    cut: "it is not what its checksum says",
    empty: "it is not what its checksum says",
    foreign: "it is not what its checksum says",
    without_checksum: "epoch_001_step_000002.pt.sha256 is missing",
    Path.unlink: "epoch_001_step_000002.pt is missing",
}


@pytest.mark.fault("damaged snapshot")
@pytest.mark.parametrize("harm", mostly_slow(DAMAGES))
def test_a_damaged_snapshot_is_named_and_the_one_before_it_taken(uninterrupted, stopped, harm):
    before, newest = snapshots(stopped)[-2:]
    assert newest.name == "epoch_001_step_000002.pt" == os.readlink(stopped / "last.pt")
    harm(newest)
    bad = newest.read_bytes() if newest.exists() else None
    with Training(stopped, resume=True) as training:
        training.end()
    assert f"skipping {newest.name}: {DAMAGES[harm]}" in training.said()
    assert f"going on from {before.name}" in training.said()
    aside = stopped / f"{newest.name}.damaged"
    assert bad is None or aside.read_bytes() == bad
    assert_same_end(stopped, uninterrupted(1)[0], but=[aside.name, f"{newest.name}.sha256.damaged"])


ASIDE = (".damaged", ".sha256.damaged")


def test_every_process_goes_on_from_the_snapshot_that_process_0_chose(stopped, monkeypatch):
    """Also where another one would seem newest to it, as on a network disk that lags behind."""
    chosen = snapshots(stopped)[-2]
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "from_first", lambda value: chosen)
    cfg = compose("train", [*SMALL, f"resume={stopped}"])
    asked = {}
    monkeypatch.setattr(trained, "go_on", lambda *_, **more: asked.update(more))
    _, path, start = trained._resumed(cfg, Path("elsewhere"), [])
    assert asked["commit"] == start.config["starts"][-1]["commit"], "what a message would name"
    assert path == chosen and start.step == deconv.load_snapshot(chosen).step


@pytest.mark.fault("damaged snapshot")
def test_two_damaged_snapshots_are_both_named(uninterrupted, stopped):
    *_, before, older, newer = snapshots(stopped)
    flip(newer), without_checksum(older)
    with Training(stopped, resume=True) as training:
        training.end()
    assert f"skipping {newer.name}" in training.said()
    assert f"skipping {older.name}" in training.said()
    assert f"going on from {before.name}" in training.said()
    aside = [f"{path.name}{rest}" for path in (older, newer) for rest in ASIDE]
    assert_same_end(stopped, uninterrupted(1)[0], aside)


@pytest.mark.fault("damaged snapshot")
def test_a_run_without_an_intact_snapshot_neither_goes_on_nor_starts_afresh(stopped):
    for path in snapshots(stopped):
        flip(path)
    before = tree(stopped, but=UNCOUNTED)
    with Training(stopped, resume=True) as training:
        training.end(EXIT_BAD_INPUT)
    assert f"error: no snapshot of {stopped} can be used" in training.said()
    listed = training.said().partition("can be used")[2]
    assert all(f"{path.name}: it is not what" in listed for path in snapshots(stopped))
    assert tree(stopped, but=UNCOUNTED) == before


def test_a_folder_without_a_snapshot_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("mine: 1\n")
    with Training(folder, resume=True) as training:
        training.end(EXIT_BAD_INPUT)
    assert "holds no snapshot to go on from" in training.said()
    assert tree(folder, but=UNCOUNTED) == {"config.yaml": b"mine: 1\n"}


# Out of room.


def assert_out_of_room(folder, said, reason):
    """The run has ended with a message, and left nothing but what was there before."""
    assert re.search(rf"error: cannot write \S+/epoch_\d+_step_\d+\.pt: {reason}", said)
    assert f"make room and go on with resume={folder}" in said and "Traceback" not in said
    files = {path.name for path in snapshots(folder)}
    assert all(damage(folder / name) is None for name in files) and files
    assert damage(folder / "last.pt") is None
    plain = {name.replace(".pt", ".safetensors") for name in files}
    expected = files | {f"{name}.sha256" for name in files | plain} | plain
    assert names(folder) <= expected | {*UNCOUNTED, "config.yaml", "last.pt", "metrics.csv"}


@pytest.mark.fault("full disk")
def test_a_file_that_cannot_grow_ends_the_run_and_costs_nothing(uninterrupted, tmp_path):
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("the size of another process's files cannot be limited here")
    folder = tmp_path / "run"
    with Training(folder, "train.save_steps=1") as training:
        training.reach("validate", "updated")
        before = tree(folder, but=UNCOUNTED)
        resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        training.go_on()
        training.end(EXIT_BAD_INPUT)
    assert_out_of_room(folder, training.said(), "File too large")
    assert tree(folder, but=UNCOUNTED) == before
    run(folder, "train.workers=2", resume=True)
    assert_same_end(folder, uninterrupted(1)[0])


def no_room(event, pattern, number=errno.ENOSPC):
    """Let this process's audited `event` of a file by such a name fail, as on a full disk."""

    def audit(name, arguments):
        if name == event and re.search(pattern, str(arguments[event == "os.symlink"])):
            raise OSError(number, os.strerror(number))

    sys.addaudithook(audit)


def read_only(folder):
    """Let no snapshot be written any more, as where a disk was made read-only after an error."""
    no_room("open", rf"{folder}/\.epoch_", errno.EROFS)


ROOMLESS = [(fill, "No space left on"), (read_only, "Read-only file system")]


@pytest.mark.fault("full disk")
@pytest.mark.parametrize(("close", "reason"), mostly_slow(ROOMLESS))
def test_a_full_disk_ends_the_run_and_costs_nothing(uninterrupted, tmp_path, close, reason):
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of one's own is not to be had here")
    folder, out = tmp_path / "run", tmp_path / "out"
    with Training(folder, "train.save_steps=1") as training:
        for number, what in enumerate(training):
            if number == 0:
                training.act = partial(small_disk, folder, "8m")
            if what.startswith("open .epoch_001_step_000001.pt."):
                training.act = partial(close, folder)
            if what == "end":
                training.act = partial(shutil.copytree, folder, out, symlinks=True)
        training.end(EXIT_BAD_INPUT)
    (out / "others").unlink(missing_ok=True)
    assert_out_of_room(out, training.said().replace(str(folder), str(out)), reason)
    assert snapshots(out)[-1].name == "epoch_001.pt"
    run(out, resume=True)
    assert_same_end(out, uninterrupted(1)[0])


@pytest.mark.fault("full disk")
def test_no_room_for_the_metrics_ends_the_run_with_what_to_do(uninterrupted, tmp_path):
    """Without room for the link or pictures it goes on, see test_watching and test_run_folder."""
    folder, named = tmp_path / "run", "metrics.csv"
    with Training(folder, "train.save_steps=1") as training:
        training.reach("open .epoch_000.*")
        training.act = partial(no_room, "open", r"/\.metrics\.csv\.")
        training.go_on()
        training.act = None
        training.end(EXIT_BAD_INPUT)
    assert f"error: cannot write {folder / named}: No space left on device" in training.said()
    assert f"make room and go on with resume={folder}" in training.said()
    run(folder, "pictures=none", resume=True)
    if named != "watch":
        assert_same_end(folder, uninterrupted(1)[0])


@pytest.mark.fault("full disk")
def test_a_resume_without_room_for_its_configuration_leaves_the_old_one(stopped):
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("the size of another process's files cannot be limited here")
    before = tree(stopped, but=UNCOUNTED)
    with Training(stopped, resume=True) as training:
        training.reach(r"open \.?config\.yaml.*")
        limit = len(before["config.yaml"]) * 3 // 4
        assert len(training.said()) + 300 < limit, "what it says has room"
        resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        training.go_on()
        training.end(EXIT_BAD_INPUT)
    assert f"cannot write {stopped / 'config.yaml'}: File too large" in training.said()
    assert f"make room and go on with resume={stopped}" in training.said()
    assert tree(stopped, but=UNCOUNTED) == before


# Two runs in one folder.


WRITING, UPDATING = ["open .epoch_000.pt.*"], ["updated"] * 4
SECONDS = [(WRITING, True), (UPDATING, False), (WRITING, False), (UPDATING, True)]


@pytest.mark.fault("one folder, many processes")
@pytest.mark.parametrize(("reached", "resume"), mostly_slow(SECONDS))
def test_a_second_run_in_a_folder_is_refused_and_the_first_undisturbed(
    uninterrupted, tmp_path, reached, resume
):
    folder = tmp_path / "run"
    with Training(folder, "train.save_steps=1") as first:
        first.reach(*reached)
        before = tree(folder, but=UNCOUNTED)
        with Training(folder, *(() if resume else ("seed=5",)), resume=resume) as second:
            second.end(EXIT_BAD_INPUT)
        said = f"{folder} is in use by process {first.process.pid} on "
        assert said in second.said().partition("error: ")[2]
        assert tree(folder, but=UNCOUNTED) == before
        first.go_on()
        first.end()
    assert_same_end(folder, uninterrupted(1)[0])


@pytest.mark.fault("one folder, many processes")
def test_the_folder_of_a_killed_run_is_free_although_its_workers_live_on(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    with Training(folder, "train.save_steps=1", "train.workers=2") as training:
        training.reach("train", "train")
        workers = workers_of(training)
        try:
            training.kill()
            for worker in workers:  # before they look whether the run still lives
                os.kill(worker, signal.SIGSTOP)
            run(folder, resume=True)
            assert all(Path(f"/proc/{worker}").is_dir() for worker in workers)
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
    assert_same_end(folder, uninterrupted(1)[0])


def test_a_run_is_not_begun_in_the_folder_of_another(stopped):
    before = tree(stopped, but=UNCOUNTED)
    with Training(stopped, "seed=5") as training:
        training.end(EXIT_BAD_INPUT)
    assert f"{stopped} already holds the snapshots of a run" in training.said()
    assert f"go on with resume={stopped}" in training.said()
    assert tree(stopped, but=UNCOUNTED) == before


# With other settings.


def test_a_run_goes_on_beyond_its_end_as_if_that_had_been_asked_for_at_once(tmp_path):
    """Where the schedule does not depend on it; the test after the last epoch alone is one more."""
    fixed = ("train.schedule=fixed", "train.lr_drops=[1]")
    short, long = tmp_path / "short", tmp_path / "long"
    run(short, *fixed, "train.epochs=2", "train.test_crops=centre")
    run(short, "train.epochs=3", resume=True)
    run(long, *fixed, "train.test_crops=centre")
    assert_same_end(short, long)
    assert OmegaConf.load(short / "config.yaml").train.epochs == 3


def test_a_run_goes_on_with_its_own_settings_and_not_with_todays_defaults(stopped):
    run(stopped, resume=True)
    kept = deconv.load_snapshot(stopped / "last.pt").config
    assert kept["settings"]["train"]["patience"] == 1
    assert kept["settings"]["model"]["maps_345"] == [16, 16, 16]
    assert len(kept["starts"]) == 2 and "resume=" in kept["starts"][1]["command"]


REFUSED = [
    (["train.lr=0.5"], "train.lr: 0.01 in the run, 0.5 asked for"),
    (["device=gpu"], "device=gpu cannot be used"),
    (["seed=7"], "seed: 0 in the run, 7 asked for"),
    (["data.train_images=21"], "data.train_images: 20 in the run, 21 asked for"),
    (["model.fc_width=8", "train.epochs=9"], "model.fc_width: 16 in the run, 8 asked for"),
    (["train=modern"], "train.schedule: plateau in the run, cosine asked for"),
    (["train.epochs=0"], "epochs must be positive"),
    (["train.keep_last=0"], "keep_last must be positive"),
    (["pictures=some"], "unknown choice of pictures 'some'"),
]


@pytest.mark.parametrize(("overrides", "message"), mostly_slow(REFUSED, first=2))
def test_a_resume_that_is_refused_changes_nothing(stopped, overrides, message):
    flip(snapshots(stopped)[-1])
    before = tree(stopped, but=UNCOUNTED)
    with Training(stopped, *overrides, resume=True) as training:
        training.end(EXIT_BAD_INPUT)
    assert message in training.said().partition("error: ")[2]
    assert tree(stopped, but=UNCOUNTED) == before


def test_a_run_of_more_epochs_than_are_asked_for_is_refused(stopped):
    for path in snapshots(stopped)[2:]:
        path.unlink()
    (stopped / "last.pt").unlink()
    run(stopped, "train.save_steps=0", resume=True)
    with Training(stopped, "train.epochs=2", resume=True) as training:
        training.end(EXIT_BAD_INPUT)
    assert "train.epochs=2, but the run has 3 finished epochs" in training.said()


def test_going_on_with_other_threads_says_so(stopped):
    with Training(stopped, resume=True) as training:
        training.reach(".*")
        training.act = partial(torch.set_num_threads, 2)
        training.go_on()
        training.act = None
        training.end()
    assert "note: going on with threads: 2 in place of 1; the last bits" in training.said()


def test_a_lock_is_let_go_of_at_the_end_of_a_run(tmp_path):
    run(tmp_path / "run", "train.epochs=1")
    with lock_folder(tmp_path / "run"):
        pass
