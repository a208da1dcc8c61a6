#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Owns the rules that other programs check: formatting of C, shell scripts, spelling.

    check_tools.py clang-format|shellcheck|codespell
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tree import SOURCE, Tree, finish, self_test, skip

CLANG_FORMAT = "14"  # Each version formats differently; this is Debian 12's.
IGNORED_WORDS = Path(__file__).resolve().parent / "words"


def run(tree, command):
    """The lines a tool complains with, none if it is content."""
    if not command[-1]:
        return []
    done = subprocess.run(command, cwd=tree.root, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        return []
    return done.stdout.strip().split("\n") if done.stdout.strip() else [f"status {done.returncode}"]


def find_clang_format():
    """The clang-format of the right version, None if there is none."""
    for name in (f"clang-format-{CLANG_FORMAT}", "clang-format"):
        if shutil.which(name):
            done = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
            if re.search(rf"version {CLANG_FORMAT}\.", done.stdout):
                return name
    return None


def check_clang_format(tree):
    """C files that clang-format would change; one line for each file."""
    names = [name for name, _ in tree.files(r"^(include|lib|examples|tests|bindings)/.*\.[ch]$")]
    style = f"--style=file:{SOURCE / '.clang-format'}"
    if not names:
        return []
    lines = run(tree, [find_clang_format(), style, "--dry-run", "-Werror", *names])
    places = [line for line in lines if re.match(r"\S+:\d+:\d+: (error|warning)", line)]
    return places or lines


def check_shellcheck(tree):
    """What shellcheck says of the shell scripts."""
    names = [name for name, text in tree.files(".")
             if re.search(r"\.sh$", name) or re.match(r"#!\s*/\S*(/env )?\b(ba|da)?sh\b|#!.*env (ba)?sh", text)]
    problems = []
    for name in names:
        text = tree.read(name)
        if "set -euo pipefail" not in text and text.startswith("#!") and "bash" in text.split("\n", 1)[0]:
            problems.append(f"{name}: no `set -euo pipefail`")
        if text.startswith("#!"):
            problems += run(tree, ["shellcheck", "-x", "-f", "gcc", "-P", "SCRIPTDIR", name])
        else:
            problems += run(tree, ["shellcheck", "-x", "-f", "gcc", "-s", "bash", "-P", "SCRIPTDIR", name])
    return problems


def check_codespell(tree):
    """Words that are spelt wrong."""
    names = [name for name, _ in tree.files(".") if not re.search(r"\.(abi|patch)$|(^|/)LICENSE$|/corpus/|/style/words$", name)
             and not (tree.root / name).samefile(__file__)]
    return run(tree, ["codespell", "--ignore-words", str(IGNORED_WORDS), *names]) if names else []


SHELL = "#!/bin/bash\nset -euo pipefail\n"
TOOLS = {
    "clang-format": (check_clang_format, {
        "two blanks": {"lib/a.c": "int  a;\n"}, "tabs": {"tests/a.c": "int f(void)\n{\n\treturn 1;\n}\n"},
        "a brace on the line": {"include/a.h": "int f(void) {\n    return 1;\n}\n"}},
        {"sound C": {"lib/a.c": "int f(void)\n{\n    return 1;\n}\n"}}),
    "shellcheck": (check_shellcheck, {
        "a variable without quotes": {"a.sh": SHELL + "cd /tmp\nrm $1\n"},
        "a script without suffix": {"tool": SHELL + "rm $1\n"},
        "a script of env": {"tool": "#!/usr/bin/env bash\nset -euo pipefail\nrm $1\n"},
        "a script without set": {"tool": "#!/bin/bash\necho\n"}},
        {"a sound script": {"a.sh": SHELL + 'rm "$1"\n'}}),
    "codespell": (check_codespell, {
        "a word spelt wrong": {"README.md": "for the recie" + "ver\n"}},
        {"sound words": {"README.md": "for the receiver\n"}}),
}


def main():
    """Checks with one tool."""
    if len(sys.argv) != 2 or sys.argv[1] not in TOOLS:
        sys.exit(__doc__)
    tool = sys.argv[1]
    if tool == "clang-format" and not find_clang_format():
        skip(f"clang-format {CLANG_FORMAT} is not installed")
    if tool != "clang-format" and not shutil.which(tool):
        skip(f"{tool} is not installed")
    check, bad, good = TOOLS[tool]
    self_test(check, bad, good)
    finish(check(Tree(SOURCE)), tool)


if __name__ == "__main__":
    main()
