"""Installs each package as a user would, in a place of its own, and uses it.

The packages lie in target/packages, or where AUDITGATE_PACKAGES says. A test that lacks
a tool says so: SKIPPED.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path(os.environ.get("AUDITGATE_PACKAGES", ROOT / "target/packages")).resolve()
TOOLS = Path(os.environ.get("AUDITGATE_TOOLS", ROOT / "target/tools")).resolve()
CHART = ROOT / "deploy/helm/auditgate"
# Bounds on waiting, in seconds: a healthy program needs a fraction of each.
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
POLL_SECONDS = 0.02
IS_ROOT = os.geteuid() == 0


def environment() -> dict[str, str]:
    """The environment, without settings of a gateway or of Python."""
    hidden = ("AUDITGATE_", "PYTHON", "VIRTUAL_ENV", "npm_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


def package(pattern: str) -> Path:
    """The package whose name matches; the test is skipped if it was not built."""
    found = sorted(PACKAGES.glob(pattern))
    if not found:
        raise unittest.SkipTest(f"SKIPPED: there is no {pattern} in {PACKAGES}")
    return found[0]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits for a condition that the process brings about."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the gateway did not start, status {process.poll()}:\n{log.read_text()}")
        time.sleep(POLL_SECONDS)


class Packages(unittest.TestCase):
    """What the tests share: a folder of their own and a gateway from a package."""

    def setUp(self) -> None:
        """Makes the folder, and takes the time."""
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="auditgate-packages-")))
        self.start = time.monotonic()

    def run_ok(self, *command: str | Path, **options: object) -> str:
        """Runs a command that must succeed; returns its output."""
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=300,
            stdin=subprocess.DEVNULL, **({"env": environment()} | options),
        )
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def gateway(self, program: Sequence[str | Path], *flags: str, **options: object) -> Iterator[str]:
        """A gateway that the program starts; gives its port, and asserts a clean end by SIGTERM."""
        port_file, log = self.folder / "port", self.folder / "gateway.log"
        flags = ("--listen", "127.0.0.1:0", "--port-file", str(port_file), *flags)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*map(str, program), "serve", *flags], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, **({"env": environment()} | options),
            )
        try:
            wait_for(lambda: port_file.exists() and port_file.read_text().endswith("\n"), process, log)
            yield port_file.read_text().strip()
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(STOP_SECONDS_MAX), 0, log.read_text())
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def assert_works(self, program: Sequence[str | Path]) -> None:
        """The program serves, emits and shows the event; prints how long it all took."""
        with self.gateway(program) as port:
            server = ("--server", f"http://127.0.0.1:{port}")
            self.run_ok(*program, "emit", "user.login", "--user", "alice", *server)
            shown = self.run_ok(*program, "search", "-o", "csv", "--fields", "type,user.name", *server)
        self.assertEqual(shown, "type,user.name\nuser.login,alice\n")
        print(f"{self.id().split('.')[-1]}: first event after {time.monotonic() - self.start:.1f} s", file=sys.stderr)


class Archive(Packages):
    """The .tar.gz, and the checksums of all packages."""

    def test_checksums_are_right(self) -> None:
        lines = package("SHA256SUMS").read_text().splitlines()
        listed = dict(reversed(line.split("  ")) for line in lines)
        files = {path.name for path in PACKAGES.iterdir()} - {"SHA256SUMS"}
        self.assertEqual(set(listed), files)
        for name, digest in listed.items():
            self.assertEqual(hashlib.sha256((PACKAGES / name).read_bytes()).hexdigest(), digest, name)

    def test_archive_unpacks_and_works(self) -> None:
        self.run_ok("tar", "-xzf", package("*-linux-gnu.tar.gz"), "-C", self.folder)
        (root,) = (path for path in self.folder.iterdir() if path.is_dir())
        self.assert_works([root / "auditgate"])
        page = root / "man/man1/auditgate-search.1"
        self.assertIn(b".TH auditgate-search 1", page.read_bytes())
        for path in ("bash-completion/completions/auditgate", "zsh/vendor-completions/_auditgate",
                     "fish/vendor_completions.d/auditgate.fish", "LICENSE", "CHANGELOG.md"):
            self.assertTrue((root / path).read_text().strip(), path)

    def test_linked_crates_are_listed_with_their_licences(self) -> None:
        sbom = json.loads(package("*.cdx.json").read_bytes())
        names = {component["name"] for component in sbom["components"]}
        # Linked; of the build alone; of the tests alone; a macro.
        self.assertLessEqual({"tonic", "rustls", "zstd-sys", "clap"}, names)
        self.assertTrue(names.isdisjoint({"protox", "prost-build", "rusqlite", "proptest", "serde_derive"}))
        for component in sbom["components"]:
            self.assertTrue(component["licenses"][0]["expression"], component)
        with tarfile.open(package("*-linux-gnu.tar.gz")) as archive:
            (member,) = (name for name in archive.getnames() if name.endswith("/THIRD-PARTY.txt"))
            text = archive.extractfile(member).read().decode()
        for component in sbom["components"]:
            self.assertIn(f"\n{component['name']} {component['version']}: ", text)
        self.assertIn("Apache License", text)

    def test_a_second_build_gives_equal_bytes(self) -> None:
        binary = os.environ.get("AUDITGATE_PACKAGES_BINARY")
        if binary is None:
            raise unittest.SkipTest("SKIPPED: AUDITGATE_PACKAGES_BINARY does not name the packaged binary")
        again = self.folder / "again"
        self.run_ok(sys.executable, ROOT / "deploy/packages/build.py", "--binary", binary, "--out", again)
        self.assertEqual((again / "SHA256SUMS").read_text(), package("SHA256SUMS").read_text())


class Registries(Packages):
    """The packages for pip and npm, each in an environment of its own."""

    def test_wheel_installs_and_works(self) -> None:
        self.run_ok(sys.executable, "-m", "venv", self.folder / "venv")
        python = self.folder / "venv/bin/python"
        self.run_ok(python, "-m", "pip", "install", "--quiet", "--no-index", package("*.whl"))
        self.assert_works([self.folder / "venv/bin/auditgate"])
        self.run_ok(python, "-m", "pip", "uninstall", "--quiet", "--yes", "auditgate")
        self.assertFalse((self.folder / "venv/bin/auditgate").exists())

    def test_npm_package_installs_and_works(self) -> None:
        if shutil.which("npm") is None:
            raise unittest.SkipTest("SKIPPED: there is no npm")
        home = environment() | {"HOME": str(self.folder), "npm_config_update_notifier": "false"}
        project = self.folder / "project"
        project.mkdir()
        (project / "package.json").write_text("{}")
        npm = ("npm", "install", "--offline", "--no-audit", "--no-fund", "--silent")
        self.run_ok(*npm, package("auditgate-[0-9]*.tgz"), cwd=project, env=home)
        shown = self.run_ok("npx", "--no-install", "auditgate", "--version", cwd=project, env=home)
        self.assertTrue(shown.startswith("auditgate "))
        self.assert_works([project / "node_modules/.bin/auditgate"])


@unittest.skipUnless(IS_ROOT, "SKIPPED: only root can mount")
class Debian(Packages):
    """The Debian package, in a copy of this machine that is thrown away."""

    @contextlib.contextmanager
    def copy(self) -> Iterator[Path]:
        """This machine's file system, with all writes in a folder of the test."""
        # An overlay cannot lie on another one, as the root of a container often is.
        parts = Path(tempfile.mkdtemp(prefix="auditgate-debian-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        for name in ("upper", "work", "root"):
            (parts / name).mkdir()
        options = f"lowerdir=/,upperdir={parts}/upper,workdir={parts}/work"
        mounted = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, parts / "root"], capture_output=True
        )
        if mounted.returncode != 0:
            shutil.rmtree(parts)
            raise unittest.SkipTest(f"SKIPPED: no overlay can be mounted: {mounted.stderr.decode().strip()}")
        try:
            self.run_ok("mount", "-t", "proc", "proc", parts / "root/proc")
            yield parts / "root"
        finally:
            subprocess.run(["umount", parts / "root/proc"], check=False)
            subprocess.run(["umount", parts / "root"], check=True)
            shutil.rmtree(parts)

    def test_package_installs_and_works_and_is_removed(self) -> None:
        deb = package("*.deb")
        if shutil.which("dpkg") is None:
            raise unittest.SkipTest("SKIPPED: there is no dpkg")
        with self.copy() as root:
            self.start = time.monotonic()
            shutil.copy(deb, root / "package.deb")
            inside = ("chroot", root)
            if not (root / "usr/sbin/adduser").exists():
                raise unittest.SkipTest("SKIPPED: there is no adduser, on which the package depends")
            self.run_ok(*inside, "dpkg", "--install", "/package.deb")
            data = (root / "var/lib/auditgate").stat()
            user = int(self.run_ok(*inside, "id", "--user", "auditgate"))
            self.assertEqual((data.st_mode & 0o7777, data.st_uid), (0o700, user))
            self.assertEqual((root / "etc/auditgate/auditgate.toml").stat().st_mode & 0o7777, 0o640)
            self.run_ok(*inside, "auditgate", "config", "check", "--config", "/etc/auditgate/auditgate.toml")
            self.assert_unit_is_right(root)
            log = ("--data-dir", "/var/lib/auditgate/log", "--config", "/etc/auditgate/auditgate.toml")
            self.assert_serves_as_user(root, log)
            self.run_ok(*inside, "dpkg", "--purge", "auditgate")
            self.assertFalse((root / "usr/bin/auditgate").exists())
            self.assertFalse((root / "etc/auditgate/auditgate.toml").exists())
            self.assertTrue((root / "var/lib/auditgate/log").is_dir(), "the log is evidence, and stays")

    def assert_unit_is_right(self, root: Path) -> None:
        """The unit starts the installed binary; systemd finds nothing wrong with it."""
        unit = (root / "usr/lib/systemd/system/auditgate.service").read_text()
        self.assertIn("ExecStart=/usr/bin/auditgate serve", unit)
        self.assertNotIn("/usr/local", unit.split("[Unit]")[1])
        if (root / "usr/bin/systemd-analyze").exists():
            self.run_ok("chroot", root, "systemd-analyze", "verify", "/usr/lib/systemd/system/auditgate.service")

    def assert_serves_as_user(self, root: Path, flags: tuple[str, ...]) -> None:
        """The gateway runs as the user of the package, with its log where the unit has it."""
        folder = root / "tmp/auditgate-test"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        log = self.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["chroot", "--userspec=auditgate:auditgate", root, "auditgate", "serve", "--listen", "127.0.0.1:0",
                 "--port-file", "/tmp/auditgate-test/port", *flags],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment(),
            )
        try:
            port = folder / "port"
            wait_for(lambda: port.exists() and port.read_text().endswith("\n"), process, log)
            server = ("--server", f"http://127.0.0.1:{port.read_text().strip()}")
            self.run_ok("chroot", root, "auditgate", "emit", "user.login", "--user", "alice", *server)
            shown = self.run_ok("chroot", root, "auditgate", "count", *server)
            self.assertIn("user.login", shown)
            print(f"debian: first event after {time.monotonic() - self.start:.1f} s", file=sys.stderr)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(STOP_SECONDS_MAX), 0, log.read_text())
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@unittest.skipUnless(IS_ROOT, "SKIPPED: only root can change the root directory")
class Image(Packages):
    """The container image, unpacked and run as a container would: its root, its user, its variables."""

    def unpack(self) -> tuple[Path, dict]:
        """The root directory of the image, and its configuration."""
        archive = package("*-image-*.tar")
        if shutil.which("umoci") is None:
            raise unittest.SkipTest("SKIPPED: there is no umoci")
        layout = self.folder / "layout"
        self.run_ok("mkdir", layout)
        self.run_ok("tar", "-xf", archive, "-C", layout)
        index = json.loads((layout / "index.json").read_text())
        (entry,) = index["manifests"]
        tag = entry["annotations"]["org.opencontainers.image.ref.name"]
        self.run_ok("umoci", "unpack", "--image", f"{layout}:{tag}", self.folder / "bundle")
        return self.folder / "bundle/rootfs", json.loads((self.folder / "bundle/config.json").read_text())

    def test_first_start_sets_up_tls_and_a_token(self) -> None:
        root, config = self.unpack()
        process = config["process"]
        self.assertEqual(process["user"]["uid"], 65532)
        self.assertFalse((root / "bin/sh").exists(), "there is no shell")
        variables = dict(line.split("=", 1) for line in process["env"])
        # Port 0, since other gateways may run on this machine; not the address, which is a container's.
        variables |= {"AUDITGATE_LISTEN": "0.0.0.0:0", "AUDITGATE_ADMIN_LISTEN": "127.0.0.1:0",
                      "AUDITGATE_PORT_FILE": "/var/lib/auditgate/port"}
        inside = ["chroot", "--userspec=65532:65532", str(root)]
        for start in ("first", "second"):
            port_file, log = root / "var/lib/auditgate/port", self.folder / f"{start}.log"
            port_file.unlink(missing_ok=True)
            with log.open("wb") as output:
                gateway = subprocess.Popen(
                    [*inside, *process["args"]], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=variables
                )
            try:
                wait_for(lambda: port_file.exists() and port_file.read_text().endswith("\n"), gateway, log)
                self.assert_is_secured(root, inside, port_file.read_text().strip(), log.read_text())
                gateway.send_signal(signal.SIGTERM)
                self.assertEqual(gateway.wait(STOP_SECONDS_MAX), 0, log.read_text())
            finally:
                if gateway.poll() is None:
                    gateway.kill()
                    gateway.wait()
            self.assertEqual("admin.token" in log.read_text(), start == "first", log.read_text())
        print(f"image: two starts after {time.monotonic() - self.start:.1f} s", file=sys.stderr)

    def assert_is_secured(self, root: Path, inside: list[str], port: str, log: str) -> None:
        """Only the token that was made gets in; it is not in the log."""
        setup = "/var/lib/auditgate/setup"
        server = ("--server", f"https://127.0.0.1:{port}", "--cacert", f"{setup}/ca.pem")
        token = (root / setup.lstrip("/") / "admin.token").read_text().strip()
        self.assertNotIn(token, log)
        self.run_ok(*inside, "/usr/bin/auditgate", "emit", "user.login", *server, "--token-file", f"{setup}/admin.token")
        denied = subprocess.run(
            [*inside, "/usr/bin/auditgate", "search", *server], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, timeout=60
        )
        self.assertNotEqual(denied.returncode, 0)
        printed = self.run_ok(*inside, "/usr/bin/auditgate", "init", setup, "--print", "admin.token")
        self.assertEqual(printed.strip(), token)


