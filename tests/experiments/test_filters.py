"""Filters as pictures: what the command keeps, draws again and refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command, subject
from golden import assert_golden

import deconv
from deconv.errors import DeconvError
from experiments.filters import check


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    lines, _ = command(
        "filters",
        "size=smoke",
        f"snapshot={smoke_run / 'last.pt'}",
        "layers=[1,conv3]",
        "images_checked=2",
        cwd=tmp_path_factory.mktemp("filters"),
    )
    return Path(lines[-1])


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_a_run_leaves_what_it_drew(run, smoke_run, tmp_path):
    arrays = np.load(run / "arrays.npz")
    net = deconv.load_snapshot(smoke_run / "last.pt").network()
    assert np.array_equal(arrays["conv1/before/weights"], net.conv1.weight.detach().numpy())
    rows = list(csv.DictReader((run / "table.csv").open()))
    assert len(rows) == 48 + 10 and rows[48]["layer"] == "conv3"
    facts = json.loads((run / "provenance.json").read_text())
    scale = facts["layers"][0]["change"]["scale"]
    for row in rows[:48]:
        weight = net.conv1.weight[int(row["map"])].detach().numpy()
        assert float(row["black_before"]) == pytest.approx(weight.min())
        assert float(row["white_before"]) == pytest.approx(weight.max())
        after = weight / np.array(scale)[:, None, None]
        assert float(row["white_after"]) == pytest.approx(after.max(), rel=1e-5)
        assert float(row["z_difference"]) < 1e-5 * float(row["z_largest"]) + 1e-5
        assert row["constant_before"] == "False"
    assert_golden(run)
    (*_, folder), _ = command("filters", "size=smoke", f"redraw={run}", cwd=tmp_path)
    for path in Path(folder).iterdir():
        assert (run / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_fully_connected_network_is_trained_and_shown(tmp_path):
    (*_, folder), _ = command(
        "filters", "size=smoke", "model=mlp", "model.grey=true", "model.input_px=28", cwd=tmp_path
    )
    arrays = np.load(Path(folder) / "arrays.npz")
    assert arrays["fc1/before/weights"].shape == (96, 1, 28, 28)
    assert (Path(folder) / "last.pt").exists() and (Path(folder) / "figure.png").exists()


REFUSED = [
    (["layers=[fc8]"], "fc8 of zfnet_mini has no pictures"),
    (["layers=[12]"], "8 layers with weights, no number 12"),
    (["maps.conv1=[48]"], "conv1 has maps 0 to 47, not 48"),
    (["intensity=filer"], "unknown intensity 'filer'"),
    (["affine=own", "scale=[1,2]"], "scale=[…] with one or three numbers"),
    (["affine=own", "scale=[0]", "shift=[1]"], "scale has to be above 0"),
    (["deep_maps=0"], "deep_maps must be at least 1"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_bad_settings_are_refused_at_once(overrides, message):
    with pytest.raises(DeconvError) as error:
        check(*subject("filters", "size=smoke", *overrides))
    assert message in str(error.value)


def test_a_refusal_leaves_nothing(tmp_path):
    assert_refused("filters", ["size=smoke", "layers=[fc7]"], "has no pictures", tmp_path)
