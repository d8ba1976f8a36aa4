/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any Authorization header and any scope: a header we did not make gives nobody a name or a right; a token we made gives
 * back its user and not more than was asked for.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "registryd/access.h"

/* Of a password nobody has. */
#define USERS "me:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct access *open_access(void)
{
	static struct access_config config = { .token = true, .token_life_s = 300 };
	static char users[] = "/tmp/fuzz-users-XXXXXX";
	AUTO(error_clear) struct error err = { 0 };
	struct access *access = NULL;
	int fd = mkstemp(users);
	AUTO_FREE char *secret = xasprintf("%s.secret", users);

	if (fd < 0 || write(fd, USERS, strlen(USERS)) < 0)
		abort();
	close(fd);
	config.htpasswd = users;
	config.service = xstrdup("kist-registry");
	if (access_open(&access, &config, secret, &err) < 0)
		abort();
	unlink(secret);
	return access;
}

static void try_header(struct access *access, const char *header)
{
	AUTO(access_caller_fini) struct access_caller caller = { 0 };
	AUTO(error_clear) struct error err = { 0 };

	/* bcrypt is slow, and not ours. */
	if (strncmp(header, "Basic", 5) != 0 && access_identify(&caller, access, header, &err) > 0 && caller.user)
		abort();
}

static void try_scope(struct access *access, const char *scope)
{
	AUTO(text_list_fini) struct text_list scopes = { 0 };
	AUTO(access_caller_fini) struct access_caller caller = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *token = NULL;
	AUTO_FREE char *header = NULL;

	text_list_split(&scopes, scope, ' ');
	token = access_issue(access, "me", &scopes, false);
	header = xasprintf("Bearer %s", token);
	if (access_identify(&caller, access, header, &err) != 1 || strcmp(caller.user, "me") != 0)
		abort();
	if (access_allows(access, &caller, "not/asked/for/by/anybody", ACCESS_PULL) &&
	    !strstr(scope, "not/asked/for/by/anybody"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct access *access;
	AUTO_FREE char *text = xstrndup((const char *)data, size);

	if (!access)
		access = open_access();
	try_header(access, text);
	try_scope(access, text);
	return 0;
}
