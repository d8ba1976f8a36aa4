# SPDX-License-Identifier: Apache-2.0
"""Section of bench/run about docker build: the same Dockerfiles beside dockerd's BuildKit and buildah."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess

from oci import run

CONTEXT_MB = 500
FILE_MB = 1
STAGES = 10
LAYER_MB = 1000
# Rounds of each row: whole section in less than four minutes.
ROUNDS = {"cached": 8, "changed": 4, "stages": 4, "export": 2}
SLOW_ROUNDS = 2  # buildah's

STAGE = """FROM {base} AS s{number}
ARG stamp
RUN i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.5; echo $stamp {number} > /made{number}
"""


class Builds:
    """Part of Bench: uses its engines and rows."""

    def find_buildx(self):
        beside = pathlib.Path(self.docker)
        places = [beside.with_name("docker-buildx"), beside.resolve().with_name("docker-buildx"),
                  *(pathlib.Path(f"/usr/{place}/docker/cli-plugins/docker-buildx") for place in ("libexec", "lib"))]  # fmt: skip
        return next((place for place in [os.environ.get("KIST_BUILDX"), *places] if place and pathlib.Path(place).exists()), None)

    def builders(self, folder):
        """{name: (argv of a build up to its options, environment)}; the stock client asks both engines in BuildKit's way."""
        environment = {name: dict(engine.environment, DOCKER_BUILDKIT="1", BUILDX_NO_DEFAULT_ATTESTATIONS="1")
                       for name, engine in (("kistd", self.kistd), ("dockerd", self.dockerd))}  # fmt: skip
        buildx = self.find_buildx()
        for environ in environment.values():
            plugins = pathlib.Path(environ["DOCKER_CONFIG"]) / "cli-plugins"
            if buildx and not (plugins / "docker-buildx").exists():
                plugins.mkdir(parents=True, exist_ok=True)
                (plugins / "docker-buildx").symlink_to(buildx)
        build = [self.docker, "build", "-q", "--network", "none"]
        found = {name: (build, environ) for name, environ in environment.items()}
        found["kist"] = ([self.program("kist"), "build", "-q", "--network", "none"], self.kistd.environment)
        if shutil.which("buildah"):
            storage = ["buildah", "--root", folder / "buildah", "--runroot", self.state / "buildah"]
            layout = self.root / "layout"
            done = run(*storage, "pull", "-q", f"oci:{layout}:{self.layout_name(layout)}", check=False)
            if done.returncode == 0:
                run(*storage, "tag", done.stdout.strip(), "localhost/bench:latest")
                found["buildah"] = ([*storage, "bud", "-q", "--layers", "--isolation", "chroot", "--network", "host", "--jobs", str(STAGES)], None)
                self.buildah = storage
        return found

    @staticmethod
    def layout_name(layout):
        index = json.loads((layout / "index.json").read_text())
        return index["manifests"][0].get("annotations", {}).get("org.opencontainers.image.ref.name", "")

    def built(self, what, commands, environment, prepare=None):
        """Medians; the first round fills the caches. buildah, which takes seconds, has rounds of its own."""
        slow = {name: argv for name, argv in commands.items() if name == "buildah"}
        fast = {name: argv for name, argv in commands.items() if name != "buildah"}
        times = self.alternate(fast, ROUNDS[what], environment, prepare) | self.alternate(slow, SLOW_ROUNDS, environment, prepare)
        return {name: statistics.median(values[1:]) for name, values in times.items()}

    def rows_of(self, work, seconds, budgets, scale=1, unit="s", ours=("kistd",)):
        """A row beside each peer: what the stock client sees of ours, and kist's own client."""
        names = {"kistd": "", "kist": ", `kist build`"}
        for mine in ours:
            for peer, title in (("dockerd", f"{self.peer()}, BuildKit"), ("buildah", "buildah")):
                if peer in seconds and peer in budgets:
                    self.row(work + names[mine], seconds[mine] * scale, seconds[peer] * scale, title, budgets[peer], unit)

    def builds(self):
        self.engines()
        folder = self.root / "builds"
        folder.mkdir()
        builders = self.builders(folder)
        environment = {name: environ for name, (_, environ) in builders.items()}
        try:
            self.build_cached(folder, builders, environment)
            self.build_changed(folder, builders, environment)
            self.build_stages(folder, builders, environment)
            self.build_export(folder, builders, environment)
        finally:
            if "buildah" in builders:
                run(*self.buildah, "rmi", "--all", "--force", check=False)
            for name, engine in (("kistd", self.kistd), ("dockerd", self.dockerd)):
                run(self.docker, "builder", "prune", "-af", env=environment[name], check=False)

    @staticmethod
    def base(name):
        return "localhost/bench" if name == "buildah" else "bench"

    def contexts(self, folder, builders, text, files=()):
        """A folder for each: {name: argv}. Dockerfiles differ in the base's name only."""
        commands = {}
        for name, (argv, _) in builders.items():
            path = folder / name
            path.mkdir(parents=True)
            for file, data in files:
                (path / file).write_bytes(data)
            (path / "Dockerfile").write_text(text.replace("{base}", self.base(name)))
            commands[name] = [*argv, path]
        return commands

    def build_cached(self, folder, builders, environment):
        lines = [f"RUN echo {n} > /f{n}" if n % 4 else f"COPY x /x{n}" for n in range(20)]
        commands = self.contexts(folder / "cached", builders, "FROM {base}\n" + "\n".join(lines) + "\n", [("x", b"x")])
        seconds = self.built("cached", commands, environment)
        self.rows_of("build of 20 steps, all cached", seconds, {"dockerd": "<= 50 ms, <= 0.2 x", "buildah": "<= 50 ms, <= 0.2 x"}, 1000, "ms", ("kist",))
        self.rows_of("the same by the stock client, whose own start is most of it", seconds, {"dockerd": "ahead"}, 1000, "ms")

    def build_changed(self, folder, builders, environment):
        """Ours by the stock client only: kist's own sends all of a folder."""
        some = {name: one for name, one in builders.items() if name != "kist"}
        files = [(f"file{n}", os.urandom(FILE_MB * 1_000_000)) for n in range(CONTEXT_MB // FILE_MB)]
        text = "FROM {base}\n" + "".join(f"COPY file{n}* /to{n}/\n" for n in range(10))
        commands = self.contexts(folder / "changed", some, text, files)
        count = iter(range(1000))

        def change(name):
            (folder / "changed" / name / "file7").write_bytes(f"{next(count)}\n".encode() * 1000)
            subprocess.run(["sync"], check=True)

        seconds = self.built("changed", commands, environment, change)
        self.rows_of(f"build, one changed file of a {CONTEXT_MB} MB context", seconds, {"dockerd": "ahead", "buildah": "ahead"})
        shutil.rmtree(folder / "changed")

    def build_stages(self, folder, builders, environment):
        some = {name: one for name, one in builders.items() if name != "kist"}
        text = "".join(STAGE.replace("{number}", str(n)) for n in range(STAGES)) + "FROM {base}\n"
        text += "".join(f"COPY --from=s{n} /made{n} /made{n}\n" for n in range(STAGES))
        commands = self.contexts(folder / "stages", some, text)
        count = iter(range(1000))

        def change(name):
            dockerfile = folder / "stages" / name / "Dockerfile"
            rest = dockerfile.read_text().split("\n", 1)[1] if dockerfile.read_text().startswith("ARG") else dockerfile.read_text()
            dockerfile.write_text(f"ARG stamp={next(count)}\n{rest}")

        seconds = self.built("stages", commands, environment, change)
        self.rows_of(f"build of {STAGES} stages that need not wait for each other", seconds, {"dockerd": "ahead", "buildah": "ahead"})

    def build_export(self, folder, builders, environment):
        """The layer is made before; what is measured is the archive that comes out."""
        some = {name: one for name, one in builders.items() if name != "kist"}
        text = f"FROM {{base}}\nRUN head -c {LAYER_MB}000000 /dev/urandom > /big\n"
        for name, argv in self.contexts(folder / "export", some, text).items():
            run(*argv[:-1], "-t", "bench-big", argv[-1], env=environment[name])
        save = ["sh", "-c", f"{self.docker} save bench-big > /dev/null"]
        commands = {"kistd": save, "dockerd": save}
        if "buildah" in some:
            words = " ".join(str(word) for word in self.buildah)
            commands["buildah"] = ["sh", "-c", f"rm -f {folder}/big; {words} push -q bench-big docker-archive:{folder}/big"]
        seconds = self.built("export", commands, environment)
        self.rows_of(f"export of a {LAYER_MB} MB layer", seconds, {"dockerd": "ahead", "buildah": "ahead"})
        for name in ("kistd", "dockerd"):
            run(self.docker, "rmi", "-f", "bench-big", env=environment[name], check=False)
