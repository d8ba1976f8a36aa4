# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: private roots, base images, a registry, a daemon.

Every test works in a short folder of its own below /tmp, with its own sockets,
bridge and firewall table, and ends by checking that nothing is left of it.
KIST_BUILD_DIR names the build folder (default: build/ in the checkout).
"""
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lib import images, leaks  # noqa: E402
from lib.daemon import Daemon  # noqa: E402
from lib.kist_registry import KistRegistry  # noqa: E402
from lib.registry import Registry  # noqa: E402
from lib.runtime_box import disown_orphans  # noqa: E402

# A job in the background of a shell is born deaf to SIGINT, and so would be all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# The files that take longest begin first, so that none is alone at the end.
LONG = ("test_96_faults.py", "test_79_differential.py", "test_53_build_peers.py", "test_64_network_extremes.py", "test_40_registry.py",
        "test_71_engine.py", "test_75_kist_cli.py", "test_30_image.py", "test_80_bad_input.py", "test_10_runtime.py",
        "test_63_compose_1.py")  # fmt: skip


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="module", autouse=True)
def orphans_leave():
    """Who adopts orphans (lib.runtime_box) does so for its file: zombies that nobody reaps keep pid namespaces alive."""
    yield
    disown_orphans()


@pytest.fixture(scope="session")
def build_dir():
    """The meson build folder whose programs are tested."""
    path = pathlib.Path(os.environ.get("KIST_BUILD_DIR", CHECKOUT / "build")).resolve()
    if not path.is_dir():
        pytest.exit(f"no build folder at {path}: run make first, or set KIST_BUILD_DIR")
    return path


@pytest.fixture(scope="session")
def sanitized(build_dir):
    """The programs run under a sanitizer: their size, memory and libraries are not ours."""
    options = json.loads((build_dir / "meson-info/intro-buildoptions.json").read_text())
    return any(option["name"] == "b_sanitize" and option["value"] != "none" for option in options)


@pytest.fixture
def plain(sanitized):
    """For tests of what a sanitizer changes; the same tests run on the plain build too."""
    if sanitized:
        pytest.skip("measures the plain build")


@pytest.fixture(scope="session")
def program(build_dir):
    """program("kistd") is the path of one of our programs in the build folder."""
    rooms = {
        "kist": "cli",
        "kistd": "daemon",
        "kist-runtime": "runtime",
        "kist-registry": "registryd",
        "kist-shim": "shim",
        "kist-transfer": "transfer",
        "kist-unpack": "archive",
        "kist-resolve": "resolver",
        "kist-init": "init",
        "kist-archive": "archive",
        "kist-files": "archive",
        "kist-git": "git",
        "kist-cni": "cni",
        "kist-proxy": "network",
        "kist-sysctl": "network",
        "kist-log": "logs",
        "kist-image": "image",
    }

    def find(name):
        path = build_dir / "src" / rooms[name] / name
        assert path.exists(), f"{path} is not built"
        return str(path)

    return find


def _private_folder():
    # Short: a unix socket's path must fit in 107 bytes.
    return pathlib.Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))


@pytest.fixture
def tmp_root():
    """A private folder; the test fails if processes or mounts of it are left at its end."""
    path = _private_folder()
    yield path
    left = leaks.find(str(path))
    leaks.clean(str(path))
    shutil.rmtree(path, ignore_errors=True)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture(scope="session")
def session_root():
    path = _private_folder()
    yield path
    leaks.clean(str(path))
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def busybox_rootfs(session_root):
    """A root filesystem of Debian's static busybox. Copy it before you write to it."""
    return images.busybox_rootfs(session_root / "busybox")


@pytest.fixture(scope="session")
def busybox_tar(session_root, busybox_rootfs):
    """That filesystem as `docker import` takes it."""
    path = session_root / "busybox.tar"
    path.write_bytes(images.tar_of(busybox_rootfs))
    return path


@pytest.fixture(scope="session")
def busybox_layout(session_root, busybox_rootfs):
    """An OCI layout that holds that filesystem as image `busybox` (CMD sh)."""
    return images.oci_layout(session_root / "layout", busybox_rootfs)


@pytest.fixture(scope="session")
def registry(session_root, busybox_layout):
    """Debian's docker-registry on loopback, holding busybox:latest and busybox:1."""
    server = Registry(session_root / "registry")
    server.start()
    for tag in ("latest", "1"):
        server.push(busybox_layout, f"busybox:{tag}")
    yield server
    server.stop()


@pytest.fixture
def daemon(tmp_root, program):
    """A running kistd with everything of its own; stopped and checked for leaks at the end."""
    server = Daemon(tmp_root, program)
    server.start()
    yield server
    server.finish()


@pytest.fixture(scope="module")
def shared_daemon(program):
    """One kistd for all tests of a file that do not disturb each other; cheaper than `daemon`."""
    path = _private_folder()
    server = Daemon(path, program)
    server.start()
    yield server
    server.finish()
    left = leaks.find(str(path))
    leaks.clean(str(path))
    shutil.rmtree(path, ignore_errors=True)
    assert not left, "left behind: " + "; ".join(left)


def _with_busybox(server, tar):
    server.docker("import", "-c", 'CMD ["sh"]', tar, "busybox:latest")
    return server


@pytest.fixture
def own(daemon, busybox_tar):
    """`daemon` with the image busybox:latest."""
    return _with_busybox(daemon, busybox_tar)


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    """`shared_daemon` with the image busybox:latest."""
    return _with_busybox(shared_daemon, busybox_tar)


@pytest.fixture
def context(tmp_path):
    """context(dockerfile, {name: content}) makes a folder to build."""

    def make(dockerfile, files=None, name="context"):
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        (path / "Dockerfile").write_text(dockerfile)
        for file, content in (files or {}).items():
            target = path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        return path

    return make


@pytest.fixture
def start_registry(tmp_root, program):
    """start_registry(config, folder) starts a kist-registry with this registry.json; it is stopped at the end."""
    servers = []

    def start(config, folder="r"):
        path = tmp_root / "registry.json"
        path.write_text(json.dumps(config))
        server = KistRegistry(tmp_root / folder, program("kist-registry"), ["--config", path])
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def ours(tmp_root, program):
    """A kist-registry as it is without a word."""
    server = KistRegistry(tmp_root / "r", program("kist-registry"))
    server.start()
    yield server
    server.stop()
