/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the saved state of the interrupt chip: the IOAPIC's registers, or those in the kernel. */
#include <errno.h>
#include <string.h>

#include "bus/ioapic.h"
#include "bus/irq.h"
#include "core/cleanup.h"
#include "core/util.h"

enum { IRQ_RECORD = NV_RECORD('I', 'R', 'Q', 'C'), IRQ_VERSION = 1 };

enum { KERNEL_CHIPS = 3 }; /* two PICs and an IOAPIC */

static const char object[] = "interrupt chip";

static int save_kernel(struct nv_irq *irq, struct nv_writer *writer,
                       struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < KERNEL_CHIPS; i++) {
        struct kvm_irqchip chip = { .chip_id = i };
        int r = nv_kvm_try(irq->host, irq->vm_fd, KVM_GET_IRQCHIP, &chip, object, ret_error);

        if (r < 0)
            return r;
        nv_write_blob(writer, &chip, sizeof(chip));
    }
    return 0;
}

static int load_kernel(struct nv_irq *irq, struct nv_reader *body,
                       struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < KERNEL_CHIPS; i++) {
        struct kvm_irqchip chip;
        int r;

        nv_read_exactly(body, &chip, sizeof(chip));
        if (body->is_bad || chip.chip_id != i)
            return nv_bad_state(object, "the chip in the kernel is another", ret_error);
        r = nv_kvm_try(irq->host, irq->vm_fd, KVM_SET_IRQCHIP, &chip, object, ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}

int nv_irq_save(struct nv_irq *irq, struct nv_writer *writer, struct nestvirt_error **ret_error)
{
    size_t mark = nv_write_begin(writer, IRQ_RECORD, IRQ_VERSION);
    int r = 0;

    NV_GUARD(&irq->lock);
    nv_write_u32(writer, irq->chip);
    nv_write_u32(writer, irq->select);
    nv_write_u32(writer, irq->id);
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++) {
        const struct nv_pin *pin = &irq->pins[i];

        nv_write_u8(writer, pin->is_claimed);
        nv_write_u8(writer, pin->is_level);
        nv_write_u8(writer, pin->is_raised);
        nv_write_u64(writer, pin->entry);
    }
    if (irq->chip == NESTVIRT_CHIP_KERNEL)
        r = save_kernel(irq, writer, ret_error);
    nv_write_end(writer, mark);
    return r;
}

/* A pin that the guest knows has to be there again; one more does not matter. */
static int load_pin(struct nv_irq *irq, uint32_t number, struct nv_reader *body,
                    struct nestvirt_error **ret_error)
{
    struct nv_pin *pin = &irq->pins[number];
    bool was_claimed = nv_read_bool(body);
    bool was_level = nv_read_bool(body);
    bool was_raised = nv_read_bool(body);

    pin->entry = nv_read_u64(body);
    if (was_claimed && (!pin->is_claimed || pin->is_level != was_level))
        return nv_fail(ret_error, -EINVAL, nv_text("interrupt pin %u", number).s,
                       "claim it with nestvirt_irq_add, with the same flags, before the build",
                       "was the caller's in the template and is not here");
    pin->is_raised = was_claimed && was_raised;
    return 0;
}

int nv_irq_load(struct nv_irq *irq, struct nv_reader *reader, struct nestvirt_error **ret_error)
{
    struct nv_reader body;
    int r = nv_read_begin(reader, IRQ_RECORD, IRQ_VERSION, object, &body, ret_error);

    if (r < 0)
        return r;
    NV_GUARD(&irq->lock);
    if (nv_read_u32(&body) != irq->chip)
        return nv_bad_state(object, "it is of another kind", ret_error);
    irq->select = nv_read_u32(&body) & 0xff;
    irq->id = nv_read_u32(&body) & 0xf;
    for (uint32_t i = 0; i < NV_IOAPIC_PINS && r == 0; i++)
        r = load_pin(irq, i, &body, ret_error);
    if (r == 0 && irq->chip == NESTVIRT_CHIP_KERNEL)
        r = load_kernel(irq, &body, ret_error);
    if (r == 0)
        r = nv_read_end(&body, object, ret_error);
    if (r == 0 && irq->chip == NESTVIRT_CHIP_SPLIT)
        r = nv_ioapic_restore_routes(irq, ret_error);
    return r;
}

int nv_irq_pass(struct nv_reader *reader, struct nestvirt_error **ret_error)
{
    return nv_read_begin(reader, IRQ_RECORD, IRQ_VERSION, object, &(struct nv_reader){ 0 },
                         ret_error);
}
