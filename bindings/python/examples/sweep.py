#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
A parameter sweep: a virtual machine for each combination of parameters, all at once, and a table of results.

    sweep.py                                  20 VMs: 5 limits, 2 lists of CPUs, with and without KSM
    sweep.py --limits 60000 --nice 0 5 10 19  one limit, four nice values: who gets the CPU?
    sweep.py --quota 0 50 --json              with half a CPU each, by control groups (root)

Each guest counts the primes below its limit, by the sieve of Eratosthenes in real mode, and the
program checks the answer. Measured are the time from start to end, the time that the vCPU had on a
CPU, and the memory that it came to use. Status: 0 if all guests were right, 1 if not.
"""

import argparse
import asyncio
import csv
import dataclasses
import functools
import itertools
import json
import os
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Iterator, List, Optional

import nestvirt
import nestvirt.aio

PAGE = 4096
LIMIT_AT, COUNT_AT, DONE_PORT = 0x3000, 0x3004, 0x700

# Real mode, at 0x1000. The sieve has a byte for each number, from 0x10000.
#
#         .code16
#         xor %ax, %ax
#         mov %ax, %ds
#         mov 0x3000, %cx             # the limit
#         mov $0x1000, %ax
#         mov %ax, %es
#         xor %bp, %bp                # how many there are
#         mov $2, %si
# next:   cmp %cx, %si
#         jae done
#         cmpb $0, %es:(%si)
#         jne skip
#         inc %bp
#         mov %si, %di
# mark:   add %si, %di
#         jc skip
#         cmp %cx, %di
#         jae skip
#         movb $1, %es:(%di)
#         jmp mark
# skip:   inc %si
#         jmp next
# done:   mov %bp, 0x3004
#         mov $0x700, %dx             # "done", while the vCPU still is there to be asked
#         out %al, %dx
#         mov $0x501, %dx             # the end, with code 0
#         mov $0, %al
#         out %al, %dx
#         hlt
GUEST = bytes.fromhex(
    "31c0 8ed8 8b0e0030 b80010 8ec0 31ed be0200 39ce 731a 26803c00 7511 45 89f7 01f7 720a 39cf 7306"
    "26c60501 ebf2 46 ebe2 892e0430 ba0007 ee ba0105 b000 ee f4")


@dataclasses.dataclass
class Row:
    """The parameters of one VM, and what came of it."""

    limit: int
    cpus: str
    mergeable: bool
    nice: int
    quota: int  # Percent of a CPU, 0 for no limit.
    primes: Optional[int] = None
    build_s: float = 0.0
    run_s: float = 0.0
    cpu_s: float = 0.0
    resident_kib: int = 0
    merged_kib: Optional[int] = None
    ended: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the guest's answer is that of another program."""
        return self.primes == count_primes(self.limit)


@functools.lru_cache(None)
def count_primes(limit: int) -> int:
    """How many primes are below a limit."""
    return sum(all(number % divisor for divisor in range(2, int(number ** 0.5) + 1)) for number in range(2, limit))


def arguments() -> argparse.Namespace:
    """The command line."""
    allowed = sorted(os.sched_getaffinity(0))
    everywhere = ",".join(map(str, allowed))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limits", type=limit, nargs="+", default=[10000, 20000, 30000, 40000, 60000], metavar="N",
                        help="count the primes below (at most 65535)")
    parser.add_argument("--cpus", nargs="+", default=[str(allowed[0]), everywhere], metavar="LIST",
                        help="CPUs that the vCPU may run on, as 0-1,4")
    parser.add_argument("--mergeable", choices=("no", "yes"), nargs="+", default=["no", "yes"],
                        help="whether KSM may merge the memory (it does where it runs: --ksm)")
    parser.add_argument("--nice", type=int, nargs="+", default=[0], metavar="N", help="nice value of the vCPU")
    parser.add_argument("--quota", type=int, nargs="+", default=[0], metavar="PERCENT",
                        help="at most so much of a CPU, by a control group of version 1; 0: no limit")
    parser.add_argument("--ksm", action="store_true", help="let the host's KSM run meanwhile (root)")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--csv", action="store_true", help="print comma-separated values")
    return parser.parse_args()


def limit(text: str) -> int:
    """An argparse type: a limit that the guest can do."""
    if not text.isdigit() or not 2 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f'"{text}" is not from 2 to 65535')
    return int(text)


