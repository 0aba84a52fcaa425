"""One input scale for every network: pixels minus a mean; torchvision is the oracle."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import deconv
from deconv.data import prepare
from deconv.errors import DeconvError
from deconv.networks import ChainNet
from deconv.pixels import Divide
from deconv.scenes import Scenes
from experiments.kit.facts import preprocessing

pytestmark = pytest.mark.usefixtures("narrow")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def pixels(count=2, side=224, seed=0):
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.manual_seed(seed)).float()


def colour(values):
    return torch.tensor(values).view(3, 1, 1)


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "squeezenet1_0", "resnet18"])
def test_pixels_minus_the_mean_give_torchvisions_logits_of_the_standardised_image(name):
    net = deconv.build(f"torchvision/{name}", num_classes=5, seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        original = torchvision.models.get_model(name, num_classes=5).eval()
    images = pixels(1)
    mean, std = (colour(IMAGENET[key]) for key in ("mean", "std"))
    with torch.no_grad():
        expected = original((images / 255 - mean) / std)
        found = net(images - 255 * mean)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.std()) + 1e-6)
    own = list(original.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), own, strict=True))


@pytest.mark.parametrize("name", ["zfnet", "alexnet"])
def test_a_chain_of_pytorchcv_keeps_its_weights_and_divides_first(name):
    package = pytest.importorskip("pytorchcv.model_provider")
    net = deconv.build(f"pytorchcv/{name}", seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        original = package.get_model(name).eval()
    images = pixels(1)
    mean, std = (colour(IMAGENET[key]) for key in ("mean", "std"))
    assert isinstance(net, ChainNet) and isinstance(net.scale, Divide)
    for own, theirs in zip(net.parameters(), original.parameters(), strict=True):
        assert torch.equal(own, theirs)
    with torch.no_grad():
        expected = original((images / 255 - mean) / std)
        torch.testing.assert_close(net(images - 255 * mean), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("zfnet_mini", {"fc_width": 8, "input_px": 64}),
        ("mlp", {}),
        ("mlp", {"grey": True}),
        ("torchvision/alexnet", {"input_px": 64}),
        ("torchvision/resnet18", {"input_px": 64}),
        ("timm/resnet18", {"input_px": 64}),
        ("pytorchcv/resnet10", {}),
    ],
)
def test_mean_and_std_mean_the_same_for_every_family(name, options):
    for package in ("timm", "pytorchcv"):
        if name.startswith(package):
            pytest.importorskip(package)
    told = {"mean": (100, 110, 120), "std": (2, 4, 8)}
    net, undivided = (
        deconv.build(name, 3, seed=0, **options, **chosen)
        for chosen in (told, told | {"std": (1, 1, 1)})
    )
    side = net.input_px
    picture = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    images = net.preprocess(Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((300, 300)))
    assert images.shape == (3, side, side) and net.preprocessing.stored_px > side
    images = picture[None].float() - colour([100.0, 110.0, 120.0])
    with torch.no_grad():
        expected = undivided(images / colour([2.0, 4.0, 8.0]))
        torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-6)
    assert "divided by (2.0, 4.0, 8.0), red" in preprocessing(net, net.preprocessing.mean)
    assert preprocessing(undivided, net.preprocessing.mean).endswith("no division")
    again = deconv.build(**net.recipe)
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(again(images), net(images))


def test_an_mlp_by_itself_says_what_it_divides_by():
    net = deconv.build("mlp", 3)
    assert "divided by (64.0, 64.0, 64.0)" in preprocessing(net, torch.ones(3, 1, 1))


def picture(height, width):
    """A smooth picture with a different ramp a colour."""
    y, x = np.mgrid[:height, :width]
    parts = (200 * y / height, 250 * x / width, 120 + 100 * np.sin(x / 17) * np.cos(y / 23))
    return Image.fromarray(np.stack(parts, axis=2).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "within"),  # in pixel values; a longer side of 573 against 572 px is half a pixel
    [((256, 256), 1e-3), ((300, 400), 2), ((231, 517), 7), ((640, 427), 7)],
)
@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_preprocess_makes_what_torchvisions_transforms_make(name, size, within):
    net = deconv.build(f"torchvision/{name}", seed=0)
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    image = picture(*size)
    std = colour(transforms.std) * 255
    for given in (image, torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)):
        found = net.preprocess(given)
        assert found.shape == (3, 224, 224) and found.dtype == torch.float32
        off = (found / std - transforms(given)).abs() * std
        assert off.max() < within and off.mean() < 0.6, (off.max(), off.mean())


def test_a_network_of_a_snapshot_subtracts_the_centre_of_its_mean_image():
    net = deconv.build("zfnet_mini", 3, fc_width=8, input_px=64, seed=0)
    mean = 255 * torch.rand(3, 74, 74)
    snapshot = deconv.Snapshot(net.recipe, net.state_dict(), mean, list("abc"))
    image, _ = Scenes(3, 0, 74)[1]
    net = snapshot.network()
    expected = image[:, 5:69, 5:69].float() - mean[:, 5:69, 5:69]
    assert torch.equal(net.preprocess(image), expected)
    assert torch.equal(net.preprocess(image), prepare(image, mean, 64))
    assert net.class_names == ("a", "b", "c")


def test_what_cannot_be_preprocessed_is_said():
    net = deconv.build("zfnet_mini", 3, fc_width=8)
    assert net.preprocessing is None and net.class_names is None
    with pytest.raises(DeconvError, match=r"mean of zfnet_mini is not known: build it with mean="):
        net.preprocess(picture(20, 20))
    net = deconv.build("zfnet_mini", 3, fc_width=8, mean=(1, 2, 3))
    with pytest.raises(DeconvError, match=r"uint8 3×H×W, not torch.float32 3×9×9"):
        net.preprocess(torch.zeros(3, 9, 9))
    with pytest.raises(DeconvError, match=r"not str: open a file with deconv\.images\.read_rgb"):
        net.preprocess("photo.jpg")


def test_the_classes_of_torchvisions_weights_are_known(monkeypatch):
    weights = torchvision.models.SqueezeNet1_0_Weights.DEFAULT
    state = torchvision.models.squeezenet1_0().state_dict()
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *_, **__: state)
    net = deconv.build("torchvision/squeezenet1_0", weights="DEFAULT")
    assert net.class_names == tuple(weights.meta["categories"]) and len(net.class_names) == 1000
