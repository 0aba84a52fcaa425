"""The way down from a layer: by the explicit mirror of a chain, or by autograd under a rule."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from deconv.deconvnet.mirror import mirror, refusal
from deconv.deconvnet.units import seeder_of
from deconv.deconvnet.vjp import up
from deconv.errors import DeconvError, NoRuleWarning, unknown
from deconv.networks import ChainNet, Network
from deconv.networks.network import inner_module
from deconv.records import Record
from deconv.rules import RULES
from deconv.rules.run import Run, Watcher, frozen, send_down

ENGINES = ("auto", "mirror", "vjp")


class WayDown:
    """Sends seeded units of one layer down to pixels. Arguments as for `project`.

    crossed: place -> operation without a rule that a signal crossed so far, the topmost first.

    Raises:
        DeconvError: for unknown names, and for a mirror that cannot undo a stage.
    """

    def __init__(self, net: Network, layer: str, engine: str, rule: str, collisions: str) -> None:
        if engine not in ENGINES:
            raise unknown("projection engine", engine, ENGINES)
        if rule not in RULES:
            raise unknown("rule", rule, RULES)
        if rule != "deconvnet" and engine == "mirror":
            raise DeconvError(
                f"rule={rule!r} needs engine='vjp'; the mirror has the deconvnet's alone"
            )
        asked = rule == "deconvnet" and engine != "vjp"
        obstacle = refusal(net, layer) if asked else "not asked for"
        if engine == "mirror" and obstacle:
            raise DeconvError(obstacle)
        self.net, self.layer, self.rule, self.collisions = net, layer, rule, collisions
        self.mirrors = not obstacle
        self.crossed: dict[str, str] = {}

    def from_record(self, record: Record, units: torch.Tensor, seed: str) -> torch.Tensor:
        """Mirror units K×4 of a record down to K×3×H×W."""
        assert isinstance(self.net, ChainNet)
        image, seeder = units[:, 0], seeder_of(units, seed)
        start = seeder(record.activations[self.layer][image].detach())
        return mirror(self.net, record, self.layer, image, start, self.collisions)

    def from_images(
        self,
        images: torch.Tensor,
        units: torch.Tensor,
        seed: str,
        switches: Sequence[torch.Tensor] | None = None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Send units of images down by autograd: up once, then down a unit of every image.

        Args:
            images: N×3×H×W.
            units: K×4, image is the row in `images`.
            switches: N×C×h×w for each max-pool, see `Run`.

        Yields:
            (some of 0 … K − 1, their pictures).
        """
        values, pixels = self._up(images, switches)
        turns = _turns(units[:, 0].tolist())
        for number, turn in enumerate(turns, 1):
            some = torch.tensor(turn)
            at = tuple(units[some, : values.dim()].T)
            signal = torch.zeros_like(values)
            signal[at] = values[at].detach() if seed == "activation" else 1.0
            yield some, send_down(values, pixels, signal, number < len(turns))[units[some, 0]]

    def from_crops(
        self, crops: torch.Tensor, units: torch.Tensor, values: torch.Tensor, seed: str
    ) -> torch.Tensor | None:
        """Send the units of some windows down by autograd, if they are as in whole images.

        Args:
            crops: K×3×h×w windows, see `deconv.deconvnet.windows`.
            units: K×4 rows (0 … K − 1, map, y, x) in these windows.
            values: their K activations in the whole images.

        Returns:
            K×3×h×w; None if the network refuses the windows, as one does that takes images of one
            size alone, or if a unit has another value in its window.
        """
        try:
            above, pixels = self._up(crops.to(self.net.device, self.net.dtype))
            found = above[tuple(units[:, : above.dim()].T)].detach()
            if not _alike(found, values.to(found)):
                return None
            return send_down(above, pixels, seeder_of(units, seed)(above.detach()))
        except (DeconvError, RuntimeError, AssertionError):
            return None  # what is wrong with whole images too is raised there

    def watched(
        self, record: Record, units: torch.Tensor, seed: str, watch: Watcher
    ) -> torch.Tensor:
        """Send units down under the rule and show each operation's call to `watch`."""
        values, pixels = self._up(record.images[units[:, 0]], watch=watch)
        return send_down(values, pixels, seeder_of(units, seed)(values.detach()))

    def _up(
        self,
        images: torch.Tensor,
        switches: Sequence[torch.Tensor] | None = None,
        watch: Watcher | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        module = inner_module(self.net)
        options: dict[str, Any] = {"switches": switches, "watch": watch}
        run = Run(self.rule, module, collisions=self.collisions, **options)
        run.crossed = self.crossed  # noted while signals come down

        def point(pixels: torch.Tensor) -> torch.Tensor:
            record = self.net.record(pixels, [self.layer], logits=False, finite=False)
            return record.activations[self.layer]

        with frozen(module):
            return up(point, images, run)

    def warn(self, stacklevel: int) -> None:
        """Warn of operations without a rule that were crossed."""
        if self.crossed and self.rule == "deconvnet":
            _warn_of_no_rule(self.crossed, self.layer, stacklevel + 1)


def _turns(images: Sequence[int]) -> list[list[int]]:
    """Divide units, given their images, into turns that hold one unit of an image each."""
    turns: list[list[int]] = []
    count: Counter[int] = Counter()
    for unit, image in enumerate(images):
        if count[image] == len(turns):
            turns.append([])
        turns[count[image]].append(unit)
        count[image] += 1
    return turns


def _alike(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether values of equal units agree but for rounding, which half precision has more of."""
    tolerance = 1e-3 if found.dtype in (torch.float32, torch.float64) else 5e-2
    scale = float(expected.abs().max())
    return torch.allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def _warn_of_no_rule(crossed: Mapping[str, str], layer: str, stacklevel: int) -> None:
    kinds = sorted(set(crossed.values()))
    times = "once" if len(crossed) == 1 else f"{len(crossed)} times"
    *_, first = crossed
    words = (
        f"the deconvnet has no rule for {', '.join(kinds)}, which the way down from {layer} "
        f"crosses {times} (first at {first}): its own derivative is used there, so "
        "the picture is a mixture of a deconvnet's and a gradient's"
    )
    warnings.warn(NoRuleWarning(words, kinds), stacklevel=stacklevel + 1)
