/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "builder/dockerfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;
	AUTO_FREE char *dump = NULL;

	if (dockerfile_parse(&dockerfile, (const char *)data, size, &err) == 0)
		dump = dockerfile_dump(dockerfile);
	return 0;
}
