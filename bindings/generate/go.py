# SPDX-License-Identifier: Apache-2.0
"""
Owns abi.h, abi.c and constants.go of bindings/go.

The Go package calls the library through a table that dlsym() fills, not by linking: a symbol that the
installed library lacks is then an answer of the call, not a failure to load the program. The
declarations are a copy, so that it also builds where older headers are installed. Blanks and line
breaks are left to clang-format and gofmt.
"""

import re
import textwrap
from typing import Dict, Iterator, List

import groups
from headers import Api, Constant, Function, Struct

FOLDER = "go"
MADE = "Made by bindings/generate/generate from include/nestvirt. Do not edit."
WORDS = {word.upper(): word for word in (
    "ACPI", "APIC", "BPF", "CPU", "CPUs", "FD", "HLT", "IRQ", "IO", "KSM", "KVM", "MMIO", "NUMA", "PVH", "RR",
    "FIFO", "TSC", "VCPU", "VCPUs", "VM", "VMware", "VMX", "SVM", "PIT", "ELF", "UID", "GID", "U64",
    "MPTable", "HyperV", "BzImage", "Irqchip", "BUG")}


def camel(name: str) -> str:
    """NESTVIRT_STATE_NEW as StateNew."""
    words = name[len("NESTVIRT_"):].split("_")
    return "".join(WORDS.get(word, word.capitalize()) for word in words)


def struct_text(struct: Struct) -> List[str]:
    return [f"struct {struct.name} {{", *[f"    {one.type.c(one.name)};" for one in struct.fields], "};", ""]


def declaration(function: Function, name: str) -> str:
    """A declaration without its end."""
    parameters = ", ".join(p.type.c(p.name) for p in function.parameters) or "void"
    return function.result.c(f"{name}({parameters})")


def header_text(api: Api) -> str:
    """The text of abi.h."""
    lines = ["/* SPDX-License-Identifier: Apache-2.0 */",
             f"/* Owns the declarations of the library for cgo. {MADE} */",
             "#ifndef NESTVIRT_GO_ABI_H", "#define NESTVIRT_GO_ABI_H", "",
             "#include <limits.h>", "#include <stddef.h>", "#include <stdint.h>", ""]
    lines += [f"struct {name};" for name in api.handles] + [""]
    for struct in api.records:
        lines += struct_text(struct)
    lines += ["/* What a call returns that the library in use does not have. */",
              "enum { NESTVIRT_GO_MISSING = INT_MIN };", "",
              "/*",
              " * Fills the table of functions from a library that dlopen() has opened; returns how many it has.",
              " */", "int go_nestvirt_fill(void *library);", "",
              "/* Whether the library in use has a function, by its name. */",
              "int go_nestvirt_has(const char *name);", ""]
    lines += [declaration(function, f"go_{function.name}") + ";" for function in api.functions.values()]
    return "\n".join(lines) + "\n\n#endif\n"


def stub(function: Function) -> Iterator[str]:
    """The function that calls through the table."""
    member = function.name[len("nestvirt_"):]
    arguments = ", ".join(p.name for p in function.parameters)
    returns = "" if function.result.c() == "void" else "return "
    yield declaration(function, f"go_{function.name}")
    yield "{"
    yield f"    if (table.{member})"
    yield f"        {returns}table.{member}({arguments});"
    if function.name.endswith("_init"):
        first, second = (p.name for p in function.parameters)
        yield "    else"
        yield f"        zero({first}, {second});"
    if function.has_error:
        yield "    if (ret_error)"
        yield "        *ret_error = NULL;"
    if returns:
        yield f"    return {missing(function)};"
    yield "}"
    yield ""


def missing(function: Function) -> str:
    """What a stub returns without the library's function."""
    if function.result.pointers:
        return "NULL"
    return "NESTVIRT_GO_MISSING" if function.result.base == "int" else "0"


