"""All figures and tables from one network, each in a process of its own, and the ledger.

    python -m experiments.reproduce size=laptop
    python -m experiments.reproduce size=paper run=<run> data.root=<folder>
    python -m experiments.reproduce size=laptop 'only=[fig2,table1]'
    python -m experiments.reproduce resume=outputs/reproduce/<folder>

Without run= the network of the size is trained first (not at size=paper). One experiment that
fails does not stop the others; its error is kept and told. What finished with the same settings
and the same network is not run again by resume=, a training goes on from its newest snapshot.
Settings of data, model, train, seed and device on the command line go on to every experiment.

Cost: laptop minutes on 2 CPU cores, training included; paper: needs run=.

Writes <stem>/ for each experiment, logs/<stem>.txt, reproduce.json (what ran and how it ended),
ledger.md and ledger.csv (the paper's numbers beside ours) and index.html, which shows all of it.
Exit status 0: all ran, or lack a data set that is not on this machine; 1: some failed; 2: bad
input; 75: stopped by a signal, go on with resume=.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from deconv import distributed
from deconv.errors import DeconvError, Interrupted, unknown
from deconv.training import lock_folder
from deconv.training.snapshots import load_snapshot
from experiments.kit import Command, Settings, compose, ledger, log
from experiments.kit.command import settings_of
from experiments.kit.index_page import Section, index_page
from experiments.kit.provenance import overrides, write_table
from experiments.kit.steps import (
    DONE,
    FAILED,
    NO_DATA,
    Outcome,
    State,
    Step,
    last_line,
    log_path,
    read_state,
    run_steps,
    write_state,
)

EXIT_SOME_FAILED = 1
OWN = ("run", "only", "skip", "resume")
"""Settings that do not go on to the experiments."""

NEEDS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "snapshot": ("snapshot={snapshot}",),
    "snapshots": ("snapshots=[{snapshot}]",),
    "ours": ("ours={snapshot}",),
    "run": ("run={run}",),
}
"""What an experiment needs of the network -> how it is told."""

TRAIN = "train"


@dataclass(frozen=True)
class Plan:
    """How an experiment is run.

    needs: of the network, a key of NEEDS. sizes: its own overrides at each size, which win over
    those of the command line. goes_on: the files from which it can go on with resume=<its folder>.
    epoch: of the snapshot that it gets at a size, if the run has it; else the newest.
    """

    needs: str = "snapshot"
    sizes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    goes_on: str = ""
    epoch: Mapping[str, int] = field(default_factory=dict)


SMALL_GRID = ",".join(f"{layer}:[1,2]" for layer in (*(f"conv{n}" for n in range(1, 6)), "other"))
PLANS = {
    TRAIN: Plan("nothing", {"smoke": ["pictures=none"]}, goes_on="epoch_*.pt"),
    "fig1_deconvnet": Plan(),
    "fig2_top_activations": Plan(sizes={"smoke": [f"grid={{{SMALL_GRID}}}"]}),
    "fig3_architecture": Plan("nothing"),
    "fig4_feature_evolution": Plan("run", {"smoke": ["epochs=[0,1,2]", "maps=2"]}),
    "fig5_invariance": Plan(),
    # The networks that it trains itself see 10 epochs, so the one beside them is of epoch 10 too.
    "fig6_first_layers": Plan("ours", {"laptop": ["epochs=10"]}, epoch={"laptop": 10}),
    "contrast_normalisation": Plan("nothing", {"smoke": ["epochs=1"]}),
    "fig7_occlusion": Plan(),
    "feature_maps": Plan(sizes={"smoke": ["maps=4"]}),
    "one_unit": Plan(sizes={"laptop": ["starts=4", "steps=100"], "smoke": ["k=4"]}),
    "sanity": Plan(sizes={"smoke": ["layers=[conv1,conv4]"]}),
    "filters": Plan(),
    "truth_projections": Plan(
        sizes={
            "paper": ["data=scenes"],
            "laptop": ["data=scenes"],
            "smoke": ["data=scenes_smoke", "layers=[conv1,conv5]", "maps=4", "k=3", "examples=2"],
        }
    ),
    "adaptive_deconv": Plan("nothing"),
    "table1_correspondence": Plan(),
    "table2_imagenet": Plan("snapshots"),
    "table3_ablation": Plan("nothing", {"smoke": ["rows=[no 7]"]}, goes_on="config.yaml"),
    "table4_caltech101": Plan(sizes={"smoke": ["folds=2", "c=[1]"]}),
    "table5_caltech256": Plan(sizes={"smoke": ["folds=2", "c=[1]"]}),
    "table6_pascal": Plan(),
    "table7_layer_probes": Plan(
        sizes={"smoke": ["folds=2", "c=[1]", "svm=[1,5,7]", "softmax=[7]"]}
    ),
}
"""The experiments in the order in which they run."""


@dataclass
class Reproduce(Settings):
    run: str = ""  # folder of a training; empty: train cfg.model first (not at size=paper)
    only: list[str] = field(default_factory=list)  # e.g. [fig2,table1]; names may be shortened
    skip: list[str] = field(default_factory=list)  # all but these
    resume: str | None = None  # folder of an earlier reproduce: run what did not finish


def run(_: DictConfig, cfg: Reproduce, folder: Path) -> None:
    """Run what is wanted and not finished, write the ledger, tell what failed."""
    if distributed.ranks() > 1:
        raise DeconvError("reproduce runs as one process: train under torchrun, then give run=")
    with lock_folder(folder):
        cfg, asked, state = settings(cfg, folder)
        stems = chosen(cfg)
        network = check_run(cfg, stems)
        if network is None and TRAIN not in stems and needs_network(stems):
            stems = [TRAIN, *stems]
        elif network is not None:
            stems = [stem for stem in stems if stem != TRAIN]
        write_state(folder, state)
        finished = work(cfg, folder, stems, asked, network, state)
        account(cfg, folder, state)
    if not finished:
        raise Interrupted(
            f"stopped; go on with python -m experiments.reproduce resume={quoted(str(folder))}"
        )
    tell(folder, stems, state)


def settings(cfg: Reproduce, folder: Path) -> tuple[Reproduce, dict[str, str], State]:
    """The settings, the overrides that they come from by key, and the state of the folder.

    With resume, the overrides that the folder began with, those of this command line over them.
    """
    now = {key: value for key, _, value in (text.partition("=") for text in overrides())}
    now = {key: value for key, value in now.items() if not key.startswith(("hydra.", "hydra/"))}
    if not now.pop("resume", None):
        return cfg, now, State({"overrides": now})
    state = read_state(folder)
    asked = state.settings["overrides"] | now
    state.settings["overrides"] = asked
    again = compose("reproduce", [f"{key}={value}" for key, value in asked.items()])
    return settings_of(again), asked, state


def chosen(cfg: Reproduce) -> list[str]:
    """The stems that only and skip leave, in the order of PLANS."""
    only, skip = named(cfg.only), named(cfg.skip)
    wanted = [stem for stem in PLANS if (not only or stem in only) and stem not in skip]
    if not only and TRAIN not in skip and not needs_network(wanted):
        wanted.remove(TRAIN)
    if wanted:
        return wanted
    raise DeconvError("only and skip leave no experiment to run")


def named(names: Sequence[str]) -> list[str]:
    """The stems of a list, whose names may be in full or how they begin."""
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


def check_run(cfg: Reproduce, stems: Sequence[str]) -> Path | None:
    """The training that cfg.run names, None if one is to be trained; before anything long.

    Raises DeconvError where there is no network and none can be trained.
    """
    if cfg.run:
        snapshot_of(Path(cfg.run))  # refuses a folder without one
        snapshot = load_snapshot(Path(cfg.run) / "last.pt")
        trained, name = snapshot.config.get("data"), snapshot.recipe["name"]
        if trained and trained != cfg.data.name:
            log(
                f"note: the network was trained on {trained}, figures are computed on "
                f"{cfg.data.name}; data={trained} data.root=… chooses its own"
            )
        if name != cfg.model.name:
            log(
                f"note: the network is {name}, what is trained beside it {cfg.model.name}; "
                f"model={name} makes them alike"
            )
        return Path(cfg.run).resolve()
    if needs_network(stems):
        if cfg.size_name == "paper":
            raise DeconvError(
                "size=paper needs a training: run python -m experiments.train size=paper first, "
                "then name its folder: run=<folder>"
            )
        if TRAIN in named(cfg.skip):
            raise DeconvError("skip=[train] needs a trained network: name its folder, run=<folder>")
    return None


def snapshot_of(run: Path, epoch: int | None = None) -> Path:
    """The snapshot of an epoch of a training's folder if it is there, else the newest."""
    if epoch is not None and (path := run / f"epoch_{epoch:03d}.pt").is_file():
        return path.resolve()
    last = run / "last.pt"
    if not last.is_file():
        raise DeconvError(f"{run} holds no last.pt: run takes the folder of a training")
    return last.resolve()


