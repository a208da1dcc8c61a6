# SPDX-License-Identifier: Apache-2.0
"""Owns `python -m nestvirt probe`: the report on this host and plans, as tables or JSON."""

import argparse
import dataclasses
import json
import shutil
from itertools import groupby
from typing import Any, Optional, Tuple

from . import _check
from ._constants import Answer, ReportGroup
from ._device import device_kinds, device_properties
from ._library import version
from ._report import Plan, Report
from ._table import amount, table

_HEADINGS = {
    ReportGroup.HOST: "The host",
    ReportGroup.NESTED: "Guests that run VMs",
    ReportGroup.CPU: "What the processor has",
    ReportGroup.KVM: "What KVM uses and offers",
    ReportGroup.MODULE: "Kernel modules",
    ReportGroup.DEVICE: "Device files",
    ReportGroup.MEMORY: "Memory",
    ReportGroup.LIMIT: "Limits (yes: there is one)",
}


def add_parser(commands: Any) -> None:
    """Adds the command's own arguments."""
    parser = commands.add_parser(
        "probe", help="tell what this host offers to VMs, and whether VMs fit",
        description="Tells what this host offers to VMs, whether guests may run VMs of their own, and what limits "
        "there are. Nothing on the host is changed.",
        epilog="Status: 0 if KVM can be used, and the plan fits with guests that are idle; 1 if not, or not known; "
        "2 for a wrong command line.")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--plan", metavar="VMS,MEMORY[,VCPUS[,DEVICES]]", type=_plan,
                        help="tell whether so many VMs fit: 500,256M is 500 of 256 MiB, with one vCPU and no device")
    parser.add_argument("--devices", action="store_true", help="list the devices and their properties instead")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--root", metavar="FOLDER", help="report on another machine, a copy of whose files is here")
    where.add_argument("--device", metavar="FILE", help="KVM's device (default: /dev/kvm)")
    parser.set_defaults(main=_main)


def _plan(text: str) -> Tuple[int, int, int, int]:
    """VMs, bytes, vCPUs, devices."""
    words = text.split(",")
    try:
        if not 2 <= len(words) <= 4 or not all(words):
            raise ValueError("needs VMS,MEMORY[,VCPUS[,DEVICES]]")
        vms, vcpus, devices = (_check.integer("--plan", int(word)) for word in
                               (words[0], *(words[2:3] or ["1"]), *(words[3:4] or ["0"])))
        return vms, _check.size("--plan", words[1]), vcpus, devices
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'"{text}": {error}') from None


def _main(options: argparse.Namespace) -> int:
    if options.devices:
        _print_devices(options.json)
        return 0
    with Report(options.root, device=options.device) as report:
        is_good = bool(report.get("device.kvm"))
        if options.plan:
            vms, memory, vcpus, devices = options.plan
            plan = report.plan(memory, vms, vcpus=vcpus, devices=devices)
            is_good = is_good and plan.idle is Answer.YES
            if options.json:
                print(json.dumps(_plan_dict(plan), indent=2))
            else:
                print(f"{_count(vms, 'VM')} of {amount(memory)} and {_count(vcpus, 'vCPU')}, "
                      f"{_count(devices, 'device')} each\n")
                _print_plan(report, plan)
        elif options.json:
            _print_json(report)
        else:
            _print_report(report)
    return 0 if is_good else 1


def _print_report(report: Report) -> None:
    for group, items in groupby(report, lambda item: item.group):
        if group is not report.items[0].group:
            print()
        print(_HEADINGS.get(group, str(group)))
        rows = []
        for item in items:
            note = item.reason
            if item.remedy and (not item or group is ReportGroup.LIMIT):
                note += f"{' ' if note else ''}-> {item.remedy}"
            rows.append((item.answer_name, item.title, item.value, note))
        width = shutil.get_terminal_size().columns - 2
        for line in table(("answer", "what", "value", "why, and what to do"), rows, width=width):
            print(f"  {line}".rstrip())


def _print_json(report: Report) -> None:
    items = [{"name": item.name, "group": item.group_name, "title": item.title, "answer": item.answer_name,
              "value": item.value, "reason": item.reason, "source": item.source, "remedy": item.remedy,
              "number": item.number} for item in report]
    print(json.dumps({"version": version(), "items": items}, indent=2))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _vms(count: Optional[int]) -> str:
    return "no limit is known" if count is None else f"at most {count}"


def _print_plan(report: Report, plan: Plan) -> None:
    rows = []
    for when, answer, vms, memory, limit in (
            ("hardly any of their memory", plan.idle, plan.idle_vms, plan.idle_memory, plan.idle_limit),
            ("all their memory", plan.touched, plan.touched_vms, plan.touched_memory, plan.touched_limit)):
        note = ""
        if limit:
            item = report.get(limit)
            note = f"{item.title}: {item.value}"
            note += f"; {item.reason}" if item.reason else ""
            note += f" -> {item.remedy}" if item.remedy else ""
        rows.append((when, str(answer), _vms(vms), amount(memory), note))
    for line in table(("if they use", "fit", "VMs", "memory", "what stops more"), rows):
        print(line)
    print(f"\nThey need {plan.descriptors} open files, {plan.mappings} mappings and {plan.threads} threads.")
    if plan.unknown:
        print(f"It is not known what {plan.unknown} allows.")


def _plan_dict(plan: Plan) -> Any:
    found = dataclasses.asdict(plan)
    found.update(idle=str(plan.idle), touched=str(plan.touched))
    return found


def _print_devices(is_json: bool) -> None:
    kinds = {kind: device_properties(kind) for kind in device_kinds()}
    if is_json:
        print(json.dumps({kind: [{"name": one.name, "type": str(one.type), "live": one.is_live,
                                  "read_only": one.is_read_only, "help": one.help}
                                 for one in properties.values()] for kind, properties in kinds.items()}, indent=2))
        return
    rows = [(kind, one.name, str(one.type), "counter" if one.is_read_only else "live" if one.is_live else "", one.help)
            for kind, properties in kinds.items() for one in properties.values()]
    for line in table(("device", "property", "type", "when", "what"), rows):
        print(line)
