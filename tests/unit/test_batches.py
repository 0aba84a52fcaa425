"""Loaders in every form that people have, against the same images in one plain tensor."""

import numpy as np
import pytest
import torch
from oracles import SMALL_SIZE, randn, small_net
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from deconv.data.batches import walk
from deconv.distributed import Share
from deconv.errors import DeconvError
from deconv.mining.map_statistics import map_statistics
from deconv.mining.peak_views import peak_views
from deconv.mining.top_activations import map_maxima, top_activations
from deconv.studies.probes.features import Reduction, extract
from deconv.studies.probes.one_vs_rest import layer_values
from deconv.training.evaluation import evaluate
from deconv.training.monitoring import watch

IMAGES = randn(41, 3, *SMALL_SIZE, seed=11)
LABELS = torch.arange(41) % 5
PARTS = list(zip(IMAGES.split(8), LABELS.split(8), strict=True))


class Endless(IterableDataset):
    """A stream that does not know its length."""

    def __iter__(self):
        yield from zip(IMAGES, LABELS, strict=True)


class Keyed(IterableDataset):
    """The same as dictionaries."""

    def __iter__(self):
        for image, label in zip(IMAGES, LABELS, strict=True):
            yield {"label": label, "pixel_values": image, "file": "x"}


def numpys(array):
    """The same numbers in other layouts and byte orders."""
    return array.numpy().astype(">f8")[:, :, ::-1][:, :, ::-1]


LABELLED = {
    "pairs": lambda: PARTS,
    "generator": lambda: (pair for pair in PARTS),
    "lists": lambda: [list(pair) for pair in PARTS],
    "three parts": lambda: [(*pair, "more") for pair in PARTS],
    "image, label": lambda: [{"image": x, "label": y} for x, y in PARTS],
    "images, targets": lambda: [{"targets": y, "images": x} for x, y in PARTS],
    "pixel_values": lambda: [{"pixel_values": x, "labels": y, "id": 3} for x, y in PARTS],
    "dictionary, label": lambda: [({"pixel_values": x}, y) for x, y in PARTS],
    "numpy": lambda: [(numpys(x), y.numpy()) for x, y in PARTS],
    "lists of images": lambda: [(list(x), y.tolist()) for x, y in PARTS],
    "lists of arrays": lambda: [([i.numpy() for i in x], list(y)) for x, y in PARTS],
    "an empty batch": lambda: [PARTS[0], (IMAGES[:0], LABELS[:0]), *PARTS[1:]],
    "a stream": lambda: DataLoader(Endless(), 7),
    "a stream of dictionaries": lambda: DataLoader(Keyed(), 7, num_workers=1),
}
PLAIN = {
    "tensors": lambda: IMAGES.split(8),
    "a tuple of one": lambda: DataLoader(TensorDataset(IMAGES), 9),
    "arrays": lambda: [numpys(x) for x in IMAGES.split(8)],
    "images alone": lambda: [list(x) for x in IMAGES.split(8)],
    "tuples of images": lambda: [tuple(x) for x in IMAGES.split(8)],
}
ANY = LABELLED | PLAIN


@pytest.fixture(scope="module")
def net():
    return small_net(norm=True)


@pytest.fixture(scope="module")
def values(net):
    with torch.no_grad():
        return net.record(IMAGES, ["conv2", "fc4", "fc5"])


@pytest.mark.parametrize("form", ANY)
def test_mining_takes_any_form(net, values, form):
    peaks = top_activations(net, ANY[form](), ["conv2", "fc4"], k=3, progress=False)
    for layer in ("conv2", "fc4"):
        best = values.activations[layer].reshape(41, 6 if layer == "conv2" else 7, -1).amax(2)
        sorted_, order = best.T.sort(dim=1, descending=True, stable=True)
        torch.testing.assert_close(peaks[layer].value, sorted_[:, :3])
        assert torch.equal(peaks[layer].image, order[:, :3])


@pytest.mark.parametrize("form", ANY)
def test_every_loop_takes_any_form(net, values, form):
    conv2 = values.activations["conv2"]
    maxima = map_maxima(net, ANY[form](), ["conv2"])["conv2"]
    torch.testing.assert_close(maxima.value, conv2.flatten(2).amax(2).T)
    found = map_statistics(net, ANY[form](), ["conv2"], progress=False)["conv2"]
    counted = vars(map_statistics(net, [(IMAGES,)], ["conv2"], progress=False)["conv2"])
    for name, value in vars(found).items():
        torch.testing.assert_close(value, counted[name])
    looked = watch(net, ANY[form]())
    assert looked.images == 41
    np.testing.assert_allclose(looked.strongest["conv2"], conv2.flatten(2).amax((0, 2)), rtol=1e-6)
    features = extract(net, ANY[form](), ["conv2"], progress=False)["conv2"]
    torch.testing.assert_close(features, conv2.flatten(1).float())


@pytest.mark.parametrize("form", LABELLED)
def test_loops_that_need_labels_take_any_form(net, values, form):
    right = (values.logits.argmax(1) == LABELS).double().mean().item()
    assert evaluate(net, LABELLED[form]()).top1 == pytest.approx(100 * right)
    found, marks = layer_values(net, LABELLED[form](), "fc4", Reduction())
    np.testing.assert_allclose(found, values.activations["fc4"], rtol=1e-5, atol=1e-6)
    assert marks.tolist() == LABELS.tolist()


