/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "cli/template_tree.h"

#define WIDTH_MAX 1000

struct spec {
	bool minus;
	bool plus;
	bool sharp;
	bool space;
	bool zero;
	int width;
	int precision; /* -1: none */
	char verb;
};

static int read_number(const char **at)
{
	int number = 0;

	for (; isdigit((unsigned char)**at); (*at)++)
		if (number < WIDTH_MAX)
			number = number * 10 + (**at - '0');
	return number > WIDTH_MAX ? WIDTH_MAX : number;
}

static const char *read_spec(struct spec *spec, const char *at)
{
	*spec = (struct spec){ .precision = -1 };
	for (; *at && strchr("-+# 0", *at); at++) {
		spec->minus |= *at == '-';
		spec->plus |= *at == '+';
		spec->sharp |= *at == '#';
		spec->space |= *at == ' ';
		spec->zero |= *at == '0';
	}
	spec->width = read_number(&at);
	if (*at == '.') {
		at++;
		spec->precision = read_number(&at);
	}
	spec->verb = *at;
	return *at ? at + 1 : at;
}

/* Characters, not bytes. */
static int display_length(const char *text)
{
	int length = 0;

	for (; *text; text++)
		length += ((unsigned char)*text & 0xc0) != 0x80;
	return length;
}

static void add_padded(struct text *out, const struct spec *spec, const char *text, bool number)
{
	int missing = spec->width - display_length(text);
	bool zero = spec->zero && number && !spec->minus;

	if (zero && (*text == '-' || *text == '+'))
		text_add_char(out, *text++);
	for (int i = 0; !spec->minus && i < missing; i++)
		text_add_char(out, zero ? '0' : ' ');
	text_add(out, text);
	for (int i = 0; spec->minus && i < missing; i++)
		text_add_char(out, ' ');
}

static const char *type_name(const struct template_value *value)
{
	static const char *const types[] = { "<nil>",  "<nil>", "bool",	    "int",	   "float64",
					     "string", "map",	"[]string", "interface {}" };

	return types[value->kind];
}

static void add_bad(struct text *out, const struct spec *spec, const struct template_value *value)
{
	text_addf(out, "%%!%c(%s=", spec->verb, type_name(value));
	template_print(out, value);
	text_add_char(out, ')');
}

static void format_integer(struct text *text, const struct spec *spec, int64_t integer)
{
	uint64_t size = integer < 0 ? -(uint64_t)integer : (uint64_t)integer;

	if (integer < 0)
		text_add_char(text, '-');
	else if (spec->plus)
		text_add_char(text, '+');
	else if (spec->space)
		text_add_char(text, ' ');
	switch (spec->verb) {
	case 'x':
		text_addf(text, spec->sharp ? "0x%" PRIx64 : "%" PRIx64, size);
		break;
	case 'X':
		text_addf(text, spec->sharp ? "0X%" PRIX64 : "%" PRIX64, size);
		break;
	case 'o':
		text_addf(text, spec->sharp ? "0%" PRIo64 : "%" PRIo64, size);
		break;
	case 'b':
		for (int bit = 63; bit >= 0; bit--)
			if (size >> bit || bit == 0)
				text_add_char(text, size >> bit & 1 ? '1' : '0');
		break;
	default:
		text_addf(text, "%" PRIu64, size);
	}
}

static bool format_real(struct text *text, const struct spec *spec, double real)
{
	int precision = spec->precision < 0 ? 6 : spec->precision;

	if (spec->plus && real >= 0)
		text_add_char(text, '+');
	switch (spec->verb) {
	case 'f':
	case 'F':
		text_addf(text, "%.*f", precision, real);
		return true;
	case 'e':
		text_addf(text, "%.*e", precision, real);
		return true;
	case 'E':
		text_addf(text, "%.*E", precision, real);
		return true;
	case 'g':
	case 'G':
	case 'v':
		if (spec->precision >= 0) {
			text_addf(text, "%.*g", precision, real);
		} else {
			struct template_value value = { .kind = TEMPLATE_REAL, .real = real };

			template_print(text, &value);
		}
		return true;
	default:
		return false;
	}
}

static bool format_text(struct text *text, const struct spec *spec, const char *string)
{
	size_t size = strlen(string);

	if (spec->precision >= 0 && (size_t)spec->precision < size)
		size = (size_t)spec->precision;
	switch (spec->verb) {
	case 's':
	case 'v':
		if (spec->sharp)
			quote_json(text, string, size);
		else
			text_add_bytes(text, string, size);
		return true;
	case 'q':
		quote_json(text, string, size);
		return true;
	case 'x':
	case 'X':
		for (size_t i = 0; i < size; i++)
			text_addf(text, spec->verb == 'x' ? "%02x" : "%02X", (unsigned char)string[i]);
		return true;
	default:
		return false;
	}
}

/* The value alone, without padding; false if the verb does not fit it. */
static bool format_value(struct text *text, const struct spec *spec, const struct template_value *value)
{
	switch (value->kind) {
	case TEMPLATE_INTEGER:
		if (spec->verb == 'c') {
			text_add_char(text, (char)value->integer);
			return true;
		}
		if (!strchr("vdxXob", spec->verb))
			return false;
		format_integer(text, spec, value->integer);
		return true;
	case TEMPLATE_REAL:
		return format_real(text, spec, value->real);
	case TEMPLATE_TEXT:
		return format_text(text, spec, value->text);
	case TEMPLATE_BOOL:
		if (!strchr("vt", spec->verb))
			return false;
		break;
	default:
		if (!strchr("vsdq", spec->verb))
			return false;
	}
	template_print(text, value);
	return true;
}

static void add_value(struct text *out, const struct spec *spec, const struct template_value *value)
{
	AUTO(text_fini) struct text text = { 0 };

	if (spec->verb == 'T') {
		text_add(out, type_name(value));
		return;
	}
	if (!format_value(&text, spec, value)) {
		add_bad(out, spec, value);
		return;
	}
	add_padded(out, spec, text.data ? text.data : "",
		   value->kind == TEMPLATE_INTEGER || value->kind == TEMPLATE_REAL);
}

void template_printf(struct text *out, const struct template_value *args, size_t count)
{
	const char *at = args[0].text;
	size_t used = 1;
	struct spec spec;

	while (*at) {
		if (*at != '%') {
			text_add_char(out, *at++);
			continue;
		}
		at = read_spec(&spec, at + 1);
		if (spec.verb == '%')
			text_add_char(out, '%');
		else if (spec.verb == '\0')
			text_add(out, "%!(NOVERB)");
		else if (used >= count)
			text_addf(out, "%%!%c(MISSING)", spec.verb);
		else
			add_value(out, &spec, &args[used++]);
	}
	for (size_t i = used; i < count; i++) {
		text_addf(out, "%s%s=", i == used ? "%!(EXTRA " : ", ", type_name(&args[i]));
		template_print(out, &args[i]);
		if (i + 1 == count)
			text_add_char(out, ')');
	}
}
