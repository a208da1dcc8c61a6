# SPDX-License-Identifier: Apache-2.0
"""Owns the command line: python -m nestvirt probe, and python -m nestvirt run."""

import argparse
import os
import sys
from typing import List, Optional

from . import _cli_probe, _cli_run
from ._constants import VERSION_MAJOR, VERSION_MICRO, VERSION_MINOR
from ._errors import Error

_WRONG = 2  # The status for a wrong command line, as argparse's own.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m nestvirt", description="Virtual machines of libnestvirt from the command line.",
        epilog="Each command has a help of its own: python3 -m nestvirt run --help")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION_MAJOR}.{VERSION_MINOR}."
                        f"{VERSION_MICRO}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _cli_probe.add_parser(commands)
    _cli_run.add_parser(commands)
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs a command; its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return _WRONG
    try:
        status: int = options.main(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read our output has enough. Python flushes it once more at exit, to nowhere then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130  # As shells tell of SIGINT.
    except (TypeError, ValueError) as error:
        print(f"nestvirt: {error}", file=sys.stderr)
        return _WRONG
    except Error as error:
        print(f"nestvirt: {error}", file=sys.stderr)
        for problem in error.problems:
            print(f"nestvirt: - {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"nestvirt: {error.filename + ': ' if error.filename else ''}{error.strerror or error}",
              file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
