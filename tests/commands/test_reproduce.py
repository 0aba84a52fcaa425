"""All experiments by one command: at size=smoke, again, with failures, stopped by a signal."""

import csv
import json
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALLEST, assert_refused, command, composed

from deconv.errors import DeconvError
from experiments.kit import kept
from experiments.kit.budget import Budget
from experiments.kit.command import EXIT_INTERRUPTED, settings_of
from experiments.kit.controls import CONTROL
from experiments.kit.findings import claim_of, read_findings
from experiments.kit.forked import Forked
from experiments.kit.plans import PLANS, Plan, experiment_overrides, quote, snapshot_of, step_of
from experiments.kit.progress import Progress, outcome_words
from experiments.kit.result_words import here, network
from experiments.kit.steps import (
    DONE,
    FAILED,
    LEFT_OUT,
    NO_DATA,
    STATE,
    STOPPED,
    Outcome,
    State,
    Step,
    run_steps,
    write_state,
)
from experiments.reproduce import check_run, chosen, settings
from scripts import results as script

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = {
    path.stem for path in (ROOT / "experiments").glob("*.py") if "\nmain = " in path.read_text()
} - {
    *("train", "reproduce", "evaluate", "renormalisation"),
    *("image_crops", "max_activation", "hessian_invariance"),
}
"""Those of the paper, and the extras that one network is enough for."""


def reproduce(*overrides, cwd, fails=False):
    """The lines of the command's standard output."""
    lines, err = command("reproduce", *overrides, cwd=cwd, fails=fails)
    assert "Traceback" not in err, err
    return lines


def cfg_of(*overrides):
    return settings_of(composed("reproduce", overrides))


def statuses(folder):
    kept = json.loads((folder / STATE).read_text())["outcomes"]
    return {stem: one["status"] for stem, one in kept.items()}


SOME = ("train", "fig1_deconvnet", "fig3_architecture", "fig4_feature_evolution", "table2_imagenet")
"""One experiment of each need; by default the others run in their own tests alone."""


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def stems(request):
    """The experiments that are run."""
    return set(SOME) if request.param == "some" else EXPERIMENTS | {"train"}


@pytest.mark.slow
@pytest.mark.fault("killed pass")
def test_what_was_killed_in_mid_pass_ends_with_the_same_data(tmp_path, record_property):
    """Killed by force while it trains, while it mines and while that figure is made again."""
    asked = ["size=smoke", "only=[fig2]", "device=cpu", "train.save_steps=1"]
    lines = reproduce(*asked, cwd=tmp_path)
    folder, log = tmp_path / "killed", tmp_path / "log.txt"
    moments = ["train/epoch_001*.pt", "fig2_top_activations/config.yaml"]
    for number, moment in enumerate([*moments, moments[1]]):
        start = [f"resume={folder}"] if number else [*asked, f"hydra.run.dir={folder}"]
        if number == 2:
            shutil.rmtree(folder / "fig2_top_activations")
        arguments = ["-m", "experiments.reproduce", *start]
        process = Forked(arguments, log, log, tmp_path, {"OMP_NUM_THREADS": "1"})
        while not list(folder.glob(moment)):
            assert process.poll() is None, log.read_text()
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert "interrupted" in statuses(folder).values()
    record_property("tries", 3)
    reproduce(f"resume={folder}", cwd=tmp_path)
    assert set(statuses(folder).values()) == {DONE}
    found, expected = (
        {path.name: path for path in (one / "fig2_top_activations").glob("*.npz")}
        for one in (folder, Path(lines[-1]))
    )
    assert found.keys() == expected.keys() and found
    for name, path in found.items():
        one, other = np.load(path), np.load(expected[name])
        assert one.files == other.files and one.files
        for key in one.files:
            assert np.array_equal(one[key], other[key]), (name, key)


