# Sourced by scripts/demo, scripts/test and others: moves to the checkout and makes sure that its
# virtual environment .venv exists and has what pyproject.toml asks for. Sets $python.
# Usage: source scripts/environment.sh <extras>, e.g. "[experiments]" or "[test]"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=.venv/bin/python
extras="${1:-}"
stamp=".venv/installed${extras//[^a-z]/-}"
wanted="$(cksum < pyproject.toml)"

if [ ! -x "$python" ] || ! "$python" -c "" 2>/dev/null; then
    base=""
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            base="$candidate"
            break
        fi
    done
    if [ -z "$base" ]; then
        echo "error: Python 3.10 or newer is needed; set PYTHON=/path/to/python3" >&2
        exit 2
    fi
    echo "Making the virtual environment .venv with $("$base" --version)"
    if ! "$base" -m venv --clear .venv; then
        echo "error: $base cannot make virtual environments; on Debian: apt install python3-venv" >&2
        exit 2
    fi
fi
# What the tests need holds what the demo needs.
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] && \
    { [ "$extras" = "[test]" ] || [ "$(cat ".venv/installed-test-" 2>/dev/null)" != "$wanted" ]; }; then
    echo "Installing deconv${extras} and what it needs (torch is large: some minutes the first time)"
    "$python" -m pip install --quiet --disable-pip-version-check --upgrade "pip>=21.3"
    "$python" -m pip install --quiet --disable-pip-version-check --editable ".$extras"
    echo "$wanted" > "$stamp"
fi
