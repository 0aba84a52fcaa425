"""The rows of Table 3 as arguments of `deconv.build`, for any network of the ZFNet family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deconv.errors import unknown
from deconv.networks.zfnet import ARCHITECTURES, ZFNET


@dataclass(frozen=True)
class Change:
    """One row of Table 3, in the numbers for ZFNet and AlexNet.

    remove: layers. maps_345: maps of layers 3, 4 and 5. fc_width: units of layers 6 and 7.
    """

    remove: tuple[int, ...] = ()
    maps_345: tuple[int, int, int] | None = None
    fc_width: int | None = None


WIDE = (512, 1024, 512)

# Table 3 (§5.1).
CHANGES: dict[str, Change] = {
    "none": Change(),
    "no 3,4": Change(remove=(3, 4)),
    "no 7": Change(remove=(7,)),
    "no 6,7": Change(remove=(6, 7)),
    "no 3,4,6,7": Change(remove=(3, 4, 6, 7)),
    "6,7: 2048": Change(fc_width=2048),
    "6,7: 8192": Change(fc_width=8192),
    "3-5: 512,1024,512": Change(maps_345=WIDE),
    "6,7: 8192 and 3-5: 512,1024,512": Change(maps_345=WIDE, fc_width=8192),
}


def build_arguments(network: str, change: str) -> dict[str, Any]:
    """Return remove, maps_345 and fc_width of `deconv.build` for a row of Table 3.

    Layers are resized by the ratio that the paper uses for ZFNet, which gives exactly its numbers
    for zfnet and alexnet. Differs from paper: the numbers in other networks.
    """
    if network not in ARCHITECTURES:
        raise unknown("network of Table 3", network, ARCHITECTURES)
    if change not in CHANGES:
        raise unknown("change of Table 3", change, CHANGES)
    row, own = CHANGES[change], ARCHITECTURES[network]
    maps = None
    if row.maps_345 is not None:
        maps = [
            _scaled(own.convs[n].maps, wanted, ZFNET.convs[n].maps)
            for n, wanted in zip((3, 4, 5), row.maps_345, strict=True)
        ]
    width = None if row.fc_width is None else _scaled(own.fcs[6], row.fc_width, ZFNET.fcs[6])
    return {"remove": list(row.remove), "maps_345": maps, "fc_width": width}


def _scaled(own: int, wanted: int, usual: int) -> int:
    return round(own * wanted / usual)