@pytest.fixture(scope="module")
def whole(stems, tmp_path_factory):
    """They at size=smoke: (the folder, what was printed)."""
    only = f"only=[{','.join(stems)}]"
    lines = reproduce("size=smoke", "pictures=none", only, cwd=tmp_path_factory.mktemp("reproduce"))
    return Path(lines[-1]), lines


def test_every_experiment_runs_at_size_smoke(stems, whole):
    folder, lines = whole
    ended_as = statuses(folder)
    assert set(ended_as) == stems
    logs = {stem: (folder / "logs" / f"{stem}.txt").read_text()[-600:] for stem in ended_as}
    assert {s: (how, logs[s]) for s, how in ended_as.items() if how != DONE} == {}
    done = [stem for stem, status in ended_as.items() if status == DONE]
    total = len(ended_as)
    for number, stem in enumerate(ended_as, 1):
        assert any(line.startswith(f"[{number}/{total}] {stem} … ") for line in lines), stem
    assert f"{len(done)} of {total} done" in lines
    for stem in done:
        assert any((folder / stem).iterdir()) and (folder / "logs" / f"{stem}.txt").is_file()
    # All from the one network.
    snapshot = str((folder / "train" / "last.pt").resolve())
    arguments = {
        stem: " ".join(one["arguments"])
        for stem, one in json.loads((folder / STATE).read_text())["outcomes"].items()
    }
    assert f"snapshot={snapshot}" in arguments["fig1_deconvnet"]
    assert f"run={folder / 'train'}" in arguments["fig4_feature_evolution"]


def test_results_and_page_show_what_was_found_and_drawn(whole):
    folder, lines = whole
    text = (folder / "results.md").read_text()
    assert f"results: {folder / 'results.md'}" in lines and f"figures: {folder}/index.html" in lines
    found = [one for path in folder.glob("*/findings.json") for one in read_findings(path.parent)]
    claims = [one for one in found if not one.claim.startswith(CONTROL)]
    assert claims
    for one in claims:
        claim = claim_of(one.claim)
        assert f"| {claim.says} |" in text and claim.rule in text
        assert f"| {here(one)} |" in text and f"| {one.verdict} |" in text
    page = (folder / "index.html").read_text()
    targets = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert targets and all((folder / target).is_file() for target in targets)
    drawn = {p.parent.name for p in folder.glob("*/figure.png")}
    assert {f"{stem}/figure.png" for stem in drawn} <= set(targets)


def test_its_results_can_be_kept(whole, tmp_path):
    paths = script.keep("mine", [whole[0]], tmp_path)
    assert {path.stem for path in paths} == set(statuses(whole[0]))
    one = kept.records(tmp_path)["mine/fig1_deconvnet"]
    assert network(one) == "zfnet_mini, 2 epochs of scenes" and len(one["findings"]) == 1


def test_again_it_runs_nothing_but_what_changed(whole, tmp_path):
    """Missing data is told and is no failure; a failure is told and gives the exit status 1."""
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder, symlinks=True)
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/*.png")}
    only = "only=[fig1]"
    shutil.rmtree(folder / "train")
    run = f"run={whole[0] / 'train'}"
    resume = f"resume={folder}"
    lines = reproduce(resume, run, only, cwd=tmp_path)
    assert any("fig1_deconvnet … finished before" in one for one in lines)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*/*.png")} == before

    lines = reproduce(resume, run, only, "device=gpu", cwd=tmp_path, fails=1)
    assert lines[-1] == str(folder)
    line = next(one for one in lines if "] fig1_deconvnet … " in one)
    assert re.search(r"failed after \d+ s: device=gpu cannot be used", line), line
    assert "failed: fig1_deconvnet (see logs/)" in lines

    nowhere = ("data=caltech101", "data.root=nowhere")
    lines = reproduce(resume, run, only, *nowhere, cwd=tmp_path)
    assert statuses(folder)["fig1_deconvnet"] == NO_DATA
    line = next(one for one in lines if "] fig1_deconvnet … " in one)
    assert "data not here" in line and "nowhere of caltech101 is missing" in line, line
    assert "fig1_deconvnet: data not here" in (folder / "results.md").read_text()
    assert statuses(folder)["fig4_feature_evolution"] == DONE, "what ran before is still known"


