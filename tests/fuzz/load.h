/* SPDX-License-Identifier: Apache-2.0 */
/* Owns loading of one fuzzed file into a guest memory that is kept from one to the next. */
#ifndef TESTS_FUZZ_LOAD_H
#define TESTS_FUZZ_LOAD_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Loads the bytes as a kernel of this format; ends the program if a promise is broken. */
void fuzz_load(const uint8_t *data, size_t size, uint32_t format);

#endif
