"""Each alert fires when its fault is injected, and clears when that is over.

A real Prometheus scrapes real gateways and evaluates deploy/prometheus/rules.yaml every second;
only the waiting times in the rules are shortened. Faults that need a broken device are shown to
fire by `promtool test rules` on deploy/prometheus/rules_test.yaml. Without Prometheus the tests
say so: SKIPPED.
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("AUDITGATE_TEST_TARGET", ROOT / "target")).resolve()
BINARY = TARGET / "debug/auditgate"
RULES = ROOT / "deploy/prometheus/rules.yaml"
# How long an alert may take to fire or clear, and a program to start or stop, in seconds.
ALERT_SECONDS_MAX = 60
START_SECONDS_MAX = 60
POLL_SECONDS = 0.1
# A volume that is full soon: a few segments and the tree.
VOLUME_BYTES = 64 * 1024 * 1024
# Alerts that only `promtool test rules` shows: their faults need a wrong clock, a broken device,
# a full table of files, clients that hold tens of MiB for a minute, or a quarter of an hour.
BY_PROMTOOL = {
    "AuditgateAccountsNearlyFull", "AuditgateClock", "AuditgateDeliveryBehind", "AuditgateFilesNearlyUsedUp",
    "AuditgateLogFailed", "AuditgateProofStopped",
}
# A NATS server, which keeps a shared log.
NATS = Path(os.environ.get("AUDITGATE_NATS_SERVER", TARGET / "venv/bin/nats-server"))


def environment() -> dict[str, str]:
    """The environment, without settings of a gateway."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AUDITGATE_")}


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what: str, condition: Callable[[], bool], seconds: float = ALERT_SECONDS_MAX) -> float:
    """Waits for a condition; returns how long that took, in seconds."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - start


class Gateway:
    """A gateway with an admin port of its own, which can be stopped and started again."""

    def __init__(self, folder: Path, *flags: str) -> None:
        """Starts it; its files lie in `folder`."""
        self.folder, self.flags = folder, flags
        self.port, self.admin = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        addresses = ("--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin}")
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", *addresses, *self.flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment(),
            )
        wait_until("the gateway answers", self.answers, START_SECONDS_MAX)

    def answers(self) -> bool:
        """Whether it answers; fails if it has ended."""
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "gateway.log").read_text())
        with contextlib.suppress(OSError, urllib.error.URLError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/livez", timeout=2).status == 200
        return False

    def stop(self) -> None:
        """Stops it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(START_SECONDS_MAX)

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)


class NatsServer:
    """A server with a monitor, which can be stopped and started again with what it has stored."""

    def __init__(self, folder: Path) -> None:
        """Starts it; its files lie in `folder`."""
        self.folder, self.port, self.monitor = folder, free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start("always")

    def start(self, sync_interval: str) -> None:
        """Starts it, and waits until it answers."""
        settings = self.folder / "nats.conf"
        settings.write_text(
            f'listen: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\nmax_payload: 8MB\n'
            f'jetstream {{ store_dir: "{self.folder}/store", sync_interval: {sync_interval} }}\n'
        )
        self.process = subprocess.Popen(
            [NATS, "--config", settings], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until("the NATS server is healthy", self.is_healthy, START_SECONDS_MAX)

    def is_healthy(self) -> bool:
        """Whether it serves its streams."""
        with contextlib.suppress(OSError, urllib.error.URLError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/healthz", timeout=2).status == 200
        return False

    def stop(self) -> None:
        """Stops it in order."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(START_SECONDS_MAX)

    def publish(self, subject: str, message: bytes) -> None:
        """Publishes a message, as any client may."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(b'CONNECT {"verbose":false}\r\nPUB %s %d\r\n%s\r\nPING\r\n' % (
                subject.encode(), len(message), message,
            ))
            answer = b""
            while b"PONG" not in answer:
                answer += client.recv(4096)


