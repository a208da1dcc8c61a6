# SPDX-License-Identifier: Apache-2.0
"""Owns the self-test of run_blocks.py: small pages whose blocks must fail, and some that must not."""

import os
import shutil
import tempfile
from pathlib import Path

from blocks import Bad, read
from languages import HERE, Place, run_page

PROGRAM = """```c
#include <nestvirt/nestvirt.h>

int main(void) /* small */
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_host *host = NULL;
    struct nestvirt_vm *vm = NULL;
    int code = nestvirt_numa_free(NULL);

    (void)host;
    if (code == 0)
        code = nestvirt_vm_build(vm, &error) < 0 ? 0 : 1; /* there is none */
    nestvirt_error_free(error);
    return code;
}
```
"""



def fence(language, *lines):
    """A block of code as it stands on a page."""
    return "\n".join([f"```{language}", *lines, "```"]) + "\n"


def c_main(*lines, words=""):
    """A small C program."""
    return fence("c", "#include <stdlib.h>", "", f"int main(void){words}", "{", *(f"    {line}" for line in lines), "}")


def go_main(*lines):
    """A small Go program."""
    return fence("go", "package main", "", 'import "os"', "", "func main() {", *(f"\t{line}" for line in lines), "}")


EXEMPT = "<!-- test: skip it is bad on purpose -->\n"
# (What is wrong with a page, how the tool must complain, the page.)
BAD = [
    ("a C program with a warning", "unused variable", c_main("int unused;", "return 0;")),
    ("a C program that fails", "status 1", c_main("return 1;")),
    ("a C program that crashes", "status -6", c_main("abort();")),
    ("an argument that the test does not have", "MOON", c_main("return 0;", words=" /* a MOON */")),
    ("a fragment without a program", "no complete program", fence("c", "nestvirt_vm_start(vm, &error);")),
    ("a fragment with an unknown function", "nestvirt_vm_fly",
     PROGRAM + fence("c", "nestvirt_vm_fly(vm, &error);")),
    ("a fragment whose call fails", "line 19 of the page: the call failed",
     PROGRAM + fence("c", 'nestvirt_device_add(vm, "blk", NULL, &error);')),
    ("a fragment whose call fails with a message", "there is no KVM here",
     PROGRAM + fence("c", 'nestvirt_host_open("/no/such/device", &host, &error);')),
    ("a fragment whose place is not there", "no call of nestvirt_vm_start",
     PROGRAM + "<!-- test: after nestvirt_vm_start -->\n" + fence("c", "(void)vm;")),
    ("a fragment that is not reached", "ended before it came there",
     PROGRAM.replace("code == 0", "code != 0") + fence("c", "(void)vm;")),
    ("a Python block that raises", "AssertionError", fence("python", "a = 1") + fence("python", "assert a == 2")),
    ("a Python block behind one that raises", "not run", fence("python", "b") + fence("python", "a = 1")),
    ("a Python block that ends the program", "ended with 3", fence("python", "import sys", "sys.exit(3)")),
    ("a Go program that does not compile", "declared but not used", go_main("a := 1", "os.Exit(0)")),
    ("a Go program that fails", "status 1", go_main("os.Exit(1)")),
    ("a Go fragment that does not compile", "undefined: fly", fence("go", "fly()")),
    ("a command that fails", "status 1", fence("sh", "false", "true")),
    ("a command within a pipe that fails", "status 1", fence("sh", "false | cat")),
    ("an unknown package", "no package no-such-package-at-all",
     fence("sh", "apt-get install --no-install-recommends no-such-package-at-all")),
    ("a variable that is not set", "unbound variable", fence("sh", "echo $NO_SUCH_VARIABLE")),
    ("a long command that is missing", "status 1", fence("sh", "./examples/quickstart --shell")),
    ("a block that does not end", "does not end", "```sh\ntrue\n"),
    ("too many exemptions", "3 blocks are exempt", (EXEMPT + fence("sh", "false")) * 3),
    ("an unknown note", "unknown: maybe", "<!-- test: maybe -->\n" + fence("sh", "true")),
    ("a note that stands alone", "directly above a fence", EXEMPT + "\n" + fence("sh", "true")),
]
GOOD = [
    ("a C program and a fragment", "", PROGRAM + fence("c", "int one = 1;", "", "(void)one;")),
    ("Python in one namespace", "", fence("python", "a = 1") + fence("python", "assert a == 1")),
    ("a Go program and a fragment", "", go_main("os.Exit(0)") + fence("go", "os.Exit(0)")),
    ("shell commands", "", fence("sh", "apt-get install bash", "sudo true | cat")),
    ("an exemption", "", EXEMPT + fence("sh", "false")),
    ("other languages", "", fence("text", "nothing")),
]


def complaints(place, title, text):
    """What the tool finds wrong with a page."""
    try:
        results = run_page(place, read(text, title))
    except Bad as problem:
        return str(problem)
    return "\n".join(result.text for result in results if result.status == "FAILED")


def self_test(build):
    """Each bad page must be refused for the right reason and each good one accepted; the number of
    those that are not."""
    wrong = 0
    for title, reason, text in BAD + GOOD:
        if not shutil.which("go") and "Go" in title:
            print(f"  self-test: {title}: left out, Go is not installed")
            continue
        with tempfile.TemporaryDirectory(prefix="nestvirt-blocks-") as folder:
            place = Place(Path(folder), build, environment={
                "PATH": f"{HERE / 'commands'}:{os.environ['PATH']}", "GOPROXY": "off"})
            found = complaints(place, title, text)
            if bool(found) != bool(reason) or reason not in found:
                print(f"FAIL: self-test: {title}: expected {reason!r}, found {found!r}")
                wrong += 1
    if not wrong:
        print(f"  self-test: {len(BAD)} bad pages caught, {len(GOOD)} good ones accepted")
    return wrong
