# SPDX-License-Identifier: Apache-2.0
"""Owns tables of plain text for people, and amounts as people write them."""

import shutil
import textwrap
from itertools import zip_longest
from typing import Iterable, List, Optional, Sequence

_GAP = "  "
_NARROWEST = 12  # No column is made narrower than this, however narrow the terminal is.


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], *, width: Optional[int] = None,
          right: Sequence[int] = ()) -> List[str]:
    """
    The lines of a table.

    width: of the whole, None for the terminal's; the widest columns are broken into several lines
    to fit. right: the numbers of the columns that are set to the right.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = _fit([max(map(len, column)) for column in zip(heading, *cells)],
                  width or shutil.get_terminal_size().columns)
    lines = [_line([name[:room] for name, room in zip(heading, widths)], widths, right),
             _line(["-" * room for room in widths], widths, right)]
    for row in cells:
        pieces = [textwrap.wrap(cell, room) for cell, room in zip(row, widths)]
        lines += [_line(line, widths, right) for line in zip_longest(*pieces, fillvalue="")]
    return lines


def _fit(widths: List[int], whole: int) -> List[int]:
    """The widest ones cut down until all fit."""
    fitting = list(widths)
    while sum(fitting) + len(_GAP) * (len(fitting) - 1) > whole and max(fitting) > _NARROWEST:
        fitting[fitting.index(max(fitting))] -= 1
    return fitting


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    aligned = [cell.rjust(width) if column in right else cell.ljust(width)
               for column, (cell, width) in enumerate(zip(cells, widths))]
    return _GAP.join(aligned).rstrip()


def amount(count: Optional[int]) -> str:
    """Bytes as "1.5 GiB"; "-" for None."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value /= 1024
    else:
        unit = "TiB"
    return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"


def seconds(nanoseconds: Optional[int]) -> str:
    """Nanoseconds as "1.234 s"; "-" for None."""
    return "-" if nanoseconds is None else f"{nanoseconds / 1e9:.3f} s"
