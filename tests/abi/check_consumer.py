#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Owns the test that programs and libraries of different releases get on: compiled against shortened,
present and grown headers, run with the present library and with one whose structures have grown.

    check_consumer.py plain|kvm
"""

import os
import re
import shutil
import sys
from pathlib import Path

from harness import (CC, INCLUDE, SOURCE, Skip, caught, expect, library, main, need_plain_build,
                     output, run)
from gen_layout import measure
from headers import Api, Field, rewrite_structs
from library import Library

HERE = Path(__file__).resolve().parent
GROWN = Field("grown", "uint64_t", None)

# name: (which library is changed, files below lib/, old text, new text); consumers must notice each
MUTANTS = {
    "a library that refuses the sizes of its first release": (
        "grown", "api/host.c api/device.c", "offsetof(struct ", "8 + offsetof(struct "),
    "an output copied without a look at the caller's size": (
        "grown", "core/structs.c", "memcpy(callers, ours, NV_MIN(known_size, (size_t)size));",
        "memcpy(callers, ours, known_size);"),
    "a size field that is overwritten": (
        "grown", "core/structs.c", "memcpy(callers, &size, sizeof(size));\n    return 0;", "return 0;"),
    "an _init that clears too much": (
        "present", "core/structs.c", "memset(callers, 0, caller_size);",
        "memset(callers, 0, caller_size + 4);"),
    "an _init that writes less than four bytes": (
        "present", "core/structs.c", "caller_size < sizeof(size)", "caller_size < 1"),
    "a short size that is accepted": ("present", "core/structs.c", "size < first_size ||", ""),
}
KVM_MUTANTS = {  # no function without KVM takes a structure that is input
    "an unknown tail that is ignored": (
        "present", "core/structs.c", "if (bytes[i] != 0)", "if (0)"),
    "bytes behind an input that are looked at": (
        "grown", "core/structs.c", "memcpy(ours, callers, NV_MIN(known_size, (size_t)size));",
        "memcpy(ours, callers, known_size); if (known_size > size && bytes[size]) return -E2BIG;"),
}


def first_sizes(api, folder):
    """The size of each growable structure in its first release, as lib/api knows it."""
    sizes = {}
    for path in sorted((SOURCE / "lib" / "api").glob("*.c")):
        for size, name in re.findall(r"_FIRST = ((?:sizeof|offsetof)\(struct (nestvirt_\w+)[^)]*\))",
                                     path.read_text(encoding="utf-8")):
            sizes[name] = size
    missed = {one.name for one in api.sized() if api.init_of(one)} - set(sizes)
    expect(not missed, "no *_FIRST constant in lib/api for " + ", ".join(sorted(missed)))
    lines = ["#include <stdio.h>", "#include <nestvirt/nestvirt.h>", "int main(void) {"]
    lines += [f'printf("{name} %zu\\n", (size_t){size});' for name, size in sizes.items()]
    source = folder / "sizes.c"
    source.write_text("\n".join(lines + ["}"]), encoding="utf-8")
    output([*CC, "-I", api.include, source, "-o", folder / "sizes"])
    return {line.split()[0]: int(line.split()[1]) for line in output([folder / "sizes"]).splitlines()}


def write_list(api, first, path):
    """structs.h: what consumer.h says of it."""
    rows = [f"    X({one.name[len('nestvirt_'):]}, {first[one.name]})"
            for one in api.sized() if api.init_of(one)]
    path.write_text("#define STRUCTS(X) \\\n" + " \\\n".join(rows) + "\n", encoding="utf-8")


def grow_library(tree):
    """Lets the structures of a copy of the library be one field longer than in their first release."""
    rewrite_structs(tree / "include", lambda struct: [*struct.fields, GROWN])
    for path in sorted((tree / "lib" / "api").glob("*.c")):
        text = path.read_text(encoding="utf-8")
        new = re.sub(r"(_FIRST = )sizeof\((struct nestvirt_\w+)\)", r"\1offsetof(\2, grown)", text)
        path.write_text(new, encoding="utf-8")


class Consumers:
    """Programs by the headers they were compiled against."""

    def __init__(self, folder, kvm):
        self.folder, self.kvm = folder, kvm
        self.so = library("SHARED")
        api = Api(INCLUDE)
        first = first_sizes(api, folder)
        write_list(api, first, folder / "structs.h")
        layout = measure(INCLUDE, folder)[0]

        def fields_of_first(struct):
            ends = {name: offset + size for name, offset, size in layout[struct.name][1]}
            return [field for field in struct.fields
                    if ends[field.name] <= first.get(struct.name, ends[field.name])]

        changes = {
            "present": lambda struct: struct.fields,
            "without the last field": lambda struct: fields_of_first(struct)[:-1],
            "without all but size and flags": lambda struct: struct.fields[:2],
            "grown": lambda struct: [*struct.fields, GROWN],
        }
        self.programs = {name: self.compile(name, change) for name, change in changes.items()}

    def compile(self, name, change):
        """The programs for one set of headers."""
        place = self.folder / name.replace(" ", "-")
        shutil.copytree(INCLUDE, place / "include")
        rewrite_structs(place / "include", change)
        programs = []
        for kind in ["plain", "vm"] if "without" not in name and self.kvm else ["plain"]:
            programs.append(place / kind)
            output([*CC, "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-g", "-O1",
                    "-I", place / "include", "-I", self.folder, "-I", HERE, HERE / "consumer.c",
                    HERE / f"consumer_{kind}.c", self.so, "-o", programs[-1]])
        return programs

    def problems(self, name, relation, so):
        """Runs the programs of one set of headers with a library."""
        found = []
        self.said = ""
        environment = {**os.environ, "LD_LIBRARY_PATH": str(so.parent)}
        for program in self.programs[name]:
            done = run([program, relation, *(["kvm"] if self.kvm else [])], env=environment, timeout=60)
            self.said += done.stdout
            if done.returncode != 0:
                found.append(f"{program.name}: status {done.returncode}\n{done.stdout}")
        return found

    def check(self, name, relation, so, title):
        """Fails unless the programs of one set of headers are content with a library."""
        problems = self.problems(name, relation, so)
        expect(not problems, f"headers {name}, {title}:\n" + "\n".join(problems))
        print(f"headers {name}, {title}:")
        print("  " + "\n  ".join(self.said.splitlines()))


RELATIONS = {
    "present": {"present": "same", "without the last field": "short",
                "without all but size and flags": "short", "grown": "newer"},
    "grown": {"present": "same", "without the last field": "short",
              "without all but size and flags": "short", "grown": "grown"},
}


def test_mutants(consumers, bases, folder):
    """Each defect in a library must be seen by one of the programs."""
    mutants = {**MUTANTS, **(KVM_MUTANTS if consumers.kvm else {})}
    for number, (name, (base, files, old, new)) in enumerate(mutants.items()):
        so = bases[base].mutate(folder / f"mutant{number}", files, old, new)
        caught(name, [problem for headers, relation in RELATIONS[base].items()
                      for problem in consumers.problems(headers, relation, so)])


def test(folder, kvm):
    """Old programs with new libraries, new programs with old ones."""
    if kvm and not os.path.exists("/dev/kvm"):
        raise Skip("there is no /dev/kvm on this machine")
    need_plain_build()
    consumers = Consumers(folder, kvm)
    for headers, relation in RELATIONS["present"].items():
        consumers.check(headers, relation, consumers.so, "present library")

    grown = Library(folder / "grown-library")
    grown.copy()
    grow_library(grown.tree)
    so = grown.build()
    for headers, relation in RELATIONS["grown"].items():
        consumers.check(headers, relation, so, "grown library")

    present = Library(folder / "present-library")
    present.copy()
    present.unpack(library("STATIC"))
    test_mutants(consumers, {"present": present, "grown": grown}, folder)


if sys.argv[1:] in (["plain"], ["kvm"]):
    main(lambda folder: test(folder, sys.argv[1] == "kvm"))
else:
    sys.exit(__doc__)
