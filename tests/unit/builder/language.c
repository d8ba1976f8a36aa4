/* SPDX-License-Identifier: Apache-2.0 */
/*
 * language dump FILE | expand WORD [NAME=VALUE...] | words WORD [NAME=VALUE...]: the builder's language from outside,
 * for tools/conformance/dockerfile. What is wrong goes to standard error, with exit code 1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "builder/dockerfile.h"
#include "builder/expand.h"

#define FILE_MAX (1024 * 1024)

static int dump(const char *path, struct error *err)
{
	AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *shown = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, FILE_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	if (dockerfile_parse(&dockerfile, text, size, err) < 0)
		return -1;
	shown = dockerfile_dump(dockerfile);
	fputs(shown, stdout);
	return 0;
}

static const char *get(void *arg, const char *name)
{
	return text_list_env(arg, name);
}

static int expand(const char *word, struct text_list *environment, bool split, struct error *err)
{
	const struct expand_scope scope = { get, environment, '\\' };
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO_FREE char *text = NULL;

	if ((split ? expand_words(&words, word, &scope, err) : expand_word(&text, word, &scope, err)) < 0)
		return -1;
	if (split)
		text = text_list_join(&words, ",");
	puts(text);
	return 0;
}

int main(int argc, char **argv)
{
	AUTO(text_list_fini) struct text_list environment = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	int r;

	if (argc < 3)
		return 2;
	for (int i = 3; i < argc; i++)
		text_list_add(&environment, argv[i]);
	if (text_equal(argv[1], "dump"))
		r = dump(argv[2], &err);
	else
		r = expand(argv[2], &environment, text_equal(argv[1], "words"), &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.message);
	return r < 0 ? 1 : 0;
}
