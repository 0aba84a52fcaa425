"""Command line shared by scripts/prepare_*.py."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePosixPath

from deconv.data.known_counts import KNOWN_COUNTS, WITH_CLUTTER, check_counts
from deconv.data.preparation import manifest
from deconv.data.preparation.archives import unpacked
from deconv.data.preparation.copying import SHORTER_PX, resized_copy
from deconv.data.preparation.layouts import BACKGROUND
from deconv.data.preparation.manifest import verify
from deconv.data.preparation.plan import Plan
from deconv.errors import DeconvError
from deconv.standard_streams import show_all

DIFFERS, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit statuses: the copy differs from its manifest; bad input; Ctrl-C (128 + SIGINT)."""


def main(
    layout: Callable[[Path], Plan],
    description: str,
    arguments: Sequence[str] | None = None,
    archive: bool = True,
) -> int:
    """Run one script's command and return its exit status; prints the target last.

    Args:
        layout: makes the plan for a source folder.
        archive: whether the source may be an archive, unpacked temporarily beside the target.
    """
    show_all()
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, nargs="?", help="the data set as it is distributed")
    parser.add_argument("target", type=Path, help="a new folder, or one to go on with")
    parser.add_argument("--shorter-px", type=int, default=SHORTER_PX, metavar="N")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument(
        "--verify", action="store_true", help="check the files of a finished copy, make none"
    )
    parser.add_argument(
        "--partial", action="store_true", help="take a source with other counts than published"
    )
    options = parser.parse_args(arguments)
    if options.source is None and not options.verify:
        parser.error("name a source and a target")
    if options.verify:
        return exit_status(lambda: _verify(options.target))
    return exit_status(lambda: _prepare(layout, options, archive))


def exit_status(
    work: Callable[[], int], interrupted: str = "the same command goes on from here"
) -> int:
    """Return the exit status of `work`; errors become a line on standard error."""
    try:
        return work()
    except (DeconvError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        return INTERRUPTED


def _verify(target: Path) -> int:
    differing = verify(target, progress=True)
    if differing:
        print("\n".join(differing))
        print(f"{len(differing)} files of {target} differ from its manifest", file=sys.stderr)
        return DIFFERS
    print("all files are as listed")
    print(target)
    return 0


def _check_counts(plan: Plan, source: Path, partial: bool) -> None:
    """Raise DeconvError if a split of the plan has not the published number of images."""
    images = (o.target for o in plan.images if PurePosixPath(o.target).parent.name != BACKGROUND)
    for folder, found in manifest.counts(images).items():
        parts = KNOWN_COUNTS[plan.dataset]
        part = PurePosixPath(folder).name if "train" in parts else "all"
        if found["classes"] == parts.get(WITH_CLUTTER, (0, 0))[1]:
            part = WITH_CLUTTER
        numbers = (found["images"], found["classes"])
        check_counts(plan.dataset, part, source, *numbers, partial, "add --partial")


def _prepare(layout: Callable[[Path], Plan], options: argparse.Namespace, archive: bool) -> int:
    started = time.monotonic()
    source, target = options.source.expanduser(), options.target.expanduser()
    with unpacked(source, target.parent) if archive else nullcontext(source) as folder:
        plan = layout(folder)
        _check_counts(plan, source, options.partial)
        for note in plan.notes:
            print(f"note: {note}", flush=True)
        if plan.left_out:
            some = ", ".join("/".join(path.parts[-2:]) for path in plan.left_out[:5])
            more = ", …" if len(plan.left_out) > 5 else ""
            print(f"left out, being no images: {some}{more}", flush=True)
        resized_copy(plan, target, options.shorter_px, options.workers, progress=True)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(
        f"{len(plan.images)} images of {plan.dataset}, {size / 1e6:.0f} MB, "
        f"{time.monotonic() - started:.0f} s"
    )
    print(target)
    return 0
