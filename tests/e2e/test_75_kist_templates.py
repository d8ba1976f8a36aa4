# SPDX-License-Identifier: Apache-2.0
"""--format is Go's template language: the same templates to the stock CLI and to kist, over a context's document.

Left out: what depends on the types of Go's structs, where kist has JSON documents ("can't evaluate field X in type Y").
"""
import os
import subprocess

from lib.docker_cli import needs_28

TEMPLATES = r"""
{{.Name}}
{{ .Name }} and {{- " trimmed " -}} !
{{.Endpoints.docker.Host}} {{.Endpoints.docker.SkipTLSVerify}}
{{json .TLSMaterial}}
{{json .Endpoints}}
{{json .Name}}
{{.TLSMaterial.docker}}
{{.TLSMaterial}}
{{index .TLSMaterial.docker 0}}
{{index .TLSMaterial "docker" 1}}
{{index .TLSMaterial.docker 9}}
{{len .TLSMaterial.docker}} {{len .Name}}
{{range .TLSMaterial.docker}}<{{.}}>{{end}}
{{range $i, $e := .TLSMaterial.docker}}{{$i}}={{$e}};{{end}}
{{range $k, $v := .TLSMaterial}}{{$k}}:{{len $v}};{{end}}
{{range $i, $e := .TLSMaterial.docker}}{{if eq $i 1}}{{break}}{{end}}{{$e}}{{end}}
{{range $i, $e := .TLSMaterial.docker}}{{if eq $i 1}}{{continue}}{{end}}{{$e}}{{end}}
{{if .Endpoints.docker.SkipTLSVerify}}yes{{else}}no{{end}}
{{if eq .Name "x"}}a{{else if eq .Name "shown"}}b{{else}}c{{end}}
{{with ""}}a{{else with .Name}}{{.}}{{end}}
{{with .Endpoints}}{{.docker.Host}} {{$.Name}}{{end}}
{{with $x := .Name}}{{$x | upper}}{{end}}
{{$x := .Name}}{{$x = upper $x}}{{$x}}
{{$a := 1}}{{range .TLSMaterial.docker}}{{$a = len .}}{{end}}{{$a}}
{{upper .Name}} {{lower "ABC"}} {{title .Name}}
{{.Name | upper | printf "%s-%d" "n" | len}}
{{join .TLSMaterial.docker ", "}}
{{split "a,b,c" ","}} {{index (split "a,b,c" ",") 1}}
{{join (split "a,b,c" ",") "+"}}
[{{pad .Name 2 3}}]
{{truncate .Name 3}} {{truncate .Name 50}}
{{printf "%q %v %5d %-5s| %05.1f %x %t %%" .Name .Name 42 "ab" 3.14159 255 true}}
{{printf "%s %d" .Name}}
{{printf "%d" .Name}}
{{printf "%T" .Name}}
{{print .Name 1 2 "x"}} {{println "a" 1}}
{{println .Name}}
{{print "a" "b" 1 2 true}}
{{slice .Name 1 3}} {{slice .Name 2}}
{{slice .TLSMaterial.docker 1 2}}
{{and .Name ""}}|{{or "" .Name}}|{{not .Name}}
{{and 1 0 2}} {{or 0 "" 3}}
{{eq 1 1}} {{eq 1 2 3 1}} {{ne "a" "b"}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1.5 2.5}}
{{eq "a" 1}}
{{lt "a" 1}}
{{if and (eq .Name "shown") (gt (len .TLSMaterial.docker) 2)}}both{{end}}
{{if not (eq .Name "shown")}}a{{else}}b{{end}}
{{html "<a & 'b'>"}} {{urlquery "a b/c?d"}} {{js "it's \"<x>\""}}
{{/* a comment */}}after
{{- /* trimmed */ -}} after
{{"quoted \"text\" \t tab"}} {{`raw \t text`}} {{'c'}}
{{1}} {{-1}} {{1.5}} {{1e3}} {{0x10}} {{true}}
{{nil}}
{{define "t"}}[{{.}}]{{end}}{{template "t" .Name}}{{template "t" 3}}
{{define "t"}}no dot{{end}}{{template "t"}}
{{define "a"}}{{template "b" .}}!{{end}}{{define "b"}}<{{.}}>{{end}}{{range .TLSMaterial.docker}}{{template "a" .}}{{end}}
{{block "list" .TLSMaterial.docker}}{{range .}}{{.}} {{end}}{{end}}
{{block "x" .Name}}{{. | upper}}{{end}} {{template "x" "again"}}
{{define "t"}}{{$}}{{end}}{{with .Metadata}}{{template "t" $.Name}}{{end}}
{{template "nosuch" .}}
{{define "t"}}{{$x}}{{end}}
{{define "t"}}unclosed
{{template}}
{{template x}}
{{define "t" .}}{{end}}
{{if true}}{{define "t"}}{{end}}{{end}}
{{.Name.Nope}}
{{nosuchfunction .}}
{{.Name
{{if .Name}}
{{end}}
{{else}}
{{.Name | nosuch}}
{{index .Name 0}}
{{index .Name 99}}
{{index 1 2}}
{{len 3}}
{{$undefined}}
{{range .Name}}x{{end}}
{{.Name .Name}}
{{"a" | "b"}}
{{()}}
{{(.Name)}} {{(index .TLSMaterial.docker 0) | upper}}
{{(.Endpoints).docker.Host}}
{{.Storage.MetadataPath | len}}
{{range 3}}{{.}}{{end}}
{{break}}
{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}
{{ range $index, $element := .TLSMaterial.docker -}} {{ $index }} {{- end }}
{{eq .Name "a" "shown"}}
""".strip("\n").splitlines()


def run(tool, folder, template):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "KIST_"))}
    environment |= {"HOME": str(folder), "DOCKER_CONFIG": str(folder)}
    argv = [tool, "context", "inspect", "shown", "--format", template]
    it = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60, check=False)
    return it.stdout, it.stderr, it.returncode


@needs_28
def test_templates_print_what_docker_prints(program, tmp_root):
    for name in ("ca", "cert", "key"):
        (tmp_root / f"{name}.pem").write_text("-")
    files = ",".join(f"{name}={tmp_root}/{name}.pem" for name in ("ca", "cert", "key"))
    subprocess.run(
        [program("kist"), "--config", tmp_root, "context", "create", "shown", "--description", "a <b>", "--docker", f"host=tcp://h:1,{files}"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    wrong = []
    for template in TEMPLATES:
        ours, theirs = run(program("kist"), tmp_root, template), run("docker", tmp_root, template)
        if ours != theirs:
            wrong.append(f"{template}\n  kist:   {ours}\n  docker: {theirs}")
    assert not wrong, f"{len(wrong)} of {len(TEMPLATES)}:\n" + "\n".join(wrong)
