/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cni/invoke.h"
#include "cni/plugin.h"

#define TIMEOUT_MS 60000

int ipam_run(const struct plugin_call *call, const struct plugin_config *config, const char *command,
	     struct cni_result *out_result, struct error *err)
{
	struct cni_call delegated = { .command = command,
				      .container = call->container,
				      .netns = call->netns,
				      .interface = call->interface,
				      .arguments = call->arguments,
				      .path = call->path,
				      .timeout_ms = TIMEOUT_MS };
	AUTO_FREE char *output = NULL;

	if (text_empty(config->ipam.type))
		return 0;
	if (cni_invoke(&output, config->ipam.type, config->text, &delegated, err) < 0)
		return -1;
	if (out_result && cni_result_parse(out_result, output, strlen(output), err) < 0)
		return error_prefix(err, "answer of CNI plugin %s", config->ipam.type);
	return 0;
}
