#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the making of a C file from the BPF object: embed.py STRIP OBJECT FILE."""

import subprocess
import sys
from pathlib import Path

PER_LINE = 16

strip, source, target = sys.argv[1:]
stripped = Path(target + ".o")
# Debugging information goes; types and their relocations (.BTF, .BTF.ext) stay.
subprocess.run([strip, "-g", "-o", stripped, source], check=True)
data = stripped.read_bytes()
stripped.unlink()
lines = [", ".join(f"{byte}" for byte in data[i:i + PER_LINE]) for i in range(0, len(data), PER_LINE)]
Path(target).write_text("""/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Owns the BPF program as clang has made it. Do not edit. */
#include "observe/object.h"

const unsigned char nv_runqueue_object[] __attribute__((aligned(8))) = {
""" + ",\n".join(lines) + """
};
const size_t nv_runqueue_object_size = sizeof(nv_runqueue_object);
""", encoding="ascii")
