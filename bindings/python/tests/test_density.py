# SPDX-License-Identifier: Apache-2.0
"""The example density.py on this machine: what was asked is what was done, and nothing is left of it."""

import contextlib
import json
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

import support

ROOT = Path(os.environ["NESTVIRT_SOURCE_ROOT"])
EXAMPLES = ROOT / "bindings" / "python" / "examples"
PROGRAM = EXAMPLES / "density.py"
KSM = Path("/sys/kernel/mm/ksm")

sys.path.insert(0, str(EXAMPLES))
import density_report  # noqa: E402  # pylint: disable=wrong-import-position
import density_run  # noqa: E402  # pylint: disable=wrong-import-position


def density(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(PROGRAM), *words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=support.SECONDS * 4, **more)


class Guests(unittest.TestCase):
    def assemble(self, text: str) -> bytes:
        """The bytes of a source, from its first to its last."""
        with tempfile.TemporaryDirectory() as folder:
            for command in (["as", "-o", "guest.o", "-"], ["objcopy", "-O", "binary", "-j", ".rodata", "guest.o", "guest"]):
                subprocess.run(command, cwd=folder, input=".section .rodata\n" + text, text=True, check=True, timeout=support.SECONDS)
            return Path(folder, "guest").read_bytes()

    def comment(self, name: str) -> str:
        """The source that stands in the comment above the bytes."""
        text = (EXAMPLES / "density_run.py").read_text(encoding="utf-8")
        found = re.search(rf"^# {name}: .*(?:\n# .+)*", text, re.M)
        assert found
        return re.sub("^# ?", "", found.group(), flags=re.M) + "\n"

    def test_bytes_are_those_of_the_comment(self) -> None:
        self.assertEqual(self.assemble(self.comment("idle")), density_run.IDLE)
        self.assertEqual(self.assemble(self.comment("busy")), density_run.BUSY)

    def test_bytes_are_those_of_the_example_in_c(self) -> None:
        text = (ROOT / "examples" / "density_guest.S").read_text(encoding="utf-8")
        plain = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        data = self.assemble(plain)
        busy = data.index(density_run.BUSY[:8])
        self.assertEqual(data[:busy].rstrip(b"\0"), density_run.IDLE)
        self.assertEqual(data[busy:busy + len(density_run.BUSY)], density_run.BUSY)
        self.assertFalse(data[busy + len(density_run.BUSY):].rstrip(b"\0"))


