#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the making of a C file from the BPF object: embed.py OBJECT FILE [LLVM_STRIP]."""

import subprocess
import sys
from pathlib import Path

PER_LINE = 16


def read(source, work, strip):
    """The object. Half of it is for debuggers; types and their relocations (.BTF, .BTF.ext) stay."""
    if not strip:
        return source.read_bytes()
    subprocess.run([*strip, "-g", "-o", work, source], check=True)
    data = work.read_bytes()
    work.unlink()
    return data


def main(source, target, *strip):
    """Writes the file."""
    data = read(Path(source), Path(target + ".o"), strip)
    lines = [", ".join(str(byte) for byte in data[i:i + PER_LINE]) for i in range(0, len(data), PER_LINE)]
    Path(target).write_text("""/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Owns the BPF program as clang has made it. Do not edit. */
#include "observe/object.h"

const unsigned char nv_runqueue_object[] __attribute__((aligned(8))) = {
""" + ",\n".join(lines) + """
};
const size_t nv_runqueue_object_size = sizeof(nv_runqueue_object);
""", encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
