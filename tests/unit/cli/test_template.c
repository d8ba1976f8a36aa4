/* SPDX-License-Identifier: Apache-2.0 */
/* What Go's text/template prints for the same text; the errors are Go's too. */
#include <string.h>

#include "cli/template.h"
#include "unit/unit.h"

static const char document[] =
	"{\"Name\":\"/web\",\"Id\":\"0123456789abcdef\",\"Created\":\"2026-01-02T03:04:05Z\","
	"\"State\":{\"Status\":\"running\",\"Running\":true,\"Pid\":42,\"Ratio\":1.5},"
	"\"Config\":{\"Env\":[\"A=1\",\"B=2\",\"C=3\"],\"Labels\":{\"x\":\"y\",\"a\":\"b\"},\"Cmd\":null,\"Volumes\":"
	"null},"
	"\"Mounts\":[{\"Source\":\"/a\",\"Destination\":\"/b\"},{\"Source\":\"/c\",\"Destination\":\"/d\"}],"
	"\"NetworkSettings\":{\"Ports\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}],\"90/tcp\":null}}}";

static char *run(const char *source, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(template_freep) struct template *template = NULL;
	struct text out = { 0 };

	assert_no_error(json_value_parse(&value, document, strlen(document), err), err);
	if (template_parse(&template, source, err) < 0)
		return NULL;
	if (template_run(template, &out, template_value_of_json(value, NULL), 0, err) < 0) {
		text_fini(&out);
		return NULL;
	}
	return text_take(&out);
}

static void check(const char *source, const char *expected)
{
	AUTO(error_clear) struct error err = { 0 };
	char *out = run(source, &err);

	if (!out)
		fail_msg("%s: %s", source, err.message);
	if (strcmp(out, expected) != 0)
		fail_msg("%s: got \"%s\", expected \"%s\"", source, out, expected);
	free(out);
}

static void check_error(const char *source, const char *expected)
{
	AUTO(error_clear) struct error err = { 0 };
	char *out = run(source, &err);

	if (out)
		fail_msg("%s: printed \"%s\" instead of failing", source, out);
	assert_string_equal(err.message, expected);
}

static void test_fields(void **state)
{
	(void)state;
	check("plain", "plain");
	check("{{.Name}} {{.State.Pid}} {{.State.Running}} {{.State.Ratio}}", "/web 42 true 1.5");
	check("{{.Config.Env}} {{.Config.Labels}} {{.Config.Cmd}} {{.Config.Volumes}}",
	      "[A=1 B=2 C=3] map[a:b x:y] [] map[]");
	check("{{.Config.Labels.x}}{{.Config.Labels.nosuch}}|{{index .Config.Labels \"nosuch\"}}|", "y<no value>||");
	check("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080");
	check("{{.State.Health}}", "<nil>");
	check_error("{{.Foo}}", "template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\"");
	check_error("ab\n{{.State.Foo}}",
		    "template: :2:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\"");
}

static void test_blocks(void **state)
{
	(void)state;
	check("{{if .State.Running}}up{{else}}down{{end}}", "up");
	check("{{if not .State.Running}}a{{else if eq .State.Pid 42}}b{{else}}c{{end}}", "b");
	check("{{with .Config}}{{len .Env}}{{end}}{{with .Config.Cmd}}x{{else}}none{{end}}", "3none");
	check("{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/a:/b /c:/d ");
	check("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=b;x=y;");
	check("{{range $i, $e := .Config.Env}}{{if eq $i 1}}{{continue}}{{end}}{{$e}}{{end}}", "A=1C=3");
	check("{{range .Config.Env}}{{.}}{{break}}{{end}}{{range .Config.Cmd}}x{{else}}empty{{end}}", "A=1empty");
	check("{{$n := .Name}}{{range .Config.Env}}{{$n}}{{end}}{{$.State.Pid}}", "/web/web/web42");
	check("{{$n := 1}}{{range .Config.Env}}{{$n = .}}{{end}}{{$n}}", "C=3");
	check("a {{- .Name -}} b {{/* note */}}c\n{{- /* trim */ -}}\nd", "a/webb cd");
}

