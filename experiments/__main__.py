"""`python -m experiments`: the commands, a line each.

With --completion it prints what makes bash complete settings; in ~/.bashrc:
eval "$(python -m experiments --completion)"
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

COMPLETION = r"""
_deconv_experiments() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_LINE:0:COMP_POINT}
    if [[ $before =~ ^[^[:space:]]*python[0-9.]*\ -m\ experiments\.[a-z0-9_]*$ ]]; then
        COMPREPLY=($(compgen -W "$(python -m experiments --names)" -- "$cur"))
    elif [[ $before =~ ^([^[:space:]]*python[0-9.]*)\ -m\ (experiments\.[a-z0-9_]+)\ (.*)$ ]]; then
        local line="python ${BASH_REMATCH[2]} ${BASH_REMATCH[3]}"
        COMPREPLY=($(compgen -o nospace -W "$(COMP_LINE=$line COMP_POINT=${#line} \
            "${BASH_REMATCH[1]}" -m "${BASH_REMATCH[2]}" -sc query=bash 2>/dev/null)" -- "$cur"))
    fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -o bashdefault -F _deconv_experiments python python3
"""


def commands() -> dict[str, str]:
    """Stem -> the first line of its docstring, of every module here that is a command."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
        if any(isinstance(target, ast.Name) and target.id == "main" for target in targets):
            found[path.stem] = (ast.get_docstring(tree) or "").splitlines()[0]
    return found


def main(arguments: list[str]) -> None:
    """Print what is asked for."""
    listed = commands()
    if arguments == ["--completion"]:
        print(COMPLETION)
    elif arguments == ["--names"]:
        print(*(f"experiments.{stem}" for stem in listed))
    else:
        width = max(map(len, listed))
        print("python -m experiments.<command> [setting=value …]; --help lists its settings\n")
        for stem, about in listed.items():
            print(f"{stem:{width}}  {about}")


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    main(sys.argv[1:])