def work(
    cfg: Reproduce,
    folder: Path,
    stems: Sequence[str],
    asked: Mapping[str, str],
    run: Path | None,
    state: State,
) -> bool:
    """Run the stems in order; False if a signal stopped them. Updates `state`."""
    with Progress(folder, len(stems)) as progress:
        show = progress.show
        if TRAIN in stems:
            if not run_steps([step_of(cfg, TRAIN, asked, None)], folder, state, show):
                return False
            if state.outcomes[TRAIN].status == DONE:
                run = (folder / TRAIN).resolve()
        steps = []
        for stem in stems:
            if stem == TRAIN:
                continue
            if run is None and PLANS[stem].needs != "nothing":
                outcome = Outcome([], {}, FAILED, error="the training failed")
                state.outcomes[stem] = outcome
                progress.show("end", Step(stem, (), lambda place, again: []), outcome)
            else:
                steps.append(step_of(cfg, stem, asked, run))
        return run_steps(steps, folder, state, show)


def step_of(cfg: Reproduce, stem: str, asked: Mapping[str, str], run: Path | None) -> Step:
    """One experiment as a command."""
    plan = PLANS[stem]
    names = {}
    inputs = {}
    if run is not None and plan.needs != "nothing":
        snapshot = snapshot_of(run, plan.epoch.get(cfg.size_name))
        names = {"run": quoted(str(run)), "snapshot": quoted(str(snapshot))}
        inputs = {snapshot.name: file_hash(snapshot)}
    own = plan.sizes.get(cfg.size_name, ())
    arguments = [*passed_on(cfg, asked, own), *(text.format(**names) for text in NEEDS[plan.needs])]

    def place(where: Path, again: bool) -> list[str]:
        return [f"{'resume' if again else 'hydra.run.dir'}={quoted(str(where))}"]

    return Step(stem, ("-m", f"experiments.{stem}", *arguments), place, inputs, plan.goes_on)


