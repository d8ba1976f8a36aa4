/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_auth.h"

#include "engine/image_agent.h"

#include <string.h>

#include "json/json.h"

static const struct json_field auth_fields[] = {
	JSON_TEXT("username", struct image_auth, username, 0),
	JSON_TEXT("password", struct image_auth, password, 0),
	JSON_TEXT("identitytoken", struct image_auth, identity_token, 0),
	JSON_TEXT("registrytoken", struct image_auth, registry_token, 0),
	JSON_END,
};

int image_auth_decode(struct image_auth *out_auth, const char *json, struct error *err)
{
	if (json && json_decode(out_auth, auth_fields, json, strlen(json), err) < 0)
		return error_prefix(err, "registry credentials");
	return 0;
}

void image_auth_fini(struct image_auth *auth)
{
	json_free_fields(auth, auth_fields);
}

struct session_auth image_auth_session(const struct image_auth *auth)
{
	return (struct session_auth){ auth->username, auth->password, auth->identity_token, auth->registry_token };
}

int image_agent_open(struct agent **out_agent, const struct image_agent_options *options, struct error *err)
{
	AUTO(image_auth_fini) struct image_auth auth = { 0 };
	struct session_auth session_auth;

	if (image_auth_decode(&auth, options->auth, err) < 0)
		return -1;
	session_auth = image_auth_session(&auth);
	return agent_open(out_agent,
			  &(struct agent_options){ .reference = options->reference,
						   .auth = &session_auth,
						   .settings = options->registry,
						   .cancel_fd = options->cancel_fd },
			  err);
}
