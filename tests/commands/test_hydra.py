"""What people who know Hydra type: their own configurations, sweeps, help, completion."""

import csv
import importlib
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from command_line import ROOT, SMALLEST, assert_refused, command, composed
from hydra.core.plugins import Plugins
from image_files import encoded, put
from omegaconf import OmegaConf

import deconv
from deconv.errors import DeconvError
from deconv.training.snapshots import weights_hash
from experiments import __main__ as listing
from experiments import fig7_occlusion, train
from experiments.kit import compose, provenance
from experiments.kit.findings import claim_of, read_findings
from experiments.kit.forked import Forked

ONE = (*SMALLEST, "train.epochs=1")


def written(folder):
    """The config.yaml of a run."""
    return OmegaConf.to_container(OmegaConf.load(Path(folder) / "config.yaml"))


def told(folder):
    """What to type for a run, by its sidecar."""
    record = OmegaConf.load(Path(folder) / "provenance.json")
    python, module, stem, *rest = shlex.split(record.command)
    assert (python, module) == ("python", "-m") and stem.startswith("experiments.")
    return stem.removeprefix("experiments."), rest


@pytest.fixture
def seen():
    """The jobs of train and fig7_occlusion, which do nothing: (what to type, settings) of each."""
    jobs = []

    def run(config, cfg, folder):
        jobs.append((shlex.split(provenance.command_line())[3:], cfg))

    mains = [module.main for module in (train, fig7_occlusion)]
    before = [main.run for main in mains]
    for main in mains:
        object.__setattr__(main, "run", run)  # its dataclass is frozen
    yield jobs
    for main, own in zip(mains, before, strict=True):
        object.__setattr__(main, "run", own)


# Configurations of one's own


MINE = """
defaults: [fig7_occlusion, _self_]
layer: conv3
k: 2
model: {input_px: 64, fc_width: 16}
"""


