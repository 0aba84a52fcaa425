"""Tiny ImageNet, its validation images sorted into classes, for `data=tiny_imagenet`.

    python scripts/prepare_tiny_imagenet.py <source> <target> [--shorter-px 256] [--workers N]
    python scripts/prepare_tiny_imagenet.py --verify <target>

<source> is the folder tiny-imagenet-200 or tiny-imagenet-200.zip. The images have 64 px and are
copied as they are; nothing is enlarged. Train on the copy with

    python -m experiments.train model=zfnet_mini model.input_px=56 data=tiny_imagenet \\
        data.root=<target>
"""

import sys

from deconv.data.preparation import command, tiny_imagenet

if __name__ == "__main__":
    sys.exit(command.main(tiny_imagenet, __doc__))
