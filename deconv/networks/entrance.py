"""Examine a module when it is wrapped: does it behave as an image classifier?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from deconv.errors import DeconvError
from deconv.finite import check_finite
from deconv.networks.calls import Calls, Ran
from deconv.networks.listing import list_calls
from deconv.rules.run import Run, evaluating

SEED = 0
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Entrance:
    """What a module showed of itself.

    calls: what ran. classes: the number of logits. ends_in: "softmax" if it returns probabilities,
    else "". channels_last: whether it takes images in that memory format.
    """

    calls: Calls
    classes: int
    ends_in: str
    channels_last: bool


def enter(
    module: nn.Module, name: str, input_px: int, scaled: Callable[[torch.Tensor], torch.Tensor]
) -> Entrance:
    """Run a module on small batches of noise in evaluation mode and check its outputs.

    Args:
        module: the classifier, in any mode.
        name: for messages.
        input_px: side of the images.
        scaled: makes the module's own input of them.

    Raises:
        DeconvError: for a module that cannot run on such images, and for outputs that are no
            logits, are not reproducible, or depend on the other images of a batch.
    """
    _check_kind(module, name)
    one = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(1))
    draw = torch.Generator().manual_seed(SEED)
    noise = torch.randn(3, 3, input_px, input_px, generator=draw).to(one.device, one.dtype)
    first, second, third = (scaled(noise[[i, j]]) for i, j in ((0, 1), (0, 2), (2, 1)))
    try:
        calls, answer = list_calls(module, first)
        answer = _tensor(answer, name).detach()
        _check_shape(answer, name)
        again, channels_last = _answer(module, second)
        beside, _ = _answer(module, third)
    except RuntimeError as error:
        if (words := in_words(error, name, noise, None)) is None:
            raise
        raise words from error
    check_finite(answer, f"the output of {name}", of="the noise that it was tried on")
    for row, other, images in ((0, again, second), (1, beside, third)):
        if not _close(_tensor(other, name)[row], answer[row]):
            _refuse_unsteady(module, name, first, images, row)
    return Entrance(calls, answer.shape[1], _ends_in(calls, answer, name), channels_last)


def _check_kind(module: nn.Module, name: str) -> None:
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise DeconvError(
            f"{name} spreads batches over devices: wrap the network in it, .module, and move it"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise DeconvError(
            f"{name} is compiled by torch.jit, and its operations cannot be seen: wrap the module "
            "that it was made from"
        )
    if hasattr(module, "_orig_mod"):
        raise DeconvError(f"{name} is compiled by torch.compile: wrap the module in it, ._orig_mod")
    if torch.is_inference_mode_enabled():
        raise DeconvError("a network is looked at by gradients: wrap it outside inference_mode")
    first = next((part for part in module.modules() if isinstance(part, CONVOLUTIONS)), None)
    if isinstance(first, nn.Conv3d):
        raise DeconvError(f"{name} takes films or volumes N×C×T×H×W, and an image is 3×H×W")
    for part in module.modules():
        if (
            getattr(part, "_compiled_call_impl", None) is not None
            or isinstance(part, torch.jit.ScriptModule)
            or hasattr(part, "_orig_mod")
        ):
            raise DeconvError(
                f"{name} has compiled parts ({type(part).__name__}), whose operations cannot be "
                "seen: leave out .compile() and torch.jit there"
            )
        if any(is_lazy(p) for p in part.parameters(recurse=False)):
            raise DeconvError(
                f"{name} has layers without weights yet ({type(part).__name__}): run one batch "
                "through it first"
            )


def _answer(module: nn.Module, images: torch.Tensor) -> tuple[Any, bool]:
    """Return the output, and whether the module takes images in channels-last memory format."""
    with torch.no_grad(), evaluating(module):
        try:
            return module(images.clone(memory_format=torch.channels_last)), True
        except RuntimeError:  # .view() of a non-contiguous tensor
            return module(images.clone()), False


def _tensor(answer: Any, name: str) -> torch.Tensor:
    """Extract the logits of an output: itself, or its `logits`."""
    if isinstance(answer, dict):
        answer = answer.get("logits", answer)
    answer = getattr(answer, "logits", answer)
    if not isinstance(answer, torch.Tensor):
        raise DeconvError(
            f"{name} does not answer with one tensor: wrap a module whose forward pass returns the "
            "logits alone"
        )
    return answer


def _check_shape(answer: torch.Tensor, name: str) -> None:
    shape = "×".join(map(str, answer.shape))
    if answer.dim() != 2:
        raise DeconvError(f"{name} answers two images with {shape}, not with logits N×classes")
    if len(answer) != 2:
        raise DeconvError(
            f"{name} answers two images with {len(answer)} rows ({shape}), not one per image"
        )
    if answer.shape[1] == 1:
        raise DeconvError(
            f"{name} answers with one number z an image, of which a softmax makes 1.0 whatever it "
            "is: wrap a module that answers with two logits, torch.cat([-z, z], 1) / 2"
        )


def _ends_in(calls: Calls, answer: torch.Tensor, name: str) -> str:
    """Return "softmax" if the rows of an output are probabilities, else ""."""
    at = calls.last
    while at is not None and at >= 0 and _passes(calls.ran[at]):
        at = calls.ran[at].inputs[0]
    if at is not None and at >= 0 and calls.ran[at].what.lower() in ("sigmoid", "hardsigmoid"):
        raise DeconvError(
            f"{name} ends in a sigmoid: its answers are one probability a class, no logits of one "
            "choice. Wrap the module without its last operation"
        )
    sums = answer.detach().double().sum(1)
    whole = bool((answer >= 0).all()) and bool((sums - 1).abs().max() < 1e-2)
    return "softmax" if whole else ""


def _passes(ran: Ran) -> bool:
    """Tell whether an operation only moves or scales values."""
    return ran.operation is not None and ran.operation.name in ("skip", "scale", "reshape")


def logits_of(answer: Any, ends_in: str) -> torch.Tensor:
    """Extract the logits of a module's output; of probabilities the logarithm, whose softmax they
    are."""
    logits = _tensor(answer, "the network")
    return logits.clamp(min=torch.finfo(logits.dtype).tiny).log() if ends_in else logits


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Tell whether two tensors are equal up to rounding in their precision."""
    a, b = a.detach(), b.detach()
    atol = torch.finfo(a.dtype).eps ** 0.5 * max(float(b.abs().max()), 1e-30)
    return torch.allclose(a, b, rtol=0, atol=atol)