class Alerts(unittest.TestCase):
    """The alerts, one after the other."""

    def setUp(self) -> None:
        """Starts Prometheus, which finds the gateways in a file."""
        if shutil.which("prometheus") is None:
            raise unittest.SkipTest("SKIPPED: there is no prometheus")
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="auditgate-alerts-")))
        self.seconds: dict[str, tuple[float, float]] = {}
        rules = re.sub(r"for: \d+m", "for: 1s", RULES.read_text())
        (self.folder / "rules.yaml").write_text(re.sub(r"\[(5|10)m\]", "[8s]", rules))
        self.targets = self.folder / "targets.json"
        self.targets.write_text("[]")
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / "rules.yaml")],
            "scrape_configs": [
                {"job_name": "auditgate", "file_sd_configs": [{"files": [str(self.targets)], "refresh_interval": "1s"}]}
            ],
        }
        (self.folder / "prometheus.json").write_text(json.dumps(config))
        self.prometheus = free_port()
        with (self.folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                ["prometheus", f"--config.file={self.folder}/prometheus.json",
                 f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address=127.0.0.1:{self.prometheus}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until("Prometheus answers", self.prometheus_answers, START_SECONDS_MAX)

    def prometheus_answers(self) -> bool:
        """Whether Prometheus is ready."""
        with contextlib.suppress(OSError, urllib.error.URLError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.prometheus}/-/ready", timeout=2).status == 200
        return False

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.prometheus}/api/v1/alerts", timeout=5) as answer:
            alerts = json.load(answer)["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def gateway(self, name: str, *flags: str) -> Gateway:
        """A gateway that Prometheus scrapes, instead of the one before."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        gateway = Gateway(folder, *flags)
        self.addCleanup(gateway.stop)
        self.targets.write_text(json.dumps([{"targets": [f"127.0.0.1:{gateway.admin}"]}]))
        # A counter that begins above 0 shows no increase.
        wait_until("Prometheus scrapes it", lambda: self.scrapes(gateway))
        return gateway

    def scrapes(self, gateway: Gateway) -> bool:
        """Whether Prometheus has values of a gateway."""
        query = urllib.parse.quote(f'up{{instance="127.0.0.1:{gateway.admin}"}} == 1')
        url = f"http://127.0.0.1:{self.prometheus}/api/v1/query?query={query}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(json.load(answer)["data"]["result"])

    def shows(self, alert: str, inject: Callable[[], object], end: Callable[[], object]) -> None:
        """The alert fires when the fault is injected, and clears when it has ended."""
        wait_until(f"{alert} is quiet before", lambda: alert not in self.firing())
        start = time.monotonic()
        inject()
        wait_until(f"{alert} fires", lambda: alert in self.firing())
        fired = time.monotonic() - start
        end()
        cleared = wait_until(f"{alert} clears", lambda: alert not in self.firing())
        self.seconds[alert] = (fired, cleared)

    def command(self, *arguments: str | Path, ok: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        """Runs a command of auditgate."""
        done = subprocess.run(
            [BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=120, env=environment(), **options
        )
        if ok:
            self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stdout}{done.stderr}")
        return done

    def test_alerts_fire_and_clear(self) -> None:
        self.check_access()
        self.check_readers()
        self.check_deliveries()
        if NATS.exists():
            self.check_shared()
        else:
            print("SKIPPED: there is no nats-server", file=sys.stderr)
        if os.geteuid() == 0:
            self.check_storage()
        else:
            print("SKIPPED: only root can mount a small volume", file=sys.stderr)
        for alert, (fired, cleared) in self.seconds.items():
            print(f"{alert:<32} fired after {fired:4.1f} s, cleared after {cleared:4.1f} s", file=sys.stderr)
        named = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
        if os.geteuid() == 0 and NATS.exists():
            self.assertEqual(set(self.seconds), named - BY_PROMTOOL)

    def check_access(self) -> None:
        """A gateway with TLS and a token: credentials, certificate, reload, silence."""
        setup = self.folder / "setup"
        self.command("init", setup)
        config = setup / "auditgate.toml"
        gateway = self.gateway("secured", "--config", str(config))
        server = ("--server", f"https://localhost:{gateway.port}", "--cacert", setup / "ca.pem")
        own = (*server, "--token-file", setup / "admin.token")

        def follow() -> None:
            process = subprocess.Popen(
                [BINARY, "tail", *map(str, own)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=environment(),
            )
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)

        self.shows("AuditgateSubscriberMissing", lambda: None, follow)

        wrong = self.folder / "wrong.token"
        self.command("token", "other", wrong)

        def probe() -> None:
            # A counter shows a rate from its second value on.
            deadline = time.monotonic() + ALERT_SECONDS_MAX
            while "AuditgateAccessRefused" not in self.firing() and time.monotonic() < deadline:
                self.command("search", *server, "--token-file", wrong, ok=False)

        self.shows("AuditgateAccessRefused", probe, lambda: None)
        good = config.read_text()

        def break_config() -> None:
            config.write_text(good + "\nno_such_key = 1\n")
            gateway.signal(signal.SIGHUP)

        def repair_config() -> None:
            config.write_text(good)
            gateway.signal(signal.SIGHUP)

        self.shows("AuditgateReloadRefused", break_config, repair_config)
        self.shows(
            "AuditgateCertificateEnds",
            lambda: write_short_certificate(setup, days=5),
            lambda: self.command("certs", "renew", setup),
        )
        self.shows("AuditgateDown", lambda: gateway.signal(signal.SIGSTOP), lambda: gateway.signal(signal.SIGCONT))
        gateway.stop()

    def check_readers(self) -> None:
        """A gateway with a small ring and low rates: slow readers and fast emitters."""
        line = '{"user": {"name": "alice"}, "userLogin": {}}\n'

        def emit(server: tuple[str, ...], count: int) -> None:
            self.command("emit", *server, input=line * count)

        limits = self.folder / "limits.toml"
        limits.write_text("[limits]\nevents_per_second = 50\n")
        gateway = self.gateway("limited", "--config", str(limits))
        limited = ("--server", f"http://127.0.0.1:{gateway.port}")
        self.shows("AuditgateClientsAtTheirLimits", lambda: emit(limited, 500), lambda: None)
        gateway.stop()

        gateway = self.gateway("small", "--ring-records", "100")
        server = ("--server", f"http://127.0.0.1:{gateway.port}")
        cursor = self.folder / "cursor"
        emit(server, 1)
        self.command("tail", "--no-follow", "--cursor-file", cursor, *server)

        def miss() -> None:
            emit(server, 300)
            # It exits with 1, since it met a gap.
            self.command("tail", "--no-follow", "--cursor-file", cursor, *server, ok=False)

        self.shows("AuditgateReadersMissRecords", miss, lambda: None)
        reader = subprocess.Popen(
            [BINARY, "tail", "-o", "json", *map(str, server)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=environment(),
        )
        self.addCleanup(reader.wait)
        self.addCleanup(reader.kill)
        self.addCleanup(reader.stdout.close)
        wait_until("the reader subscribes", lambda: b"user.login" in reader.stdout.read1(4096), START_SECONDS_MAX)
        # It makes progress, so it is not cut off, but slower than records of this size come.
        drain = threading.Thread(target=read_slowly, args=(reader.stdout,), daemon=True)
        drain.start()
        large = json.dumps({"user": {"name": "x" * 20_000}, "userLogin": {}}) + "\n"

        def fall_behind() -> None:
            deadline = time.monotonic() + ALERT_SECONDS_MAX
            while "AuditgateRingTooSmall" not in self.firing() and time.monotonic() < deadline:
                self.command("emit", *server, input=large * 50)

        self.shows("AuditgateRingTooSmall", fall_behind, reader.kill)
        gateway.stop()

    def check_deliveries(self) -> None:
        """A gateway with a small ring that delivers to a receiver, which answers as it is told."""
        answer = {"status": 200}

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(answer["status"])
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        self.addCleanup(receiver.server_close)
        self.addCleanup(receiver.shutdown)
        config = self.folder / "deliveries.toml"
        config.write_text(
            'delivery_dir = "deliveries"\n[[delivery]]\nname = "siem"\n[delivery.destination]\nkind = "http"\n'
            f'url = "http://127.0.0.1:{receiver.server_port}/in"\n'
        )
        gateway = self.gateway("delivering", "--config", str(config), "--ring-records", "100")
        server = ("--server", f"http://127.0.0.1:{gateway.port}")

        def emit(count: int) -> None:
            self.command("emit", *server, input='{"user": {"name": "alice"}, "userLogin": {}}\n' * count)

        def answers(status: int, count: int = 1) -> None:
            answer["status"] = status
            emit(count)

        def recover() -> None:
            answer["status"] = 200
            self.command("delivery", "resume", "siem", *server)

        emit(1)
        self.shows("AuditgateDeliveryBlocked", lambda: answers(403), recover)
        self.shows("AuditgateDeliveryRetrying", lambda: answers(503), recover)

        def replay() -> None:
            answer["status"] = 200
            self.command("delivery", "replay", "siem", *server)

        self.shows("AuditgateDeliveryDeadLetters", lambda: answers(400), replay)

        def miss() -> None:
            answers(503)
            emit(2_000)
            recover()

        self.shows("AuditgateDeliveryMissesRecords", miss, lambda: None)
        gateway.stop()

    def check_shared(self) -> None:
        """Gateways of a shared log: their server is gone, syncs late, and takes forged messages."""
        folder = self.folder / "nats"
        folder.mkdir()
        server = NatsServer(folder)
        self.addCleanup(server.stop)
        url = f"nats://127.0.0.1:{server.port}"
        cluster = self.folder / "cluster"
        self.command("cluster", "init", "--shared", url, "--replicas", "1", "--out", cluster)
        gateway = self.gateway(
            "shared", "--config", str(cluster / "gateway.toml"), "--shared-monitor",
            f"http://127.0.0.1:{server.monitor}",
        )
        self.shows("AuditgateLogAway", server.stop, lambda: server.start("always"))
        self.shows(
            "AuditgateForgedMessages", lambda: server.publish("auditgate.main.log", b"forged"), lambda: None
        )

        def restart(sync_interval: str) -> None:
            server.stop()
            server.start(sync_interval)

        self.shows("AuditgateSharedWarning", lambda: restart("2m"), lambda: restart("always"))
        other = self.check_copies(cluster, gateway)
        gateway.stop()
        if os.geteuid() == 0:
            self.check_full_copy(cluster, other)
        other.stop()
        server.stop()

    def check_copies(self, cluster: Path, gateway: Gateway) -> Gateway:
        """Another gateway of the log, which redacts more, and then has another copy. It runs on."""
        config = cluster / "other.toml"
        good = (cluster / "gateway.toml").read_text().replace('data_dir = "data"', 'data_dir = "other"')
        config.write_text(good + '[redact]\ncommands = "mask"\n')
        (self.folder / "other").mkdir()
        started: list[Gateway] = []

        def start() -> None:
            started.append(Gateway(self.folder / "other", "--config", str(config)))
            self.addCleanup(started[0].stop)

        def agree() -> None:
            config.write_text(good)
            started[0].signal(signal.SIGHUP)

        self.shows("AuditgateSettingsDiffer", start, agree)
        (other,) = started
        copy = cluster / "other"

        def flip() -> None:
            # As a flipped bit would: the digest of all records that it has.
            other.stop()
            mark = bytearray((copy / "follower").read_bytes()[:-4])
            mark[48] ^= 1
            (copy / "follower").write_bytes(mark + crc32c(mark).to_bytes(4, "little"))
            other.start()

        def seed() -> None:
            # As docs/cluster-loss.md has it.
            other.stop()
            gateway.stop()
            shutil.rmtree(copy)
            self.command("cluster", "join", "--config", config, "--from", cluster / "data", "--to", copy)
            gateway.start()
            other.start()

        self.shows("AuditgateDisagreement", flip, seed)
        return other

    def check_full_copy(self, cluster: Path, other: Gateway) -> None:
        """A gateway whose disk is full, while another one accepts events."""
        volume = self.folder / "copy"
        volume.mkdir()
        options = f"size={4 * VOLUME_BYTES},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", volume], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", volume], check=False)
        config = str(cluster / "gateway.toml")
        gateway = self.gateway("behind", "--config", config, "--data-dir", str(volume / "log"))
        large = (json.dumps({"user": {"name": "x" * 60_000}, "userLogin": {}}) + "\n") * 40
        filler = volume / "filler"

        def fall_behind() -> None:
            fill(filler)
            deadline = time.monotonic() + ALERT_SECONDS_MAX
            while "AuditgateCopyBehind" not in self.firing() and time.monotonic() < deadline:
                self.command("emit", "--server", f"http://127.0.0.1:{other.port}", input=large)

        self.shows("AuditgateCopyBehind", fall_behind, filler.unlink)
        gateway.stop()

    def check_storage(self) -> None:
        """A gateway with its log on a small volume: full disk, damage, roll-back."""
        volume = self.folder / "volume"
        volume.mkdir()
        options = f"size={VOLUME_BYTES},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", volume], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", volume], check=False)
        log = volume / "log"
        gateway = self.gateway("stored", "--data-dir", str(log))
        server = ("--server", f"http://127.0.0.1:{gateway.port}")
        event = {"event": {"user": {"name": "x" * 60_000}, "userLogin": {}}}
        large = (json.dumps(event) + "\n") * 40
        filler = volume / "filler"

        def refuse() -> None:
            deadline = time.monotonic() + ALERT_SECONDS_MAX
            while "AuditgateLogFull" not in self.firing() and time.monotonic() < deadline:
                # It tries again and again while the log is full, so nobody waits for its end.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run(
                        [BINARY, "emit", *server], input=large.encode(), stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL, timeout=3, env=environment(),
                    )

        self.command("emit", *server, input=large)
        self.shows("AuditgateDiskNearlyFull", lambda: fill(filler), filler.unlink)
        self.shows("AuditgateLogFull", lambda: (fill(filler), refuse()), filler.unlink)

        # Older records, put back while the newer checkpoint stays.
        gateway.stop()
        old = self.folder / "old"
        shutil.copytree(log / "segments", old)
        gateway.start()
        self.command("emit", "user.login", "--user", "alice", *server)
        wait_until("a checkpoint covers it", lambda: self.covers_all(server))
        gateway.stop()
        new = self.folder / "new"
        shutil.copytree(log / "segments", new)

        def put(segments: Path) -> None:
            gateway.stop()
            shutil.rmtree(log / "segments")
            shutil.copytree(segments, log / "segments")
            gateway.start()

        gateway.start()
        self.shows("AuditgateProofBroken", lambda: put(old), lambda: put(new))

        (segment, *_) = sorted((log / "segments").glob("*.log")) or sorted((log / "segments").iterdir())
        content = segment.read_bytes()
        middle = content.index(b"x" * 1000) + 500

        def damage() -> None:
            gateway.stop()
            segment.write_bytes(content[:middle] + b"y" + content[middle + 1 :])
            gateway.start()
            self.command("search", "--limit", "1000", *server, ok=False)

        def restore() -> None:
            gateway.stop()
            segment.write_bytes(content)
            gateway.start()

        self.shows("AuditgateRecordsDamaged", damage, restore)
        gateway.stop()

    def covers_all(self, server: tuple[str, ...]) -> bool:
        """Whether the newest checkpoint covers all records."""
        status = json.loads(self.command("status", "-o", "json", *server).stdout)
        return status["proof"].get("checkpointSize", status["proof"].get("checkpoint_size")) == status.get(
            "lastSequence", status.get("last_sequence")
        )


class Rules(unittest.TestCase):
    """The files for operators fit each other."""

    def test_rules_pass_their_unit_tests(self) -> None:
        if shutil.which("promtool") is None:
            raise unittest.SkipTest("SKIPPED: there is no promtool")
        for arguments in (("check", "rules", RULES), ("test", "rules", RULES.with_name("rules_test.yaml"))):
            done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_has_a_section_in_the_runbook_and_a_unit_test(self) -> None:
        named = re.findall(r"- alert: (\w+)", RULES.read_text())
        runbook = (ROOT / "docs/runbook.md").read_text()
        self.assertEqual(re.findall(r"^## (\w+)$", runbook, re.MULTILINE), named)
        for alert in named:
            self.assertIn(f"docs/runbook.md#{alert.lower()}\n", RULES.read_text())
        tested = set(re.findall(r"alertname: (\w+)", RULES.with_name("rules_test.yaml").read_text()))
        self.assertEqual(tested, set(named))

    def test_dashboard_asks_for_metrics_that_exist(self) -> None:
        dashboard = json.loads((ROOT / "deploy/grafana/auditgate.json").read_text())
        asked = re.findall(r"\b(?:auditgate|grpc_server|process)_\w+", json.dumps(dashboard["panels"]))
        rules = re.findall(r"\b(?:auditgate|process)_\w+", re.sub(r"#.*", "", RULES.read_text()))
        with tempfile.TemporaryDirectory() as folder:
            # Deliveries have metrics where there is one.
            config = Path(folder) / "files.toml"
            config.write_text(
                f'data_dir = "{folder}/log"\n[[delivery]]\nname = "files"\n'
                f'[delivery.destination]\nkind = "file"\npath = "{folder}/out"\n'
            )
            page = metrics(Path(folder), "--config", str(config))
            if NATS.exists():
                nats = Path(folder) / "nats"
                nats.mkdir()
                server = NatsServer(nats)
                try:
                    cluster = Path(folder) / "cluster"
                    url = f"nats://127.0.0.1:{server.port}"
                    init = ("cluster", "init", "--shared", url, "--replicas", "1", "--out", str(cluster))
                    subprocess.run([BINARY, *init], check=True, capture_output=True, env=environment())
                    page += metrics(Path(folder), "--config", str(cluster / "gateway.toml"))
                finally:
                    server.stop()
            else:
                print("SKIPPED: there is no nats-server: metrics of a shared log", file=sys.stderr)
                page += "".join(f"\n{name} 0" for name in {*asked, *rules} if "_shared_" in name)
        existing = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)) | set(re.findall(r"^(\w+)", page, re.MULTILINE))
        # Only with TLS.
        existing.add("auditgate_certificate_expiry_timestamp_seconds")
        self.assertEqual({name for name in [*asked, *rules] if name not in existing}, set())


def metrics(folder: Path, *flags: str) -> str:
    """The metrics page of a gateway."""
    gateway = Gateway(folder, *flags)
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=10).read().decode()
    finally:
        gateway.stop()


def fill(filler: Path) -> None:
    """Takes all space of a volume."""
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024 * 1024))
            file.flush()


def crc32c(content: bytes) -> int:
    """The checksum of files of the log."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def read_slowly(pipe: IO[bytes]) -> None:
    """Reads some 200 KB a second, until the pipe ends."""
    with contextlib.suppress(ValueError, OSError):
        while pipe.read1(20_000):
            time.sleep(0.1)


def write_short_certificate(folder: Path, days: int) -> None:
    """Replaces the gateway's certificate by one of the same key that ends soon."""
    old = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(old.subject).issuer_name(ca.subject)
    builder = builder.public_key(old.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=days))
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signed = builder.sign(key, hashes.SHA256())
    temporary = folder / "server.pem.new"
    temporary.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    temporary.replace(folder / "server.pem")


if __name__ == "__main__":
    unittest.main()
