"""Run a module's own forward pass under rules, the one mechanism behind every pass of the library.

Inside the context `Run` each PyTorch function that is called is looked up in the table
(`deconv.rules`) and may be replaced by its rule; hooks track which module is running. The module
itself runs: nothing is copied or traced, and no state is left behind when the context ends.
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
"""Called after each function call with the call, its entry, its place, and its value."""
SEEN, CUT = "_deconv_seen", "_deconv_cut"
"""Tensor attributes: an observed function made it; it depends on the image without a gradient."""


class Run(TorchFunctionMode):
    """Run networks under a rule.

    Args:
        rule: one of `deconv.rules.RULES`, FIELD or ROUNDED; "" leaves every operation as it is.
        module: names places by its submodules; None: by functions alone.
        collisions: policy for overlapping windows that share a switch, see `deconv.pooling.unpool`.
        switches: K×C×h×w for each max-pool in running order; None: the images' own.
        widths: of the rounded corners in running order (ROUNDED); None rounds nothing and fills
            `scales`.
        watch: called after each function call, see Watcher.
        on_module: called after each submodule with its name, itself and its output.

    Attributes:
        crossed: place -> operation without a rule that a signal crossed on its way down.
        lost: place -> operation that takes values of the image which no gradient follows, so that
            the receptive field is unknown (FIELD).
        scales: root mean square of the input of each operation with corners (ROUNDED).

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
        on_module: Callable[[str, nn.Module, Any], None] | None = None,
    ) -> None:
        super().__init__()
        if rule and rule not in (*RULES, FIELD, ROUNDED):
            raise unknown("rule", rule, RULES)
        if collisions not in COLLISIONS:
            raise unknown("collision policy", collisions, COLLISIONS)
        self.rule, self.module, self.collisions = rule, module, collisions
        self._switches = None if switches is None else iter(switches)
        self._widths = None if widths is None else iter(widths)
        self.watch, self.on_module = watch, on_module
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
        floats = any(x.is_floating_point() for x in call.tensors)
        value = way(call, self) if way is not None and floats else call.run()
        if self.rule:
            self._follow(call, operation, value)
        if self.watch is not None:
            with self.paused():
                self.watch(call, operation, self.where(call), value)
        return value

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend every `Run` for operations of the library's own."""
        with torch._C.DisableTorchFunction():
            yield

    @property
    def running(self) -> tuple[str, nn.Module | None]:
        """Name and module of the innermost module that is running."""
        return self._running[-1] if self._running else ("", None)

    @property
    def plain(self) -> bool:
        """Whether a module of PyTorch's own is running, which is one operation."""
        _, module = self.running
        kind = type(module).__mro__[is_parametrized(module)] if module is not None else object
        return kind.__module__.startswith("torch.nn.modules") and kind is not nn.Sequential

    def where(self, call: Call) -> str:
        """Name the place of a call: the running module, and the function if the module is more."""
        name, _ = self.running
        return name if self.plain else f"{name}.{call.name}" if name else call.name

    def what(self, call: Call) -> str:
        """Name the operation: the type of one of PyTorch's own modules, or the function."""
        return type(self.running[1]).__name__ if self.plain else call.name

    def width(self, x: torch.Tensor) -> float | None:
        """Return the width of the next rounded corner; None, noting the input's scale, for none."""
        if self._widths is None:
            self.scales.append(float(x.double().square().mean().sqrt()))
            return None
        return next(self._widths) or None

    def next_switches(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return the given switches of the running pool; None if it uses the images' own."""
        if self._switches is None or not x.requires_grad:
            return None
        given = next(self._switches, None)
        if given is None:
            raise DeconvError("more max-pools run than there are switches given")
        return given

    def _follow(self, call: Call, operation: Operation | None, value: Any) -> None:
        """Hook the outputs of a call, to inspect the signal when it comes down."""
        inputs = call.tensors
        cut = [mark for x in inputs if (mark := _cut(x)) is not None]
        place, what = self.where(call), self.what(call)
        for output in flat((call.input if call.name == "setitem" else value,)):
            if not output.requires_grad:
                _mark_cut(call, inputs, bool(cut), output)
            if output.grad_fn is None:
                continue
            if self.rule == FIELD and any(cut):
                self.lost.setdefault(place, what)
            if output.grad_fn.name().endswith("NotImplemented"):
                output.register_hook(lambda signal, p=place, w=what: _refuse(signal, p, w))
            elif self.rule == FIELD:
                output.register_hook(_support)
            elif operation is None or not operation.known or cut:
                self._report_crossing(output, place, what)
            setattr(output, SEEN, True)
        if self.rule in (FIELD, ROUNDED):
            return
        for x in inputs:  # a tensor that no observed function made comes from a custom one
            if x.grad_fn is not None and not hasattr(x, SEEN):
                name = x.grad_fn.name().removesuffix("Backward")
                self._report_crossing(x, self.running[0] or name, name)
                setattr(x, SEEN, True)

    def _report_crossing(self, value: torch.Tensor, place: str, what: str) -> None:
        def note(signal: torch.Tensor | None) -> None:
            if signal is not None and place not in self.crossed and bool(signal.any()):
                self.crossed[place] = what

        value.register_hook(note)


def _mark_cut(
    call: Call, inputs: Sequence[torch.Tensor], already: bool, value: torch.Tensor
) -> None:
    """Mark a value of the image that no gradient follows: a comparison, detach, no_grad.

    The mark says whether it may depend on other positions than its own.
    """
    constant = call.name.endswith("_like") or call.name.startswith("new_")
    if call.name == "to" or call.name.endswith("_as"):
        inputs = inputs[:1]  # the other gives only type or shape
    if constant or not (already or any(x.requires_grad for x in inputs if not x.is_leaf)):
        return
    elsewhere = any(_cut(x) for x in inputs)
    elsewhere = elsewhere or call.name not in _COMPARISONS.split() or len(inputs) > 1
    setattr(value, CUT, elsewhere)


def is_leaf(module: nn.Module) -> bool:
    """Tell whether a module has no submodules, apart from parametrizations of its weights."""
    parts = dict(module.named_children())
    return not parts or (is_parametrized(module) and list(parts) == ["parametrizations"])


_COMPARISONS = """
gt ge lt le ne eq greater less sign isnan invert logical_not to type type_as float double half
"""
"""Functions that, given one tensor, depend on one position each."""


def _hook(run: Run, name: str, part: nn.Module) -> list[Any]:
    def enter(*_: Any) -> None:
        run._running.append((name, part))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        while run._running and run._running[-1][1] is not part:
            run._running.pop()  # submodules whose errors this module caught
        run._running.pop()
        if run.on_module is not None:
            with run.paused():
                run.on_module(name, module, output)

    return [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]


def _refuse(signal: torch.Tensor | None, place: str, what: str) -> None:
    if signal is not None and bool(signal.any()):
        raise DeconvError(
            f"no signal can come down through {what} ({place}): it cannot be differentiated"
        )


def _cut(x: torch.Tensor) -> bool | None:
    """Return the mark of a value that no gradient follows, or None."""
    return None if x.requires_grad else getattr(x, CUT, None)


def _each_path_alone(call: Call) -> Call:
    """Binarise each operand's signal before paths meet, so that none cancel."""

    def alone(value: Any) -> Any:
        if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
            parts = [alone(one) for one in value]
            return parts if isinstance(value, list) else tuple(parts)
        if isinstance(value, torch.Tensor) and value.requires_grad and not value.is_leaf:
            value = value.view_as(value)
            value.register_hook(_support)
        return value

    first = call.in_place or call.name == "setitem"
    args = tuple(x if i == 0 and first else alone(x) for i, x in enumerate(call.args))
    kwargs = {k: v if k == "input" and first else alone(v) for k, v in call.kwargs.items()}
    return Call(call.func, args, kwargs, call.arguments)


def _support(signal: torch.Tensor | None) -> torch.Tensor | None:
    return None if signal is None else (signal != 0).to(signal.dtype)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Switch TF32 off, whose 10-bit mantissa would make a GPU's results differ from a CPU's."""
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


def send_down(
    values: torch.Tensor, pixels: torch.Tensor, signal: torch.Tensor, again: bool = False
) -> torch.Tensor:
    """Send a signal from values down to the pixels that they were computed from.

    Args:
        values: output of a forward pass under a `Run`.
        pixels: its input, K×3×H×W.
        signal: in the shape of `values`.
        again: whether another signal will follow from the same values.

    Returns:
        K×3×H×W; zeros where nothing arrives.

    Raises:
        DeconvError: for gradient checkpointing, which runs modules again on the way down.
    """
    try:
        with without_tf32():
            (below,) = torch.autograd.grad(
                values, pixels, signal, retain_graph=again, allow_unused=True
            )
    except CheckpointError as error:
        raise DeconvError(
            "gradient checkpointing runs a part of the network again on the way down, without the "
            "rules: turn it off (such as memory_efficient=False)"
        ) from error
    return torch.zeros_like(pixels) if below is None else below


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, without TF32, and restore each submodule's mode."""
    training = [part for part in module.modules() if part.training]
    try:
        for part in training:  # not by eval(), which a module may override
            part.training = False
        with without_tf32():
            yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Freeze a module's parameters, so that autograd follows the image alone."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad = True
