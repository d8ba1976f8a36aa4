/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the grammar of distribution/reference, written out. The domain
 * is split off by docker's rule first, so the rest needs no backtracking:
 * path is everything up to the first ':' or '@'.
 */
#include "oci/reference.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DOMAIN "index.docker.io"
#define OFFICIAL_PREFIX "library/"
#define NAME_MAX_TOTAL 255
#define TAG_MAX 128
#define IDENTIFIER_SIZE 64

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_word(c) || (c >= 'A' && c <= 'Z');
}

/* One of: '.', '_', '__', any number of '-'. Its length, or 0. */
static size_t separator_length(const char *text)
{
	if (text[0] == '.')
		return 1;
	if (text[0] == '_')
		return text[1] == '_' ? 2 : 1;
	return strspn(text, "-");
}

/* [a-z0-9]+ (separator [a-z0-9]+)*: its length, or 0. */
static size_t component_length(const char *text)
{
	size_t at = 0;

	for (;;) {
		size_t separator = at ? separator_length(text + at) : 0;
		size_t word = 0;

		if (at && !separator)
			return at;
		while (is_word(text[at + separator + word]))
			word++;
		if (word == 0)
			return 0;
		at += separator + word;
	}
}

bool reference_is_path(const char *text)
{
	for (;;) {
		size_t length = component_length(text);

		if (length == 0)
			return false;
		text += length;
		if (*text == '\0')
			return true;
		if (*text++ != '/')
			return false;
	}
}

bool reference_is_tag(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > TAG_MAX || !(is_alnum(*text) || *text == '_'))
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr("_.-", *text))
			return false;
	return true;
}

/* Letters, digits and inner dashes, joined by dots: the length that fits. */
static size_t domain_name_length(const char *text)
{
	size_t at = 0;

	for (;;) {
		size_t start = at;

		while (is_alnum(text[at]) || text[at] == '-')
			at++;
		if (at == start || text[start] == '-' || text[at - 1] == '-')
			return 0;
		if (text[at] != '.')
			return at;
		at++;
	}
}

static size_t address_length(const char *text)
{
	size_t length = strspn(text + 1, "0123456789abcdefABCDEF:");

	return length && text[1 + length] == ']' ? length + 2 : 0;
}

static bool is_domain(const char *text)
{
	size_t at = *text == '[' ? address_length(text) : domain_name_length(text);

	if (at == 0)
		return false;
	text += at;
	if (*text == '\0')
		return true;
	return *text == ':' && text[1] && strspn(text + 1, "0123456789") == strlen(text + 1);
}

/* distribution/reference DigestRegexp; digest_parse() then decides what we support. */
static bool is_digest_text(const char *text)
{
	const char *colon = strchr(text, ':');
	bool start = true;

	if (!colon || strspn(colon + 1, "0123456789abcdefABCDEF") != strlen(colon + 1) || strlen(colon + 1) < 32)
		return false;
	for (; text < colon; text++) {
		bool letter = is_alnum(*text) && !(*text >= '0' && *text <= '9');

		if (start ? !letter : !is_alnum(*text) && !strchr("-_+.", *text))
			return false;
		start = !is_alnum(*text);
	}
	return !start;
}

static bool has_upper(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			return true;
	return false;
}

/* splitDockerDomain: the first part is a domain if it looks like one. */
static char *split_domain(const char *text, char **out_rest)
{
	const char *slash = strchr(text, '/');
	AUTO_FREE char *first = slash ? xstrndup(text, (size_t)(slash - text)) : NULL;
	bool is_host = first &&
		       (text_equal(first, "localhost") || strpbrk(first, ".:") || has_upper(first, strlen(first)));
	const char *rest = is_host ? slash + 1 : text;
	const char *domain = is_host && !text_equal(first, LEGACY_DOMAIN) ? first : DEFAULT_DOMAIN;

	if (text_equal(domain, DEFAULT_DOMAIN) && !strchr(rest, '/'))
		*out_rest = xasprintf(OFFICIAL_PREFIX "%s", rest);
	else
		*out_rest = xstrdup(rest);
	return xstrdup(domain);
}

static bool is_identifier(const char *text)
{
	return strlen(text) == IDENTIFIER_SIZE && strspn(text, "0123456789abcdef") == IDENTIFIER_SIZE;
}

