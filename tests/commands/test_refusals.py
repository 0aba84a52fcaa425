"""Bad input on the command line: one line that names it and what to do, and nothing left behind."""

import pytest
from command_line import assert_refused

SMOKE = "size=smoke"

HYDRA_S = {
    "a model": (["model=zfnt"], "unknown model 'zfnt'. Did you mean 'zfnet'"),
    "a data set": (["data=caltech11"], "Did you mean 'caltech101'"),
    "a size": (["size=smok"], "Did you mean 'smoke'"),
    "a recipe": (["train=papr"], "unknown train 'papr'. Did you mean 'paper'"),
    "no name": (["model="], "unknown model ''. Valid: alexnet"),
    "a package": (["model=torchvison/resnet18"], "Did you mean 'torchvision/resnet18'"),
    "a package's network": ([SMOKE, "model=torchvision/resnet81"], "Did you mean 'resnet18'"),
    "a group": (["trian.lr=1"], "unknown setting 'trian.lr'. Did you mean 'train.lr'"),
    "a key": (
        ["model.fc_with=3"],
        "unknown setting 'model.fc_with'. Did you mean 'model.fc_width'",
    ),
    "a key of another choice": (
        ["model=mlp", "model.norm=none"],
        "the model that is chosen has no setting 'model.norm'",
    ),
    "a key of Hydra": (["hydra.run.dri=a"], "'hydra.run.dri'. Did you mean 'hydra.run.dir'"),
    "a new key": ([SMOKE, "+new.key=1"], "unknown setting 'new.key'"),
    "a new key of a group": ([SMOKE, "+train.lrr=1"], "'train.lrr'. Did you mean 'train.lr'"),
    "a new key by force": ([SMOKE, "++sed=1"], "unknown setting 'sed'. Did you mean 'seed'"),
    "a + before what is there": (["+seed=3"], "seed is a setting already: write it without the +"),
    "a choice twice": (
        ["+model=zfnet"],
        "model is chosen already: write model=zfnet without the +",
    ),
    "none to delete": (["~sed"], "unknown setting 'sed'. Did you mean 'seed'"),
    "one deleted": (["~seed"], "seed cannot be left out, train.seed refers to it"),
    "a group deleted": (["~model"], "model has to be given: model=…"),
    "no value": (["lr"], "'lr' is not a setting; write key=value"),
    "no key": (["=3"], "'=3' names no setting; write key=value"),
    "no number": (["train.lr=abc"], "train.lr takes a number such as 0.01, got 'abc'"),
    "no whole number": (["train.epochs=2.5"], "train.epochs takes a whole number, got '2.5'"),
    "no list": (["train.snapshot_epochs=3"], "takes a list such as [1,2], got '3'"),
    "a list of words": (["model.maps_345=[a]"], "model.maps_345 takes a whole number, got '[a]'"),
    "a word": (["model.fc_width=wide"], "model.fc_width takes a whole number, got 'wide'"),
    "null": (["seed=null"], "seed takes a value, not null"),
    "neither yes nor no": (["data.cache=perhaps"], "data.cache takes true or false, got 'perhaps'"),
    "no such interpolation": (["train.lr=${sed}"], "refers to sed: unknown setting 'sed'. Did you"),
    "a tilde": (["data=imagefolder", "data.root=~/nothing"], "write $HOME instead of ~"),
    "two equals signs": (["hydra.run.dir=a=b"], "such as 'hydra.run.dir=\"a=b\"'"),
    "several without -m": (["seed=1,2"], "seed takes one value, got 1,2: add -m to run a job for"),
    "a key in a sweep": (["-m", "trian.lr=1"], "Did you mean 'train.lr'"),
    "a resume of nothing": (["resume=nowhere"], "there is no run folder nowhere to go on with"),
}


@pytest.mark.parametrize("case", HYDRA_S)
def test_a_name_or_value_that_hydra_refuses_is_named_with_the_nearest(tmp_path, case):
    overrides, message = HYDRA_S[case]
    assert_refused("train", overrides, message, tmp_path)


OURS = [
    ("train", ["model.num_classes=2"], "2 outputs for 17 classes"),
    ("train", ["cache_dir=/dev/null", "data.cache=true"], "/dev/null"),
    ("train", ["data=imagefolder", "data.root=nowhere"], "nowhere of imagefolder is missing"),
    ("train", ["train.precision=fp8"], "unknown precision 'fp8'"),
    ("train", ["pictures=some"], "unknown choice of pictures 'some'"),
    ("train", ["device=gpu"], "device=gpu cannot be used"),
    ("train", ["train.batch_size=0"], "batch_size must be positive"),
    ("train", ["data.train_images=0"], "at least one scene"),
    ("fig7_occlusion", ["data.val_images=2"], "has 2 images"),
    ("fig7_occlusion", ["snapshot=/dev/zero"], "no snapshot at"),
    ("fig7_occlusion", ["layer=conv6"], "Did you mean 'conv"),
    ("fig7_occlusion", ["collisions=summ"], "Did you mean 'sum'"),
    ("fig7_occlusion", ["split=vall"], "unknown split 'vall'. Did you mean 'val'"),
    ("fig7_occlusion", ["size=paper"], "needs a trained network"),
    ("fig7_occlusion", ["snapshot=none.pt"], "no snapshot at none.pt"),
    ("fig7_occlusion", ["redraw=."], "holds no arrays.npz"),
    ("sanity", ["snapshot=none.pt"], "no snapshot at none.pt"),
]


@pytest.mark.parametrize(("stem", "overrides", "message"), OURS)
def test_input_that_cannot_be_used_is_named_and_leaves_nothing(tmp_path, stem, overrides, message):
    assert_refused(stem, [SMOKE, *overrides], message, tmp_path)


def test_an_unknown_layer_of_a_given_network_gets_the_nearest(tmp_path):
    overrides = [SMOKE, "snapshot=zfnet_mini", "layer=conv55"]
    message = "unknown layer of zfnet_mini 'conv55'. Did you mean 'conv5'"
    assert_refused("fig7_occlusion", overrides, message, tmp_path)
