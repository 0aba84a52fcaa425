"""The folder of one run: who may write there, which snapshots stay, and which is the newest."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from deconv.atomic_files import CHECKSUM, damage, whole
from deconv.errors import DeconvError
from deconv.locks import lock
from deconv.training.snapshots import Snapshot, load_snapshot, save_safetensors, save_snapshot

LAST = "last.pt"
DAMAGED = ".damaged"
_NAME = re.compile(r"epoch_(\d{3,})(?:_step_(\d{6,}))?")
_CHECKED = (".pt", f".pt{CHECKSUM}")
_SUFFIXES = (*_CHECKED, ".safetensors", f".safetensors{CHECKSUM}")
_HALF_WRITTEN = re.compile(
    r"\.(epoch_\d+.*|metrics\.csv|config\.yaml|provenance\.json|last\.pt)\.\d+"
    r"(\.tmp|\.png|\.pdf)?"
)


def snapshot_name(snapshot: Snapshot) -> str:
    """epoch_010.pt at the end of epoch 10, epoch_010_step_000123.pt 123 updates later."""
    within = f"_step_{snapshot.progress['step']:06d}" if snapshot.progress else ""
    return f"epoch_{snapshot.epoch:03d}{within}.pt"


def snapshots(folder: str | Path) -> list[Path]:
    """The snapshots of a run, oldest first."""
    return [path for stem in _stems(folder) if (path := Path(folder) / f"{stem}.pt").exists()]


def _stems(folder: str | Path, suffixes: Collection[str] = _SUFFIXES) -> list[str]:
    """The names, without their endings, that snapshots or what belongs to them have; oldest first.

    A run that was killed while it saved or deleted can leave a part of what belongs together.
    """
    found = set()
    for path in Path(folder).iterdir():
        stem, dot, rest = path.name.partition(".")
        if _NAME.fullmatch(stem) and dot + rest in suffixes:
            found.add(stem)
    return sorted(found, key=_position)


def _position(stem: str) -> tuple[int, int]:
    """(finished epochs, updates after them) by the name of a snapshot."""
    match = _NAME.fullmatch(stem)
    assert match is not None
    epoch, step = match.groups()
    return int(epoch), int(step or 0)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every other run out of `folder`; the hold ends with the process, however it ends.

    Raises DeconvError naming the process that holds it. Where files cannot be locked, as on some
    network disks, it warns that nothing keeps a second run out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        got = lock(file)
        if got is False:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise DeconvError(
                f"{folder} is in use by {holder}: wait for it or stop it, or train in another "
                "folder"
            )
        if got is None:
            warnings.warn(
                f"{folder} is on a disk without locks: see to it that no second run writes there",
                stacklevel=3,
            )
        _clear_half_written(folder)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def check_unused(folder: Path) -> None:
    """Raise DeconvError if `folder` holds anything of a run that could be gone on with."""
    if folder.is_dir() and snapshots(folder):
        raise DeconvError(
            f"{folder} already holds the snapshots of a run: go on with resume={folder}, or "
            "train in another folder"
        )


def _clear_half_written(folder: Path) -> None:
    """Delete what a killed run was writing; under the hold nobody else does."""
    for path in [*folder.iterdir(), *folder.glob("watch/.*")]:
        if _HALF_WRITTEN.fullmatch(path.name):
            path.unlink()


def keep(
    folder: Path, snapshot: Snapshot, kept_epochs: Collection[int], keep_last: int, plain: bool
) -> Path:
    """Save a snapshot, then delete those that are no longer wanted.

    Wanted are the `keep_last` newest and, for good, the ends of `kept_epochs` and the untrained
    network. Nothing is deleted before the new file has been read again and found whole.
    last.pt becomes a link to it. plain: also write its weights as safetensors.
    """
    path = folder / snapshot_name(snapshot)
    with writing(path):
        save_snapshot(path, snapshot)
    if wrong := damage(path):
        raise DeconvError(f"{path} was written, but {wrong}: the disk of {folder} may be failing")
    settle(folder, snapshot, kept_epochs, keep_last, plain)
    return path


def settle(
    folder: Path, snapshot: Snapshot, kept_epochs: Collection[int], keep_last: int, plain: bool
) -> None:
    """What `keep` does once the newest snapshot is written; also after a kill in between."""
    path = folder / snapshot_name(snapshot)
    weights = path.with_suffix(".safetensors")
    if plain and damage(weights):
        with writing(weights):
            save_safetensors(weights, snapshot)
    with writing(path.parent / LAST):
        _point_last(path)
    wanted = {old.stem for old in snapshots(folder)[-keep_last:]} | {path.stem}
    for stem in _stems(folder):
        epoch, step = _position(stem)
        if stem not in wanted and (step or epoch not in {0, *kept_epochs}):
            for suffix in _SUFFIXES:
                (folder / f"{stem}{suffix}").unlink(missing_ok=True)


def _point_last(path: Path) -> None:
    """Make last.pt of its folder a link to a snapshot."""
    with whole(path.parent / LAST) as link:
        link.unlink(missing_ok=True)  # a killed process of this number may have left it
        link.symlink_to(path.name)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError, such as a full disk, into what to do about it.

    path: what the block writes, right in the folder of a run.
    """
    try:
        yield
    except OSError as error:
        raise DeconvError(
            f"cannot write {path}: {error.strerror or error}. The snapshots before it are as they "
            f"were; make room and go on with resume={path.parent}"
        ) from error


def newest_intact(folder: str | Path, report: Callable[[str], None]) -> tuple[Path, Snapshot]:
    """The newest snapshot that a run can go on from, past damaged ones.

    report: called with a line for each one that is skipped. Raises DeconvError with the list if
    none is left; a run never starts afresh by itself.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DeconvError(f"there is no run folder {folder}")
    skipped = []
    stems = _stems(folder, _CHECKED)
    if gone := _gone(folder, stems):
        skipped.append(f"{gone}: {LAST} points to it, and it is not there")
        report(f"skipping {skipped[-1]}")
    for stem in reversed(stems):
        path = folder / f"{stem}.pt"
        try:
            if wrong := damage(path):
                raise DeconvError(wrong)
            snapshot = load_snapshot(path)
            if snapshot.optimizer is None:
                raise DeconvError("it holds no optimizer to go on with")
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


def _gone(folder: Path, stems: Collection[str]) -> str | None:
    """The snapshot that last.pt points to, if nothing of it is left."""
    link = folder / LAST
    if not link.is_symlink():
        return None
    target = os.readlink(link)
    return None if Path(target).stem in stems else target


def set_aside(folder: Path, newest: Path) -> None:
    """Rename the snapshots after `newest`, found damaged, so that they no longer count as new.

    last.pt points to `newest` afterwards. Their checksums are renamed as well, so that one that
    could not be read for a moment is whole again under its old name.
    """
    for stem in _stems(folder, _CHECKED):
        if _position(stem) > _position(newest.stem):
            path, beside = (folder / f"{stem}{suffix}" for suffix in _CHECKED)
            if not path.exists():
                beside.unlink(missing_ok=True)
                continue
            for one in (beside, path):
                if one.exists():
                    one.rename(one.with_name(one.name + DAMAGED))
    if _gone(folder, _stems(folder, _CHECKED)):
        with writing(folder / LAST):
            _point_last(newest)
