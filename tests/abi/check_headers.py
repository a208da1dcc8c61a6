#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Owns the test that public headers stay within what every C and C++ compiler and every binding reads.

    check_headers.py rules|c|c++
"""

import sys

from harness import CC, CXX, INCLUDE, Failure, caught, expect, main, need, parallel, run
from headers import Api, Forbidden, Reader

# Structures that begin with `size` but that only the library makes, for callbacks.
CALLBACK_ONLY = {"nestvirt_access"}

WARNINGS = ["-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
STANDARDS = {
    "c": [[*CC, "-x", "c", f"-std={standard}", "-Wstrict-prototypes", "-Wc++-compat", *WARNINGS]
          for standard in ("c89", "c99", "c17")],
    "c++": [[*CXX, "-x", "c++", f"-std={standard}", *WARNINGS]
            for standard in ("c++98", "c++11", "c++17")],
}

BAD_DECLARATIONS = {
    "a typedef": "typedef uint32_t nestvirt_number;",
    "a bool field": "struct nestvirt_x { uint32_t size; bool on; };",
    "a _Bool field": "struct nestvirt_x { uint32_t size; _Bool on; };",
    "an int field": "struct nestvirt_x { uint32_t size; int count; };",
    "a size_t field": "struct nestvirt_x { uint32_t size; size_t count; };",
    "an enum field": "struct nestvirt_x { uint32_t size; enum nestvirt_kind kind; };",
    "a bit field": "struct nestvirt_x { uint32_t size; uint32_t on : 1; };",
    "a flexible array": "struct nestvirt_x { uint32_t size; uint32_t more[]; };",
    "a union": "struct nestvirt_x { uint32_t size; union { uint32_t a; uint64_t b; }; };",
    "a named enum": "enum nestvirt_kind { NESTVIRT_KIND_A = 1 };",
    "an enum value by position": "enum { NESTVIRT_A = 1, NESTVIRT_B };",
    "an enum parameter": "int nestvirt_x_set(enum nestvirt_kind kind);",
    "a bool parameter": "int nestvirt_x_set(bool on);",
    "a bool result": "bool nestvirt_x_get(void);",
    "a structure by value": "int nestvirt_x_set(struct nestvirt_x x);",
    "a structure as result": "struct nestvirt_x nestvirt_x_get(void);",
    "an inline function": "static inline int nestvirt_x_get(void) { return 1; }",
    "a variable number of arguments": "int nestvirt_x_log(const char *format, ...);",
    "a macro": "#define NESTVIRT_X 1",
    "a function macro": "#define nestvirt_x_get(x) ((x)->y)",
    "another header": "#include <linux/kvm.h>",
    "a condition": "#ifdef __GNUC__",
    "an attribute": "__attribute__((pure)) int nestvirt_x_get(void);",
    "a variable": "extern int nestvirt_x;",
    "a name without prefix": "int other_get(void);",
    "a long": "int nestvirt_x_set(long value);",
    "a parameter without name": "int nestvirt_x_set(uint32_t);",
    "ret_error in the middle": "int nestvirt_x_set(struct nestvirt_error **ret_error, int value);",
}

BAD_HEADERS = {
    "c": {"a line comment": "// no C89\n", "a comma behind the last constant": "enum { A = 1, };\n",
          "a type from a missing header": "ssize_t f(void);\n", "a C++ keyword": "int f(int new);\n",
          "no guard": "struct twice { int a; };\n"},
    "c++": {"a keyword": "int f(int class);\n", "no guard": "struct twice { int a; };\n",
            "a designated initialiser": "struct s { int a; };\nstatic struct s x = { .a = 1 };\n"},
}


def refusals(text):
    """Why the rules refuse a header's text."""
    api = type("", (), {"functions": {}, "structs": {}, "declared": set(), "constants": {}})
    try:
        Reader("bad.h", text, api).all()
    except Forbidden as why:
        return [str(why)]
    return []


