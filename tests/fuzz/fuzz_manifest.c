/* SPDX-License-Identifier: Apache-2.0 */
/* What decodes can be encoded and decoded again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO(manifest_fini) struct manifest again = { 0 };
	AUTO(platform_fini) struct platform host = { 0 };
	AUTO_FREE char *text = NULL;

	if (manifest_decode(&manifest, (const char *)data, size, NULL, &err) < 0)
		return 0;
	text = manifest_encode(&manifest);
	if (manifest_decode(&again, text, strlen(text), NULL, &err) < 0 && manifest.kind == MANIFEST_IMAGE)
		abort();
	platform_host(&host);
	if (!error_is_set(&err))
		manifest_select(&manifest, &host, PLATFORM_RUNNABLE, &err);
	return 0;
}
