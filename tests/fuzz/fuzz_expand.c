/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "builder/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *get(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "A") == 0 ? "a/b.c d" : strcmp(name, "E") == 0 ? "" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *word = xstrndup((const char *)data, size < 4096 ? size : 4096);
	const struct expand_scope scope = { get, NULL, size && data[0] == '`' ? '`' : '\\' };
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO(error_clear) struct error first = { 0 };
	AUTO(error_clear) struct error second = { 0 };
	AUTO(error_clear) struct error third = { 0 };
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *body = NULL;

	/* What fails as one word fails as several. */
	if ((expand_word(&text, word, &scope, &first) < 0) != (expand_words(&words, word, &scope, &second) < 0))
		abort();
	expand_body(&body, word, &scope, &third);
	return 0;
}
