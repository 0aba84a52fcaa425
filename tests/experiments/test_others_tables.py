"""Tables 2, 4, 6 and 7 of networks of others, of random weights, at a small size."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import command, subject
from golden import assert_golden, assert_words_apart
from PIL import Image
from safetensors.torch import save_file
from test_table2 import IMAGES, errors_by_hand, sums_by_hand

import deconv
from deconv.errors import DeconvError
from deconv.studies.probes.folds import over_folds
from experiments import table4_caltech101, table7_layer_probes
from experiments.kit.findings import read_findings
from experiments.kit.inputs import weights_snapshot
from experiments.kit.probing import network_in_words, open_study, overlap, pool
from experiments.kit.result_tables import probes
from experiments.table2_imagenet import compute as table2

SMALL = """
from torch import nn

def small(num_classes=17):
    return nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3),
                         nn.ReLU(), nn.Conv2d(8, 9, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(9, num_classes))
"""


@pytest.fixture(scope="module")
def squeeze(tmp_path_factory):
    """Overrides that name a SqueezeNet with weights of a file, which "learnt" ImageNet."""
    path = tmp_path_factory.mktemp("weights") / "squeeze.safetensors"
    net = deconv.build("torchvision/squeezenet1_0", 17, seed=3)
    save_file({name: one.contiguous() for name, one in net.module.state_dict().items()}, path)
    return [
        "model=torchvision/squeezenet1_0",
        f"model.weights={path}",
        "model.input_px=64",
        "model.trained_on=imagenet",
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Overrides that name a network of a file."""
    path = tmp_path_factory.mktemp("file") / "mine.py"
    path.write_text(SMALL)
    own = ["model.input_px=48", "model.mean=[120,120,120]", "model.std=[1,1,1]"]
    return [f"model=file:{path}:small", *own]


def rows_of(folder, table="table"):
    with (folder / f"{table}.csv").open() as file:
        return list(csv.DictReader(file))


# Table 7


@pytest.fixture(scope="module")
def probed(squeeze, tmp_path_factory):
    lines, _ = command(
        "table7_layer_probes",
        "size=smoke",
        *squeeze,
        "data.val_images=51",
        "folds=2",
        "svm=[classifier.2,features.3,1,5,7]",
        "softmax=[7]",
        "c=[1]",
        "pooled=[1,2]",
        cwd=tmp_path_factory.mktemp("table7"),
    )
    return Path(lines[-1]), lines


def test_layers_of_others_are_probed_by_number_and_by_name(probed):
    folder, lines = probed
    assert any("1 is features.1, features.3, 5 is features.12, classifier.2" in x for x in lines)
    rows = [row for row in rows_of(folder) if row["classifier"] == "svm"]
    ours = [row for row in rows if row["source"] == "here"]
    assert [row["layer"] for row in ours] == ["1", "features.3", "5", "classifier.2"]
    assert [row["title"] for row in ours] == ["conv1", "fire2", "fire9", "conv10"]
    control = [row for row in rows if row["source"] == "control"]
    assert [row["point"] for row in control] == [row["point"] for row in ours]
    assert [row["mean"] for row in control] != [row["mean"] for row in ours]
    widths = {row["point"]: int(row["features"]) for row in rows_of(folder, "folds")}
    maps = {"features.1": 96, "features.3": 128, "features.12": 512, "classifier.2": 17}
    assert widths == {point: 5 * count for point, count in maps.items()}
    found = {f.claim: f for f in read_findings(folder)}
    steps = {f"control/table7/scenes/{x}" for x in ("svm/layer1", "svm/layer5", "softmax/layer7")}
    assert set(found) == steps | {"control/table7/learned/svm"}, "of one softmax there is no rise"
    pairs = zip(ours, control, strict=True)
    first, *_, last = ([float(row["mean"]) for row in pair] for pair in pairs)
    learned = found["control/table7/learned/svm"]
    assert learned.value == pytest.approx((last[0] - first[0]) - (last[1] - first[1]), abs=1e-3)
    assert learned.facts["layers"] == ["features.1", "classifier.2"]


def test_titles_stand_on_the_axis(probed):
    assert_words_apart(probed[0])
    assert_golden(probed[0], "table7_named_layers")


def test_a_small_module_has_its_few_layers_once_and_no_control_of_its_own_weights(small, tmp_path):
    lines, _ = command(
        "table7_layer_probes",
        "size=smoke",
        *small,
        "data.val_images=51",
        "folds=1",
        "c=[1]",
        cwd=tmp_path,
    )
    rows = [row for row in rows_of(Path(lines[-1])) if row["classifier"] == "svm"]
    assert [row["point"] for row in rows] == ["1", "4", "6", "8"]
    assert any("no control" in line for line in lines), "the file makes random weights by the seed"


