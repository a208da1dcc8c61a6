# SPDX-License-Identifier: Apache-2.0
"""
Owns running blocks of code: C and Go programs are compiled and run, fragments of them inside of a
program, Python in one namespace, shell commands by bash.
"""

import json
import os
import re
import shlex
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from blocks import PLACE, Bad, Block

HERE = Path(__file__).resolve().parent
SOURCE = Path(os.environ.get("NESTVIRT_SOURCE_ROOT", HERE.parents[1]))
TIMEOUT = 600  # Seconds of a program; Linux boots in 20 to 30 where it is interpreted.
C_FLAGS = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-g"]

# What programs are given for the words behind their main().
ARGUMENTS = {"KERNEL": "vmlinux", "INITRD": "initrd.cpio", "DISK": "disk.img", "TAP": "tap0", "SOCKET": "vm1.sock"}

# Commands that take long or need a terminal: only looked for, because of the reason.
LONG = {
    "./tests/run": "it is what continuous integration runs",
    "./examples/quickstart": "the suite boot runs it",
}

CHECKED = """
static inline void block_check(int result, struct nestvirt_error **ret_error, int line)
{
    const struct nestvirt_error *error = *ret_error;

    if (result >= 0)
        return;
    for (; error; error = nestvirt_error_get_next(error))
        fprintf(stderr, "%s\\n", nestvirt_error_get_message(error));
    fprintf(stderr, "line %d of the page: the call failed with %d\\n", line, result);
    exit(1);
}
"""


@dataclass
class Result:
    """How a block ended: status is OK, FAILED, SKIP or CHECKED; text says why, or what was printed."""

    block: Block
    status: str
    text: str = ""


@dataclass
class Place:
    """Where blocks run: a folder with a copy of the project and the files that guides speak of."""

    work: Path
    build: Path
    replaced: List[Tuple[str, str]] = field(default_factory=list)  # In what is compiled into programs.
    environment: Dict[str, str] = field(default_factory=dict)

    def run(self, command: List[str], timeout: int = TIMEOUT, **more: object) -> Tuple[int, str]:
        """The status of a command and what it printed; killed with all it started when it takes too long."""
        process = subprocess.Popen([str(word) for word in command], cwd=self.work, text=True, errors="replace",
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True, env={**os.environ, **self.environment}, **more)
        late = threading.Event()

        def end() -> None:
            late.set()
            os.killpg(process.pid, 9)

        timer = threading.Timer(timeout, end)
        timer.start()
        try:
            printed, _ = process.communicate()
        except BaseException:  # An interrupt: nothing that was started is left.
            end()
            raise
        finally:
            timer.cancel()
        return (1, printed + f"\nnot done within {timeout} seconds") if late.is_set() else (process.returncode, printed)

    def arguments(self, block: Block) -> List[str]:
        """The words of a program's comment as files of the folder."""
        found = []
        for word in block.words[1:]:
            if word == "CMDLINE":
                found.append((self.work / "cmdline").read_text(encoding="utf-8").strip())
            elif word in ARGUMENTS:
                found.append(ARGUMENTS[word])
            else:
                raise Bad(f"{block.place}: {word} is no argument that the test has")
        return found


def compile_c(place: Place, block: Block, text: str, name: str) -> Tuple[int, str]:
    """Compiles a program against the library that was built."""
    (place.work / f"{name}.c").write_text(text, encoding="utf-8")
    command = [*shlex.split(os.environ.get("CC", "cc")), *C_FLAGS, f"-I{SOURCE / 'include'}", f"{name}.c", "-o", name,
               f"-L{place.build / 'lib'}", "-lnestvirt", f"-Wl,-rpath,{place.build / 'lib'}", "-pthread"]
    return place.run(command)


