/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: what decodes is checked, its mounts are parsed, and what is written again decodes again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/runtime_spec.h"
#include "runtime/host_check.h"
#include "runtime/mount_option.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error checked = { 0 };
	AUTO(spec_fini) struct spec spec = { 0 };
	AUTO(spec_fini) struct spec again = { 0 };
	AUTO_FREE char *text = NULL;

	if (spec_parse(&spec, (const char *)data, size, &err) < 0)
		return 0;
	host_check_spec(&spec, NULL, &checked);
	for (size_t i = 0; i < spec.mounts.count; i++) {
		AUTO(mount_options_fini) struct mount_options options = { 0 };
		AUTO(error_clear) struct error ignored = { 0 };

		mount_options_parse(&options, &spec.mounts.items[i].options, &ignored);
	}
	text = spec_format(&spec);
	if (spec_parse(&again, text, strlen(text), &err) < 0)
		abort();
	return 0;
}
