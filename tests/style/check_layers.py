#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the rules of the rooms in lib/: who includes whom, and what only one room may do."""

import re

from tree import SOURCE, Tree, code_only, finish, line_of, self_test

ROOMS = "core host kvm memory bus vcpu virtio devices boot observe state vm api".split()

# (pattern in the code, includes and strings too?, rooms or files that may have it, what it is)
ONLY_IN = [
    (r"(?<![\w.>])ioctl\s*\(", False, {"kvm", "host/tap.c", "host/reflink.c"}, "calls ioctl()"),
    (r"#include <linux/if_tun.h>", True, {"host/tap.c"}, "knows taps"),
    (r"#include <(numa|numaif|cap-ng)\.h>|\"libnuma|\"libcap-ng", True, {"host"},
     "uses libnuma or libcap-ng"),
    (r"\bKVM_RUN\b", False, {"vcpu"}, "enters KVM_RUN"),
    (r"#include <bpf/|\"libbpf", True, {"observe"}, "uses libbpf"),
    (r"\bNV_EXPORT\b|visibility\s*\(", False, {"api"}, "exports a symbol"),
    (r"^[A-Za-z_][\w \t*]*\bnestvirt_\w+\s*\([^;{}]*\)\s*\{", False, {"api"},
     "defines a public function"),
]


def check(tree):
    """Where rooms do what they may not."""
    problems = []
    for name, text in tree.files(r"^lib/\w+/.*\.(c|h|c\.in)$"):
        room = name.split("/")[1]
        if room not in ROOMS:
            problems.append(f"{name}: room {room} is not in architecture's order: {' '.join(ROOMS)}")
            continue
        for match in re.finditer(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
            where = f"{name}:{line_of(text, match.start())}"
            other = match.group(1).split("/")[0]
            if other not in ROOMS or "/" not in match.group(1):
                problems.append(f"{where}: includes {match.group(1)}, which names no room")
            elif ROOMS.index(other) > ROOMS.index(room):
                problems.append(f"{where}: room {room} includes {match.group(1)} from its right")
        for pattern, with_strings, rooms, what in ONLY_IN:
            code = code_only(text, keep_strings=with_strings)
            for match in re.finditer(pattern, code, re.M):
                if not rooms & {room, name.removeprefix("lib/")}:
                    where = f"{name}:{line_of(code, match.start())}"
                    problems.append(f"{where}: {what}, which is for {' '.join(sorted(rooms))} only")
    return problems


BAD = {
    "an include from the right": {"lib/core/a.c": '#include "kvm/kvm.h"\n'},
    "an include of api from vm": {"lib/vm/a.h": '#include "api/api.h"\n'},
    "an include without room": {"lib/core/a.c": '#include "a.h"\n'},
    "an include around the rooms": {"lib/core/a.c": '#include "../kvm/kvm.h"\n'},
    "an unknown room": {"lib/misc/a.c": "int a;\n"},
    "ioctl outside of kvm": {"lib/bus/a.c": "int f(int d)\n{\n    return ioctl(d, 1);\n}\n"},
    "ioctl elsewhere in host": {"lib/host/loop.c": "int f(int d)\n{\n    return ioctl(d, 1);\n}\n"},
    "ioctl in a file of the same name": {"lib/vm/tap.c": "int f(int d)\n{\n    return ioctl(d, 1);\n}\n"},
    "if_tun.h outside of host/tap.c": {"lib/devices/net.c": "#include <linux/if_tun.h>\n"},
    "an ioctl behind a comment": {"lib/bus/a.c": "/* a */ int b = ioctl(d, 1);\n"},
    "numa.h outside of host": {"lib/memory/a.c": "#include <numa.h>\n"},
    "libnuma loaded outside of host": {"lib/memory/a.c": 'x = dlopen("libnuma.so.1", 1);\n'},
    "cap-ng.h outside of host": {"lib/vm/a.c": "#include <cap-ng.h>\n"},
    "KVM_RUN outside of vcpu": {"lib/vm/a.c": "int a = KVM_RUN;\n"},
    "libbpf outside of observe": {"lib/vm/a.c": "#include <bpf/libbpf.h>\n"},
    "an export outside of api": {"lib/vm/a.c": "NV_EXPORT int x(void);\n"},
    "a public function outside of api": {"lib/vm/a.c": "int nestvirt_x_get(void)\n{\n}\n"},
    "a public function on two lines": {"lib/vm/a.c": "const char *nestvirt_x_get(int a,\n    int b)\n{\n}\n"},
}
GOOD = {
    "a sound room": {"lib/vm/a.c": '/* ioctl( KVM_RUN */\n#include "core/error.h"\n#include "vm/vm.h"\n'
                                   'static const char *s = "ioctl(";\nint nv_a(void)\n{\n'
                                   "    ops->ioctl(1);\n    return nestvirt_x_get(1);\n}\n",
                     "lib/kvm/a.c": "int f(int d)\n{\n    return ioctl(d, 1);\n}\n",
                     "lib/host/tap.c": "#include <linux/if_tun.h>\nint f(int d)\n{\n    return ioctl(d, 1);\n}\n"},
}

if __name__ == "__main__":
    self_test(check, BAD, GOOD)
    finish(check(Tree(SOURCE)), "layers: " + " <- ".join(ROOMS))
