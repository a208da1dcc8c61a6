# SPDX-License-Identifier: Apache-2.0
"""Owns what comes of the density experiment: results of several machines made one, and tables for people."""

from typing import Any, Dict, Iterable, List, Tuple

from density_run import Options, percentile

MIB = 1 << 20
Result = Dict[str, Any]

# Of a published run of 6,417 machines of 1 GB on 72 hardware threads.
PUBLISHED = [("4-15 us", 4000, 16000, "close to half"), ("1-32 ms", 1000000, 32000000, "about 7%")]
SUMS = ("vms", "ran", "busy", "resident", "descriptors", "mappings", "threads")
QUEUE_SUMS = ("count", "time_ns", "lost", "preempted", "inferred", "threads", "vms")
PERCENTILES = {"p50_ns": 500000, "p90_ns": 900000, "p99_ns": 990000, "p999_ns": 999000}


def without_internals(result: Result) -> Result:
    """A result as it is printed."""
    return {key: value for key, value in result.items() if key != "creations_ns"}


# --- Several results made one ---

def by_machine(rows: Iterable[Tuple[Result, int]]) -> int:
    """The sum of a figure that is one of the whole machine, such as its memory: workers on the same one all see it."""
    largest: Dict[str, int] = {}
    for result, value in rows:
        largest[result["machine"]] = max(largest.get(result["machine"], 0), value)
    return sum(largest.values())


def merge_points(results: List[Result]) -> List[Dict[str, Any]]:
    """The curves over the count of all VMs; each worker's seconds are counted from its own start."""
    latest: Dict[int, Dict[str, Any]] = {}
    points = []
    found = [(point["seconds"], number, point) for number, result in enumerate(results) for point in result["points"]]
    for seconds, number, point in sorted(found, key=lambda row: row[:2]):
        latest[number] = point
        points.append({"vms": sum(each["vms"] for each in latest.values()), "seconds": seconds,
                       "create_ns": point["create_ns"],
                       "memory": by_machine((results[i], each["memory"]) for i, each in latest.items())})
    return points


