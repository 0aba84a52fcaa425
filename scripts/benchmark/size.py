"""How much `scripts/bench` measures, and what every row is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.benchmark.measure import Way, case


@dataclass(frozen=True)
class Size:
    """How much is measured.

    px: side of the images, None for the network's. share: of the TOP units of all maps, one in so
    many is projected. wrapped: network, layers, units projected here, by the peer. matrix: side.
    """

    zfnet: str = "zfnet"
    alexnet: str = "alexnet"
    px: int | None = None
    share: int = 96
    images: int = 96
    batch: int = 64
    square: int = 50
    stride: int = 16
    wrapped: Sequence[tuple[str, Sequence[str], int, int]] = (
        ("squeezenet1_0", ("features.3", "features.5", "features.9", "features.12"), 16, 4),
        ("resnet18", ("relu", "layer1", "layer2", "layer3"), 16, 4),
        ("vgg16", ("features.3", "features.8", "features.15", "features.22"), 8, 2),
    )
    growth_images: Sequence[int] = (1024, 4096, 16384)
    growth_units: Sequence[int] = (8, 64, 512)
    growth_px: Sequence[int] = (112, 224, 448)
    matrix: int = 2048


SMOKE = Size(
    "zfnet_mini",
    "zfnet_mini",
    px=64,
    share=1152,
    images=4,
    batch=2,
    square=24,
    stride=20,
    wrapped=(("squeezenet1_0", ("features.3",), 2, 1),),
    growth_images=(32, 64),
    growth_units=(2, 4),
    growth_px=(64, 96),
    matrix=256,
)


@dataclass(frozen=True)
class Run:
    """What every row needs. rates: of the machine in GFLOP/s, by precision and operation."""

    size: Size
    rounds: int
    rates: dict[str, dict[str, float]]

    def case(self, name: str, things: str, ways: Sequence[Way], *differ: Any) -> dict[str, Any]:
        """Measure one task in fp32, see `measure.case`."""
        return case(name, things, ways, self.rounds, self.rates["fp32"], *differ)