static void test_functions(void **state)
{
	(void)state;
	check("{{json .State}}", "{\"Status\":\"running\",\"Running\":true,\"Pid\":42,\"Ratio\":1.5}");
	check("{{join .Config.Env \",\"}} {{index (split \"a:b:c\" \":\") 1}} {{len (split \"\" \",\")}}",
	      "A=1,B=2,C=3 b 1");
	check("{{upper \"aB\"}}{{lower \"aB\"}}{{title \"a bc d\"}}{{truncate \"abcdef\" 3}}[{{pad \"x\" 1 2}}]",
	      "ABabA Bc Dabc[ x  ]");
	check("{{printf \"%s|%5d|%-5d|%05d|%x|%q|%v|%t|%6.2f|%%\" .Name 42 42 42 255 \"q\" .State.Pid true 3.14159}}",
	      "/web|   42|42   |00042|ff|\"q\"|42|true|  3.14|%");
	check("{{printf \"%d\" \"x\"}} {{printf \"%s\"}} {{printf \"a\" 1}}",
	      "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)");
	check("{{.Name | printf \"%-8s|\" | upper}}", "/WEB    |");
	check("{{eq 1 2 1}} {{ne \"a\" \"b\"}} {{lt 1 2}} {{le 2 2}} {{gt 1.5 1}} {{ge 1 2}}",
	      "true true true true true false");
	check("{{and 1 0 2}} {{or 0 \"\" \"x\"}} {{and true true}}", "0 x true");
	check("{{print 1 2 \"x\" 3}} {{println \"a\" 1}}{{html \"<a>\"}} {{urlquery \"a b&c\"}}",
	      "1 2x3 a 1\n&lt;a&gt; a+b%26c");
	check("{{slice .Id 0 4}} {{len .Id}} {{len .Mounts}} {{'a'}} {{0x10}} {{1e3}} {{\"\\u00e9\\t\"}} {{`r\\w`}}",
	      "0123 16 2 97 16 1000 \u00e9\t r\\w");
}

static void test_errors(void **state)
{
	(void)state;
	check_error("{{", "template: :1: unclosed action");
	check_error("{{.Name", "template: :1: unclosed action");
	check_error("{{if}}", "template: :1: missing value for if");
	check_error("{{end}}", "template: :1: unexpected {{end}}");
	check_error("{{if true}}", "template: :1: unexpected EOF");
	check_error("{{nosuch .}}", "template: :1: function \"nosuch\" not defined");
	check_error("{{$y}}", "template: :1: undefined variable \"$y\"");
	check_error("{{break}}", "template: :1: {{break}} outside {{range}}");
	check_error("{{\"abc}}", "template: :1: unterminated quoted string");
	check_error("{{index .Config.Env 9}}", "template: :1:2: executing \"\" at <index .Config.Env 9>: error calling "
					       "index: index out of range: 9");
	check_error("{{lt 1 \"a\"}}", "template: :1:2: executing \"\" at <lt 1 \"a\">: error calling lt: incompatible "
				      "types for comparison");
}

static void test_depth_is_bounded(void **state)
{
	AUTO(text_fini) struct text deep = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct template *template;

	(void)state;
	for (int i = 0; i < 1000; i++)
		text_add(&deep, "{{if true}}");
	assert_int_equal(template_parse(&template, deep.data, &err), -1);
	assert_non_null(strstr(err.message, "nested too deeply"));
}

static void test_rows(void **state)
{
	AUTO(template_freep) struct template *template = NULL;
	AUTO(json_value_freep) struct json_value *labels = NULL;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text out = { 0 };
	struct template_row row = { .type_name = "*formatter.ContainerContext" };

	(void)state;
	assert_no_error(json_value_parse(&labels, "{\"k\":\"v\"}", 9, &err), &err);
	row.labels = labels;
	text_map_set(&row.fields, "Names", "a<b");
	text_map_set(&row.fields, "ID", "1");
	assert_no_error(template_parse(&template, "{{.ID}} {{.Label \"k\"}}{{.Label \"no\"}} {{json .}}", &err), &err);
	assert_no_error(template_run(template, &out, template_value_of_row(&row), 0, &err), &err);
	assert_string_equal(out.data, "1 v {\"ID\":\"1\",\"Names\":\"a\\u003cb\"}");
	text_map_fini(&row.fields);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_blocks), cmocka_unit_test(test_functions),
		cmocka_unit_test(test_errors), cmocka_unit_test(test_rows),   cmocka_unit_test(test_depth_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
