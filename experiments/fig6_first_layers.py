r"""Figure 6: features of layers 1 and 2, without renormalisation, with a coarse and a fine layer 1.

    python -m experiments.fig6_first_layers
    python -m experiments.fig6_first_layers ours=<run>/epoch_010.pt
    python -m experiments.fig6_first_layers model=torchvision/resnet50 model.weights=DEFAULT \
        data=imagefolder data.root=<photographs>        # (c) and (e) of a network of others
    python -m experiments.fig6_first_layers redraw=outputs/fig6_first_layers/<folder>

Paper: (a) layer 1 without the renormalisation of filters, where one filter dominates; (b) layer 1
of Krizhevsky's network, 11×11 stride 4: a mix of extreme high and low frequencies, little between;
(c) 7×7 stride 2, fewer dead features; (d), (e) layer 2 of both, aliasing artefacts in (d) alone.
Not stated there: any number, which images layer 2 is projected from, how filters are scaled. Here:
all filters of a panel on one scale; of each map of layer 2 the strongest unit over the validation
images; dominance, dead and faint filters and aliasing as `deconv.studies.first_layers.quality`
measures them.

Networks that are not given are trained first: twins of `ours` by one recipe, but for the change.
At size=paper these trainings come first:
    python -m experiments.train size=paper train.max_rms=null        (without)
    python -m experiments.train size=paper model=alexnet             (coarse, as the paper's; or
                                model.first_layer=coarse: nothing differs but layers 1 and 2)
    python -m experiments.train size=paper                           (ours)

Cost: one pass over the validation images a network, and the training of those not given; laptop
4 minutes on 2 CPU cores.
Expected: without renormalisation one filter dominates; 7×7 stride 2 has fewer dead features than
11×11 stride 4, and layer 2 above it is free of aliasing artefacts.

Writes figure.png and figure.pdf, arrays.npz (what is drawn, and the measures of each filter),
table.csv (one row per network and layer), findings.json, config.yaml and provenance.json; trained
networks in a folder each.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import DataLoader, Subset

from deconv import figures
from deconv.errors import DeconvError, unknown
from deconv.figures import Page
from deconv.mining.top_activations import CHUNK
from deconv.networks import is_foreign
from deconv.pooling import COLLISIONS
from deconv.studies.first_layers.features import (
    FIRST,
    SECOND,
    convolution,
    features,
    points,
    random_aliasing,
    strengths,
)
from deconv.studies.first_layers.quality import square_stride
from deconv.studies.first_layers.spectra import excess_aliasing, spectra, spectrum_in_numbers
from deconv.training.snapshots import weights_hash
from experiments.kit import Comparison, Finding, Result, Saved, Subject, experiment, judged
from experiments.kit.chosen_maps import check_numbers, checked_maps
from experiments.kit.claims import FEW
from experiments.kit.facts import deconvnet_choices, describe_network, images_of, no_rule
from experiments.kit.inputs import workers
from experiments.kit.layout import saved_maps
from experiments.kit.printed import rounded, top1
from experiments.kit.series import unequal

FREQUENCIES = np.linspace(0, 0.5, 51)
"""Cycles a pixel, where the curves of the spectra are computed."""
CONTROL_IMAGES, CONTROL_SEED = 256, 1000
"""Of networks with random weights: images they are mined over, the seed of the first one."""
"""Filters dominate if no larger share of them holds half of their layer's energy."""


