"""The folder of a run: what is written in which order, what stays, and what a run goes on from."""

import errno
import itertools
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors
import torch
from command_line import program
from mostly_slow import mostly_slow
from safetensors.torch import load_file
from test_training import Bars
from torch.optim.optimizer import register_optimizer_step_post_hook

import deconv
from deconv import atomic_files as checked_files
from deconv.atomic_files import damage, unique, whole, write_checked, write_whole
from deconv.data import mean_image
from deconv.data.crops import Batches
from deconv.errors import DeconvError
from deconv.networks import build
from deconv.training import (
    Recipe,
    fit,
    lock_folder,
    newest_intact,
    rename_damaged,
    run_folder,
    snapshots,
)
from deconv.training.run_folder import most_kept, save_rotating, snapshot_name

UPDATES = 4
"""Of each epoch of the runs below, which are only their snapshots."""


def snapshot(epoch, step=0, **changes):
    """One that is as small as can be, `step` updates after an epoch."""
    content = {
        "recipe": {"name": "zfnet_mini"},
        "weights": {"fc8.bias": torch.full((2,), float(epoch))},
        "mean": torch.zeros(3, 4, 4),
        "classes": ["a", "b"],
        "epoch": epoch,
        "step": epoch * UPDATES + step,
        "optimizer": {"state": {}, "param_groups": []},
        "progress": {"step": step} if step else {},
    }
    return deconv.Snapshot(**(content | changes))


def saved(folder, *positions, kept=(), keep_last=2, plain=False):
    """A folder in which a run has left snapshots at these (epoch, step)."""
    for position in positions:
        path = save_rotating(folder, snapshot(*position), kept, keep_last, plain)
    return path


def run_of(epochs, every):
    """Where a run saves: untrained, `every` so many updates, and at the end of each epoch."""
    yield (0, 0)
    for epoch in range(epochs):
        within = range(1, UPDATES + 1) if every else ()
        yield from ((epoch, step) for step in within if (epoch * UPDATES + step) % every == 0)
        yield (epoch + 1, 0)


def names(folder):
    return {path.name for path in folder.iterdir()}


def name_of(epoch, step):
    return f"epoch_{epoch:03d}" + (f"_step_{step:06d}" if step else "")


def flip(path, at=-100):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


# What stays.


