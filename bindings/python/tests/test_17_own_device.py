# SPDX-License-Identifier: Apache-2.0
"""17: a virtio device of the program's own."""

import gc
import struct
import threading
from typing import Any, List, Optional, Tuple

import nestvirt
import script
import support
from nestvirt import Chain, VirtioDevice

FEATURE = 1 << 3
GO = script.BUFFER + 0x800  # Where the guest waits for a sign.


class Own(support.Case):
    def setUp(self) -> None:
        super().setUp()
        self.vm = nestvirt.VM(self.host, memory="1M")
        self.addCleanup(self.vm.close)
        self.script = script.Script(self.vm)
        self.held: List[Chain] = []
        self.drops = 0

    def add(self, on_queue: Any, **keywords: Any) -> VirtioDevice:
        """The device, and a chain of five readable and five writable bytes at head 0."""
        device = self.vm.add_virtio(42, on_queue, features=FEATURE, config=b"configur", **keywords)
        self.vm.memory.write(script.BUFFER, b"ping?")
        self.script.descriptor(0, script.BUFFER, 5, script.NEXT, 1)
        self.script.descriptor(1, script.BUFFER + 64, 5, script.WRITE)
        self.script.drive(FEATURE)
        return device

    def start(self) -> None:
        self.script.end()
        self.vm.build()
        self.vm.start()

    def finish(self) -> None:
        self.assertEqual(self.vm.wait(support.SECONDS).exit_code, script.EXIT_CODE)

    def hold(self, device: VirtioDevice, queue: int) -> None:
        self.held += device.chains(queue)

    def drop(self, device: VirtioDevice, queue: int) -> None:
        self.drops += 1

    def test_request_and_answer(self) -> None:
        seen: List[Any] = []

        def on_queue(device: VirtioDevice, queue: int) -> None:
            for chain in device.chains(queue):
                seen.append((queue, chain.readable, chain.writable, chain.read(3), chain.read(), chain.read(1)))
                seen.append((chain.write(b"pong"), chain.write(bytearray(b"!!"))))
                seen.append(chain.complete())
                self.refused(nestvirt.StateError, -9, chain.complete)
                self.refused(nestvirt.StateError, -9, chain.read)

        device = self.add(on_queue)
        self.refused(nestvirt.BusyError, -16, device.next_chain)
        number = self.script.read(script.DEVICE_ID)
        self.script.make_available(1)
        self.script.wait_used(1)
        self.script.wait_bits(script.INTERRUPT_STATUS, 1)
        self.start()
        self.finish()
        self.assertEqual(seen, [(0, 5, 5, b"pin", b"g?", b""), (4, 1), True])
        self.assertEqual(self.script.value(number), 42)
        self.assertEqual(self.vm.memory.read(script.BUFFER + 64, 5), b"pong!")
        self.assertEqual(struct.unpack("<I", self.vm.memory.read(script.USED + 8, 4)), (5,))
        self.assertEqual(device.features, script.VERSION_1 | FEATURE)
        self.assertGreaterEqual(device.get("notified"), 1)
        self.assertEqual(device.get("faults"), 0)

    def test_configuration(self) -> None:
        written: List[Tuple[int, int]] = []
        wrote = threading.Event()

        def on_config(device: VirtioDevice, offset: int, length: int) -> None:
            written.append((offset, length))
            wrote.set()

        device = self.add(self.hold, on_config=on_config)
        before = self.script.read(script.CONFIG)
        self.script.put(script.CONFIG + 4, 0x64636261)
        self.script.wait_bits(script.INTERRUPT_STATUS, 2)
        after = self.script.read(script.CONFIG)
        self.refused(nestvirt.BusyError, -16, device.get_config, 0, 8)
        self.start()
        self.assertTrue(wrote.wait(support.SECONDS))
        self.assertEqual(device.get_config(0, 8), b"confabcd")
        self.refused(nestvirt.Error, -22, device.set_config, 5, b"1234")
        device.set_config(0, b"new!")
        self.finish()
        self.assertEqual(written, [(4, 4)])
        self.assertEqual(self.script.value(before), int.from_bytes(b"conf", "little"))
        self.assertEqual(self.script.value(after), int.from_bytes(b"new!", "little"))

    def hold_one(self, *, on_drop: Optional[Any] = None) -> None:
        """The guest makes a request, and later resets the device while the program has it."""
        self.add(self.hold, on_drop=on_drop)
        self.script.make_available(1)
        self.script.wait16(GO, 1)
        self.script.put(script.STATUS, 0)
        self.start()
        support.await_true("a request", lambda: self.held)

    def test_chain_completed_by_another_thread(self) -> None:
        self.add(self.hold)
        self.script.make_available(1)
        self.script.wait_used(1)
        self.start()
        support.await_true("a request", lambda: self.held)
        chain = self.held.pop()
        self.assertEqual(chain.write(b"late"), 4)
        self.assertTrue(chain.complete())
        self.finish()

    def test_reset_waits_for_a_held_chain(self) -> None:
        self.hold_one(on_drop=self.drop)
        before = self.drops
        self.vm.memory.write(GO, b"\1\0")
        support.await_true("the guest resets", lambda: self.drops > before)
        self.assertEqual(self.vm.state, nestvirt.State.RUNNING)
        self.assertFalse(self.held.pop().complete())
        self.finish()

    def test_forgotten_chain_is_completed(self) -> None:
        self.hold_one()
        self.held.clear()
        gc.collect()
        self.vm.memory.write(GO, b"\1\0")
        self.finish()

    def test_close_with_a_held_chain(self) -> None:
        self.hold_one()
        self.vm.close()
        self.refused(nestvirt.StateError, -9, self.held[0].complete)
        self.refused(nestvirt.StateError, -9, self.held[0].read)

    def test_chain_of_a_former_run(self) -> None:
        self.hold_one()
        self.vm.stop()
        self.vm.build()
        self.refused(nestvirt.StateError, -116, self.held[0].read)
        self.assertFalse(self.held[0].complete())

    def test_request_reset(self) -> None:
        seen = threading.Event()
        device = self.add(lambda device, queue: seen.set())
        self.script.wait_bits(script.STATUS, 64)
        self.start()
        self.assertTrue(seen.wait(support.SECONDS))
        device.request_reset()
        self.finish()

    def test_exception_in_the_queue_function(self) -> None:
        def on_queue(device: VirtioDevice, queue: int) -> None:
            raise ValueError("of the device")

        self.add(on_queue)
        self.script.make_available(1)
        self.script.wait_used(1)
        self.start()
        with self.assertRaises(nestvirt.HandlerError) as caught:
            self.vm.wait(support.SECONDS)
        self.assertIsInstance(caught.exception.__cause__, ValueError)

    def test_ranges(self) -> None:
        for keywords in ({"queues": 0}, {"queues": 65}, {"queue_size": 3}, {"queue_size": 2048},
                         {"config": bytes(257)}, {"features": 1 << 28}):
            changes: Any = keywords
            self.refused(nestvirt.Error, -22, self.vm.add_virtio, 42, print, **changes)
        self.refused(nestvirt.Error, -22, self.vm.add_virtio, 0, print)
        self.assertEqual(nestvirt._callbacks.count(), 0)


if __name__ == "__main__":
    support.main()
