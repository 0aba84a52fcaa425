"""Weight files: reading without running code, matching names, and loading into a network."""

from __future__ import annotations

import errno
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from deconv.atomic_files import CHECKSUM, damage
from deconv.errors import DeconvError, RenamedWeightsWarning, unknown
from deconv.finite import is_finite
from deconv.networks.from_torchvision import CHAINS
from deconv.networks.network import Network

PREFIXES = ("module.", "model.", "_orig_mod.")
"""Prefixes that DataParallel, Lightning and torch.compile add to every name."""
WRAPPERS = ("state_dict", "model", "model_state", "model_state_dict")
"""Keys under which training scripts save a state_dict."""
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""GoogLeNet's and Inception's auxiliary classifiers, used only in training."""
MEAN = "mean image"
"""Name of the mean image among the tensors of a snapshot as safetensors."""

_WRITE_ONE = "write one with torch.save(module.state_dict(), …)"


@dataclass(frozen=True)
class Weights:
    """The content of a weight file.

    path: for messages. tensors: name -> values. recipe, mean, classes: of a snapshot of this
    library; {}, None and None for other files.
    """

    path: str
    tensors: dict[str, torch.Tensor]
    recipe: dict[str, Any] = field(default_factory=dict)
    mean: torch.Tensor | None = None
    classes: tuple[str, ...] | None = None


def read_weights(path: str | Path) -> Weights:
    """Read a .pth, .pt or .safetensors file or a snapshot without running code.

    Raises:
        DeconvError: for a file that is damaged or holds no state_dict.
    """
    content = read(path)
    if isinstance(content, dict) and {"recipe", "weights"} <= content.keys():
        recipe, tensors = upgraded(content)
        mean, classes = content.get("mean"), content.get("classes")
        return Weights(str(path), tensors, recipe, mean, tuple(classes) if classes else None)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            _say(f"{path}: took the weights under {key!r}")
            break
    if not isinstance(content, Mapping):
        raise DeconvError(f"{path} is a {type(content).__name__}, not a state_dict: {_WRITE_ONE}")
    if not content or not all(isinstance(value, torch.Tensor) for value in content.values()):
        keys = ", ".join(str(key) for key in list(content)[:6]) or "nothing"
        raise DeconvError(f"{path} holds no state_dict but {keys}: {_WRITE_ONE}")
    return Weights(str(path), dict(content))


def read(path: str | Path, what: str = "the weights") -> Any:
    """Read what torch.save wrote with `weights_only=True`, or a safetensors file.

    Args:
        path: of the file; a checksum file beside it has to match.
        what: the file is, for messages.

    Returns:
        What was saved; for safetensors a dictionary of tensors, or of a snapshot if
        `deconv.training.snapshots` wrote it.

    Raises:
        DeconvError: for a file that is damaged or holds code, such as a pickled module.
        MemoryError, OSError: unchanged, because they concern the machine.
    """
    path = Path(path)
    resolved = path.resolve()
    if resolved.with_name(resolved.name + CHECKSUM).exists() and (wrong := damage(path)):
        raise DeconvError(f"cannot read {what} {path}: {wrong}; take another file")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # In a truncated file torch seeks to a negative offset.
        cut = isinstance(error, OSError) and error.errno == errno.EINVAL
        if isinstance(error, MemoryError | OSError) and not cut:
            raise
        if "can't allocate memory" in str(error):  # torch raises a RuntimeError
            raise MemoryError(f"there is not enough memory to read {path}") from error
        code = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it holds {code[1]}, which may run code" if code else "it is damaged"
        raise DeconvError(
            f"cannot read {what} {path}: {why}. Where you trust its source, {_WRITE_ONE}"
        ) from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, "pt") as file:
        notes = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    if "recipe" not in notes:
        return tensors
    content = {key: json.loads(value) for key, value in notes.items()}
    if (mean := tensors.pop(MEAN, None)) is not None:
        content["mean"] = mean.float()
    weights = {name: v.float() if v.is_floating_point() else v for name, v in tensors.items()}
    return content | {"weights": weights}


def upgraded(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Convert a snapshot's recipe and weights to the current format.

    Before format 3 third-party chains divided nothing: torchvision's were trained on undivided
    images, and pytorchcv's had the division in their first filters. Those of torchvision's built
    with a mean or std had the names of their modules.
    """
    recipe, weights = dict(content["recipe"]), dict(content["weights"])
    source, _, short = str(recipe.get("name")).partition("/")
    if (content.get("format") or 0) >= 3 or source not in ("torchvision", "pytorchcv"):
        return recipe, weights
    if not any(key.startswith("module.") for key in weights):
        return recipe | {"std": [1.0, 1.0, 1.0]}, weights
    if source == "torchvision" and short in CHAINS:
        layers = dict.fromkeys(key.rpartition(".")[0] for key in weights)
        names = {
            layer: f"{'fc' if '.classifier.' in layer else 'conv'}{number}"
            for number, layer in enumerate(layers, 1)
        }
        weights = {
            f"{names[layer]}.{kind}": value
            for key, value in weights.items()
            for layer, _, kind in [key.rpartition(".")]
        }
    return recipe, weights


