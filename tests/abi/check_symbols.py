#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the test that headers, symbol map, shared library and archive name the same functions."""

import re

from harness import CC, INCLUDE, MAP, caught, expect, library, main, need, need_plain_build, output
from headers import Api


def mapped(text):
    """The exported names of a symbol map, all nodes together; local must be everything else."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    names = set()
    nodes = re.findall(r"(NESTVIRT_\d+\.\d+) \{(.*?)\}[^;]*;", text, re.S)
    expect(nodes, "the symbol map has no node")
    for _, body in nodes:
        section = body.split("global:")[-1].split("local:")[0]
        for word in section.split(";"):
            if word.strip():
                expect(re.fullmatch(r"nestvirt_\w+", word.strip()), f"symbol map: {word.strip()}")
                names.add(word.strip())
    expect(re.search(r"local:\s*\*;", text), "the symbol map does not hide the rest")
    return names


def exported(so):
    """The names that a shared library offers, without their versions."""
    names = set()
    for line in output(["nm", "-D", "--defined-only", "--format=posix", so]).splitlines():
        name, kind, *_ = line.split()
        if kind != "A":  # The version nodes themselves.
            names.add(name.split("@")[0])
    return names


def archived(archive):
    """The global names that an archive defines."""
    lines = output(["nm", "-g", "--defined-only", "--format=posix", archive]).splitlines()
    return {line.split()[0] for line in lines if len(line.split()) > 1}


def differences(**sets):
    """What is in one of the named sets and not in another."""
    everything = set().union(*sets.values())
    return [f"{name} is not in {place}" for name in sorted(everything)
            for place, names in sets.items() if name not in names]


def test_caught(folder, declared, in_map):
    """Self-test with libraries that have a symbol too many and one too few."""
    name = min(declared)
    source = folder / "other.c"
    for title, extra in (("a missing symbol", ""), ("an extra symbol", "nestvirt_extra")):
        wanted = declared - {name} | ({extra, name} if extra else set())
        source.write_text("".join(f"void {one}(void) {{}}\n" for one in wanted), encoding="utf-8")
        output([*CC, "-shared", "-fPIC", "-w", source, "-o", folder / "other.so"])
        caught(title + " in the library",
               differences(headers=declared, map=in_map, library=exported(folder / "other.so")))
    text = MAP.read_text(encoding="utf-8").replace(f"    {name};\n", "")
    caught("a symbol missing in the map", differences(headers=declared, map=mapped(text)))
    caught("a symbol missing in the headers", differences(headers=declared - {name}, map=in_map))


def test(folder):
    """Compares the four lists of names."""
    need("nm")
    declared = set(Api(INCLUDE).functions)
    in_map = mapped(MAP.read_text(encoding="utf-8"))
    test_caught(folder, declared, in_map)
    need_plain_build()
    in_library = exported(library("SHARED"))
    in_archive = archived(library("STATIC"))
    public = {name for name in in_archive if name.startswith("nestvirt_")}
    problems = differences(headers=declared, map=in_map, library=in_library, archive=public)
    expect(not problems, "\n".join(problems))
    print(f"{len(declared)} functions: headers = map = shared library = archive")
    others = sorted(name for name in in_archive - public if not name.startswith("nv_"))
    expect(not others, "global in the archive without the prefix nv_: " + " ".join(others))
    print(f"{len(in_archive) - len(public)} internal names of the archive begin with nv_")


if __name__ == "__main__":
    main(test)
