#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the gate against incompatible change, and the mutants of headers and library that it must stop."""

import re

from abigate import BASELINE, compare, write_baseline
from check_symbols import differences, exported, mapped
from gen_layout import LAYOUT
from harness import CC, INCLUDE, expect, is_plain_build, library, main, need, output, run
from headers import Api
from library import Library

API, HEADER = "lib/api/", "include/nestvirt/"


def remove_function(tree):
    """A function that is gone everywhere, consistently."""
    edit(tree, HEADER + "vm.h", r"const char \*nestvirt_vm_state_name\(int state\);\n", "")
    edit(tree, API + "vm.c", r"NV_EXPORT const char \*nestvirt_vm_state_name\(.*?\n\}\n", "")
    edit(tree, "lib/libnestvirt.map", r" *nestvirt_vm_state_name;\n", "")


def add_function(tree):
    """A function that the baseline does not have yet."""
    edit(tree, HEADER + "vm.h", r"(int nestvirt_vm_free\()", r"int nestvirt_vm_add(void);\n\1")
    edit(tree, API + "vm.c", r"\Z", "\nNV_EXPORT int nestvirt_vm_add(void)\n{\n    return 0;\n}\n")
    edit(tree, "lib/libnestvirt.map", r"(global:\n)", r"\1    nestvirt_vm_add;\n")


def change_parameter(tree):
    """A parameter of another width."""
    for name in (HEADER + "vcpu.h", API + "vcpu.c"):
        edit(tree, name, r"(nestvirt_vm_get_vcpu\(struct nestvirt_vm \*vm, )uint32_t", r"\1uint64_t")


def change_result(tree):
    """A result of another width."""
    for name in (HEADER + "common.h", API + "common.c"):
        edit(tree, name, r"uint32_t nestvirt_version\(", "uint64_t nestvirt_version(")


def reorder_fields(tree):
    """Two neighbours that change places: size and types stay."""
    edit(tree, HEADER + "host.h", r"(    uint32_t max_vcpus;.*?\n)(    uint32_t max_memory_slots;.*?\n)",
         r"\2\1")


def insert_field(tree):
    """A field that moves those behind it."""
    edit(tree, HEADER + "vm.h", r"(    uint32_t interrupt_chip;)", r"    uint64_t inserted;\n\1")


def change_callback(tree):
    """A callback with another result."""
    for name in (HEADER + "vm.h", API + "vm.c"):
        edit(tree, name, r"int32_t \(\*fn\)\(void \*user_data, struct nestvirt_exit \*exit\)",
             "int64_t (*fn)(void *user_data, struct nestvirt_exit *exit)")


def change_constant(tree):
    """A constant of another value: not part of what libabigail sees."""
    edit(tree, HEADER + "vm.h", r"NESTVIRT_RESULT_STOPPED = 5", "NESTVIRT_RESULT_STOPPED = 9")


def remove_from_map(tree):
    """A function that is still there, but hidden."""
    edit(tree, "lib/libnestvirt.map", r" *nestvirt_vm_pause;\n", "")


# name: (what is done to a copy, the check that must object)
MUTANTS = {
    "a removed function": (remove_function, "abidiff"),
    "an added function": (add_function, "abidiff"),
    "a changed parameter type": (change_parameter, "abidiff"),
    "a changed result type": (change_result, "abidiff"),
    "a changed callback": (change_callback, "abidiff"),
    "reordered fields of one type": (reorder_fields, "abidiff"),
    "a field put in between": (insert_field, "abidiff"),
    "a changed constant": (change_constant, "layout"),
    "a symbol removed from the map": (remove_from_map, "symbols"),
}


def edit(tree, name, pattern, new):
    """Changes the one place in a file where a pattern matches."""
    path = tree / name
    text, times = re.subn(pattern, new, path.read_text(encoding="utf-8"), flags=re.S)
    expect(times == 1, f"self-test: {name} has `{pattern}` {times} times; choose another")
    path.write_text(text, encoding="utf-8")


def gate(so, tree):
    """The checks that object to a library and its headers: {name of the check: what it says}."""
    found = {}
    report = compare(so, tree / "include", tree)
    if report:
        found["abidiff"] = report
    done = run([*CC, "-std=gnu17", "-fsyntax-only", "-I", tree / "include", LAYOUT])
    if done.returncode:
        found["layout"] = done.stdout
    problems = differences(headers=set(Api(tree / "include").functions), library=exported(so),
                           map=mapped((tree / "lib" / "libnestvirt.map").read_text(encoding="utf-8")))
    if problems:
        found["symbols"] = "\n".join(problems)
    return found


def check_mutants(folder):
    """Each mutant must be stopped, and the copy that was not changed must not."""
    for number, (name, (change, wanted)) in enumerate({"no change": (None, None), **MUTANTS}.items()):
        copy = Library(folder / f"mutant{number}")
        copy.copy()
        if change:
            change(copy.tree)
        found = gate(copy.build_interface(), copy.tree)
        if not change:
            expect(not found, "the interface differs from its baseline; if only functions were added, run "
                              "tests/abi/update-baseline:\n" + "\n".join(found.values()))
            print("the interface is as in tests/abi/libnestvirt.abi")
            continue
        expect(wanted in found, f"self-test: {name} was not stopped by {wanted}, but by {list(found)}")
        print(f"  self-test: {name}: stopped by {', '.join(found)}")


def test(folder):
    """The gate for this tree, and for mutants of it."""
    need("abidiff", "abidw")
    expect(BASELINE.exists(), "tests/abi/libnestvirt.abi is missing: run tests/abi/update-baseline")
    check_mutants(folder)
    write_baseline(folder, folder / "new.abi")
    expect(not compare(folder / "new.abi", INCLUDE, folder), "the headers differ from the baseline")
    so = library("SHARED")
    if is_plain_build() and ".debug_info" in output(["readelf", "-SW", so]):
        report = compare(so, INCLUDE, folder)
        expect(not report, f"{so} differs from the baseline:\n{report}")
        print(f"{so.name} as built by meson too")


if __name__ == "__main__":
    main(test)
