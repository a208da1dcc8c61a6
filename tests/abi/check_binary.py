#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the test of what the shared library is made of: imports, hardening, no writable globals."""

import re

from harness import CC, caught, expect, library, main, need, need_plain_build, output

# Whoever imports one of these can end the process, print, or take a signal away from the program.
FORBIDDEN = set("""
    abort exit _exit _Exit quick_exit __assert_fail __assert_perror_fail __assert __fortify_fail
    printf vprintf __printf_chk __vprintf_chk puts putchar putchar_unlocked perror psignal psiginfo
    stdin stdout stderr getchar gets scanf __isoc99_scanf err errx verr verrx warn warnx vwarn vwarnx
    error error_at_line signal sigaction bsd_signal ssignal sysv_signal __sysv_signal sigset siginterrupt
    atexit on_exit __cxa_atexit
""".split())
NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2", "libnuma.so.1", "libcap-ng.so.0"}
# Put there by the compiler's start files.
START_FILES = {"completed.0", "__dso_handle", "__TMC_END__", "__bss_start", "_edata", "_end"}


def imports(so):
    """Forbidden functions that a library imports."""
    lines = output(["nm", "-D", "--undefined-only", "--format=posix", so]).splitlines()
    names = {line.split()[0].split("@")[0] for line in lines if line}
    return [f"imports {name}" for name in sorted(names & FORBIDDEN)]


def hardening(so):
    """What is missing in the way a library was linked."""
    text = output(["readelf", "-W", "-d", "-l", "--dyn-syms", so])
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
    stack = re.search(r"GNU_STACK.* (R?W?E?) +0x", text)
    init = re.search(r"\(INIT_ARRAYSZ\) +(\d+)", text)
    rules = {
        "no RELRO": "GNU_RELRO" in text,
        "no BIND_NOW": re.search(r"\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*NOW", text),
        "an executable stack": stack and "E" not in stack.group(1),
        "text relocations": not re.search(r"\(TEXTREL\)|\(FLAGS\).*TEXTREL", text),
        "no stack protector": "__stack_chk_fail" in text,
        "soname is not libnestvirt.so.0": "Library soname: [libnestvirt.so.0]" in text,
        "a segment that is writable and executable": not re.search(r"LOAD .* RWE ", text),
        "a run path": not re.search(r"\((RPATH|RUNPATH)\)", text),
        "cannot be unloaded (NODELETE)": "NODELETE" not in text,
        "a constructor": not init or int(init.group(1)) <= 8,
        "thread-local storage": not re.search(r"^  TLS ", text, re.M),
        "libraries loaded before they are needed: " + " ".join(needed - NEEDED): needed <= NEEDED,
    }
    return [problem for problem, holds in rules.items() if not holds]


def writable(path):
    """Variables of a library or archive that stand in writable memory after relocation."""
    found = []
    for member in re.split(r"^File: ", output(["readelf", "-W", "-S", "-s", path]), flags=re.M):
        sections = dict(re.findall(r"^ +\[ *(\d+)\] (\.\S+)", member, re.M))
        symbols = re.findall(r"^ +\d+: \S+ +(\w+) (OBJECT|TLS|NOTYPE) .* (\w+) (\S+)$", member, re.M)
        for size, kind, index, name in symbols:
            section = sections.get(index, "COMMON" if index == "COM" else "")
            bad = re.match(r"\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|COMMON", section)
            sized = int(size, 0) > 0 or kind != "NOTYPE"
            if bad and sized and name not in START_FILES:
                found.append(f"{name} ({size} bytes) in {section}")
    return found


BAD = "int bad_function(int *place) { char text[64]; text[*place] = 1; return text[0] + *place; }\n"
BAD_LIBRARIES = {  # what the checker must say: (a function, source, flags)
    "no RELRO": (hardening, BAD, ["-Wl,-z,norelro"]),
    "no BIND_NOW": (hardening, BAD, ["-Wl,-z,lazy"]),
    "an executable stack": (hardening, BAD, ["-Wl,-z,execstack"]),
    "text relocations": (hardening, "extern int there; int *where(void) { return &there; }\n",
                         ["-fno-pic", "-mcmodel=large", "-Wl,-z,notext"]),
    "no stack protector": (hardening, BAD, ["-fno-stack-protector"]),
    "soname is not libnestvirt.so.0": (hardening, BAD, ["-Wl,-soname,libnestvirt.so.1"]),
    "a run path": (hardening, BAD, ["-Wl,-rpath,/opt/lib"]),
    "cannot be unloaded (NODELETE)": (hardening, BAD, ["-Wl,-z,nodelete"]),
    "a constructor": (hardening, BAD + "__attribute__((constructor)) void f(void) {}\n", []),
    "thread-local storage": (hardening, BAD + "__thread int each; int *f(void) { return &each; }\n", []),
    "libraries loaded before": (hardening, BAD, ["-Wl,--no-as-needed", "-lm"]),
    "counter ": (writable, "static int counter; int f(void) { return counter++; }\n", []),
    "table ": (writable, "static int table[9] = {1}; int f(int i) { return table[i]++; }\n", []),
    "shared ": (writable, "int shared; int f(void) { return shared++; }\n", ["-fcommon"]),
    "each ": (writable, "static __thread int each; int f(void) { return each++; }\n", []),
    "imports abort": (imports, "void abort(void); void f(void) { abort(); }\n", []),
    "imports exit": (imports, "void exit(int); void f(void) { exit(1); }\n", []),
    "imports printf": (imports, '#include <stdio.h>\nint f(int i) { return printf("%d", i); }\n', []),
    "imports stderr": (imports, '#include <stdio.h>\nint f(void) { return fputs("x", stderr); }\n', []),
    "imports __assert_fail": (imports, "#include <assert.h>\nvoid f(int i) { assert(i); }\n", []),
    "imports sigaction": (imports, "#include <signal.h>\nint f(void) { return sigaction(1, 0, 0); }\n", []),
}


def self_test(folder):
    """Each rule must be broken by a library made to break it, and by none that is sound."""
    sound = ["-O1", "-fPIC", "-shared", "-fstack-protector-strong", "-Wl,-z,relro", "-Wl,-z,now",
             "-Wl,-soname,libnestvirt.so.0", "-w"]
    source, so = folder / "bad.c", folder / "bad.so"
    source.write_text(BAD + 'static const char *const names[] = {"a"};\n'
                            "const char *f(int i) { return names[i]; }\n", encoding="utf-8")
    output([*CC, *sound, source, "-o", so])
    for checker in (imports, hardening, writable):
        expect(not checker(so), f"self-test: a sound library fails: {checker(so)}")
    for problem, (checker, text, flags) in BAD_LIBRARIES.items():
        source.write_text(text, encoding="utf-8")
        output([*CC, *sound, source, "-o", so, *flags])
        caught(problem.strip(), [found for found in checker(so) if found.startswith(problem)])


def test(folder):
    """Looks at the library, after proving that bad ones are seen."""
    need("nm", "readelf")
    self_test(folder)
    need_plain_build()
    so = library("SHARED")
    problems = imports(so) + hardening(so) + writable(so) + writable(library("STATIC"))
    expect(not problems, f"{so}:\n" + "\n".join(problems))
    print(f"{so.name}: no forbidden import, hardened, no writable variable; the archive neither")


if __name__ == "__main__":
    main(test)
