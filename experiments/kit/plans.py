"""How `reproduce` runs each experiment: its need of a training, its overrides by size."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deconv.errors import DeconvError, unknown
from deconv.networks import ChainNet, Network, is_foreign
from experiments.kit.inputs import named_by_weights
from experiments.kit.steps import Step

OWN = ("run", "only", "skip", "resume", "minutes")
"""Settings of reproduce itself, which experiments do not have."""

NEEDS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "snapshot": ("snapshot={snapshot}",),
    "snapshots": ("snapshots=[{snapshot}]",),
    "ours": ("ours={snapshot}",),
    "run": ("run={run}",),
}
"""What an experiment needs of the training -> its arguments."""

TRAIN = "train"
LAYERS = ("layers=[conv", "svm=", "softmax=")
"""Settings of a size that name layers of this library's networks."""


@dataclass(frozen=True)
class Plan:
    """How an experiment is run.

    needs: a key of NEEDS. sizes: its own overrides at each size, which win over those of the
    command line. goes_on: pattern of the files from which resume=<its folder> can continue.
    epoch: of the snapshot that it gets at a size, if the run has it; else the newest.
    draws: whether it draws a figure, so that figure.… are settings of its own. data: the data sets
    that it can look at; (): all. not_for: why it does not apply to a network of others that
    model.weights names; chains: whether it does to chains of layers alone.
    """

    needs: str = "snapshot"
    sizes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    goes_on: str = ""
    epoch: Mapping[str, int] = field(default_factory=dict)
    draws: bool = True
    data: Sequence[str] = ()
    not_for: str = ""
    chains: bool = False

    def why_not(self, data: str, net: Network | None) -> str:
        """Why it does not apply to a data set, or to a network of others; empty where it does."""
        if net is not None and self.not_for:
            return self.not_for
        if net is not None and self.chains and not isinstance(net, ChainNet):
            return f"it draws a chain of layers, and {net.name} is none"
        if self.data and data not in self.data:
            return f"it looks at data={' or '.join(self.data)} alone"
        return ""


OWN_TRAININGS = "it trains this library's networks"
SMALL_GRID = ",".join(f"{layer}:[1,2]" for layer in (*(f"conv{n}" for n in range(1, 6)), "other"))
PLANS = {
    TRAIN: Plan(
        "nothing",
        {"smoke": ["pictures=none"]},
        goes_on="epoch_*.pt",
        draws=False,
        not_for="the network is trained",
    ),
    "fig1_deconvnet": Plan(chains=True),
    "fig2_top_activations": Plan(sizes={"smoke": [f"grid={{{SMALL_GRID}}}"]}),
    "fig3_architecture": Plan("nothing", chains=True),
    "fig4_feature_evolution": Plan(
        "run",
        {"smoke": ["epochs=[0,1,2]", "maps_each=2"]},
        not_for="it shows the snapshots of a training, run=",
    ),
    "fig5_invariance": Plan(),
    # The networks that it trains itself see 10 epochs, so ours is of epoch 10 too.
    "fig6_first_layers": Plan("ours", {"laptop": ["epochs=10"]}, epoch={"laptop": 10}),
    "contrast_normalisation": Plan("nothing", {"smoke": ["epochs=1"]}, not_for=OWN_TRAININGS),
    "fig7_occlusion": Plan(),
    "feature_maps": Plan(sizes={"smoke": ["maps_each=4"]}),
    "one_unit": Plan(sizes={"laptop": ["starts=4", "steps=100"], "smoke": ["k=4"]}),
    "sanity": Plan(sizes={"smoke": ["layers=[conv1,conv4]"]}),
    "filters": Plan(),
    "truth_projections": Plan(
        sizes={
            "paper": ["data=scenes"],
            "laptop": ["data=scenes"],
            "smoke": [
                "data=scenes_smoke",
                "layers=[conv1,conv5]",
                "maps_each=4",
                "k=3",
                "examples=2",
            ],
        }
    ),
    "adaptive_deconv": Plan("nothing", not_for="it has a network of its own"),
    "table1_correspondence": Plan(data=("scenes",)),
    "table2_imagenet": Plan("snapshots", draws=False),
    "table3_ablation": Plan(
        "nothing", {"smoke": ["rows=[no 7]"]}, goes_on="config.yaml", not_for=OWN_TRAININGS
    ),
    "table4_caltech101": Plan(sizes={"smoke": ["folds=2", "c=[1]"]}),
    "table5_caltech256": Plan(sizes={"smoke": ["folds=2", "c=[1]"]}),
    "table6_pascal": Plan(draws=False, data=("voc2012", "scenes")),
    "table7_layer_probes": Plan(
        sizes={"smoke": ["folds=2", "c=[1]", "svm=[1,5,7]", "softmax=[7]"]}
    ),
    "atlas": Plan(sizes={"smoke": ["layers=[1]"]}, goes_on="config.yaml", draws=False),
}
"""The experiments in the order in which they run."""


