# SPDX-License-Identifier: Apache-2.0
"""Owns the check that a picture of 10_density_plot holds what the results say: check_density_svg.py PREFIX RESULT..."""

import json
import math
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree

SVG = "{http://www.w3.org/2000/svg}"
MEMBERS = {"count": "count", "time": "time_ns"}
RANGES = [(4000, 16000, 50), (1000000, 32000000, 7)]  # And percent published.
PIXELS = 0.6  # So much may a place be off.


def fail(text):
    """Ends the check."""
    print(f"FAIL: {text}")
    sys.exit(1)


def paths(root):
    """The first path of each group that has a name of ours: its points."""
    found = {}
    for group in root.iter(f"{SVG}g"):
        name = group.get("id", "")
        if re.match(r"(create|memory|waits|share|published)-", name):
            drawn = group.find(f".//{SVG}path").get("d")
            found[name] = [tuple(map(float, row)) for row in re.findall(r"[ML] (\S+) (\S+)", drawn)]
    return found


def check_line(what, pairs):
    """Pixels have to be a straight line over values: all of an axis together."""
    (low, y_low), (high, y_high) = min(pairs), max(pairs)
    for value, y in pairs:
        place = y_low + (y_high - y_low) * ((value - low) / (high - low) if high > low else 0)
        if abs(place - y) > PIXELS:
            fail(f"{what}: {value} is drawn at {y}, not {place}")


def check_curves(found, results):
    """Creation time and memory: as many points as there are, each where it belongs."""
    for kind, member, scale in (("create", "create_ns", math.log10), ("memory", "memory", float)):
        pairs = []
        for i, result in enumerate(results):
            points, drawn = result["points"], found.get(f"{kind}-{i}", [])
            if len(points) != len(drawn):
                fail(f"{kind} of result {i} has {len(drawn)} points, not {len(points)}")
            pairs += [(scale(point[member]), y) for point, (_, y) in zip(points, drawn)]
        check_line(kind, pairs)


def expected_bars(result, weight):
    """Percent by the end of a bar's name."""
    buckets, member = result["runqueue"]["buckets"], MEMBERS[weight]
    whole = sum(bucket[member] for bucket in buckets)
    rows = {}
    for bucket in buckets:
        place = int(bucket["from_ns"] // 1000).bit_length()
        rows[place] = rows.get(place, 0) + 100 * bucket[member] / whole
    shares = [100 * sum(bucket[member] for bucket in buckets if low <= bucket["from_ns"] < high) / whole
              for low, high, _ in RANGES]
    return rows, shares


def height(points):
    """Of a bar."""
    return max(y for _, y in points) - min(y for _, y in points)


def check_bars(found, results):
    """Histograms: a bar for each row that is not empty, as high as it says, and those that were published."""
    wanted = {}
    for weight in MEMBERS:
        bars = wanted[f"waits-{weight}"] = {}
        shares = wanted[f"share-{weight}"] = {}
        for i, result in enumerate(results):
            if result["runqueue"]["buckets"]:
                rows, parts = expected_bars(result, weight)
                bars.update({f"waits-{weight}-{i}-{place}": value for place, value in rows.items()})
                shares.update({f"share-{weight}-{i}-{k}": value for k, value in enumerate(parts)})
    wanted["share-count"].update({f"share-count-published-{k}": row[2] for k, row in enumerate(RANGES)})
    wanted["waits-count"].update({"published-rows-0": 50 / 2, "published-rows-1": 7 / 5})
    names = {name for bars in wanted.values() for name in bars}
    drawn = {name for name in found if not re.match("create|memory", name)}
    if names != drawn:
        fail(f"bars: missing {sorted(names - drawn)}, too many {sorted(drawn - names)}")
    for bars in wanted.values():
        check_line("bars", [(0, 0)] + [(value, height(found[name])) for name, value in bars.items()])


def check_texts(root, results):
    """Names, units and titles can be read."""
    text = "\n".join("".join(each.itertext()) for each in root.iter(f"{SVG}text"))
    wanted = ["ms, median (log)", "VMs alive", "MiB", "% of all waits", "% of all time spent waiting",
              "published: 6,417 VMs", "4–8 µs", "1–2 ms"]
    wanted += [f"{result['vms']:,} VMs of 64 MiB" for result in results]
    wanted += [f"{result['memory_per_vm'] / 1048576:,.2f} MiB a VM" for result in results]
    if any("workers" in result for result in results):
        wanted.append("workers of Dask on 2 machines")
    if any(not result["runqueue"]["buckets"] for result in results):
        wanted.append("only totals")
    for one in wanted:
        if one not in text:
            fail(f'"{one}" is not in the picture')


def main():
    """Status 1 if something is missing."""
    prefix, *names = sys.argv[1:]
    results = []
    for name in names:
        with open(name, encoding="utf-8") as file:
            results.append(json.load(file))
    root = ElementTree.parse(f"{prefix}.svg").getroot()
    found = paths(root)
    check_curves(found, results)
    check_bars(found, results)
    check_texts(root, results)
    with open(f"{prefix}.png", "rb") as file:
        head = file.read(24)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or min(struct.unpack(">II", head[16:])) < 1000:
        fail("no PNG, or a small one")
    print(f"{len(found)} curves and bars are as {len(results)} results say")


if __name__ == "__main__":
    main()
