"""A resized copy of Caltech-256, for `data=caltech256 data.root=<target>`.

    python scripts/prepare_caltech256.py <source> <target> [--shorter-px 256] [--workers N]
    python scripts/prepare_caltech256.py --verify <target>

<source> is the folder 256_ObjectCategories, one that holds it, or 256_ObjectCategories.tar. The
strays of the original (056.dog/greg, 198.spider/RENAME2) are left out and named.
"""

import sys

from deconv.data.preparation import caltech256, command

if __name__ == "__main__":
    sys.exit(command.main(caltech256, __doc__))
