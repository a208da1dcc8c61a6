#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the rules of C code: length of functions, names, no end of the process, no writable variables."""

import re

from tree import SOURCE, Tree, code_only, finish, line_of, self_test

FUNCTION_MAX = 70
FUNCTION = re.compile(r"^(?P<head>[A-Za-z_](?:[^;{}#=]|=(?=[^\n]*\)))*?)\n\{\n(?P<body>.*?)^\}", re.M | re.S)
ENDINGS = re.compile(r"(?<![\w.>])(abort|exit|_exit|_Exit|quick_exit|assert|err|errx)\s*\(")

# Second word, or last: nestvirt_<noun>_<verb>[_<more>].
VERBS = set("""
    new free open get set add remove start stop pause resume read write build validate wait run cancel
    inject skip send next request complete
""".split())
LAST_WORDS = {"init", "name", "text"}
WITHOUT_VERB = {"nestvirt_version", "nestvirt_version_string"}


def functions(code):
    """(name, is static, number of lines, position) of the functions defined in C code."""
    for match in FUNCTION.finditer(code):
        head = match.group("head")
        head = re.sub(r"__attribute__\s*\(\(.*?\)\)|\bSEC\s*\(.*?\)", "", head, flags=re.S)
        name = re.search(r"(\w+)\s*\(", head)
        if name and name.group(1) not in ("defined", "struct"):
            lines = match.group("body").count("\n") + 2
            yield name.group(1), bool(re.search(r"\bstatic\b", head)), lines, match.start()


def writable_statics(code):
    """(position, text) of static variables that are not constant, and of thread-locals."""
    for match in re.finditer(r"(?<!\[)\bstatic\b[^;={]*", code):
        text = " ".join(match.group().split())
        plain = re.sub(r"__attribute__\s*\(\(.*?\)\)|\[[^\]]*\]", "", text)
        before, parenthesis, after = plain.partition("(")
        if parenthesis and not after.lstrip().startswith("*"):
            continue  # A function.
        if parenthesis:  # A pointer to a function.
            before = after.partition(")")[0]
        if not re.search(r"\bconst\b", before.rsplit("*", 1)[-1]):
            yield match.start(), text
    for match in re.finditer(r"\b(_Thread_local|__thread|thread_local)\b", code):
        yield match.start(), match.group()


def check_names(name, text):
    """Public functions whose names are not nestvirt_<noun>_<verb>."""
    code = code_only(text)
    for match in re.finditer(r"\b(nestvirt_\w+)\s*\((?!\*)", code):
        words = match.group(1).split("_")[1:]
        known = set(words[1:2]) & VERBS or set(words[-1:]) & LAST_WORDS or \
            (len(words) > 2 and words[2] in VERBS)
        if not known and match.group(1) not in WITHOUT_VERB:
            yield (f"{name}:{line_of(code, match.start())}: {match.group(1)} has none of the verbs: "
                   + " ".join(sorted(VERBS | LAST_WORDS)))


def check(tree):
    """Places in C files that break a rule."""
    problems = []
    for name, text in tree.files(r"^(lib|include|examples|tests)/.*\.[ch]$"):
        code = code_only(text)
        for function, _, lines, position in functions(code):
            if lines > FUNCTION_MAX:
                problems.append(f"{name}:{line_of(code, position)}: {function} has {lines} lines, "
                                f"more than {FUNCTION_MAX}")
    for name, text in tree.files(r"^lib/.*\.(c|h|c\.in)$"):
        code = code_only(text)
        for function, is_static, _, position in functions(code):
            if not is_static and not function.startswith(("nv_", "nestvirt_")):
                problems.append(f"{name}:{line_of(code, position)}: {function} is not static and begins "
                                "with neither nv_ nor nestvirt_")
        for match in ENDINGS.finditer(code):
            problems.append(f"{name}:{line_of(code, match.start())}: {match.group(1)}() in the library")
        for position, what in writable_statics(code):
            problems.append(f"{name}:{line_of(code, position)}: writable: {what}")
    for name, text in tree.files(r"^include/.*\.h$"):
        problems += check_names(name, text)
    return problems


def _library(text):
    return {"lib/core/a.c": text}


BAD = {
    "a long function": _library("int nv_a(void)\n{\n" + "    x;\n" * FUNCTION_MAX + "}\n"),
    "a long static function": _library("static int a(int b,\n             int c)\n{\n" +
                                       "    x;\n" * FUNCTION_MAX + "}\n"),
    "a global name without prefix": _library("int other(void)\n{\n    return 0;\n}\n"),
    "a global name behind a type": _library("struct a *other(int b,\n                int c)\n{\n}\n"),
    "a program of BPF without prefix": _library('SEC("iter/task")\nint other(void)\n{\n    return 0;\n}\n'),
    "abort": _library("int nv_a(void)\n{\n    abort();\n}\n"),
    "exit": _library("int nv_a(void)\n{\n    exit (1);\n}\n"),
    "_exit": _library("int nv_a(void)\n{\n    _exit(1);\n}\n"),
    "assert": _library("int nv_a(int a)\n{\n    assert(a);\n}\n"),
    "a writable static": _library("static int count;\n"),
    "a writable static with a value": _library("static uint32_t count = 1;\n"),
    "a writable static in a function": _library("int nv_a(void)\n{\n    static int count;\n}\n"),
    "a static array of writable pointers": _library('static const char *names[] = { "a" };\n'),
    "a static structure": _library("static struct nv_a a = { .b = 1 };\n"),
    "a static function pointer": _library("static int (*fn)(void);\n"),
    "a static array sized by a macro": _library("static int table[NV_MAX(1, 2)];\n"),
    "a static array of pointers to functions": _library("static int (*table[2])(void) = { a, b };\n"),
    "a static mutex": _library("static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;\n"),
    "a thread-local": _library("_Thread_local int nv_a;\n"),
    "a public name without a verb": {"include/nestvirt/a.h": "int nestvirt_vm_frobnicate(void);\n"},
    "a public name without a noun": {"include/nestvirt/a.h": "int nestvirt_start(void);\n"},
}
GOOD = {
    "sound code": _library(
        'static const int a = 1;\nstatic const char *const names[] = { "static int x;" };\n'
        "static_assert(sizeof(a) == 4, \"\");\nstatic inline int b(void)\n{\n    return exit->reason;\n}\n"
        "static int c(int (*fn)(void));\nint nv_d(void)\n{\n    /* abort() */\n"
        "    static const struct nv_e e = { 1 };\n    nv_exit(1);\n    device->exit(1);\n" +
        "    x;\n" * (FUNCTION_MAX - 6) + "}\nstatic int (*const fn)(void) = b;\nstatic const int t[NV_MAX(1, 2)] = { 0 };\n"
        "void nv_g(int a[static 4]);\nstatic void h(int a __attribute__((unused)));\n"
        "static const struct nv_f *g(int h);\nstatic int i(void)\n{\n}\nSEC(\"iter/task\")\nint nv_j(void)\n{\n}\n"),
    "sound names": {"include/nestvirt/a.h": "int nestvirt_vm_request_stop(void);\nint nestvirt_boot_set_flat_fd(\n"
                                            "    int fd);\nvoid nestvirt_vm_result_init(void);\n"},
}

if __name__ == "__main__":
    self_test(check, BAD, GOOD)
    project = Tree(SOURCE)
    count = sum(1 for _, text in project.files(r"\.[ch]$") for _ in functions(code_only(text)))
    if count < 100 and (SOURCE / "lib").exists():
        finish([f"only {count} functions were found: the check does not see the code"], "C code")
    finish(check(project), f"C code, {count} functions")
