r"""All figures and tables from one network, each in a process of its own, and the results.

    python -m experiments.reproduce size=laptop
    python -m experiments.reproduce size=paper run=<run> data.root=<folder>
    python -m experiments.reproduce size=laptop 'only=[fig2,table1]'
    python -m experiments.reproduce model=torchvision/squeezenet1_0 model.weights=DEFAULT \
        data=imagefolder data.root=<photographs>
    python -m experiments.reproduce resume=outputs/reproduce/<folder>

Without run= the network of the size is trained first (not at size=paper), but for a network of
others whose weights model.weights names: then what does not apply to it is left out, and says why.
An experiment that fails
does not stop the others; its error is reported. resume= skips what finished with the same settings
and network, and resumes a training from its newest snapshot. Overrides of data, model, train, seed
and device apply to every experiment, those of figure to all that draw.

Cost: laptop minutes on 2 CPU cores, training included; paper: needs run=.

Writes <stem>/ for each experiment, logs/<stem>.txt, reproduce.json (what ran and how it ended),
index.html (all figures, and the results in one table), results.md (each claim of the paper
beside what was found).
Exit status 0: all ran, or lack a data set that is not on this machine; 1: some failed; 2: bad
input; 75: stopped by a signal, continue with resume=.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig

from deconv import distributed
from deconv.errors import DeconvError, Interrupted
from deconv.figures import Look
from deconv.training import lock_folder
from deconv.training.snapshots import load_snapshot
from experiments.kit import Command, Settings, compose, kept, log
from experiments.kit.budget import Budget, usual_seconds
from experiments.kit.command import settings_of
from experiments.kit.index_page import Section, index_page
from experiments.kit.inputs import named_by_weights, weights_snapshot
from experiments.kit.plans import (
    PLANS,
    TRAIN,
    needs_network,
    quote,
    snapshot_of,
    stems_of,
    step_of,
)
from experiments.kit.printed import bullets, literal
from experiments.kit.progress import Progress, outcome_words
from experiments.kit.provenance import overrides, write_text
from experiments.kit.results_page import READING, results, short_table
from experiments.kit.steps import (
    DOES_NOT_APPLY,
    DONE,
    FAILED,
    LEFT_OUT,
    NO_DATA,
    STOPPED,
    Outcome,
    State,
    Step,
    log_path,
    read_state,
    run_steps,
    write_state,
)

EXIT_SOME_FAILED = 1


@dataclass
class Reproduce(Settings):
    run: str = ""  # folder of a training; empty: train cfg.model first (not at size=paper)
    only: list[str] = field(default_factory=list)  # e.g. [fig2,table1]; names may be shortened
    skip: list[str] = field(default_factory=list)  # all but these
    resume: str | None = None  # folder of an earlier reproduce: run what did not finish
    minutes: float | None = None  # about how long it may take; what would be longer is left out
    figure: Look = field(default_factory=Look)  # how all figures look

    def __post_init__(self) -> None:
        Budget(self.minutes)


def run(_: DictConfig, cfg: Reproduce, folder: Path) -> None:
    """Run the experiments that are not finished, write the results, report failures."""
    if distributed.ranks() > 1:
        raise DeconvError("reproduce runs as one process: train under torchrun, then give run=")
    with lock_folder(folder):
        cfg, asked, state = settings(cfg, folder)
        stems = chosen(cfg)
        network = check_run(cfg, stems)
        named = named_by_weights(cfg) and network is None
        if named:
            stems = [stem for stem in stems if stem != TRAIN]
        elif network is None and TRAIN not in stems and needs_network(stems):
            stems = [TRAIN, *stems]
        elif network is not None:
            stems = [stem for stem in stems if stem != TRAIN]
        write_state(folder, state)
        finished = work(cfg, folder, stems, asked, network, state)
        account(cfg, folder, state)
    if not finished:
        raise Interrupted(
            f"stopped; go on with python -m experiments.reproduce resume={quote(str(folder))}"
        )
    report(folder, stems, state)


def settings(cfg: Reproduce, folder: Path) -> tuple[Reproduce, dict[str, str], State]:
    """The settings, the overrides that they come from by key, and the state of the folder.

    With resume: the overrides that the folder began with, updated by this command line's.
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
    only, skip = stems_of(cfg.only), stems_of(cfg.skip)
    wanted = [stem for stem in PLANS if (not only or stem in only) and stem not in skip]
    if not only and TRAIN not in skip and not needs_network(wanted):
        wanted.remove(TRAIN)
    if wanted:
        return wanted
    raise DeconvError("only and skip leave no experiment to run")