@pytest.fixture
def unflushed(monkeypatch):
    """Nothing is flushed to the disk, which takes the time of these tests."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.usefixtures("unflushed")
@pytest.mark.parametrize("every", [0, 1, 3])
@pytest.mark.parametrize("keep_last", [1, 2, 5])
@pytest.mark.parametrize("kept", [(), (1, 2, 5), (0, 3, 6, 64)])
def test_exactly_the_last_ones_and_those_kept_for_good_remain(tmp_path, every, keep_last, kept):
    """At every moment of a run, with their checksums and plain weights and nothing else."""
    done, plain = [], set()
    for epoch, step in run_of(6, every):
        done.append((epoch, step))
        final = not step and (epoch in kept or epoch == 6)
        plain |= {(epoch, step)} if final else set()
        save_rotating(tmp_path, snapshot(epoch, step), kept, keep_last, plain=final)
        wanted = {p for p in done if p in done[-keep_last:] or (not p[1] and p[0] in {0, *kept})}
        files = {f"{name_of(*p)}.pt" for p in wanted}
        files |= {f"{name_of(*p)}.safetensors" for p in wanted & plain}
        assert names(tmp_path) == files | {f"{name}.sha256" for name in files} | {"last.pt"}
        assert os.readlink(tmp_path / "last.pt") == f"{name_of(epoch, step)}.pt"
        assert all(damage(tmp_path / name) is None for name in files)
        assert [path.stem for path in snapshots(tmp_path)] == [name_of(*p) for p in sorted(wanted)]


def test_a_snapshot_is_saved_again_under_its_name(tmp_path):
    """As when a run is asked to stop in the validation after an update at which it saved."""
    saved(tmp_path, (0, 0), (0, 3), (0, 4))
    path = save_rotating(tmp_path, snapshot(0, 4, metrics={"again": 1.0}), (), 2, plain=False)
    assert [p.name for p in snapshots(tmp_path)] == [
        "epoch_000.pt",
        "epoch_000_step_000003.pt",
        "epoch_000_step_000004.pt",
    ]
    assert deconv.load_snapshot(path).metrics == {"again": 1.0} and damage(path) is None


def test_an_older_snapshot_that_is_saved_now_is_not_deleted(tmp_path):
    """As when a run goes on from a snapshot before those that were set aside by hand."""
    saved(tmp_path, (3, 0), (4, 0))
    path = saved(tmp_path, (2, 1), keep_last=1)
    assert path.exists() and os.readlink(tmp_path / "last.pt") == path.name


def test_snapshots_are_told_from_other_files_and_sorted_by_what_they_hold(tmp_path):
    right = [
        "epoch_002.pt",
        "epoch_009_step_000100.pt",
        "epoch_010.pt",
        "epoch_1000.pt",
        "epoch_1000_step_1234567.pt",
    ]
    wrong = [
        "last.pt",
        "epoch_2.pt",
        "epoch_002.pt.damaged",
        "epoch_002.pt.sha256",
        "epoch_002.safetensors",
        ".epoch_003.pt.12.tmp",
        "my_epoch_002.pt",
    ]
    for name in sorted(right + wrong):
        (tmp_path / name).touch()
    assert [path.name for path in snapshots(tmp_path)] == right
    assert snapshot_name(snapshot(10)) == "epoch_010.pt"
    assert snapshot_name(snapshot(9, 100)) == "epoch_009_step_000100.pt"
    assert snapshot_name(snapshot(1000)) == "epoch_1000.pt"


def test_nothing_is_deleted_if_the_new_file_is_not_whole(tmp_path, monkeypatch):
    """A bit turns over between writing and reading again, as on a failing disk."""
    saved(tmp_path, (0, 0), (1, 0), (2, 0))
    before = {path: path.read_bytes() for path in snapshots(tmp_path)}

    def save(path, content):
        deconv.save_snapshot(path, content)
        flip(path)

    monkeypatch.setattr(run_folder, "save_snapshot", save)
    with pytest.raises(DeconvError, match=r"epoch_003\.pt was written, but .*may be failing"):
        save_rotating(tmp_path, snapshot(3), (), 2, plain=False)
    assert {path: path.read_bytes() for path in before} == before
    assert os.readlink(tmp_path / "last.pt") == "epoch_002.pt"
    lines = []
    assert newest_intact(tmp_path, lines.append)[0].name == "epoch_002.pt"
    assert lines == ["skipping epoch_003.pt: it is not what its checksum says"]


@pytest.mark.fault("full disk")
@pytest.mark.parametrize("refused", ["open", "fsync", "replace", "write"])
def test_a_write_that_fails_says_what_to_do_and_changes_nothing(tmp_path, monkeypatch, refused):
    saved(tmp_path, (0, 0), (1, 0), (2, 0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    if refused == "open":
        monkeypatch.setattr(checked_files.Path, "open", full)
    elif refused == "write":
        monkeypatch.setattr(torch, "save", full)
    else:
        monkeypatch.setattr(os, refused, full)
    with pytest.raises(DeconvError, match=r"cannot write .*epoch_003\.pt: No space") as error:
        save_rotating(tmp_path, snapshot(3), (), 2, plain=True)
    monkeypatch.undo()
    assert f"make room and go on with resume={tmp_path}" in str(error.value)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: after[name] for name in before} == before
    plain = {"epoch_003.safetensors", "epoch_003.safetensors.sha256"}
    assert after.keys() - before.keys() in (set(), plain), "if anything is new, it is whole"
    assert newest_intact(tmp_path, print)[0].name == "epoch_002.pt"


@pytest.mark.fault("full disk")
def test_a_disk_without_links_has_no_last_pt_and_the_run_goes_on(tmp_path, monkeypatch):
    saved(tmp_path, (0, 0), (1, 0))

    def refused(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(checked_files.Path, "symlink_to", refused)
    with pytest.warns(UserWarning, match=r"last\.pt a link \(Operation not.*epoch_002\.pt itself"):
        save_rotating(tmp_path, snapshot(2), (), 1, plain=False)
    assert not (tmp_path / "last.pt").is_symlink(), "an older snapshot would be taken for the last"
    assert newest_intact(tmp_path, print)[0].name == "epoch_002.pt"
    assert not list(tmp_path.glob(".last*"))


# Whole or not at all, whenever it ends.


class End(BaseException):
    """The process ends here."""


@pytest.fixture
def end_at(monkeypatch):
    """Make the process end before change number n of a file: end_at(n), end_at(None) for never."""
    calls, limit = [], [None]

    def guard(name, original):
        def guarded(*arguments, **options):
            if limit[0] is not None and len(calls) >= limit[0]:
                raise End
            calls.append(name)
            return original(*arguments, **options)

        return guarded

    for name in ("fsync", "replace", "unlink", "symlink"):
        # Nobody cuts the power here, so that nothing need be flushed.
        original = getattr(os, name) if name != "fsync" else lambda handle: None
        monkeypatch.setattr(os, name, guard(name, original))

    def at(number):
        calls.clear()
        limit[0] = number
        return calls

    return at


def test_a_file_is_flushed_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch):
    log, sync, replace = [], os.fsync, os.replace

    def logged_sync(handle):
        log.append(("fsync", os.fstat(handle).st_ino))
        sync(handle)

    def logged_replace(source, target):
        log.append(("replace", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_sync)
    monkeypatch.setattr(os, "replace", logged_replace)
    path = write_checked(tmp_path / "file", lambda file: file.write(b"content"))
    both = {(tmp_path / name).stat().st_ino for name in ("file", "file.sha256")}
    assert {file for what, file in log if what == "replace"} == both
    for file in both:
        assert log.index(("fsync", file)) < log.index(("replace", file))
    assert log[-1] == ("fsync", tmp_path.stat().st_ino)
    assert damage(path) is None and path.read_bytes() == b"content"


def test_a_file_that_was_not_all_handed_over_is_not_written(tmp_path):
    def write(file):
        file.write(b"half")
        raise End

    write_checked(tmp_path / "file", lambda file: file.write(b"old"))
    with pytest.raises(End):
        write_checked(tmp_path / "file", write)
    assert names(tmp_path) == {"file", "file.sha256"}
    assert (tmp_path / "file").read_bytes() == b"old" and damage(tmp_path / "file") is None


def test_a_file_takes_its_name_when_it_is_done_and_leaves_nothing_when_it_fails(tmp_path):
    path = tmp_path / "new" / "file"
    write_whole(path, b"old")
    with whole(path) as mine, whole(path) as theirs:
        assert {mine.parent, theirs.parent} == {path.parent} and mine != theirs
        mine.write_bytes(b"mine"), theirs.write_bytes(b"theirs")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"mine" and names(path.parent) == {"file"}
    with pytest.raises(End), whole(path) as half:
        half.write_bytes(b"half")
        raise End
    assert path.read_bytes() == b"mine" and names(path.parent) == {"file"}


@pytest.mark.fault("killed while saving")
def test_a_run_that_ends_anywhere_in_saving_goes_on_from_a_whole_snapshot(
    tmp_path, end_at, record_property
):
    """Before each change of a file that `keep` makes; saving again then leaves what it should."""
    positions = list(run_of(1, 1))
    expected = tmp_path / "expected"
    calls = end_at(None)
    saved(expected, *positions, kept=(1,), plain=True)
    total = len(calls)
    assert total > 40 and set(calls) >= {"fsync", "replace"}
    record_property("tries", total)
    for number in range(total):
        folder = tmp_path / str(number)
        end_at(number)
        done = []
        with pytest.raises(End):
            for position in positions:
                saved(folder, position, kept=(1,), plain=True)
                done.append(position)
        end_at(None)
        newest = positions[0]
        if done:
            path, found = newest_intact(folder, print)
            newest = (found.epoch, found.progress.get("step", 0))
            assert newest >= done[-1], "no finished snapshot is lost"
            assert path.stem == name_of(*newest)
        with lock_folder(folder):
            saved(folder, *positions[positions.index(newest) :], kept=(1,), plain=True)
        assert names(folder) - {".lock"} == names(expected)


# What a run goes on from.


HARM = {
    "a flipped bit": (flip, "it is not what its checksum says"),
    "a cut file": (lambda p: os.truncate(p, 200), "it is not what its checksum says"),
    "an empty file": (lambda p: os.truncate(p, 0), "it is not what its checksum says"),
    "no checksum": (lambda p: p.with_name(f"{p.name}.sha256").unlink(), "sha256 is missing"),
    "an empty checksum": (
        lambda p: p.with_name(f"{p.name}.sha256").write_text(""),
        "it or its checksum cannot be read",
    ),
    "a checksum of bytes": (
        lambda p: p.with_name(f"{p.name}.sha256").write_bytes(b"\xff\xfe\xfd"),
        "it or its checksum cannot be read",
    ),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "it or its checksum cannot be read"),
    "no file": (lambda p: p.unlink(), "epoch_003.pt is missing"),
    "other content": (
        lambda p: write_checked(p, lambda file: torch.save({"other": 1}, file)),
        "is not a snapshot of this library",
    ),
    "no pickle": (
        lambda p: write_checked(p, lambda file: file.write(b"nothing")),
        "cannot read the snapshot",
    ),
    "another format": (
        lambda p: deconv.save_snapshot(p, snapshot(3, format=99)),
        "has snapshot format 99",
    ),
    "no optimizer": (
        lambda p: deconv.save_snapshot(p, snapshot(3, optimizer=None)),
        "it has no optimizer state to resume from",
    ),
}


@pytest.mark.fault("damaged snapshot")
@pytest.mark.parametrize("harm", HARM)
def test_what_is_wrong_with_a_snapshot_is_reported_and_the_next_one_taken(tmp_path, harm):
    saved(tmp_path, (0, 0), (1, 0), (2, 0), (3, 0), keep_last=9)
    act, reason = HARM[harm]
    act(tmp_path / "epoch_003.pt")
    lines = []
    path, found = newest_intact(tmp_path, lines.append)
    assert (path, found.epoch) == (tmp_path / "epoch_002.pt", 2)
    assert len(lines) == 1 and lines[0].startswith("skipping epoch_003.pt: ") and reason in lines[0]


def test_an_intact_folder_is_gone_on_from_without_a_word(tmp_path):
    saved(tmp_path, (0, 0), (1, 0), (1, 2))
    lines = []
    path, found = newest_intact(str(tmp_path), lines.append)
    assert path.name == "epoch_001_step_000002.pt" and found.progress == {"step": 2}
    assert lines == []
    (tmp_path / "last.pt").unlink()
    assert newest_intact(tmp_path, lines.append)[0] == path and lines == [], "last.pt is for people"


def test_a_newest_snapshot_of_which_nothing_is_left_is_reported(tmp_path):
    saved(tmp_path, (0, 0), (1, 0), (2, 0))
    for suffix in (".pt", ".pt.sha256"):
        (tmp_path / f"epoch_002{suffix}").unlink()
    lines = []
    path, _ = newest_intact(tmp_path, lines.append)
    assert path.name == "epoch_001.pt"
    assert lines == ["skipping epoch_002.pt: last.pt points to it, and it is not there"]
    for path in snapshots(tmp_path):
        flip(path)
    with pytest.raises(DeconvError, match=r"epoch_002\.pt: last\.pt points to it"):
        newest_intact(tmp_path, lines.append)


@pytest.mark.fault("damaged snapshot")
def test_if_nothing_is_intact_all_are_listed(tmp_path):
    saved(tmp_path, (0, 0), (1, 0), (2, 0))
    for path in snapshots(tmp_path):
        flip(path)
    lines, before = [], names(tmp_path)
    with pytest.raises(DeconvError, match=f"no snapshot of {tmp_path} can be used") as error:
        newest_intact(tmp_path, lines.append)
    listed = re.findall(r"^  (epoch_\d+\.pt): it is not what", str(error.value), re.MULTILINE)
    assert listed == ["epoch_002.pt", "epoch_001.pt", "epoch_000.pt"]
    assert "another folder" in str(error.value) and len(lines) == 3 and names(tmp_path) == before


def test_no_folder_and_no_snapshot_are_told_apart(tmp_path):
    with pytest.raises(DeconvError, match=r"there is no run folder .*nowhere"):
        newest_intact(tmp_path / "nowhere", print)
    with pytest.raises(DeconvError, match="holds no snapshot to go on from"):
        newest_intact(tmp_path, print)


def test_what_was_skipped_no_longer_counts(tmp_path):
    saved(tmp_path, (0, 0), (1, 0), (1, 1), (1, 2), keep_last=9)
    contents = {}
    for name in ("epoch_001_step_000001.pt", "epoch_001_step_000002.pt"):
        flip(tmp_path / name)
        for one in (name, f"{name}.sha256"):
            contents[one] = (tmp_path / one).read_bytes()
    path, _ = newest_intact(tmp_path, print)
    rename_damaged(tmp_path, path)
    assert [p.name for p in snapshots(tmp_path)] == ["epoch_000.pt", "epoch_001.pt"]
    for name, content in contents.items():
        assert (tmp_path / f"{name}.damaged").read_bytes() == content
    rename_damaged(tmp_path, path)
    assert newest_intact(tmp_path, pytest.fail)[0] == path


def test_what_was_set_aside_for_a_moment_s_failure_can_be_taken_back(tmp_path, monkeypatch):
    newest = saved(tmp_path, (0, 0), (1, 0), (1, 1))
    before = names(tmp_path)
    with monkeypatch.context() as patch:
        real = run_folder.damage
        patch.setattr(run_folder, "damage", lambda path: (path == newest and "no") or real(path))
        path, _ = newest_intact(tmp_path, print)
    rename_damaged(tmp_path, path)
    assert path.name == "epoch_001.pt" and not newest.exists()
    for one in list(tmp_path.glob("*.damaged")):
        one.rename(one.with_suffix(""))
    assert names(tmp_path) == before and newest_intact(tmp_path, pytest.fail)[0] == newest


def too_much():
    torch.empty(1 << 60, dtype=torch.uint8)  # what PyTorch raises for it is a RuntimeError


def disk():
    raise OSError(errno.EIO, "Input/output error")


def memory():
    raise MemoryError


@pytest.mark.parametrize(
    ("fail", "kind"), [(too_much, MemoryError), (memory, MemoryError), (disk, OSError)]
)
def test_a_machine_that_fails_is_not_called_a_damaged_snapshot(tmp_path, monkeypatch, fail, kind):
    newest = saved(tmp_path, (0, 0), (1, 0))
    monkeypatch.setattr(torch, "load", lambda *_, **__: fail())
    with pytest.raises(kind):
        deconv.load_snapshot(newest)
    with pytest.raises(kind):
        newest_intact(tmp_path, pytest.fail)


# Who may write.


def test_a_folder_is_made_and_names_who_holds_it(tmp_path):
    folder = tmp_path / "deep" / "run"
    with lock_folder(folder):
        assert re.fullmatch(rf"process {os.getpid()} on \S+", (folder / ".lock").read_text())
    with lock_folder(folder), pytest.raises(ZeroDivisionError):
        _ = 1 / 0
    with lock_folder(folder):
        assert (folder / ".lock").read_text().count("process") == 1


@pytest.mark.parametrize("number", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EACCES", "EAGAIN"])
def test_a_disk_without_locks_is_not_taken_for_another_run(tmp_path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def fail(*_):
        raise OSError(getattr(errno, number), "not now")

    (tmp_path / ".lock").write_text("process 3 on elsewhere")
    (tmp_path / ".epoch_002.pt.123.tmp").touch()
    monkeypatch.setattr(fcntl, "lockf", fail)
    if number in ("EACCES", "EAGAIN"):
        with (
            pytest.raises(DeconvError, match="in use by process 3 on elsewhere"),
            lock_folder(tmp_path),
        ):
            pass
        return
    with (
        pytest.warns(UserWarning, match=f"{tmp_path} is on a disk without locks"),
        lock_folder(tmp_path),
    ):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()
    assert (tmp_path / ".epoch_002.pt.123.tmp").exists(), "of a second run, for all one knows"


@pytest.mark.fault("killed while saving")
def test_what_a_killed_run_left_half_written_is_cleared_away(tmp_path):
    saved(tmp_path, (0, 0), (1, 0))
    (tmp_path / "mine.tmp").touch(), (tmp_path / ".hidden").touch()
    before = names(tmp_path)
    half = (
        ".epoch_002.pt.123.tmp",
        ".epoch_002.pt.sha256.123.tmp",
        f".epoch_002.pt.{unique()}.tmp",
        f".epoch_001.{unique()}.png",
        ".metrics.csv.123",
        ".config.yaml.123",
        ".provenance.json.123",
    )
    for name in half:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".last.pt.123").symlink_to("epoch_002.pt")
    with lock_folder(tmp_path):
        assert names(tmp_path) == before | {".lock"}


def moments(snapshot):
    """Every tensor of an optimizer."""
    state = snapshot.optimizer["state"]
    return [value for number in state for _, value in sorted(state[number].items())]


# The plain weights.


def trained(folder, **changes):
    """Two epochs of a tiny network."""
    data = Bars(16)
    net = build("zfnet_mini", 2, input_px=64, fc_width=8, dropout=0.5, remove=(4,), seed=0)
    base = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "snapshot_epochs": (1,)}
    rule = Recipe(**(base | changes))
    return fit(net, data, data, mean_image(data), rule, folder), net, data


def test_safetensors_hold_the_weights_and_what_rebuilds_the_network(tmp_path):
    trained(tmp_path, epochs=3)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "epoch_001.safetensors",
        "epoch_003.safetensors",
    }
    for epoch in (1, 3):
        path = tmp_path / f"epoch_{epoch:03d}.safetensors"
        assert damage(path) is None
        whole = deconv.load_snapshot(path.with_suffix(".pt"))
        plain = load_file(path)
        assert plain.keys() == whole.weights.keys()
        for name, weight in whole.weights.items():
            assert plain[name].dtype == weight.dtype and torch.equal(plain[name], weight), name
        with safetensors.safe_open(path, "pt") as file:
            notes = file.metadata()
        assert json.loads(notes["classes"]) == ["horizontal", "vertical"]
        net = build(**json.loads(notes["recipe"]))
        net.load_state_dict(plain)
        images = torch.randn(2, 3, 64, 64) * 50
        with torch.no_grad():
            assert torch.equal(net(images), whole.network()(images))


# What is no number.


def spoil(net, what, at):
    """Let update number `at` (from 1) see or leave what is no number; a function that ends this."""
    count = itertools.count(1)

    def gradient(value):
        return value * (torch.inf if next(count) == at else 1)

    def after(*_):
        if next(count) == at:
            with torch.no_grad():
                # Weights that are finite, but whose activations are not.
                net.conv3.weight.fill_(torch.nan if what == "weights" else 3e38)

    if what == "gradient":
        return net.conv3.weight.register_hook(gradient).remove
    return register_optimizer_step_post_hook(after).remove


ENDS = {
    "gradient": (
        r"the gradient of conv3\.weight is not finite in epoch {}, batch {} \(",
        "not change",
    ),
    "weights": (r"conv3\.weight is no longer finite after .*epoch {}, batch {} \(", "before it"),
    "activations": (
        r"the output of zfnet_mini holds \w+ for image 0 of the data set",
        "too high a",
    ),
}


@pytest.mark.fault("not finite")
@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize("what", ENDS)
def test_what_is_no_number_ends_a_run_also_in_its_last_update(tmp_path, what, at):
    """What is saved is from before it; of the activations, those of the validation tell it."""
    if (what, at) == ("activations", 1):
        at = 2  # of the first epoch its last
    data = Bars(16)
    net = build("zfnet_mini", 2, input_px=64, fc_width=8, seed=0)
    every = 0 if what == "activations" else 1
    rule = Recipe(epochs=2, batch_size=8, lr=1e-3, max_rms=None, save_steps=every, keep_last=9)
    end, (words, more) = spoil(net, what, at), ENDS[what]
    try:
        with pytest.raises(DeconvError, match=words.format((at + 1) // 2, (at - 1) % 2)) as error:
            fit(net, data, data, mean_image(data), rule, tmp_path)
    finally:
        end()
    assert more in str(error.value)
    path, last = newest_intact(tmp_path, pytest.fail)
    assert os.readlink(tmp_path / "last.pt") == path.name
    assert last.step == at - (2 if what == "activations" else 1)
    assert all(weight.isfinite().all() for weight in last.weights.values())


@pytest.mark.fault("not finite")
def test_a_loss_that_is_not_finite_stops_before_the_update_and_says_where(tmp_path):
    """The rate is such that the first update of the second epoch ruins the weights."""
    _, net, data = trained(tmp_path, epochs=1)
    start = deconv.load_snapshot(tmp_path / "last.pt")
    rule = Recipe(
        epochs=2, batch_size=8, lr=1e30, schedule="fixed", max_rms=None, save_steps=1, keep_last=9
    )
    with pytest.raises(DeconvError) as error:
        fit(net, data, data, mean_image(data), rule, tmp_path, start=start)
    batches = Batches(16, 8, seed=0)
    batches.epoch = 2
    shown = ", ".join(str(image) for image in sorted(batches.batch(1)))
    where = rf"the loss is (nan|inf) in epoch 2, batch 1 \(that of images {shown} of "
    assert re.match(where, str(error.value))
    assert "train anew with a lower rate lr (1e+30 here)" in str(error.value)
    last = deconv.load_snapshot(tmp_path / "last.pt")
    assert (last.epoch, last.step, last.progress["step"]) == (1, 3, 1)
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, last.weights[name]), f"{name} was touched"


@pytest.mark.fault("not finite")
def test_of_a_large_batch_the_first_images_are_named(tmp_path):
    data = Bars(32)
    net = build("zfnet_mini", 2, input_px=64, fc_width=8, seed=0)
    with torch.no_grad():
        net.fc8.bias.fill_(torch.inf)
    with pytest.raises(DeconvError, match=r"batch 0 \(that of images (\d+, ){8}… of the"):
        fit(net, data, data, mean_image(data), Recipe(batch_size=32), tmp_path)
    assert names(tmp_path) == {"epoch_000.pt", "epoch_000.pt.sha256", "last.pt"}


@pytest.mark.usefixtures("unflushed")
@pytest.mark.parametrize(("kept", "keep_last"), [((), 1), ((1, 2, 5, 9), 2), ((0, 3, 6), 5)])
def test_the_most_that_a_run_leaves_is_known_before(tmp_path, monkeypatch, kept, keep_last):
    there = []

    def save(path, content):
        deconv.save_snapshot(path, content)
        there.append(len(snapshots(tmp_path)))

    monkeypatch.setattr(run_folder, "save_snapshot", save)
    for epoch in range(7):
        final = epoch > 0 and (epoch in kept or epoch == 6)
        save_rotating(tmp_path, snapshot(epoch), kept, keep_last, plain=final)
    plain = len(list(tmp_path.glob("*.safetensors")))
    assert most_kept(6, kept, keep_last) == (max(there), plain)


@pytest.mark.fault("full disk")
def test_a_run_that_the_disk_has_no_room_for_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
    with pytest.raises(DeconvError, match=r"take up to \S+ GB more, .* room for 0.002 GB: make"):
        trained(tmp_path)
    assert names(tmp_path) == set()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=200_000_000))
    trained(tmp_path)


CYCLES = """
import gc, os, sys, torch
from pathlib import Path
from deconv import Snapshot
from deconv.training import newest_intact
from deconv.training.run_folder import save_rotating