def own(folder, **texts):
    """Write yaml files."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def test_a_configuration_of_one_s_own_builds_on_a_command_s(tmp_path, seen):
    named = ["--config-dir", own(tmp_path / "conf", mine=MINE), "--config-name", "mine"]
    lines, _ = command("fig7_occlusion", *named, "size=smoke", "k=1", cwd=tmp_path)
    [(typed, cfg)] = seen
    assert typed == [*named, "size=smoke", "k=1"]
    assert isinstance(cfg, fig7_occlusion.Occlusion)
    assert (cfg.layer, cfg.k, cfg.model.input_px, cfg.model.fc_width) == ("conv3", 1, 64, 16)
    assert (cfg.model.name, cfg.data.val_images, cfg.score_images) == ("zfnet_mini", 36, 3)
    config = written(lines[-1])
    assert (config["layer"], config["k"]) == ("conv3", 1)
    assert Path(lines[-1]).parent == tmp_path / "outputs" / "fig7_occlusion"


def test_a_sweep_over_it_tells_each_job_as_one_would_type_it(tmp_path, seen):
    named = ["--config-dir", own(tmp_path / "conf", mine=MINE), "--config-name", "mine"]
    command("fig7_occlusion", *named, "-m", "size=smoke", "k=1,2", cwd=tmp_path)
    assert [cfg.k for _, cfg in seen] == [1, 2] and "-m" not in seen[0][0]
    for typed, cfg in list(seen):
        command("fig7_occlusion", *typed, cwd=tmp_path)
        assert seen[-1][1] == cfg


def test_groups_of_one_s_own_lie_on_the_search_path(tmp_path):
    """A data set without and a model with the settings of ours below them."""
    places = own(
        tmp_path / "conf",
        data__mine="name: imagefolder\nroot: photos\nval_fraction: 0.5\nworkers: 0\n",
        model__small="defaults: [zfnet_mini, _self_]\ninput_px: 64\nfc_width: 16\n",
        train__quick="defaults: [smoke, _self_]\nepochs: 1\n",
    )
    for i in range(12):
        put(tmp_path / "photos" / ("cat" if i % 2 else "dog") / f"{i}.jpg", encoded(i, (80, 90)))
    asked = [f"hydra.searchpath=[{places}]", "size=smoke", "model=small", "data=mine"]
    lines, _ = command("train", *asked, "train=quick", "pictures=none", cwd=tmp_path)
    last = deconv.load_snapshot(Path(lines[-1]) / "last.pt")
    assert last.classes == ["cat", "dog"] and (last.epoch, last.mean.shape[-1]) == (1, 74)
    config = written(lines[-1])
    assert config["data"] == {
        "name": "imagefolder",
        "root": "photos",
        "side_px": None,
        "cache": False,
        "workers": 0,
        "partial": False,
        "bad_images": "error",
        "val_fraction": 0.5,
        "seed": 0,
    }
    assert config["model"]["fc_width"] == 16


def test_a_setting_that_a_file_of_one_s_own_leaves_out_is_added(tmp_path):
    places = own(tmp_path / "conf", model__bare="name: zfnet_mini\nfc_width: 16\n")
    asked = [f"hydra.searchpath=[{places}]", "size=smoke", "model=bare"]
    words = "the file that model= names does not give model.input_px: write +model.input_px=…, or"
    assert_refused("train", [*asked, "model.input_px=64"], words, tmp_path)
    lines, _ = command("train", "--cfg", "job", *asked, "+model.input_px=64", cwd=tmp_path)
    assert "  input_px: 64" in lines


WRONG = {
    "a key": ("strongst: 2", "in wrong.yaml: unknown setting 'strongst'. Did you mean 'strongest'"),
    "a group's key": ("model: {fc_with: 3}", "'model.fc_with'. Did you mean 'model.fc_width'"),
    "a value": ("k: many", "in wrong.yaml: k takes a whole number, got 'many'"),
    "a group's value": ("model: {fc_width: wide}", "model.fc_width takes a whole number, got 'wi"),
    "no yaml": ("k: [", "cannot read a yaml file: while parsing"),
    "null": ("k: null", "k takes a value, not null"),
    "an interpolation": ("fill: ${sed}", "fill refers to sed: unknown setting 'sed'. Did you mean"),
    "our check": ("k: 0", "k=0 cannot be shown"),
}
DEFAULTS = {
    "a base": ("[fig7_oclusion]", "unknown configuration 'fig7_oclusion'. Did you mean 'fig7_occ"),
    "a choice": ("[fig7_occlusion, {override model: zfnt}]", "unknown model 'zfnt'. Did you mean"),
    "a group": ("[fig7_occlusion, {override modl: zfnet}]", "'modl'. Did you mean 'model'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_name_or_value_in_one_s_own_file_is_refused_as_on_the_command_line(tmp_path, case):
    text, message = WRONG[case]
    own(tmp_path / "conf", wrong=f"defaults: [fig7_occlusion, _self_]\n{text}\n")
    named = ["--config-dir", "conf", "--config-name", "wrong", "size=smoke"]
    assert_refused("fig7_occlusion", named, message, tmp_path)


@pytest.mark.parametrize("case", DEFAULTS)
def test_a_default_in_one_s_own_file_is_refused_with_the_nearest(tmp_path, case):
    text, message = DEFAULTS[case]
    own(tmp_path / "conf", wrong=f"defaults: {text}\n")
    named = ["--config-dir", "conf", "--config-name", "wrong"]
    assert_refused("fig7_occlusion", named, message, tmp_path)


def test_a_file_or_folder_of_configurations_that_is_not_there_is_named(tmp_path):
    own(tmp_path / "conf", mine=MINE)
    named = ["--config-dir", "conf", "--config-name", "mnie"]
    message = "unknown configuration 'mnie'. Did you mean 'mine'"
    assert_refused("fig7_occlusion", named, message, tmp_path)
    assert_refused("fig7_occlusion", ["--config-dir", "cnof"], "/cnof' not found", tmp_path)


def test_a_group_of_one_s_own_is_checked_too(tmp_path):
    places = own(
        tmp_path / "conf",
        data__typo="name: imagefolder\nroot: photos\nval_fracton: 0.5\n",
        data__other="name: imagefoldr\n",
    )
    asked = [f"hydra.searchpath=[{places}]", "size=smoke"]
    message = "unknown setting 'data.val_fracton'. Did you mean 'data.val_fraction'"
    assert_refused("train", [*asked, "data=typo"], message, tmp_path)
    message = "unknown data.name 'imagefoldr'. Did you mean 'imagefolder'"
    assert_refused("train", [*asked, "data=other"], message, tmp_path)


# Sweeps


SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def test_a_sweep_over_seeds_is_as_many_runs_and_gives_its_sweeper_their_numbers(
    tmp_path, monkeypatch
):
    sweeper = Plugins.instance().class_name_to_class[SWEEPER]
    sweep, returned = sweeper.sweep, []
    monkeypatch.setattr(
        sweeper, "sweep", lambda self, arguments: returned.extend(sweep(self, arguments))
    )
    lines, errors = command("train", "-m", *ONE, "seed=1,2", cwd=tmp_path)
    [batch] = returned
    folders = [Path(line) for line in lines if Path(line).is_dir()]
    assert len(folders) == len(batch) == 2 and "error" not in errors
    for seed, folder, job in zip((1, 2), folders, batch, strict=True):
        assert folder.name == f"{seed - 1}_seed-{seed}" and written(folder)["seed"] == seed
        assert told(folder) == ("train", [*ONE, f"seed={seed}"])
        assert "epoch 1/1" in (folder / "train.log").read_text()
        assert sum(line.startswith(f"[seed={seed}] epoch 1/1") for line in lines) == 1
        last = deconv.load_snapshot(folder / "last.pt")
        assert job.return_value == last.metrics["val_top1_error"]
    again, _ = command("train", *told(folders[1])[1], cwd=tmp_path)
    hashes = [
        weights_hash(deconv.load_snapshot(folder / "last.pt").network())
        for folder in (*folders, Path(again[-1]))
    ]
    assert hashes[0] != hashes[1] == hashes[2]
    table = Path(lines[-1])
    assert table == folders[0].parent / "sweep.csv"
    rows = list(csv.DictReader(table.open()))
    error = "top-1 error (%), validation, centre crop"
    assert [row["seed"] for row in rows] == ["1", "2"]
    for row, job, folder in zip(rows, batch, folders, strict=True):
        assert row["job"] == folder.name
        assert float(row[error]) == pytest.approx(job.return_value, rel=1e-3)
    assert f"seed  {error}" in lines[-5] and lines[-3].split()[:2] == [folders[0].name, "1"]


@pytest.mark.fault("one folder, many processes")
def test_a_sweep_over_own_and_foreign_networks_outlives_a_job_that_fails(tmp_path):
    asked = [one for one in ONE if "fc_width" not in one]
    models = ["zfnet_mini", "torchvision/resnet81", "torchvision/squeezenet1_1"]
    swept = f"model={','.join(models)}"
    lines, errors = command("train", "-m", *asked, swept, cwd=tmp_path, fails=True)
    failed = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(failed) == 1 and "Traceback" not in errors
    job = " ".join([*asked, "model=torchvision/resnet81"])
    assert failed[0].startswith(f"error: {job}: unknown torchvision classifier 'resnet81'. Did you")
    folders = [Path(line) for line in lines if Path(line).is_dir()]
    names = ["0_model-zfnet_mini", "2_model-torchvision-squeezenet1_1"]
    assert [folder.name for folder in folders] == names
    assert not list(folders[0].parent.glob("1_*"))
    rows = list(csv.DictReader((folders[0].parent / "sweep.csv").open()))
    assert [row["model"] for row in rows] == models
    assert [row["error"][:32] for row in rows] == ["", "unknown torchvision classifier '", ""]
    for folder, name in zip(folders, models[::2], strict=True):
        assert written(folder)["model"]["name"] == name
        assert told(folder)[1] == [*asked, f"model={name}"]
        assert deconv.load_snapshot(folder / "last.pt").recipe["name"] == name


def test_figures_are_compared_by_a_claim_s_value(tmp_path, smoke_run):
    asked = ["size=smoke", f"snapshot={smoke_run}/last.pt", "seed=0,1"]
    lines, _ = command("fig1_deconvnet", "-m", *asked, cwd=tmp_path)
    folders = [Path(line) for line in lines if Path(line).is_dir()]
    rows = list(csv.DictReader(Path(lines[-1]).read_text().splitlines()))
    for row, folder in zip(rows, folders, strict=True):
        (finding,) = read_findings(folder)
        assert float(row[finding.claim]) == pytest.approx(finding.value, rel=1e-3)


def test_what_a_sweep_compares_is_in_words_or_a_claim():
    numbers = {stem: one.number for stem, one in mains().items()}
    claims = {stem: number for stem, number in numbers.items() if "/" in number}
    assert {"fig1_deconvnet", "fig7_occlusion", "sanity"} <= claims.keys()
    for stem, claim in claims.items():
        assert claim_of(claim).says, stem


def mains():
    """The command of each experiment."""
    stems = [path.stem for path in (ROOT / "experiments").glob("[!_]*.py")]
    modules = {stem: importlib.import_module(f"experiments.{stem}") for stem in stems}
    return {stem: module.main for stem, module in modules.items() if hasattr(module, "main")}


def test_a_sweep_over_a_choice_that_is_not_there_runs_nothing(tmp_path, seen):
    swept = ["-m", "size=smoke", "model=zfnet_mini,zfnt"]
    _, error = command("train", *swept, cwd=tmp_path, fails=True)
    assert error.startswith("error: unknown model 'zfnt'. Did you mean 'zfnet'") and not seen


def test_what_a_job_fails_of_unforeseen_does_not_end_the_others(tmp_path, seen):
    def run(config, cfg, folder):
        seen.append(cfg.seed)
        if cfg.seed == 1:
            raise RuntimeError("out of memory")

    object.__setattr__(train.main, "run", run)
    with pytest.raises(RuntimeError, match="out of memory"):
        command("train", "-m", *ONE, "seed=0,1,2", cwd=tmp_path)
    assert seen == [0, 1, 2]


# Folders, help and completion


class Stopped(datetime):
    """A clock that does not go on."""

    @classmethod
    def now(cls, tz=None):
        return datetime(2020, 1, 1)


@pytest.mark.fault("one folder, many processes")
@pytest.mark.parametrize("kind", [[], ["-m"]], ids=["starts", "sweeps"])
def test_no_two_starts_share_a_folder_not_even_at_one_moment(
    tmp_path, seen, monkeypatch, kind, record_property
):
    record_property("tries", 3)
    monkeypatch.setattr("hydra.core.utils.datetime", Stopped)
    jobs = [command("train", *kind, "seed=3", cwd=tmp_path)[0][-1] for _ in range(3)]
    assert len(set(jobs)) == 3 and all("/2020-01-01_000000_000000_" in one for one in jobs)
    swept, _ = command("train", "-m", "seed=3,4", cwd=tmp_path)
    folders = [Path(line) for line in swept if Path(line).is_dir()]
    assert [one.name for one in folders] == ["0_seed-3", "1_seed-4"] and folders[
        0
    ].parent == folders[1].parent


@pytest.mark.slow
@pytest.mark.fault("one folder, many processes")
@pytest.mark.parametrize("kind", [[], ["-m"]], ids=["starts", "sweeps"])
def test_ten_processes_at_once_are_ten_folders(tmp_path, kind, record_property):
    record_property("tries", 10)
    out = [tmp_path / f"out_{i}" for i in range(10)]
    typed = ["-m", "experiments.train", *kind, *ONE]
    running = [
        Forked([*typed, f"seed={i},{i}" if kind else f"seed={i}"], path, path, tmp_path)
        for i, path in enumerate(out)
    ]
    assert [process.wait(600) for process in running] == [0] * 10
    made = [Path(path.read_text().splitlines()[-1]) for path in out]
    assert len({folder.parent if kind else folder for folder in made}) == 10
    assert [written(folder)["seed"] for folder in made] == list(range(10))
    assert len(list(tmp_path.rglob("last.pt"))) == (20 if kind else 10)


def test_a_folder_with_an_equals_sign_is_quoted_as_hydra_wants(tmp_path):
    lines, _ = command("train", *ONE, 'hydra.run.dir="a=b"', cwd=tmp_path)
    assert Path(lines[-1]) == tmp_path / "a=b"
    assert {"train.log", "config.yaml", "last.pt"} <= {p.name for p in (tmp_path / "a=b").iterdir()}


def test_help_shows_what_the_command_is_for_and_its_settings(tmp_path):
    lines, _ = command("fig7_occlusion", "--help", cwd=tmp_path)
    about = fig7_occlusion.__doc__.strip().splitlines()
    assert lines[: len(about)] == about
    text = "\n".join(lines)
    assert re.search(r"^model: .*alexnet.*zfnet_mini", text, re.M)
    assert re.search(r"^  strongest=sum +which map is watched: largest sum", text, re.M)
    assert re.search(r"^  figure.width_mm=null +of the page", text, re.M)
    assert re.search(r"^collisions: sum$", text, re.M) and re.search(r"^  lr: 0.01$", text, re.M)
    assert not list(tmp_path.iterdir())


def test_the_configuration_and_where_it_comes_from_can_be_printed(tmp_path):
    asked = ["size=smoke", "seed=4", "model=torchvision/resnet18"]
    lines, _ = command("train", "--cfg", "job", *asked, cwd=tmp_path)
    assert OmegaConf.create("\n".join(lines)) == compose("train", asked)
    lines, _ = command("train", "--cfg", "job", "--package", "train", *asked, cwd=tmp_path)
    assert "epochs: 2" in lines and "seed: 4" not in lines
    lines, _ = command("train", "--info", "defaults", *asked, cwd=tmp_path)
    listed = {line.split("|")[1].strip() for line in lines if line.startswith("|")}
    assert {
        "size/smoke",
        "model/torchvision/resnet18",
        "data/scenes_smoke",
        "train/smoke",
    } <= listed
    assert not list(tmp_path.iterdir())


def shell(text):
    """(standard output, standard error) of bash, where `python` is this one."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout, done.stderr


