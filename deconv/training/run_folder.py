"""A run's folder: its lock, which snapshots are kept, and which one to resume from."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from deconv.atomic_files import CHECKSUM, UNIQUE, damage, whole
from deconv.errors import DeconvError
from deconv.locks import lock
from deconv.training.snapshots import Snapshot, load_snapshot, save_safetensors, save_snapshot

LAST = "last.pt"
DAMAGED = ".damaged"
_NAME = re.compile(r"epoch_(\d{3,})(?:_step_(\d{6,}))?")
_CHECKED = (".pt", f".pt{CHECKSUM}")
_SUFFIXES = (*_CHECKED, ".safetensors", f".safetensors{CHECKSUM}")
_TEMPORARY = re.compile(
    r"\.(epoch_\d+.*|metrics\.csv|config\.yaml|provenance\.json|last\.pt)\."
    rf"(\d+|{UNIQUE})(\.tmp|\.png|\.pdf)?"
)


def snapshot_name(snapshot: Snapshot) -> str:
    """epoch_010.pt at the end of epoch 10, epoch_010_step_000123.pt 123 updates later."""
    within = f"_step_{snapshot.progress['step']:06d}" if snapshot.progress else ""
    return f"epoch_{snapshot.epoch:03d}{within}.pt"


def snapshots(folder: str | Path) -> list[Path]:
    """List the snapshots of a run, oldest first."""
    return [path for stem in _stems(folder) if (path := Path(folder) / f"{stem}.pt").exists()]


def _stems(folder: str | Path, suffixes: Collection[str] = _SUFFIXES) -> list[str]:
    """List file stems of snapshots, oldest first.

    A run killed while saving or deleting can leave some of the files of one snapshot.
    """
    found = set()
    for path in Path(folder).iterdir():
        stem, dot, rest = path.name.partition(".")
        if _NAME.fullmatch(stem) and dot + rest in suffixes:
            found.add(stem)
    return sorted(found, key=_position)


def _position(stem: str) -> tuple[int, int]:
    """Parse (finished epochs, updates after them)."""
    match = _NAME.fullmatch(stem)
    assert match is not None
    epoch, step = match.groups()
    return int(epoch), int(step or 0)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a run folder against other runs; the lock dies with the process.

    Warns where files cannot be locked, as on some network disks.

    Raises:
        DeconvError: if another process holds the lock; names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        locked = lock(file)
        if locked is False:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise DeconvError(
                f"{folder} is in use by {holder}: wait for it or stop it, or train in another "
                "folder"
            )
        if locked is None:
            warnings.warn(
                f"{folder} is on a disk without locks: make sure that no second run writes there",
                stacklevel=3,
            )
        if locked:  # so only a killed run can have left temporary files
            for path in [*folder.iterdir(), *folder.glob("watch/.*")]:
                if _TEMPORARY.fullmatch(path.name):
                    path.unlink()
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def check_unused(folder: Path) -> None:
    """Raise DeconvError if `folder` holds snapshots."""
    if folder.is_dir() and snapshots(folder):
        raise DeconvError(
            f"{folder} already holds the snapshots of a run: go on with resume={folder}, or "
            "train in another folder"
        )


def most_kept(epochs: int, kept_epochs: Collection[int], keep_last: int) -> tuple[int, int]:
    """Count the files of a run of so many epochs: snapshots at most, and plain weights.

    The untrained network and the ends of `kept_epochs` stay; beside the newest `keep_last` there is
    for a moment the one that is being written.
    """
    final = {*(epoch for epoch in kept_epochs if 0 < epoch <= epochs), epochs}
    newest = set(range(epochs - min(keep_last, epochs), epochs + 1))
    return len({0} | final | newest), len(final)


def check_room(folder: Path, snapshots_and_plain: tuple[int, int], plain: int, full: int) -> None:
    """Raise DeconvError unless the disk has room for what a run will leave at most.

    Args:
        snapshots_and_plain: see `most_kept`.
        plain, full: bytes of the weights alone, and of a snapshot with its optimizer.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        there = sum(path.lstat().st_size for path in folder.glob("epoch_*"))
        free = shutil.disk_usage(folder).free
    snapshot_count, plain_count = snapshots_and_plain
    needed = snapshot_count * full + plain_count * plain - there
    if needed > free:
        raise DeconvError(
            f"the snapshots of the run take up to {needed / 1e9:.3g} GB more, and the disk of "
            f"{folder} has room for {free / 1e9:.3g} GB: make room, train in another folder, or "
            "keep fewer (snapshot_epochs, keep_last)"
        )