def filled(
    make: Callable[[int | None], tuple[Network, nn.Module]],
    num_classes: int | None,
    weights: Weights,
) -> Network:
    """Make a network with the number of classes of its weights, and load them.

    Args:
        make: returns (network, third-party module in it or itself) for a number of classes; for
            None, with the module's own number.
        num_classes: None to read it from the weights, as the number of rows where the module has
            one row per class.
        weights: named as in the module or as in the network.

    Raises:
        DeconvError: for weights that do not fit, naming the first that differ.
    """
    net, module = make(num_classes)
    tensors, named_as_module = _without_prefix(weights, net, module)
    place = module if named_as_module else net
    own = place.state_dict()
    if aux := [name for name in tensors if name.startswith(AUXILIARY) and name not in own]:
        _say(f"{weights.path}: left out the auxiliary classifiers ({aux[0]} …)")
        tensors = {name: value for name, value in tensors.items() if name not in aux}
    others = {
        len(tensors[name])
        for name, value in own.items()
        if name in tensors and value.dim() > 1 and len(value) == net.classes
        if tensors[name].shape[1:] == value.shape[1:] and len(tensors[name]) != net.classes
    }
    if len(others) == 1:
        (rows,) = others
        if num_classes not in (None, rows):
            raise DeconvError(
                f"{weights.path} has weights of {rows} classes, not num_classes={num_classes}: "
                "leave num_classes out"
            )
        net, module = make(rows)
    place = module if named_as_module else net
    load_weights(place, tensors, weights.path, net.name)
    return net


def _without_prefix(
    weights: Weights, net: Network, module: nn.Module
) -> tuple[dict[str, torch.Tensor], bool]:
    """Return the tensors without a prefix, and whether their names are the module's.

    Otherwise they are the network's. A prefix is removed only if no name fits with it, since a
    module's own names may begin with one.
    """
    tensors, removed = weights.tensors, ""
    chain = {name for name in net.state_dict() if not name.startswith("module.")}
    while True:
        for names, as_module in ((module.state_dict().keys(), True), (chain, False)):
            if tensors.keys() & names:
                if removed and not weights.recipe:  # a snapshot's are this library's own
                    _say(f"{weights.path}: took {removed!r} off the names of all weights")
                return tensors, as_module
        prefix = next((p for p in PREFIXES if all(n.startswith(p) for n in tensors)), None)
        if prefix is None:
            return weights.tensors, True
        removed += prefix
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}


def load_weights(
    module: nn.Module | Network,
    weights: Mapping[str, torch.Tensor],
    what: str = "the snapshot",
    name: str | None = None,
) -> None:
    """Load weights (name -> values) into a module, all or none.

    Args:
        module: the module or network to load into.
        weights: name -> values.
        what: describes the weights in the message.
        name: the network's, for the message; None for the module's own.

    Raises:
        DeconvError: naming up to three that are missing, too many, or of another shape; or one
            that holds NaN or infinity.
    """
    name = name or str(module.name)
    own = module.state_dict()
    # Old files have no batch counts; PyTorch fills them in.
    missing = [n for n in own if n not in weights and not n.endswith("num_batches_tracked")]
    excess = [n for n in weights if n not in own]
    shapes = [n for n in own if n in weights and own[n].shape != weights[n].shape]
    wrong = [f"{n} is missing" for n in missing[:3]] + [f"{n} is not in {name}" for n in excess[:3]]
    wrong += [
        f"{n} is {tuple(weights[n].shape)}, the network needs {tuple(own[n].shape)}"
        for n in shapes[:3]
    ]
    if wrong:
        counts = len(missing), len(excess), len(shapes)
        if sum(counts) > len(wrong):
            kinds = zip(counts, ("missing", "too many", "of another shape"), strict=True)
            wrong.append("in all " + ", ".join(f"{count} {kind}" for count, kind in kinds))
        raise DeconvError(f"{what} does not fit {name}: {'; '.join(wrong)}")
    # Of buffers some modules mask by infinities.
    for parameter in dict(module.named_parameters()):
        if not is_finite(weights[parameter]):
            raise DeconvError(
                f"{parameter} of {what} holds values that are not finite: its training has "
                "diverged, or the file was damaged; take an earlier one"
            )
    module.load_state_dict(dict(weights))


def unknown_weights(name: str, weights: str, valid: Sequence[str]) -> DeconvError:
    """Make the error for weights that are neither a pretrained set nor a file."""
    wrong = unknown(f"weights of {name}", weights, valid)
    return DeconvError(f"{wrong} Nor is there such a file (.pth, .pt, .safetensors).")


def _say(text: str) -> None:
    warnings.warn(text, RenamedWeightsWarning, stacklevel=5)