def test_random_weights_are_a_control_and_nothing_is_judged(squeeze, tmp_path):
    random = ["model.weights=random", "model.num_classes=17", "model.trained_on=null"]
    few = ["data.val_images=51", "folds=1", "svm=[1,5]", "softmax=[]", "c=[1]", "pooled=[1]"]
    cfg, it = other("table7_layer_probes", [*squeeze, *random, *few], tmp_path)
    result = table7_layer_probes.compute(cfg, it)
    assert [row["source"] for row in result.tables["table"]] == ["control"] * 2
    assert result.tables["table"][0]["network"] == "squeezenet1_0, random weights"
    assert result.findings == []


def test_the_rise_with_depth_is_judged_beside_random_weights():
    def rows(*means, std=1.0):
        return [
            {"classifier": "svm", "layer": str(i), "point": f"p{i}", "mean": m, "std": std}
            | {"folds": 5}
            for i, m in enumerate(means, 1)
        ]

    (found,) = table7_layer_probes.judge_learned(rows(40, 60, 80), rows(30, 20, 25))
    assert found.value == 45 and found.holds and found.half == 4
    (found,) = table7_layer_probes.judge_learned(rows(40, 60, 46), rows(30, 20, 33))
    assert found.value == 3 and found.holds is False
    (found,) = table7_layer_probes.judge_learned(rows(40, 42, std=""), rows(30, 30, std=""))
    assert found.holds and found.half is None
    assert table7_layer_probes.judge_learned(rows(40, 60), []) == []


def test_the_page_of_results_has_a_table_for_each_network_with_titles():
    row = {"source": "here", "network": "n", "classifier": "svm", "per_class": "30", "folds": "5"}
    row |= {"mean": "50.0", "std": "1.0"}

    def record(name, *rows):
        one = {"network": {"name": name}, "data": {"name": "caltech101"}}
        return one | {"tables": {"table": [row | more for more in rows]}}

    titles = [{"layer": x, "title": x} for x in ("conv1", "fire9")]
    few = titles[1] | {"per_class": "15"}
    scratch = {"layer": "7", "network": "from scratch"}
    text = probes(
        {
            "a": record("zfnet", {"layer": "1"}, {"layer": "5"}),
            "b": record("torchvision/s", few, scratch),
            "c": record("torchvision/s", *titles),
        }
    )
    first, second = text.split("\n\n")
    assert "layer 1 | layer 5" in first and "conv1 | fire9" in second
    assert "scratch" not in text


# Tables 4 and 6


