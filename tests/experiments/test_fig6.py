"""Figure 6: what it trains, measures, judges, draws and refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg
from omegaconf import OmegaConf

import deconv
from deconv import figures
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.figures.first_layers import DASH, TILE_GAP, TILE_PX, columns, projection_pixels
from deconv.scenes import Scenes
from experiments.fig6_first_layers import caption, check, findings
from experiments.kit.findings import read_findings

ROLES = ("without", "coarse", "ours")


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    """The figure at size=smoke with `ours` given, its twins trained."""
    cwd = tmp_path_factory.mktemp("fig6")
    lines, _ = command(
        "fig6_first_layers", "size=smoke", f"ours={smoke_run / 'last.pt'}", "seed=3", cwd=cwd
    )
    return Path(lines[-1])


def table(folder):
    rows = csv.DictReader((folder / "table.csv").open())
    return {(row["network"], row["layer"]): row for row in rows}


# The command


def test_the_caption_names_what_the_deconvnet_has_no_rule_for(run):
    facts = json.loads((run / "provenance.json").read_text())
    words = "has no rule for GELU: its own derivative"
    assert words in caption(facts | {"no_rule": ["GELU"]})
    assert words not in caption(facts)


def test_a_run_leaves_all_its_files_and_the_networks_it_trained(run, smoke_run):
    names = {path.name for path in run.iterdir()}
    assert names == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "findings.json",
        "config.yaml",
        "provenance.json",
        "fig6_first_layers.log",
        "without",
        "coarse",
    }
    facts = json.loads((run / "provenance.json").read_text())
    networks = facts["networks"]
    assert networks["without"]["max_rms"] is None
    assert networks["coarse"]["max_rms"] == networks["ours"]["max_rms"] == 0.1
    assert networks["coarse"]["model"]["first_layer"] == "coarse"
    assert networks["without"]["model"] == networks["ours"]["model"]
    assert facts["unequal"] == {"without": [], "coarse": []}
    assert len({net["weights_sha256"] for net in networks.values()}) >= 2
    for role in ("without", "coarse"):
        snapshot = deconv.load_snapshot(run / role / "last.pt")
        assert snapshot.epoch == 2
    claims = {f"fig6/{name}" for name in ("dominating", "dead", "aliasing")}
    assert {f.claim for f in read_findings(run)} == claims
    assert_golden(run)


def test_what_is_measured_is_what_the_networks_have(run, smoke_run):
    arrays, rows = np.load(run / "arrays.npz"), table(run)
    for role, path in (
        ("without", run / "without"),
        ("coarse", run / "coarse"),
        ("ours", smoke_run),
    ):
        snapshot = deconv.load_snapshot(path / "last.pt")
        net = snapshot.network()
        weight = net.conv1.weight.detach()
        assert np.array_equal(arrays[f"{role}/filters"], weight.numpy())
        rms = [float(np.sqrt((w.double().numpy() ** 2).mean())) for w in weight]
        assert arrays[f"{role}/conv1/rms"].tolist() == pytest.approx(rms)
        row = rows[role, "conv1"]
        assert float(row["largest_rms"]) == pytest.approx(max(rms), abs=1e-5)
        assert int(row["faint"]) == sum(r < 0.1 * max(rms) for r in rms)
        assert int(row["stride"]) == net.conv1.stride[0] == (4 if role == "coarse" else 2)
        crops = CentreCrops(Scenes(36, 2, snapshot.mean.shape[-1]), snapshot.mean, net.input_px)
        record = net.record(torch.stack([crops[i][0] for i in range(36)]), ["conv1", "conv2"])
        for layer in ("conv1", "conv2"):
            best = record.activations[layer].amax(dim=(0, 2, 3))
            np.testing.assert_allclose(arrays[f"{role}/{layer}/strongest"], best, rtol=1e-4)
            assert int(rows[role, layer]["dead"]) == int((best <= 0).sum())
        for number in (0, 50, 95):
            image, y, x = (int(arrays[f"{role}/{n}"][number]) for n in ("image", "y", "x"))
            assert record.activations["conv2"][image, number, y, x] == pytest.approx(
                float(arrays[f"{role}/conv2/strongest"][number]), rel=1e-4
            )
            unit = torch.tensor([[image, number, y, x]])
            pixels = deconv.project(net, record, "conv2", unit)[0]
            top, left, bottom, right = arrays[f"{role}/box"][number]
            cut = pixels[:, top:bottom, left:right].reshape(3, -1).numpy()
            seen = arrays[f"{role}/inside"][number]
            shown = arrays[f"{role}/projection"][number]
            np.testing.assert_allclose(
                shown[:, seen], cut, rtol=1e-3, atol=1e-5 * np.abs(cut).max()
            )
            assert not shown[:, ~seen].any()


def test_spectra_are_those_of_filters_and_projections(run):
    """The mid band by a fine DFT, a map at a time."""
    arrays, rows = np.load(run / "arrays.npz"), table(run)
    away = np.abs(np.fft.fftfreq(256))
    larger = np.maximum(away[:, None], away)
    for role in ROLES:
        for layer, signals in (("conv1", "filters"), ("conv2", "projection")):
            mids, above = [], []
            limit = 0.125 if role == "coarse" else 0.25
            for signal in arrays[f"{role}/{signals}"]:
                power = sum(np.abs(np.fft.fft2(channel, (256, 256))) ** 2 for channel in signal)
                mids.append(power[(larger > 0.125) & (larger < 0.25)].sum() / power.sum())
                above.append(power[larger > limit].sum() / power.sum())
            row = rows[role, layer]
            assert float(row["mid"]) == pytest.approx(np.mean(mids), abs=0.02)
            assert float(row["aliased"]) == pytest.approx(np.mean(above), abs=0.02)
            shares = sum(float(row[name]) for name in ("low", "mid", "high"))
            assert shares == pytest.approx(1, abs=1e-4)
            curve = arrays[f"{role}/{layer}/within"]
            assert curve[0] == 0 and curve[-1] == pytest.approx(1) and (np.diff(curve) > 0).all()
            assert curve[25] == pytest.approx(1 - float(row["high"]), abs=1e-4)


def test_random_weights_are_not_said_to_alias_or_to_be_dominated(run):
    """Two epochs of four updates leave the first weights: no claim may hold of them."""
    found = {finding.claim: finding for finding in read_findings(run)}
    arrays = np.load(run / "arrays.npz")
    # Eight updates bring no filter to the limit, so there is nothing to compare.
    assert np.array_equal(arrays["without/filters"], arrays["ours/filters"])
    assert found["fig6/dominating"].holds is None
    assert found["fig6/dead"].holds is None
    assert found["fig6/aliasing"].holds is False
    for role in ("coarse", "ours"):
        assert len(set(arrays[f"{role}/random_aliased"])) == 5
        own = np.nanmean(arrays[f"{role}/conv2/aliased"])
        assert arrays[f"{role}/random_aliased"].mean() == pytest.approx(own, abs=0.06)


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    (*_, folder), _ = command("fig6_first_layers", "size=smoke", f"redraw={run}", cwd=tmp_path)
    for path in run.iterdir():
        if path.is_file() and path.suffix != ".log":
            assert (Path(folder) / path.name).read_bytes() == path.read_bytes(), path.name


# Refusals


def test_bad_input_leaves_nothing(run, tmp_path):
    limited = f"without={run / 'coarse' / 'last.pt'}"
    words = "without= has to be trained with train.max_rms=null, not 0.1"
    assert_refused("fig6_first_layers", ["size=smoke", limited], words, tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["size=paper", "ours=a.pt"], "without=, coarse= missing"),
        (["split=vall"], "unknown split 'vall'. Did you mean 'val'"),
        (["collisions=summ"], "Did you mean 'sum'"),
        (["bands=[0.25,0.125]"], "two frequencies that rise"),
        (["bands=[0.25]"], "two frequencies that rise"),
        (["bands=[0.25,0.5]"], "two frequencies that rise"),
        (["faint=1.0"], "faint is a share"),
        (["epochs=0"], "epochs must be at least 1"),
        (["controls=1"], "controls must be at least 2"),
        (["response_images=0"], "response_images must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(overrides, words):
    check(*subject("fig6_first_layers", "size=laptop"))
    with pytest.raises(DeconvError) as error:
        check(*subject("fig6_first_layers", *overrides))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.max_rms=null"], "coarse= has to be trained with train.max_rms=a limit, not None"),
        (["model.first_layer=coarse"], "layer 1 of coarse= has stride 4, that of ours= 4"),
        (["model=alexnet"], "alexnet's first layer is coarse already"),
        (["model=torchvision/alexnet"], "leave out first_layer"),
    ],
)
def test_networks_that_do_not_belong_together_are_refused(overrides, words):
    with pytest.raises(DeconvError) as error:
        check(*subject("fig6_first_layers", "size=smoke", *overrides))
    assert words in str(error.value)


def test_twins_differ_in_one_thing_alone():
    _, it = subject("fig6_first_layers", "size=laptop", "epochs=7")
    twins = {role: OmegaConf.to_container(one.config) for role, one in it.roles.items()}
    assert twins["ours"]["train"]["epochs"] == twins["ours"]["train"]["eval_every"] == 7
    assert twins["ours"]["train"]["lr_drops"] == list(it.config.train.lr_drops)
    for role, key, value in (
        ("without", ("train", "max_rms"), None),
        ("coarse", ("model", "first_layer"), "coarse"),
    ):
        changed = json.loads(json.dumps(twins["ours"]))
        changed[key[0]][key[1]] = value
        assert twins[role] == changed
    assert it.config.model.first_layer is None, "left as it was"
    _, it = subject("fig6_first_layers", "size=smoke")
    assert it.roles["ours"].config.train.epochs == 2, "no longer than train.epochs"


# Findings


def measured(half=(2, 20, 20), lost=(0, 5, 1), shares=(0.8, 0.4)):
    rows = [
        {
            "network": role,
            "layer": "conv1",
            "maps": 48,
            "filters_of_half": half[i],
            "dead_or_faint": lost[i],
            "kernel": (7, 11, 7)[i],
            "stride": (2, 4, 2)[i],
        }
        for i, role in enumerate(ROLES)
    ]
    noise = np.tile([-0.05, 0.05, np.nan], 32)
    arrays = {
        f"{role}/conv2/aliased": share + noise
        for role, share in zip(("coarse", "ours"), shares, strict=True)
    }
    arrays |= {f"{role}/filters": np.full((48, 3), i) for i, role in enumerate(ROLES)}
    arrays["coarse/random_aliased"] = np.array([0.88, 0.90, 0.92])
    arrays["ours/random_aliased"] = np.array([0.6, 0.7, 0.8])
    return rows, arrays


def verdicts(unequal=None, **measures):
    equal = {"without": [], "coarse": []}
    return findings(*measured(**measures), equal | (unequal or {}), 0.1)


def test_claims_are_judged_by_their_rules():
    dominating, dead, aliasing = verdicts()
    assert dominating.value == 2 / 48 and dead.value == pytest.approx(4 / 48)
    # Numbers by hand: 64 maps live, half of them 0.05 above and half below the mean.
    assert aliasing.value == pytest.approx(0.8 / 0.9 - 0.4 / 0.7)
    sd = 0.05 * np.sqrt(64 / 63)
    maps = (sd / 0.9) ** 2 / 64 + (sd / 0.7) ** 2 / 64
    random = (0.02 / 0.9) ** 2 + (0.1 / 0.7) ** 2
    wanted = 2 * np.sqrt(maps + random)
    assert aliasing.half == pytest.approx(wanted)
    assert dominating.holds and dead.holds and aliasing.holds


@pytest.mark.parametrize(
    ("measures", "holds"),
    [
        ({"half": (5, 20, 20)}, (False, True, True)),
        ({"half": (2, 20, 2)}, (False, True, True)),
        ({"lost": (0, 1, 1)}, (True, False, True)),
        ({"lost": (0, 0, 2)}, (True, False, True)),
        ({"lost": (9, 0, 0)}, (True, None, True)),
        ({"shares": (0.5, 0.4)}, (True, True, False)),
        ({"shares": (0.9 * 0.6, 0.7 * 0.6)}, (True, True, False)),
        ({"unequal": {"coarse": ["epochs"]}}, (True, None, None)),
        ({"unequal": {"without": ["lr"]}}, (None, True, True)),
        ({"shares": (np.nan, 0.4)}, (True, True, None)),
    ],
)
def test_claims_that_do_not_hold(measures, holds):
    found = verdicts(**measures)
    assert tuple(finding.holds for finding in found) == holds
    for finding in found:
        if finding.holds is None and finding.value:
            assert finding.facts["why_not"]


def test_without_a_renormalisation_that_acted_nothing_is_said_of_it():
    rows, arrays = measured()
    arrays["without/filters"] = arrays["ours/filters"].copy()
    found = findings(rows, arrays, {"without": [], "coarse": []}, 0.1)
    assert [finding.holds for finding in found] == [None, True, True]
    assert "no filter reached the limit" in found[0].facts["why_not"]


# Pictures


def page_of(kernel, stride, maps, side, seed):
    rng = np.random.default_rng(seed)
    inside = np.ones((maps, side, side), bool)
    inside[1] = False
    filters = rng.normal(size=(maps // 2, 3, kernel, kernel))
    within = {name: np.linspace(0, 1, 51) for name in ("layer 1", "layer 2")}
    return figures.FirstLayers(
        f"{kernel}×{kernel} stride {stride}",
        stride,
        filters,
        np.sqrt((filters**2).mean(axis=(1, 2, 3))),
        rng.normal(size=(maps, 3, side, side)),
        inside,
        within,
        "96 of 11×11 px, strongest 12.3× median, 10 dead, 12 faint",
    )


@pytest.mark.parametrize("maps", [4, 96, 256])
def test_nothing_on_the_page_overlaps_or_is_cut_off(maps):
    networks = [page_of(5, 2, maps, 17, 0), page_of(8, 4, maps, 32, 1), page_of(5, 2, maps, 17, 2)]
    page = figures.first_layers(
        dict(zip(ROLES, networks, strict=True)),
        np.linspace(0, 0.5, 51),
        "Words of a caption. " * 30,
        max_rms=0.1,
    )
    renderer = FigureCanvasAgg(page).get_renderer()
    edges = page.bbox
    boxes = [axes.get_tightbbox(renderer) for axes in page.axes]
    words = [text.get_window_extent(renderer) for text in page.texts]
    for i, box in enumerate(boxes + words):
        assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= 0 and box.y1 <= edges.y1, i
    for i, box in enumerate(boxes + words):
        for other in (boxes + words)[:i]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, "more than a hair in common"
    rms = next(axes for axes in page.axes if axes.get_label() == "rms")
    drawn = {line.get_label(): line.get_ydata() for line in rms.lines}
    np.testing.assert_allclose(drawn["5×5 stride 2"], np.sort(networks[2].rms)[::-1])
    spectrum = next(axes for axes in page.axes if axes.get_label() == "layer 2")
    # The curve is a straight line, so 1 - 2f of the energy lies above a frequency f.
    assert [text.get_text() for text in spectrum.texts] == ["75 % aliases", "50 % aliases"]


def test_tiles_stand_in_rows_without_a_gap_at_the_end():
    assert [columns(n, 1.8) for n in (96, 256)] == [12, 16]
    assert [columns(n, 4 / 3) for n in (48, 96, 1, 2)] == [8, 12, 1, 2]
    assert columns(97, 1.8) == 13
    shown = projection_pixels(page_of(5, 2, 96, 17, 0))
    step = TILE_PX + TILE_GAP
    assert shown.shape == (8 * step + TILE_GAP, 12 * step + TILE_GAP, 3)
    second = shown[TILE_GAP : TILE_GAP + TILE_PX, step + TILE_GAP : step + TILE_GAP + TILE_PX]
    dash = (second == DASH).all(axis=2)
    assert ((second == figures.VOID).all(axis=2) ^ dash).all() and 0 < dash.mean() < 0.05, "dead"
    assert shown[TILE_GAP : TILE_GAP + TILE_PX, TILE_GAP : TILE_GAP + TILE_PX].std() > 10