class Workflows(Packages):
    """The workflows for the project's host."""

    def test_workflows_fit_their_schema(self) -> None:
        workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
        self.assertEqual([path.name for path in workflows], ["ci.yml", "release.yml"])
        schema = ("--builtin-schema", "vendor.github-workflows")
        self.run_ok(sys.executable, "-m", "check_jsonschema", *schema, *workflows)

    def test_release_puts_machines_together(self) -> None:
        built = self.folder / "built"
        built.mkdir()
        for path in PACKAGES.iterdir():
            shutil.copy(path, built)
        release = self.folder / "release"
        self.run_ok(sys.executable, ROOT / "deploy/packages/release.py", built, "--out", release)
        # Of one machine, it is what was built.
        self.assertEqual((release / "SHA256SUMS").read_text(), package("SHA256SUMS").read_text())


# Values with which the chart is rendered: each shows another way to set it up.
VALUES = {
    "defaults": {},
    "secret": {"existingSecret": "mine", "signingKeySecret": "signing", "env": {"AUDITGATE_RETAIN_BYTES": "16GiB"}},
    "everything": {
        "hosts": ["audit.example.org"],
        "certManager": {"enabled": True, "issuerRef": {"name": "ca"}},
        "storage": {"className": "fast"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {"enabled": True, "clients": [{"podSelector": {"matchLabels": {"audit": "yes"}}}]},
        "podDisruptionBudget": {"enabled": True},
        "image": {"pullSecrets": [{"name": "registry"}]},
        "nodeSelector": {"disk": "ssd"},
        "podLabels": {"team": "security"},
        "priorityClassName": "high",
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
        "web": {"enabled": True, "port": 443, "origins": ["https://audit.example.com", "https://b.example.com:8443"]},
    },
}
# Three servers and three gateways.
CLUSTER = {
    "existingSecret": "auditgate",
    "shared": {"enabled": True, "keysSecret": "audit-keys", "userSecret": "audit-user"},
    "nats": {"enabled": True, "authorizationSecret": "nats-authorization"},
    "networkPolicy": {"enabled": True},
}
# For servers that are not of the chart.
ELSEWHERE = {"servers": ["tls://nats-1.example.org:4222", "tls://nats-2.example.org:4222"]}
# Kinds whose schemas are not Kubernetes' own.
FOREIGN = {"Certificate", "ServiceMonitor"}


class Chart(Packages):
    """The Helm chart: rendered by Helm, and held against the schemas of Kubernetes."""

    def setUp(self) -> None:
        """Finds Helm and the schemas."""
        super().setUp()
        self.helm = shutil.which("helm") or shutil.which("helm", path=str(TOOLS / "helm"))
        if self.helm is None:
            raise unittest.SkipTest("SKIPPED: there is no helm")

    def render(self, values: dict, *flags: str) -> list[dict]:
        """The objects that the packaged chart makes with these values."""
        import yaml

        file = self.folder / "values.json"
        file.write_text(json.dumps(values))
        chart = package("auditgate-chart-*.tgz")
        text = self.run_ok(self.helm, "template", "audit", chart, "--namespace", "audit", "--values", file, *flags)
        return [one for one in yaml.safe_load_all(text) if one is not None]

    def test_chart_passes_lint(self) -> None:
        self.run_ok(self.helm, "lint", "--strict", CHART)

    def test_rendered_objects_fit_the_schemas_of_kubernetes(self) -> None:
        import kubernetes_validate

        for name, values in VALUES.items():
            objects = self.render(values)
            self.assertIn("StatefulSet", {one["kind"] for one in objects})
            for one in objects:
                if one["kind"] not in FOREIGN:
                    kubernetes_validate.validate(one, "1.35", strict=True)
            kinds = {one["kind"] for one in objects}
            expected = {"Certificate", "ServiceMonitor", "NetworkPolicy", "PodDisruptionBudget"}
            self.assertEqual(kinds & expected, expected if name == "everything" else set(), name)

    def test_secrets_are_mounted_with_modes_that_the_gateway_accepts(self) -> None:
        for values in (VALUES["secret"], VALUES["everything"]):
            (pod,) = (one["spec"]["template"]["spec"] for one in self.render(values) if one["kind"] == "StatefulSet")
            self.assertTrue(pod["volumes"])
            for volume in pod["volumes"]:
                mode = (volume.get("secret") or volume["projected"])["defaultMode"]
                # Root's, and readable for the group that fsGroup names; not for others.
                self.assertEqual(mode, 0o440)
            self.assertEqual(pod["securityContext"]["fsGroup"], pod["securityContext"]["runAsGroup"])

    def test_certificate_has_the_names_of_the_service(self) -> None:
        objects = self.render(VALUES["everything"])
        (certificate,) = (one for one in objects if one["kind"] == "Certificate")
        (service,) = (one for one in objects if one["kind"] == "Service" and one["spec"].get("clusterIP") != "None")
        name = service["metadata"]["name"]
        for host in (name, f"{name}.audit", f"{name}.audit.svc.cluster.local", "audit.example.org"):
            self.assertIn(host, certificate["spec"]["dnsNames"])

    def test_page_has_a_port_where_it_is_enabled(self) -> None:
        for name, values in VALUES.items():
            enabled = name == "everything"
            objects = self.render(values)
            (pod,) = (one["spec"]["template"]["spec"] for one in objects if one["kind"] == "StatefulSet")
            (container,) = pod["containers"]
            ports = {one["name"]: one["containerPort"] for one in container["ports"]}
            env = {one["name"]: one["value"] for one in container["env"]}
            (service,) = (one for one in objects if one["kind"] == "Service" and one["spec"].get("clusterIP") != "None")
            served = {one["name"]: (one["port"], one["targetPort"]) for one in service["spec"]["ports"]}
            self.assertEqual(ports.get("web"), 51051 if enabled else None, name)
            self.assertEqual(served.get("web"), (443, "web") if enabled else None, name)
            self.assertEqual(env.get("AUDITGATE_WEB_LISTEN"), "0.0.0.0:51051" if enabled else None, name)
            if enabled:
                self.assertEqual(env["AUDITGATE_WEB_HOSTS"], "https://audit.example.com,https://b.example.com:8443")
                (policy,) = (one for one in objects if one["kind"] == "NetworkPolicy")
                opened = [one["port"] for one in policy["spec"]["ingress"][0]["ports"]]
                self.assertEqual(opened, ["grpc", "web"])

    def test_three_servers_and_three_gateways_fit_the_schemas_and_each_other(self) -> None:
        import kubernetes_validate

        for values in (CLUSTER, CLUSTER | {"nats": {"enabled": False}, "shared": CLUSTER["shared"] | ELSEWHERE}):
            objects = self.render(values)
            for one in objects:
                kubernetes_validate.validate(one, "1.35", strict=True)
            sets = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "StatefulSet"}
            gateways = sets.pop("audit-auditgate")
            (container,) = gateways["template"]["spec"]["containers"]
            env = {one["name"]: one.get("value") for one in container["env"]}
            reference = (ROOT / "docs/configuration.md").read_text()
            self.assertEqual([name for name in env if name not in reference], [])
            self.assertEqual(gateways["replicas"], 3)
            for secret in ("AUDITGATE_CLUSTER_KEY", "AUDITGATE_SIGNING_KEY", "AUDITGATE_SHARED_PASSWORD_FILE"):
                folders = [mount["mountPath"] for mount in container["volumeMounts"]]
                self.assertIn(str(Path(env[secret]).parent), folders)
            budgets = [one["spec"]["maxUnavailable"] for one in objects if one["kind"] == "PodDisruptionBudget"]
            self.assertEqual(set(budgets), {1})
            if not sets:
                self.assertEqual(env["AUDITGATE_SHARED"], ",".join(ELSEWHERE["servers"]))
                continue
            (servers,) = sets.values()
            pods = [f"{servers['serviceName']}-{number}.{servers['serviceName']}" for number in range(3)]
            self.assertEqual(servers["replicas"], 3)
            self.assertEqual(env["AUDITGATE_SHARED"], ",".join(f"nats://{pod}:4222" for pod in pods))
            self.assertEqual(env["AUDITGATE_SHARED_MONITOR"], ",".join(f"http://{pod}:8222" for pod in pods))
            self.assert_policies_let_the_gateways_reach_the_servers(objects, servers, gateways)
            (settings,) = (one["data"]["nats.conf"] for one in objects if one["kind"] == "ConfigMap")
            for needed in ("sync_interval: always", *(f'"nats://{pod}:6222"' for pod in pods)):
                self.assertIn(needed, settings)
            self.assert_nats_accepts(settings)

    def assert_policies_let_the_gateways_reach_the_servers(
        self, objects: list[dict], servers: dict, gateways: dict
    ) -> None:
        """Each selector of the policies, Services and budgets chooses the pods of one set."""
        labels = [one["template"]["metadata"]["labels"] for one in (servers, gateways)]
        for one in objects:
            spec = one.get("spec", {})
            if one["kind"] == "Service":
                selector = spec["selector"]
            elif one["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
                selector = (spec.get("podSelector") or spec["selector"])["matchLabels"]
            else:
                continue
            chosen = [set(selector.items()) <= set(own.items()) for own in labels]
            self.assertEqual(chosen.count(True), 1, one)
        policies = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "NetworkPolicy"}
        (reach,) = (rule["to"][0]["podSelector"]["matchLabels"] for rule in policies["audit-auditgate"]["egress"] if "to" in rule)
        self.assertEqual(reach, labels[0])
        (enter,) = (
            rule["from"][0]["podSelector"]["matchLabels"]
            for rule in policies["audit-auditgate-nats"]["ingress"] if rule["ports"][0]["port"] == "client"
        )
        self.assertEqual(enter.items() & labels[1].items(), enter.items())

    def assert_nats_accepts(self, settings: str) -> None:
        """A server accepts the settings, if there is one."""
        program = Path(sys.executable).parent / "nats-server"
        if not program.exists():
            print("SKIPPED: there is no nats-server, the settings were not tried", file=sys.stderr)
            return
        folder = self.folder / "nats"
        (folder / "authorization").mkdir(parents=True)
        (folder / "authorization/authorization.conf").write_text(
            'authorization { users = [{ user: gateway, password: "a" }] }'
        )
        (folder / "nats.conf").write_text(settings)
        variables = environment() | {"POD_NAME": "audit-auditgate-nats-0"}
        self.run_ok(program, "--config", folder / "nats.conf", "-t", env=variables)

    def test_mistakes_are_refused_with_a_sentence(self) -> None:
        shared = CLUSTER["shared"]
        for values, sentence in (
            ({"shared": shared, "nats": {"enabled": True}}, "needs existingSecret or certManager"),
            (CLUSTER | {"shared": shared | {"keysSecret": ""}}, "shared.keysSecret is empty"),
            (CLUSTER | {"nats": {"enabled": False}}, "shared.servers is empty"),
            (CLUSTER | {"shared": shared | ELSEWHERE}, "not both"),
            (CLUSTER | {"signingKeySecret": "a"}, "not both"),
            ({"nats": {"enabled": True}}, "only a shared log uses the servers"),
            (CLUSTER | {"nats": {"enabled": True, "replicas": 2}}, "replicas"),
            (CLUSTER | {"shared": shared | {"servers": ["nats://user:password@a"]}}, "servers"),
            ({"web": {"enabled": True, "origins": ["audit.example.com"]}}, "origins"),
            ({"existingSecret": "a", "certManager": {"enabled": True, "issuerRef": {"name": "b"}}}, "not both"),
            ({"certManager": {"enabled": True}}, "issuerRef.name is empty"),
            ({"existingsecret": "a"}, "existingsecret"),
        ):
            with self.assertRaises(AssertionError) as refused:
                self.render(values)
            self.assertIn(sentence, str(refused.exception))


if __name__ == "__main__":
    unittest.main()