@pytest.fixture(scope="module")
def caltech(tmp_path_factory):
    """Four classes of nine images in Caltech's layout, which colours tell."""
    root = tmp_path_factory.mktemp("caltech")
    random = np.random.default_rng(0)
    for label, name in enumerate(("ant", "bass", "crab", "dolphin")):
        for i in range(1, 10):
            noise = random.integers(0, 90, (40, 50, 3))
            noise[..., label % 3] += 60 * (1 + label // 3)
            path = root / "caltech101" / "101_ObjectCategories" / name / f"image_{i:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.astype(np.uint8)).save(path)
    (root / "caltech101" / "101_ObjectCategories" / "BACKGROUND_Google").mkdir()
    there = ["data=caltech101", f"data.root={root}", "data.partial=true", "data.cache=false"]
    return [*there, "data.workers=0"]


def other(stem, overrides, tmp_path):
    """Settings and subject of a command whose network model= names."""
    cfg, it = subject(stem, "size=smoke", *overrides, folder=tmp_path)
    it.given = weights_snapshot(cfg)
    return cfg, it


def test_table_4_takes_what_the_last_layer_reads(squeeze, caltech, tmp_path):
    asked = [*squeeze, *caltech, "folds=2", "per_class=[2]", "c=[1]", "pooled=[1]"]
    cfg, it = other("table4_caltech101", asked, tmp_path)
    result = table4_caltech101.compute(cfg, it)
    ours = result.tables["table"][0]
    assert (ours["layer"], ours["point"], ours["title"]) == ("7", "features.12", "fire9")
    assert ours["network"] == "squeezenet1_0, trained on imagenet"
    assert ours["architecture"] == "torchvision/squeezenet1_0, 64 px" and ours["mean"] > 40
    assert all(row["features"] == 512 for row in result.tables["folds"])
    assert result.facts["seen"][0]["seen"].endswith("trained on imagenet, another data set")
    asked = [*asked, "folds=1", "layer=features.4"]
    lines, _ = command("table4_caltech101", "size=smoke", *asked, cwd=tmp_path)
    assert {row["point"] for row in rows_of(Path(lines[-1]), "folds")} == {"features.4"}
    assert "frozen fire3" in (Path(lines[-1]) / "caption.txt").read_text()


def test_photographs_at_hand_stand_for_the_training_images_of_weights(squeeze, caltech, tmp_path):
    """A copy of one of Caltech's images lies somewhere below a folder."""
    cfg, it = other("table4_caltech101", [*squeeze, *caltech, "per_class=[2]"], tmp_path)
    whole = pool(cfg, 73)
    (tmp_path / "sample" / "val" / "n1").mkdir(parents=True)
    Image.open(whole.paths[5]).save(tmp_path / "sample" / "val" / "n1" / "copy.png")
    Image.new("RGB", (50, 50), "red").save(tmp_path / "sample" / "plain.png")
    with pytest.raises(DeconvError, match="overlap_root=<folder>"):
        overlap(cfg, it.given, whole)
    cfg.overlap_root, cfg.remove_overlap, cfg.folds = str(tmp_path / "sample"), True, 1
    study = open_study(it, [("softmax", "7")], [2], ())
    found = study.seen[0]["overlap"]
    assert [pair[0] for pair in found["pairs"]] == [5]
    assert found["source"] == {"name": "sample", "images": 2}
    assert 5 not in {*study.folds[0].train, *study.folds[0].test}
    facts = {"seen": study.seen, "model": {"name": "x"}, "training": {"images": None}}
    assert "Of 36 images 1 had their like among 2 of sample" in network_in_words(facts)
    cfg.overlap_root = str(tmp_path / "nowhere")
    with pytest.raises(DeconvError, match="nowhere is no folder with images"):
        overlap(cfg, it.given, whole)


def test_table_6_takes_any_layer_of_any_network(squeeze, tmp_path):
    layer = ["layer=features.4", "pooled=[1]", "strengths=[0.01]"]
    lines, _ = command("table6_pascal", "size=smoke", *squeeze, *layer, cwd=tmp_path)
    facts = json.loads((Path(lines[-1]) / "provenance.json").read_text())
    assert facts["choices"]["features"].startswith("features.4, centre crop; maps max-pooled to 1")
    assert any("128 values an image" in line for line in lines)


# Table 2


def test_a_network_of_others_is_averaged_with_a_snapshot(small, smoke_run, tmp_path):
    asked = ["size=smoke", *small, f"snapshots=[{smoke_run}/last.pt]", "precision=fp32"]
    asked += [f"data.val_images={IMAGES}"]
    cfg, it = subject("table2_imagenet", *asked, folder=tmp_path)
    lines = table2(cfg, it).tables["table"]
    assert [line["row"] for line in lines] == ["net 1", "net 2", "2 nets"]
    first = it.named(weights_snapshot(cfg))
    last = deconv.load_snapshot(smoke_run / "last.pt")
    got = [lines[-1]["validation top-1"], lines[-1]["validation top-5"]]
    assert got == pytest.approx(errors_by_hand(sums_by_hand(first) + sums_by_hand(last)), abs=1e-3)


def test_a_network_of_imagenet_stands_beside_the_papers_single_one(squeeze, tmp_path):
    cfg, it = subject("table2_imagenet", "size=smoke", *squeeze, folder=tmp_path)
    result = table2(cfg, it)
    found = {f.claim: f for f in result.findings}
    assert set(found) == {f"table2/zfnet 1 net/validation top-{n}" for n in (1, 5)}
    one = found["table2/zfnet 1 net/validation top-1"]
    assert not one.comparable and one.verdict == "not tested"
    assert one.half == pytest.approx(result.tables["table"][0]["validation top-1 ±"], abs=1e-3)
    assert "may be among those" in one.facts["note"]


def test_named_networks_have_their_own_weights():
    cfg, _ = subject("table2_imagenet", "size=smoke", "snapshots=[torchvision/resnet18:none]")
    assert cfg.rows == {"1 net": [0]}
    with pytest.raises(DeconvError, match="none"):
        table2(*subject("table2_imagenet", "size=smoke", "snapshots=[torchvision/resnet18:none]"))


def test_means_over_folds_keep_the_point():
    row = {"network": "n", "classifier": "svm", "layer": "5", "point": "features.12"}
    (mean,) = over_folds([row | {"per_class": 3, "mean_class": 4.0}])
    assert mean["point"] == "features.12"