def struct_problems(api):
    """Rules for structures beyond the types of their fields."""
    problems = []
    nested = {field.type[7:] for struct in api.structs.values() for field in struct.fields
              if field.type.startswith("struct ") and "*" not in field.type}
    for struct in api.structs.values():
        fields = [(field.name, field.type) for field in struct.fields]
        if struct.name in nested:
            if fields[0][0] == "size":
                problems.append(f"{struct.name} is part of another structure and cannot grow")
            continue
        if fields[:2] != [("size", "uint32_t"), ("flags", "uint32_t")]:
            problems.append(f"{struct.name} does not begin with uint32_t size and flags")
        if struct.name in CALLBACK_ONLY:
            continue
        init = api.init_of(struct)
        wanted = [f"struct {struct.name} *", "size_t"]
        if not init or [kind for kind, _ in api.functions[init].parameters] != wanted:
            problems.append(f"{struct.name} has no {struct.name}_init(struct *, size_t)")
    return problems


def test_rules(folder):
    """Reads each header by the rules, after proving that what breaks them is refused."""
    for name, text in BAD_DECLARATIONS.items():
        caught(name, refusals(text + "\n"))
    bad = folder / "nestvirt"
    bad.mkdir()
    (bad / "x.h").write_text("int nestvirt_x_get(void);\n", encoding="utf-8")
    try:
        Api(folder)
        caught('no extern "C"', [])
    except Forbidden as why:
        caught('no extern "C"', [why])
    good = "int nestvirt_x_set(const char *name, void (*fn)(void *user_data), uint64_t *ret_value);\n"
    expect(not refusals(good), f"self-test: a good declaration is refused: {refusals(good)}")
    for name, text in {"no _init": "struct nestvirt_x { uint32_t size; uint32_t flags; };\n",
                       "no size": "struct nestvirt_x { uint32_t flags; uint32_t size; };\n"}.items():
        (bad / "x.h").write_text(text, encoding="utf-8")
        caught(name, struct_problems(Api(folder)))

    try:
        api = Api(INCLUDE)
    except Forbidden as why:
        raise Failure(f"not allowed in a public header: {why}") from why
    problems = struct_problems(api)
    expect(not problems, "\n".join(problems))
    umbrella = (INCLUDE / "nestvirt" / "nestvirt.h").read_text(encoding="utf-8")
    for header in api.headers:
        expect(header == "nestvirt.h" or f"#include <nestvirt/{header}>\n" in umbrella,
               f"nestvirt.h does not include {header}")
    print(f"{len(api.headers)} headers: {len(api.functions)} functions, {len(api.structs)} structures,"
          f" {len(api.constants)} constants, nothing else")


def complaints(language, include, headers):
    """What compilers say of each header, alone and included twice."""
    jobs = [(command, header) for command in STANDARDS[language] for header in headers]

    def compile_one(job):
        command, header = job
        text = f"#include <{header}>\n#include <{header}>\n"
        done = run([*command, "-I", include, "-"], input=text)
        return f"{' '.join(command[:4])} {header}:\n{done.stdout}" if done.returncode else ""

    return [text for text in parallel(compile_one, jobs) if text]


def test_compile(folder, language):
    """Compiles each header alone and twice, in each standard of a language."""
    need((CC if language == "c" else CXX)[0])
    for name, text in BAD_HEADERS[language].items():
        (folder / "bad.h").write_text(text, encoding="utf-8")
        caught(name, complaints(language, folder, ["bad.h"]))
    headers = ["nestvirt/" + path.name for path in sorted((INCLUDE / "nestvirt").glob("*.h"))]
    problems = complaints(language, INCLUDE, headers)
    expect(not problems, "\n".join(problems))
    standards = " ".join(word for command in STANDARDS[language] for word in command
                         if word.startswith("-std="))
    print(f"{len(headers)} headers, each alone and twice: {standards}")


if sys.argv[1:] == ["rules"]:
    main(test_rules)
elif sys.argv[1:] in (["c"], ["c++"]):
    main(lambda folder: test_compile(folder, sys.argv[1]))
else:
    sys.exit(__doc__)