/* Cuts ":tag" and "@digest" off `rest`, which becomes the path. */
static int parse_rest(struct reference *reference, char *rest, struct error *err)
{
	char *at = strchr(rest, '@');
	char *colon;

	if (at)
		*at++ = '\0';
	colon = strchr(rest, ':');
	if (colon)
		*colon++ = '\0';
	if (!is_domain(reference->domain) || !reference_is_path(rest) || (colon && !reference_is_tag(colon)) ||
	    (at && !is_digest_text(at)))
		return error_set(err, ERR_INVALID, "invalid reference format");
	if (strlen(rest) > NAME_MAX_TOTAL)
		return error_set(err, ERR_INVALID, "repository name must not be more than %d characters",
				 NAME_MAX_TOTAL);
	if (at && digest_parse(&reference->digest, at, err) < 0)
		return -1;
	reference->path = xstrdup(rest);
	reference->tag = xstrdup(colon);
	return 0;
}

int reference_parse(struct reference *out_reference, const char *text, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *rest = NULL;
	size_t name_size;

	if (text_empty(text))
		return error_set(err, ERR_INVALID, "invalid reference format");
	if (is_identifier(text))
		return error_set(err, ERR_INVALID,
				 "invalid repository name (%s), cannot specify 64-byte hexadecimal strings", text);
	reference.domain = split_domain(text, &rest);
	name_size = strcspn(rest, ":");
	if (has_upper(rest, name_size))
		return error_set(err, ERR_INVALID, "invalid reference format: repository name (%.*s) must be lowercase",
				 (int)name_size, rest);
	if (parse_rest(&reference, rest, err) < 0)
		return -1;
	*out_reference = reference;
	reference = (struct reference){ 0 };
	return 0;
}

void reference_fini(struct reference *reference)
{
	free(reference->domain);
	free(reference->path);
	free(reference->tag);
	*reference = (struct reference){ 0 };
}

void reference_copy(struct reference *to, const struct reference *from)
{
	to->domain = xstrdup(from->domain);
	to->path = xstrdup(from->path);
	to->tag = xstrdup(from->tag);
	to->digest = from->digest;
}

void reference_default_tag(struct reference *reference)
{
	if (!reference->tag && !digest_is_set(&reference->digest))
		reference->tag = xstrdup("latest");
}

static char *with_tag_and_digest(const struct reference *reference, const char *name)
{
	char digest[DIGEST_TEXT_MAX];
	bool has_digest = digest_is_set(&reference->digest);

	return xasprintf("%s%s%s%s%s", name, reference->tag ? ":" : "", text_or_empty(reference->tag),
			 has_digest ? "@" : "", digest_text(&reference->digest, digest));
}

char *reference_name(const struct reference *reference)
{
	return xasprintf("%s/%s", reference->domain, reference->path);
}

char *reference_format(const struct reference *reference)
{
	AUTO_FREE char *name = reference_name(reference);

	return with_tag_and_digest(reference, name);
}

/* docker.io/a.example/b must not be shortened to a.example/b: that is another domain's. */
static bool starts_like_domain(const char *path)
{
	size_t size = strcspn(path, "/");
	AUTO_FREE char *first = xstrndup(path, size);

	return path[size] && (text_equal(first, "localhost") || strchr(first, '.'));
}

char *reference_familiar_name(const struct reference *reference)
{
	const char *official = text_after(reference->path, OFFICIAL_PREFIX);

	if (!text_equal(reference->domain, DEFAULT_DOMAIN) || starts_like_domain(reference->path))
		return reference_name(reference);
	return xstrdup(official && !strchr(official, '/') ? official : reference->path);
}

char *reference_familiar(const struct reference *reference)
{
	AUTO_FREE char *name = reference_familiar_name(reference);

	return with_tag_and_digest(reference, name);
}

const char *reference_api_host(const char *domain)
{
	return text_equal(domain, DEFAULT_DOMAIN) ? "registry-1.docker.io" : domain;
}

const char *reference_auth_key(const char *domain)
{
	bool hub = text_equal(domain, DEFAULT_DOMAIN) || text_equal(domain, LEGACY_DOMAIN) ||
		   text_equal(domain, "registry-1.docker.io");

	return hub ? "https://index.docker.io/v1/" : domain;
}
