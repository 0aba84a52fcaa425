"""A module's own forward pass, under rules: the one mechanism behind every way through a network.

`Run` is a context. Inside it each function of PyTorch's that runs is looked up in the table
(`deconv.rules`) and may run as its rule says; hooks tell which module is running. The module itself
runs: nothing is copied or traced, and nothing stays behind when the context ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointError

from deconv.errors import DeconvError, unknown
from deconv.pooling import COLLISIONS
from deconv.rules import FIELD, ROUNDED, RULES, Call, Operation, find, flat

Watcher = Callable[[Call, Operation | None, str, Any], None]
"""Told of each call when it is done: the call, its entry, where it stands, its value."""
SEEN, CUT = "_deconv_seen", "_deconv_cut"
"""Attributes of tensors: that a function was seen to make it, and that no gradient follows it."""


class Run(TorchFunctionMode):
    """Run networks under a rule.

    Args:
        rule: one of `deconv.rules.RULES`, FIELD or ROUNDED; "" leaves every operation as it is.
        module: whose parts give names to what runs; None: names are those of functions.
        collisions: policy for overlapping windows that share a switch, see `deconv.pooling.unpool`.
        switches: K×C×h×w of each max-pool in the order in which they run; None: the images' own.
        widths: of rounded corners, in the order in which those operations run (ROUNDED); None: no
            corner is rounded, and `scales` is filled.
        watch: told of each call, see Watcher. left: told of each module when it has run: its
            name, the module, its value.

    Attributes:
        crossed: name of a place -> what stands there, for all operations without a rule that a
            signal crossed on its way down.
        lost: place -> what stands there, where values of the image come in that no gradient
            follows, so that a receptive field is not known (FIELD).
        scales: root mean square of what each operation with corners took in (ROUNDED).

    Raises:
        DeconvError: for an unknown rule or policy.
    """

    def __init__(
        self,
        rule: str = "",
        module: nn.Module | None = None,
        *,
        collisions: str = "sum",
        switches: Sequence[torch.Tensor] | None = None,
        widths: Sequence[float] | None = None,
        watch: Watcher | None = None,
        left: Callable[[str, nn.Module, Any], None] | None = None,
    ) -> None:
        super().__init__()
        if rule and rule not in (*RULES, FIELD, ROUNDED):
            raise unknown("rule", rule, RULES)
        if collisions not in COLLISIONS:
            raise unknown("collision policy", collisions, COLLISIONS)
        self.rule, self.module, self.collisions = rule, module, collisions
        self._switches = None if switches is None else iter(switches)
        self._widths = None if widths is None else iter(widths)
        self.watch, self.left = watch, left
        self._running: list[tuple[str, nn.Module]] = []
        self._hooks: list[Any] = []
        self.crossed: dict[str, str] = {}
        self.scales: list[float] = []
        self.lost: dict[str, str] = {}

    def __enter__(self) -> Run:
        if self.module is not None:
            for name, part in self.module.named_modules():
                self._hooks += _hook(self, name, part)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._running.clear()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        call, operation = find(func, args, kwargs)
        if self.rule == FIELD and torch.is_grad_enabled():
            call = _each_path_alone(call)
        way = None if operation is None else operation.ways.get(self.rule)
        floats = any(_floats(x) for x in flat((call.args, tuple(call.kwargs.values()))))
        value = call.run() if way is None or not floats else way(call, self)
        if self.rule:
            self._follow(call, operation, value)
        if self.watch is not None:
            with self.paused():
                self.watch(call, operation, self.where(call), value)
        return value

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave operations alone for a while, in every `Run`: they are the library's own."""
        with torch._C.DisableTorchFunction():
            yield

    @property
    def running(self) -> tuple[str, nn.Module | None]:
        """The innermost module that is running, and its name."""
        return self._running[-1] if self._running else ("", None)

    @property
    def plain(self) -> bool:
        """Whether what is running is a module of PyTorch's own, which is one operation."""
        _, module = self.running
        kind = type(module).__mro__[is_parametrized(module)] if module is not None else object
        return kind.__module__.startswith("torch.nn.modules") and kind is not nn.Sequential

    def where(self, call: Call) -> str:
        """Name the place of a call: the module that runs it, and the function if that is not it."""
        name, _ = self.running
        return name if self.plain else f"{name}.{call.name}" if name else call.name

    def what(self, call: Call) -> str:
        """Name what runs: the type of one of PyTorch's own modules, or the function."""
        return type(self.running[1]).__name__ if self.plain else call.name

    def width(self, x: torch.Tensor) -> float | None:
        """The width of the corner that is rounded now; None to leave it, and to note the root mean
        square of what goes in."""
        if self._widths is None:
            self.scales.append(float(x.double().square().mean().sqrt()))
            return None
        return next(self._widths) or None

    def next_switches(self, x: torch.Tensor) -> torch.Tensor | None:
        """The given switches of the pool that runs now; None for one that no signal passes."""
        if self._switches is None or not x.requires_grad:
            return None
        given = next(self._switches, None)
        if given is None:
            raise DeconvError("more max-pools run than there are switches given")
        return given

    def _follow(self, call: Call, operation: Operation | None, value: Any) -> None:
        """Look at the signal that comes down to a value, when it comes."""
        taken = [*flat((call.args, tuple(call.kwargs.values())))]
        cut = [_cut(x) for x in taken if _cut(x) is not None]
        place, what = self.where(call), self.what(call)
        for one in flat((call.input if call.name == "setitem" else value,)):
            if not one.requires_grad:
                self._mark_cut(call, taken, bool(cut), one)
            if one.grad_fn is None:
                continue
            if self.rule == FIELD and any(cut):
                self.lost.setdefault(place, what)
            if one.grad_fn.name().endswith("NotImplemented"):
                one.register_hook(lambda signal, p=place, w=what: _refuse(signal, p, w))
            elif self.rule == FIELD:
                one.register_hook(_reached)
            elif operation is None or not operation.known or cut:
                one.register_hook(lambda signal, p=place, w=what: self._cross(signal, p, w))
            setattr(one, SEEN, True)
        if self.rule not in (FIELD, ROUNDED):
            self._meet_strangers(call)

    def _mark_cut(
        self, call: Call, taken: Sequence[torch.Tensor], already: bool, value: torch.Tensor
    ) -> None:
        """Mark a value of the image that no gradient follows: a comparison, detach, no_grad.

        The mark says whether it may come from elsewhere than its own position.
        """
        constant = call.name.endswith("_like") or call.name.startswith("new_")
        if call.name == "to" or call.name.endswith("_as"):
            taken = taken[:1]  # of the other only type or shape are taken
        if constant or not (already or any(x.requires_grad for x in taken if not x.is_leaf)):
            return
        elsewhere = any(_cut(x) for x in taken)
        elsewhere = elsewhere or call.name not in _COMPARISONS.split() or len(taken) > 1
        setattr(value, CUT, elsewhere)

    def _meet_strangers(self, call: Call) -> None:
        """A value that no function of PyTorch's was seen to make comes from a custom one."""
        for x in flat((call.args, tuple(call.kwargs.values()))):
            if x.grad_fn is not None and not hasattr(x, SEEN):
                name = x.grad_fn.name().removesuffix("Backward")
                place = self.running[0] or name
                x.register_hook(lambda signal, p=place, w=name: self._cross(signal, p, w))
                setattr(x, SEEN, True)

    def _cross(self, signal: torch.Tensor | None, place: str, what: str) -> None:
        if signal is not None and place not in self.crossed and bool(signal.any()):
            self.crossed[place] = what


