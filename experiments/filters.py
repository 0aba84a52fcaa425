r"""Filters as pictures: which, by which rule, and what a change of the input does to them.

    python -m experiments.filters snapshot=<run>/last.pt
    python -m experiments.filters model=torchvision/resnet50 model.weights=DEFAULT 'layers=[1,3]'
    python -m experiments.filters model=mlp model.grey=true model.input_px=28
    python -m experiments.filters redraw=outputs/filters/<folder>

Figure 6 shows filters of layer 1 and states no rule for their intensities. Here: four, one of
them for the page and all for a few filters. A first layer is in colour; deeper ones have a picture
for each channel; a row of a fully connected layer is reshaped to the image, or the maps, that it
takes. Beside it the filters that do the same for a stated other preparation of the images.

Cost: seconds (with a snapshot); model=mlp is trained first, a minute on 2 CPU cores.
Expected: the layer answers as before the change, to rounding; pictures that have a scale of their
own change only where the channels are scaled differently.

Writes figure.png and figure.pdf, arrays.npz (weights before and after, what is black and white),
table.csv (one row per filter shown), config.yaml and provenance.json. There is no claim to judge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.mining.map_statistics import map_points
from deconv.networks import Network
from deconv.studies.first_layers import (
    CHANGES,
    RULES,
    LayerFilters,
    changed,
    ends,
    entry,
    intensities,
    layer_filters,
    make_change,
    same_response,
    showable,
)
from deconv.studies.first_layers.change_table import Versions, filter_rows
from experiments.kit import Figure, Result, Saved, Subject, check_name, experiment
from experiments.kit.chosen_maps import checked_maps, named_maps
from experiments.kit.facts import describe_network, images_of, preprocessing
from experiments.kit.layout import layout_of, saved_layers, saved_maps

CHOICES = ("first", "strongest", "random")
COMPARED = 8
"""Filters shown by each rule: evenly spaced from the weakest to the strongest of those shown."""
FORMULAS = {
    "filter": "black: min w, white: max w of the filter,\nall channels together",
    "layer": "black: min w, white: max w\nof all filters of the layer",
    "symmetric": "black: −max |w|, white: +max |w|\nof the filter; grey is 0",
    "symmetric_layer": "black: −max |w|, white: +max |w|\nof all filters of the layer; grey is 0",
}


@dataclasses.dataclass
class Filters(Figure):  # split: of the images that the changed layer is compared on
    layers: list[str] = dataclasses.field(default_factory=list)  # names, or numbers among the
    # layers with weights; []: the first, and the next that has pictures
    intensity: str = "filter"  # filter, layer, symmetric, symmetric_layer: see
    # deconv/studies/first_layers/pictures.py
    affine: str = "auto"  # none, pixels, unit, standardised, own; auto: standardised if the layer
    # takes pixels minus the mean, else those
    scale: list[float] = dataclasses.field(default_factory=list)  # of affine=own, one or three
    shift: list[float] = dataclasses.field(default_factory=list)  # numbers: x' = scale·x + shift,
    # where x are pixels minus the mean
    maps: Any = None  # numbers of filters by layer: maps.conv1=[3,7]; of layers without any:
    # first_maps of one that takes the image, deep_maps of others
    channels: list[int] = dataclasses.field(default_factory=list)  # numbers of channels of deeper
    # layers; []: the first deep_channels
    choose: str = "first"  # first: by number; strongest: largest L2 norm first; random
    first_maps: int = 96  # most filters of the first layer
    deep_maps: int = 10  # most filters of a deeper layer
    deep_channels: int = 24  # most channels of each
    images_checked: int = 8  # on which the changed layer is compared

    def __post_init__(self) -> None:
        self.maps = checked_maps(self.maps)
        self.layers = [str(layer) for layer in self.layers] or list(self.maps)
        among = {"choose": CHOICES, "intensity": RULES, "affine": CHANGES}
        for name, valid in among.items():
            check_name(name, getattr(self, name), valid)
        for name in ("first_maps", "deep_maps", "deep_channels", "images_checked"):
            if getattr(self, name) < 1:
                raise DeconvError(f"{name} must be at least 1, got {getattr(self, name)}")


def check(cfg: Filters, it: Subject) -> None:
    """Raise DeconvError for a layer, filter, channel or change that cannot be used."""
    mean = it.given.mean if it.given else torch.zeros(3)
    layers = chosen_layers(cfg, it.sketch)
    named_maps(cfg, it.sketch, [filters.layer for filters in layers])
    for filters in layers:
        chosen(cfg, filters, it.sketch)
        if filters.sees_image:
            make_change(cfg.affine, it.sketch, filters, mean, cfg.scale, cfg.shift)


def chosen_layers(cfg: Filters, net: Network) -> list[LayerFilters]:
    """The layers that cfg names; or the first two whose weights are pictures."""
    names = [net.check_point(layer).removesuffix(":z") for layer in cfg.layers]
    names = names or showable(net)[:2]
    if not names:
        raise DeconvError(f"{net.name} has no layer whose weights are pictures")
    if len(set(names)) < len(names):
        raise DeconvError(f"layers names one twice: {', '.join(names)}")
    return [layer_filters(net, name) for name in names]


def chosen(cfg: Filters, filters: LayerFilters, net: Network) -> tuple[list[int], list[int]]:
    """The numbers of the filters and of the channels (places in the filter) to show."""
    count, places = filters.weights.shape[:2]
    channels = [] if filters.sees_image else cfg.channels
    if wrong := [n for n in channels if not 0 <= n < places]:
        raise DeconvError(f"{filters.layer} has channels 0 to {places - 1}, not {wrong[0]}")
    named = {net.check_point(layer).removesuffix(":z"): own for layer, own in cfg.maps.items()}
    order = list(range(count))
    if cfg.choose == "random":
        order = (
            np.random.default_rng((cfg.seed, *filters.layer.encode())).permutation(count).tolist()
        )
    if cfg.choose == "strongest":
        order = filters.weights.flatten(1).norm(dim=1).argsort(descending=True).tolist()
    most_maps = cfg.first_maps if filters.sees_image else cfg.deep_maps
    most_channels = places if filters.sees_image else cfg.deep_channels
    return named.get(filters.layer) or order[:most_maps], channels or list(range(places))[
        :most_channels
    ]


def compute(cfg: Filters, it: Subject) -> Result:
    """Collect weights and scales, and compare the layer before and after the change of input."""
    snapshot, net = it.snapshot, it.net
    it.first_alone()
    cfg.data.cache = False  # a few images do not need one
    count = min(cfg.images_checked, len(it.crops))
    arrays, rows, layers = {}, [], []
    for filters in chosen_layers(cfg, net):
        maps, channels = chosen(cfg, filters, net)
        versions = {"before": (filters.weights.double(), filters.bias.double())}
        change, same = None, {}
        facts: dict[str, Any] = {
            "layer": filters.layer,
            "number": filters.number,
            "filters": list(filters.weights.shape),
            "title": it.titles.get(map_points(net, filters.layer).measured, filters.layer),
            "sees_image": filters.sees_image,
            "shown": [len(maps), len(channels)],
        }
        if filters.sees_image:
            factor, offset = entry(net, filters)
            facts["takes"] = {"factor": factor.tolist(), "offset": offset.tolist()}
            change = make_change(cfg.affine, net, filters, snapshot.mean, cfg.scale, cfg.shift)
        if change is not None:
            versions["after"] = changed(filters, change)
            images = torch.stack([it.crops[i][0] for i in range(count)]).to(it.device)
            same = same_response(net, filters, change, images)
            numbers = {"scale": change.scale.tolist(), "shift": change.shift.tolist()}
            facts["change"] = numbers | {"words": change.words}
            facts["same"] = {name: float(values.max()) for name, values in same.items()}
        part = layer_arrays(filters, maps, channels, versions)
        arrays |= {f"{filters.layer}/{name}": values for name, values in part.items()}
        rows += filter_rows(filters, maps, cfg.intensity, versions, same)
        layers.append(facts)
    facts = {
        "figure": "filters (the paper's Figure 6 shows layer 1)",
        "choices": {
            "intensity": cfg.intensity,
            "rule": FORMULAS[cfg.intensity].replace("\n", " "),
            "maps": "named" if cfg.maps else cfg.choose,
            "preprocessing": preprocessing(net, snapshot.mean),
        },
        "data": it.facts()["data"] | {"images_checked": count},
        "layers": layers,
    }
    return Result(facts, arrays, {"table": rows})


def layer_arrays(
    filters: LayerFilters, maps: list[int], channels: list[int], versions: Versions
) -> dict[str, np.ndarray]:
    """The weights shown of one layer, and the ends of each rule's grey scale."""
    out = {"maps": np.array(maps), "channels": np.array(channels)}
    out["channel_numbers"] = filters.channel[maps][:, channels].numpy()
    for version, (weights, _) in versions.items():
        out[f"{version}/weights"] = weights[maps][:, channels].float().numpy()
        for rule in RULES:
            for name, values in zip(("black", "white"), ends(weights, rule), strict=True):
                out[f"{version}/{rule}/{name}"] = values[maps].float().numpy()
    return out


