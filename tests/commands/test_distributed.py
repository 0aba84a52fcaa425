"""Several processes against one: the same weights, measures, means and peaks, and one set of files.

The processes run `main`, which does all of `work` in each and leaves what each found in a folder.
They are forks with the environment that torchrun gives; one test types torchrun itself.
"""

import contextlib
import csv
import faulthandler
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command_line import assert_refused, command, group, together
from mostly_slow import mostly_slow
from test_training import Bars
from test_training_options import by_hand, furthest, network
from torch.utils.data import DataLoader, TensorDataset

import deconv
from deconv import distributed
from deconv.data import CentreCrops, TenCrops, TenCropsOfEach, mean_image
from deconv.distributed import Share
from deconv.errors import DeconvError, Interrupted
from deconv.mining.top_activations import CHUNK
from deconv.training import Hooks, Recipe, fit, snapshots
from deconv.training.evaluation import evaluate, evaluate_ensembles
from deconv.training.snapshots import weights_hash
from experiments.kit.command import EXIT_INTERRUPTED

ROOT = Path(__file__).resolve().parents[2]
LONG = 240
"""Seconds after which something hangs."""

IMAGES, BATCH = 15, 7
"""Batches of 7, 7 and 1: none divides by 2 or 3, and the last one leaves processes without work."""

TOLERANCE = 1e-6
"""Of weights after six updates, relative to the largest of a layer. Networks are float64, but the
loss is float32, so that 1/7 is rounded to 6e-8 at other places."""


# What the processes do.


def recipe(**changes):
    base = {"epochs": 2, "batch_size": BATCH, "lr": 1e-3, "schedule": "fixed", "max_rms": 0.1}
    return Recipe(**(base | changes))


def fit_bars(net, folder, rule, **options):
    """`fit` with this process's own folder, so that whoever writes is seen."""
    data, held_out = Bars(IMAGES, seed=1), Bars(21, seed=2)
    mean = mean_image(data).double()  # makes the crops float64 too
    own = folder / f"process{distributed.rank()}"
    return fit(net, data, held_out, mean, rule, own, **options)


def state(net):
    return {name: weight.clone() for name, weight in net.state_dict().items()}


def trained(folder):
    """A whole run: what it leaves in the network and calls on its way."""
    epochs, saved, net = [], [], network()
    hooks = Hooks(epoch=epochs.append, snapshot=lambda _, path: saved.append(path.name))
    last = fit_bars(net, folder, recipe(), hooks=hooks)
    own = folder / f"process{distributed.rank()}"
    return {
        "state": state(net),
        "history": last.history,
        "step": last.step,
        "hash": weights_hash(net),
        "epochs": epochs,
        "saved": saved,
        "wrote": own.exists(),
    }


def stopped(folder):
    """A run in which the last process alone is asked to stop, after its first update."""
    asked = []

    def stop():
        asked.append(len(asked) == 0 and distributed.rank() == distributed.ranks() - 1)
        return asked[-1]

    net, message = network(), ""
    try:
        fit_bars(net, folder, recipe(), hooks=Hooks(stop=stop))
    except Interrupted as reason:
        message = str(reason)
    return {"updates": len(asked), "message": message, "hash": weights_hash(net)}


def gone_on(folder, start):
    """What the run that stopped comes to."""
    net = network()
    fit_bars(net, folder, recipe(), start=deconv.load_snapshot(start))
    return {"state": state(net), "hash": weights_hash(net)}


def diverging(folder):
    """A run in which the last process alone sees a loss that is not finite."""
    net, message = network(), ""
    if distributed.rank() == distributed.ranks() - 1:
        net.register_forward_hook(lambda module, images, logits: logits * torch.nan)
    before = weights_hash(net)
    try:
        fit_bars(net, folder, recipe())
    except DeconvError as error:
        message = str(error)
    return {"message": message, "untouched": weights_hash(net) == before}