def wait_percentile(buckets: List[Dict[str, int]], member: str, per_million: int, max_ns: int) -> int:
    """As the library has it: within a bucket the numbers are taken as spread evenly."""
    total = sum(bucket[member] for bucket in buckets)
    rank = max(-(-total * per_million // 1000000), 1)
    before = 0
    for bucket in buckets:
        if before + bucket[member] >= rank:
            low = bucket["from_ns"]
            high = min(bucket["to_ns"] or max_ns, max(max_ns, low))
            return low + (high - low) * (rank - before) // bucket[member]
        before += bucket[member]
    return 0


def merge_queues(results: List[Result]) -> Dict[str, Any]:
    """The histograms of all. Those with totals only are left out if there are others, and "reason" says so."""
    queues = [result["runqueue"] for result in results if result["runqueue"]["source"]]
    whole = [queue for queue in queues if queue["buckets"] is not None]
    if not queues:
        return {"source": None, "buckets": None}
    used = whole or queues
    reasons = [f"{result['host']}: {result['runqueue'].get('reason') or 'waits are not observed'}"
               for result in results if result["runqueue"]["buckets"] is None]
    merged: Dict[str, Any] = {"source": used[0]["source"], "reason": "; ".join(reasons) or None, "vm": None}
    for name in QUEUE_SUMS[:2]:
        merged[name] = sum(queue[name] for queue in used)
    merged["max_ns"] = max(queue["max_ns"] for queue in whole) if whole else None
    for name in QUEUE_SUMS[2:]:
        merged[name] = sum(queue[name] for queue in used) if used[0][name] is not None else None
    merged["incomplete"] = any(queue["incomplete"] for queue in used)
    merged["buckets"] = merge_buckets(whole) if whole else None
    merged["percentiles"] = None
    if whole:
        merged["percentiles"] = {
            title: {name: wait_percentile(merged["buckets"], member, part, merged["max_ns"])
                    for name, part in PERCENTILES.items()}
            for title, member in (("by_count", "count"), ("by_time", "time_ns"))}
    return merged


def merge_buckets(queues: List[Dict[str, Any]]) -> List[Dict[str, int]]:
    """The sum of histograms."""
    rows: Dict[int, Dict[str, int]] = {}
    for bucket in (bucket for queue in queues for bucket in queue["buckets"]):
        row = rows.setdefault(bucket["from_ns"], {**bucket, "count": 0, "time_ns": 0})
        row["count"] += bucket["count"]
        row["time_ns"] += bucket["time_ns"]
    return [rows[low] for low in sorted(rows)]


def merge(workers: List[Result], options: Options) -> Result:
    """
    One report of what workers did, with the members of each result, and those in "workers".

    workers: results of density_run.run() with "worker", its name or address; those that failed have "error", the
    reason, and no figures.
    """
    results = [worker for worker in workers if not worker["error"]]
    merged: Result = {"program": "density.py", **{name: sum(result[name] for result in results) for name in SUMS}}
    times = [time for result in results for time in result["creations_ns"]]
    merged.update(
        asked=options.count * len(workers), memory_size=options.memory, template=options.template,
        shared_loop=options.shared_loop, ksm=options.ksm,
        interrupted=any(result["interrupted"] for result in results),
        limit="; ".join(f"{result['worker']}: {result['limit']}" for result in results if result["limit"]),
        seconds=max((result["seconds"] for result in results), default=0.0),
        create_p50_ns=percentile(times, 50), create_p99_ns=percentile(times, 99),
        memory=by_machine((result, result["memory"]) for result in results),
        ksm_saved=by_machine((result, result["ksm_saved"]) for result in results),
        points=merge_points(results), runqueue=merge_queues(results),
        free_seconds=max((result["free_seconds"] for result in results), default=0.0),
        machines=len({result["machine"] for result in results}),
        workers=[without_internals(worker) for worker in workers])
    merged["memory_per_vm"] = merged["memory"] // max(merged["vms"], 1)
    return merged


# --- For people ---

def histogram(buckets: List[Dict[str, int]]) -> List[Tuple[int, int, int]]:
    """How many waits, and nanoseconds spent in them, for each power of two of microseconds from 0-1 on."""
    rows: Dict[int, List[int]] = {}
    for bucket in buckets:
        row = rows.setdefault(max((bucket["from_ns"] // 1000).bit_length(), 1), [0, 0])
        row[0] += bucket["count"]
        row[1] += bucket["time_ns"]
    powers = range(min(rows), max(rows) + 1) if rows else range(0)
    return [(power, rows[power][0], rows[power][1]) if power in rows else (power, 0, 0) for power in powers]


def histogram_text(buckets: List[Dict[str, int]]) -> str:
    """The waits by their number and by the time spent in them, and what was published."""
    rows = histogram(buckets)
    count, time_ns = sum(row[1] for row in rows) or 1, sum(row[2] for row in rows) or 1
    lines = [f"{'usecs':>21}  {'waits for a CPU':<38} time spent in them"]
    for power, waits, spent in rows:
        low, high = (1 << power >> 1) if power > 1 else 0, (1 << power) - 1
        lines.append(f"{low:>10} -> {high:<7}  {_share(waits, count)} {waits:>10,}  {_share(spent, time_ns)}"
                     f" {spent / 1e6:>10,.1f} ms")
    for text, low, high, there in PUBLISHED:
        part = sum(bucket["count"] for bucket in buckets if low <= bucket["from_ns"] < high)
        lines.append(f"{100 * part / count:.0f}% of the waits were {text}; in a published run of 6,417 VMs {there}")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    bar = "*" * round(20 * part / whole)
    return f"{bar:<20} {100 * part / whole:3.0f}%"


def _row(result: Result, name: str, host: str) -> List[str]:
    queue = result["runqueue"]
    quantiles = (queue.get("percentiles") or {}).get("by_count") or {}
    waits = [f"{quantiles[key] / 1e6:.3f} ms" if key in quantiles else "-" for key in ("p50_ns", "p99_ns")]
    return [host, name, f"{result['vms']:,}", f"{result['ran']:,}", f"{result['busy']:,}",
            f"{result['create_p50_ns'] / 1e6:.2f} ms", f"{result['create_p99_ns'] / 1e6:.2f} ms",
            f"{result['memory'] / MIB:,.0f} MiB", f"{result['memory_per_vm'] / MIB:.2f} MiB",
            f"{queue.get('count', 0):,}", *waits]


def table(report: Result) -> str:
    """What each worker did, or the one machine, and why it made no more."""
    workers: List[Result] = report.get("workers", [])
    heading = ["host", "worker", "VMs", "ran", "busy", "create p50", "p99", "memory", "a VM", "waits", "p50", "p99"]
    cells = [heading, *(_row(one, one["worker"], one["host"]) for one in workers if not one["error"])]
    if workers:
        hosts = f"{report['machines']} machine{'' if report['machines'] == 1 else 's'}"
        cells.append(_row(report, f"{len(cells) - 1} of {len(workers)}", hosts))
    else:
        cells.append(_row(report, "", report["host"]))
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in cells]
    for one in workers or [report]:
        of = f" of {one['worker']}" if workers else ""
        if one.get("error"):
            lines.append(f"FAILED{of}: {one['error']}")
        elif one["limit"]:
            lines.append(f"no more{of}: {one['limit']}")
    if report["interrupted"]:
        lines.append("interrupted")
    buckets = report["runqueue"]["buckets"]
    if report["runqueue"].get("reason"):
        lines.append(f"waits: {report['runqueue']['reason']}")
    if buckets:
        lines += ["", histogram_text(buckets)]
    return "\n".join(lines)