class Density(support.Case):
    def done(self, *words: str) -> Any:
        """The result of a run that goes well."""
        done = density(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_as_asked(self) -> None:
        done = density("--count", "20", "--memory", "64M", "--busy", "10", "--hold", "1", "--step", "7")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        asked = {"program": "density.py", "vms": 20, "asked": 20, "ran": 20, "busy": 2, "memory_size": 64 << 20,
                 "template": False, "shared_loop": False, "ksm": False, "interrupted": False, "limit": ""}
        self.assertEqual({key: result[key] for key in asked}, asked)
        self.assertEqual([point["vms"] for point in result["points"]], [7, 14, 20])
        self.assertLessEqual(result["descriptors"], 3 * 20 + 4)
        self.assertGreater(result["create_p50_ns"], 0)
        queue = result["runqueue"]
        self.assertIn(queue["source"], ("bpf", "schedstat"))
        self.assertEqual(queue["vms"], 20)
        if queue["buckets"] is not None:
            self.assertEqual(sum(bucket["count"] for bucket in queue["buckets"]), queue["count"])
            self.assertIn("of the waits were 4-15 us; in a published run", done.stderr)
        for text in ("plan: ", "started 20 VMs, 2 busy", "holding 20 VMs", "create p50"):
            self.assertIn(text, done.stderr)

    def test_form_of_the_example_in_c(self) -> None:
        program = Path(os.environ["NESTVIRT_BUILD_ROOT"]) / "examples" / "10_density"
        if not program.exists():
            self.skipTest("the examples are not built: meson configure -Dexamples=true")
        words = ["--until-full", "--reserve", "16000G", "--quiet"]
        ours, theirs = self.done(*words), json.loads(subprocess.run(
            [program, *words], check=True, stdout=subprocess.PIPE, timeout=support.SECONDS).stdout)
        self.assertEqual(list(ours)[:len(theirs)], list(theirs))
        self.assertEqual(ours["vms"], 0)
        self.assertEqual(ours["limit"], theirs["limit"])

    def test_clones_of_one_loop(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "result.json")
            done = density("--count", "30", "--memory", "64M", "--busy", "40", "--template", "--shared-loop", "--quiet",
                           "--output", str(output))
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            result = json.loads(output.read_text(encoding="utf-8"))
        self.assertEqual((result["vms"], result["ran"], result["busy"], result["limit"]), (30, 30, 12, ""))
        self.assertEqual((result["template"], result["shared_loop"], result["ksm"]), (True, True, False))

    def test_ctrl_c(self) -> None:
        former = self.ksm()
        words = ["--ksm"] if os.access(KSM / "run", os.W_OK) and not Path("/run/nestvirt-ksm").exists() else []
        with subprocess.Popen([sys.executable, str(PROGRAM), "--count", "20", "--memory", "64M", "--busy", "10", "--hold",
                               "600", *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            assert process.stdout and process.stderr
            for line in process.stderr:
                if "holding" in line:
                    break
            process.send_signal(signal.SIGINT)
            printed, told = process.communicate(timeout=support.SECONDS)
        self.assertEqual(process.returncode, 0, told)
        result = json.loads(printed)
        self.assertEqual((result["interrupted"], result["vms"], result["ran"]), (True, 20, 20))
        self.assertIn("interrupted", told)
        self.assertEqual(self.ksm(), former)

    def ksm(self) -> Dict[str, str]:
        """The host's settings."""
        names = [name for name in ("run", "pages_to_scan", "sleep_millisecs") if (KSM / name).exists()]
        return {name: (KSM / name).read_text(encoding="ascii") for name in names}

    def test_function_leaves_the_process_as_it_was(self) -> None:
        def state() -> Tuple[Any, ...]:
            held = support.Holdings()
            return (held.descriptors, held.threads, os.getpriority(os.PRIO_PROCESS, 0),
                    Path("/proc/self/oom_score_adj").read_text(encoding="ascii"),
                    [resource.getrlimit(kind) for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC,
                                                           resource.RLIMIT_SIGPENDING)])

        run = pickle.loads(pickle.dumps(density_run.run))
        run(density_run.Options(count=1, memory=1 << 20))  # What is made once and stays.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (70, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        before = state()
        told: List[density_run.Progress] = []
        options = pickle.loads(pickle.dumps(density_run.Options(count=30, memory=1 << 20, busy=10, hold=60)))
        result = run(options, lambda: any(one.phase == "holding" for one in told), told.append)
        self.assertEqual((result["vms"], result["interrupted"]), (30, True))
        self.assertEqual(len(result["creations_ns"]), 30)
        self.assertTrue(any("limit on open files: raised from 70" in one.remark for one in told), told)
        self.assertEqual(state(), before)

    def test_what_stops_it_is_told(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        options = density_run.Options(count=50, memory=1 << 20)
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, density_run, "raised_limits", density_run.raised_limits)
            setattr(density_run, "raised_limits", lambda *_: contextlib.nullcontext())
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, hard))
            result = density_run.run(options)
        self.assertLess(0, result["vms"])
        self.assertLess(result["vms"], 50)
        self.assertEqual(result["ran"], result["vms"])
        self.assertIn("open files", result["limit"])

    def test_merged_histogram_is_the_library_s(self) -> None:
        result = density_run.run(density_run.Options(count=10, memory=1 << 20, busy=100, hold=1))
        if result["runqueue"]["buckets"] is None:
            self.skipTest(f"no histogram here: {result['runqueue']['reason']}")
        one = density_report.merge([{"worker": "a", "error": None, **result}], density_run.Options(count=10))
        self.assertEqual(one["runqueue"], result["runqueue"])
        self.assertEqual(one["points"], result["points"])
        two = density_report.merge([{"worker": name, "error": None, **result} for name in "ab"],
                                   density_run.Options(count=10))
        self.assertEqual(two["runqueue"]["count"], 2 * result["runqueue"]["count"])
        self.assertEqual([bucket["count"] for bucket in two["runqueue"]["buckets"]],
                         [2 * bucket["count"] for bucket in result["runqueue"]["buckets"]])
        self.assertEqual((two["vms"], two["asked"], two["machines"]), (20, 20, 1))
        self.assertEqual(two["memory"], result["memory"])  # Both saw the same machine.
        other = {**result, "worker": "b", "error": None, "machine": "another", "host": "b"}
        two = density_report.merge([{"worker": "a", "error": None, **result}, other], density_run.Options(count=10))
        self.assertEqual((two["memory"], two["machines"]), (2 * result["memory"], 2))

    def test_without_dask(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "distributed.py").write_text(
                "raise ModuleNotFoundError(\"No module named 'distributed'\", name='distributed')\n", encoding="utf-8")
            environment = {**os.environ, "PYTHONPATH": f"{folder}:{os.environ['PYTHONPATH']}"}
            done = density("--count", "1", "--dask", "tcp://127.0.0.1:1", env=environment)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
            self.assertIn("python3-distributed", done.stderr)
            done = density("--count", "1", "--memory", "1M", "--quiet", env=environment)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_wrong_words(self) -> None:
        wrong: List[List[str]] = [
            [], ["--count", "5", "--until-full"], ["--count", "0"], ["--count", "5", "--memory", "5X"],
            ["--count", "5", "--busy", "101"]]
        for words in wrong:
            self.assertEqual(density(*words).returncode, 2, words)
        done = density("--count", "1", "--output", "/nonexistent/result")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)


if __name__ == "__main__":
    support.main()