def run_program(place: Place, block: Block) -> Result:
    """A complete C program."""
    text = f'#line {block.line} "{block.page}"\n{block.text}'
    status, printed = compile_c(place, block, text, block.name)
    (place.work / f"{block.name}.c").write_text(block.text, encoding="utf-8")  # For later blocks of the page.
    if status == 0:
        status, printed = place.run([f"./{block.name}", *place.arguments(block)])
    return Result(block, "FAILED" if status else "OK", f"{printed}\nstatus {status}" if status else printed)


def checked(block: Block) -> str:
    """A fragment in which every call is checked, each on its line of the page."""
    calls = re.compile(r"^(\s*)(nestvirt_\w+\((?:[^;\"]|\"[^\"]*\")*&error\));", re.M)
    return calls.sub(lambda match: f"{match.group(1)}block_check({match.group(2)}, &error, __LINE__);", block.text)


def place_of(block: Block) -> Tuple[str, str]:
    """Where a fragment belongs: before the VM is built, or where its note says."""
    match = PLACE.match(block.note)
    return (match.group(1), match.group(2)) if match else ("before", "nestvirt_vm_build")


def combined(program: Block, fragments: List[Block]) -> str:
    """The program with its fragments, each a function that is called at its place."""
    text = program.text
    functions = CHECKED
    for block in fragments:
        function = f"fragment_{block.line}"
        functions += (f"static int {function}(struct nestvirt_host *host, struct nestvirt_vm *vm)\n{{\n"
                      "    struct nestvirt_error *error = NULL;\n\n    (void)host, (void)vm, (void)error;\n{\n"
                      f'#line {block.line} "{block.page}"\n{checked(block)}}}\n'
                      f'    fprintf(stderr, "done: {function}\\n");\n    return 0;\n}}\n')
        where, call = place_of(block)
        found = re.search(rf"\b{call}\((?:[^()]|\([^()]*\))*\)", text)
        if not found:
            raise Bad(f"{block.place}: the program before it has no call of {call}()")
        expression = found.group()
        if where == "before":
            changed = f"({function}(host, vm), {expression})"
        else:
            changed = f"({{ int block_result = {expression}; {function}(host, vm); block_result; }})"
        text = text[:found.start()] + changed + text[found.end():]
    top = re.search(r"^int main\(", text, re.M)
    assert top is not None
    line = program.line + program.text[:program.text.index("int main(")].count("\n")
    head = f'#include <stdio.h>\n#include <stdlib.h>\n#line {program.line} "{program.page}"\n' + text[:top.start()]
    return head + functions + f'#line {line} "{program.page}"\n' + text[top.start():]


def run_fragments(place: Place, program: Optional[Block], fragments: List[Block]) -> List[Result]:
    """Fragments of C, all of them in one run of the complete program that stands before them."""
    if program is None:
        return [Result(block, "FAILED", "no complete program stands before it") for block in fragments]
    text = combined(program, fragments)
    for old, new in place.replaced:
        text = text.replace(old, new)
    name = f"{program.name}_with_fragments"
    status, printed = compile_c(place, program, text, name)
    if status == 0:
        status, printed = place.run([f"./{name}", *place.arguments(program)])
    results = []
    for block in fragments:
        is_done = f"done: fragment_{block.line}\n" in printed
        results.append(Result(block, "OK" if is_done and status == 0 else "FAILED", printed if status else ""))
        if status == 0 and not is_done:
            results[-1].text = "the program ended before it came there\n" + printed
    return results


def run_shell(place: Place, block: Block) -> Result:
    """A block of shell commands."""
    lines, notes = [], []
    for line in block.text.split("\n"):
        words = line.split()
        if words and words[0] in LONG:
            line = f"test -x {words[0]}"
            notes.append(f"{words[0]} was only looked for: {LONG[words[0]]}")
        lines.append(line)
    status, printed = place.run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)])
    return Result(block, "FAILED" if status else "OK", f"{printed}\nstatus {status}" if status else "\n".join(notes))