EVALUATED = {  # crops, images, batch: several batches, fewer than processes, one image
    "centre": (CentreCrops, 21, 8),
    "ten crops": (TenCrops, 11, 4),
    "one batch": (CentreCrops, 5, 8),
    "one image": (TenCrops, 1, 4),
}


def single_precision(seed=3):
    return deconv.build("zfnet_mini", 7, input_px=64, fc_width=16, init="he_pixels", seed=seed)


def judge(name, part):
    """The accuracy on a data set of EVALUATED; `part` divides it, or does not."""
    crops, images, batch = EVALUATED[name]
    data = Bars(images, seed=4)
    view = crops(data, torch.full((3, 74, 74), 120.0), 64)
    return evaluate(single_precision(), DataLoader(part(view, batch), batch_size=batch))


def judge_ensembles(part):
    """Two networks with means of their own, each alone and both averaged, on 11 images."""
    nets = [single_precision(), single_precision(seed=4)]
    data = Bars(11, seed=4)
    means = [torch.full((3, 74, 74), level) for level in (120.0, 130.0)]
    view = TenCropsOfEach([data, data], means, [64, 64])
    loader = DataLoader(part(view, 4), batch_size=4)
    return evaluate_ensembles(nets, loader, [[0], [1], [0, 1]])


MINED = {"four chunks": 100, "two chunks": 64, "part of a chunk": 20}
LAYERS = ("conv1", "conv5", "fc7")
KS = (3, 40)
"""Fewer peaks than a chunk has images, and more."""