def is_leaf(module: nn.Module) -> bool:
    """Whether a module has no parts that run, but for what makes its weights."""
    parts = dict(module.named_children())
    return not parts or (is_parametrized(module) and list(parts) == ["parametrizations"])


_COMPARISONS = """
gt ge lt le ne eq greater less sign isnan invert logical_not to type type_as float double half
"""
"""What of a value alone looks at one position each."""


def _hook(run: Run, name: str, part: nn.Module) -> list[Any]:
    def enter(*_: Any) -> None:
        run._running.append((name, part))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        while run._running and run._running[-1][1] is not part:
            run._running.pop()  # what raised an error that the module caught
        run._running.pop()
        if run.left is not None:
            with run.paused():
                run.left(name, module, output)

    return [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]


def _refuse(signal: torch.Tensor | None, place: str, what: str) -> None:
    if signal is not None and bool(signal.any()):
        raise DeconvError(
            f"no signal can come down through {what} ({place}): it cannot be differentiated"
        )


def _cut(x: torch.Tensor) -> bool | None:
    """The mark of a value that no gradient follows; None without one."""
    return None if x.requires_grad else getattr(x, CUT, None)


def _floats(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point()


def _each_path_alone(call: Call) -> Call:
    """The call with each operand's signal made 0 or 1 before paths meet, so that none cancel."""

    def alone(value: Any) -> Any:
        if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
            parts = [alone(one) for one in value]
            return parts if isinstance(value, list) else tuple(parts)
        if isinstance(value, torch.Tensor) and value.requires_grad and not value.is_leaf:
            value = value.view_as(value)
            value.register_hook(_reached)
        return value

    first = call.in_place or call.name == "setitem"
    args = tuple(x if i == 0 and first else alone(x) for i, x in enumerate(call.args))
    kwargs = {k: v if k == "input" and first else alone(v) for k, v in call.kwargs.items()}
    return Call(call.func, args, kwargs, call.arguments)


def _reached(signal: torch.Tensor | None) -> torch.Tensor | None:
    return None if signal is None else (signal != 0).to(signal.dtype)


@contextmanager
def exact() -> Iterator[None]:
    """Leave TF32 off for a while: with its ten bits a GPU's results equal no other's."""
    new = hasattr(torch.backends.cudnn, "conv")  # since PyTorch 2.9, which refuses a mixture
    name, off = ("fp32_precision", "ieee") if new else ("allow_tf32", False)
    cudnn = getattr(torch.backends.cudnn, "conv", torch.backends.cudnn)
    places = [cudnn, torch.backends.cuda.matmul]
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, off)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)


def send_down(values: torch.Tensor, pixels: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """Send a signal from values down to the pixels that they were computed from.

    Args:
        values: of a forward pass under a `Run`. signal: of their shape. pixels: K×3×H×W.

    Returns:
        K×3×H×W; zeros where nothing arrives.

    Raises:
        DeconvError: where a part is computed again on the way down (gradient checkpointing).
    """
    try:
        with exact():
            (below,) = torch.autograd.grad(values, pixels, signal, allow_unused=True)
    except CheckpointError as error:
        raise DeconvError(
            "a part of the network is computed again on the way down, without the rules: turn "
            "gradient checkpointing off (such as memory_efficient=False)"
        ) from error
    return torch.zeros_like(pixels) if below is None else below


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while, without TF32; each part's mode is as before
    afterwards."""
    training = [part for part in module.modules() if part.training]
    try:
        for part in training:  # not by eval(), which a module may have of its own
            part.training = False
        with exact():
            yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def held(module: nn.Module) -> Iterator[None]:
    """Ask for no gradients of a module's parameters for a while: only the image is followed."""
    asked = [p for p in module.parameters() if p.requires_grad]
    for parameter in asked:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad = True
