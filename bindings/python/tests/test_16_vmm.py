# SPDX-License-Identifier: Apache-2.0
"""16: handlers for ports and MMIO, eventfds, interrupts, a vCPU driven by hand, registers."""

import os
import select
import threading
import time
from typing import Any, Iterator, List, Tuple

import guests
import nestvirt
import support
from nestvirt import Access, Action, Chip, Exit, ExitReason, Space


class Handlers(support.Case):
    def test_ports_of_every_width(self) -> None:
        seen: List[Tuple[bool, int, bytes]] = []
        answers: Iterator[nestvirt.HandlerAnswer] = iter([b"\xb1", 0xb2b3, None, 1, 2, b"\3", 4])

        def handler(access: Access) -> nestvirt.HandlerAnswer:
            self.assertEqual((access.space, access.address, access.offset, access.vcpu), (Space.PORT, 0x700, 0x10, 0))
            if access.is_write:
                seen.append((True, access.length, access.data))
                return None
            return next(answers)

        vm = self.make(guests.PORTS)
        vm.add_port_handler(0x6f0, 0x20, handler)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 9)
        self.assertEqual(seen[:3], [(True, 1, b"\xa1"), (True, 2, b"\xa3\xa2"), (True, 4, b"\xa7\xa6\xa5\xa4")])
        self.assertEqual([data for _, _, data in seen[3:]], [b"a", b"b", b"c", b"d"])
        self.assertEqual(vm.memory.read(0x3000, 8), b"\xb1\0\xb3\xb2\0\0\0\0")
        self.assertEqual(vm.memory.read(0x3010, 4), b"\1\2\3\4")

    def test_mmio(self) -> None:
        seen: List[str] = []

        def handler(access: Access) -> int:
            seen.append(repr(access))
            self.assertEqual(access.value, int.from_bytes(access.data, "little"))
            return 0x66778899

        vm = self.make(guests.MMIO)
        vm.add_mmio_handler(0xd0000000, 4096, handler)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 0x99)
        self.assertEqual(seen, ["<Access write 0x11223344, 4 bytes at mmio 0xd0000000>",
                                "<Access read, 4 bytes at mmio 0xd0000004>",
                                "<Access write 0x55, 1 bytes at mmio 0xd0000009>"])

    def test_default_and_removed(self) -> None:
        vm = self.make(guests.RELAY)
        seen: List[int] = []
        vm.add_port_handler(0x701, 1, lambda access: seen.append(access.value))
        first = vm.add_port_handler(0x700, 1, lambda access: 5)
        vm.remove_handler(first)
        vm.add_port_handler(0x700, 1, lambda access: Action.DEFAULT)
        vm.build()
        vm.start()
        vm.wait(support.SECONDS)
        self.assertEqual(seen, [0xff])

    def test_kept_access_stays_what_it_is(self) -> None:
        kept: List[Access] = []
        vm = self.make(guests.RELAY)
        vm.add_port_handler(0x700, 2, kept.append)
        vm.build()
        vm.start()
        vm.wait(support.SECONDS)
        vm.close()
        self.assertEqual([(one.address, one.is_write, one.value) for one in kept],
                         [(0x700, False, 0), (0x701, True, 0)])

    def test_exit_handler(self) -> None:
        seen: List[Exit] = []

        def handler(exit: Exit) -> int:
            seen.append(exit)
            seen_rip.append(vm.get_vcpu(exit.vcpu).get_regs().rip)
            return 42

        seen_rip: List[int] = []
        vm = self.make(guests.UNCLAIMED)
        vm.set_exit_handler(lambda exit: Action.STOP)
        vm.set_exit_handler(handler)
        self.assertEqual(nestvirt._callbacks.count(), 1)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 42)
        self.assertEqual([(one.reason, one.address, one.length, one.is_write) for one in seen],
                         [(ExitReason.PORT, 0x999, 1, False)])
        self.assertEqual(len(seen_rip), 1)

    def measure(self, vm: nestvirt.VM) -> float:
        """Exits a second, as the guest counts them; the best of some."""
        vm.build()
        vm.start()
        speeds = []
        for _ in range(10):
            before, start = self.counted(vm), time.perf_counter()
            time.sleep(0.1)
            speeds.append((self.counted(vm) - before) / (time.perf_counter() - start))
        vm.stop()
        return max(speeds)

    @staticmethod
    def counted(vm: nestvirt.VM) -> int:
        return int.from_bytes(vm.memory.read(0x20000, 4), "little")

    def test_speed(self) -> None:
        """Exits that Python answers, beside those that the library answers itself."""
        for _ in range(5):
            alone = self.measure(self.make(guests.MMIO_READS))
            vm = self.make(guests.MMIO_READS)
            vm.add_mmio_handler(0xd0000000, 4096, lambda access: 1)
            python = self.measure(vm)
            print(f"MMIO: {python:.0f} exits/s in Python, {alone:.0f} in the library")
            if python >= 20000 or python >= 0.3 * alone:
                return
        self.fail("a handler in Python is too slow")