@contextmanager
def cgroup(percent: int, number: int) -> Iterator[Optional[str]]:
    """A control group with a limit of CPU time, removed at the end; None without a limit."""
    if not percent:
        yield None
        return
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    found = [words[1] for words in mounts if words[2] == "cgroup" and "cpu" in words[3].split(",")]
    if not found:
        raise OSError(95, "--quota needs a cgroup file system of version 1 with the controller cpu")
    group = Path(found[0], f"sweep-{os.getpid()}-{number}")
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text("20000", encoding="ascii")
        (group / "cpu.cfs_quota_us").write_text(str(200 * percent), encoding="ascii")
        yield str(group)
    finally:
        group.rmdir()


async def run(host: nestvirt.Host, image: int, row: Row, group: Optional[str]) -> None:
    """Runs one VM and fills its row in."""
    async with nestvirt.aio.VM(host, name=f"primes{row.limit}") as vm:
        vm.memory.add("1M", mergeable=row.mergeable)
        vm.set_flat(image)
        vm.add_exit()
        vm.set_threads("vcpu", cpus=row.cpus, nice=row.nice)
        if group:
            vm.set_cgroup(group, vcpus=True, need_cpu=True)

        def done(_: nestvirt.Access) -> None:  # Runs on the vCPU's thread: thread_time() is that thread's.
            row.cpu_s = time.thread_time()

        vm.add_port_handler(DONE_PORT, 1, done)
        start = time.monotonic()
        await vm.build()
        vm.memory.write(LIMIT_AT, row.limit.to_bytes(2, "little"))
        built = time.monotonic()
        await vm.start()
        row.ended = str(await vm.wait())
        row.build_s, row.run_s = built - start, time.monotonic() - built
        row.primes = int.from_bytes(vm.memory.read(COUNT_AT, 2), "little")
        row.resident_kib = vm.memory.get_placement(0).resident * PAGE // 1024
        merged = vm.memory.get_ksm(0).merged_bytes
        row.merged_kib = None if merged is None else merged // 1024


async def sweep(rows: List[Row]) -> None:
    """Runs all VMs at once. Whatever fails, none is left, and no group."""
    with ExitStack() as stack:
        host = stack.enter_context(nestvirt.Host())
        image = os.memfd_create("guest", os.MFD_CLOEXEC)
        stack.callback(os.close, image)
        os.write(image, GUEST)
        groups = [stack.enter_context(cgroup(row.quota, number)) for number, row in enumerate(rows)]
        tasks = [asyncio.ensure_future(run(host, image, row, group)) for row, group in zip(rows, groups)]
        try:
            for count, task in enumerate(asyncio.as_completed(tasks), 1):
                await task
                if sys.stderr.isatty():
                    print(f"\r{count} of {len(rows)} VMs have ended\033[K", end="", file=sys.stderr, flush=True)
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if sys.stderr.isatty():
                print("\r\033[K", end="", file=sys.stderr, flush=True)


def print_table(rows: List[Row], seconds: float) -> None:
    """For people."""
    heading = ["limit", "CPUs", "KSM", "nice", "quota", "primes", "", "build", "run", "on CPU", "share", "memory",
               "merged"]
    cells = [heading] + [[
        str(row.limit), row.cpus, "yes" if row.mergeable else "no", str(row.nice),
        f"{row.quota} %" if row.quota else "-", str(row.primes), "right" if row.is_right else "WRONG",
        f"{row.build_s * 1000:.1f} ms", f"{row.run_s:.3f} s", f"{row.cpu_s:.3f} s",
        f"{100 * row.cpu_s / row.run_s:.0f} %", f"{row.resident_kib} KiB",
        "-" if row.merged_kib is None else f"{row.merged_kib} KiB"] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths)))
    total = sum(row.cpu_s for row in rows)
    print(f"\n{len(rows)} VMs at once in {seconds:.2f} s; their vCPUs had {total:.2f} s of CPU time.")


def main() -> int:
    """The program."""
    options = arguments()
    rows = [Row(limit, cpus, mergeable == "yes", nice, quota) for limit, cpus, mergeable, nice, quota in
            itertools.product(options.limits, options.cpus, options.mergeable, options.nice, options.quota)]
    start = time.monotonic()
    with ExitStack() as stack:
        if options.ksm:
            stack.enter_context(nestvirt.KSMToken(run="merge", pages_to_scan=2000, sleep_ms=10))
        asyncio.run(sweep(rows))
    if options.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    elif options.csv:
        writer = csv.DictWriter(sys.stdout, [field.name for field in dataclasses.fields(Row)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in rows)
    else:
        print_table(rows, time.monotonic() - start)
    return 0 if all(row.is_right for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as problem:
        sys.exit(f"sweep.py: {problem}")