DRIVER = """
import json, sys, traceback
namespace = {"__name__": "__main__"}
for line, page, text in json.loads(sys.argv[1]):
    try:
        exec(compile("\\n" * (line - 1) + text, page, "exec"), namespace)
    except SystemExit as end:
        if end.code not in (None, 0):
            sys.exit(f"ended with {end.code!r}")
    print(f"done: {line}", flush=True)
"""


def run_python(place: Place, found: List[Block]) -> List[Result]:
    """All blocks of Python of a page, one after the other in one namespace."""
    blocks = json.dumps([(block.line, block.page, block.text) for block in found])
    options = ["-X", "dev", "-W", "error::DeprecationWarning"]
    status, printed = place.run(["/usr/bin/python3", *options, "-c", DRIVER, blocks])
    results, is_over = [], False
    for block in found:
        is_done = re.search(rf"^done: {block.line}$", printed, re.M) is not None
        text = "" if is_done else "not run: a block before it failed" if is_over else printed
        results.append(Result(block, "OK" if is_done else "FAILED", text))
        is_over = is_over or not is_done
    if status and all(result.status == "OK" for result in results):
        results[-1] = Result(found[-1], "FAILED", f"the program ended with {status} behind it\n{printed}")
    return results


def go_imports(program: Optional[Block], text: str) -> str:
    """The imports of the program before a fragment that the fragment uses."""
    rows = re.findall(r'^\s*(?:import )?((?:\w+ )?"[\w./-]+")$', program.text if program else "", re.M)
    used = [row for row in rows if re.search(rf"\b{re.split('[ /]', row.replace(chr(34), ''))[-1]}\.", text)]
    return "".join(f"import {row}\n" for row in used)


def go_text(block: Block, program: Optional[Block]) -> str:
    """A complete Go program: the block itself, or the block in a main function, or below one."""
    if block.is_program:
        return block.text
    imports = go_imports(program, block.text)
    if re.search(r"^(func|type) ", block.text, re.M):
        return f"package main\n\n{imports}\n//line {block.page}:{block.line}\n{block.text}\nfunc main() {{}}\n"
    return f"package main\n\n{imports}\nfunc main() {{\n//line {block.page}:{block.line}\n{block.text}}}\n"


def run_go(place: Place, block: Block, program: Optional[Block]) -> Result:
    """A Go program, in a module that takes the package from the project."""
    module = place.work / "module"
    module.mkdir(exist_ok=True)
    (module / "go.mod").write_text("module guide\n\ngo 1.19\n\nrequire nestvirt v0.0.0\n\n"
                                   f"replace nestvirt => {SOURCE / 'bindings' / 'go'}\n", encoding="utf-8")
    (module / "main.go").write_text(go_text(block, program), encoding="utf-8")
    target = place.work / f"go_{block.name}"
    status, printed = place.run(["bash", "-c", 'cd "$0" && go build -mod=mod -o "$1" .', module, target])
    if status == 0:
        status, printed = place.run([target, *place.arguments(block)])
    return Result(block, "FAILED" if status else "OK", f"{printed}\nstatus {status}" if status else printed)


def run_page(place: Place, found: List[Block]) -> List[Result]:
    """All blocks of a page, in its order but for what is run together."""
    results = [Result(block, "SKIP", block.skip) for block in found if block.skip]
    found = [block for block in found if not block.skip]
    programs: Dict[str, Optional[Block]] = {"c": None, "go": None}
    fragments: List[Block] = []
    python = [block for block in found if block.language == "python"]
    for block in [*found, None]:
        if fragments and (block is None or (block.language == "c" and block.is_program)):
            results += run_fragments(place, programs["c"], fragments)
            fragments = []
        if block is None:
            break
        if block.language == "sh":
            results.append(run_shell(place, block))
        elif block.language == "python":
            if block is python[0]:
                results += run_python(place, python)
        elif block.language == "go":
            results.append(run_go(place, block, programs["go"]))
        elif block.is_program:
            results.append(run_program(place, block))
        else:
            fragments.append(block)
        if block.is_program:
            programs[block.language] = block
    return sorted(results, key=lambda result: result.block.line)
