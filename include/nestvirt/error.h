/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error objects: what failed, on which object, and what to do about it.
 *
 * An error object is owned by whoever received it through ret_error and belongs to no thread.
 * It is immutable; several threads may read it at once. When memory for it ran out, a static
 * object takes its place, which may be freed like any other.
 */
#ifndef NESTVIRT_ERROR_H
#define NESTVIRT_ERROR_H

#include <nestvirt/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_error;

/*
 * Codes of the library's own, beside the negated errno values. Never renumbered.
 */
enum {
    /* Something happened that the library holds to be impossible: a defect worth a report. */
    NESTVIRT_E_BUG = -4000,
    /* All 24 pins of the interrupt controller (IOAPIC) are in use. */
    NESTVIRT_E_NO_INTERRUPT_PIN = -4001,
    /* A vCPU could not be made to leave guest mode in time. */
    NESTVIRT_E_VCPU_STUCK = -4002,
    /* Several problems at once: see nestvirt_error_get_next(). */
    NESTVIRT_E_INVALID_VM = -4003,
    /* Saved state is cut off, damaged, of another kind, or from a newer release. */
    NESTVIRT_E_BAD_STATE = -4004
};

/*
 * The negative code the call returned; in a list (NESTVIRT_E_INVALID_VM), that of this one problem.
 * -EFAULT for NULL.
 */
int nestvirt_error_get_code(const struct nestvirt_error *error);

/* The errno value (positive) of the system call that failed, 0 if none was involved. */
int nestvirt_error_get_errno(const struct nestvirt_error *error);

/* One whole sentence for people: object, problem and remedy. Owned by the error; "" for NULL. */
const char *nestvirt_error_get_message(const struct nestvirt_error *error);

/* The object alone, such as "vm web1: memory region 2". Owned by the error; "" for NULL. */
const char *nestvirt_error_get_object(const struct nestvirt_error *error);

/* The remedy alone, "" if none is known. Owned by the error. */
const char *nestvirt_error_get_hint(const struct nestvirt_error *error);

/* The next problem of a list (nestvirt_vm_validate()), NULL at the end. Owned by the first. */
const struct nestvirt_error *nestvirt_error_get_next(const struct nestvirt_error *error);

/* Frees an error and those behind it. NULL is allowed. */
void nestvirt_error_free(struct nestvirt_error *error);

/*
 * A code's name, "EINVAL" or "NESTVIRT_E_NO_INTERRUPT_PIN", and its short general meaning.
 * Accepts the negative code. Static texts, never NULL: "UNKNOWN" and "unknown code" for others.
 */
const char *nestvirt_error_code_name(int code);
const char *nestvirt_error_code_text(int code);

#ifdef __cplusplus
}
#endif

#endif
