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

BAD = {
    ("a C program with a warning", "unused variable"): "```c\nint main(void)\n{\n    int unused;\n    return 0;\n}\n```\n",
    ("a C program that fails", "status 1"): "```c\nint main(void)\n{\n    return 1;\n}\n```\n",
    ("a C program that crashes", "status -6"): "```c\n#include <stdlib.h>\nint main(void)\n{\n    abort();\n}\n```\n",
    ("an argument that the test does not have", "MOON"): "```c\nint main(void) /* a MOON */\n{\n    return 0;\n}\n```\n",
    ("a fragment without a program", "no complete program"): "```c\n    nestvirt_vm_start(vm, &error);\n```\n",
    ("a fragment with an unknown function", "nestvirt_vm_fly"): PROGRAM + "```c\n    nestvirt_vm_fly(vm, &error);\n```\n",
    ("a fragment whose call fails", "line 19 of the page: the call failed"): PROGRAM + "```c\n    nestvirt_device_add(vm, \"blk\", NULL, &error);\n```\n",
    ("a fragment whose place is not there", "no call of nestvirt_vm_start"): PROGRAM + "<!-- test: after nestvirt_vm_start -->\n```c\n    (void)vm;\n```\n",
    ("a fragment that is not reached", "ended before it came there"): PROGRAM.replace("code == 0", "code != 0") + "```c\n    (void)vm;\n```\n",
    ("a Python block that raises", "AssertionError"): "```python\na = 1\n```\n```python\nassert a == 2\n```\n",
    ("a Python block behind one that raises", "not run"): "```python\nb\n```\n```python\na = 1\n```\n",
    ("a Python block that ends the program", "ended with 3"): "```python\nimport sys\nsys.exit(3)\n```\n",
    ("a Go program that does not compile", "declared but not used"): "```go\npackage main\n\nfunc main() {\n\ta := 1\n}\n```\n",
    ("a Go program that fails", "status 1"): "```go\npackage main\n\nimport \"os\"\n\nfunc main() {\n\tos.Exit(1)\n}\n```\n",
    ("a Go fragment that does not compile", "undefined: fly"): "```go\nfly()\n```\n",
    ("a command that fails", "status 1"): "```sh\nfalse\ntrue\n```\n",
    ("a command within a pipe that fails", "status 1"): "```sh\nfalse | cat\n```\n",
    ("an unknown package", "no package no-such-package-at-all"): "```sh\napt-get install --no-install-recommends no-such-package-at-all\n```\n",
    ("a variable that is not set", "unbound variable"): "```sh\necho $NO_SUCH_VARIABLE\n```\n",
    ("a long command that is missing", "status 1"): "```sh\n./examples/quickstart --shell\n```\n",
    ("a block that does not end", "does not end"): "```sh\ntrue\n",
    ("too many exemptions", "3 blocks are exempt"): "<!-- test: skip no -->\n```sh\nfalse\n```\n" * 3,
    ("an unknown note", "unknown: maybe"): "<!-- test: maybe -->\n```sh\ntrue\n```\n",
    ("a note that stands alone", "directly above a fence"): "<!-- test: skip no -->\n\n```sh\ntrue\n```\n",
}
GOOD = {
    "a C program and a fragment": PROGRAM + "```c\n    int one = 1;\n\n    (void)one;\n```\n",
    "Python in one namespace": "```python\na = 1\n```\n```python\nassert a == 1\n```\n",
    "a Go program and a fragment": "```go\npackage main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() {\n"
                                   "\tfmt.Fprintln(os.Stderr)\n}\n```\n```go\nfmt.Println(1)\n```\n",
    "shell commands": "```sh\napt-get install bash\nsudo true | cat\n```\n",
    "an exemption": "<!-- test: skip it is bad on purpose -->\n```sh\nfalse\n```\n",
    "other languages": "```text\nnothing\n```\n",
}


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
    pages = {**BAD, **{(title, ""): text for title, text in GOOD.items()}}
    for (title, reason), text in pages.items():
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