def passed_on(cfg: Reproduce, asked: Mapping[str, str], own: Sequence[str]) -> list[str]:
    """The overrides of an experiment: the size, what was asked for, and over it its own.

    Where its own choose a group (data=scenes), what was asked for within that group has no place.
    """
    mine = {key: value for key, _, value in (text.partition("=") for text in own)}
    groups = {"model", "data", "train"} & mine.keys()
    general = {
        key: value
        for key, value in asked.items()
        if key.lstrip("+~").partition(".")[0] not in {*OWN, "size", *groups}
    }
    return [f"{k}={v}" for k, v in ({"size": cfg.size_name} | general | mine).items()]


def quoted(text: str) -> str:
    """A value as Hydra reads it, in quotes if it holds what Hydra gives a meaning to."""
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


class Progress:
    """What is running: a bar on a terminal, a line an experiment elsewhere."""

    def __init__(self, folder: Path, total: int) -> None:
        self.folder, self.total, self.count = folder, total, 0
        self.bar = tqdm(total=total, unit="experiment") if sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, what: str, step: Step, outcome: Outcome) -> None:
        """Called by `run_steps`."""
        if what == "tick":
            if self.bar is not None:
                said = last_line(log_path(self.folder, step.name))
                self.bar.set_postfix_str(said[:60])
        elif what == "start":
            self.count += 1
            if self.bar is not None:
                self.bar.set_description(step.name)
            else:
                print(f"{self._head(step)} … ", end="", flush=True)
        elif what == "end" and step.arguments:
            self._end(step, f"{ended(outcome)}", begun=True)
        else:
            self.count += 1
            before = "finished before, " if what == "kept" else ""
            self._end(step, before + ended(outcome), begun=False)

    def _head(self, step: Step) -> str:
        return f"[{self.count}/{self.total}] {step.name}"

    def _end(self, step: Step, words: str, begun: bool) -> None:
        if self.bar is not None:
            tqdm.write(f"{self._head(step)} … {words}")
            self.bar.set_postfix_str("")
            self.bar.update()
        else:
            print(words if begun else f"{self._head(step)} … {words}", flush=True)


