"""A gateway to test against, and a client that knows nothing but reflection.

Tests of this folder see what a user sees: the real binary, over TCP.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("AUDITGATE_TEST_TARGET", ROOT / "target"))
BINARY = TARGET / "debug" / "auditgate"

SERVICE = "auditgate.v1.AuditService"

# Bounds on waiting, in seconds: a healthy gateway needs a fraction of each.
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
CALL_SECONDS_MAX = 60
# How long to wait before looking again, in seconds.
POLL_SECONDS = 0.01


def environment() -> dict[str, str]:
    """The environment, without what would set up a gateway or a command."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("AUDITGATE_")
    }


class Gateway:
    """A running `auditgate serve`."""

    def __init__(self, *flags: str, port: int = 0, folder: Path | None = None) -> None:
        """Starts a gateway with `flags`, on a free port unless told which, in a folder if
        told so, and waits until it listens."""
        self._folder = tempfile.TemporaryDirectory(prefix="auditgate-test-")
        port_file = Path(self._folder.name) / "port"
        self._log_path = Path(self._folder.name) / "log"
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [BINARY, "serve", "--listen", f"127.0.0.1:{port}", "--port-file", port_file, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                # As on a terminal.
                env=environment() | {"AUDITGATE_LOG_FORMAT": "text"},
            )
        try:
            self.address = f"127.0.0.1:{self._wait_for_port(port_file)}"
        except BaseException:
            self.kill()
            raise

    def _wait_for_port(self, port_file: Path) -> int:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            # Whole once it ends in a newline.
            if port_file.exists() and (text := port_file.read_text()).endswith("\n"):
                return int(text)
            if (status := self._process.poll()) is not None:
                raise AssertionError(f"the gateway exited with {status}:\n{self.log()}")
            time.sleep(POLL_SECONDS)
        raise AssertionError(
            f"the gateway did not listen within {START_SECONDS_MAX} s:\n{self.log()}"
        )

    def log(self) -> str:
        """What the gateway has printed."""
        return self._log_path.read_text(errors="replace")

    def terminate(self) -> None:
        """Asks the gateway to stop, and does not wait."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Waits until the gateway has ended, and returns its exit status."""
        try:
            return self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the gateway did not end within {STOP_SECONDS_MAX} s:\n{self.log()}"
            ) from None

    def kill(self) -> None:
        """Ends the gateway, if it still runs, and removes its files."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


class Client:
    """A client that learns messages and methods from the gateway."""

    def __init__(self, address: str) -> None:
        # A proxy of the environment has no business on loopback.
        self.channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))

    def close(self) -> None:
        """Closes the connection; streams of it end."""
        self.channel.close()

    def message(self, name: str) -> type[Message]:
        """The class of a message: of the protocol, or by its full name."""
        full_name = name if "." in name else f"auditgate.v1.{name}"
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))

    def call(self, method: str, *, of: str = SERVICE, **fields: Any) -> Any:
        """Calls a method of the service `of` with a request of `fields`: its
        response, or the iterator over its responses."""
        descriptor = self.pool.FindServiceByName(of).methods_by_name[method]
        request = message_factory.GetMessageClass(descriptor.input_type)(**fields)
        response = message_factory.GetMessageClass(descriptor.output_type)
        kind = self.channel.unary_stream if descriptor.server_streaming else self.channel.unary_unary
        stub = kind(
            f"/{of}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return stub(request, timeout=CALL_SECONDS_MAX)

    def event(self, id: str, payload: str, **fields: Any) -> Any:
        """An event with an empty payload of the variant named."""
        event = self.message("Event")(id=id, **fields)
        getattr(event, payload).SetInParent()
        return event

    def details(self, error: grpc.RpcError) -> list[Message]:
        """The details of a refusal, decoded by what reflection says of them."""
        trailers = {key: value for key, value in error.trailing_metadata() or ()}
        status = self.message("google.rpc.Status").FromString(trailers["grpc-status-details-bin"])
        return [
            self.message(detail.type_url.rpartition("/")[2]).FromString(detail.value)
            for detail in status.details
        ]


def records(stream: Iterator[Any], count: int) -> list[Any]:
    """Reads `count` records or more off a subscription."""
    found: list[Any] = []
    while len(found) < count:
        found.extend(next(stream).records)
    return found


class GatewayTest(unittest.TestCase):
    """Tests that share one gateway, `self.gateway`, and one connection to it,
    `self.client`."""

    gateway: Gateway
    client: Client

    @classmethod
    def setUpClass(cls) -> None:
        cls.gateway = Gateway()
        cls.addClassCleanup(cls.gateway.kill)
        cls.client = Client(cls.gateway.address)
        cls.addClassCleanup(cls.client.close)

    def refusal(self, method: str, **fields: Any) -> grpc.RpcError:
        """The error of a call that must be refused."""
        with self.assertRaises(grpc.RpcError) as caught:
            answer = self.client.call(method, **fields)
            if isinstance(answer, grpc.Call):
                next(answer)
        return caught.exception