def source_text(api: Api) -> str:
    """The text of abi.c."""
    members = [declaration(function, f"(*{function.name[len('nestvirt_'):]})") + ";"
               for function in api.functions.values()]
    names = [f'    {{ "{name}", offsetof(struct table, {name[len("nestvirt_"):]}) }},'
             for name in api.functions]
    stubs = [line for function in api.functions.values() for line in stub(function)]
    return "\n".join([
        "/* SPDX-License-Identifier: Apache-2.0 */",
        f"/* Owns the table through which Go calls the library. {MADE} */",
        '#include "abi.h"', "", "#include <dlfcn.h>", "#include <string.h>", "",
        "struct table {", *members, "};", "",
        "/* Written once, before the first call; then only read. */", "static struct table table;", "",
        "static const struct {", "    const char *name;", "    size_t offset;", "} names[] = {", *names, "};",
        "", "enum { NAMES = sizeof(names) / sizeof(names[0]) };", "",
        "int go_nestvirt_fill(void *library)", "{", "    int found = 0;", "",
        "    for (size_t i = 0; i < NAMES; i++) {",
        "        void *symbol = dlsym(library, names[i].name);", "",
        "        memcpy((char *)&table + names[i].offset, &symbol, sizeof(symbol));",
        "        found += symbol != NULL;", "    }", "    return found;", "}", "",
        "int go_nestvirt_has(const char *name)", "{",
        "    void *symbol;", "",
        "    for (size_t i = 0; i < NAMES; i++) {",
        "        if (strcmp(names[i].name, name))", "            continue;",
        "        memcpy(&symbol, (const char *)&table + names[i].offset, sizeof(symbol));",
        "        return symbol != NULL;", "    }", "    return 0;", "}", "",
        "/* What an _init function does that has no defaults but zeroes. */",
        "static void zero(void *structure, size_t size)", "{",
        "    uint32_t size32 = (uint32_t)size;", "",
        "    memset(structure, 0, size);",
        "    memcpy(structure, &size32, sizeof(size32));", "}", "",
        *stubs]).rstrip("\n") + "\n"


def comment(text: str, indent: str) -> List[str]:
    return textwrap.wrap(" ".join(text.split()), 100, initial_indent=f"{indent}// ",
                         subsequent_indent=f"{indent}// ")


def group_text(first: str, constants: List[Constant]) -> Iterator[str]:
    """One enumeration."""
    group = groups.GROUPS.get(first)
    kind = ""
    if group:
        kind = group.type
        about = " ".join(constants[0].group_comment.split()) or f"see include/nestvirt/{constants[0].header}"
        yield from comment(f"{kind} is {group.prefix}*: {about}", "")
        yield f"type {kind} {'int32' if constants[0].value < 0 else 'uint32'}"
        yield ""
    yield "const ("
    for number, constant in enumerate(constants):
        yield from comment(constant.comment, "\t")
        yield f"\t{camel(constant.name)}{' ' + kind if kind else ''} = {constant.value}"
        if constant.comment and number + 1 < len(constants):
            yield ""
    yield ")"
    yield ""


def names_text(first: str, constants: List[Constant]) -> Iterator[str]:
    """The words of an enumeration's values, for String()."""
    kind = groups.GROUPS[first].type
    yield f"var names{kind} = []name{{"
    for constant in constants:
        word = groups.short(constant).lower().replace("_", " ")
        yield f'\t{{{constant.value}, "{word}"}},'
    yield "}"
    yield ""
    how = "bits" if groups.is_flags(constants) else "word"
    yield "// String gives the C constant's words in lower case."
    yield f"func (v {kind}) String() string {{ return {how}(names{kind}, int64(v)) }}"
    yield ""


def constants_text(api: Api) -> str:
    """The text of constants.go."""
    lines = ["// SPDX-License-Identifier: Apache-2.0", "",
             "// Code generated from include/nestvirt by bindings/generate/generate. DO NOT EDIT.", "",
             "package nestvirt", ""]
    for first, constants in groups.split(api).items():
        lines += group_text(first, constants)
        if first in groups.GROUPS:
            lines += names_text(first, constants)
    return re.sub(r"\n+$", "\n", "\n".join(lines))


def files(api: Api) -> Dict[str, str]:
    """What this writes, by the path from bindings/."""
    return {f"{FOLDER}/abi.h": header_text(api), f"{FOLDER}/abi.c": source_text(api),
            f"{FOLDER}/constants.go": constants_text(api)}
