# SPDX-License-Identifier: Apache-2.0
"""07: garbage collection while a VM runs, and what becomes of what nobody refers to any more."""

import gc
import threading
import time
import weakref
from typing import Any, List

import guests
import nestvirt
import support


class Collection(support.Case):
    def gone(self, *references: Any) -> None:
        """Waits until objects are collected and their VMs are freed, which another thread does."""
        support.await_true("the objects are collected", lambda: not any(one() for one in references))
        support.await_true("the VMs are freed", lambda: not list(nestvirt._handle.open_handles()))
        self.assertEqual(nestvirt._callbacks.count(), 0)

    def test_running_vm_that_is_dropped(self) -> None:
        vm = support.started(guests.SPIN, self.host)
        support.await_spin(vm)
        before = support.Holdings()
        reference = weakref.ref(vm)
        del vm
        self.gone(reference)
        support.await_true("its threads have ended", lambda: support.Holdings().threads < before.threads)

    def test_cycle_of_vm_and_handler(self) -> None:
        vm = support.make(guests.MMIO_READS, self.host)
        calls: List[int] = []

        def handler(access: nestvirt.Access, vm: nestvirt.VM = vm) -> int:
            assert vm.name  # The handler refers to the VM, the VM to the handler.
            calls.append(1)
            return 1

        vm.add_mmio_handler(0xd0000000, 4096, handler)
        vm.build()
        vm.start()
        support.await_true("the handler is called", lambda: calls)
        reference, other = weakref.ref(vm), weakref.ref(handler)
        del vm, handler
        gc.collect()
        self.gone(reference, other)

    def test_collection_inside_of_handlers(self) -> None:
        """Other VMs are collected, by the thread of a vCPU that runs."""
        vm = self.make(guests.MMIO_READS)
        calls = []

        def handler(access: nestvirt.Access) -> int:
            other = support.started(guests.SPIN, self.host)
            other.cycle = other  # type: ignore[attr-defined]
            del other
            gc.collect()
            calls.append(1)
            return 1

        vm.add_mmio_handler(0xd0000000, 4096, handler)
        vm.build()
        vm.start()
        support.await_true("the handler is called 20 times", lambda: len(calls) > 20)
        vm.close()
        self.gone()

    def test_vm_that_its_own_handler_drops(self) -> None:
        """The last reference goes on the vCPU's own thread, where the VM cannot be freed."""
        holder = [support.make(guests.RELAY, self.host)]
        holder[0].add_port_handler(0x700, 1, lambda access: holder.clear())
        reference = weakref.ref(holder[0])
        holder[0].build()
        holder[0].start()
        self.gone(reference)

    def test_collection_without_end(self) -> None:
        """Handlers work on while everything is collected all the time, by other threads."""
        vm = self.make(guests.MMIO_READS)
        count = [0]

        def handler(access: nestvirt.Access) -> int:
            count[0] += 1
            return count[0] & 0xff

        vm.add_mmio_handler(0xd0000000, 4096, handler)
        vm.build()
        vm.start()
        end = threading.Event()

        def collect() -> None:
            while not end.is_set():
                gc.collect()

        threads = [threading.Thread(target=collect) for _ in range(2)]
        for thread in threads:
            thread.start()
        before = count[0]
        time.sleep(0.5)
        support.await_true("the handler is called on", lambda: count[0] > before + 100)
        end.set()
        for thread in threads:
            thread.join()
        self.assertEqual(vm.state, nestvirt.State.RUNNING)
        vm.stop()

    def test_devices_keep_their_vm(self) -> None:
        vm = support.make(guests.EXIT_CODE, self.host)
        rng, vcpu, memory = vm.add_rng(), vm.get_vcpu(), vm.memory
        reference = weakref.ref(vm)
        del vm
        gc.collect()
        self.assertIsNotNone(reference())
        self.assertEqual(rng.bytes, 0)
        self.assertEqual(memory.read(0, 2), b"\0\0")
        del rng, memory
        gc.collect()
        self.assertIsNotNone(reference())
        del vcpu
        self.gone(reference)

    def test_functions_live_as_long_as_they_may_be_called(self) -> None:
        class Handler:
            def __call__(self, access: nestvirt.Access) -> int:
                return 0

        vm = support.make(guests.RELAY, self.host)
        handler = Handler()
        reference = weakref.ref(handler)
        number = vm.add_port_handler(0x700, 1, handler)
        del handler
        gc.collect()
        self.assertIsNotNone(reference())
        vm.remove_handler(number)
        self.assertIsNone(reference())
        handler = Handler()
        reference = weakref.ref(handler)
        vm.add_port_handler(0x700, 1, handler)
        del handler
        vm.close()
        self.assertIsNone(reference())
        self.gone()


if __name__ == "__main__":
    support.main()
