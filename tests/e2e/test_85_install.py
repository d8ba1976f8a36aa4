# SPDX-License-Identifier: Apache-2.0
"""An installed tree runs in place, wherever it stands."""
import os
import pathlib
import re
import subprocess

import pytest

from lib import images
from lib.daemon import Daemon


@pytest.fixture(scope="module")
def tree(build_dir, tmp_path_factory):
    target = tmp_path_factory.mktemp("tree")
    subprocess.run(["meson", "install", "-C", str(build_dir), "--no-rebuild", "--destdir", str(target)], check=True, capture_output=True)
    return target / "usr/local"


def test_programs_are_where_the_readme_says(tree):
    for name in ("kist", "kistd", "kist-runtime", "kist-registry"):
        assert os.access(tree / "bin" / name, os.X_OK), name
    for name in ("kist-shim", "kist-transfer", "kist-unpack", "kist-resolve", "kist-files", "kist-git", "kist-archive", "kist-image", "kist-init", "kist-cni", "kist-proxy", "kist-sysctl", "kist-log",
                 "cni/kist-bridge", "cni/kist-firewall", "cni/kist-host-local", "cni/kist-portmap"):
        assert os.access(tree / "libexec/kist" / name, os.X_OK), name


def test_units_manuals_and_completions(tree):
    for name in ("kistd.service", "kistd.socket", "kist-registry.service"):
        text = (tree / "lib/systemd/system" / name).read_text()
        assert "@" not in text.replace("@.service", ""), text
    for name in ("man1/kist.1", "man8/kistd.8", "man8/kist-registry.8", "man8/kist-runtime.8", "man8/kist-cni.8"):
        assert (tree / "share/man" / name).exists(), name
    for name in ("bash-completion/completions/kist", "zsh/site-functions/_kist", "fish/vendor_completions.d/kist.fish"):
        assert (tree / "share" / name).exists(), name


@pytest.mark.parametrize("name", ["kistd", "kist-runtime", "kist-registry"])
def test_manuals_are_whole(tree, name):
    """Each option and each command that a program's help names. (kist.1 is made from kist's help.)"""
    told = subprocess.run([tree / "bin" / name, "--help"], capture_output=True, text=True, check=True).stdout
    manual = (tree / f"share/man/man8/{name}.8").read_text().replace("\\-", "-").replace("Fl -", "Fl --")
    commands = told.partition("COMMANDS:")[2].partition("OPTIONS:")[0]
    words = re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]+)", told, re.M) + re.findall(r"^ +([a-z]+) ", commands, re.M)
    assert len(words) > 5
    assert [word for word in words if not re.search(rf"(?<![a-z-]){word}(?![a-z-])", manual)] == []


def test_versions(tree):
    for name in ("kist", "kistd", "kist-runtime", "kist-registry"):
        run = subprocess.run([tree / "bin" / name, "--version"], capture_output=True, text=True, check=True)
        assert name in run.stdout.lower() and "0.1.0" in run.stdout, run.stdout


def test_runs_in_place(tree, tmp_root, busybox_rootfs):
    """Nothing of the build tree is needed: kistd finds its helpers beside itself."""
    def program(name):
        place = tree / "bin" / name
        return str(place if place.exists() else tree / "libexec/kist" / name)

    server = Daemon(tmp_root, program)
    server.start()
    try:
        tar = tmp_root / "busybox.tar"
        tar.write_bytes(images.tar_of(busybox_rootfs))
        server.kist("import", "-c", "CMD sh", tar, "bb")
        assert server.kist("run", "--rm", "bb", "echo", "in place").stdout == "in place\n"
    finally:
        server.finish()


@pytest.mark.usefixtures("plain")
def test_links_little(build_dir):
    """What each program may load: the budget of memory and start-up lives here."""
    allowed = {
        "cli/kist": {"libc", "libjansson", "libm", "ld-linux-x86-64", "libgcc_s"},
        "runtime/kist-runtime": set(),
        "shim/kist-shim": set(),
    }
    for name, libraries in allowed.items():
        path = pathlib.Path(build_dir) / "src" / name
        run = subprocess.run(["objdump", "-p", str(path)], capture_output=True, text=True, check=True)
        needed = {line.split()[1].split(".so")[0] for line in run.stdout.splitlines() if "NEEDED" in line}
        if not any("san" in library for library in needed):
            assert needed <= libraries, f"{name} links {needed - libraries}"
