#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the rules of whole files: how they begin, how long they are, blanks, and names of registries."""

import re

from tree import SOURCE, Tree, finish, line_of, self_test

LINES_MAX = 800
LINES_MANY = 500
DATA = re.compile(r"\.(abi|patch)$|/corpus/")  # Written by programs, byte by byte.
GENERATED = re.compile(r"\bDo not edit\.|\bDO NOT EDIT\.")  # In the first lines: a program minds its length.
SPDX = "SPDX-License-Identifier: Apache-2.0"

# Project files never say where packages come from: machines have their own mirrors. Brackets keep
# the patterns from matching themselves.
REGISTRIES = [
    r"pypi[.]org", r"files[.]pythonhosted", r"npmjs[.](org|com)", r"crates[.]io", r"rubygems[.]org",
    r"proxy[.]golang[.]org", r"(hub|index|registry)[-.0-9]*[.]?docker[.](io|com)", r"docker[.]io/",
    r"docker[ ]hub", r"ghcr[.]io", r"quay[.]io", r"gcr[.]io", r"(deb|snapshot|ftp)[.]debian[.]org",
    r"archive[.]ubuntu[.]com", r"cdn[.]kernel[.]org", r"raw[.]githubusercontent", r"codeload[.]github",
    r"github[.]com/[^\s]*/(releases/download|archive|raw|tarball)/", r"huggingface[.]co",
]


def check_beginning(name, text):
    """The licence first, behind what tools want above it; then for C one sentence: what the file owns."""
    lines = text.split("\n")
    first = 0
    while first < len(lines) - 1 and re.match(r"#!|# shellcheck ", lines[first]):
        first += 1
    if SPDX not in lines[first]:
        yield f"{name}:{first + 1}: begins without the SPDX line"
    elif re.search(r"\.[ch](\.in)?$", name):
        rest = "\n".join(lines[first + 1:])
        comment = re.match(r"/\*.*?\*/|(//[^\n]*\n)+", rest, re.S)
        words = re.sub(r"^\s*(/\*|\*/|\*|//) ?", "", comment.group(), flags=re.M) if comment else ""
        if not re.match(r"\s*\S+ \S+ .*[.?:]", words, re.S):
            yield f"{name}:{first + 2}: no comment says in a sentence what the file owns"


def check(tree):
    """Files that break a rule."""
    problems = []
    for name, text in tree.files(r"\.(c|h|c\.in|py|sh|go)$", r"(^|/)meson\.build$", r"^meson_options\.txt$"):
        problems += check_beginning(name, text)
    for name, text in tree.scripts():
        if not name.endswith((".py", ".sh")):
            problems += check_beginning(name, text)
    for name, text in tree.files(r"\.(c|h|py|sh|go)$"):
        count = text.count("\n")
        if GENERATED.search("\n".join(text.split("\n")[:8])):
            continue
        if count > LINES_MAX:
            problems.append(f"{name}: {count} lines, more than {LINES_MAX}")
        elif count > LINES_MANY:
            print(f"warning: {name}: {count} lines, more than {LINES_MANY}: think again")
    for name, text in tree.files("."):
        for pattern in REGISTRIES:
            for match in re.finditer(pattern, text, re.I):
                problems.append(f"{name}:{line_of(text, match.start())}: names {match.group()}")
        if DATA.search(name) or not text:
            continue
        for match in re.finditer(r"[ \t\r]+$", text, re.M):
            problems.append(f"{name}:{line_of(text, match.start())}: blanks at the end of the line")
        if not text.endswith("\n") or text.endswith("\n\n"):
            problems.append(f"{name}: does not end in one newline")
    return problems


C_HEAD = f"/* {SPDX} */\n/* Owns a thing. */\n"
BAD = {
    "C without SPDX": {"a.c": "/* Owns a thing. */\n"},
    "C without a sentence": {"a.c": f"/* {SPDX} */\n#include <a.h>\n"},
    "C with a sentence further down": {"a.c": f"/* {SPDX} */\nint a;\n/* Owns a thing. */\n"},
    "C with a word for a sentence": {"a.h": f"/* {SPDX} */\n/* Things */\n"},
    "Python without SPDX": {"a.py": "#!/usr/bin/env python3\n"},
    "a shell file without SPDX": {"a.sh": "echo\n"},
    "a script without suffix or SPDX": {"tool": "#!/bin/bash\necho\n"},
    "meson.build without SPDX": {"lib/meson.build": "x = 1\n"},
    "an empty meson.build": {"lib/meson.build": ""},
    "a file too long": {"a.c": C_HEAD + "\n" * LINES_MAX + ";\n"},
    "a long file that mentions far down that one should not edit": {
        "a.c": C_HEAD + "\n" * LINES_MAX + "/* Do not edit. */\n"},
    "a blank at the end of a line": {"README.md": "text \n"},
    "a tab at the end of a line": {"README.md": "text\t\nmore\n"},
    "DOS lines": {"README.md": "text\r\n"},
    "no newline at the end": {"README.md": "text"},
    "two newlines at the end": {"README.md": "text\n\n"},
    **{f"registry {name.replace('@', '.')}": {"README.md": f"see https://{name.replace('@', '.')}/x\n"}
       for name in ("pypi@org", "registry@npmjs@org", "crates@io", "hub@docker@com", "ghcr@io",
                    "deb@debian@org", "github@com/a/b/releases/download", "github@com/a/b/archive",
                    "raw@githubusercontent@com", "proxy@golang@org")},
    "a registry by its name": {"README.md": "from Docker" + " Hub\n"},
}
GOOD = {
    "sound files": {
        "a.c": C_HEAD, "b.h": f"/* {SPDX} */\n/*\n * What a thing is: its\n * rules.\n */\n",
        "d.sh": f"# shellcheck shell=bash\n# {SPDX}\n", "e.h": f"// {SPDX}\n// Owns a thing.\n",
        "c.py": f"#!/usr/bin/env python3\n# {SPDX}\n", "tool": f"#!/bin/bash\n# {SPDX}\n",
        "f.c": f"/* {SPDX} */\n/* Owns a thing. Do not edit. */\n" + "\n" * LINES_MAX + ";\n",
        "meson.build": f"# {SPDX}\n", "README.md": "Debian packages; https://github.com/a/b\n"},
}

if __name__ == "__main__":
    self_test(check, BAD, GOOD)
    project = Tree(SOURCE)
    finish(check(project), f"{len(project.names)} files")