@pytest.mark.parametrize("form", PLAIN)
def test_loops_that_need_labels_say_so(net, form):
    for loop in (evaluate, lambda n, loader: layer_values(n, loader, "fc4", Reduction())):
        with pytest.raises(DeconvError, match="images without labels"):
            loop(net, PLAIN[form]())


def test_images_take_the_type_of_the_weights(values):
    net = small_net(norm=True).float()
    expected = top_activations(net, [IMAGES.float()], ["conv2"], progress=False)["conv2"]
    for images in (IMAGES, IMAGES.numpy()):
        found = top_activations(net, [images], ["conv2"], progress=False)["conv2"]
        assert torch.equal(found.value, expected.value)


def test_a_walk_shows_each_image_once_in_order_and_follows_no_gradient(net):
    loader = DataLoader(TensorDataset(IMAGES.clone().requires_grad_(), LABELS), 9)
    seen = list(walk(net, loader, channels_last=True))
    assert torch.equal(torch.cat([images for images, _ in seen]), IMAGES)
    assert [len(images) for images, _ in seen] == [9, 9, 9, 9, 5]
    assert not any(images.requires_grad for images, _ in seen)
    assert seen[0][0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(torch.cat([labels for _, labels in seen]), LABELS)


def test_a_share_may_be_without_images_if_the_data_set_is_not(net):
    share = Share(TensorDataset(IMAGES), 8)
    share.indices = range(0)
    assert list(walk(net, DataLoader(share, 8))) == []
    with pytest.raises(DeconvError, match="no image"):
        list(walk(net, DataLoader(Share(TensorDataset(IMAGES[:0]), 8), 8)))


SMALL = IMAGES[:4]
TOO_WIDE = torch.cat([SMALL, SMALL], dim=3)
REFUSED = [
    ([SMALL, TOO_WIDE], "batch 1 .*3×19×44 .*after 3×19×22.*one size"),
    ([[SMALL[0], TOO_WIDE[0]]], "several sizes, 3×19×22 and 3×19×44"),
    ([{"picture": SMALL, "label": 1}], "no images.*picture, label.*pixel_values"),
    ([{}], "no images"),
    ([SMALL.byte()], "takes preprocessed float images .* not torch.uint8"),
    ([SMALL.numpy().astype(np.uint8)], "takes preprocessed float images .* not torch.uint8"),
    ([SMALL.bool()], "takes preprocessed float images"),
    ([SMALL[0]], "takes N×3×H×W, got 3×19×22; add a batch axis"),
    ([(SMALL[0], 3)], "add a batch axis"),
    (TensorDataset(SMALL, LABELS[:4]), "add a batch axis"),
    (DataLoader(TensorDataset(SMALL, LABELS[:4]), None), "add a batch axis"),
    ([SMALL[:, :1]], "takes 3 channels"),
    ([SMALL.permute(0, 2, 3, 1)], "channels first: permute"),
    ([[Image.new("RGB", (22, 19))]], "cannot take .*PIL.*Image"),
    (["a.jpg"], "cannot take .*str"),
    ([torch.tensor(1.0)], "takes N×3×H×W"),
    ([None], "cannot take .*NoneType"),
    ([np.array(["a"])], "array of <U1"),
    ([[(SMALL[0], 1), (SMALL[1], 2)]], "list of items.*collate"),
    ([[{"image": SMALL[0]}, {"image": SMALL[1]}]], "list of items.*collate"),
    (SMALL, r"the loader is a Tensor.*\[images\]"),
    (SMALL.numpy(), r"the loader is a ndarray.*\[images\]"),
    ({"image": SMALL}, "the loader is a dict"),
    (3, "the loader is a int"),
    ([[]], "no image"),
]


@pytest.mark.parametrize(("loader", "message"), REFUSED)
def test_what_cannot_be_taken_is_refused_in_words(net, loader, message):
    for loop in (
        lambda: top_activations(net, loader, ["conv2"], progress=False),
        lambda: map_maxima(net, loader, ["conv2"]),
        lambda: map_statistics(net, loader, ["conv2"], progress=False),
        lambda: watch(net, loader),
        lambda: extract(net, loader, ["conv2"], progress=False),
    ):
        with pytest.raises(DeconvError, match=message):
            loop()


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        lambda x: x.numpy(),
        lambda x: (x, 1),
        lambda x: {"image": x, "label": 1},
        lambda x: (x,),
        lambda x: [x, x.flip(2)],
    ],
)
def test_peak_views_take_items_of_any_form(net, form):
    peaks = top_activations(net, [IMAGES], ["conv2"], k=2, progress=False)["conv2"]
    picture = torch.zeros(3, *SMALL_SIZE, dtype=torch.uint8)
    maps = [m for m in range(6) if peaks.value[m].min() > 0]
    seen = peak_views(net, [form(x) for x in IMAGES], "conv2", peaks, maps, lambda i: picture)
    plain = peak_views(net, [(x, 0) for x in IMAGES], "conv2", peaks, maps, lambda i: picture)
    assert torch.equal(seen.projection, plain.projection)
