"""What the emitters and subscribers of this folder share: nothing in it waits
or calls, so that it serves threads and asyncio alike."""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import re
import signal
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from auditgate.v1 import audit_service_pb2 as api
from auditgate.v1.common_pb2 import Command, Source, User
from auditgate.v1.event_pb2 import Event, Record
from auditgate.v1.exec_pb2 import Exec

# A call that takes longer has failed: nobody waits for ever on a dead gateway.
CALL_SECONDS_MAX = 5.0

# A batch is sent when it has so many events or bytes, or is so old. The gateway
# takes requests of 4 MiB and events of 1 MiB: a batch of the size below may get
# one more event.
BATCH_EVENTS_MAX = 256
BATCH_BYTES_MAX = 1024 * 1024
BATCH_SECONDS_MAX = 0.2
# How many events wait to be sent. Once so many do, the emitter stops reading.
QUEUE_EVENTS_MAX = 1024

RETRY_SECONDS_FIRST = 0.1
RETRY_SECONDS_MAX = 5.0
# Trying again may help. Every other code is the gateway's final word.
RETRIED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}

CHANNEL_OPTIONS = [
    # A gateway that vanished without a word (power, a firewall) looks just like a
    # quiet one. Pings tell them apart, and end the stream.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # The retries of these programs wait as long; a channel that waited longer
    # would let them fail although the gateway is back.
    ("grpc.initial_reconnect_backoff_ms", int(RETRY_SECONDS_FIRST * 1000)),
    ("grpc.max_reconnect_backoff_ms", int(RETRY_SECONDS_MAX * 1000)),
]


def emitter_arguments(description: str) -> argparse.Namespace:
    """The command line of an emitter."""
    parser = _parser(description)
    parser.add_argument("--count", type=int, help="emit so many events of its own making")
    return parser.parse_args()


def subscriber_arguments(description: str) -> argparse.Namespace:
    """The command line of a subscriber."""
    parser = _parser(description)
    parser.add_argument("--cursor-file", type=Path, default=Path("auditgate.cursor"))
    return parser.parse_args()


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    # The same variables as the commands of auditgate read.
    variable = os.environ.get
    server = variable("AUDITGATE_SERVER", "127.0.0.1:50051")
    parser.add_argument("--server", default=server, help="HOST:PORT or URL of the gateway")
    add = functools.partial(parser.add_argument, metavar="FILE", type=Path)
    add("--cacert", default=variable("AUDITGATE_CACERT"), help="CA of the gateway (PEM): uses TLS")
    add("--token-file", default=variable("AUDITGATE_TOKEN_FILE"), help="file with the bearer token")
    add("--cert", default=variable("AUDITGATE_CERT"), help="client certificate (PEM)")
    add("--key", default=variable("AUDITGATE_KEY"), help="private key of the client certificate")
    return parser


@dataclass
class Target:
    """Where the gateway is, and how to talk to it."""

    address: str
    # None for a channel without TLS.
    credentials: grpc.ChannelCredentials | None

    def channel(self, library: ModuleType) -> Any:
        """A channel of `library`: grpc, or grpc.aio for asyncio."""
        if self.credentials is None:
            return library.insecure_channel(self.address, CHANNEL_OPTIONS)
        return library.secure_channel(self.address, self.credentials, CHANNEL_OPTIONS)


def target(arguments: argparse.Namespace) -> Target:
    """The gateway that the command line names. Ends the program with a sentence if
    a file cannot be read, or if a token would travel without TLS."""
    scheme, separator, address = arguments.server.rpartition("://")
    address = address.rstrip("/")
    with_tls = scheme == "https" or (not separator and bool(arguments.cacert or arguments.cert))
    if not with_tls:
        if arguments.token_file or arguments.cacert or arguments.cert:
            sys.exit("a token or a certificate needs TLS: use https:// in --server, or give --cacert")
        return Target(address, None)
    if bool(arguments.cert) != bool(arguments.key):
        sys.exit("--cert and --key belong together: give both")
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(arguments.cacert),
        private_key=_read(arguments.key),
        certificate_chain=_read(arguments.cert),
    )
    if arguments.token_file:
        token = _Token(arguments.token_file)
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.metadata_call_credentials(token)
        )
    return Target(address, credentials)


