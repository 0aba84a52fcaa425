"""Write requirements/dev.lock: the development environment, each file with its SHA-256.

    .venv/bin/python scripts/lock.py

Asks pip what it would install for `.[test]` in an empty environment, at the versions that this one
has, and installs nothing. Takes about a minute. The hashes are those of the files for this Python
on this kind of machine; elsewhere, write a lock of one's own.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "dev.lock"
HEAD = """\
# The development environment at the versions that the tests were run with.
# For {python} on {system}. Written by: python scripts/lock.py
# To install: pip install --require-hashes -r requirements/dev.lock
#             pip install --no-deps --no-build-isolation -e .
"""


def pip(*arguments: str) -> str:
    """Run this environment's pip; what it prints."""
    run = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode:
        sys.exit("error: pip could not find all packages, see above; is there a network?")
    return done.stdout


def main() -> None:
    """Write the lock and print its path."""
    with tempfile.TemporaryDirectory() as folder:
        versions, report = Path(folder) / "versions", Path(folder) / "report"
        versions.write_text(pip("freeze", "--exclude-editable"), encoding="utf-8")
        asked = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        pip("install", *asked, "--constraint", str(versions), ".[test]")
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    lines = []
    for one in chosen:
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name != "deconv":
            digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
            lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    python = f"{platform.python_implementation()} {'.'.join(map(str, sys.version_info[:2]))}"
    head = HEAD.format(python=python, system=f"{platform.system()} {platform.machine()}")
    LOCK.parent.mkdir(exist_ok=True)
    LOCK.write_text(head + "".join(sorted(lines)), encoding="utf-8")
    print(LOCK)


if __name__ == "__main__":
    main()
