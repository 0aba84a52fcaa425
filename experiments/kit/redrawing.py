"""Drawing a figure again from the files that an earlier run saved, without computing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from deconv import distributed
from deconv.errors import DeconvError


def redraw(
    source: str | Path, folder: Path, saved: Sequence[str], draw: Callable[[Path, Path], None]
) -> None:
    """Copy the files named in `saved` from `source` to `folder` and call draw(folder, folder).

    Raises DeconvError, before anything is copied, naming the files that `source` does not hold.
    Under torchrun process 0 alone draws.
    """
    if distributed.rank() > 0:
        return
    missing = [name for name in saved if not (Path(source) / name).is_file()]
    if missing:
        raise DeconvError(f"{source} holds no {', '.join(missing)}; name a folder of this figure")
    for name in saved:
        shutil.copyfile(Path(source) / name, folder / name)
    draw(folder, folder)
