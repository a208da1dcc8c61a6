#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the rule that each public function has a comment above it, or above the group it stands in."""

import re

from tree import SOURCE, Tree, finish, self_test

PUBLIC = re.compile(r"^[A-Za-z][\w \t]*[ *]+(nestvirt_\w+)\(")


def undocumented(text):
    """(line, name) of functions in a header whose group of lines does not begin with a comment."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        match = PUBLIC.match(line)
        if not match:
            continue
        top = number
        while top > 0 and lines[top - 1].strip():
            top -= 1
            if lines[top].rstrip().endswith("*/"):  # A comment may have empty lines.
                while top > 0 and not lines[top].lstrip().startswith("/*"):
                    top -= 1
                break
        if not lines[top].lstrip().startswith("/*"):
            yield number + 1, match.group(1)


def check(tree):
    """Public functions without a comment."""
    return [f"{name}:{line}: {function} has no comment" for name, text in tree.files(r"^include/.*\.h$")
            for line, function in undocumented(text)]


def _header(text):
    return {"include/nestvirt/a.h": text}


BAD = {
    "a function without comment": _header("\nint nestvirt_a_get(void);\n"),
    "a function behind the next empty line": _header(
        "/* Gets a. */\nint nestvirt_a_get(void);\n\nint nestvirt_b_get(void);\n"),
    "a function behind a structure": _header(
        "/* Is a. */\nstruct a {\n    int b; /* of a */\n};\n\nint nestvirt_a_get(void);\n"),
    "a function on two lines": _header("\nconst char *nestvirt_a_get(int a,\n    int b);\n"),
}
GOOD = {
    "sound comments": _header("/*\n * Gets a.\n\n * Or not.\n */\nint nestvirt_a_get(int a,\n    int b);\n"
                              "int nestvirt_a_set(int a);\n\n/* Is b. */\nconst char *nestvirt_b_name(void);\n"),
}

if __name__ == "__main__":
    self_test(check, BAD, GOOD)
    project = Tree(SOURCE)
    count = sum(1 for _, text in project.files(r"^include/.*\.h$") for line in text.split("\n")
                if PUBLIC.match(line))
    if count == 0:
        finish(["no public function was found: the check does not see the headers"], "comments")
    finish(check(project), f"comments of {count} public functions")
