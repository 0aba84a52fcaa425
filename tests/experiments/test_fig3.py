"""Figure 3: the table that is printed and saved, the findings, the drawing, and what is refused."""

import csv
import json
from pathlib import Path

import pytest
from command_line import assert_refused, command
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg
from oracles import meta

from deconv import figures
from deconv.networks.layer_table import layer_table, totals
from experiments.fig3_architecture import (
    ROW_NAMES,
    as_text,
    boxes,
    describe,
    findings,
    judge,
    short_count,
)
from experiments.kit.claims import CLAIMS
from experiments.kit.findings import AGREES, read_findings
from experiments.kit.paper_tables import FIG3_SIDES

FILES = (
    "figure.png",
    "figure.pdf",
    "caption.txt",
    "table.csv",
    "findings.json",
    "provenance.json",
    "config.yaml",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(printed lines, folder) of the command as it stands, without a data set."""
    lines, _ = command("fig3_architecture", cwd=tmp_path_factory.mktemp("fig3"))
    return lines, Path(lines[-1])


def written(net):
    """The rows as they are read again from the table."""
    return [{k: str(v) for k, v in row.record().items()} for row in layer_table(net)]


def test_the_papers_network_has_the_papers_sides(run):
    _, folder = run
    assert {path.name for path in folder.iterdir()} == {*FILES, "fig3_architecture.log"}
    rows = {row["stage"]: row for row in csv.DictReader((folder / "table.csv").open())}
    for stage, side in FIG3_SIDES.items():
        assert rows[stage]["height"] == rows[stage]["width"] == str(side)
    found = {finding.claim: finding for finding in read_findings(folder)}
    assert set(found) == {f"fig3/{stage}" for stage in FIG3_SIDES} | {"fig3/parameters"}
    assert {finding.verdict for finding in found.values()} == {AGREES}
    assert found["fig3/conv1"].value == 110 and found["fig3/parameters"].value == 62_357_608
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["judged"] == {"name": "zfnet", "input_px": 224}
    assert facts["parameters"] == 62_357_608 and "paddings" in facts["choices"]
    assert_golden(folder, width=2400)


def test_the_reported_sum_follows_from_the_figures_sizes():
    maps = {1: (3, 96, 7), 2: (96, 256, 5), 3: (256, 384, 3), 4: (384, 384, 3), 5: (384, 256, 3)}
    total = sum(out * (below * k * k + 1) for below, out, k in maps.values())
    widths = (256 * FIG3_SIDES["pool5"] ** 2, 4096, 4096, 1000)
    total += sum((widths[i] + 1) * widths[i + 1] for i in range(3))
    assert CLAIMS["fig3/parameters"].value == total


def test_the_printed_table_is_the_saved_one(run):
    lines, folder = run
    table = list(csv.DictReader((folder / "table.csv").open()))
    shown = lines[-len(table) - 3 : -1]
    for line, row in zip(shown[1:], table, strict=False):
        cells = line.split()
        assert cells[0] == row["stage"]
        assert [int(n.replace(",", "")) for n in cells[-2:]] == [
            int(row[name]) for name in ("parameters", "multiply_adds")
        ]
    assert shown[-1].split() == ["all", "62,357,608", "1,168,032,896"]
    lengths = {line.rindex("  ") for line in shown[1:]}
    assert len(shown) == len(table) + 2 and max(lengths) > 60


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    lines, _ = command("fig3_architecture", f"redraw={run[1]}", cwd=tmp_path)
    for name in FILES:
        assert (Path(lines[-1]) / name).read_bytes() == (run[1] / name).read_bytes(), name


def test_bad_input_is_named_and_leaves_nothing(tmp_path):
    assert_refused("fig3_architecture", ["classes=0"], "classes must be at least 1", tmp_path)


def test_numbers_are_targets_for_the_papers_network_alone():
    def of(name, **arguments):
        net = meta(name, **arguments)
        return {f.claim: f for f in findings(net, layer_table(net))}

    plain = of("zfnet")
    assert all(f.comparable and f.holds for f in plain.values())
    seven = of("zfnet", num_classes=7)
    assert set(plain) - set(seven) == {"fig3/parameters"}
    assert all(f.comparable and f.holds for f in seven.values())
    less = of("zfnet", remove=[3, 4])
    assert set(plain) - set(less) == {"fig3/parameters", "fig3/conv3", "fig3/conv4"}
    small = of("zfnet", input_px=112)
    assert small["fig3/conv1"].value == 54 and not small["fig3/conv1"].holds
    assert not any(f.comparable for f in (less | small).values())


@pytest.mark.parametrize("name", ["zfnet_mini", "alexnet", "torchvision/vgg16"])
def test_with_another_network_the_papers_sizes_are_judged_on_its_own(name):
    net = meta(name)
    network, found = judge(net, layer_table(net))
    own = meta("zfnet")
    assert (
        network == {"name": "zfnet", "input_px": 224} and found == judge(own, layer_table(own))[1]
    )
    assert {f.claim for f in found} == {f"fig3/{s}" for s in FIG3_SIDES} | {"fig3/parameters"}
    assert all(f.verdict == AGREES and f.facts["input_px"] == 224 for f in found[:-1])
    changed = meta("zfnet", remove=[3, 4])
    _, found = judge(changed, layer_table(changed))
    assert found == findings(changed, layer_table(changed)), "a change of zfnet is judged itself"


@pytest.mark.parametrize(
    "name", ["zfnet", "alexnet", "zfnet_mini", "torchvision/vgg16", "torchvision/vgg19"]
)
def test_boxes_are_apart_and_on_the_page(name):
    found = boxes(written(meta(name)))
    page = figures.architecture_boxes(found, ROW_NAMES, name, "A caption. " * 40)
    renderer = FigureCanvasAgg(page).get_renderer()
    (sheet,) = page.axes
    words = [t for t in [*sheet.texts, *page.texts] if t.get_text()]
    extents = [t.get_window_extent(renderer) for t in words]
    for box, one in zip(extents, words, strict=True):
        inside = box.x0 >= 0 and box.x1 <= page.bbox.x1 and box.y0 >= 0 and box.y1 <= page.bbox.y1
        assert inside, one.get_text()
    for i, box in enumerate(extents):
        for j, other in enumerate(extents[:i]):
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 1, (words[i].get_text(), words[j].get_text())
    said = {t.get_text() for t in words}
    assert {box.title for box in found} <= said
    assert {fact for box in found for fact in box.facts} <= said


def test_normalisation_is_told_with_the_stage_that_it_follows():
    mine = {box.title: box for box in boxes(written(meta("zfnet")))}
    assert mine["pool1"].operation == ("3×3 max", "stride 2", "contrast\nnorm")
    assert mine["conv2"].operation == ("5×5 conv", "stride 2", "ReLU")
    assert mine["conv1"].operation == ("7×7 conv", "stride 2", "pad 1", "ReLU")
    theirs = {box.title: box for box in boxes(written(meta("alexnet")))}
    assert theirs["conv2"].operation[-3:] == ("2 groups", "ReLU", "contrast\nnorm")
    assert theirs["pool1"].operation == ("3×3 max", "stride 2")
    assert [box.group for box in mine.values()][:3] == ["Input", "Layer 1", "Layer 1"]
    assert mine["fc8"].group == "Output" and mine["conv5"].kernel == 3 and mine["fc7"].kernel == 0
    assert mine["conv3"].facts == ("384×13×13", "75 px", "16 px", "885 k", "150 M")


def test_words_of_a_stage():
    rows = {row["stage"]: row for row in (one.record() for one in layer_table(meta("alexnet")))}
    wanted = "5×5 convolution, stride 1, padding 2, 2 groups, ReLU"
    assert describe(rows["conv2"]) == wanted and describe(rows["fc8"]) == "fully connected"
    assert [short_count(n) for n in (0, 999, 1000, 1_234_567, 15_470_264_320)] == [
        "–",
        "999",
        "1 k",
        "1.23 M",
        "15.5 G",
    ]
    text = as_text(list(rows.values()))
    assert text.splitlines()[-1].split()[1] == f"{totals(layer_table(meta('alexnet')))[0]:,}"
