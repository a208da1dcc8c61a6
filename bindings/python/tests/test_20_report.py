# SPDX-License-Identifier: Apache-2.0
"""20: reports, plans and capabilities of the host, and `python -m nestvirt probe`, which prints them."""

import dataclasses
import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

import nestvirt
import support
from nestvirt import Answer, HostFeature, HostKind, ReportGroup

# What another machine says; see include/nestvirt/report.h.
OTHER_MACHINE = {
    "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: An old processor\n"
                    "flags\t\t: fpu vmx ept vpid\n",
    "proc/sys/kernel/osrelease": "6.1.0-test\n",
    "proc/meminfo": "MemTotal:        4194304 kB\nMemAvailable:    2097152 kB\nSwapFree: 0 kB\n",
    "sys/module/kvm_intel/parameters/nested": "N\n",
    "sys/module/kvm_intel/parameters/ept": "Y\n",
    "kvm": "open 0\napi_version 12\nnested_vmx 0\n",
}


def probe(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "nestvirt", "probe", *arguments], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, env={**os.environ, **environment})


class Reports(support.Case):
    def other_machine(self, changes: Dict[str, str]) -> str:
        """A folder with its files."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, text in {**OTHER_MACHINE, **changes}.items():
            path = Path(folder.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
        return folder.name

    def test_this_machine(self) -> None:
        report = nestvirt.Report()
        self.addCleanup(report.close)
        self.assertGreater(len(report), 40)
        self.assertEqual({item.group for item in report}, set(ReportGroup))
        self.assertTrue(report.get("device.kvm"))
        self.assertEqual(report.get("host.kernel").value, os.uname().release)
        self.assertIsInstance(HostKind(report.get("host.kind").number or 0), HostKind)
        files = report.get("limit.open_files")
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.assertEqual(files.number, None if soft == resource.RLIM_INFINITY else soft)
        self.assertEqual(report.get("kvm.memory_slots").number, self.host.info.max_memory_slots)
        for item in report:
            self.assertEqual(item, report.get(item.name))
            self.assertTrue(item.title)
            self.assertEqual(item.answer_name, str(item.answer))
            self.assertTrue(item.answer is not Answer.UNKNOWN or item.reason or item.value, item)
        names = [item.name for item in report]
        self.assertEqual(len(set(names)), len(names))
        with self.assertRaises(dataclasses.FrozenInstanceError):
            files.value = "5"  # type: ignore[misc]

    def test_features_agree_with_the_host(self) -> None:
        features = self.host.info.features
        with nestvirt.Report() as report:
            for name, feature in (("kvm.irqfd", HostFeature.IRQFD), ("kvm.ioeventfd", HostFeature.IOEVENTFD),
                                  ("kvm.split_irqchip", HostFeature.SPLIT_IRQCHIP),
                                  ("kvm.interpreted", HostFeature.INTERPRETED)):
                self.assertEqual(bool(report.get(name)), bool(features & feature), name)
            nested = features & (HostFeature.NESTED_VMX | HostFeature.NESTED_SVM)
            self.assertEqual(bool(report.get("nested.available")), bool(nested))
        entries = list(self.host.cpuid())
        self.assertEqual(entries[0].leaf, 0)
        self.assertIn(1, [entry.leaf for entry in entries])

    def test_another_machine(self) -> None:
        with nestvirt.Report(self.other_machine({})) as report:
            self.assertEqual(report.get("host.kernel").value, "6.1.0-test")
            self.assertEqual(report.get("cpu.vmx").answer, Answer.YES)
            self.assertEqual(report.get("nested.parameter").answer, Answer.NO)
            self.assertEqual(report.get("memory.total").number, 4 << 30)
            self.assertEqual(report.get("device.kvm").answer, Answer.YES)
            plan = report.plan("512M", 100)
            self.assertEqual(plan.touched, Answer.NO)
            assert plan.touched_vms is not None
            self.assertLess(plan.touched_vms, 4)
            self.assertEqual(plan.touched_limit, "memory.available")
        with nestvirt.Report(self.other_machine({"kvm": "open 13\n"})) as report:
            kvm = report.get("device.kvm")
            self.assertEqual(kvm.answer, Answer.NO)
            self.assertFalse(kvm)
            self.assertTrue(kvm.remedy)

    def test_no_limit(self) -> None:
        text = "Limit                     Soft Limit           Hard Limit           Units\n" \
               "Max open files            unlimited            unlimited            files\n"
        with nestvirt.Report(self.other_machine({"proc/self/limits": text})) as report:
            item = report.get("limit.open_files")
            self.assertEqual((item.answer, item.number), (Answer.NO, None))

    def test_device(self) -> None:
        with nestvirt.Report(device="/dev/null") as report:
            self.assertNotEqual(report.get("device.kvm").answer, Answer.YES)

    def test_plans(self) -> None:
        with nestvirt.Report() as report:
            one = report.plan("16M", 1)
            self.assertEqual(one.idle, Answer.YES)
            self.assertEqual(report.plan(16 << 20, 2).descriptors, 2 * one.descriptors)
            self.assertGreater(report.plan("16M", 1, vcpus=2).threads, one.threads)
            self.assertGreater(report.plan("16M", 1, devices=3).descriptors, one.descriptors)
            self.assertGreater(report.plan("16M", 1, files=3).descriptors, one.descriptors)
            many = report.plan("1G", 1000000)
            self.assertEqual((many.idle, many.touched), (Answer.NO, Answer.NO))
            assert many.idle_vms is not None
            self.assertGreater(many.needed, many.available)
            self.assertEqual(report.get(many.idle_limit).name, many.idle_limit)
            self.assertEqual(report.plan("1G").idle_vms, many.idle_vms)

    def test_refused(self) -> None:
        with nestvirt.Report() as report:
            self.refused(nestvirt.NotFoundError, -errno.ENOENT, report.get, "no.such")
            self.refused(nestvirt.Error, -errno.EINVAL, report.plan, "1G", vcpus=0)
            self.refused(nestvirt.Error, -errno.EINVAL, report.plan, 0)
            self.wrong(ValueError, "memory: must be bytes", report.plan, "much")
            self.wrong(ValueError, "vms: must be from 0", report.plan, "1G", -1)
            self.wrong(TypeError, "devices: must be an int", report.plan, "1G", devices="3")
            self.wrong(TypeError, "name: must be a str", report.get, 5)
        self.refused(nestvirt.StateError, -errno.EBADF, report.get, "device.kvm")
        self.refused(nestvirt.StateError, -errno.EBADF, report.plan, "1G")
        self.assertGreater(len(report.items), 40)
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, nestvirt.Report, "/nowhere")
        self.refused(nestvirt.Error, -errno.EINVAL, nestvirt.Report, "/tmp", device="/dev/kvm")
        self.wrong(TypeError, "root: must be a path", nestvirt.Report, 5)


class Probe(support.Case):
    def test_table(self) -> None:
        done = probe(COLUMNS="100")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertLessEqual(max(map(len, lines)), 100)
        with nestvirt.Report() as report:
            text = " ".join(done.stdout.split())
            for name in ("host.kernel", "device.kvm", "limit.open_files"):
                self.assertIn(f"{report.get(name).answer_name} {report.get(name).title}", text)
        for heading in ("The host", "Guests that run VMs", "Limits (yes: there is one)"):
            self.assertIn(heading, lines)

    def test_json(self) -> None:
        done = probe("--json")
        found: Any = json.loads(done.stdout)
        self.assertEqual((done.returncode, found["version"]), (0, nestvirt.version()))
        with nestvirt.Report() as report:
            self.assertEqual([item["name"] for item in found["items"]], [item.name for item in report])
            kvm = next(item for item in found["items"] if item["name"] == "device.kvm")
            self.assertEqual((kvm["answer"], kvm["group"]), ("yes", "device"))

    def test_plan(self) -> None:
        self.assertEqual(probe("--plan", "1,16M").returncode, 0)
        done = probe("--plan", "100000000,1G,2,3")
        self.assertEqual(done.returncode, 1)
        self.assertIn("100000000 VMs of 1 GiB and 2 vCPUs, 3 devices each", done.stdout)
        found = json.loads(probe("--plan", "2,16M", "--json").stdout)
        self.assertEqual(found["idle"], "yes")
        self.assertEqual(set(found), {field.name for field in dataclasses.fields(nestvirt.Plan)})

    def test_devices(self) -> None:
        found = json.loads(probe("--devices", "--json").stdout)
        self.assertEqual(tuple(found), nestvirt.device_kinds())
        done = probe("--devices", COLUMNS="100")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("rate_bytes", done.stdout)

    def test_wrong_words(self) -> None:
        for words in (("--plan", "5"), ("--plan", "5,"), ("--plan", "5,much"), ("--plan", "-5,1M"), ("--nope",),
                      ("--plan", "1,1M,1,1,1"), ("--root", "/", "--device", "/dev/kvm")):
            done = probe(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertNotIn("Traceback", done.stderr)
        done = probe("--root", "/nowhere")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertEqual(probe("--device", "/dev/null").returncode, 1)

    def test_a_reader_that_has_enough(self) -> None:
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            done = subprocess.run([sys.executable, "-m", "nestvirt", "probe"], stdout=pipe, stderr=subprocess.PIPE,
                                  text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, ""))


if __name__ == "__main__":
    support.main()
