"""NaN and infinity: every study refuses them where it takes its values, and names where they are.

One filter of conv3 is ruined; the network, the layer and the image stand in the message.
"""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import deconv
from deconv.data import CentreCrops, TenCrops
from deconv.data.text_files import json_text
from deconv.deconvnet import painting
from deconv.errors import DeconvError
from deconv.finite import check_finite, is_finite
from deconv.mining.map_statistics import map_statistics
from deconv.networks.weights import load_weights
from deconv.studies.correspondence.consistency import sign_changes
from deconv.studies.first_layers.pictures import layer_filters
from deconv.studies.invariance.response import transform_response
from deconv.studies.probes.features import extract
from deconv.training.evaluation import evaluate, evaluate_ensembles
from deconv.training.monitoring import watch

pytestmark = pytest.mark.fault("not finite")

PX = 64
IMAGES = 50 * torch.randn(3, 3, PX, PX, generator=torch.Generator().manual_seed(0))
SQUARE = torch.full((3, 74, 74), 100, dtype=torch.uint8)
LOADER = DataLoader(TensorDataset(IMAGES, torch.tensor([0, 1, 0])), batch_size=2)


def network(bad=math.nan):
    net = deconv.build("zfnet_mini", 2, input_px=PX, fc_width=8, init="he_pixels", seed=0)
    with torch.no_grad():
        net.conv3.weight[5, 0, 0, 0] = bad
    return net.eval()


def test_the_cheap_test_agrees_with_the_exact_one():
    large = torch.finfo(torch.float32).max
    for values in ([0.0, 1], [large, large], [-large, -large], [math.inf, -math.inf], [math.nan]):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            tensor = torch.tensor(values).to(dtype)
            assert is_finite(tensor) == bool(tensor.isfinite().all()), (values, dtype)
    check_finite(torch.zeros(2, 3), "nothing")
    check_finite(torch.zeros(0, 3), "nothing")


def ruined(net):
    net.module.load_state_dict(network().state_dict())
    return net.record(IMAGES, ["conv3"])


STUDIES = {
    "record": lambda net: net.record(IMAGES, ["conv3"]),
    "pre-activation": lambda net: net.record(IMAGES, ["conv3:z"], logits=False),
    "wrapped": lambda net: ruined(deconv.wrap(network(0.0), "zfnet_mini", PX)),
    "features": lambda net: extract(net, LOADER, ["conv3"], progress=False),
    "mining": lambda net: deconv.top_activations(net, LOADER, ["conv3"], progress=False),
    "statistics": lambda net: map_statistics(net, LOADER, ["conv3"], False),
    "watch": lambda net: watch(net, LOADER),
    "occlusion": lambda net: deconv.occlude(net, IMAGES[:1], 0, "conv3", 32, 32),
    "correspondence": lambda net: sign_changes(net, IMAGES[0], [(0, 0, 20, 20)], ["conv3"]),
    "invariance": lambda net: transform_response(
        net, SQUARE, torch.zeros(3, 74, 74), 0, "translation", [1.0], ["conv3"]
    ),
}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_names_network_layer_and_image(study):
    with pytest.raises(DeconvError, match=r"conv3(:z)? of zfnet_mini holds NaN for image 0 of the"):
        STUDIES[study](network())


OUTPUTS = {
    "accuracy": lambda net: evaluate(net, LOADER),
    "ensembles": lambda net: evaluate_ensembles(
        [network(0.0), net], [([IMAGES, IMAGES], torch.tensor([0, 1, 0]))], [[0], [0, 1]]
    ),
    "logits": lambda net: net.record(IMAGES),
}


@pytest.mark.parametrize("study", OUTPUTS)
def test_an_accuracy_is_not_computed_from_what_is_no_number(study):
    with pytest.raises(DeconvError, match="the output of zfnet_mini holds NaN for image 0 of the"):
        OUTPUTS[study](network())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_image_of_many_is_named_by_its_number_in_the_data_set(bad):
    images = IMAGES.clone()
    images[2, 0, 3, 3] = bad
    loader = DataLoader(TensorDataset(images, torch.zeros(3, dtype=torch.int64)), batch_size=2)
    with pytest.raises(DeconvError, match=r"holds \w+ for image 2 of the data set: look at that"):
        evaluate(network(0.0), loader)


