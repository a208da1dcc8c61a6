# SPDX-License-Identifier: Apache-2.0
"""Owns the building of changed copies of the library, with meson's sources and definitions."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

from harness import CC, SOURCE, build_root, expect, output, parallel

FLAGS = ["-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-O0", "-w"]


def _sources():
    """{path below lib/, or absolute for a generated file: words of its compiler command}"""
    database = build_root() / "compile_commands.json"
    expect(database.exists(), f"{database} is missing")
    lib = os.path.realpath(SOURCE / "lib")
    found = {}
    for entry in json.loads(database.read_text(encoding="utf-8")):
        if "libnestvirt.so" in entry.get("output", ""):
            path = os.path.realpath(Path(entry["directory"]) / entry["file"])
            inside = os.path.relpath(path, lib)
            generated = inside.startswith("..") or os.path.realpath(build_root()) in path
            found[path if generated else inside] = shlex.split(entry["command"])
    expect(found, "compile_commands.json has no source of the library")
    return found


class Library:
    """A copy of headers and sources below a folder, and what was built of it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.tree = self.folder / "tree"
        self.objects = self.folder / "objects"
        self.folder.mkdir()

    def copy(self, origin=SOURCE):
        """Fills the tree."""
        for room in ("include", "lib"):
            shutil.copytree(origin / room, self.tree / room)

    def patch(self, files, old, new):
        """Replaces a text in files of the tree; it must be there."""
        for name in files:
            path = self.tree / name
            text = path.read_text(encoding="utf-8")
            expect(old in text, f"self-test: {name} has no `{old}` any more; choose another text")
            path.write_text(text.replace(old, new), encoding="utf-8")

    def compile(self, wanted, *flags):
        """Compiles the sources for which wanted(path below lib/) holds."""
        self.objects.mkdir(exist_ok=True)
        jobs = []
        for inside, words in _sources().items():
            if not wanted(inside):
                continue
            options = [word for word in words if re.match(r"-D(?!_FORTIFY)|-std=|-pthread", word)]
            options += ["-I", self.tree / "lib", "-I", self.tree / "include", *FLAGS, *flags]
            target = self.objects / (inside.replace("/", "_") + ".o")
            jobs.append([*CC, *options, "-c", self.tree / "lib" / inside, "-o", target])
        expect(jobs, "nothing to compile")
        parallel(output, jobs)

    def link(self, *flags):
        """Links the objects to a shared library and returns its path."""
        target = self.folder / "libnestvirt.so.0"
        output([*CC, "-shared", "-pthread", "-Wl,-soname,libnestvirt.so.0", *flags,
                f"-Wl,--version-script={self.tree / 'lib' / 'libnestvirt.map'}",
                *sorted(self.objects.glob("*.o")), "-o", target, "-ldl"])
        return target

    def build(self):
        """The whole library."""
        self.compile(lambda inside: True)
        return self.link("-Wl,-z,defs")

    def build_interface(self):
        """Only the functions of lib/api, with debug information: all types, but nothing to run."""
        self.compile(lambda inside: inside.startswith("api/"), "-g")
        return self.link()

    def unpack(self, archive):
        """Takes the objects of an archive instead of compiling the tree."""
        self.objects.mkdir()
        output(["ar", "x", archive], cwd=self.objects)

    def mutate(self, folder, files, old, new):
        """A library like this one but for a text in some sources; only those are compiled."""
        mutant = Library(folder)
        mutant.copy(self.tree)
        names = files.split()
        mutant.patch([Path("lib") / name for name in names], old, new)
        shutil.copytree(self.objects, mutant.objects)
        mutant.compile(lambda inside: inside in names)
        return mutant.link("-Wl,-z,defs")
