/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/message.h"

static const struct json_field auth_fields[] = {
	JSON_TEXT("username", struct message_auth, username, JSON_OMIT_EMPTY),
	JSON_TEXT("password", struct message_auth, password, JSON_OMIT_EMPTY),
	JSON_TEXT("identityToken", struct message_auth, identity_token, JSON_OMIT_EMPTY),
	JSON_TEXT("registryToken", struct message_auth, registry_token, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field blob_fields[] = {
	JSON_TEXT("digest", struct message_blob, digest, JSON_OMIT_EMPTY),
	JSON_U64("size", struct message_blob, size, JSON_OMIT_EMPTY),
	JSON_BOOL("pack", struct message_blob, pack, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("mounts", struct message_blob, mounts, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field message_request_fields[] = {
	JSON_TEXT("action", struct message_request, action, JSON_REQUIRED),
	JSON_TEXT("reference", struct message_request, reference, JSON_OMIT_EMPTY),
	JSON_TEXT("server", struct message_request, server, JSON_OMIT_EMPTY),
	JSON_POINTER("platform", struct message_request, platform, platform_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("strict", struct message_request, strict, JSON_OMIT_EMPTY),
	JSON_OBJECT("auth", struct message_request, auth, auth_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("verify", struct message_request, verify, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("insecure", struct message_request, insecure, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("mirrors", struct message_request, mirrors, JSON_OMIT_EMPTY),
	JSON_I64("peerPatience", struct message_request, peer_patience_ms, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("peers", struct message_request, peers, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("certs", struct message_request, certs, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("folders", struct message_request, folders, JSON_OMIT_EMPTY),
	JSON_I64("parallel", struct message_request, parallel, JSON_OMIT_EMPTY),
	JSON_U64("unpackedLimit", struct message_request, unpacked_limit, JSON_OMIT_EMPTY),
	JSON_I64("zstdLevel", struct message_request, zstd_level, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("known", struct message_request, known, JSON_OMIT_EMPTY),
	JSON_ARRAY("blobs", struct message_request, blobs, blob_fields, JSON_OMIT_EMPTY),
	JSON_TEXT("url", struct message_request, url, JSON_OMIT_EMPTY),
	JSON_TEXT("etag", struct message_request, etag, JSON_OMIT_EMPTY),
	JSON_TEXT("authorization", struct message_request, authorization, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field message_event_fields[] = {
	JSON_TEXT("event", struct message_event, event, JSON_REQUIRED),
	JSON_TEXT("kind", struct message_event, kind, JSON_OMIT_EMPTY),
	JSON_TEXT("mediaType", struct message_event, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("digest", struct message_event, digest, JSON_OMIT_EMPTY),
	JSON_U64("size", struct message_event, size, JSON_OMIT_EMPTY),
	JSON_TEXT("text", struct message_event, text, JSON_OMIT_EMPTY),
	JSON_U64("index", struct message_event, index, JSON_OMIT_EMPTY),
	JSON_BOOL("again", struct message_event, again, JSON_OMIT_EMPTY),
	JSON_TEXT("status", struct message_event, status, JSON_OMIT_EMPTY),
	JSON_U64("current", struct message_event, current, JSON_OMIT_EMPTY),
	JSON_U64("total", struct message_event, total, JSON_OMIT_EMPTY),
	JSON_TEXT("identityToken", struct message_event, identity_token, JSON_OMIT_EMPTY),
	JSON_I64("code", struct message_event, code, JSON_OMIT_EMPTY),
	JSON_TEXT("etag", struct message_event, etag, JSON_OMIT_EMPTY),
	JSON_TEXT("modified", struct message_event, modified, JSON_OMIT_EMPTY),
	JSON_TEXT("errorKind", struct message_event, error_kind, JSON_OMIT_EMPTY),
	JSON_TEXT("errorMessage", struct message_event, error_message, JSON_OMIT_EMPTY),
	JSON_I64("errorNumber", struct message_event, error_number, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field flag_fields[] = { JSON_BOOL("", struct message_flag, value, 0), JSON_END };

const struct json_field message_reply_fields[] = {
	JSON_BOOL("want", struct message_reply, want, JSON_OMIT_EMPTY),
	JSON_BOOL("unpack", struct message_reply, unpack, JSON_OMIT_EMPTY),
	JSON_ARRAY("have", struct message_reply, have, flag_fields, JSON_OMIT_EMPTY),
	JSON_TEXT("text", struct message_reply, text, JSON_OMIT_EMPTY),
	JSON_TEXT("mediaType", struct message_reply, media_type, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field message_fetch_fields[] = {
	JSON_TEXT("method", struct message_fetch, method, JSON_REQUIRED),
	JSON_TEXT("path", struct message_fetch, path, JSON_OMIT_EMPTY),
	JSON_TEXT("scope", struct message_fetch, scope, JSON_OMIT_EMPTY),
	JSON_BOOL("manifest", struct message_fetch, manifest, JSON_OMIT_EMPTY),
	JSON_BOOL("body", struct message_fetch, body, JSON_OMIT_EMPTY),
	JSON_BOOL("resume", struct message_fetch, resume, JSON_OMIT_EMPTY),
	JSON_BOOL("once", struct message_fetch, once, JSON_OMIT_EMPTY),
	JSON_U64("from", struct message_fetch, from, JSON_OMIT_EMPTY),
	JSON_TEXT("url", struct message_fetch, url, JSON_OMIT_EMPTY),
	JSON_TEXT("text", struct message_fetch, text, JSON_OMIT_EMPTY),
	JSON_OPT_U64("sendSize", struct message_fetch, send_size, JSON_OMIT_EMPTY),
	JSON_U64("sendOffset", struct message_fetch, send_offset, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("headers", struct message_fetch, headers, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field message_fetched_fields[] = {
	JSON_BOOL("last", struct message_fetched, last, JSON_OMIT_EMPTY),
	JSON_I64("status", struct message_fetched, status, JSON_OMIT_EMPTY),
	JSON_TEXT("mediaType", struct message_fetched, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("digest", struct message_fetched, digest, JSON_OMIT_EMPTY),
	JSON_OPT_U64("size", struct message_fetched, size, JSON_OMIT_EMPTY),
	JSON_TEXT("link", struct message_fetched, link, JSON_OMIT_EMPTY),
	JSON_TEXT("etag", struct message_fetched, etag, JSON_OMIT_EMPTY),
	JSON_U64("source", struct message_fetched, source, JSON_OMIT_EMPTY),
	JSON_TEXT("mirror", struct message_fetched, mirror, JSON_OMIT_EMPTY),
	JSON_TEXT("filters", struct message_fetched, filters, JSON_OMIT_EMPTY),
	JSON_TEXT("errorKind", struct message_fetched, error_kind, JSON_OMIT_EMPTY),
	JSON_TEXT("errorMessage", struct message_fetched, error_message, JSON_OMIT_EMPTY),
	JSON_END,
};