def mining_images(count):
    """Random images, some of them copies of others, so that there are ties to be broken."""
    source = torch.Generator().manual_seed(count)
    images = 60 * torch.randn(count, 3, 64, 64, generator=source)
    for copy, original in ((count - 1, 0), (count // 2, 0), (count // 2 + 1, 7)):
        images[copy] = images[original]
    return images


def mine(name, k, part, batch):
    images = TensorDataset(mining_images(MINED[name]))
    loader = DataLoader(part(images, CHUNK), batch_size=batch)
    peaks = deconv.top_activations(single_precision(), loader, LAYERS, k, progress=False)
    return {layer: vars(found) for layer, found in peaks.items()}


def whole(data, chunk):
    """The part that everything is."""
    return data


MEANS = (150, 3)
"""Images of which the mean is taken: more than two chunks, and less than one."""


def first_alone_times():
    """When this process was in the block; process 0 is slow there."""
    distributed.gather(None)  # all begin together
    with distributed.first_alone():
        began = time.monotonic()
        if distributed.rank() == 0:
            time.sleep(0.3)
        return began, time.monotonic()


def first_alone_failing():
    """Whether this process ran the block although process 0 failed in it."""
    with contextlib.suppress(ZeroDivisionError), distributed.first_alone():
        return 1 / distributed.rank() > 0
    return False


def talk():
    """What the small helpers say."""
    me = distributed.rank()
    return {
        "rank": me,
        "ranks": distributed.ranks(),
        "gather": distributed.gather(["x" * me, me]),
        "total": distributed.total([me + 1.0, 0.5, 2.0**40 + me]),
        "from_first": distributed.from_first({"process": me}),
        "times": first_alone_times(),
        "failing": first_alone_failing(),
    }


def work(folder):
    """Everything, in this process; what it found."""
    found = {"talk": talk(), "trained": trained(folder / "trained")}
    found["stopped"] = stopped(folder / "stopped")
    start = folder / "stopped" / "process0" / "last.pt"
    distributed.gather(None)  # process 0 has written it
    found["gone on"] = gone_on(folder / "gone_on", start)
    found["diverging"] = diverging(folder / "diverging")
    found["accuracy"] = {name: judge(name, Share) for name in EVALUATED}
    found["alone"] = judge("centre", whole)
    found["ensembles"] = judge_ensembles(Share)
    found["peaks"] = {(name, k): mine(name, k, Share, CHUNK) for name in MINED for k in KS}
    found["means"] = [mean_image(Bars(images)) for images in MEANS]
    return found


def main():
    faulthandler.dump_traceback_later(LONG, exit=True)  # processes that wait for one another
    torch.set_num_threads(int(sys.argv[2]))  # the tests' own, on which the last bits may depend
    folder = Path(sys.argv[1])
    with distributed.group():
        torch.save(work(folder), folder / f"found_{distributed.rank()}.pt")


# How they are started.


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Number of processes -> (their folder, what each of them found)."""

    @cache
    def of(processes):
        folder = tmp_path_factory.mktemp(f"world{processes}")
        if processes == 1:
            return folder, [work(folder)]
        run = "import test_distributed; test_distributed.main()"
        together(["-c", run, folder, torch.get_num_threads()], processes, folder, LONG + 30)
        names = [folder / f"found_{number}.pt" for number in range(processes)]
        return folder, [torch.load(name, weights_only=False) for name in names]

    return of


several = pytest.mark.parametrize("processes", mostly_slow([3, 2]))
any_number = pytest.mark.parametrize("processes", [1, *mostly_slow([3, 2])])


def of(worlds, processes, what):
    """One finding of every process."""
    return [found[what] for found in worlds(processes)[1]]


# Training.


@several
def test_all_processes_hold_the_same_weights_to_the_bit(worlds, processes):
    for what in ("trained", "stopped", "gone on"):
        assert len({found["hash"] for found in of(worlds, processes, what)}) == 1, what


@several
def test_several_processes_train_as_one_does(worlds, processes):
    [alone], together = of(worlds, 1, "trained"), of(worlds, processes, "trained")
    assert alone["step"] == 6
    for found in together:
        assert found["step"] == 6
        assert furthest(found["state"], alone["state"]) < TOLERANCE


@several
def test_the_metrics_are_those_of_all_processes_together(worlds, processes):
    [alone] = of(worlds, 1, "trained")
    for found in of(worlds, processes, "trained"):
        for row, expected in zip(found["history"], alone["history"], strict=True):
            assert row.keys() == expected.keys()
            for name in row.keys() - {"images_per_second"}:
                if name.endswith("loss"):
                    assert row[name] == pytest.approx(expected[name], rel=1e-6), name
                else:
                    assert row[name] == expected[name], name
    assert sum(alone["history"][0][f"renormalised_conv{n}"] for n in range(1, 6)) > 0
    assert 0 < alone["history"][0]["train_error"] < 100


def weights_by_hand(mean_loss):
    """Those of the same run, the loss of a batch taken from those of its images by `mean_loss`."""

    def loss(logits, labels):
        return mean_loss(F.cross_entropy(logits, labels, reduction="none"))

    net = network()
    by_hand(net, Bars(IMAGES, seed=1), recipe(), loss)
    return state(net)


def test_the_tolerance_tells_the_mean_over_images_from_the_mean_over_processes(worlds):
    """What DistributedDataParallel alone would do with parts of unequal size is far outside."""

    def over_processes(losses):
        return torch.stack([part.mean() for part in losses.tensor_split(2) if len(part)]).mean()

    [alone] = of(worlds, 1, "trained")
    assert furthest(weights_by_hand(torch.mean), alone["state"]) < TOLERANCE
    assert furthest(weights_by_hand(over_processes), alone["state"]) > 1000 * TOLERANCE


@any_number
def test_process_0_alone_writes_and_is_told(worlds, processes):
    folder, found = worlds(processes)
    first, *others = [part["trained"] for part in found]
    assert [row["epoch"] for row in first["epochs"]] == [1, 2]
    ends = ["epoch_000.pt", "epoch_001.pt", "epoch_002.pt"]
    trained = ["epoch_000_step_000003.pt", "epoch_001_step_000003.pt"] if others else []
    assert first["saved"] == sorted(ends + trained), "several save before the validation, too"
    for other in others:
        assert not other["epochs"] and not other["saved"] and not other["wrote"]
    wrote = {path.name for path in (folder / "trained").iterdir()}
    assert wrote == {"process0"}
    last = deconv.load_snapshot(folder / "trained" / "process0" / "last.pt")
    assert all(torch.equal(last.weights[name], w) for name, w in first["state"].items())
    assert last.history == first["history"]


@any_number
def test_a_stop_asked_of_one_process_stops_all_at_the_same_update(worlds, processes):
    for found in of(worlds, processes, "stopped"):
        assert found["updates"] == 1
        assert "stopped in epoch 1 after 1 of 3 updates, and saved" in found["message"]
    folder = worlds(processes)[0] / "stopped"
    assert {path.name for path in folder.iterdir()} == {"process0"}
    last = deconv.load_snapshot(folder / "process0" / "last.pt")
    assert (last.epoch, last.step, last.progress["step"], last.progress["seen"]) == (0, 1, 1, 7)
    assert snapshots(folder / "process0")[-1].name == "epoch_000_step_000001.pt"


@any_number
def test_what_was_stopped_goes_on_to_the_same_weights(worlds, processes):
    [through, *_], [resumed, *_] = (of(worlds, processes, w) for w in ("trained", "gone on"))
    assert resumed["hash"] == through["hash"]


@several
def test_one_process_goes_on_with_what_several_began(worlds, processes, tmp_path):
    start = worlds(processes)[0] / "stopped" / "process0" / "last.pt"
    [alone] = of(worlds, 1, "trained")
    assert furthest(gone_on(tmp_path, start)["state"], alone["state"]) < TOLERANCE


@any_number
def test_a_loss_that_is_not_finite_in_one_process_stops_all_before_the_update(worlds, processes):
    for found in of(worlds, processes, "diverging"):
        assert "the loss is nan in epoch 1, batch 0" in found["message"]
        bad = found["message"].partition("(that of images ")[2].partition(" of the")[0].split(", ")
        order = np.random.default_rng((recipe().seed, 1)).permutation(IMAGES)
        share = np.array_split(order[:BATCH], processes)[-1]
        assert bad == [str(index) for index in sorted(share)], "those of that process alone"
        assert found["untouched"]


# Evaluation, mining and means.


@any_number
@pytest.mark.parametrize("name", EVALUATED)
def test_accuracies_are_the_same_to_the_bit_in_every_process(worlds, processes, name):
    expected = judge(name, whole)
    for found in of(worlds, processes, "accuracy"):
        assert found[name] == expected


@any_number
def test_ensembles_are_judged_the_same_to_the_bit_in_every_process(worlds, processes):
    expected = judge_ensembles(whole)
    assert len({result.loss for result in expected}) == 3
    for found in of(worlds, processes, "ensembles"):
        assert found == expected


@several
def test_a_data_set_that_is_not_divided_is_judged_by_each_process_alone(worlds, processes):
    for found in of(worlds, processes, "alone"):
        assert found == judge("centre", whole)


@pytest.fixture(scope="module")
def expected_peaks():
    """Of a single process on the plain loader, in batches of another size."""
    return {(name, k): mine(name, k, whole, 7) for name in MINED for k in KS}


@pytest.mark.fault("killed pass")
@any_number
def test_peaks_are_the_same_to_the_bit_in_every_process(worlds, processes, expected_peaks):
    for found in of(worlds, processes, "peaks"):
        for asked, layers in expected_peaks.items():
            for layer, fields in layers.items():
                for field, expected in fields.items():
                    assert torch.equal(found[asked][layer][field], expected), (asked, layer, field)


def test_the_peaks_tell_ties_and_come_from_every_part(expected_peaks):
    """Else the comparison above would say little."""
    peaks = expected_peaks["four chunks", 40]["conv1"]
    assert {image // CHUNK for image in peaks["image"].flatten().tolist()} == {0, 1, 2, 3}
    equal = peaks["value"][:, 1:] == peaks["value"][:, :-1]
    assert equal.any(), "copies tie"
    assert (peaks["image"][:, 1:] > peaks["image"][:, :-1])[equal].all()


def test_mining_refuses_a_share_in_other_chunks():
    loader = DataLoader(Share(TensorDataset(mining_images(20)), 8), batch_size=8)
    with pytest.raises(DeconvError, match=f"chunks of {CHUNK} images, got 8"):
        deconv.top_activations(single_precision(), loader, LAYERS)


@any_number
@pytest.mark.parametrize("which", range(len(MEANS)))
def test_the_mean_image_is_the_same_to_the_bit_in_every_process(worlds, processes, which):
    images = torch.stack(Bars(MEANS[which]).images)
    expected = (images.long().sum(dim=0).double() / len(images)).float()
    for found in of(worlds, processes, "means"):
        assert torch.equal(found[which], expected)


# The helpers.


@any_number
def test_processes_tell_each_other_what_they_have(worlds, processes):
    numbers = list(range(processes))
    for number, found in enumerate(of(worlds, processes, "talk")):
        assert (found["rank"], found["ranks"]) == (number, processes)
        assert found["gather"] == [["x" * n, n] for n in numbers]
        triangle = processes * (processes - 1) / 2
        assert found["total"] == [
            triangle + processes,
            processes / 2,
            2.0**40 * processes + triangle,
        ]
        assert found["from_first"] == {"process": 0}


@several
def test_the_others_wait_until_process_0_is_through(worlds, processes):
    first, *others = [found["times"] for found in of(worlds, processes, "talk")]
    assert all(began >= first[1] for began, _ in others)


@several
def test_the_others_do_not_wait_for_ever_where_process_0_fails(worlds, processes):
    first, *others = [found["failing"] for found in of(worlds, processes, "talk")]
    assert not first and all(others)


def shares_by_hand(images, chunk, processes):
    """The parts of all processes: each chunk goes to the last one that begins no later."""
    chunks = [list(range(images))[at : at + chunk] for at in range(0, images, chunk)]
    parts = [[] for _ in range(processes)]
    for number, one in enumerate(chunks):
        parts[max(r for r in range(processes) if len(chunks) * r // processes <= number)] += one
    return parts


@pytest.mark.parametrize("chunk", [1, 3, 8, 32])
@pytest.mark.parametrize("processes", [1, 2, 3, 5, 8])
def test_shares_cover_a_data_set_once_in_order_in_whole_chunks(monkeypatch, chunk, processes):
    for images in (0, 1, 2, 7, 8, 9, 24, 31, 32, 33, 64, 100):
        parts, sizes = [], []
        for number in range(processes):
            monkeypatch.setattr(distributed, "rank", lambda number=number: number)
            monkeypatch.setattr(distributed, "ranks", lambda: processes)
            share = Share(list(range(images)), chunk)
            part = [share[at] for at in range(len(share))]
            assert share.chunk == chunk and share.first % chunk == 0
            assert not part or share.first == part[0]
            parts.append(part)
            sizes.append(-(-len(part) // chunk))
        assert [image for part in parts for image in part] == list(range(images))
        ends = [part[-1] + 1 for part in parts if part]
        assert all(end % chunk == 0 for end in ends[:-1]), "chunks are not torn apart"
        assert max(sizes) - min(sizes) <= 1
        assert parts == shares_by_hand(images, chunk, processes)


PATIENT = """
import sys, time
from deconv import distributed

def slowly(value):
    if distributed.rank() == 0:
        time.sleep(1.5)
    return value

with distributed.group(1.0):
    with distributed.first_alone():
        slowly(None)
    print(distributed.from_first(slowly(7)), flush=True)
    distributed.total([slowly(1.0)])
"""


@pytest.mark.fault("killed group")
def test_what_process_0_prepares_is_waited_for_and_a_late_process_is_named(tmp_path):
    members = group(["-c", PATIENT], 2, tmp_path)
    assert [member.wait(LONG) for member in members] == [1, 1]
    assert [(tmp_path / f"out_{rank}.txt").read_text() for rank in range(2)] == ["7\n"] * 2
    for rank in range(2):
        said = (tmp_path / f"err_{rank}.txt").read_text().splitlines()[-1]
        assert "DeconvError: the processes have lost one another (" in said
        assert "more than group_timeout_s=1. Start all again, a training with resume=" in said


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "RANK, MASTER_ADDR, MASTER_PORT"),
        ({"RANK": "0", "MASTER_PORT": "29500"}, "MASTER_ADDR"),
    ],
)
def test_half_an_environment_is_refused_before_anything_waits(monkeypatch, given, missing):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"WORLD_SIZE": "2"} | given).items():
        monkeypatch.setenv(name, value)
    asked = pytest.raises(DeconvError, match=f"WORLD_SIZE is set but not {missing}: .* torchrun")
    with asked, distributed.group():
        pass


@pytest.mark.parametrize("size", [None, "1"])
def test_a_single_process_has_nothing_to_join(monkeypatch, size):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size:
        monkeypatch.setenv("WORLD_SIZE", size)
    with distributed.group():
        assert not torch.distributed.is_initialized()
        assert (distributed.rank(), distributed.ranks()) == (0, 1)


# Whole commands.


def metrics(folder):
    return list(csv.DictReader((folder / "metrics.csv").open()))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Of a smoke run with few units, whose images are drawn once."""
    few = ["model.input_px=64", "model.fc_width=32", "data.train_images=40", "data.val_images=70"]
    cache = tmp_path_factory.mktemp("cache")
    return ["size=smoke", *few, "data.cache=true", f"cache_dir={cache}"]


@pytest.fixture(scope="module")
def alone(settings, tmp_path_factory):
    """The folder of a smoke training in one process, and its snapshot."""
    from experiments.kit.command import compose
    from experiments.kit.training import train_network

    folder = tmp_path_factory.mktemp("alone")
    return folder, train_network(compose("train", [*settings, "pictures=none"]), folder)


def test_training_in_two_processes_leaves_one_folder_with_the_metrics_of_one(
    alone, settings, tmp_path
):
    train = ["-m", "experiments.train", *settings, "pictures=none"]
    lines, _ = together(train, 2, tmp_path)
    [folder] = (tmp_path / "outputs" / "train").iterdir()
    assert lines[-1] == str(folder)
    assert sum(line.startswith("epoch 2/2: loss") for line in lines) == 1, "one process speaks"
    assert (folder / "provenance.json").exists() and (folder / "config.yaml").exists()
    for row, expected in zip(metrics(folder), metrics(alone[0]), strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"images_per_second"}:
            mine, theirs = (float(r[name] or "nan") for r in (row, expected))
            assert mine == pytest.approx(theirs, rel=1e-4, nan_ok=True), name
    last = deconv.load_snapshot(folder / "last.pt")
    assert furthest(last.weights, alone[1].weights) < 1e-3, "single precision"


def terminated_torchrun(settings, folder):
    """Typed as the README says: torchrun passes the signal on to the processes that it starts."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*torchrun, "-m", "experiments.train", *settings],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        try:
            next(line for line in parent.stdout if line.startswith("epoch 1/"))
        finally:
            parent.terminate()
        parent.communicate(timeout=LONG)
    assert parent.returncode != 0


def terminated_processes(settings, folder):
    """The processes that it would start, each sent the signal."""
    members = group(["-m", "experiments.train", *settings], 2, folder)
    said = folder / "out_0.txt"
    while not (said.exists() and "epoch 1/" in said.read_text()):
        assert [member.poll() for member in members] == [None, None], said.read_text()
        time.sleep(0.02)
    for member in members:
        member.send_signal(signal.SIGTERM)
    assert [member.wait(LONG) for member in members] == [EXIT_INTERRUPTED] * 2


@pytest.mark.parametrize("terminated", mostly_slow([terminated_processes, terminated_torchrun]))
def test_a_terminated_group_saves_and_one_process_goes_on(settings, tmp_path, terminated):
    settings = [*settings, "pictures=none"]
    terminated([*settings, "train.epochs=100000", "train.workers=2"], tmp_path)
    [folder] = (tmp_path / "outputs" / "train").iterdir()
    stopped = deconv.load_snapshot(folder / "last.pt")
    done = stopped.progress["step"]
    assert stopped.epoch >= 1 and 1 <= done <= 3
    assert stopped.step == 3 * stopped.epoch + done

    asked = [*settings, f"resume={folder}", f"train.epochs={stopped.epoch + 1}"]
    command("train", *asked, cwd=tmp_path)
    last = deconv.load_snapshot(folder / "last.pt")
    assert (last.epoch, last.step) == (stopped.epoch + 1, 3 * stopped.epoch + 3)
    assert last.history[: stopped.epoch] == stopped.history
    assert [row["epoch"] for row in metrics(folder)] == [str(e + 1) for e in range(last.epoch)]


@pytest.mark.slow
@pytest.mark.fault("killed group")
def test_one_of_two_processes_is_killed_and_all_end_and_go_on_alike(settings, tmp_path):
    """As `torchrun` does it; the same number of processes comes to the same bits."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    torchrun += ["-m", "experiments.train"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    several = [*settings, "pictures=none", "train.epochs=12", "train.save_steps=2"]
    said = tmp_path / "said.txt"
    with (
        said.open("w") as out,
        subprocess.Popen(
            [*torchrun, *several, "hydra.run.dir=run"], cwd=tmp_path, env=environment,
            stdout=out, stderr=out,
        ) as parent,
    ):  # fmt: skip
        folder = tmp_path / "run"
        while parent.poll() is None and not (folder / "epoch_002.pt").exists():
            time.sleep(0.01)
        holder = int((folder / ".lock").read_text().split()[1])
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        victim = next(int(child) for child in children if int(child) != holder)
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        assert parent.wait(60) != 0 and time.monotonic() - began < 60
        for child in children:
            assert not Path(f"/proc/{child}").exists(), "none stays behind"
    text = said.read_text()
    assert "Traceback" not in text.partition("error: the processes have lost")[0]
    assert not (folder / "epoch_012.pt").exists()
    for asked in (["resume=run"], [*several, "hydra.run.dir=whole"]):
        subprocess.run([*torchrun, *asked], cwd=tmp_path, env=environment, check=True, timeout=LONG)
    one, other = (deconv.load_snapshot(tmp_path / name / "last.pt") for name in ("run", "whole"))
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in other.weights)
    for key, state in other.optimizer["state"].items():
        assert torch.equal(one.optimizer["state"][key]["momentum_buffer"], state["momentum_buffer"])
    speed = {"images_per_second": None}
    assert [row | speed for row in one.history] == [row | speed for row in other.history]


def test_a_figure_of_two_processes_has_the_table_of_one(alone, settings, tmp_path):
    """By a configuration of one's own: every process reads it."""
    (tmp_path / "mine").mkdir()
    mine = "defaults: [fig7_occlusion, _self_]\nlayer: conv3\nk: 2\ncount: 1\n"
    (tmp_path / "mine" / "quick.yaml").write_text(mine)
    asked = ["--config-dir", "mine", "--config-name", "quick", *settings]
    asked.append(f"snapshot={alone[0] / 'last.pt'}")
    one, _ = command("fig7_occlusion", *asked, cwd=tmp_path)
    lines, _ = together(["-m", "experiments.fig7_occlusion", *asked], 2, tmp_path)
    expected, folder = Path(one[-1]), Path(lines[-1])
    assert {expected, folder} == set((tmp_path / "outputs" / "fig7_occlusion").iterdir())
    assert (folder / "table.csv").read_bytes() == (expected / "table.csv").read_bytes()
    assert (folder / "figure.png").exists()


def test_a_sweep_in_several_processes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_refused("train", ["-m", "seed=1,2"], "leave torchrun out", tmp_path)
