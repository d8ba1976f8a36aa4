/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/refusal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "json/json.h"

#define RAW_SHOWN 200

struct refusal {
	char *code;
	char *message;
};

struct refusal_list {
	JSON_ARRAY_OF(struct refusal) errors;
	char *details; /* what some token servers say instead */
	char *message;
};

static const struct json_field refusal_fields[] = {
	JSON_TEXT("code", struct refusal, code, 0),
	JSON_TEXT("message", struct refusal, message, 0),
	JSON_END,
};
static const struct json_field list_fields[] = {
	JSON_ARRAY("errors", struct refusal_list, errors, refusal_fields, 0),
	JSON_TEXT("details", struct refusal_list, details, 0),
	JSON_TEXT("message", struct refusal_list, message, 0),
	JSON_END,
};

static const struct {
	const char *code;
	enum error_kind kind;
} kinds[] = {
	{ "BLOB_UNKNOWN", ERR_NOT_FOUND },
	{ "MANIFEST_UNKNOWN", ERR_NOT_FOUND },
	{ "NAME_UNKNOWN", ERR_NOT_FOUND },
	{ "UNAUTHORIZED", ERR_UNAUTHORIZED },
	{ "DENIED", ERR_FORBIDDEN },
	{ "UNSUPPORTED", ERR_UNSUPPORTED },
	{ "TOOMANYREQUESTS", ERR_UNAVAILABLE },
	{ "UNAVAILABLE", ERR_UNAVAILABLE },
	{ "NAME_INVALID", ERR_INVALID },
	{ "TAG_INVALID", ERR_INVALID },
	{ "DIGEST_INVALID", ERR_INVALID },
	{ "MANIFEST_INVALID", ERR_INVALID },
};

static enum error_kind kind_of(const char *code, int status)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (text_equal(kinds[i].code, code))
			return kinds[i].kind;
	switch (status) {
	case 401:
		return ERR_UNAUTHORIZED;
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 400:
	case 405:
		return ERR_INVALID;
	default:
		return ERR_UNAVAILABLE;
	}
}

/* "MANIFEST_UNKNOWN" is told as "manifest unknown". */
static char *words_of(const char *code)
{
	char *words = xstrdup(code);

	for (char *c = words; *c; c++) {
		if (*c == '_')
			*c = ' ';
		else if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 32);
	}
	return words;
}

static int no_code(const struct remote_response *response, const char *said, struct error *err)
{
	enum error_kind kind = kind_of("", response->status);

	if (response->status == 401)
		return error_set(err, kind, "unauthorized: %s",
				 text_empty(said) ? "incorrect username or password" : said);
	if (response->status == 429)
		return error_set(err, kind, "toomanyrequests: %s", text_empty(said) ? "too many requests" : said);
	return error_set(err, kind, "%s answered with status %d%s%s", response->url, response->status,
			 text_empty(said) ? "" : ": ", text_or_empty(said));
}

/* Plain text of a proxy or web server; the first line is enough. */
static char *raw_text(struct remote_response *response)
{
	char *text = xstrndup(buffer_text(&response->body), RAW_SHOWN);

	text[strcspn(text, "\r\n")] = '\0';
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '<')
			*c = '\0';
	return text;
}

int refusal_error(struct remote_response *response, char **out_code, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct refusal_list list = { 0 };
	const char *code = "";
	int decoded = json_decode(&list, list_fields, buffer_text(&response->body), response->body.size, &ignored);

	if (decoded == 0 && list.errors.count && !text_empty(list.errors.items[0].code)) {
		const struct refusal *first = &list.errors.items[0];
		AUTO_FREE char *words = words_of(first->code);

		code = first->code;
		error_set(err, kind_of(code, response->status), "%s: %s", words,
			  text_empty(first->message) ? words : first->message);
	} else {
		AUTO_FREE char *raw = decoded == 0 ? NULL : raw_text(response);

		no_code(response, list.details ? list.details : list.message ? list.message : raw, err);
	}
	if (out_code)
		*out_code = xstrdup(code);
	json_free_fields(&list, list_fields);
	return -1;
}
