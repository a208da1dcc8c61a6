#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Owns the test of every block of code in README.md and the guides: each is compiled and run.

    run_blocks.py PAGE...        the pages, as paths from the project's folder
    run_blocks.py --self-test    only that the tool sees bad blocks

A page's blocks run in a copy of the project that also holds vmlinux, initrd.cpio, cmdline (a file with a
command line for them) and disk.img, in a network namespace of its own with tap0.

```c        with main: a program, compiled with -Wall -Wextra -Werror and run. The comment behind main( ... ) says
            its name and arguments: /* boot KERNEL INITRD CMDLINE */; it is kept as boot.c. Without main: a
            fragment; all that follow a program run together within it, before it calls nestvirt_vm_build(), or
            where a comment above says: <!-- test: after nestvirt_vm_start -->. Each call's result is checked.
```python   all of a page in one namespace, by Debian's Python
```go       with `package main` a program, with words behind main() as in C; else a fragment in a main of its own
```sh       by bash -euo pipefail; the folder commands/ has what is replaced, LONG in languages.py what is only
            looked for
<!-- test: skip REASON --> directly above a fence exempts a block, at most two of a page.

The environment: BUILD_DIR (build), NESTVIRT_TEST_KERNEL_FAST, NESTVIRT_TEST_BUSYBOX.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import bad_blocks
from blocks import Bad, read
from languages import HERE, SOURCE, Place, run_page

BUILD = Path(os.environ.get("BUILD_DIR", SOURCE / "build")).resolve()
INTERPRETED = Path("/sys/module/kvm_pvm")
CMDLINE = "console=ttyS0 reboot=k panic=-1"
# What a KVM that interprets its guests cannot do is kept from the kernel, as in examples/quickstart.
INTERPRETED_WORDS = ("nokaslr mitigations=off noxsave rodata=off no_timer_check lpj=1000000 "
                     "clearcpuid=308,295,514,151,141,288,158,306,298,145,534")
IN_NAMESPACE = "NESTVIRT_BLOCKS_IN_NAMESPACE"
CGROUPS = Path("/sys/fs/cgroup/cpu")  # Of version 1; where README.md's group is.

# What is replaced in the programs of a page where fragments are put into it, and why.
REPLACED = {
    "README.md": [
        ("/run/vm1.sock", "vm1.sock"),  # Tests make no files outside of their folder.
        ("/sys/fs/cgroup/cpu/vms", "{cgroup}"),  # The page tells to make it.
        ("config.memory_size = 256 << 20;", "config.memory_size = 0;"),  # The page tells to do so.
        ("1 << 30", "256 << 20"),  # All of it is touched: as much as a small machine has.
    ],
}


def skip(reason):
    """Ends a test that cannot be done here."""
    print(f"SKIP: {reason}")
    sys.exit(77)


