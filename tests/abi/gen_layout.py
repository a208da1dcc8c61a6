#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Owns layout.c: it writes there where each field and constant of the public interface stands today.

    gen_layout.py            adds what is new; refuses when something that stands there would change
    gen_layout.py --break    writes it anew, for a release that gives up compatibility
"""

import re
import sys
import tempfile
from pathlib import Path

from harness import CC, INCLUDE, Failure, output
from headers import Api

LAYOUT = Path(__file__).resolve().parent / "layout.c"

HEAD = """\
/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the layout of the public interface on 64-bit Linux. Written by gen_layout.py. */
#include <nestvirt/nestvirt.h>

#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)
#define FIELD(type, field, offset, size)                            \\
    _Static_assert(offsetof(struct type, field) == (offset) &&      \\
                       sizeof(((struct type *)0)->field) == (size), \\
                   #type "." #field)
#define VALUE(name, value) _Static_assert(name == (value), #name)

"""


def measure(include, folder):
    """Asks the compiler: {struct: (size, [(field, offset, size)])} and {constant: value}."""
    api = Api(include)
    lines = ["#include <stdio.h>", "#include <nestvirt/nestvirt.h>", "int main(void)", "{"]
    for struct in api.structs.values():
        lines.append(f'printf("S {struct.name} %zu\\n", sizeof(struct {struct.name}));')
        for field in struct.fields:
            where = f"offsetof(struct {struct.name}, {field.name})"
            size = f"sizeof(((struct {struct.name} *)0)->{field.name})"
            lines.append(f'printf("F {field.name} %zu %zu\\n", {where}, {size});')
    for name in api.constants:
        lines.append(f'printf("V {name} %lld\\n", (long long){name});')
    source, program = Path(folder) / "measure.c", Path(folder) / "measure"
    source.write_text("\n".join(lines + ["}"]), encoding="utf-8")
    output([*CC, "-I", include, source, "-o", program])
    structs, constants = {}, {}
    for line in output([program]).splitlines():
        kind, name, *numbers = line.split()
        numbers = [int(number) for number in numbers]
        if kind == "S":
            fields = []
            structs[name] = (numbers[0], fields)
        elif kind == "F":
            fields.append((name, *numbers))
        else:
            constants[name] = numbers[0]
    return structs, constants


def holes(structs):
    """The structures whose fields do not fill them."""
    return [f"struct {name}: {size} bytes, but its fields have {used}"
            for name, (size, fields) in sorted(structs.items())
            if size != (used := sum(field[2] for field in fields))]


def render(structs, constants):
    """The text of layout.c."""
    lines = []
    for name, (size, fields) in sorted(structs.items()):
        lines.append(f"SIZE({name}, {size});")
        lines += [f"FIELD({name}, {field}, {offset}, {bytes_});" for field, offset, bytes_ in fields]
        lines.append("")
    lines += [f"VALUE({name}, {value});" for name, value in sorted(constants.items())]
    return HEAD + "\n".join(lines) + "\n"


def lost(before, after):
    """The assertions of one text that are not in the other, but for the sizes of what may grow."""
    pattern = re.compile(r"^(?:FIELD|VALUE)\(.*\);$", re.M)
    kept = set(pattern.findall(after))
    problems = [line for line in pattern.findall(before) if line not in kept]
    sizes = dict(re.findall(r"^SIZE\((\w+), (\d+)\);$", after, re.M))
    for name, size in re.findall(r"^SIZE\((\w+), (\d+)\);$", before, re.M):
        if int(sizes.get(name, 0)) < int(size):
            problems.append(f"SIZE({name}, {size});")
    return problems


def update():
    """Writes layout.c."""
    with tempfile.TemporaryDirectory() as folder:
        structs, constants = measure(INCLUDE, folder)
    text = render(structs, constants)
    changed = lost(LAYOUT.read_text(encoding="utf-8"), text) if LAYOUT.exists() else []
    if changed and "--break" not in sys.argv[1:]:
        sys.exit("these would change, which breaks compiled programs (--break if you must):\n" +
                 "\n".join(changed))
    LAYOUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        update()
    except Failure as failure:
        sys.exit(str(failure))
