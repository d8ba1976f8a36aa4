/* SPDX-License-Identifier: Apache-2.0 */
#include "image/request.h"

static const struct json_field login_fields[] = {
	JSON_TEXT("registry", struct image_login, registry, JSON_OMIT_EMPTY),
	JSON_TEXT("username", struct image_login, username, JSON_OMIT_EMPTY),
	JSON_TEXT("password", struct image_login, password, JSON_OMIT_EMPTY),
	JSON_TEXT("identityToken", struct image_login, identity_token, JSON_OMIT_EMPTY),
	JSON_TEXT("registryToken", struct image_login, registry_token, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field access_fields[] = {
	JSON_BOOL("insecure", struct image_access, insecure, JSON_OMIT_EMPTY),
	JSON_BOOL("verify", struct image_access, verify, JSON_OMIT_EMPTY),
	JSON_BOOL("hasLogin", struct image_access, has_login, JSON_OMIT_EMPTY),
	JSON_OBJECT("login", struct image_access, login, login_fields, JSON_OMIT_EMPTY),
	JSON_TEXT("certificates", struct image_access, certificates, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field image_request_fields[] = {
	JSON_TEXT("act", struct image_request, act, JSON_REQUIRED),
	JSON_TEXT_LIST("operands", struct image_request, operands, JSON_OMIT_EMPTY),
	JSON_ARRAY("logins", struct image_request, logins, login_fields, JSON_OMIT_EMPTY),
	JSON_OBJECT("source", struct image_request, source, access_fields, JSON_OMIT_EMPTY),
	JSON_OBJECT("destination", struct image_request, destination, access_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("all", struct image_request, all, JSON_OMIT_EMPTY),
	JSON_BOOL("preserveDigests", struct image_request, preserve_digests, JSON_OMIT_EMPTY),
	JSON_BOOL("quiet", struct image_request, quiet, JSON_OMIT_EMPTY),
	JSON_BOOL("raw", struct image_request, raw, JSON_OMIT_EMPTY),
	JSON_BOOL("config", struct image_request, config, JSON_OMIT_EMPTY),
	JSON_BOOL("force", struct image_request, force, JSON_OMIT_EMPTY),
	JSON_BOOL("byDigest", struct image_request, by_digest, JSON_OMIT_EMPTY),
	JSON_TEXT("platform", struct image_request, platform, JSON_OMIT_EMPTY),
	JSON_TEXT("format", struct image_request, format, JSON_OMIT_EMPTY),
	JSON_TEXT("output", struct image_request, output, JSON_OMIT_EMPTY),
	JSON_TEXT("artifactType", struct image_request, artifact_type, JSON_OMIT_EMPTY),
	JSON_TEXT("base", struct image_request, base, JSON_OMIT_EMPTY),
	JSON_TEXT("newBase", struct image_request, new_base, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("files", struct image_request, files, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("env", struct image_request, env, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("labels", struct image_request, labels, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("annotations", struct image_request, annotations, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("entrypoint", struct image_request, entrypoint, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("cmd", struct image_request, cmd, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("ports", struct image_request, ports, JSON_OMIT_EMPTY),
	JSON_TEXT("user", struct image_request, user, JSON_OMIT_EMPTY),
	JSON_TEXT("workdir", struct image_request, workdir, JSON_OMIT_EMPTY),
	JSON_TEXT("setPlatform", struct image_request, set_platform, JSON_OMIT_EMPTY),
	JSON_TEXT("arch", struct image_request, arch, JSON_OMIT_EMPTY),
	JSON_TEXT("os", struct image_request, os, JSON_OMIT_EMPTY),
	JSON_TEXT("variant", struct image_request, variant, JSON_OMIT_EMPTY),
	JSON_TEXT("osVersion", struct image_request, os_version, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("osFeatures", struct image_request, os_features, JSON_OMIT_EMPTY),
	JSON_BOOL("clearEntrypoint", struct image_request, clear_entrypoint, JSON_OMIT_EMPTY),
	JSON_BOOL("clearCmd", struct image_request, clear_cmd, JSON_OMIT_EMPTY),
	JSON_END,
};
