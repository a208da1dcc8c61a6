#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
How many virtual machines fit into one process, on this machine or on each worker of a Dask cluster, what they take,
and how long they wait for a CPU.

    density.py --until-full --memory 1G
    density.py --count 500 --memory 64M --busy 100 --hold 10
    density.py --count 500 --memory 64M --busy 100 --hold 10 --dask tcp://10.0.0.1:8786

Progress and a table go to stderr, one JSON object of the form of examples/10_density to stdout;
examples/10_density_plot draws it. Ctrl-C ends it in order at any moment, and a second one at once. Status: 0; 1 if
something failed, such as a worker; 2 for wrong words.
"""

import argparse
import contextlib
import json
import shutil
import signal
import sys
from typing import Any, Dict, List, Optional, Set

from density_report import table, without_internals
from density_run import Options, Progress, run

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether a signal asked for the end; the second one does not ask."""

    def __init__(self) -> None:
        self._is_asked = False
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, *_: Any) -> None:
        if self._is_asked:
            raise KeyboardInterrupt
        self._is_asked = True

    def __call__(self) -> bool:
        return self._is_asked


class Board:
    """How far it is: on a terminal one line for each worker, in place; elsewhere line after line."""

    def __init__(self, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._is_terminal = sys.stderr.isatty()
        self._lines: Dict[str, str] = {}
        self._figures: Dict[str, Progress] = {}
        self._remarks: Set[str] = set()
        self._drawn = 0

    def tell(self, progress: Progress, worker: str = "") -> None:
        """Shows what a worker says; "" is this machine."""
        if self._is_quiet:
            return
        before = f"{worker}: " if worker else ""
        if progress.remark and progress.remark in self._remarks:
            return  # Workers are often alike.
        if progress.remark or not self._is_terminal:
            self._remarks.add(progress.remark)
            self._erase()
            print(f"{before}{progress}", file=sys.stderr, flush=True)
        else:
            self._lines[worker] = f"{before}{progress}"
            self._figures[worker] = progress
        self._draw()

    def close(self) -> None:
        """What comes next begins on a line of its own."""
        self._drawn = 0

    def _erase(self) -> None:
        if self._drawn:
            print(f"\033[{self._drawn}A\033[J", end="", file=sys.stderr)
        self._drawn = 0

    def _draw(self) -> None:
        if not self._is_terminal or not self._lines:
            return
        self._erase()
        size = shutil.get_terminal_size()
        lines = [line[:size.columns - 1] for _, line in sorted(self._lines.items())]
        if len(lines) > 1:
            sums = [sum(numbers) for numbers in zip(*((one.vms, one.busy) for one in self._figures.values()))]
            lines = lines[:max(size.lines - 3, 0)]
            lines.append(f"{len(self._lines):,} workers: {sums[0]:,} VMs, {sums[1]:,} busy")
        print("\n".join(lines), file=sys.stderr, flush=True)
        self._drawn = len(lines)


def size(text: str) -> int:
    """An argparse type: bytes, with a suffix K, M or G."""
    shift = {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    digits = text[:-1] if shift else text
    if not digits.isascii() or not digits.isdigit() or int(digits) << shift > 1 << 44:
        raise argparse.ArgumentTypeError(f'"{text}" is no size such as 64M or 1G')
    return int(digits) << shift


class Whole:
    """An argparse type: a whole number within limits."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not self._low <= int(text) <= self._high:
            raise argparse.ArgumentTypeError(f'"{text}" is not from {self._low} to {self._high}')
        return int(text)


def arguments(words: Optional[List[str]] = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    many = parser.add_mutually_exclusive_group(required=True)
    many.add_argument("--count", type=Whole(1, 1000000), default=0, metavar="N", help="so many VMs (on each worker)")
    many.add_argument("--until-full", action="store_true", help="as many as there is room for")
    parser.add_argument("--memory", type=size, default=size("1G"), metavar="SIZE",
                        help="of each, with suffix K, M or G (1G)")
    parser.add_argument("--busy", type=Whole(0, 100), default=0, metavar="PERCENT",
                        help="of the VMs spin in ring 3, the others halt (0)")
    parser.add_argument("--hold", type=Whole(0, 86400), default=0, metavar="SECONDS", help="keep all of them so long (0)")
    parser.add_argument("--reserve", type=size, default=size("512M"), metavar="SIZE",
                        help="of the host's memory that is left alone (512M)")
    parser.add_argument("--ksm", action="store_true",
                        help="equal pages are merged; KSM of the host runs fast meanwhile (root)")
    parser.add_argument("--shared-loop", action="store_true", help="each has a device, and one event loop serves them all")
    parser.add_argument("--template", action="store_true", help="the VMs are clones of one, which share its memory")
    parser.add_argument("--step", type=Whole(1, 1000000), default=50, metavar="N",
                        help="VMs between two points of the curves (50)")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")
    parser.add_argument("--output", metavar="FILE", help="for the JSON, instead of stdout")
    parser.add_argument("--dask", metavar="SCHEDULER",
                        help="do it on every worker of a Dask cluster: its scheduler's address, or its scheduler file")
    parser.add_argument("--workers", type=Whole(1, 100000), default=0, metavar="N",
                        help="with --dask: wait up to a minute until there are so many")
    return parser.parse_args(words)


def experiment(words: argparse.Namespace, options: Options, board: Board) -> Dict[str, Any]:
    """The result, of this machine or of all."""
    stop = Stop()
    if not words.dask:
        return without_internals(run(options, stop, board.tell))
    try:
        import density_dask  # Dask is needed by nobody else.
    except ModuleNotFoundError as problem:
        if problem.name not in ("distributed", "cloudpickle"):
            raise
        raise OSError("--dask needs Dask's distributed: apt-get install --no-install-recommends python3-distributed"
                      ) from problem
    return density_dask.run_everywhere(words.dask, options, stop, board.tell, words.workers)


def main() -> int:
    """The program."""
    words = arguments()
    names = {field: getattr(words, field) for field in Options.__dataclass_fields__}
    options = Options(**names)
    board = Board(words.quiet)
    with contextlib.ExitStack() as stack:
        # First: an hour's work is not to end at a folder that is not there.
        output = stack.enter_context(open(words.output, "w", encoding="utf-8")) if words.output else sys.stdout
        result = experiment(words, options, board)
        board.close()
        if not words.quiet:
            print(f"\n{table(result)}", file=sys.stderr, flush=True)
        print(json.dumps(result), file=output, flush=True)
    failed = [worker for worker in result.get("workers", ()) if worker["error"]]
    for worker in failed if words.quiet else ():
        print(f"density.py: {worker['worker']}: {worker['error']}", file=sys.stderr)
    if failed:
        return 1
    is_short = result["ran"] < result["asked"]
    return int(is_short and not result["limit"] and not result["interrupted"])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as problem:
        sys.exit(f"density.py: {problem}")
    except KeyboardInterrupt:
        sys.exit("density.py: ended at once")
