"""Read every image of a data set and list all bad files at once.

    python scripts/check_data.py <folder> [--workers N]
    python scripts/check_data.py <folder> --write      # and write <folder>/manifest.sha256
    python scripts/check_data.py <folder>              # from then on also compares the hashes
    python scripts/check_data.py <folder> --manifest <file> [--write]        # one elsewhere

Any layout. Each line on standard output is a file and what is wrong with it: empty, truncated, no
image, a decompression bomb, a loop of links, a name that is no text; with a manifest also changed
(damage that can still be read), missing and unlisted. Hidden files are passed over.

Exit status: 0 all is well; 1 some files are bad; 2 bad input; 130 Ctrl-C.
"""

import sys

from deconv.data.preparation import checking

if __name__ == "__main__":
    sys.exit(checking.main(__doc__))
