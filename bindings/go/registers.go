// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

// Regs are the general registers of a vCPU.
type Regs struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64
}

// Segment is a segment register with its hidden part.
type Segment struct {
	Base     uint64
	Limit    uint32
	Selector uint16
	Type     uint8 // 4 bits of the descriptor
	Present  uint8 // this and the following are 0 or 1, DPL 0 to 3
	DPL      uint8
	DB       uint8
	S        uint8
	L        uint8
	G        uint8
	AVL      uint8
	Unusable uint8
}

// Sregs are the segment, control and table registers of a vCPU.
type Sregs struct {
	CS, DS, ES, FS, GS, SS, TR, LDT         Segment
	GDTBase, IDTBase                        uint64
	GDTLimit, IDTLimit                      uint32
	CR0, CR2, CR3, CR4, CR8, EFER, APICBase uint64
}

// Regs reads all general registers.
func (v *VCPU) Regs() (Regs, error) {
	var c C.struct_nestvirt_regs
	C.go_nestvirt_regs_init(&c, C.sizeof_struct_nestvirt_regs)
	err := v.call("nestvirt_vcpu_get_regs", func(vcpu *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_get_regs(vcpu, &c, detail)
	})
	if err != nil {
		return Regs{}, err
	}
	return Regs{
		RAX: uint64(c.rax), RBX: uint64(c.rbx), RCX: uint64(c.rcx), RDX: uint64(c.rdx),
		RSI: uint64(c.rsi), RDI: uint64(c.rdi), RSP: uint64(c.rsp), RBP: uint64(c.rbp),
		R8: uint64(c.r8), R9: uint64(c.r9), R10: uint64(c.r10), R11: uint64(c.r11),
		R12: uint64(c.r12), R13: uint64(c.r13), R14: uint64(c.r14), R15: uint64(c.r15),
		RIP: uint64(c.rip), RFLAGS: uint64(c.rflags),
	}, nil
}

// SetRegs writes all general registers. To change some, read first.
func (v *VCPU) SetRegs(regs Regs) error {
	var c C.struct_nestvirt_regs
	C.go_nestvirt_regs_init(&c, C.sizeof_struct_nestvirt_regs)
	c.rax, c.rbx, c.rcx, c.rdx = C.uint64_t(regs.RAX), C.uint64_t(regs.RBX), C.uint64_t(regs.RCX), C.uint64_t(regs.RDX)
	c.rsi, c.rdi, c.rsp, c.rbp = C.uint64_t(regs.RSI), C.uint64_t(regs.RDI), C.uint64_t(regs.RSP), C.uint64_t(regs.RBP)
	c.r8, c.r9, c.r10, c.r11 = C.uint64_t(regs.R8), C.uint64_t(regs.R9), C.uint64_t(regs.R10), C.uint64_t(regs.R11)
	c.r12, c.r13, c.r14, c.r15 = C.uint64_t(regs.R12), C.uint64_t(regs.R13), C.uint64_t(regs.R14), C.uint64_t(regs.R15)
	c.rip, c.rflags = C.uint64_t(regs.RIP), C.uint64_t(regs.RFLAGS)
	return v.call("nestvirt_vcpu_set_regs", func(vcpu *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_set_regs(vcpu, &c, detail)
	})
}

// Sregs reads all segment, control and table registers.
func (v *VCPU) Sregs() (Sregs, error) {
	var c C.struct_nestvirt_sregs
	C.go_nestvirt_sregs_init(&c, C.sizeof_struct_nestvirt_sregs)
	err := v.call("nestvirt_vcpu_get_sregs", func(vcpu *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_get_sregs(vcpu, &c, detail)
	})
	if err != nil {
		return Sregs{}, err
	}
	return Sregs{
		CS: segment(c.cs), DS: segment(c.ds), ES: segment(c.es), FS: segment(c.fs), GS: segment(c.gs),
		SS: segment(c.ss), TR: segment(c.tr), LDT: segment(c.ldt),
		GDTBase: uint64(c.gdt_base), IDTBase: uint64(c.idt_base),
		GDTLimit: uint32(c.gdt_limit), IDTLimit: uint32(c.idt_limit),
		CR0: uint64(c.cr0), CR2: uint64(c.cr2), CR3: uint64(c.cr3), CR4: uint64(c.cr4), CR8: uint64(c.cr8),
		EFER: uint64(c.efer), APICBase: uint64(c.apic_base),
	}, nil
}

// SetSregs writes all segment, control and table registers. To change some, read first.
func (v *VCPU) SetSregs(sregs Sregs) error {
	var c C.struct_nestvirt_sregs
	C.go_nestvirt_sregs_init(&c, C.sizeof_struct_nestvirt_sregs)
	c.cs, c.ds, c.es, c.fs = sregs.CS.c(), sregs.DS.c(), sregs.ES.c(), sregs.FS.c()
	c.gs, c.ss, c.tr, c.ldt = sregs.GS.c(), sregs.SS.c(), sregs.TR.c(), sregs.LDT.c()
	c.gdt_base, c.idt_base = C.uint64_t(sregs.GDTBase), C.uint64_t(sregs.IDTBase)
	c.gdt_limit, c.idt_limit = C.uint32_t(sregs.GDTLimit), C.uint32_t(sregs.IDTLimit)
	c.cr0, c.cr2, c.cr3 = C.uint64_t(sregs.CR0), C.uint64_t(sregs.CR2), C.uint64_t(sregs.CR3)
	c.cr4, c.cr8 = C.uint64_t(sregs.CR4), C.uint64_t(sregs.CR8)
	c.efer, c.apic_base = C.uint64_t(sregs.EFER), C.uint64_t(sregs.APICBase)
	return v.call("nestvirt_vcpu_set_sregs", func(vcpu *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_set_sregs(vcpu, &c, detail)
	})
}

func segment(c C.struct_nestvirt_segment) Segment {
	return Segment{
		Base: uint64(c.base), Limit: uint32(c.limit), Selector: uint16(c.selector), Type: uint8(c._type),
		Present: uint8(c.present), DPL: uint8(c.dpl), DB: uint8(c.db), S: uint8(c.s), L: uint8(c.l), G: uint8(c.g),
		AVL: uint8(c.avl), Unusable: uint8(c.unusable),
	}
}

func (s Segment) c() C.struct_nestvirt_segment {
	return C.struct_nestvirt_segment{
		base: C.uint64_t(s.Base), limit: C.uint32_t(s.Limit), selector: C.uint16_t(s.Selector),
		_type: C.uint8_t(s.Type), present: C.uint8_t(s.Present), dpl: C.uint8_t(s.DPL), db: C.uint8_t(s.DB),
		s: C.uint8_t(s.S), l: C.uint8_t(s.L), g: C.uint8_t(s.G), avl: C.uint8_t(s.AVL),
		unusable: C.uint8_t(s.Unusable),
	}
}

// MSR reads one model-specific register. syscall.ENOENT if KVM does not know it.
func (v *VCPU) MSR(index uint32) (uint64, error) {
	var value C.uint64_t
	err := v.call("nestvirt_vcpu_get_msr", func(c *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_get_msr(c, C.uint32_t(index), &value, detail)
	})
	return uint64(value), err
}

// SetMSR writes one model-specific register. syscall.ENOENT if KVM does not know it or refuses the value.
func (v *VCPU) SetMSR(index uint32, value uint64) error {
	return v.call("nestvirt_vcpu_set_msr", func(c *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_set_msr(c, C.uint32_t(index), C.uint64_t(value), detail)
	})
}
