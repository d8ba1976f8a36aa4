/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/quote.h"
#include "runtime/command.h"
#include "runtime/examine.h"

struct check_options {
	const char *bundle;
	const char *format;
};

static const struct option_spec check_table[] = {
	OPTION_TEXT("bundle", 'b', struct check_options, bundle, "dir", "folder of config.json (default: .)"),
	OPTION_TEXT("format", 'f', struct check_options, format, "text|json", "form of the list"),
	OPTION_END,
};

static const char *level_of(const struct finding *finding)
{
	return finding->warning ? "warning" : "error";
}

static void print_text(const struct findings *found)
{
	for (size_t i = 0; i < found->count; i++)
		printf("%-7s %s: %s\n", level_of(&found->items[i]), found->items[i].pointer, found->items[i].message);
}

static void print_json(const struct findings *found)
{
	AUTO(text_fini) struct text out = { 0 };

	for (size_t i = 0; i < found->count; i++) {
		const struct finding *finding = &found->items[i];

		text_addf(&out, "%s{\"level\":\"%s\",\"pointer\":", i ? "," : "", level_of(finding));
		quote_json(&out, finding->pointer, strlen(finding->pointer));
		text_add(&out, ",\"message\":");
		quote_json(&out, finding->message, strlen(finding->message));
		text_add_char(&out, '}');
	}
	printf("[%s]\n", out.size ? out.data : "");
}

/* 0: a container can be made of it, as far as can be seen; 1: it cannot. */
int command_check(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(findings_fini) struct findings found = { 0 };
	struct check_options options = { .bundle = ".", .format = "text" };
	int r = command_parse(check_table, &options, argc, argv, 0, &operands, 0, 1, err);

	if (r <= 0)
		return r;
	if (!text_equal(options.format, "text") && !text_equal(options.format, "json"))
		return error_set(err, ERR_INVALID, "invalid format option \"%s\"", options.format);
	if (examine_bundle(&found, runtime, operands.count ? operands.items[0] : options.bundle, err) < 0)
		return -1;
	(text_equal(options.format, "json") ? print_json : print_text)(&found);
	for (size_t i = 0; i < found.count; i++)
		if (!found.items[i].warning)
			return 1;
	return 0;
}
