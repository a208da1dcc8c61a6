# SPDX-License-Identifier: Apache-2.0
"""Owns bindings/coverage.txt: for each function and constant, the files that bind it in each language."""

import re
from pathlib import Path
from typing import Dict, List, Set, Tuple

import groups
from go import camel
from headers import Api

NAME = "coverage.txt"
GENERATED = {"_abi.py", "_constants.py", "abi.h", "abi.c", "constants.go", "devices.go"}


def python_uses(bindings: Path) -> Dict[str, str]:
    """Function: the module that calls it."""
    found: Dict[str, str] = {}
    for path in sorted((bindings / "python" / "nestvirt").glob("**/*.py")):
        if path.name not in GENERATED:
            for name in re.findall(r"\b(nestvirt_[a-z0-9_]+)\b", path.read_text(encoding="utf-8")):
                found.setdefault(name, path.name)
    return found


def go_uses(bindings: Path) -> Dict[str, str]:
    """Function: the file that calls it."""
    found: Dict[str, str] = {}
    for path in sorted((bindings / "go").glob("*.go")):
        if path.name not in GENERATED and not path.name.endswith("_test.go"):
            for name in re.findall(r"\bgo_(nestvirt_[a-z0-9_]+)\(", path.read_text(encoding="utf-8")):
                found.setdefault(name, path.name)
    return found


def rows(api: Api, bindings: Path) -> List[Tuple[str, str, str]]:
    """(symbol, where in Python, where in Go); "-" where it is not bound."""
    python, go = python_uses(bindings), go_uses(bindings)
    found = [(name, python.get(name, "-"), go.get(name, "-")) for name in api.functions]
    for constant in api.constants.values():
        group = groups.GROUPS.get(constant.group)
        name = groups.short(constant)
        found.append((constant.name, f"{group.type}.{name}" if group else name, camel(constant.name)))
    return found


def unbound(api: Api, bindings: Path) -> Set[str]:
    """The symbols without a binding in one of the languages."""
    return {row[0] for row in rows(api, bindings) if "-" in row[1:]}


def files(api: Api, bindings: Path) -> Dict[str, str]:
    """The text of the list."""
    lines = ["# Where each symbol of libnestvirt is bound. Made by bindings/generate/generate. Do not edit.",
             f"# {'C':<42}{'Python':<36}Go"]
    lines += [f"{c:<44}{python:<36}{go}".rstrip() for c, python, go in rows(api, bindings)]
    return {NAME: "\n".join(lines) + "\n"}