def save_rotating(
    folder: Path, snapshot: Snapshot, kept_epochs: Collection[int], keep_last: int, plain: bool
) -> Path:
    """Save a snapshot, check the written file, then `rotate`."""
    path = folder / snapshot_name(snapshot)
    with writing(path):
        save_snapshot(path, snapshot)
    if wrong := damage(path):
        raise DeconvError(f"{path} was written, but {wrong}: the disk of {folder} may be failing")
    rotate(folder, snapshot, kept_epochs, keep_last, plain)
    return path


def rotate(
    folder: Path, snapshot: Snapshot, kept_epochs: Collection[int], keep_last: int, plain: bool
) -> None:
    """Link last.pt to a saved snapshot and delete the snapshots no longer needed.

    Kept are the `keep_last` newest and, for good, the untrained network and the ends of
    `kept_epochs`.

    Args:
        plain: also write the snapshot's weights as safetensors.
    """
    path = folder / snapshot_name(snapshot)
    weights = path.with_suffix(".safetensors")
    if plain and damage(weights):
        with writing(weights):
            save_safetensors(weights, snapshot)
    _link_last(path)
    kept = {old.stem for old in snapshots(folder)[-keep_last:]} | {path.stem}
    for stem in _stems(folder):
        epoch, step = _position(stem)
        if stem not in kept and (step or epoch not in {0, *kept_epochs}):
            for suffix in _SUFFIXES:
                (folder / f"{stem}{suffix}").unlink(missing_ok=True)


def _link_last(path: Path) -> None:
    """Make last.pt a link to a snapshot in the same folder; warn where the disk has no links."""
    last = path.parent / LAST
    try:
        with whole(last) as link:
            link.symlink_to(path.name)
    except OSError as error:
        last.unlink(missing_ok=True)  # better none than one to an older snapshot
        warnings.warn(
            f"cannot make {last} a link ({error.strerror or error}): name {path} itself; resuming "
            "finds the newest snapshot without it",
            stacklevel=3,
        )


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError such as a full disk into a DeconvError that says what to do.

    Args:
        path: the file that the block writes, in the run's folder.
    """
    try:
        yield
    except OSError as error:
        raise DeconvError(
            f"cannot write {path}: {error.strerror or error}. The snapshots before it are intact; "
            f"make room and go on with resume={path.parent}"
        ) from error


def newest_intact(folder: str | Path, report: Callable[[str], None]) -> tuple[Path, Snapshot]:
    """Load the newest undamaged snapshot with an optimizer state.

    Args:
        report: called with one line for each snapshot skipped.

    Raises:
        DeconvError: if none is left, with the list: a run never restarts from scratch by itself.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DeconvError(f"there is no run folder {folder}")
    skipped = []
    stems = _stems(folder, _CHECKED)
    if target := _dangling_target(folder, stems):
        skipped.append(f"{target}: {LAST} points to it, and it is not there")
        report(f"skipping {skipped[-1]}")
    for stem in reversed(stems):
        path = folder / f"{stem}.pt"
        try:
            if wrong := damage(path):
                raise DeconvError(wrong)
            snapshot = load_snapshot(path)
            if snapshot.optimizer is None:
                raise DeconvError("it has no optimizer state to resume from")
            return path, snapshot
        except DeconvError as error:
            skipped.append(f"{path.name}: {error}")
            report(f"skipping {skipped[-1]}")
    if not skipped:
        raise DeconvError(f"{folder} holds no snapshot to go on from: train anew, without resume")
    raise DeconvError(
        f"no snapshot of {folder} can be used:\n  " + "\n  ".join(skipped) + "\nRestore one of "
        "them from a copy, or train anew in another folder"
    )


def _dangling_target(folder: Path, stems: Collection[str]) -> str | None:
    """Return what last.pt points to if none of that snapshot's files is left."""
    link = folder / LAST
    if not link.is_symlink():
        return None
    target = os.readlink(link)
    return None if Path(target).stem in stems else target


def rename_damaged(folder: Path, newest: Path) -> None:
    """Rename the damaged snapshots after `newest` and point last.pt to it.

    Checksums are renamed too: a file that was unreadable for a while is intact again under its old
    name.
    """
    for stem in _stems(folder, _CHECKED):
        if _position(stem) > _position(newest.stem):
            path, checksum = (folder / f"{stem}{suffix}" for suffix in _CHECKED)
            if not path.exists():
                checksum.unlink(missing_ok=True)
                continue
            for file in (checksum, path):
                if file.exists():
                    file.rename(file.with_name(file.name + DAMAGED))
    if _dangling_target(folder, _stems(folder, _CHECKED)):
        _link_last(newest)