@dataclasses.dataclass
class FirstLayers(Comparison):
    without: str | None = None  # snapshot of a network without renormalisation
    coarse: str | None = None  # snapshot of one with a coarse first layer
    ours: str | None = None  # snapshot of the network itself
    maps: Any = None  # which to draw: maps.conv1=[3,7] filters, maps.conv2=[5] projections, of all
    # three networks; null: all
    faint: float = 0.1  # a filter is faint below this share of the strongest filter's RMS
    bands: list[float] = dataclasses.field(default_factory=lambda: [0.125, 0.25])  # cycles a
    # pixel: where the middle band of frequencies begins and ends
    response_images: int = 32  # images whose layer 1 responses are taken at every pixel
    controls: int = 5  # networks of random weights that aliasing is compared with, per stride
    collisions: str = "sum"  # sum, max, mean, overwrite

    roles: ClassVar = {
        "without": {"train.max_rms": None},
        "coarse": {"model.first_layer": "coarse"},
        "ours": {},
    }
    twins_of: ClassVar = ("ours",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.maps = checked_maps(self.maps)
        if self.collisions not in COLLISIONS:
            raise unknown("collision policy", self.collisions, COLLISIONS)
        if not 0 < self.faint < 1:
            raise DeconvError(f"faint is a share between 0 and 1, got {self.faint}")
        if len(self.bands) != 2 or not 0 < self.bands[0] < self.bands[1] < 0.5:
            raise DeconvError(
                f"bands takes two frequencies that rise within 0…0.5, got {self.bands}"
            )
        for name, least in (("response_images", 1), ("controls", 2)):
            if (value := getattr(self, name)) < least:
                raise DeconvError(f"{name} must be at least {least}, got {value}")


def check(cfg: FirstLayers, it: Subject) -> None:
    """Raise DeconvError for networks that do not belong in their role."""
    strides = {}
    for role, one in it.roles.items():
        for layer in (FIRST, SECOND):
            point = points(one.sketch)[layer]
            check_numbers(one.sketch, point, cfg.maps.get(layer, ()), f"maps.{layer} of {role}=")
        if other := sorted(cfg.maps.keys() - {FIRST, SECOND}):
            raise DeconvError(f"maps names {other[0]}, and the figure shows {FIRST} and {SECOND}")
        strides[role] = square_stride(convolution(one.sketch, FIRST))
        if one.given and is_foreign(one.given.recipe["name"]):
            continue
        recipe = one.given.config.get("train", {}) if one.given else one.config.train
        limit = recipe.get("max_rms", "not known")
        if limit != "not known" and (limit is None) != (role == "without"):
            wanted = "null" if role == "without" else "a limit"
            raise DeconvError(f"{role}= has to be trained with train.max_rms={wanted}, not {limit}")
    if "coarse" in strides and strides["coarse"] <= strides["ours"]:
        raise DeconvError(
            f"layer 1 of coarse= has stride {strides['coarse']}, that of ours= {strides['ours']}: "
            "the coarse one has to be larger (model=alexnet, or model.first_layer=coarse)"
        )


def compute(cfg: FirstLayers, it: Subject) -> Result:
    """Look at each network and judge the paper's claims."""
    peaks = {}
    for role, one in it.roles.items():
        own = points(one.net)
        mined = one.mine(list(own.values()), k=1)
        peaks[role] = {layer: mined[point] for layer, point in own.items()}
    it.first_alone()
    arrays: dict[str, np.ndarray] = {"frequencies": FREQUENCIES}
    rows, networks = [], {}
    for role, one in it.roles.items():
        found = features(one.net, one.crops, peaks[role], cfg.collisions)
        images = (one.crops[i][0] for i in range(min(cfg.response_images, len(one.crops))))
        found |= spectra(one.net, found, cfg.bands, FREQUENCIES, images)
        if role != "without":
            found["random_aliased"] = controls(cfg, one)
        arrays |= {f"{role}/{name}": array for name, array in found.items()}
        for layer in (FIRST, SECOND):
            row = {"network": role, "layer": layer, "name": points(one.net)[layer]}
            row |= strengths(one.net, found, layer, cfg.faint)
            rows.append(rounded(row | spectrum_in_numbers(one.net, found, layer)))
        networks[role] = {
            "model": one.net.recipe,
            "weights_sha256": weights_hash(one.net),
            "max_rms": one.snapshot.config.get("train", {}).get("max_rms"),
            "training": one.facts()["training"],
        }
    ours = it.roles["ours"]
    differences = {
        role: unequal(ours.snapshot, it.roles[role].snapshot, apart)
        for role, apart in (("without", "max_rms"), ("coarse", "network"))
        if role in it.roles
    }
    facts = {
        "figure": "6",
        "maps": cfg.maps,
        "choices": choices(cfg)
        | deconvnet_choices(
            ours.net, cfg.collisions, ours.snapshot.mean, [*points(ours.net).values()]
        ),
        "data": ours.facts()["data"],
        "training": networks["ours"]["training"],
        "networks": networks,
        "unequal": differences,
        "rows": rows,
        "response_images": min(cfg.response_images, len(ours.data)),
    }
    judged = findings(rows, arrays, differences, cfg.faint)
    return Result(facts, arrays, {"table": rows}, judged, net=ours.net)


def controls(cfg: FirstLayers, one: Subject) -> np.ndarray:
    """What is aliased in networks of random weights, over the first CONTROL_IMAGES."""
    some = Subset(one.crops, range(min(CONTROL_IMAGES, len(one.crops))))
    loader = DataLoader(some, batch_size=CHUNK, num_workers=workers(cfg))
    seeds = range(CONTROL_SEED, CONTROL_SEED + cfg.controls)
    recipe = one.snapshot.recipe
    return random_aliasing(recipe, one.crops, loader, seeds, cfg.collisions, one.device)


def choices(cfg: FirstLayers) -> dict[str, str]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return {
        "maps": "all of layers 1 and 2",
        "peaks": "the strongest unit of each map; read after ReLU, before pooling",
        "dead": "never above 0 on the images",
        "faint": f"RMS below {cfg.faint:g} of the strongest filter's",
        "dominance": f"half of layer 1's squared weights in at most {FEW:g} of its filters",
        "bands": f"max(|f_y|, |f_x|) up to {cfg.bands[0]}, up to {cfg.bands[1]}, above, cycles "
        "a pixel",
        "aliasing": "energy at |f_y| or |f_x| above 1/(2·stride of layer 1)",
        "random weights": f"{cfg.controls} networks of the same recipe, over the first "
        f"{CONTROL_IMAGES} images",
        "responses": f"of the first {cfg.response_images} images, at every pixel, without bias "
        "and ReLU",
        "filters": "drawn on one scale a panel",
    }


# The claims


CLAIMED = ("fig6/dominating", "fig6/dead", "fig6/aliasing")
ALONE = "twins that are trained otherwise, which a network of others does not have"


def findings(
    rows: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray],
    differences: Mapping[str, Sequence[str]],
    faint_share: float,
) -> list[Finding]:
    """The claims of Figure 6; a comparison of trainings that are not equal is not judged.

    differences: what the trainings of "without" and "coarse" differ in from that of "ours".
    """
    if not differences:
        return [judged(claim, why_not=ALONE) for claim in CLAIMED]
    first = {row["network"]: row for row in rows if row["layer"] == FIRST}
    same = np.array_equal(arrays["without/filters"], arrays["ours/filters"])
    idle = "no filter reached the limit and both networks are one" if same else ""
    apart = {
        role: f"the trainings differ in {', '.join(what)}" if what else ""
        for role, what in differences.items()
    }
    return [
        dominating(first, apart["without"] or idle),
        dead(first, faint_share, apart["coarse"]),
        aliasing(arrays, apart["coarse"]),
    ]


