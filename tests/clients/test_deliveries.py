"""Deliveries to receivers that others wrote: rsyslog over TLS, and the published protocol of OpenTelemetry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
from gateway import BINARY, START_SECONDS_MAX, Gateway, environment

try:
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
except ImportError:
    logs_service_pb2 = None

# How long records may take to arrive, in seconds.
ARRIVE_SECONDS_MAX = 60
POLL_SECONDS = 0.05
# How many records go out.
RECORDS = 500
LINE = '{"user": {"name": "alice \\"]\\\\ \u00e9"}, "userLogin": {}}\n'
# Where Debian has the module of rsyslog for TLS.
RSYSLOG_TLS = "lmnsd_ossl.so"


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + ARRIVE_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {ARRIVE_SECONDS_MAX} s: {what}")
        time.sleep(POLL_SECONDS)


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
        wait_until("rsyslog listens", lambda: port_file.exists() and port_file.read_text().strip().isdigit())
        gateway = self.gateway(
            "", f'kind = "syslog"\nurl = "tls://localhost:{port_file.read_text().strip()}"\nca_file = "setup/ca.pem"'
        )
        self.emit(gateway, RECORDS)

        def lines() -> list[str]:
            return out.read_text().splitlines() if out.exists() else []

        wait_until("all records are in the file", lambda: len(lines()) >= RECORDS)
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
        try:
            gateway = self.gateway('format = "otlp"', f'kind = "otlp"\nurl = "http://127.0.0.1:{port}"\ngzip = true')
        except AssertionError as error:
            if re.search(r'"otlp" is not one of', str(error)):
                raise unittest.SkipTest("SKIPPED: this gateway has no format otlp") from error
            raise
        self.emit(gateway, RECORDS)
        wait_until("all records arrive", lambda: len(set(seen)) >= RECORDS)
        sequences = [int(one.rsplit("/")[-1]) for one in dict.fromkeys(seen)]
        self.assertEqual(sequences, list(range(1, RECORDS + 1)))
