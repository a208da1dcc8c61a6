# SPDX-License-Identifier: Apache-2.0
"""Owns the comparison of the interface with its baseline by libabigail: one way to write, one to compare."""

import re
from pathlib import Path

from harness import CC, INCLUDE, MAP, expect, output, run
from headers import Api, without_comments

BASELINE = Path(__file__).resolve().parent / "libnestvirt.abi"
DECLARATION = re.compile(r"^(?:const )?(?:struct )?\w+ \**(nestvirt_\w+)\([^;{]*\);", re.M)


def write_baseline(folder, target):
    """
    Writes what the headers promise. It is made of empty functions with their prototypes, so that no
    private type, path or option of the library's own build gets into the baseline.
    """
    api = Api(INCLUDE)
    lines = ["#include <nestvirt/nestvirt.h>"]
    for header in api.headers:
        text = without_comments((INCLUDE / "nestvirt" / header).read_text(encoding="utf-8"))
        lines += [match.group()[:-1] + " { __builtin_trap(); }" for match in DECLARATION.finditer(text)]
    expect(len(lines) - 1 == len(api.functions), "the prototypes cannot be read")
    (folder / "interface.c").write_text("\n".join(lines) + "\n", encoding="utf-8")
    output([*CC, "-std=gnu17", "-g", "-O0", "-shared", "-fPIC", "-I", INCLUDE, "interface.c",
            "-Wl,-soname,libnestvirt.so.0", f"-Wl,--version-script={MAP}", "-o", "interface.so"],
           cwd=folder)
    output(["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed",
            "--type-id-style", "hash", "--out-file", target, "interface.so"], cwd=folder)


def compare(so, include, folder, *flags):
    """
    What changed between the baseline and a library, "" if nothing. Only opaque structures may change;
    they are named one by one, because --drop-private-types also drops reordered fields of public ones.
    """
    suppressions = folder / "suppressions"
    suppressions.write_text("[suppress_type]\n  name_regexp = ^(" + "|".join(Api(include).opaque()) +
                            ")$\n", encoding="utf-8")
    done = run(["abidiff", "--suppressions", suppressions, "--harmless", "--no-show-locs",
                "--fail-no-debug-info", *flags, BASELINE, so])
    # Bits of the status: 1 an error, 2 wrong usage, 4 a change, 8 an incompatible change.
    expect(not done.returncode & 3, f"abidiff failed ({done.returncode}):\n{done.stdout}")
    return done.stdout.strip() or "changed" if done.returncode else ""
