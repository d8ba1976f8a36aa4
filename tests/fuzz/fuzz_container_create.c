/* SPDX-License-Identifier: Apache-2.0 */
/* The body of POST /containers/create: decode, encode, decode again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "engine/container_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	struct container_create_request request = { 0 };
	AUTO_FREE char *json = NULL;

	if (container_create_request_decode(&request, (const char *)data, size, &err) < 0)
		return 0;
	json = json_encode(&request.host, host_config_fields);
	container_create_request_fini(&request);
	return 0;
}
