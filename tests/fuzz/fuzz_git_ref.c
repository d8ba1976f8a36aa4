/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "builder/git_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What git is given must not be an option, and be one line. */
static void check_remote(const char *remote)
{
	if (*remote == '-' || strpbrk(remote, "\r\n"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xstrndup((const char *)data, size < 4096 ? size : 4096);
	AUTO(error_clear) struct error err = { 0 };
	AUTO(git_ref_fini) struct git_ref ref = { 0 };
	AUTO_FREE char *form = git_ref_short_form(text, true);
	AUTO_FREE char *name = url_file_name(text);
	AUTO_FREE char *host = url_host_name(text);

	if (strchr(host, '/'))
		abort();
	if (name && (!*name || strchr(name, '/') || text_equal(name, ".") || text_equal(name, "..")))
		abort();
	if (git_ref_parse(&ref, text, &err) > 0)
		check_remote(ref.remote);
	else if (form)
		abort();
	return 0;
}
