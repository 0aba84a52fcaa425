"""All figures and tables from one network, each in a process of its own, and the ledger.

    python -m experiments.reproduce size=laptop
    python -m experiments.reproduce size=paper run=<run> data.root=<folder>
    python -m experiments.reproduce size=laptop 'only=[fig2,table1]'
    python -m experiments.reproduce resume=outputs/reproduce/<folder>

Without run= the network of the size is trained first (not at size=paper). One experiment that
fails does not stop the others; its error is kept and told. What finished with the same settings
and the same network is not run again by resume=, a training goes on from its newest snapshot.
Settings of data, model, train, seed and device on the command line go on to every experiment.

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
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf
from tqdm import tqdm

from deconv import distributed
from deconv.errors import DeconvError, Interrupted, unknown
from deconv.training import held
from deconv.training.snapshots import load_snapshot
from experiments.kit import ledger
from experiments.kit.command import CONF, compose, experiment
from experiments.kit.index_page import Section, index_page
from experiments.kit.inputs import log
from experiments.kit.provenance import write_table
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
OWN = ("run", "only", "skip", "resume", "steps")
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


@experiment("reproduce")
def main(cfg: DictConfig, folder: Path) -> None:
    """Run what is wanted and not finished, write the ledger, tell what failed."""
    if distributed.ranks() > 1:
        raise DeconvError("reproduce runs as one process: train under torchrun, then give run=")
    with held(folder):
        cfg, asked, state = settings(cfg, folder)
        stems = chosen(cfg)
        run = check_run(cfg, stems)
        if run is None and TRAIN not in stems and needs_network(cfg, stems):
            stems = [TRAIN, *stems]
        elif run is not None:
            stems = [stem for stem in stems if stem != TRAIN]
        write_state(folder, state)
        finished = work(cfg, folder, stems, asked, run, state)
        account(cfg, folder, stems, state)
    if not finished:
        raise Interrupted(
            f"stopped; go on with python -m experiments.reproduce resume={quoted(str(folder))}"
        )
    tell(folder, stems, state)


def settings(cfg: DictConfig, folder: Path) -> tuple[DictConfig, dict[str, str], State]:
    """The configuration, the overrides that it comes from by key, and the state of the folder.

    With resume, the overrides that the folder began with, those of this command line over them.
    """
    arguments = [a for a in sys.argv[1:] if not a.startswith("-")]
    now = {key: value for key, _, value in (a.partition("=") for a in arguments)}
    now = {k: v for k, v in now.items() if not k.startswith(("hydra.", "hydra/"))}
    if not now.pop("resume", None):
        return cfg, now, State({"overrides": now})
    state = read_state(folder)
    asked = state.settings["overrides"] | now
    state.settings["overrides"] = asked
    return compose("reproduce", [f"{key}={value}" for key, value in asked.items()]), asked, state


def chosen(cfg: DictConfig) -> list[str]:
    """The stems that only and skip leave, in the order of cfg.steps, as far as they are here."""
    stems = [str(stem) for stem in cfg.steps]
    for stem in stems:
        step = cfg.steps[stem]
        if not isinstance(step, DictConfig) or step.get("needs") not in NEEDS:
            raise unknown(f"value of steps.{stem}.needs", OmegaConf.select(step, "needs"), NEEDS)
    only, skip = (_named(cfg, key, stems) for key in ("only", "skip"))
    wanted = [stem for stem in stems if (not only or stem in only) and stem not in skip]
    if not only and not any(TRAIN in named for named in (only, skip)):
        wanted = [stem for stem in wanted if stem != TRAIN or needs_network(cfg, wanted)]
    absent = [stem for stem in wanted if not (CONF.parent / "experiments" / f"{stem}.py").is_file()]
    if named := [stem for stem in absent if stem in only]:
        raise DeconvError(f"there is no experiments/{named[0]}.py")
    if absent:
        log(f"not in this checkout: {', '.join(absent)}")
    if left := [stem for stem in wanted if stem not in absent]:
        return left
    raise DeconvError("only and skip leave no experiment to run")


def _named(cfg: DictConfig, key: str, stems: Sequence[str]) -> list[str]:
    """The stems that a list of the configuration names, in full or by how they begin."""
    if not isinstance(cfg[key], ListConfig):
        raise DeconvError(f"{key} takes a list such as [fig2,table1], got {cfg[key]}")
    named = []
    for name in map(str, cfg[key]):
        found = [stem for stem in stems if stem == name or stem.startswith(f"{name}_")]
        if not found:
            raise unknown("experiment", name, [*stems, *(s.partition("_")[0] for s in stems)])
        named += found
    return named


def needs_network(cfg: DictConfig, stems: Sequence[str]) -> bool:
    """Whether one of the stems needs a trained network."""
    return any(cfg.steps[stem].needs != "nothing" for stem in stems)


def check_run(cfg: DictConfig, stems: Sequence[str]) -> Path | None:
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
    if needs_network(cfg, stems):
        if cfg.size_name == "paper":
            raise DeconvError(
                "size=paper needs a training: run python -m experiments.train size=paper first, "
                "then name its folder: run=<folder>"
            )
        if TRAIN in _named(cfg, "skip", list(cfg.steps)):
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
    cfg: DictConfig,
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
            if run is None and cfg.steps[stem].needs != "nothing":
                outcome = Outcome([], {}, FAILED, error="the training failed")
                state.outcomes[stem] = outcome
                progress.show("end", Step(stem, (), lambda place, again: []), outcome)
            else:
                steps.append(step_of(cfg, stem, asked, run))
        return run_steps(steps, folder, state, show)


def step_of(cfg: DictConfig, stem: str, asked: Mapping[str, str], run: Path | None) -> Step:
    """One experiment as a command."""
    step = cfg.steps[stem]
    names = {}
    inputs = {}
    if step.needs != "nothing":
        snapshot = snapshot_of(run, (step.get("epoch") or {}).get(cfg.size_name))
        names = {"run": quoted(str(run)), "snapshot": quoted(str(snapshot))}
        inputs = {snapshot.name: file_hash(snapshot)}
    own = list(step.get("sizes", {}).get(cfg.size_name) or [])
    arguments = [*passed_on(cfg, asked, own), *(text.format(**names) for text in NEEDS[step.needs])]

    def place(where: Path, again: bool) -> list[str]:
        return [f"{'resume' if again else 'hydra.run.dir'}={quoted(str(where))}"]

    return Step(
        stem, ("-m", f"experiments.{stem}", *arguments), place, inputs, step.get("goes_on", "")
    )


def passed_on(cfg: DictConfig, asked: Mapping[str, str], own: Sequence[str]) -> list[str]:
    """The overrides of an experiment: the size, what was asked for, and over it its own.

    Where its own choose a group (data=scenes), what was asked for within that group has no place.
    """
    mine = {key: value for key, _, value in (text.partition("=") for text in own)}
    groups = {key for key in mine if (CONF / key).is_dir()}
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


def account(cfg: DictConfig, folder: Path, stems: Sequence[str], state: State) -> None:
    """Write ledger.md, ledger.csv, ledger.json and index.html from the folders of the stems.

    Experiments that an earlier run of the same folder finished are in it too.
    """
    outcomes = {stem: asdict(one) for stem, one in state.outcomes.items() if stem in cfg.steps}
    outcomes = {stem: outcomes[stem] for stem in map(str, cfg.steps) if stem in outcomes}
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


if __name__ == "__main__":
    main()
