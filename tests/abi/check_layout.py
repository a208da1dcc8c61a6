#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the test that fields and constants stand where layout.c says, all of them, without holes."""

import shutil

import gen_layout
from harness import CC, INCLUDE, caught, expect, main, run
from headers import Field, rewrite_structs

CHANGES = {  # name: (header, old text, new text); each must break an assertion of layout.c
    "fields in another order": ("host.h", "uint32_t api_version;", "uint32_t features;"),
    "a field of another size": ("vcpu.h", "uint64_t rip, rflags;", "uint32_t rip, rflags;"),
    "a constant of another value": ("vm.h", "NESTVIRT_STATE_STOPPED = 5", "NESTVIRT_STATE_STOPPED = 7"),
    "a field that is gone": ("device.h", "    uint64_t offset; ", "    uint64_t place; "),
}


def compile_layout(include):
    """0 if all assertions of layout.c hold for these headers."""
    return run([*CC, "-std=gnu17", "-fsyntax-only", "-I", include, gen_layout.LAYOUT])


def changed_headers(folder, name, header, old, new):
    """A copy of the headers with one change."""
    include = folder / name.replace(" ", "_")
    shutil.copytree(INCLUDE, include)
    path = include / "nestvirt" / header
    text = path.read_text(encoding="utf-8")
    expect(old in text, f"self-test: {header} has no `{old}` any more; choose another text")
    text = text.replace(old, new)
    if new.startswith("uint32_t features"):
        first, second = text.split(new, 1)
        text = first + new + second.replace("uint32_t features;", "uint32_t api_version;", 1)
    path.write_text(text, encoding="utf-8")
    return include


def test(folder):
    """Compares, then proves that changes are seen."""
    done = compile_layout(INCLUDE)
    expect(done.returncode == 0, "the layout of existing fields or constants changed:\n" + done.stdout)
    structs, constants = gen_layout.measure(INCLUDE, folder)
    text = gen_layout.LAYOUT.read_text(encoding="utf-8")
    expect(text == gen_layout.render(structs, constants),
           "layout.c is stale: run tests/abi/gen_layout.py and read what it adds")
    expect(not gen_layout.holes(structs), "\n".join(gen_layout.holes(structs)))
    fields = sum(len(fields) for _, fields in structs.values())
    print(f"{len(structs)} structures without holes, {fields} fields, {len(constants)} constants")

    for name, change in CHANGES.items():
        caught(name, compile_layout(changed_headers(folder, name, *change)).returncode != 0)
    more = [Field("more", "uint64_t", None), Field("odd", "uint32_t", None)]
    shutil.copytree(INCLUDE, folder / "grown")
    rewrite_structs(folder / "grown", lambda struct: [*struct.fields, *more])
    structs, constants = gen_layout.measure(folder / "grown", folder)
    caught("a padding hole", gen_layout.holes(structs))
    caught("a stale layout.c", text != gen_layout.render(structs, constants))
    expect(not gen_layout.lost(text, gen_layout.render(structs, constants)),
           "self-test: growth counts as a loss")
    caught("a lost assertion", gen_layout.lost(text, text.replace("api_version, 8", "api_version, 12")))


if __name__ == "__main__":
    main(test)
