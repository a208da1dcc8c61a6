# SPDX-License-Identifier: Apache-2.0
"""What is made from the headers is up to date, complete, and as the compiled library has it."""

import ctypes
import importlib
import keyword
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict, List, Set, Tuple

import support
from nestvirt import _abi

ROOT = Path(__file__).resolve().parents[3]
Layout = Dict[str, Tuple[int, List[Tuple[str, int, int]]]]  # Structure: size, fields with offset and size.

# As readelf prints what a compiler tells debuggers (DWARF).
NAME = re.compile(r"DW_AT_name +: (?:\(\w+\) )?(?:\(offset[^)]*\): )?(\w+)\n")
SIZE = re.compile(r"DW_AT_byte_size +: (?:\(\w+\) )?(\d+)\n")
OFFSET = re.compile(r"DW_AT_data_member_location: (?:\(\w+\) )?(\d+)\n")

sys.path.insert(0, str(ROOT / "tests" / "abi"))


def python_layout() -> Layout:
    """The structures of the package."""
    found: Layout = {}
    for name, value in vars(_abi).items():
        if isinstance(value, type) and issubclass(value, ctypes.Structure) and name.startswith("nestvirt_"):
            fields = [(field[0], getattr(value, field[0]).offset, getattr(value, field[0]).size)
                      for field in value._fields_]
            found[name] = (ctypes.sizeof(value), fields)
    return found


def compiled_layout() -> Tuple[Layout, Dict[str, int]]:
    """The structures and constants as the C compiler sees them."""
    abi: Any = importlib.import_module("gen_layout")
    with tempfile.TemporaryDirectory() as folder:
        structs, constants = abi.measure(abi.INCLUDE, folder)
    return structs, constants


def library_path() -> Path:
    """The library under test. SkipTest if it is found by its name only."""
    path = os.environ.get("NESTVIRT_LIBRARY")
    if not path or "/" not in path:
        raise unittest.SkipTest("NESTVIRT_LIBRARY names no file")
    return Path(path)


