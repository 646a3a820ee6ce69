"""Deliveries to receivers that others wrote: rsyslog over TLS, and the published protocol of OpenTelemetry."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import tempfile
import threading
import unittest
from concurrent import futures
from pathlib import Path

import grpc
from examples import wait_until
from gateway import BINARY, START_SECONDS_MAX, Gateway, environment

try:
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
except ImportError:
    logs_service_pb2 = None

# How many records go out.
RECORDS = 500
LINE = '{"user": {"name": "alice \\"]\\\\ \u00e9"}, "userLogin": {}}\n'
# Where Debian has the module of rsyslog for TLS.
RSYSLOG_TLS = "lmnsd_ossl.so"


def has_rsyslog() -> bool:
    """Whether rsyslog is there, with TLS."""
    folders = [folder for root in ("/usr/lib", "/usr/lib64") for folder in Path(root).glob("**/rsyslog")]
    return shutil.which("rsyslogd") is not None and any((folder / RSYSLOG_TLS).exists() for folder in folders)


class Deliveries(unittest.TestCase):
    """One gateway and one receiver each."""

    def setUp(self) -> None:
        """Makes a folder."""
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="auditgate-deliveries-")))

    def gateway(self, delivery: str, destination: str) -> Gateway:
        """A gateway with one delivery."""
        config = self.folder / "auditgate.toml"
        config.write_text(
            f'delivery_dir = "state"\n[[delivery]]\nname = "siem"\n{delivery}\n[delivery.destination]\n{destination}\n'
        )
        gateway = Gateway("--config", str(config))
        self.addCleanup(gateway.kill)
        return gateway

    def emit(self, gateway: Gateway, count: int) -> None:
        """Emits so many logins."""
        subprocess.run(
            [BINARY, "emit", "--server", f"http://{gateway.address}"], input=LINE * count, text=True, check=True,
            timeout=120, capture_output=True, env=environment(),
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of auditgate."""
        return subprocess.run(
            [BINARY, *arguments], capture_output=True, text=True, timeout=60, cwd=self.folder, env=environment()
        )

    def test_an_operator_sees_and_controls_a_delivery(self) -> None:
        bodies: list[list[dict[str, object]]] = []
        answer = {"status": 403}

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if answer["status"] == 200:
                    bodies.append(json.loads(body))
                self.send_response(answer["status"])
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        self.addCleanup(receiver.server_close)
        self.addCleanup(receiver.shutdown)
        url = f"http://127.0.0.1:{receiver.server_port}/in?key=secret"
        gateway = self.gateway("", f'kind = "http"\nurl = "{url}"')
        server = ("--server", f"http://{gateway.address}")
        self.emit(gateway, 3)
        wait_until(lambda: "blocked" in self.command("delivery", "list", *server).stdout, lambda: "it is blocked")
        listed = self.command("delivery", "list", *server)
        self.assertEqual(listed.returncode, 1, listed.stderr)
        self.assertRegex(listed.stdout, r"siem +blocked +3 records, \d+ s +0 +0 +http http://127.0.0.1:\d+/in\n  answers 403")
        self.assertNotIn("secret", listed.stdout)
        paused = self.command("delivery", "pause", "siem", *server)
        self.assertEqual((paused.returncode, paused.stderr), (0, "delivery siem: paused\n"))
        answer["status"] = 200
        self.assertEqual(self.command("delivery", "resume", "siem", *server).returncode, 0)
        wait_until(lambda: self.command("delivery", "list", *server).returncode == 0, lambda: "it is delivered")
        self.assertEqual([one["sequence"] for body in bodies for one in body], ["1", "2", "3"])
        again = self.command("delivery", "resume", "siem", "--from", "earliest", *server)
        self.assertEqual(again.returncode, 0, again.stderr)
        wait_until(lambda: sum(map(len, bodies)) == 6, lambda: "it is delivered again")
        shown = json.loads(self.command("delivery", "show", "siem", "-o", "json", *server).stdout)
        self.assertEqual(shown["state"], "DELIVERY_STATE_RUNNING")
        unknown = self.command("delivery", "show", "sime", *server)
        self.assertEqual(unknown.returncode, 2)
        self.assertIn('there is no delivery "sime"; did you mean siem?', unknown.stderr)
        replay = self.command("delivery", "replay", "siem", *server)
        self.assertEqual(replay.returncode, 2)
        self.assertIn("the delivery has no dead letters", replay.stderr)

    def test_a_check_reads_the_secrets(self) -> None:
        config = self.folder / "auditgate.toml"
        config.write_text(
            'delivery_dir = "state"\n[[delivery]]\nname = "siem"\n[delivery.destination]\nkind = "http"\n'
            'url = "https://siem.example.com/in"\ntoken_file = "token"\n'
        )
        checked = self.command("config", "check", "--config", str(config))
        self.assertEqual(checked.returncode, 2)
        self.assertIn("delivery.siem.destination.token_file", checked.stderr)
        token = self.folder / "token"
        token.write_text("s3cret\n")
        token.chmod(0o644)
        self.assertIn("chmod 600", self.command("config", "check", "--config", str(config)).stderr)
        token.chmod(0o600)
        checked = self.command("config", "check", "--config", str(config))
        self.assertEqual(checked.returncode, 0, checked.stderr)
        shown = self.command("config", "show", "--config", str(config))
        self.assertIn('[[delivery]]', shown.stdout)
        self.assertNotIn("s3cret", shown.stdout + checked.stderr)

    @unittest.skipUnless(has_rsyslog(), "SKIPPED: there is no rsyslogd with openssl")
    def test_rsyslog_over_tls(self) -> None:
        setup = self.folder / "setup"
        subprocess.run([BINARY, "init", setup], check=True, capture_output=True, timeout=60, env=environment())
        port_file, out = self.folder / "port", self.folder / "out"
        (self.folder / "rsyslog.conf").write_text(
            f'global(workDirectory="{self.folder}" maxMessageSize="64k"\n'
            f'  defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{setup}/ca.pem"\n'
            f'  defaultNetstreamDriverCertFile="{setup}/server.pem" defaultNetstreamDriverKeyFile="{setup}/server.key")\n'
            'module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"\n'
            '  MaxFrameSize="200000")\n'
            'template(name="all" type="list" option.jsonf="on") {\n'
            '  property(outname="msg" name="msg" format="jsonf")\n'
            '  property(outname="data" name="structured-data" format="jsonf")\n'
            '  property(outname="facility" name="syslogfacility-text" format="jsonf")\n'
            '  property(outname="msgid" name="msgid" format="jsonf")\n'
            "}\n"
            f'input(type="imtcp" port="0" address="127.0.0.1" listenPortFileName="{port_file}")\n'
            f'action(type="omfile" file="{out}" template="all")\n'
        )
        with (self.folder / "rsyslog.log").open("wb") as log:
            receiver = subprocess.Popen(
                ["rsyslogd", "-n", "-f", self.folder / "rsyslog.conf", "-i", self.folder / "pid"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.addCleanup(receiver.wait, START_SECONDS_MAX)
        self.addCleanup(receiver.kill)
        wait_until(lambda: port_file.exists() and port_file.read_text().strip().isdigit(), lambda: "rsyslog listens")
        gateway = self.gateway(
            "", f'kind = "syslog"\nurl = "tls://localhost:{port_file.read_text().strip()}"\nca_file = "setup/ca.pem"'
        )
        self.emit(gateway, RECORDS)

        def lines() -> list[str]:
            return out.read_text().splitlines() if out.exists() else []

        wait_until(lambda: len(lines()) >= RECORDS, lambda: "all records are in the file")
        for sequence, line in enumerate(lines(), start=1):
            message = json.loads(line)
            self.assertEqual(message["msgid"], "user.login")
            self.assertRegex(message["data"], rf'^\[auditgate@32473 id="[0-9a-f-]+/{sequence}" sequence="{sequence}"')
            record = json.loads(message["msg"])
            self.assertEqual(record["sequence"], str(sequence))
            self.assertEqual(record["event"]["user"]["name"], 'alice "]\\ \u00e9')

    @unittest.skipIf(logs_service_pb2 is None, "SKIPPED: there is no package opentelemetry-proto")
    def test_opentelemetry_over_grpc(self) -> None:
        seen: list[str] = []
        answers = ["unavailable", "partial"]

        class Logs(logs_service_pb2_grpc.LogsServiceServicer):
            """Keeps what it gets, after it has been away once, and has refused a record once."""

            def Export(self, request, context):  # noqa: N802
                if answers[:1] == ["unavailable"]:
                    answers.pop(0)
                    context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
                response = logs_service_pb2.ExportLogsServiceResponse()
                if answers[:1] == ["partial"]:
                    answers.pop(0)
                    response.partial_success.rejected_log_records = 1
                    response.partial_success.error_message = "one is bad"
                    return response
                for resource in request.resource_logs:
                    names = {one.key: one.value.string_value for one in resource.resource.attributes}
                    assert names["service.name"] == "auditgate", names
                    for scope in resource.scope_logs:
                        for record in scope.log_records:
                            assert record.event_name == "user.login", record
                            assert record.time_unix_nano > 0
                            attributes = {one.key: one.value for one in record.attributes}
                            seen.append(attributes["audit.record.id"].string_value)
                return response

        server = grpc.server(futures.ThreadPoolExecutor(4))
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)
        gateway = self.gateway('format = "otlp"', f'kind = "otlp"\nurl = "http://127.0.0.1:{port}"\ngzip = true')
        self.emit(gateway, RECORDS)
        wait_until(lambda: len(set(seen)) >= RECORDS, lambda: "all records arrive")
        sequences = [int(one.rsplit("/")[-1]) for one in dict.fromkeys(seen)]
        self.assertEqual(sequences, list(range(1, RECORDS + 1)))
