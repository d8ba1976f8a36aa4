/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/mirror_login.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "transfer/credentials.h"

/* A service of the system may have no HOME. */
static const char *home(void)
{
	const char *named = getenv("HOME");

	return text_empty(named) && geteuid() == 0 ? "/root" : named;
}

static void add_below(struct text_list *files, const char *folder, const char *name)
{
	if (!text_empty(folder))
		text_list_addf(files, "%s/%s", folder, name);
}

static void list_files(struct text_list *files)
{
	const char *named = getenv("REGISTRY_AUTH_FILE");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *docker = getenv("DOCKER_CONFIG");

	if (!text_empty(named)) {
		text_list_add(files, named);
		return;
	}
	if (text_empty(runtime))
		text_list_addf(files, "/run/containers/%u/auth.json", geteuid());
	else
		add_below(files, runtime, "containers/auth.json");
	add_below(files, home(), ".config/containers/auth.json");
	if (text_empty(docker))
		add_below(files, home(), ".docker/config.json");
	else
		add_below(files, docker, "config.json");
}

int mirror_login_find(struct message_auth *out_auth, const char *host, struct error *err)
{
	AUTO(text_list_fini) struct text_list files = { 0 };

	*out_auth = (struct message_auth){ 0 };
	list_files(&files);
	for (size_t i = 0; i < files.count; i++) {
		struct credential found = { 0 };
		int r = credentials_get(&found, files.items[i], host, err);

		if (r < 0)
			return error_prefix(err, "login for mirror %s", host);
		/* Both have the same four texts; they move. */
		*out_auth = (struct message_auth){ found.username, found.password, found.identity_token,
						   found.registry_token };
		if (r > 0)
			return 0;
		mirror_login_fini(out_auth);
	}
	return 0;
}

void mirror_login_fini(struct message_auth *auth)
{
	free(auth->username);
	free(auth->password);
	free(auth->identity_token);
	free(auth->registry_token);
	*auth = (struct message_auth){ 0 };
}