def stems_of(names: Sequence[str]) -> list[str]:
    """The stems that names stand for, in full or up to an underscore: fig2, table1."""
    found = []
    for name in names:
        own = [stem for stem in PLANS if stem == name or stem.startswith(f"{name}_")]
        if not own:
            raise unknown("experiment", name, [*PLANS, *(s.partition("_")[0] for s in PLANS)])
        found += own
    return found


def needs_network(stems: Sequence[str]) -> bool:
    """Whether one of the stems needs a trained network."""
    return any(PLANS[stem].needs != "nothing" for stem in stems)


def snapshot_of(run: Path, epoch: int | None = None) -> Path:
    """The snapshot of an epoch of a training's folder if it is there, else the newest."""
    if epoch is not None and (path := run / f"epoch_{epoch:03d}.pt").is_file():
        return path.resolve()
    last = run / "last.pt"
    if not last.is_file():
        raise DeconvError(f"{run} holds no last.pt: run takes the folder of a training")
    return last.resolve()


def step_of(cfg: Any, stem: str, asked: Mapping[str, str], run: Path | None) -> Step:
    """One experiment as a command. run: None where it trains itself, or model.weights names one."""
    plan = PLANS[stem]
    names, inputs = {}, {}
    own, needs = plan.sizes.get(cfg.size_name, ()), NEEDS[plan.needs]
    if is_foreign(cfg.model.name):
        own = [one for one in own if not one.startswith(LAYERS)]
    if named_by_weights(cfg) and run is None:
        needs = ()
        if Path(cfg.model.weights or "").is_file():
            inputs = {Path(cfg.model.weights).name: file_hash(Path(cfg.model.weights))}
    if run is not None and plan.needs != "nothing":
        snapshot = snapshot_of(run, plan.epoch.get(cfg.size_name))
        names = {"run": quote(str(run)), "snapshot": quote(str(snapshot))}
        inputs = {snapshot.name: file_hash(snapshot)}
    if not plan.draws:
        asked = {key: value for key, value in asked.items() if not key.startswith("figure.")}
    arguments = [
        *experiment_overrides(cfg, asked, own),
        *(text.format(**names) for text in needs),
    ]

    def place(where: Path, again: bool) -> list[str]:
        return [f"{'resume' if again else 'hydra.run.dir'}={quote(str(where))}"]

    return Step(stem, ("-m", f"experiments.{stem}", *arguments), place, inputs, plan.goes_on)


def experiment_overrides(cfg: Any, asked: Mapping[str, str], own: Sequence[str]) -> list[str]:
    """The overrides of an experiment: the size, then those asked for, then its own.

    Where its own choose a group (data=scenes), those asked for within that group are dropped.
    """
    mine = {key: value for key, _, value in (text.partition("=") for text in own)}
    groups = {"model", "data", "train"} & mine.keys()
    general = {
        key: value
        for key, value in asked.items()
        if key.lstrip("+~").partition(".")[0] not in {*OWN, "size", *groups}
    }
    return [f"{k}={v}" for k, v in ({"size": cfg.size_name} | general | mine).items()]


def quote(text: str) -> str:
    """Quote a value for Hydra where it holds special characters."""
    if re.fullmatch(r"[\w./@-]+", text, re.ASCII):
        return text
    escaped = text.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"'{escaped}'"


def file_hash(path: Path) -> str:
    """The first sixteen hex digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()[:16]
