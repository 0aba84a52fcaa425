"""What the positions of a function's value look at, function by function.

Each rule takes the traced node, its first input with where its positions lie, its value, and all
values of the forward pass.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from deconv.geometry import AnyAxis, Axis
from deconv.models.sights import MAPS, WHOLE, Place, Sight, extent, layer_norm, lost, revived


def _argument(node: fx.Node, place: int, name: str, default: Any = None) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _rest(node: fx.Node, name: str) -> tuple[int, ...]:
    """Numbers given one by one, or as one sequence."""
    given = node.args[1:] or (node.kwargs[name],)
    return tuple(given[0]) if isinstance(given[0], tuple | list) else tuple(given)


def reshape(node: Any, first: torch.Tensor, at: Place | None, value: Any, values: dict) -> Sight:
    """A view keeps rows and columns where as much lies before and behind them as did."""
    size, out = extent(first, at), tuple(value.shape)
    if size == (1, 1):
        return Sight(revived(value))
    if len(out) == 2 and out[0] == first.shape[0]:
        return Sight(None, WHOLE)
    if at[1] == at[0] + 1:
        before, behind = math.prod(first.shape[: at[0]]), math.prod(first.shape[at[1] + 1 :])
        for i in range(len(out) - 1):
            sides = math.prod(out[:i]), math.prod(out[i + 2 :])
            if out[i : i + 2] == size and sides == (before, behind):
                return Sight((i, i + 1))
    return lost("it does not keep rows and columns")


def _permuted(node: Any, first: torch.Tensor, at: Place | None, value: Any, values: dict) -> Sight:
    dims = list(range(first.dim()))
    if node.target in (torch.permute, "permute"):
        dims = [d % first.dim() for d in _rest(node, "dims")]
    else:
        one, two = (
            d % first.dim() for d in (_argument(node, 1, "dim0"), _argument(node, 2, "dim1"))
        )
        dims[one], dims[two] = dims[two], dims[one]
    if dims[0] != 0:
        return lost("it moves the images")
    if at is None:
        return Sight(None)
    found = dims.index(at[0]), dims.index(at[1])
    return Sight(found) if found[0] < found[1] else lost("it swaps rows and columns")


def _joined(place: int) -> Callable[..., Sight]:
    """Joining and cutting along a dimension, given at `place` of the arguments."""

    def rule(node: Any, first: Any, at: Place | None, value: Any, values: dict) -> Sight:
        part = first[0] if isinstance(first, tuple | list) else first
        dim = _argument(node, place, "dim", node.kwargs.get("axis", 0)) % part.dim()
        kept = dim != 0 and (at is None or dim not in at)
        return Sight(at) if kept else lost("it joins or cuts rows, columns or images")

    return rule


def _indexed(node: Any, first: Any, at: Place | None, value: Any, values: dict) -> Sight:
    """Choices of maps, new dimensions, and slices of rows and columns that keep their rhythm."""
    if isinstance(first, tuple | list):
        return Sight(at)
    given = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    used = sum(item is not None and item is not Ellipsis for item in given)
    items: list[Any] = []
    for item in given:
        items += [slice(None)] * (first.dim() - used) if item is Ellipsis else [item]
    items += [slice(None)] * (first.dim() - sum(item is not None for item in items))
    axes: list[AnyAxis | None] = [None, None]
    dim, out, moved = 0, 0, {}
    for item in items:
        if item is None:
            out += 1
            continue
        if at is not None and dim in at and item != slice(None):
            axes[at.index(dim)] = axis = _slice(item)
            if axis is None:
                return lost("it picks rows or columns")
        if isinstance(item, slice | list):
            moved[dim], out = out, out + 1
        elif not isinstance(item, int) or dim == 0:
            return lost("what it picks is not known before it runs")
        dim += 1
    if extent(first, at) == (1, 1):
        return Sight(revived(value))
    return Sight((moved[at[0]], moved[at[1]]), tuple(axes))


def _slice(item: Any) -> Axis | None:
    if not isinstance(item, slice):
        return None
    start, stop, step = item.start or 0, item.stop or 0, item.step or 1
    whole = all(isinstance(n, int) for n in (start, stop, step))
    if not whole or start < 0 or step < 1 or stop > 0 or item.stop == 0:
        return None
    return Axis(1, step, -start, after=stop)


def _averaged(node: Any, first: torch.Tensor, at: Place | None, value: Any, values: dict) -> Sight:
    dims = _argument(node, 1, "dim")
    dims = range(first.dim()) if dims is None else [dims] if isinstance(dims, int) else dims
    dims = {d % first.dim() for d in dims}
    if 0 in dims:
        return lost("it averages over images")
    if at is None or dims >= set(at):
        return Sight(revived(value), (None, None) if at is None else WHOLE)
    if dims & set(at):
        return lost("it averages over rows or columns alone")
    gone = () if value.dim() == first.dim() else dims
    return Sight(tuple(d - sum(g < d for g in gone) for d in at))


def _padded(node: Any, first: torch.Tensor, at: Place | None, value: Any, values: dict) -> Sight:
    pads, mode = _argument(node, 1, "pad"), _argument(node, 2, "mode", "constant")
    if at is None or not all(isinstance(n, int) for n in pads):
        return lost("how it pads is not known before it runs")
    pairs = [(0, 0)] * first.dim()
    for i in range(len(pads) // 2):
        pairs[first.dim() - 1 - i] = (pads[2 * i], pads[2 * i + 1])
    mode = "zeros" if mode == "constant" else mode
    return Sight(at, tuple(Axis(1, 1, pairs[d][0], after=pairs[d][1], mode=mode) for d in at))


def _convolved(node: Any, first: torch.Tensor, at: Place | None, value: Any, values: dict) -> Sight:
    """F.conv2d, whose filters are made elsewhere."""
    filters = values.get(_argument(node, 1, "weight"))
    if at != MAPS or filters is None:
        return lost("its filters are not known before it runs")
    names = (("stride", 1), ("padding", 0), ("dilation", 1))
    given = [_argument(node, 3 + i, name, default) for i, (name, default) in enumerate(names)]
    given = [values.get(n, n) if isinstance(n, fx.Node) else n for n in given]
    if isinstance(given[1], str):
        return lost("it pads by name")
    stride, padding, dilation = ((n, n) if isinstance(n, int) else tuple(n) for n in given)
    return Sight(
        MAPS,
        tuple(Axis(filters.shape[2 + a], stride[a], padding[a], dilation[a]) for a in (0, 1)),
    )


def _normalised(means: int, training: int) -> Callable[..., Sight]:
    """Batch normalisation; without means of its own, or in training, it looks at everything."""

    def rule(node: Any, first: Any, at: Place | None, value: Any, values: dict) -> Sight:
        own = _argument(node, means, "running_mean") is None
        return Sight(at, whole=own or bool(_argument(node, training, "training", False)))

    return rule


def _over_last(node: Any, first: torch.Tensor, at: Place | None, value: Any, values: dict) -> Sight:
    return layer_norm(len(_argument(node, 1, "normalized_shape")), first, at)


def _over_groups(node: Any, first: Any, at: Place | None, value: Any, values: dict) -> Sight:
    return Sight(at, whole=at is not None)


Rule = Callable[[Any, Any, Place | None, Any, dict], Sight]
FUNCTIONS: dict[Any, Rule] = {
    **dict.fromkeys((torch.permute, torch.transpose, "permute", "transpose"), _permuted),
    **dict.fromkeys((torch.cat, torch.concat), _joined(1)),
    **dict.fromkeys((torch.chunk, torch.split, "chunk", "split"), _joined(2)),
    **dict.fromkeys(
        (torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, "flatten", "reshape",
         "view", "squeeze", "unsqueeze"), reshape),
    **dict.fromkeys((torch.mean, "mean"), _averaged),
    operator.getitem: _indexed,
    F.pad: _padded,
    F.conv2d: _convolved,
    F.batch_norm: _normalised(1, 5),
    torch.batch_norm: _normalised(3, 5),
    F.layer_norm: _over_last,
    F.group_norm: _over_groups,
}  # fmt: skip