class _Token(grpc.AuthMetadataPlugin):
    """Sends the token with each call. Reads the file each time, so that a renewed
    token is used without a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _read(path)

    def __call__(self, context: Any, callback: Any) -> None:
        try:
            token = self._path.read_text().strip()
        except OSError as error:
            callback((), error)
            return
        callback((("authorization", f"Bearer {token}"),), None)


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        sys.exit(f"cannot read {path}: {error.strerror}")


def tell(sentence: str) -> None:
    """Tells the user; standard output is for records and receipts alone."""
    print(sentence, file=sys.stderr, flush=True)


def delays() -> Iterator[float]:
    """How many seconds to wait before each retry: twice as long each time, with
    jitter, so that the clients of a restarted gateway do not all come at once."""
    ceiling = RETRY_SECONDS_FIRST
    while True:
        yield random.uniform(ceiling / 2, ceiling)
        ceiling = min(2 * ceiling, RETRY_SECONDS_MAX)


def events(count: int | None, tally: Tally) -> Iterator[Event]:
    """The events to emit: `count` made up ones, or one for each line of standard
    input such as {"user": "alice", "command": "ls -l"}. Other lines are counted."""
    if count is not None:
        for number in range(count):
            yield new_event(f"user-{number % 3}", f"echo {number}")
        return
    # Not sys.stdin: Python cannot end while a thread is reading that.
    with open(0, encoding="utf-8", errors="replace", closefd=False) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                fields = json.loads(line)
                event = new_event(fields["user"], fields["command"])
            except (ValueError, TypeError, KeyError) as error:
                tally.bad_lines += 1
                tell(f"line {number} is no event: {error!r}")
                continue
            yield event


def new_event(user: str, command: str) -> Event:
    """An event with its id and its time, which stay the same however often it is
    sent: by the id, the gateway knows a retry for what it is."""
    event = Event(
        id=str(uuid.uuid4()),
        source=Source(name="python-example", instance=str(os.getpid())),
        user=User(name=user),
        exec=Exec(command=Command(line=command)),
    )
    event.time.GetCurrentTime()
    return event


class Batch:
    """Events that are sent together."""

    def __init__(self, first: Event) -> None:
        self.events = [first]
        self._bytes = first.ByteSize()

    def add(self, event: Event) -> None:
        """Adds an event at the end."""
        self.events.append(event)
        self._bytes += event.ByteSize()

    def is_full(self) -> bool:
        """Whether to wait for no more events."""
        return len(self.events) >= BATCH_EVENTS_MAX or self._bytes >= BATCH_BYTES_MAX


class Tally:
    """What became of an emitter's events."""

    def __init__(self) -> None:
        self.bad_lines = 0
        self.accepted = 0
        self.refused = 0
        self.unacknowledged = 0

    def accept(self, response: api.EmitBatchResponse) -> None:
        """Takes note of receipts."""
        first, last = response.receipts[0], response.receipts[-1]
        known = sum(receipt.duplicate for receipt in response.receipts)
        self.accepted += len(response.receipts)
        print(
            f"accepted {len(response.receipts)} events, {known} of them by an earlier try: "
            f"sequences {first.sequence} to {last.sequence}",
            flush=True,
        )

    def refuse(self, batch: list[Event], error: grpc.RpcError) -> list[Event]:
        """Takes note of a refusal; returns the events that may be sent again. One
        bad event refuses its batch, and the gateway names it."""
        tell(f"refused: {explain(error)}")
        positions = refused_positions(error)
        rest = [event for position, event in enumerate(batch) if position not in positions]
        # Without a name there is no saying which event it was.
        if len(rest) == len(batch):
            rest = []
        self.refused += len(batch) - len(rest)
        return rest

    def give_up(self, batch: list[Event]) -> None:
        """Takes note that the emitter must end before the gateway answered."""
        self.unacknowledged += len(batch)

    def exit_status(self) -> int:
        """Tells the end result: 0 if the gateway has every event."""
        tell(
            f"{self.accepted} events accepted, {self.refused} refused, "
            f"{self.unacknowledged} unacknowledged; {self.bad_lines} bad lines"
        )
        return 1 if self.refused or self.unacknowledged or self.bad_lines else 0


def explain(error: grpc.RpcError) -> str:
    """An error as a sentence, with the reason and the fields to blame."""
    sentence = f"{error.code().name}: {error.details()}"
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in _details(error):
        if detail.Unpack(info):
            sentence += f" [{info.reason}]"
        elif detail.Unpack(request):
            for violation in request.field_violations:
                sentence += f"\n  {violation.field}: {violation.description}"
    if error.code() == grpc.StatusCode.UNAVAILABLE and "Socket closed" in (error.details() or ""):
        sentence += " (if the gateway uses TLS: use https:// in --server, or give --cacert)"
    return sentence


def refused_positions(error: grpc.RpcError) -> set[int]:
    """The positions of a batch that a refusal names: 17 for `events[17].time`."""
    request = error_details_pb2.BadRequest()
    for detail in _details(error):
        if detail.Unpack(request):
            fields = [violation.field for violation in request.field_violations]
            matches = [re.match(r"events\[(\d+)\]", field) for field in fields]
            return {int(match[1]) for match in matches if match}
    return set()


def _details(error: grpc.RpcError) -> list:
    status = rpc_status.from_call(error)
    return list(status.details) if status else []


class CursorFile:
    """Where a subscriber keeps how far it has come."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def request(self) -> api.SubscribeRequest:
        """Asks for what follows the stored cursor; the first time, for all that
        the gateway keeps."""
        try:
            return api.SubscribeRequest(cursor=self._path.read_text())
        except FileNotFoundError:
            return api.SubscribeRequest(position=api.POSITION_EARLIEST)

    def store(self, cursor: str) -> None:
        """Replaces the file in one step: whoever is killed here, or loses power,
        finds the old cursor or the new one, and never half of one."""
        temporary = self._path.with_name(self._path.name + ".new")
        with temporary.open("w") as file:
            file.write(cursor)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def handle(response: api.SubscribeResponse) -> None:
    """Deals with a message: here, prints a line of JSON for each record."""
    if response.HasField("gap"):
        gap = response.gap
        tell(
            f"gap: {api.GapReason.Name(gap.reason)}, "
            f"sequences {gap.first_sequence} to {gap.last_sequence} are missing"
            if gap.last_sequence
            else f"gap: {api.GapReason.Name(gap.reason)}, it is not known what is missing"
        )
    for record in response.records:
        print(one_line(record))
    # Printed is not written: only after this may the cursor be stored.
    sys.stdout.flush()
    if response.caught_up:
        tell("caught up")


def one_line(record: Record) -> str:
    """A record as JSON on one line."""
    return json_format.MessageToJson(record, indent=None, ensure_ascii=False)
