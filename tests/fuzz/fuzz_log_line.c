/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a line of a container's log: a container writes them, through the shim, and others may edit the file. */
#include <stdint.h>

#include "engine/log_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log_line line = { 0 };

	log_line_parse(&line, (const char *)data, size);
	log_line_fini(&line);
	return 0;
}
