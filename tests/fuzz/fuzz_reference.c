/* SPDX-License-Identifier: Apache-2.0 */
/* A reference that parses is a fixed point: its familiar form parses to the same full form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *normal(const char *text, char **out_familiar)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };

	if (reference_parse(&reference, text, &err) < 0)
		return NULL;
	if (out_familiar)
		*out_familiar = reference_familiar(&reference);
	return reference_format(&reference);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xstrndup((const char *)data, size);
	AUTO_FREE char *familiar = NULL;
	AUTO_FREE char *full = normal(text, &familiar);
	AUTO_FREE char *again = full ? normal(familiar, NULL) : NULL;

	if (full && (!again || strcmp(full, again) != 0))
		abort();
	return 0;
}
