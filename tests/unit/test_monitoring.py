"""Watching: maxima against hooks on a plain forward pass, RMS by hand, files, and no traces."""

import math
import os
import weakref

import numpy as np
import pytest
import torch
from oracles import generator

import deconv
from deconv.errors import DeconvError
from deconv.training.monitoring import Watch, load_watch, save_watch, watch


def network(**changes):
    options = {"input_px": 64, "fc_width": 12, "init": "he", "seed": 0} | changes
    return deconv.build("zfnet_mini", 3, **options)


def pictures(count, seed=0):
    return torch.randn(count, 3, 64, 64, generator=generator(seed)) * 60


def maxima_by_hooks(net, images):
    """Layer -> each map's largest value behind its ReLU, image by image on the plain forward."""
    found = {}

    def keep(layer):
        def hook(module, arguments, output):
            maps = output[0].reshape(output.shape[1], -1).tolist()
            best = [max(values) for values in maps]
            found[layer] = [max(pair) for pair in zip(best, found.get(layer, best), strict=True)]

        return hook

    hooks = [
        stage.register_forward_hook(keep(f"{'conv' if int(name[4:]) < 6 else 'fc'}{name[4:]}"))
        for name, stage in net.named_children()
        if name.startswith("relu")
    ]
    with torch.no_grad():
        for image in images:
            net(image[None])
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("remove", [(), (3, 4), (6, 7)])
def test_the_strongest_activations_are_those_of_a_plain_forward_pass(remove):
    net, images = network(remove=remove), pictures(7)
    result = watch(net, [images[:3], (images[3:4], torch.tensor([1])), [images[4:], None]])
    expected = maxima_by_hooks(net, images)
    assert list(result.strongest) == list(net.layers[:-1]) == list(expected)
    for layer, values in expected.items():
        np.testing.assert_allclose(result.strongest[layer], values, rtol=1e-4, atol=1e-4)
    assert result.images == 7


def test_a_map_that_was_made_dead_is_found_and_one_that_fires_once_is_not():
    net, images = network(), pictures(6)
    with torch.no_grad():
        net.conv3.weight[5] = net.conv4.weight[6] = 0
        net.conv3.bias[5], net.conv4.bias[6] = -1.0, 1e-6
        net.fc7.bias[2] = -1e6
    result = watch(net, images.split(2))
    dead = {layer: set(numbers.tolist()) for layer, numbers in result.dead().items()}
    assert 5 in dead["conv3"] and 6 not in dead["conv4"] and 2 in dead["fc7"]
    before = set(watch(network(), images.split(2)).dead()["conv3"].tolist())
    assert dead["conv3"] == before | {5}


def test_a_map_that_a_single_image_wakes_up_is_not_dead():
    net, images = network(), pictures(6)
    with torch.no_grad():
        net.conv1.weight[0] = 0
        net.conv1.weight[0, 0, 0, 0] = 1  # the red channel, and
        net.conv1.bias[0] = -500  # more of it than any image has
    assert 0 in watch(net, images.split(2)).dead()["conv1"]
    images[3, 0, 20:40, 20:40] = 600
    result = watch(net, images.split(2))
    assert 0 not in result.dead()["conv1"] and result.strongest["conv1"][0] == pytest.approx(100)


def test_filters_and_their_rms_are_the_network_s():
    net = network()
    result = watch(net, [pictures(1)])
    assert list(result.filter_rms) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    for layer, rms in result.filter_rms.items():
        for one, expected in zip(rms, getattr(net, layer).weight, strict=True):
            weights = expected.flatten().tolist()
            by_hand = math.sqrt(sum(w * w for w in weights) / len(weights))
            assert one == pytest.approx(by_hand, rel=1e-5)
    kept = net.conv1.weight.detach().clone().numpy()
    assert np.array_equal(result.filters, kept) and result.filters.dtype == np.float32
    with torch.no_grad():
        net.conv1.weight.zero_()
    assert np.array_equal(result.filters, kept), "training goes on, what was seen stays"


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was_and_dropout_is_off(training):
    net = network(dropout=0.5).train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    once, again = (watch(net, pictures(4).split(2)) for _ in range(2))
    assert all(module.training is training for module in net.modules())
    assert all(np.array_equal(once.strongest[n], again.strongest[n]) for n in once.strongest)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    fired = maxima_by_hooks(net.eval(), pictures(4))["fc7"]
    np.testing.assert_allclose(once.strongest["fc7"], fired, rtol=1e-4, atol=1e-4)


def test_no_gradient_is_followed_and_no_batch_is_kept():
    net, gone, followed = network(), [], []
    hook = net.conv2.register_forward_hook(lambda *a: followed.append(a[2].requires_grad))

    def batches():
        for seed in range(4):
            images = pictures(2, seed).requires_grad_()
            gone.append(weakref.ref(images))
            yield images
            del images
            assert all(ref() is None for ref in gone[:-1]), "an earlier batch is still held"

    watch(net, batches())
    hook.remove()
    assert followed == [False] * 4


def test_nothing_to_watch_and_nan_are_refused_and_leave_the_mode():
    net = network().train()
    for empty in ([], [torch.zeros(0, 3, 64, 64)]):
        with pytest.raises(DeconvError, match="no image"):
            watch(net, empty)
    with torch.no_grad():
        net.conv4.weight[1] = torch.nan
    with pytest.raises(DeconvError, match="conv4 of zfnet_mini holds NaN"):
        watch(net, [pictures(1)])
    assert net.training


@pytest.fixture
def seen():
    return watch(network(), [pictures(2)])


def test_what_was_saved_comes_back_byte_for_byte(tmp_path, seen):
    path = save_watch(tmp_path / "deep" / "epoch_003.npz", seen)
    back = load_watch(path)
    assert (back.images, type(back.images)) == (2, int)
    assert np.array_equal(back.filters, seen.filters)
    for field in ("filter_rms", "strongest"):
        there, here = getattr(back, field), getattr(seen, field)
        assert list(there) == list(here), "the layers keep their order"
        for layer in here:
            assert there[layer].dtype == here[layer].dtype == np.float32
            assert np.array_equal(there[layer], here[layer])
    assert save_watch(tmp_path / "again.npz", back).read_bytes() == path.read_bytes()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, seen, monkeypatch):
    path = save_watch(tmp_path / "last.npz", seen)
    before, names = path.read_bytes(), sorted(os.listdir(tmp_path))

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save_watch(path, Watch(seen.filters, {}, {}, 1))
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == names


def test_missing_damaged_and_foreign_files_are_named(tmp_path, seen):
    with pytest.raises(DeconvError, match=r"no saved look at .*nowhere\.npz"):
        load_watch(tmp_path / "nowhere.npz")
    whole = save_watch(tmp_path / "whole.npz", seen).read_bytes()
    middle = len(whole) // 3
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    np.savez(tmp_path / "more.npz", filters=1, images=1, **{"a/b": np.zeros(2)})
    np.save(tmp_path / "array.npy", np.zeros(2))
    np.savez(tmp_path / "code.npz", filters=np.array([{}], object), images=1)
    for name, content in (("cut", whole[:-50]), ("flipped", flipped), ("text", b"x"), ("no", b"")):
        (tmp_path / f"{name}.npz").write_bytes(content)
    names = ("other", "more", "cut", "flipped", "text", "no", "code")
    for name in (*(f"{n}.npz" for n in names), "array.npy"):
        with pytest.raises(DeconvError, match=f"cannot read .*{name}"):
            load_watch(tmp_path / name)
