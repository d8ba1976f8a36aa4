/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hint.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/suggest.h"
#include "base/text.h"

static const struct {
	const char *words;
	const char *more; /* NULL, or these too */
	const char *hint;
} hints[] = {
	{ "No such container", NULL, "'kist ps -a' lists containers" },
	{ "No such object", NULL, "'kist ps -a', 'images', 'volume ls' and 'network ls' list what there is" },
	{ "No such image", NULL, "'kist images' lists images, 'kist pull NAME' fetches one" },
	{ "network ", " not found", "'kist network ls' lists networks, 'kist network create NAME' makes one" },
	{ "no such volume", NULL, "'kist volume ls' lists volumes" },
	{ "container", " is not running", "'kist start NAME' starts it, 'kist explain NAME' says why it ended" },
	{ "cannot attach to a stopped container", NULL, "'kist start -ai NAME' does both" },
	{ "executable file not found in $PATH", NULL,
	  "is that the command's name in the image? 'kist inspect --format {{.Config.Cmd}} IMAGE' says what it runs" },
	{ "must specify at least one container source", NULL, "a file of a container is CONTAINER:PATH" },
	{ "the input device is not a TTY", NULL, "leave out -t, or run it in a terminal" },
	{ "(must force)", NULL, "'kist rm CONTAINER' first, or 'kist rmi -f'" },
	{ "container is running: stop the container", NULL, "'kist rm -f' does both" },
	{ "is already in use by container", NULL, "'kist rm NAME' removes it, 'kist rename NAME OTHER' keeps it" },
	{ "no such host", NULL, "is the registry's name right, and does /etc/resolv.conf name a server that answers?" },
	{ "invalid filter", NULL,
	  "containers have ancestor, before, exited, expose, health, id, label, name, network, publish, since, status, "
	  "volume; images before, dangling, label, reference, since, until; volumes dangling, driver, label, name; "
	  "networks dangling, driver, id, label, name, scope, type; events also container, event, image, type" },
	{ "mount path must be absolute", NULL,
	  "-v takes SOURCE:/PATH/IN/THE/CONTAINER, or /PATH/IN/THE/CONTAINER alone" },
	{ "context not found", NULL, "'kist context ls' lists contexts" },
	{ "evaluate symlinks in Dockerfile path", NULL, "'kist build -f FILE .' builds with a file of another name" },
	{ "invalid CIDR address", NULL, "a subnet is 10.1.0.0/16" },
	{ "port is already allocated", NULL, "'kist ps --filter publish=PORT' says by which container" },
};

void hint_print(const char *message)
{
	if (!isatty(STDERR_FILENO))
		return;
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		const char *found = strstr(text_or_empty(message), hints[i].words);

		if (!found || (hints[i].more && !strstr(found, hints[i].more)))
			continue;
		fprintf(stderr, "\nHint: %s\n", hints[i].hint);
		return;
	}
}

void hint_print_flag(const char *message, const struct option_spec *options)
{
	const char *word = text_after(text_or_empty(message), "unknown flag: --");
	struct suggestion best = { 0 };

	if (!word || !options || !isatty(STDERR_FILENO))
		return;
	for (; options->name || options->letter; options++)
		if (options->name)
			suggest_offer(&best, word, options->name);
	if (best.word)
		fprintf(stderr, "\nHint: did you mean --%s?\n", best.word);
}
