/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting a config with its own values gives a config that decodes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/image_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO(image_config_fini) struct image_config again = { 0 };
	AUTO_FREE char *text = NULL;

	if (image_config_decode(&config, (const char *)data, size, &err) < 0)
		return 0;
	text = image_config_rewrite(&config, (const char *)data, size, &err);
	if (!text || image_config_decode(&again, text, strlen(text), &err) < 0)
		abort();
	return 0;
}