def dominating(first: Mapping[str, Mapping[str, Any]], why_not: str) -> Finding:
    """Whether a few filters dominate without renormalisation, and not with it."""
    share = {role: row["filters_of_half"] / row["maps"] for role, row in first.items()}
    holds = share["without"] <= FEW < share["ours"]
    return untested("fig6/dominating", why_not, share["without"], holds, with_it=share["ours"])


def dead(first: Mapping[str, Mapping[str, Any]], faint: float, why_not: str) -> Finding:
    """Whether the coarse first layer has the larger share of dead or faint filters."""
    share = {role: row["dead_or_faint"] / row["maps"] for role, row in first.items()}
    kind = {
        role: f"{first[role]['kernel']}×{first[role]['kernel']}, stride {first[role]['stride']}"
        for role in ("coarse", "ours")
    }
    more, some = share["coarse"] - share["ours"], share["coarse"] + share["ours"] > 0
    facts = {"faint": faint, "of_the_fine": share["ours"], "layers": kind}
    return untested("fig6/dead", why_not, more, more > 0 if some else None, **facts)


def aliasing(arrays: Mapping[str, np.ndarray], why_not: str) -> Finding:
    """Whether projections of layer 2 above the coarse layer hold more that its stride aliases."""
    both = [
        (arrays[f"{role}/{SECOND}/aliased"], arrays[f"{role}/random_aliased"])
        for role in ("coarse", "ours")
    ]
    if min(int((~np.isnan(shares)).sum()) for shares, _ in both) < 2:
        return untested("fig6/aliasing", "fewer than two maps are live", None, None)
    more, spread = excess_aliasing(*both)
    return untested("fig6/aliasing", why_not, more, more > spread, spread)


def untested(
    claim: str,
    why_not: str,
    value: float | None,
    holds: bool | None,
    spread: float | None = None,
    **facts: Any,
) -> Finding:
    """Make a finding, without a verdict if there is a reason why not, which is kept."""
    if why_not:
        return judged(claim, value, spread, holds=None, why_not=why_not, **facts)
    return judged(claim, value, spread, holds=holds, **facts)


