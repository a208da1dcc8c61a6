# SPDX-License-Identifier: Apache-2.0
"""Owns what a log of meson test means: it tells of skips and failures and counts them."""
import argparse
import json
import pathlib
import subprocess

PASSED = ("OK", "EXPECTEDFAIL")
TAIL = 40
OF_THE_HOST = "host: "  # begins a reason that nothing on this host can be done about
COMPARE = pathlib.Path(__file__).resolve().parent.parent / "bench" / "compare"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("label", help="the suite's name for people")
    parser.add_argument("log", type=pathlib.Path, help="meson's log, one JSON object a line")
    parser.add_argument("totals", type=pathlib.Path, help="a line 'passed failed skipped what-failed' is added here")
    parser.add_argument("--no-skips", metavar="REASON", help="why a skipped test is a failed one")
    parser.add_argument("--show-json", action="store_true", help="print the JSON lines of the tests, and one table of them")
    return parser.parse_args()


def read_tests(log):
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(errors="replace").splitlines() if line]


def streams_of(test):
    """The lines a test wrote to its standard output, and those to its standard error."""
    return [(test.get(stream) or "").splitlines() for stream in ("stdout", "stderr")]


def name_of(test):
    return test["name"].rpartition(" / ")[2]


def skip_reason(test):
    for line in sum(streams_of(test), []):
        if line.startswith("SKIP: "):
            return line[len("SKIP: "):]
    return None


def tell_failure(label, name, why, test):
    print(f"FAILED {label}: {name}: {why}; the end of what it printed:")
    for stream in streams_of(test):
        for line in stream[-TAIL:]:
            print(f"    {line}")


def judge(arguments, test):
    """Returns "passed", "failed" or "skipped", and tells of the last two."""
    name = name_of(test)
    result = test["result"]
    if result in PASSED:
        return "passed"
    if result == "SKIP":
        reason = skip_reason(test)
        if reason and (not arguments.no_skips or reason.startswith(OF_THE_HOST)):
            print(f"skipped {arguments.label}: {name}: {reason}")
            return "skipped"
        why = f"skipped ({reason}), but {arguments.no_skips}" if reason else "skipped without a reason"
    else:
        why = f"{result.lower()}, status {test.get('returncode')}"
    tell_failure(arguments.label, name, why, test)
    return "failed"


def show_json(tests):
    lines = [line for test in tests for line in (test.get("stdout") or "").splitlines() if line.startswith("{")]
    print(*lines, sep="\n", flush=True)
    # Each test has been judged by it: here it only draws.
    subprocess.run([COMPARE, "-"], input="\n".join(lines), text=True, check=False)


def main():
    arguments = parse_arguments()
    tests = read_tests(arguments.log)
    if arguments.show_json:
        show_json(tests)
    outcomes = [judge(arguments, test) for test in tests]
    if not tests:
        print(f"FAILED {arguments.label}: no test ran")
        outcomes = ["failed"]
    failed = [name_of(test) for test, outcome in zip(tests, outcomes) if outcome == "failed"]
    told = f"{arguments.label}: {', '.join(failed) or 'no test ran'}" if "failed" in outcomes else ""
    counts = [outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")]
    with arguments.totals.open("a") as totals:
        print(*counts, told, file=totals)


main()