# The page


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts, arrays = saved.facts, saved.arrays
    rule = layout_of(saved).get("intensity", facts["choices"]["intensity"])
    check_name("intensity", rule, RULES)
    first, rules, deeper, constant = [], [], [], 0
    layers = {layer["layer"]: layer for layer in facts["layers"]}
    for name in saved_layers(saved, list(layers)):
        layer, there = layers[name], arrays[f"{name}/maps"].tolist()
        maps = saved_maps(saved, name, there)
        layer = layer | {"at": maps, "shown": [len(maps), layer["shown"][1]]}
        drawn = Drawn(arrays, layer, "before", rule)
        constant += int(drawn.constant.sum())
        if layer["sees_image"] and not first:
            first = [colour_grid(drawn)]
            if "change" in layer:
                first.append(colour_grid(Drawn(arrays, layer, "after", rule)))
            rules = [rule_row(Drawn(arrays, layer, "before", one)) for one in FORMULAS]
        else:
            deeper.append(channel_grid(drawn, arrays))
    return figures.filters(first, rules, deeper, caption(facts, constant, rule))


class Drawn:
    """The filters shown of a layer as intensities M×C×h×w by a rule; black, white: M each."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], layer: dict[str, Any], version: str, rule: str
    ) -> None:
        self.layer, self.version, self.rule = layer, version, rule
        name = f"{layer['layer']}/{version}"
        at = layer["at"]
        self.weights = arrays[f"{name}/weights"][at]
        self.black, self.white = (arrays[f"{name}/{rule}/{end}"][at] for end in ("black", "white"))
        self.constant = self.black == self.white
        given = (torch.from_numpy(one) for one in (self.weights, self.black, self.white))
        self.values = intensities(*given).numpy()

    def coloured(self) -> np.ndarray:
        """M×h×w×3, of one or three channels."""
        shape = (len(self.values), 3, *self.values.shape[2:])
        return np.broadcast_to(self.values, shape).transpose(0, 2, 3, 1)

    def ends(self) -> tuple[str, str]:
        """The labels at both ends of the grey scale."""
        symmetric = self.rule.startswith("symmetric")
        names = ("−max |w|", "max |w|") if symmetric else ("min", "max")
        words = []
        for name, values in zip(names, (self.black, self.white), strict=True):
            low, high = values.min(), values.max()
            number = f"{low:.3g}" if low == high else f"{low:.3g} … {high:.3g}"
            words.append(f"{name}: {number}".replace("-", "−"))
        return tuple(words)


def colour_grid(drawn: Drawn) -> figures.FilterGrid:
    """A layer that takes the image."""
    layer = drawn.layer
    if drawn.version == "before":
        size = "×".join(map(str, layer["filters"][1:]))
        kind = "grey" if layer["filters"][1] == 1 else "in colour"
        title = f"{drawn.layer['title']}: {layer['shown'][0]} of {layer['filters'][0]} filters"
        note = f"{size} weights each, {kind}; x: {takes_words(layer['takes']['factor'])}"
    else:
        change = layer["change"]
        title = "The same for x′ = s·x + b, w′ = w/s"
        note = f"x′: {change['words']}\ns = {three(change['scale'])}, b = {three(change['shift'])}"
    return figures.FilterGrid(title, note, drawn.coloured(), drawn.constant, *drawn.ends())


def takes_words(factor: list[float]) -> str:
    """The input of a layer in words. factor: from pixels to that input."""
    if max(abs(f - 1) for f in factor) < 1e-6:
        return "pixels minus the mean"
    grey = ", made grey" if len(factor) == 1 else ""
    return f"pixels minus the mean{grey}, divided by {three([1 / f for f in factor])}"


def three(values: Sequence[float]) -> str:
    """One number where all are the same, else all."""
    words = [f"{v:.3g}".replace("-", "−") for v in values]
    return words[0] if len(set(words)) == 1 else f"({', '.join(words)})"


def rule_row(drawn: Drawn) -> figures.RuleRow:
    """A few of the filters by one rule."""
    order = np.linalg.norm(drawn.weights.reshape(len(drawn.weights), -1), axis=1)
    order = order.argsort(kind="stable")
    at = order[np.linspace(0, len(order) - 1, min(COMPARED, len(order))).round().astype(int)]
    both = zip(drawn.black[at], drawn.white[at], strict=True)
    words = [f"{black:.2g} … {white:.2g}".replace("-", "−") for black, white in both]
    title = f"intensity={drawn.rule}"
    return figures.RuleRow(title, FORMULAS[drawn.rule], drawn.coloured()[at], words)


def channel_grid(drawn: Drawn, arrays: Mapping[str, np.ndarray]) -> figures.FilterGrid:
    """A layer above others: one row per filter, one column per channel."""
    name, (total, places, *_) = drawn.layer["layer"], drawn.layer["filters"]
    count, columns, height, width = drawn.values.shape
    at = drawn.layer["at"]
    seen = arrays[f"{name}/channel_numbers"][at]
    heads = seen[0] if (seen == seen[0]).all() else arrays[f"{name}/channels"]
    return figures.FilterGrid(
        f"{drawn.layer['title']}: {count} of {total} filters, one picture per channel",
        f"{height}×{width} weights for each of {places} channels; {columns} of these are shown",
        np.repeat(drawn.values.reshape(-1, height, width, 1), 3, axis=3),
        np.repeat(drawn.constant, columns),
        *drawn.ends(),
        columns,
        [f"map {m}" for m in arrays[f"{name}/maps"][at]],
        [str(c) for c in heads],
    )


def caption(facts: dict[str, Any], constant: int, rule: str) -> str:
    """The text under the figure."""
    data, formula = facts["data"], FORMULAS[rule].replace("\n", " ")
    words = (
        "Weights as pictures. A weight w has the intensity (w − black)/(white − black), with "
        f"intensity={rule}: {formula}. All channels of a filter share one "
        "scale, which keeps its hues; the ends of the grey scale are given from the smallest to "
        "the largest over the filters shown. "
    )
    if constant:
        words += f"Middle grey with a dash: {constant} filters of one value. "
    for layer in facts["layers"]:
        if same := layer.get("same"):
            words += (
                f"{layer['title']} with w′ = w/s and bias b′ = bias − Σ w·b/s answers to x′ as "
                f"before to x: over {data['images_checked']} images of {images_of(data)}"
                f" pre-activations differ by at most {same['difference']:.1g}, "
                f"their largest being {same['largest']:.3g}"
            )
            if same["zero_padding"] > 100 * same["difference"]:
                words += (
                    f" (if the border is padded with b; with zeros, by {same['zero_padding']:.2g})"
                )
            words += ". "
    return f"{words}{describe_network(facts)}"


LAYOUT = "layers maps intensity"
main = experiment(Filters, compute, draw, check, "arrays.npz table.csv", LAYOUT)

if __name__ == "__main__":
    main()
