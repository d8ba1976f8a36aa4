/* SPDX-License-Identifier: Apache-2.0 */
/* Any template over a small document: no crash, no leak, always an end. */
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/template.h"

static const char document[] = "{\"Name\":\"/web\",\"State\":{\"Pid\":42,\"Ok\":true},\"List\":[\"a\",\"b\"],"
			       "\"Labels\":{\"x\":\"y\"},\"Null\":null,\"Real\":1.5}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *source = xstrndup((const char *)data, size);
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(template_freep) struct template *template = NULL;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text out = { 0 };

	if (json_value_parse(&value, document, strlen(document), &err) == 0 &&
	    template_parse(&template, source, &err) == 0)
		template_run(template, &out, template_value_of_json(value, NULL), 0, &err);
	return 0;
}
