/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a VM with one serial port on the fake KVM, and its guest's accesses made by the test. */
#ifndef TESTS_UNIT_SERIAL_GUEST_H
#define TESTS_UNIT_SERIAL_GUEST_H

#include <stdint.h>

#include "fake_kvm.h"
#include "support.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH, FCR = IIR };
enum { COM1 = 0x3f8, COM1_PIN = 4, COM1_VECTOR = 0x34 };
enum { LSR_DATA = 1, LSR_READY = 0x60, MCR_OUT2 = 8 };

extern struct nestvirt_host *serial_host;
extern struct nestvirt_vm *serial_vm;
extern struct nestvirt_device *serial_device;

/* Makes it on two descriptors (-1: none), builds and starts it, and unmasks its pin. */
void serial_setup(int output, int input);

/* The parts of that, for tests with a configuration of their own. */
void serial_make(int output, int input);
void serial_run(void);

void serial_teardown(void);

/* Accesses to the port's registers, as a vCPU would make them. */
uint8_t serial_in(uint32_t offset);
void serial_out(uint32_t offset, uint8_t value);
struct nestvirt_access serial_access(uint32_t offset, uint32_t length, int is_write,
                                     uint32_t value);

/* Reads what arrives until count bytes are there; fails the test after 20 seconds. */
void serial_receive(uint8_t *bytes, unsigned count);

/* Waits until a register has all bits of mask; fails the test after 20 seconds. */
void serial_wait(uint32_t offset, uint8_t mask);

/* Interrupts of the port so far. */
unsigned serial_interrupts(void);

uint64_t serial_dropped(void);

/* CPU time of the VM's event loop in nanoseconds. */
uint64_t serial_loop_ns(void);

/* A pipe whose ends block, with close-on-exec. */
void serial_pipe(int ends[2]);

#endif