def size():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def state(epoch):
    weights = {"fc8.weight": torch.full((300, 300), float(epoch))}
    moments = {0: {"momentum_buffer": weights["fc8.weight"].clone()}}
    return Snapshot({"name": "zfnet_mini"}, weights, torch.zeros(3, 64, 64), ["a", "b"], epoch,
                    epoch, {"state": moments, "param_groups": []})

folder, seen = Path(sys.argv[1]), []
for epoch in range(500):
    save_rotating(folder, state(epoch), (), 2, plain=epoch % 5 == 0)
    assert newest_intact(folder, print)[1].epoch == epoch
    if epoch in (100, 499):
        seen.append((len(os.listdir("/proc/self/fd")), size()))
(files, before), (left, after) = seen
assert left == files, seen
assert after < 1.02 * before, seen
"""


@pytest.mark.slow
@pytest.mark.fault("hostile environment")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no sizes of processes here")
def test_hundreds_of_saves_leave_no_file_open_and_no_memory_taken(tmp_path, record_property):
    record_property("tries", 500)
    program(CYCLES, tmp_path / "run", cwd=tmp_path)


def test_a_run_is_not_begun_among_the_snapshots_of_another(tmp_path):
    trained(tmp_path, epochs=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DeconvError, match="already holds the snapshots of a run: go on with"):
        trained(tmp_path, epochs=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("optimizer", mostly_slow(["adamw", "sgd"]))
def test_any_snapshot_is_as_good_a_start_as_any_other(tmp_path, optimizer):
    """From each of the snapshots of a run one comes to its end, with and without workers."""
    options = {"optimizer": optimizer, "label_smoothing": 0.1, "weight_decay": 0.01}
    last, _, data = trained(tmp_path / "whole", save_steps=1, keep_last=99, **options)
    starts = snapshots(tmp_path / "whole")
    assert len(starts) == 7
    for number, path in enumerate(starts):
        net = build("zfnet_mini", 2, input_px=64, fc_width=8, dropout=0.5, remove=(4,), seed=9)
        rule = Recipe(epochs=2, batch_size=8, lr=1e-3, workers=2 * (number % 2), **options)
        start = deconv.load_snapshot(path)
        folder = tmp_path / str(number)
        folder.mkdir()
        end = fit(net, data, data, start.mean, rule, folder, start=start)
        assert all(torch.equal(end.weights[name], weight) for name, weight in last.weights.items())
        for one, other in zip(moments(end), moments(last), strict=True):
            assert torch.equal(one, other)
        speed = {"images_per_second": None}
        assert [row | speed for row in end.history] == [row | speed for row in last.history]
