"""The numbers in docs/questions.md are those of the kept files and of the networks."""

import pytest
from command_line import ROOT
from torch import nn

import deconv
from deconv.mining.map_statistics import map_points
from experiments.kit import kept

TEXT = " ".join((ROOT / "docs" / "questions.md").read_text(encoding="utf-8").split())
FIRES = [f"features.{i}" for i in (3, 4, 5, 7, 8, 9, 10, 12)]


def measured(name):
    """Layer -> its row, of the layers that have weights."""
    rows = kept.records()[f"{name}/feature_maps"]["tables"]["table"]
    return {row["layer"]: row for row in rows if row["number"]}


def percent(row):
    return f"{100 * float(row['share_above_0']):.0f}"


@pytest.mark.parametrize("part", ["squeeze", "expand1x1", "expand3x3"])
def test_the_table_of_sparsity_is_the_kept_one(part):
    rows = measured("squeezenet1_0_imagenet")
    words = {"squeeze": "squeeze, 1×1", "expand1x1": "expand, 1×1", "expand3x3": "expand, 3×3"}
    cells = [percent(rows[f"{fire}.{part}"]) for fire in FIRES]
    assert f"| {words[part]} | | {' | '.join(cells)} |" in TEXT
    assert f"| one layer | {percent(rows['features.0'])} |" in TEXT


def test_dead_maps_and_random_weights_are_as_kept():
    rows = measured("squeezenet1_0_imagenet")
    assert {row["images"] for row in rows.values()} == {"1000"}
    dead = {layer: int(row["dead"]) for layer, row in rows.items() if int(row["dead"])}
    assert dead == {"features.9.expand1x1": 6, "features.10.squeeze": 1}
    below = {layer: row for layer, row in rows.items() if layer.startswith("features")}
    assert sum(int(row["maps"]) for row in below.values()) == 2976
    assert sum(int(row["saturated"]) for row in below.values()) == 2
    random = {k: row for k, row in measured("squeezenet1_0_random").items() if k in below}
    shares = sorted(float(row["share_above_0"]) for row in random.values())
    assert f"{100 * shares[0]:.0f} to {100 * shares[-1]:.0f} % of the values of every layer" in TEXT
    lost, seen = sum(int(row["dead"]) for row in random.values()), next(iter(random.values()))
    assert f"{lost} of 2,976 over {seen['images']} photographs" in TEXT


def test_the_numbers_of_one_unit_are_as_kept():
    rows = kept.records()["squeezenet1_0_imagenet/one_unit"]["tables"]["table"]
    crop = rows[0]
    assert (crop["answer"], crop["file"]) == ("crop", "photographs/cat.png")
    best = max(float(row["activation"]) for row in rows if row["answer"] == "start")
    assert f"{round(best, -4):,.0f} against {float(crop['value']):.0f}" in TEXT
    most, least = (float(row["fall_deg"]) for row in rows if row["answer"] == "direction")
    assert f"{most:.0f}° along the most invariant direction, {least:.0f}° along the least" in TEXT


def test_the_layers_of_a_resnet50_are_those_of_the_table():
    """Fields by arithmetic along its longest path; two of them by a probe, too."""
    net = deconv.build("torchvision/resnet50", 5)
    size, stride, laws = 1, 1, {}
    for name, part in net.module.named_modules():
        if isinstance(part, nn.Conv2d | nn.MaxPool2d) and "downsample" not in name:
            kernel, step = (
                n if isinstance(n, int) else n[0] for n in (part.kernel_size, part.stride)
            )
            size, stride = size + (kernel - 1) * stride, stride * step
            laws[name] = size, stride
    for number in (1, 20, 40, 44, 48):
        point = map_points(net, number).measured
        layer = net.layers[number - 1]
        maps, height, width = net.calls.values[point].shape
        size, stride = laws[layer]
        if number <= 20:
            assert net.interior(point, 0)[:2] == laws[layer]
        cells = [number, f"`{layer}`", f"{maps} of {height}×{width}"]
        cells += [f"{size}×{size} px", f"{stride} px"]
        assert f"| {' | '.join(map(str, cells))} |" in TEXT