def check_run(cfg: Reproduce, stems: Sequence[str]) -> Path | None:
    """The training that cfg.run names, None if one is to be trained.

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
    if needs_network(stems) and not named_by_weights(cfg):
        if cfg.size_name == "paper":
            raise DeconvError(
                "size=paper needs a training: run python -m experiments.train size=paper first, "
                "then name its folder: run=<folder>"
            )
        if TRAIN in stems_of(cfg.skip):
            raise DeconvError("skip=[train] needs a trained network: name its folder, run=<folder>")
    return None


def work(
    cfg: Reproduce,
    folder: Path,
    stems: Sequence[str],
    asked: Mapping[str, str],
    run: Path | None,
    state: State,
) -> bool:
    """Run the stems in order; False if a signal stopped them. Updates `state`."""
    budget = Budget(cfg.minutes, usual_seconds(cfg.size_name) if cfg.minutes else {})
    with Progress(folder, len(stems), budget.expected_s) as progress:
        show, others = progress.show, [stem for stem in stems if stem != TRAIN]
        if TRAIN in stems:
            stop_s = budget.share_s(TRAIN, others)
            train = step_of(cfg, TRAIN, asked, None)
            if not run_steps([train], folder, state, show, stop_s=stop_s):
                return False
            outcome = state.outcomes[TRAIN]
            if outcome.status == DONE:
                budget.learn(TRAIN, outcome.seconds)
            elif outcome.status == STOPPED and budget.minutes:
                share = load_snapshot(folder / TRAIN / "last.pt").epoch / cfg.train.epochs
                budget.learn(TRAIN, outcome.seconds, share)
                progress.say(
                    f"the training was stopped to keep to minutes={cfg.minutes:g}, with "
                    f"{share:.0%} of its epochs: figures are of that network"
                )
            if outcome.status == DONE or (outcome.status == STOPPED and budget.minutes):
                run = (folder / TRAIN).resolve()
        steps, named = [], named_by_weights(cfg) and run is None
        net = weights_snapshot(cfg).network() if named else None
        for stem in others:
            plan, outcome = PLANS[stem], None
            if why_not := plan.why_not(cfg.data.name, net):
                outcome = Outcome([], {}, DOES_NOT_APPLY, error=why_not)
            elif run is None and not named and plan.needs != "nothing":
                outcome = Outcome([], {}, FAILED, error="the training failed")
            elif run and plan.needs == "run" and len([*run.glob("epoch_???.pt")]) < 2:
                outcome = Outcome([], {}, LEFT_OUT, error="the training left fewer than 2 epochs")
            if outcome is None:
                steps.append(step_of(cfg, stem, asked, run))
                continue
            state.outcomes[stem] = outcome
            progress.show("end", Step(stem, (), lambda place, again: []), outcome)
        return run_steps(steps, folder, state, show, budget)


def account(cfg: Reproduce, folder: Path, state: State) -> None:
    """Write results.md and index.html from the experiments' folders.

    Experiments that an earlier run of the same folder finished are in it too.
    """
    ended = {stem: state.outcomes[stem] for stem in PLANS if stem in state.outcomes}
    done = [stem for stem, outcome in ended.items() if outcome.status == DONE]
    there = [stem for stem in done if (folder / stem / "provenance.json").is_file()]
    records = {stem: kept.collect(folder / stem) for stem in there}
    pictures = {stem: found for stem in ended if (found := picture(folder, stem))}
    links = {stem: f"[{stem}]({path})" for stem, path in pictures.items()}
    title = f"The paper and this reproduction, size {cfg.size_name}"
    text = results(records, title, lambda stem: links.get(stem, stem))
    failed = [f"{s}: {outcome_words(one)}" for s, one in ended.items() if s not in done]
    if failed:
        text += f"\n## Without a result\n\n{bullets(map(literal, failed))}\n"
    write_text(folder / "results.md", text)
    sections = [
        Section(stem, outcome_words(outcome), pictures.get(stem), files(folder, stem))
        for stem, outcome in ended.items()
    ]
    write_text(folder / "index.html", index_page(title, sections, *short_table(records), READING))


def picture(folder: Path, stem: str) -> str | None:
    """The figure of an experiment, as a path from `folder`; None if it draws none."""
    path = folder / stem / "figure.png"
    return path.relative_to(folder).as_posix() if path.is_file() else None


def files(folder: Path, stem: str) -> list[str]:
    """What an experiment wrote for people to read, and its log."""
    kinds = {".png", ".pdf", ".gif", ".csv", ".json", ".yaml", ".md"}
    found = [p for p in sorted((folder / stem).glob("*")) if p.suffix in kinds]
    found += sorted((folder / stem).glob("*/index.html"))  # pages that are a result themselves
    log_file = log_path(folder, stem)
    found += [log_file] if log_file.is_file() else []
    return [path.relative_to(folder).as_posix() for path in found]


def report(folder: Path, stems: Sequence[str], state: State) -> None:
    """Print the summary; exit with EXIT_SOME_FAILED if an experiment failed."""
    by_status: dict[str, list[str]] = {}
    for stem in stems:
        by_status.setdefault(state.outcomes[stem].status, []).append(stem)
    log(f"{len(by_status.get(DONE, []))} of {len(stems)} done")
    for status in (DOES_NOT_APPLY, NO_DATA, FAILED, LEFT_OUT):
        if status in by_status:
            logs = " (see logs/)" * (status in (NO_DATA, FAILED))
            log(f"{status}: {', '.join(by_status[status])}{logs}")
    if {LEFT_OUT, STOPPED} & by_status.keys():
        log(f"the rest: python -m experiments.reproduce resume={quote(str(folder))} minutes=null")
    log(f"results: {folder / 'results.md'}")
    log(f"figures: {folder / 'index.html'}")
    if FAILED in by_status:
        print(folder, flush=True)
        sys.exit(EXIT_SOME_FAILED)


main = Command(run, Reproduce)

if __name__ == "__main__":
    main()
