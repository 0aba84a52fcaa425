"""The door for captum's users, against captum and against `project`."""

import warnings

import captum.attr
import pytest
import torch
from oracles import randn
from torch import nn

import deconv
from deconv.errors import DeconvError


def test_a_neuron_s_attribution_is_captum_s():
    torch.manual_seed(0)
    made = (
        nn.Sequential(
            nn.Conv2d(3, 4, 5),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 100, 3),
        )
        .double()
        .eval()
    )
    images = randn(2, 3, 16, 16)
    net = deconv.wrap(made, "made", 16)
    door = deconv.Deconvnet(net, "3", seed="one")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum.attr.NeuronDeconvolution(made, made[3])
        for neuron in ((2, 4, 5), (5, 0, 9)):
            wanted = theirs.attribute(images, neuron)
            torch.testing.assert_close(door.attribute(images, neuron=neuron), wanted.detach())


@pytest.mark.filterwarnings("ignore::deconv.DeadUnitWarning")
def test_neurons_of_their_own_and_of_fully_connected_layers():
    net = deconv.build("zfnet_mini", 4, input_px=56, seed=0).double()
    images = 50 * randn(2, 3, 56, 56)
    record = net.record(images, ["conv3", "fc8"])
    each = deconv.Deconvnet(net, "conv3").attribute(images, [(3, 1, 2), (0, 2, 2)])
    rows = torch.tensor([[0, 3, 1, 2], [1, 0, 2, 2]])
    torch.testing.assert_close(each, deconv.project(net, record, "conv3", rows))
    found = deconv.Deconvnet(net, "fc8", seed="one").attribute(images, 2)
    rows = torch.tensor([[0, 2, 0, 0], [1, 2, 0, 0]])
    torch.testing.assert_close(found, deconv.project(net, record, "fc8", rows, seed="one"))
    with pytest.raises(DeconvError, match="1 neurons for 2 images"):
        deconv.Deconvnet(net, "conv3").attribute(images, [(3, 1, 2)])
    with pytest.raises(DeconvError, match="a neuron is"):
        deconv.Deconvnet(net, "conv3").attribute(images, (3, 1))
    with pytest.raises(DeconvError, match="Did you mean 'conv3'"):
        deconv.Deconvnet(net, "conv33")


def test_captum_s_numbers_in_a_line_as_docs_semantics_has_it():
    """In fp32, of a module that takes standardised images."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU()).eval()
    classifier = nn.Sequential(made, nn.Flatten(), nn.Linear(600, 3)).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    net = deconv.wrap(classifier, "made", 16, normalize=(mean.tolist(), std.tolist()))
    standardised = randn(1, 3, 16, 16).float()
    images = standardised * 255 * std.view(3, 1, 1)  # pixels 0…255 minus the mean
    record = net.record(images, ["0.3"])
    _, number, y, x = (record.activations["0.3"] > 0).nonzero()[3].tolist()
    unit = torch.tensor([[0, number, y, x]])

    pixels = deconv.project(net, record, "0.3", unit)
    activation = record.activations["0.3"][0, number, y, x]
    captums = pixels / activation * (255 * std.view(3, 1, 1))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum.attr.NeuronDeconvolution(classifier, made[3])
        wanted = theirs.attribute(standardised, (number, y, x)).detach()
    torch.testing.assert_close(captums, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))
    assert float(wanted.abs().max()) > 0
    torch.testing.assert_close(
        deconv.project(net, record, "0.3", unit, seed="one"), pixels / activation
    )