# The page


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    facts, arrays = saved.facts, saved.arrays
    networks = {role: panel(saved, facts, role) for role in facts["networks"]}
    limit = facts["networks"]["ours"]["max_rms"]
    return figures.first_layers(networks, arrays["frequencies"], caption(facts), max_rms=limit)


def panel(saved: Saved, facts: dict[str, Any], role: str) -> figures.FirstLayers:
    """What the page needs of one network."""
    row = next(r for r in facts["rows"] if (r["network"], r["layer"]) == (role, FIRST))
    arrays, named = saved.arrays, facts.get("maps")
    counts = {layer: range(len(arrays[f"{role}/{layer}/rms"])) for layer in (FIRST, SECOND)}
    first, second = (saved_maps(saved, n, list(those), named) for n, those in counts.items())
    kernel, stride = row["kernel"], row["stride"]
    times = row["largest_rms"] / row["median_rms"] if row["median_rms"] else math.inf
    return figures.FirstLayers(
        f"{kernel}×{kernel} stride {stride}",
        stride,
        arrays[f"{role}/filters"][first],
        arrays[f"{role}/{FIRST}/rms"],
        arrays[f"{role}/projection"][second],
        arrays[f"{role}/inside"][second],
        {f"layer {n}": arrays[f"{role}/conv{n}/within"] for n in (1, 2)},
        f"{row['maps']} of {kernel}×{kernel} px, strongest {times:.1f}× median, "
        f"{row['dead']} dead, {row['faint']} faint",
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, networks = facts["data"], facts["networks"]
    rows = {(row["network"], row["layer"]): row for row in facts["rows"]}
    measured = [role for role in ("coarse", "ours") if role in networks]
    lost = [f"{100 * (rows[r, FIRST]['responses_aliased'] or 0):.0f} %" for r in measured]
    random = [f"{100 * (rows[r, SECOND]['random_aliased'] or 0):.0f} %" for r in measured]
    first, second = "(a) to (c)", "(d), (e)"
    kinds = "; (a) trained without the renormalisation of filters, (b) with a coarse first layer"
    words = f"{random[0]} for the coarse and {random[-1]} for the fine layer 1"
    answers = f"{lost[0]} in (b) and {lost[-1]} in (c)"
    if len(networks) == 1:
        first, second, kinds, words, answers = "(c)", "(e)", "", random[0], lost[0]
        second += f", {rows['ours', SECOND]['name']}"
    return (
        f"{first}: the filters of layer 1, one scale a panel, grey is zero{kinds}. {second}: of "
        f"each map of layer 2 the strongest activation over {data['images']} images of "
        f"{images_of(data)}, painted by the deconvnet with that image's switches and cut to the "
        "exact receptive field (hatched: outside the image); every picture has its own "
        "symmetric scale, a dash is a dead map. Dead: never above 0 on these images; faint: "
        f"{facts['choices']['faint']}. Spectra: the share of energy at frequencies up to f along "
        "both axes; what lies above the dot, the Nyquist frequency 1/(2·stride) of layer 1, is "
        f"aliased. In layer 2 of networks with random weights that is {words}; of layer 1's "
        f"responses to {facts['response_images']} images it is {answers}. "
        f"{describe_inequality(facts)}{describe_network(networks['ours'])}{no_rule(facts)} "
        f"{describe_others(networks)}Shared switches: {facts['choices']['collisions']}."
    )


LETTERS = {"without": "(a)", "coarse": "(b)"}


def describe_inequality(facts: dict[str, Any]) -> str:
    """A sentence about comparisons that are not between twins; empty if all are."""
    parts = [f"{LETTERS[r]} in {', '.join(what)}" for r, what in facts["unequal"].items() if what]
    return f"Trained otherwise than (c): {'; '.join(parts)}. " if parts else ""


def describe_others(networks: dict[str, Any]) -> str:
    """A sentence about the networks of (a) and (b)."""
    words = []
    for role, letter in LETTERS.items():
        if role not in networks:
            continue
        training, model = networks[role]["training"], networks[role]["model"]
        error = training["metrics"].get("val_top1_error")
        result = "" if error is None else f", {top1(error)}"
        words.append(f"{letter} {model['name']}, {training['epochs']} epochs{result}")
    return f"That is (c); {'; '.join(words)}. " if words else ""


SAVES = "arrays.npz table.csv findings.json"
main = experiment(FirstLayers, compute, draw, check, SAVES, layout="maps", number="fig6/dominating")

if __name__ == "__main__":
    main()