def ended(outcome: Outcome) -> str:
    """How an experiment ended, as a line."""
    time = f"{outcome.seconds:.0f} s"
    if outcome.status == DONE:
        return f"done in {time}"
    after = f" after {time}" if outcome.seconds else ""
    return f"{outcome.status}{after}" + (f": {outcome.error}" if outcome.error else "")


def account(cfg: Reproduce, folder: Path, state: State) -> None:
    """Write ledger.md, ledger.csv, ledger.json and index.html from the experiments' folders.

    Experiments that an earlier run of the same folder finished are in it too.
    """
    outcomes = {s: asdict(state.outcomes[s]) for s in PLANS if s in state.outcomes}
    kept = ledger.collect(folder, outcomes, cfg.size_name)
    ledger.write(folder / ledger.FILE, kept)
    pictures = {stem: found for stem in outcomes if (found := picture(folder, stem))}
    (folder / "ledger.md").write_text(ledger.markdown(kept, pictures))
    write_table(folder / "ledger.csv", ledger.rows(kept))
    sections = [
        Section(stem, ended(state.outcomes[stem]), pictures.get(stem), files(folder, stem))
        for stem in outcomes
    ]
    lines = [
        (
            one.place,
            one.claim,
            one.paper,
            one.here,
            ledger.target_or_not(one),
            one.measured_on,
            one.experiment,
        )
        for one in ledger.lines(kept)
    ]
    head = ("place", "claim", "paper", "here", "status", ledger.DATA_HEAD, "experiment")
    without = ledger.grouped(ledger.unmeasured([kept]))
    title = f"The paper and this reproduction, size {cfg.size_name}"
    about = [ledger.network(kept), ledger.HOW.replace("*", "")]
    page = index_page(title, about, head, lines, ledger.rules(kept), without, sections)
    (folder / "index.html").write_text(page, encoding="utf-8")


def picture(folder: Path, stem: str) -> str | None:
    """The figure of an experiment, as a path from `folder`; None if it draws none."""
    path = folder / stem / "figure.png"
    return path.relative_to(folder).as_posix() if path.is_file() else None


def files(folder: Path, stem: str) -> list[str]:
    """What an experiment wrote for people to read, and its log."""
    kinds = {".png", ".pdf", ".gif", ".csv", ".json", ".yaml", ".md"}
    found = [p for p in sorted((folder / stem).glob("*")) if p.suffix in kinds]
    log_file = log_path(folder, stem)
    found += [log_file] if log_file.is_file() else []
    return [path.relative_to(folder).as_posix() for path in found]


def tell(folder: Path, stems: Sequence[str], state: State) -> None:
    """The last lines; ends the command with EXIT_SOME_FAILED if an experiment failed."""
    by_status: dict[str, list[str]] = {}
    for stem in stems:
        by_status.setdefault(state.outcomes[stem].status, []).append(stem)
    log(f"{len(by_status.get(DONE, []))} of {len(stems)} done")
    for status in (NO_DATA, FAILED):
        if status in by_status:
            log(f"{status}: {', '.join(by_status[status])} (see logs/)")
    log(f"ledger: {folder / 'ledger.md'}")
    log(f"figures: {folder / 'index.html'}")
    if FAILED in by_status:
        print(folder, flush=True)
        sys.exit(EXIT_SOME_FAILED)


main = Command(run, Reproduce)

if __name__ == "__main__":
    main()