def debug_layout(path: Path) -> Layout:
    """The structures by what the compiler wrote into the library for debuggers, without sizes of fields."""
    text = subprocess.run(["readelf", "-W", "--debug-dump=info", path], stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    found: Layout = {}
    for chunk in text.split("(DW_TAG_structure_type)\n")[1:]:
        own, *others = re.split(r"Abbrev Number: \d+ (?=\(DW_TAG|$)|Abbrev Number: 0", chunk)
        name, size = NAME.search(own), SIZE.search(own)
        if name is None or size is None or name[1] in found or not name[1].startswith("nestvirt_"):
            continue
        fields = []
        for entry in others:
            if not entry.startswith("(DW_TAG_member)"):
                break
            member, offset = NAME.search(entry), OFFSET.search(entry)
            assert member is not None and offset is not None, entry
            fields.append((member[1], int(offset[1]), 0))
        found[name[1]] = (int(size[1]), fields)
    return found


def differences(ours: Layout, theirs: Layout, *, with_sizes: bool = True) -> List[str]:
    """Where two layouts differ; structures that the second lacks are left out."""
    found = []
    for name, (size, fields) in sorted(theirs.items()):
        mine = ours.get(name)
        if mine is None:
            found.append(f"{name}: is missing")
            continue
        if mine[0] != size:
            found.append(f"{name}: {mine[0]} bytes, not {size}")
        width = 3 if with_sizes else 2
        if [one[:width] for one in mine[1]] != [one[:width] for one in fields]:
            found.append(f"{name}: fields {mine[1]}, not {fields}")
    return found


def exported(path: Path) -> Set[str]:
    """The functions of a library."""
    text = subprocess.run(["nm", "-D", "--defined-only", path], stdout=subprocess.PIPE, check=True, text=True).stdout
    return set(re.findall(r" T (nestvirt_\w+)", text))


def python_constants() -> Dict[str, int]:
    """The constants of the package, by their names in C, as coverage.txt has them."""
    found = {}
    for line in (ROOT / "bindings" / "coverage.txt").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[0].startswith("NESTVIRT_"):
            value: Any = importlib.import_module("nestvirt._constants")
            for name in words[1].split("."):
                value = getattr(value, name + "_" if keyword.iskeyword(name) else name)
            found[words[0]] = int(value)
    return found


class Layouts(unittest.TestCase):
    def test_as_the_compiler_sees_the_headers(self) -> None:
        structs, constants = compiled_layout()
        self.assertGreater(len(structs), 20)
        self.assertEqual(differences(python_layout(), structs), [])
        self.assertEqual(set(python_layout()), set(structs))
        self.assertEqual(python_constants(), constants)

    def test_as_the_library_was_compiled(self) -> None:
        compiled = debug_layout(library_path())
        if not compiled:
            self.skipTest("the library has no debugging information")
        known = {name: layout for name, layout in compiled.items() if name in python_layout()}
        self.assertGreater(len(known), 20)
        self.assertEqual(differences(python_layout(), known, with_sizes=False), [])

    def test_functions_are_those_of_the_library(self) -> None:
        self.assertEqual(set(_abi.PROTOTYPES), exported(library_path()))

    def test_a_wrong_offset_is_noticed(self) -> None:
        ours = python_layout()
        size, fields = ours["nestvirt_access"]
        moved = [(name, offset + 4 if name == "address" else offset, width) for name, offset, width in fields]
        wrong: List[Any] = [(size, moved), (size, fields[:-1]), (size + 8, fields),
                            (size, [fields[1], fields[0], *fields[2:]])]
        for layout in wrong:
            found = differences({**ours, "nestvirt_access": layout}, ours)
            self.assertEqual(len(found), 1, layout)
        del ours["nestvirt_access"]
        self.assertEqual(differences(ours, python_layout()), ["nestvirt_access: is missing"])


class Generator(unittest.TestCase):
    """The check, on copies of the tree that something was done to."""

    def setUp(self) -> None:
        library_path()
        for tool in ("gofmt", "clang-format"):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is not installed")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for part in ("include", "bindings"):
            shutil.copytree(ROOT / part, self.root / part, ignore=shutil.ignore_patterns("__pycache__", "build"))
        shutil.copy(ROOT / ".clang-format", self.root)

    def generate(self, *arguments: str) -> Tuple[int, str]:
        done = subprocess.run(["/usr/bin/python3", self.root / "bindings/generate/generate", "--library",
                               library_path(), *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    def change(self, name: str, before: str, after: str) -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        self.assertIn(before, text)
        path.write_text(text.replace(before, after, 1), encoding="utf-8")

    def check_is_told(self, *words: str) -> None:
        status, text = self.generate("--check")
        self.assertEqual(status, 1, text)
        for word in words:
            self.assertRegex(text, word)

    def test_nothing_is_stale_or_unbound(self) -> None:
        status, text = self.generate("--check")
        self.assertEqual((status, text), (0, ""))

    def test_stale_files_are_noticed(self) -> None:
        self.change("bindings/python/nestvirt/_abi.py", "c_uint64", "c_uint32")
        self.change("bindings/go/constants.go", "= 1", "= 2")
        (self.root / "bindings/coverage.txt").unlink()
        self.check_is_told(r"_abi\.py: stale", r"constants\.go: stale", r"coverage\.txt: stale")
        self.generate()
        self.assertEqual(self.generate("--check"), (0, ""))

    def test_a_new_function_is_noticed(self) -> None:
        self.change("include/nestvirt/report.h", "/* Frees a report",
                    "/* Does something new. */\nint nestvirt_report_renew(struct nestvirt_report *report);\n\n"
                    "/* Frees a report")
        self.check_is_told(r"_abi\.py: stale", r"abi\.h: stale", "nestvirt_report_renew: not bound")
        self.generate()
        self.check_is_told("nestvirt_report_renew: not bound")

    def test_a_function_that_one_language_drops_is_noticed(self) -> None:
        self.change("bindings/python/nestvirt/_report.py", "nestvirt_report_get_plan", "nestvirt_report_get_planx")
        self.check_is_told("nestvirt_report_get_plan: not bound")

    def test_a_new_constant_is_noticed(self) -> None:
        self.change("include/nestvirt/report.h", "NESTVIRT_KIND_OTHER = 6", "NESTVIRT_KIND_OTHER = 6,\n"
                    "    NESTVIRT_KIND_NEW = 7")
        self.check_is_told(r"_constants\.py: stale", r"constants\.go: stale")


if __name__ == "__main__":
    support.main(needs_kvm=False)