def test_the_crops_of_an_image_count_as_one():
    class Data:
        targets, classes = torch.zeros(3, dtype=torch.int64), ["a", "b"]

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return SQUARE, 0

    mean = torch.zeros(3, 74, 74)
    for crops, images in ((TenCrops, 1), (CentreCrops, 2)):
        net = network(0.0)
        hook = net.register_forward_hook(
            lambda module, inputs, out, n=images: (
                out.index_fill(0, torch.tensor([n]), math.inf) if len(out) > n else out
            )
        )
        with pytest.raises(DeconvError, match="holds infinity for image") as error:
            evaluate(net, DataLoader(crops(Data(), mean, PX), batch_size=3))
        hook.remove()
        assert f"image {0 if crops is TenCrops else 2} of the data set" in str(error.value)


def test_what_a_nan_reaches_can_still_be_recorded():
    values = network().record(IMAGES, ["conv3"], finite=False).activations["conv3"]
    assert values[:, 5].isnan().any() and values[:, 4].isfinite().all()


def test_a_module_of_which_no_answer_is_a_number_is_not_wrapped():
    with pytest.raises(DeconvError, match=r"the output of mine holds NaN for image 0 of the noise"):
        deconv.wrap(network(), "mine", PX)


def test_a_projection_that_is_no_number_is_refused():
    net = network(0.0)
    record = net.record(IMAGES, ["conv3"])
    units = (record.activations["conv3"] > 0).nonzero()[:2]
    with torch.no_grad():
        net.conv1.weight.fill_(math.nan)
    for engine in ("mirror", "vjp"):
        with pytest.raises(DeconvError, match="of conv3 of zfnet_mini holds NaN for unit 0 of"):
            deconv.project(net, record, "conv3", units, engine=engine)


def test_peaks_whose_projection_is_no_number_are_refused(monkeypatch):
    """Overflow on the way down alone, where the activations are finite."""
    net, send = network(0.0), painting.mirror_patches

    def overflowing(*arguments):
        pixels, corner = send(*arguments)
        return pixels * math.inf, corner

    monkeypatch.setattr(painting, "mirror_patches", overflowing)
    peaks = deconv.top_activations(net, [IMAGES], ["conv3"], k=1)["conv3"]
    maps = (peaks.value[:, 0] > 0).nonzero().flatten()[:2]
    with pytest.raises(DeconvError, match="the projection of conv3 of zfnet_mini holds"):
        deconv.project_peaks(net, list(IMAGES), "conv3", peaks, maps)


@pytest.mark.parametrize("partial", [True, False])
def test_a_square_that_makes_no_number_is_named(partial):
    net = network(0.0)
    with pytest.raises(DeconvError, match=r"holds (NaN|infinity) for"):
        deconv.occlude(net, IMAGES[0], 0, size_px=20, stride_px=20, fill=math.inf, partial=partial)


def test_weights_are_refused_where_they_are_read():
    with pytest.raises(DeconvError, match=r"conv3\.weight of the snapshot holds values that are"):
        load_weights(network(0.0), network().state_dict())
    with pytest.raises(DeconvError, match="weights of conv3 of zfnet_mini are not finite"):
        layer_filters(network(), "conv3")


def test_json_has_null_where_there_is_no_number():
    content = {"a": [1.5, math.nan, (math.inf, -math.inf)], "b": {"c": "NaN", "d": None, "e": 3}}
    expected = {"a": [1.5, None, [None, None]], "b": {"c": "NaN", "d": None, "e": 3}}
    assert json.loads(json_text(content), parse_constant=pytest.fail) == expected


def test_json_is_written_in_one_place():
    root = Path(deconv.__file__).resolve().parents[1]
    writers = [
        path.relative_to(root).as_posix()
        for folder in ("deconv", "experiments", "scripts")
        for path in (root / folder).rglob("*.py")
        if re.search(r"\bjson\.dump", path.read_text())
    ]
    assert writers == ["deconv/data/text_files.py"]
