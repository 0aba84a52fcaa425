"""The way down from a layer: by the explicit mirror of a chain, or by autograd under a rule."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch

from deconv.deconvnet.mirror import mirror, refusal
from deconv.deconvnet.units import Seeder, seeder_of
from deconv.deconvnet.vjp import vector_jacobian
from deconv.errors import DeconvError, NoRuleWarning, unknown
from deconv.networks import ChainNet, Network
from deconv.networks.network import inner_module
from deconv.records import Record
from deconv.rules import RULES
from deconv.rules.run import Run, Watcher, frozen

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

    def from_record(
        self, record: Record, units: torch.Tensor, seed: str, own_switches: bool = False
    ) -> torch.Tensor:
        """Send units K×4 of a record down to K×3×H×W; own_switches: not those of its images."""
        image, seeder = units[:, 0], seeder_of(units, seed)
        if self.mirrors:
            assert isinstance(self.net, ChainNet)
            start = seeder(record.activations[self.layer][image].detach())
            return mirror(self.net, record, self.layer, image, start, self.collisions)
        switches = [of_pool[image] for of_pool in record.switches.values()]
        run = Run(
            self.rule,
            inner_module(self.net),
            collisions=self.collisions,
            switches=switches if own_switches else None,
        )
        return self._run(record.images[image], seeder, run)

    def from_crops(
        self, crops: torch.Tensor, units: torch.Tensor, values: torch.Tensor, seed: str
    ) -> torch.Tensor | None:
        """Send the units of some windows down, if the network runs in them as in whole images.

        Args:
            crops: K×3×h×w windows, see `deconv.deconvnet.windows`.
            units: K×4 rows (0 … K − 1, map, y, x) in these windows.
            values: their K activations in the whole images.

        Returns:
            K×3×h×w; None if the network refuses the windows, as one does that takes images of one
            size alone, or if a unit has another value in its window.
        """
        crops = crops.to(self.net.device, self.net.dtype)
        try:
            painted, found = self._from_images(crops, units, seed)
        except (DeconvError, RuntimeError, AssertionError):
            return None  # what is wrong with whole images too is raised there
        return painted if _alike(found, values.to(found)) else None

    def _from_images(
        self, images: torch.Tensor, units: torch.Tensor, seed: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Send one unit of each image down; also return the units' values."""
        found, seeder = torch.empty(0), seeder_of(units, seed)

        def remember(values: torch.Tensor) -> torch.Tensor:
            nonlocal found
            found = values[tuple(units[:, : values.dim()].T)]
            return seeder(values)

        run = Run(self.rule, inner_module(self.net), collisions=self.collisions)
        painted = self._run(images, remember, run)
        return painted, found

    def watched(
        self, record: Record, units: torch.Tensor, seed: str, watch: Watcher
    ) -> torch.Tensor:
        """Send units down under the rule and show each operation's call to `watch`."""
        run = Run(self.rule, inner_module(self.net), collisions=self.collisions, watch=watch)
        return self._run(record.images[units[:, 0]], seeder_of(units, seed), run)

    def _run(self, images: torch.Tensor, seeder: Seeder, run: Run) -> torch.Tensor:
        def point(pixels: torch.Tensor) -> torch.Tensor:
            record = self.net.record(pixels, [self.layer], logits=False, finite=False)
            return record.activations[self.layer]

        with frozen(inner_module(self.net)):
            painted = vector_jacobian(point, images, seeder, run=run)
        self.crossed |= run.crossed
        return painted

    def warn(self, stacklevel: int) -> None:
        """Warn of operations without a rule that were crossed."""
        if self.crossed and self.rule == "deconvnet":
            _warn_of_no_rule(self.crossed, self.layer, stacklevel + 1)


def _alike(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether values of equal units agree but for rounding, which half precision has more of."""
    tolerance = 1e-3 if found.dtype in (torch.float32, torch.float64) else 5e-2
    scale = float(expected.abs().max())
    return torch.allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def _warn_of_no_rule(crossed: Mapping[str, str], layer: str, stacklevel: int) -> None:
    kinds = ", ".join(sorted(set(crossed.values())))
    times = "once" if len(crossed) == 1 else f"{len(crossed)} times"
    *_, first = crossed
    warnings.warn(
        f"the deconvnet has no rule for {kinds}, which the way down from {layer} crosses "
        f"{times} (first at {first}): its own derivative is used there, so "
        "the picture is a mixture of a deconvnet's and a gradient's",
        NoRuleWarning,
        stacklevel=stacklevel + 1,
    )
