"""A resized copy of ImageNet 2012 in class folders, for `data=imagenet data.root=<target>`.

    python scripts/prepare_imagenet.py <source> <target> [--shorter-px 256] [--workers N]
    python scripts/prepare_imagenet.py --verify <target>

<source> is a folder with, for each split,
    train/<wnid>/*.JPEG                      or  ILSVRC2012_img_train.tar
    val/<wnid>/*.JPEG  or  val/*.JPEG        or  ILSVRC2012_img_val.tar
and ILSVRC2012_devkit_t12.tar.gz, or the meta.bin that torchvision makes of it. The archives are
read where they are. One split alone is fine; the other can join the same target later.

Expect about 60 GB for both splits: a photograph takes some 46 KB at 256 px.
"""

import sys

from deconv.data.preparation import command, imagenet

if __name__ == "__main__":
    sys.exit(command.main(imagenet, __doc__, archive=False))
