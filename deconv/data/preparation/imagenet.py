"""Layout of ImageNet 2012: archives or folders, validation images sorted into classes or not.

Read from one folder; for each split its folder if there is one, else the archive:

    train/<wnid>/*.JPEG                          or  ILSVRC2012_img_train.tar
    val/<wnid>/*.JPEG  or  val/*.JPEG            or  ILSVRC2012_img_val.tar
    meta.bin (torchvision makes it)              or  ILSVRC2012_devkit_t12.tar.gz

The last line gives class names and the classes of unsorted validation images.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

from deconv.data.folders import class_folders
from deconv.data.preparation.plan import Plan, is_image
from deconv.errors import DeconvError

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT, META_FILE = "ILSVRC2012_devkit_t12.tar.gz", "meta.bin"
VAL_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def imagenet(source: Path) -> Plan:
    """Plan train/<wnid>/… and val/<wnid>/… of ImageNet 2012, with torchvision's meta.bin.

    Archives are read in place, without unpacking. Without meta.bin or devkit the copy can only be
    read as an image folder.

    Raises:
        DeconvError: if neither split is there.
    """
    if not source.is_dir():
        raise DeconvError(f"{source} is no folder: name the one that holds ImageNet's archives")
    plan = Plan("imagenet")
    names, val_wnids = _meta(source, plan)
    _add_train(source, plan)
    _add_val(source, plan, val_wnids)
    if not plan.images:
        raise DeconvError(
            f"{source} holds no ImageNet 2012: it needs {TRAIN}, {VAL} or the folders train and "
            "val; the archives need an account at image-net.org"
        )
    _check(plan, names, val_wnids)
    return plan


def _meta(source: Path, plan: Plan) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return (wnid -> names, wnids of the validation images in order); empty if unknown."""
    from torchvision.datasets.imagenet import load_meta_file, parse_devkit_archive

    try:
        if (source / META_FILE).is_file():
            plan.beside[META_FILE] = (source / META_FILE).read_bytes()
            return load_meta_file(str(source))
        if (source / DEVKIT).is_file():
            # torchvision writes its result beside the archive, which may be a read-only place.
            with tempfile.TemporaryDirectory() as folder:
                parse_devkit_archive(folder, str((source / DEVKIT).resolve()))
                plan.beside[META_FILE] = (Path(folder) / META_FILE).read_bytes()
                return load_meta_file(folder)
    except (RuntimeError, OSError, ValueError, LookupError, EOFError, UnpicklingError) as error:
        raise DeconvError(
            f"cannot read {META_FILE} or {DEVKIT} in {source}: {error}. Download it again."
        ) from error
    plan.notes.append(
        f"neither {DEVKIT} nor {META_FILE}: the copy can be read as an imagefolder only"
    )
    return {}, []


def _add_train(source: Path, plan: Plan) -> None:
    if (source / "train").is_dir():
        for folder in class_folders(source / "train"):
            plan.add_folder(folder, _into(f"train/{folder.name}"))
    elif (source / TRAIN).is_file():
        plan.add_tar_of_tars(source / TRAIN, lambda wnid, name: f"train/{wnid}/{name}")


def _add_val(source: Path, plan: Plan, wnids: list[str]) -> None:
    def place(name: str) -> str:
        """Use the number in the name, so that a missing image shifts no label."""
        if not wnids:
            raise DeconvError(
                f"the validation images of {source} are not sorted into classes: put {DEVKIT} there"
            )
        match = VAL_NAME.fullmatch(name)
        if not match or not 1 <= int(match[1]) <= len(wnids):
            raise DeconvError(
                f"the validation image {name} is not named ILSVRC2012_val_00000001.JPEG … "
                f"{len(wnids):08d}: its class is unknown, remove it"
            )
        return f"val/{wnids[int(match[1]) - 1]}/{name}"

    folder = source / "val"
    if folder.is_dir():
        class_dirs, flat = class_folders(folder), any(map(_is_image_file, folder.iterdir()))
        if class_dirs and flat:
            raise DeconvError(
                f"{folder} has class folders and unsorted images: its unpacking was interrupted; "
                f"unpack {VAL} again, or remove the folder to have the archive read"
            )
        for inside in class_dirs:
            plan.add_folder(inside, _into(f"val/{inside.name}"))
        if flat:
            plan.add_folder(folder, place)
    elif (source / VAL).is_file():
        plan.add_tar(source / VAL, place)


def _is_image_file(path: Path) -> bool:
    return is_image(path.name) and path.is_file()


def _into(target: str) -> Callable[[str], str]:
    return lambda name: f"{target}/{name}"


def _check(plan: Plan, names: dict[str, tuple[str, ...]], val_wnids: list[str]) -> None:
    """Refuse unknown classes, on which torchvision fails; note gaps."""
    for split, expected in (("train", None), ("val", len(val_wnids))):
        targets = [o.target.split("/") for o in plan.images if o.target.startswith(f"{split}/")]
        wnids = {wnid for _, wnid, _ in targets}
        if names and wnids - names.keys():
            raise DeconvError(
                f"{split} has classes that the devkit does not know: "
                f"{', '.join(sorted(wnids - names.keys())[:5])}. Remove them or {META_FILE}."
            )
        if names and len(wnids) < len(names):
            plan.notes.append(f"{split}: {len(wnids)} of the devkit's {len(names)} classes")
        if expected and len(targets) < expected:
            plan.notes.append(f"{split}: {len(targets)} of the devkit's {expected} images")
