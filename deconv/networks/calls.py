"""The operations of one forward pass in running order, and the names of their values."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from deconv.errors import DeconvError
from deconv.rules import Call, Operation

IMAGE = -1
"""The image among the inputs of an operation."""


@dataclass(frozen=True)
class Ran:
    """One operation on values that depend on the image.

    name: of its module, or of its place and function. point: the name under which its value is
    read. operation: its entry in the table, or None. what: type or function, for messages. module:
    the module without submodules that ran it. inputs: indices of the operations whose values it
    took, or IMAGE. shape: of its value without the batch axis. channels_last: whether its value is
    N×H×W×C. call: the function with its arguments, each tensor replaced by None; None for a stage
    of a chain.
    """

    name: str
    point: str
    operation: Operation | None
    what: str
    module: nn.Module | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    channels_last: bool = False
    call: Call | None = None

    @property
    def activates(self) -> bool:
        """Whether it is an activation function."""
        return self.operation is not None and self.operation.activates

    @property
    def pools(self) -> bool:
        """Whether it is a max-pool."""
        return self.operation is not None and self.operation.name == "unpool"

    @property
    def joins(self) -> bool:
        """Whether it puts values side by side."""
        return self.call is not None and self.call.name in ("cat", "concat", "concatenate")

    @property
    def has_weights(self) -> bool:
        """Whether it is a convolution or linear layer."""
        return isinstance(self.module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)

    @property
    def known(self) -> bool:
        """Whether the deconvnet has a rule for it."""
        return self.operation is not None and self.operation.known


@dataclass(frozen=True)
class Value:
    """A named value.

    key: the call of a module or function that makes it. after: the name of the module that finished
    before it, which identifies the branch taken. index: of the operation that made it, None if not
    observed. shape: without the batch axis, () for several tensors. why_not: why it is no point;
    "" if it is one.
    """

    key: str
    after: str
    index: int | None
    shape: tuple[int, ...]
    why_not: str


@dataclass(frozen=True)
class Calls:
    """One forward pass.

    ran: operations in running order. values: by name, in running order. names: of function calls,
    by key. strangers: whether a custom function ran, which is not among the operations. last: index
    of the operation that made the output, None if not observed.
    """

    ran: tuple[Ran, ...]
    values: dict[str, Value]
    names: dict[str, str]
    strangers: bool = False
    last: int | None = None

    def index(self, layer: str) -> int:
        """Find the index of a layer with weights.

        Raises:
            DeconvError: if no gradient goes through it.
        """
        found = [i for i, ran in enumerate(self.ran) if ran.name == layer]
        if not found:
            raise DeconvError(f"{layer} cannot be followed: no gradient goes through it")
        return found[0]

    def activation(self, start: int) -> str | None:
        """Find the point of the first activation function at or after an operation, or None.

        Normalisations, sums and other operations that keep the shape may lie between.
        """
        reached = {start}
        for index, ran in enumerate(self.ran):
            beside = not reached & set(ran.inputs) or ran.shape != self.ran[start].shape
            if index != start and beside:
                continue
            if ran.activates and ran.point in self.values:
                return ran.point
            if index != start and ran.known and not ran.pools and not ran.has_weights:
                reached.add(index)
        return None

    def activated(self, index: int) -> bool:
        """Whether a value is the output of an activation function, or of several side by side."""
        ran = self.ran[index]
        if ran.joins:
            return all(at != IMAGE and self.activated(at) for at in ran.inputs)
        return ran.activates

    def branch(self, index: int, number: int) -> tuple[int, int]:
        """Find what gives one of several maps side by side: its index, and the map's number there.

        Of a value that is not joined from others, or not along the maps, the value itself.
        """
        ran, first = self.ran[index], 0
        maps = [0 if at == IMAGE else self.ran[at].shape[0] for at in ran.inputs]
        if not ran.joins or sum(maps) != ran.shape[0]:
            return index, number
        for at, count in zip(ran.inputs, maps, strict=True):
            if number < first + count:
                return self.branch(at, number - first)
            first += count
        return index, number

    def needed(self, index: int) -> set[int]:
        """Collect the operations that one depends on, including itself."""
        found, stack = set(), [index]
        while stack:
            at = stack.pop()
            if at >= 0 and at not in found:
                found.add(at)
                stack += self.ran[at].inputs
        return found
