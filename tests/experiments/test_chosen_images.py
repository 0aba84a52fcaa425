"""The images a figure is about: by number, by path, drawn; and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

import deconv
from deconv.errors import DeconvError
from deconv.scenes import CLASSES, Scenes
from experiments.kit.chosen_images import draw_right_ones, named_images, need_label


@pytest.fixture(scope="module")
def parts(smoke_run):
    """(snapshot, a network that answers the true class of two scenes in three, data)."""
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    return snapshot, snapshot.network(), Scenes(36, 2, snapshot.mean.shape[-1])


class Knows:
    """Answers the right class for the images of `right`, another one for the rest."""

    input_px = 112
    device = torch.device("cpu")

    def __init__(self, data, snapshot, right):
        self.answers = {}
        for i in range(len(data)):
            stored, label = data[i]
            edge = (stored.shape[-1] - 112) // 2
            cut = slice(edge, edge + 112)
            key = float((stored.float() - snapshot.mean)[:, cut, cut].double().sum())
            self.answers[round(key, 1)] = label if i in right else (label + 1) % 17

    def parameters(self):
        yield torch.zeros(1)

    def record(self, images):
        label = self.answers[round(float(images.double().sum()), 1)]
        return type("R", (), {"logits": torch.nn.functional.one_hot(torch.tensor([label]), 17)})


def test_drawn_images_are_right_and_of_many_classes(parts):
    snapshot, _, data = parts
    right = set(range(0, 36, 2))
    net = Knows(data, snapshot, right)
    found = draw_right_ones(snapshot, net, data, 8, seed=0)
    assert set(found) <= right and len(set(found)) == 8
    assert len({data.targets[i] for i in found}) == min(8, len({data.targets[i] for i in right}))
    assert found == draw_right_ones(snapshot, net, data, 8, seed=0)
    assert found != draw_right_ones(snapshot, net, data, 8, seed=1)
    only = {data.targets[0]}
    assert {data.targets[i] for i in draw_right_ones(snapshot, net, data, 1, 0, only)} == only
    with pytest.raises(DeconvError, match="classifies 18 of 36 images rightly, 19 are wanted"):
        draw_right_ones(snapshot, net, data, 19, seed=0)


def test_numbers_and_paths_give_what_the_network_is_fed(parts, tmp_path):
    snapshot, net, data = parts
    stored, label = data[5]
    Image.fromarray(stored.permute(1, 2, 0).numpy()).save(tmp_path / "five.png")
    path = str(tmp_path / "five.png")
    labels = [CLASSES[3], CLASSES[label]]
    by_number, by_path = named_images([5, path], labels, snapshot, net.input_px, data)
    torch.testing.assert_close(by_number.input, by_path.input)
    edge = (stored.shape[-1] - 112) // 2
    centre = stored[:, edge : edge + 112, edge : edge + 112]
    assert torch.equal(by_path.picture(), centre)
    mean = snapshot.mean[:, edge : edge + 112, edge : edge + 112]
    np.testing.assert_allclose(by_path.input, centre.float() - mean)
    assert (by_number.label, by_path.label) == (3, label)
    (plain,) = named_images([5], [], snapshot, net.input_px, data)
    assert (plain.label, plain.name, plain.index) == (label, CLASSES[label], 5)


def test_what_does_not_exist_is_named(parts, tmp_path):
    snapshot, net, data = parts
    for images, labels, message in (
        ([36], [], "there is no image 36"),
        (["none.png"], [], "cannot read the image none.png"),
        ([1], ["catt face"], "Did you mean 'cat face'"),
        ([1, 2], ["owl"], "labels has 1 entries for 2 images"),
    ):
        with pytest.raises(DeconvError, match=message):
            named_images(images, labels, snapshot, net.input_px, data)
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    (image,) = named_images([str(tmp_path / "x.png")], [], snapshot, net.input_px, data)
    with pytest.raises(DeconvError, match=r"class of x\.png is needed"):
        need_label(image)