class Interrupts(support.Case):
    def make_apic_guest(self, **config: Any) -> Tuple[nestvirt.VM, List[int], threading.Event]:
        vm = self.make(guests.INTERRUPTS, **config)
        vectors: List[int] = []
        ready = threading.Event()
        vm.add_port_handler(0x700, 1, lambda access: vectors.append(access.value))
        vm.add_port_handler(0x701, 1, lambda access: ready.set())
        return vm, vectors, ready

    def expect(self, vectors: List[int], vector: int) -> None:
        support.await_true(f"vector {vector:#x}", lambda: vectors)
        self.assertEqual(vectors.pop(0), vector)

    def test_lines_eventfd_and_messages(self) -> None:
        vm, vectors, ready = self.make_apic_guest()
        self.assertEqual(vm.add_irq(10), 10)
        self.assertEqual(vm.add_irq(11, level=True), 11)
        self.assertIn(vm.add_irq(), range(24))
        trigger = support.eventfd()
        self.addCleanup(os.close, trigger)
        vm.add_irqfd(10, trigger)
        self.refused(nestvirt.Error, -22, vm.add_irqfd, 11, trigger)
        vm.build()
        vm.start()
        self.assertTrue(ready.wait(support.SECONDS))
        vm.set_irq(10, True)
        vm.set_irq(10, False)
        self.expect(vectors, 0x40)
        os.write(trigger, (1).to_bytes(8, "little"))
        self.expect(vectors, 0x40)
        vm.set_irq(11, True)
        self.expect(vectors, 0x41)
        vm.set_irq(11, False)
        support.await_true("the message is taken", lambda: vm.send_msi(0xfee00000, 0x40))
        support.await_true("vector 0x40", lambda: 0x40 in vectors)

    def test_ioeventfd(self) -> None:
        vm = self.make(guests.NOTIFY)
        signal = support.eventfd()
        self.addCleanup(os.close, signal)
        vm.add_ioeventfd("port", 0x720, signal, length=1, value=1)
        self.refused(nestvirt.ExistsError, -17, vm.add_ioeventfd, Space.PORT, 0x720, signal, length=1, value=1)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 1)
        self.assertTrue(select.select([signal], [], [], support.SECONDS)[0])
        self.assertEqual(int.from_bytes(os.read(signal, 8), "little"), 3)


class ByHand(support.Case):
    def hand(self, guest: guests.Guest, **config: Any) -> Tuple[nestvirt.VM, nestvirt.VCPU]:
        vm = self.make(guest, manual_vcpus=True, **config)
        vm.build()
        return vm, vm.get_vcpu()

    def test_exits(self) -> None:
        vm, vcpu = self.hand(guests.RELAY)
        self.refused(nestvirt.BusyError, -16, vcpu.run)
        vm.start()
        exit = vcpu.run()
        self.assertEqual((exit.reason, exit.address, exit.length, exit.is_write), (ExitReason.PORT, 0x700, 1, False))
        self.wrong(ValueError, "answer: must be from 0 to 255", vcpu.run, 256)
        self.wrong(ValueError, "answer: must have 1 bytes", vcpu.run, b"12")
        exit = vcpu.run(0x5a)
        self.assertEqual((exit.address, exit.is_write, exit.value, exit.data), (0x701, True, 0x5a, b"Z"))
        self.wrong(ValueError, "answer: the last exit was no read", vcpu.run, 1)
        self.assertEqual(vcpu.run().reason, ExitReason.STOPPED)
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 5)

    def test_cancel(self) -> None:
        vm, vcpu = self.hand(guests.SPIN)
        vm.start()
        vcpu.cancel()
        self.assertEqual(vcpu.run().reason, ExitReason.CANCELED)
        timer = threading.Timer(0.05, vcpu.cancel)
        timer.start()
        self.assertEqual(vcpu.run().reason, ExitReason.CANCELED)
        timer.join()
        timer = threading.Timer(0.05, vm.pause)
        timer.start()
        self.assertEqual(vcpu.run().reason, ExitReason.CANCELED)
        timer.join()

    def test_halt(self) -> None:
        vm, vcpu = self.hand(guests.HALT, chip=Chip.NONE)
        vm.start()
        self.assertEqual(vcpu.run().reason, ExitReason.HALT)

    def test_registers(self) -> None:
        vm, vcpu = self.hand(guests.RELAY)
        vm.start()
        vcpu.run()
        regs = vcpu.get_regs()
        self.assertEqual(regs.rdx, 0x700)
        regs.rdx, regs.r15 = 0x600, 1 << 63
        vcpu.set_regs(regs)
        self.assertEqual(vcpu.get_regs(), regs)
        sregs = vcpu.get_sregs()
        self.assertEqual((sregs.cs.base, sregs.cs.present, sregs.cr0 & 1), (0, 1, 0))
        sregs.es.base, sregs.es.selector = 0x12340, 0x1234
        sregs.cr2 = 0x1000
        vcpu.set_sregs(sregs)
        self.assertEqual(vcpu.get_sregs(), sregs)
        vcpu.set_msr(0xc0000081, 0x1234 << 32)
        self.assertEqual(vcpu.get_msr(0xc0000081), 0x1234 << 32)
        self.refused(nestvirt.NotFoundError, -2, vcpu.get_msr, 0xdeadbeef)

    def test_exception_and_skip(self) -> None:
        vm, vcpu = self.hand(guests.RELAY)
        self.refused(nestvirt.Error, -22, vcpu.inject_exception, 32)
        self.refused(nestvirt.Error, -22, vcpu.inject_exception, 2)
        self.refused(nestvirt.Error, -22, vcpu.skip, 16)
        rip = vcpu.get_regs().rip
        vcpu.skip(3)
        self.assertEqual(vcpu.get_regs().rip, rip + 3)
        vcpu.inject_exception(13, 0)
        vm.start()

    def test_cpuid_mask(self) -> None:
        vm = self.make(guests.EXIT_CODE)
        entry = next(one for one in self.host.cpuid() if one.leaf == 1)
        vm.add_cpuid_mask(1, register="ecx", clear=entry.ecx & 1, set=0)
        self.refused(nestvirt.Error, -22, vm.add_cpuid_mask, 1, register="ecx", clear=1, set=1)
        self.refused(nestvirt.NotFoundError, -2, vm.add_cpuid_mask, 0x12345678, register="eax")
        vm.build()


if __name__ == "__main__":
    support.main()
