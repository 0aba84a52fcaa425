"""A resized copy of Caltech-101, for `data=caltech101 data.root=<target>`.

    python scripts/prepare_caltech101.py <source> <target> [--shorter-px 256] [--workers N]
    python scripts/prepare_caltech101.py --verify <target>

<source> is the folder 101_ObjectCategories, one that holds it, 101_ObjectCategories.tar.gz or
caltech-101.zip. Files that are no images (BACKGROUND_Google/tmp) are left out and named.
"""

import sys

from deconv.data.preparation import caltech101, command

if __name__ == "__main__":
    sys.exit(command.main(caltech101, __doc__))