def _refuse_unsteady(
    module: nn.Module, name: str, first: torch.Tensor, second: torch.Tensor, row: int
) -> NoReturn:
    """Name the operation whose output differs between calls or depends on the rest of a batch."""
    before, again, other = (_rows(module, images, row) for images in (first, first, second))
    for (place, a), (_, b) in zip(before, again, strict=False):
        if not _close(a, b):
            raise DeconvError(
                f"{name} answers the same images differently every time, also in evaluation mode "
                f"(first at {place}): make that operation depend on self.training"
            )
    differ = (place for (place, a), (_, b) in zip(before, other, strict=False) if not _close(a, b))
    raise DeconvError(
        f"{name} answers an image differently by the batch that it happens to be in, also in "
        f"evaluation mode (first at {next(differ, 'an operation that moves the images')}): a batch "
        "normalisation needs statistics of its own (track_running_stats=True), a quantised layer a "
        "scale of its own, a recurrent one batch_first=True"
    )


def _rows(module: nn.Module, images: torch.Tensor, row: int) -> list[tuple[str, torch.Tensor]]:
    """Run two images and list each function's place and its output for one of them."""
    rows: list[tuple[str, torch.Tensor]] = []

    def watch(call: Any, operation: Any, where: str, value: Any) -> None:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return
        if value.dim():
            rows.append((where, (value[row] if len(value) == 2 else value).detach().clone()))

    with torch.no_grad(), evaluating(module), Run(module=module, watch=watch):
        module(images.clone())
    return rows


_SIZES = "shapes cannot be multiplied|size mismatch|Kernel size can't be|Output size is too small"
_SIZES += "|Calculated padded input size|output size is too small|must match the size of tensor"


def in_words(
    error: RuntimeError, name: str, images: torch.Tensor, input_px: int | None
) -> DeconvError | None:
    """Translate PyTorch's error about the size or channels of images; None for any other error.

    input_px: the side that the network is known to take; None while it is being wrapped.
    """
    shape, text = "×".join(map(str, images.shape[1:])), str(error)
    if channels := re.search(r"to have (\d+) channels, but got 3 channels", text):
        return DeconvError(
            f"the network takes {channels[1]} channel{'s' * (channels[1] != '1')}, and images "
            "here have 3 (RGB): put a module before it that makes them of three, such as "
            "deconv.pixels.Grey for one"
        )
    if re.search(_SIZES, text) and (input_px is None or images.shape[2:] != (input_px, input_px)):
        made = "" if input_px is None else f"; it was made for {input_px} px"
        hint = "" if made else ". Name the side of its input with input_px, if that is why"
        return DeconvError(f"{name} cannot take {shape} images: {text}{made}{hint}")
    return None