def test_the_help_can_be_cut_short_without_an_error(tmp_path):
    """As by `| head`, whose end of the pipe is closed before the help is written."""
    pipe, errors = tmp_path / "pipe", tmp_path / "errors.txt"
    os.mkfifo(pipe)
    process = Forked(["-m", "experiments.train", "--help"], pipe, errors, tmp_path)
    pipe.open().close()
    assert process.wait(120) == 0
    assert not re.search("Traceback|BrokenPipe", errors.read_text()), errors.read_text()


COMPLETE = """
eval "$(python -m experiments --completion)"
complete_line() {
    COMP_LINE=$1 COMP_POINT=${#1}
    read -ra COMP_WORDS <<< "$1"
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )) COMPREPLY=()
    _deconv_experiments
    echo "${COMPREPLY[@]}"
}
complete_line "python -m experiments.fig7"
complete_line "python -m experiments.train size=smoke model=zf"
"""


def test_bash_completes_commands_and_settings():
    said, errors = shell(COMPLETE)
    names, settings = said.splitlines()
    assert names.split() == ["experiments.fig7_occlusion"] and errors == ""
    assert set(settings.split()) == {"model=zfnet", "model=zfnet_mini"}


def test_every_command_is_listed_with_a_line(capsys):
    listing.main([])
    heading, blank, *lines = capsys.readouterr().out.splitlines()
    assert "--help" in heading and blank == ""
    files = {path.stem: path.read_text() for path in (ROOT / "experiments").glob("*.py")}
    stems = {stem for stem, text in files.items() if re.search(r"^main = ", text, re.M)}
    assert {line.split()[0] for line in lines} == stems and {"train", "fig7_occlusion"} <= stems
    for line in lines:
        stem, about = line.split(maxsplit=1)
        assert f'"""{about}' in files[stem]
    listing.main(["--names"])
    assert capsys.readouterr().out.split() == [f"experiments.{stem}" for stem in sorted(stems)]


@pytest.mark.parametrize(
    ("stem", "asked"),
    [
        ("fig2_top_activations", ["size=smoke", "k=3", "page=[[conv1]]", "maps.conv5=[1,2]"]),
        ("fig5_invariance", ["layers=[conv1,fc7]", "data.root=/x", "data=caltech101"]),
        ("table4_caltech101", ["model=torchvision/resnet18", "model.mean=[1,2,3]", "seed=4"]),
        ("train", ["+train.more=3"]),
    ],
)
def test_what_tests_compose_in_steps_is_what_hydra_composes(stem, asked):
    in_steps, whole = composed(stem, asked), compose(stem, asked)
    assert OmegaConf.to_yaml(in_steps) == OmegaConf.to_yaml(whole)
    assert OmegaConf.get_type(in_steps) is OmegaConf.get_type(whole)
    assert in_steps._metadata.flags == whole._metadata.flags


def test_what_tests_compose_in_steps_is_refused_in_the_same_words():
    with pytest.raises(DeconvError, match=r"Did you mean 'train\.epochs'"):
        composed("train", ["train.epoch=3"])
