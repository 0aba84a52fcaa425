"""Make resized copies: of one image, and of a whole data set."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import IO, Any

from PIL import Image, features

from deconv.data.preparation import manifest
from deconv.data.preparation.plan import Original, Plan
from deconv.data.preparation.processes import mapped
from deconv.data.preparation.progress import watched
from deconv.errors import DeconvError, UnreadableImage
from deconv.images import naming, resized, to_rgb

SHORTER_PX = 256
"""§3: the shorter side is resized to 256 px."""
QUALITY = 95
"""JPEG quality on libjpeg's scale; 4:4:4 keeps colour at full resolution."""
NAMED = 100
"""At most so many unreadable images are named in an error."""


def resized_jpeg(data: bytes, shorter_px: int = SHORTER_PX) -> bytes:
    """Re-encode an image file as RGB JPEG with a shorter side of at most `shorter_px`.

    The aspect ratio is kept and nothing is cut. Resampling is that of `deconv.images.square`, so
    the squares of copy and original differ only by JPEG compression. Images are never enlarged: a
    small enough RGB or grey JPEG file is returned byte for byte. Pillow's errors pass through.
    """
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        small = min(image.size) <= shorter_px
        if small and image.format == "JPEG" and image.mode in ("RGB", "L"):
            return data
        image = to_rgb(image)
    if not small:
        image = resized(image, shorter_px)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, subsampling="4:4:4")
    return file.getvalue()


def resized_copy(
    plan: Plan,
    folder: str | Path,
    shorter_px: int = SHORTER_PX,
    workers: int = 0,
    progress: bool = False,
) -> Path:
    """Write the copy that `plan` lists into `folder`, with its manifest; return the folder.

    After an interrupt the same call resumes: finished, unchanged files are kept. Files of an
    earlier plan stay listed.

    Args:
        workers: processes; 0: this one.

    Raises:
        DeconvError: names the unreadable images once all others are done; no manifest is written.
    """
    folder = Path(folder).expanduser()
    if shorter_px < 1 or workers < 0:
        raise DeconvError(f"shorter_px={shorter_px} must be ≥ 1, workers={workers} ≥ 0")
    if len({original.target for original in plan.images}) < len(plan.images):
        raise DeconvError(f"two images of {plan.dataset} have the same name: remove one of them")
    facts = _facts(plan.dataset, shorter_px)
    made = {key: value for key, value in facts.items() if key != "versions"}
    with manifest.begun(folder, made) as (journal, digests):
        work = [(original, digests.get(original.target)) for original in plan.images]
        results = mapped(partial(_copy_one, folder, shorter_px), work, workers)
        bad = _record(watched(results, len(work), "prepared", progress), journal, digests)
        if bad:
            raise DeconvError(
                f"{len(bad)} of {len(work)} images cannot be read; replace or remove them and run "
                "the same command again:\n  " + "\n  ".join(bad[:NAMED])
            )
        for target, content in plan.beside.items():
            manifest.write_file(folder / target, content)
            digests[target] = manifest.sha256(content)
        manifest.finish(folder, facts, digests)
    return folder


def _record(
    results: Iterable[tuple[str, str, str]], journal: IO[str], digests: dict[str, str]
) -> list[str]:
    """Add finished files to the journal (at once) and to `digests`; return the problems."""
    bad: list[str] = []
    for target, digest, problem in results:
        if problem:
            bad.append(problem)
        elif digests.get(target) != digest:
            digests[target] = digest
            journal.write(manifest.line(target, digest))
            journal.flush()
    return bad


def _facts(dataset: str, shorter_px: int) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "shorter_px": shorter_px,
        "smaller_images": "not enlarged",
        "resampling": "bilinear, antialiased",
        "jpeg": {"quality": QUALITY, "subsampling": "4:4:4"},
        "versions": {
            "pillow": features.version("pil"),
            "libjpeg": features.version("libjpeg_turbo") or features.version("jpg"),
        },
    }


def _copy_one(
    folder: Path, shorter_px: int, work: tuple[Original, str | None]
) -> tuple[str, str, str]:
    """Make one copy unless it is there as listed: (target, digest, problem or "")."""
    original, listed = work
    path = folder / original.target
    if listed and path.is_file() and manifest.sha256(path.read_bytes()) == listed:
        return original.target, listed, ""
    try:
        with naming(original.name):
            data = resized_jpeg(original.read(), shorter_px)
    except UnreadableImage as error:
        return original.target, "", f"{original.name}: {error.reason}"
    manifest.write_file(path, data)
    return original.target, manifest.sha256(data), ""