def enter_namespace():
    """Goes on in a network namespace of its own, which ends with this program."""
    if IN_NAMESPACE not in os.environ:
        if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
            skip("a network namespace is needed for tap0: run this as root")
        os.environ[IN_NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def make_tap(text):
    """tap0 as a page needs it: there, or not yet if the page tells how it is made."""
    subprocess.run(["ip", "link", "delete", "tap0"], check=False, capture_output=True)
    if "tuntap add" not in text:
        subprocess.run(["ip", "tuntap", "add", "tap0", "mode", "tap"], check=True)


def copy_project(work):
    """The project's own files, without what was built from them."""
    done = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.copytree(SOURCE, work, symlinks=True, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"))
        return
    for name in filter(None, done.stdout.split("\0")):
        if (SOURCE / name).exists():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, work / name, follow_symlinks=False)


def add_machine(work):
    """What guides boot: a kernel, an initial file system, a command line for them, and a disk."""
    for variable in ("NESTVIRT_TEST_KERNEL_FAST", "NESTVIRT_TEST_BUSYBOX"):
        if variable not in os.environ:
            skip(f"{variable} is not set: see tests/boot/README.md")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip("/dev/kvm cannot be used")
    (work / "vmlinux").symlink_to(Path(os.environ["NESTVIRT_TEST_KERNEL_FAST"]) / "vmlinux")
    (work / "initrd.cpio").symlink_to(os.environ["NESTVIRT_TEST_BUSYBOX"])
    words = f"{CMDLINE} {INTERPRETED_WORDS}" if INTERPRETED.exists() else CMDLINE
    (work / "cmdline").write_text(words + "\n", encoding="utf-8")
    with open(work / "disk.img", "wb") as disk:
        disk.truncate(16 << 20)


def environment_of(work):
    """What programs of a page find: the library that was built, unless the page installs one, and the
    bindings."""
    prefix = work / "prefix"
    (work / "pkgconfig").mkdir()
    (work / "pkgconfig" / "nestvirt.pc").write_text(
        f"Name: nestvirt\nDescription: the build\nVersion: 0\nCflags: -I{SOURCE / 'include'}\n"
        f"Libs: -L{BUILD / 'lib'} -lnestvirt\n", encoding="utf-8")
    return {
        "PATH": f"{HERE / 'commands'}:{os.environ['PATH']}",
        "NESTVIRT_LIBRARY": str(BUILD / "lib" / "libnestvirt.so.0"),
        "LD_LIBRARY_PATH": f"{prefix / 'lib'}:{BUILD / 'lib'}",
        "PKG_CONFIG_PATH": f"{prefix / 'lib' / 'pkgconfig'}:{work / 'pkgconfig'}",
        "PYTHONPATH": f"{SOURCE / 'bindings' / 'python'}:{prefix / 'python'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GOFLAGS": "-mod=mod", "GOPROXY": "off",
        # Go's cache does not see that pkg-config says something else than it did.
        "CGO_CFLAGS": f"-I{SOURCE / 'include'}", "CGO_LDFLAGS": f"-L{BUILD / 'lib'}",
        "BLOCKS_PREFIX": str(prefix),
    }


class Group:
    """A control group for the time of a page, where there are those of version 1."""

    def __enter__(self):
        self.path = CGROUPS / f"nestvirt-blocks-{os.getpid()}"
        if CGROUPS.is_dir():
            self.path.mkdir()
        return self.path

    def __exit__(self, *_):
        if self.path.is_dir():
            self.path.rmdir()


def show(results):
    """Prints the results of a page; the number of failures and of skips."""
    for result in results:
        print(f"{result.status:<7} {result.block.place} {result.block.language}"
              + (f": {result.text}" if result.status == "SKIP" else ""), flush=True)
        if result.text and result.status != "SKIP":
            if result.status == "FAILED" or result.block.language == "sh":
                print("        " + result.text.strip().replace("\n", "\n        "))
    return [sum(result.status == status for result in results) for status in ("FAILED", "SKIP")]


def test_page(page):
    """Runs one page in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="nestvirt-blocks-") as folder, Group() as group:
        work = Path(folder)
        copy_project(work)
        add_machine(work)
        replaced = [(old, new.format(cgroup=group)) for old, new in REPLACED.get(page, [])]
        place = Place(work, BUILD, replaced, environment_of(work))
        text = (SOURCE / page).read_text(encoding="utf-8")
        make_tap(text)
        blocks = read(text, page)
        if not blocks:
            raise Bad(f"{page}: no blocks of code were found in it")
        return show(run_page(place, blocks))


def main():
    if not sys.argv[1:] or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 2
    if not (BUILD / "lib" / "libnestvirt.so.0").exists():
        skip(f"{BUILD}: no library; remedy: ninja -C {BUILD}, or BUILD_DIR")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that what was made is removed.
    enter_namespace()
    if bad_blocks.self_test(BUILD):
        return 1
    if sys.argv[1:] == ["--self-test"]:
        return 0
    failed = skipped = 0
    for page in sys.argv[1:]:
        try:
            counts = test_page(page)
        except Bad as problem:
            print(f"FAILED  {problem}")
            counts = [1, 0]
        failed, skipped = failed + counts[0], skipped + counts[1]
    print(f"{'FAIL' if failed else 'OK'}: {failed} blocks failed, {skipped} were exempt")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
