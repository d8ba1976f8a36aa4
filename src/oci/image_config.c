/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image_config.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "oci/digest.h"
#include "json/update.h"

const struct json_field image_healthcheck_fields[] = {
	JSON_TEXT_LIST("Test", struct image_healthcheck, test, JSON_OMIT_EMPTY),
	JSON_I64("Interval", struct image_healthcheck, interval_ns, JSON_OMIT_EMPTY),
	JSON_I64("Timeout", struct image_healthcheck, timeout_ns, JSON_OMIT_EMPTY),
	JSON_I64("StartPeriod", struct image_healthcheck, start_period_ns, JSON_OMIT_EMPTY),
	JSON_I64("StartInterval", struct image_healthcheck, start_interval_ns, JSON_OMIT_EMPTY),
	JSON_I64("Retries", struct image_healthcheck, retries, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field key_fields[] = { JSON_KEY(struct image_key, name), JSON_END };

const struct json_field image_run_fields[] = {
	JSON_TEXT("Hostname", struct image_run, hostname, JSON_OMIT_EMPTY),
	JSON_TEXT("Domainname", struct image_run, domainname, JSON_OMIT_EMPTY),
	JSON_TEXT("User", struct image_run, user, JSON_OMIT_EMPTY),
	JSON_MAP("ExposedPorts", struct image_run, exposed_ports, key_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("Tty", struct image_run, tty, JSON_OMIT_EMPTY),
	JSON_BOOL("OpenStdin", struct image_run, open_stdin, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("Env", struct image_run, env, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("Entrypoint", struct image_run, entrypoint, JSON_OMIT_EMPTY | JSON_TEXT_OR_LIST),
	JSON_TEXT_LIST("Cmd", struct image_run, cmd, JSON_OMIT_EMPTY | JSON_TEXT_OR_LIST),
	JSON_POINTER("Healthcheck", struct image_run, healthcheck, image_healthcheck_fields, JSON_OMIT_EMPTY),
	JSON_MAP("Volumes", struct image_run, volumes, key_fields, JSON_OMIT_EMPTY),
	JSON_TEXT("WorkingDir", struct image_run, working_dir, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("OnBuild", struct image_run, on_build, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("Labels", struct image_run, labels, JSON_OMIT_EMPTY),
	JSON_TEXT("StopSignal", struct image_run, stop_signal, JSON_OMIT_EMPTY),
	JSON_OPT_I64("StopTimeout", struct image_run, stop_timeout, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("Shell", struct image_run, shell, JSON_OMIT_EMPTY),
	JSON_BOOL("ArgsEscaped", struct image_run, args_escaped, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field rootfs_fields[] = {
	JSON_TEXT("type", struct image_rootfs, type, 0),
	JSON_TEXT_LIST("diff_ids", struct image_rootfs, diff_ids, 0),
	JSON_END,
};

static const struct json_field history_fields[] = {
	JSON_TEXT("created", struct image_history, created, JSON_OMIT_EMPTY),
	JSON_TEXT("created_by", struct image_history, created_by, JSON_OMIT_EMPTY),
	JSON_TEXT("author", struct image_history, author, JSON_OMIT_EMPTY),
	JSON_TEXT("comment", struct image_history, comment, JSON_OMIT_EMPTY),
	JSON_BOOL("empty_layer", struct image_history, empty_layer, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field image_config_fields[] = {
	JSON_TEXT("created", struct image_config, created, JSON_OMIT_EMPTY),
	JSON_TEXT("author", struct image_config, author, JSON_OMIT_EMPTY),
	JSON_TEXT("architecture", struct image_config, architecture, 0),
	JSON_TEXT("variant", struct image_config, variant, JSON_OMIT_EMPTY),
	JSON_TEXT("os", struct image_config, os, 0),
	JSON_TEXT("os.version", struct image_config, os_version, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("os.features", struct image_config, os_features, JSON_OMIT_EMPTY),
	JSON_OBJECT("config", struct image_config, config, image_run_fields, 0),
	JSON_OBJECT("rootfs", struct image_config, rootfs, rootfs_fields, 0),
	JSON_ARRAY("history", struct image_config, history, history_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

static int check_config(const struct image_config *config, struct error *err)
{
	const struct text_list *ids = &config->rootfs.diff_ids;
	struct digest digest;

	if (!text_empty(config->rootfs.type) && !text_equal(config->rootfs.type, "layers"))
		return error_set(err, ERR_INVALID, "rootfs.type is \"%s\", not \"layers\"", config->rootfs.type);
	for (size_t i = 0; i < ids->count; i++)
		if (digest_parse(&digest, ids->items[i], err) < 0)
			return error_prefix(err, "rootfs.diff_ids[%zu]", i);
	return 0;
}

int image_config_decode(struct image_config *out_config, const char *text, size_t size, struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };

	if (size > IMAGE_CONFIG_SIZE_MAX)
		return error_set(err, ERR_INVALID, "image config: larger than %d bytes", IMAGE_CONFIG_SIZE_MAX);
	if (json_decode(&config, image_config_fields, text, size, err) < 0 || check_config(&config, err) < 0)
		return error_prefix(err, "image config");
	*out_config = config;
	config = (struct image_config){ 0 };
	return 0;
}

char *image_config_encode(const struct image_config *config)
{
	return json_encode(config, image_config_fields);
}

char *image_config_rewrite(const struct image_config *config, const char *original, size_t size, struct error *err)
{
	return json_update(original, size, config, image_config_fields, err);
}

void image_config_fini(struct image_config *config)
{
	json_free_fields(config, image_config_fields);
}

void image_config_platform(const struct image_config *config, struct platform *out_platform)
{
	*out_platform = (struct platform){ .architecture = xstrdup(config->architecture),
					   .os = xstrdup(config->os),
					   .os_version = xstrdup(config->os_version),
					   .variant = xstrdup(config->variant) };
	text_list_add_all(&out_platform->os_features, &config->os_features);
}
