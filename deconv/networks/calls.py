"""What ran in one forward pass: its operations in order, and the names of its values."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from deconv.errors import DeconvError
from deconv.rules import Call, Operation

IMAGE = -1
"""Stands for the image among the inputs of an operation."""


@dataclass(frozen=True)
class Ran:
    """One operation on values that come from the image.

    name: of the module that it is, or of where it stands and its function. point: the name under
    which its value is read. operation: its entry of the table, None where there is none. what: type
    or function, for messages. module: the module without parts that ran it. inputs: indices of the
    operations whose values it took; IMAGE is the image. shape: of its value without the batch axis.
    channels_last: whether its value is N×H×W×C. call: the function with its arguments, None in the
    place of each tensor; None for a stage of a chain.
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
    def has_weights(self) -> bool:
        """Whether it is a filter of a module's."""
        return isinstance(self.module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)

    @property
    def known(self) -> bool:
        """Whether the deconvnet has a rule for it."""
        return self.operation is not None and self.operation.known


@dataclass(frozen=True)
class Value:
    """A value with a name.

    key: which call of a module or function makes it. after: the name of the module that was done
    before, by which another branch is told. index: of the operation that made it, None if
    none was seen to. shape: without the batch axis, () for several tensors. why_not: why it is no
    point to read, "" if it is one.
    """

    key: str
    after: str
    index: int | None
    shape: tuple[int, ...]
    why_not: str


@dataclass(frozen=True)
class Calls:
    """One forward pass.

    ran: its operations in running order. values: by name, in running order. names: of the calls of
    functions, by key. strangers: whether a custom function ran, which is not among the operations.
    last: the operation that made the answer, None if it was not seen.
    """

    ran: tuple[Ran, ...]
    values: dict[str, Value]
    names: dict[str, str]
    strangers: bool = False
    last: int | None = None

    def index(self, layer: str) -> int:
        """The operation that a layer with weights is.

        Raises:
            DeconvError: where no gradient follows the image through it.
        """
        found = [i for i, ran in enumerate(self.ran) if ran.name == layer]
        if not found:
            raise DeconvError(f"{layer} cannot be followed: no gradient goes through it")
        return found[0]

    def activation(self, start: int) -> str | None:
        """The point of the first activation function at or behind an operation that still has its
        maps; normalisations, sums and the like may lie between."""
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

    def needed(self, index: int) -> set[int]:
        """The operations that one depends on, itself included."""
        found, stack = set(), [index]
        while stack:
            at = stack.pop()
            if at >= 0 and at not in found:
                found.add(at)
                stack += self.ran[at].inputs
        return found