def test_a_signal_stops_it_with_status_75_and_resume_goes_on(tmp_path):
    overrides = [*SMALLEST, "only=[train]", "train.epochs=12", "hydra.run.dir=here"]
    said = tmp_path / "said.txt"
    process = Forked(["-m", "experiments.reproduce", *overrides], said, said, tmp_path)
    folder = tmp_path / "here"
    while not (folder / "train" / "epoch_001.pt").exists():
        assert process.poll() is None, said.read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == EXIT_INTERRUPTED, said.read_text()
    assert "stopped; go on with python -m experiments.reproduce resume=" in said.read_text()
    assert statuses(folder) == {"train": "interrupted"}
    reproduce(f"resume={folder}", cwd=tmp_path)
    assert statuses(folder) == {"train": DONE}
    assert "going on from epoch_" in (folder / "logs" / "train.txt").read_text()
    rows = list(csv.DictReader((folder / "train" / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == [str(n + 1) for n in range(12)]


def test_bad_input_leaves_nothing(tmp_path):
    assert_refused("reproduce", ["size=paper"], "size=paper needs a training", tmp_path)


# What is planned


def test_every_experiment_of_a_figure_or_table_has_a_plan():
    assert set(PLANS) == EXPERIMENTS | {"train"}


def test_only_and_skip_take_short_names_and_training_comes_first():
    def stems(*overrides):
        return chosen(cfg_of(*overrides))

    assert stems("only=[fig2]") == ["fig2_top_activations"]
    assert stems("only=[fig4,fig2_top_activations]") == [
        "fig2_top_activations",
        "fig4_feature_evolution",
    ]
    everything = stems()
    assert everything[0] == "train" and set(everything) == EXPERIMENTS | {"train"}
    assert stems("skip=[fig2,train]") == [
        s for s in everything if s not in ("fig2_top_activations", "train")
    ]
    with pytest.raises(DeconvError, match=r"unknown experiment 'fig22'\. Did you mean 'fig2"):
        stems("only=[fig22]")
    with pytest.raises(DeconvError, match="leave no experiment"):
        stems("only=[fig2]", "skip=[fig2]")


def test_the_network_is_checked_before_anything_runs(tmp_path, smoke_run, caplog):
    caplog.set_level("INFO", "experiments")
    cfg = cfg_of("size=paper")
    assert check_run(cfg, ["train"]) is None
    with pytest.raises(DeconvError, match="name its folder: run=<folder>"):
        check_run(cfg, ["fig2_top_activations"])
    with pytest.raises(DeconvError, match=r"skip=\[train\] needs a trained network"):
        check_run(cfg_of("skip=[train]"), ["fig2_top_activations"])
    with pytest.raises(DeconvError, match=r"holds no last\.pt"):
        check_run(cfg_of(f"run={tmp_path}"), ["fig2_top_activations"])
    cfg = cfg_of("size=smoke", f"run={smoke_run}")
    assert check_run(cfg, ["fig2_top_activations"]) == smoke_run
    assert not caplog.text
    check_run(cfg_of(f"run={smoke_run}", "data=caltech101"), ["train"])
    assert "trained on scenes, figures are computed on caltech101" in caplog.text
    check_run(cfg_of("size=smoke", "model=zfnet", f"run={smoke_run}"), ["train"])
    assert "model=zfnet_mini makes them alike" in caplog.text
    (tmp_path / "last.pt").write_bytes(b"nothing")
    with pytest.raises(DeconvError, match="cannot read the snapshot"):
        check_run(cfg_of(f"run={tmp_path}"), ["fig2_top_activations"])


def test_settings_go_on_to_the_experiments_and_their_own_win():
    cfg = cfg_of("size=smoke")
    asked = {
        "size": "smoke",
        "seed": "4",
        "data": "caltech101",
        "data.root": "/x",
        "run": "r",
        "only": "[fig2]",
        "device": "cpu",
    }
    assert experiment_overrides(cfg, asked, ["seed=5", "k=3"]) == [
        "size=smoke",
        "seed=5",
        "data=caltech101",
        "data.root=/x",
        "device=cpu",
        "k=3",
    ]
    assert experiment_overrides(cfg, asked, ["data=scenes_smoke"]) == [
        "size=smoke",
        "seed=4",
        "device=cpu",
        "data=scenes_smoke",
    ]


def test_each_need_is_told_in_its_own_way(tmp_path, monkeypatch):
    run = tmp_path / "a run, with 'signs'"
    run.mkdir()
    for epoch in (10, 24):
        (run / f"epoch_{epoch:03d}.pt").write_bytes(b"%d" % epoch)
    (run / "last.pt").symlink_to("epoch_024.pt")
    last, tenth = (quote(str(run / f"epoch_{n:03d}.pt")) for n in (24, 10))
    ends = {
        "nothing": [],
        "snapshot": [f"snapshot={last}"],
        "snapshots": [f"snapshots=[{last}]"],
        "ours": [f"ours={tenth}"],
        "run": [f"run={quote(str(run))}"],
    }
    read = {need: {"epoch_024.pt"} for need in ends}
    read |= {"nothing": set(), "ours": {"epoch_010.pt"}}
    cfg = cfg_of()
    for need, end in ends.items():
        epoch = {"laptop": 10} if need == "ours" else {}
        monkeypatch.setitem(PLANS, need, Plan(need, {"laptop": ["k=2"]}, epoch=epoch))
        step = step_of(cfg, need, {}, run)
        assert list(step.arguments) == ["-m", f"experiments.{need}", "size=laptop", "k=2", *end]
        assert set(step.inputs) == read[need]
    before = step_of(cfg, "snapshot", {}, run).inputs
    (run / "epoch_024.pt").write_bytes(b"other")
    assert step_of(cfg, "snapshot", {}, run).inputs != before
    assert snapshot_of(run, 11) == (run / "epoch_024.pt").resolve()
    train = step_of(cfg, "train", {}, None)
    assert train.goes_on == "epoch_*.pt"
    assert train.place(Path("/f/train"), False) == ["hydra.run.dir=/f/train"]
    assert train.place(Path("/f/train"), True) == ["resume=/f/train"]


@pytest.mark.parametrize("text", ["/plain/path-1.pt", "/a b/c", "/a,b/[c]", "/it's", "/x=y", "/ü"])
def test_quoted_paths_come_through_hydra_as_they_are(text):
    assert cfg_of(f"run={quote(text)}").run == text


def test_a_resumed_folder_remembers_its_settings(tmp_path, monkeypatch):
    write_state(tmp_path, State({"overrides": {"size": "smoke", "seed": "3", "skip": "[fig4]"}}))
    monkeypatch.setattr(
        sys, "argv", ["reproduce", f"resume={tmp_path}", "seed=4", "hydra.run.dir=x"]
    )
    cfg, asked, state = settings(cfg_of(), tmp_path)
    assert asked == {"size": "smoke", "seed": "4", "skip": "[fig4]"} == state.settings["overrides"]
    assert (cfg.size_name, cfg.seed, list(cfg.skip)) == ("smoke", 4, ["fig4"])
    monkeypatch.setattr(sys, "argv", ["reproduce", "seed=1"])
    assert settings(cfg, tmp_path) == (cfg, {"seed": "1"}, State({"overrides": {"seed": "1"}}))


# What is shown


def shown(folder, total=3):
    step = Step("fig2_top_activations", ("-m",), lambda place, again: [])
    done = Outcome([], {}, DONE, 41.2, 0)
    failed = Outcome([], {}, FAILED, 2.6, 2, "no such thing")
    with Progress(folder, total) as progress:
        progress.show("kept", step, done)
        progress.show("start", step, done)
        progress.show("tick", step, done)
        progress.show("end", step, failed)
        progress.show("end", Step("fig4", (), lambda place, again: []), Outcome([], {}, FAILED))
    assert progress.count == 3


def test_without_a_terminal_each_experiment_is_a_line(tmp_path, capsys):
    shown(tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "[1/3] fig2_top_activations … finished before, done in 41 s",
        "[2/3] fig2_top_activations … failed after 3 s: no such thing",
        "[3/3] fig4 … failed",
    ]


def test_without_a_terminal_no_silence_is_long(tmp_path, capsys, monkeypatch):
    """What the experiment said last is repeated, beneath what is expected of it."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "train.txt"
    step, outcome = Step("train", ("-m",), lambda place, again: []), Outcome([], {}, DONE, 61.0, 0)
    now = [0.0]
    monkeypatch.setattr("experiments.kit.progress.time.monotonic", lambda: now[0])
    with Progress(tmp_path, 1, {"train": 60.0}.get) as progress:
        progress.show("start", step, outcome)
        for second, said in ((2, "epoch 1/9"), (8, "epoch 2/9"), (9, "epoch 3/9"), (30, "")):
            log.write_text(f"{said}\n" if said else log.read_text())
            now[0] = second
            progress.show("tick", step, outcome)
        progress.show("end", step, outcome)
    assert capsys.readouterr().out.splitlines() == [
        "[1/1] train (about 60 s) … ",
        "      epoch 2/9",
        "      epoch 3/9",
        "[1/1] train … done in 61 s",
    ]


def test_what_does_not_fit_into_the_time_is_left_out_and_runs_when_asked_for(tmp_path):
    """A training is stopped at its share, and figures are of that network."""
    usual = {"train": 60.0, "fig1_deconvnet": 20.0, "fig3_architecture": 1e6}
    budget = Budget(1.0, usual)
    assert 10 < budget.share_s("train", ["fig1_deconvnet"]) <= 45
    budget.learn("train", 30.0, share=0.25)
    assert budget.slow == 2 and budget.expected_s("fig1_deconvnet") == 40
    assert budget.allows("fig1_deconvnet") and budget.allows("unknown")
    assert not budget.allows("fig3_architecture")
    assert Budget(None, usual).allows("fig3_architecture")
    with pytest.raises(DeconvError, match="minutes=0: give more than 0"):
        Budget(0)
    seen = []

    def show(what, step, outcome):
        seen.append((what, step.name, outcome.status))

    program = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); time.sleep(60)"
    slow = Step("slow", ("-c", program), lambda place, again: [])
    large = Step("fig3_architecture", ("-c", "1/0"), lambda place, again: [])
    state = State({})
    assert run_steps([slow, large], tmp_path, state, show, budget, stop_s=1.0)
    assert [one for one in seen if one[0] != "tick"] == [
        ("start", "slow", STOPPED),
        ("end", "slow", STOPPED),
        ("kept", "fig3_architecture", LEFT_OUT),
    ]
    assert "s are left" in state.outcomes["fig3_architecture"].error


def test_on_a_terminal_a_bar_shows_what_the_experiment_said_last(tmp_path, capsys, monkeypatch):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "fig2_top_activations.txt").write_text("mining 1/9\rmining 7/9")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown(tmp_path)
    said = capsys.readouterr()
    assert "3/3" in said.err and "mining 7/9" in said.err and "fig2_top_activations" in said.err
    assert "[2/3] fig2_top_activations … failed after 3 s: no such thing" in said.out


def test_how_an_experiment_ended_is_a_line():
    assert outcome_words(Outcome([], {}, DONE, 0.4)) == "done in 0 s"
    assert (
        outcome_words(Outcome([], {}, NO_DATA, 3.0, 66, "get it"))
        == "data not here after 3 s: get it"
    )
