"""What the example clients of every language must do."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from examples import (
    WAIT_SECONDS_MAX,
    AnswerLoser,
    Program,
    client_certificate,
    commands,
    first_message,
    json_lines,
    line,
    sequences,
)
from gateway import BINARY, Client, Gateway, environment

# More than a pipe holds and more than a few messages of a stream.
BACKLOG = 4000
# Events of one request of the tests.
REQUEST_EVENTS_MAX = 1000
# No emitter lets a call last longer, in seconds.
DEADLINE_SECONDS_MAX = 60


class Manners:
    """What each pair of an emitter and a subscriber must do. A test class derives
    from this and from unittest.TestCase, and says how they are started. Their
    standard error says `again` before a retry, and names reasons; standard output
    is a line of JSON for each record, or `accepted N events` for each batch."""

    assertEqual: Callable[..., None]
    assertTrue: Callable[..., None]
    assertIn: Callable[..., None]
    assertLess: Callable[..., None]
    assertLessEqual: Callable[..., None]
    addCleanup: Callable[..., None]

    def folder(self) -> Path:
        """Where the commands run."""
        raise NotImplementedError

    def emitter(self, address: str) -> list[str]:
        """The command of the emitter, which then reads standard input."""
        raise NotImplementedError

    def subscriber(self, address: str, cursor_file: Path) -> list[str]:
        """The command of the subscriber."""
        raise NotImplementedError

    def secured(self) -> tuple[Path, str]:
        """A gateway such as `auditgate init` makes, which also takes client
        certificates: the folder of its files, and its URL."""
        folder = tempfile.TemporaryDirectory(prefix="auditgate-init-")
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "made")
        subprocess.run([BINARY, "init", path], check=True, capture_output=True, env=environment())
        client_certificate(path, "spiffe://example.org/orders")
        configuration = path / "auditgate.toml"
        text = configuration.read_text()
        text = text.replace("# client_ca", "client_ca")
        text = text.replace(
            'principals = ["admin"]', 'principals = ["admin", "cert:spiffe://example.org/orders"]'
        )
        configuration.write_text(text)
        gateway = Gateway("--config", str(configuration))
        self.addCleanup(gateway.kill)
        return path, f"https://{gateway.address}"

    def gateway(self, port: int = 0) -> tuple[Gateway, Client]:
        gateway = Gateway(port=port)
        self.addCleanup(gateway.kill)
        client = Client(gateway.address)
        self.addCleanup(client.close)
        return gateway, client

    def start(self, command: list[str], **options: Any) -> Program:
        program = Program(command, self.folder(), **options)
        self.addCleanup(program.close)
        return program

    def cursor_file(self) -> Path:
        folder = tempfile.TemporaryDirectory(prefix="auditgate-cursor-")
        self.addCleanup(folder.cleanup)
        return Path(folder.name) / "cursor"

    def test_a_killed_subscriber_goes_on_from_its_cursor(self) -> None:
        gateway, client = self.gateway()
        for first in range(0, BACKLOG, REQUEST_EVENTS_MAX):
            numbers = range(first, first + REQUEST_EVENTS_MAX)
            events = [client.event(f"event-{number}", "exec") for number in numbers]
            client.call("EmitBatch", events=events)
        cursor_file = self.cursor_file()
        command = self.subscriber(gateway.address, cursor_file)

        # Nobody empties its pipe beyond the first record of its second message, so
        # it stands in the middle of one when it is killed.
        killed = self.start(command, into_pipe=True)
        watchdog = threading.Timer(WAIT_SECONDS_MAX, killed.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        output = ""
        for _ in range(len(first_message(client).records) + 1):
            record = killed.pipe.readline()
            self.assertTrue(record, killed.errors())
            output += record
        killed.kill()
        output += killed.pipe.read()
        printed = sequences(output)
        self.assertEqual(printed, list(range(1, len(printed) + 1)))
        self.assertLess(len(printed), BACKLOG)

        # The message after the cursor is the one that it was at.
        message = first_message(client, cursor=cursor_file.read_text())
        stored = message.records[0].sequence - 1
        self.assertLess(0, stored)
        self.assertLessEqual(stored, len(printed))
        self.assertLessEqual(len(printed), message.records[-1].sequence)

        resumed = self.start(command)
        resumed.wait_for(lambda: BACKLOG in sequences(resumed.output())[-1:])
        self.assertEqual(sequences(resumed.output()), list(range(stored + 1, BACKLOG + 1)))
        resumed.terminate()
        self.assertEqual(resumed.wait(), 0, resumed.errors())

    def test_a_killed_gateway_is_survived(self) -> None:
        gateway, _ = self.gateway()
        port = int(gateway.address.rpartition(":")[2])
        subscriber = self.start(self.subscriber(gateway.address, self.cursor_file()))
        emitter = self.start(self.emitter(gateway.address))
        before, after = [[f"{when} {n}" for n in range(10)] for when in ["before", "after"]]

        emitter.write(*map(line, before))
        subscriber.wait_for(lambda: commands(subscriber.output()) == before)
        emitter.wait_for(lambda: "accepted" in emitter.output())
        gateway.kill()
        subscriber.wait_for(lambda: "again" in subscriber.errors())
        emitter.write(*map(line, after))
        emitter.wait_for(lambda: "again" in emitter.errors())

        _, client = self.gateway(port)
        subscriber.wait_for(lambda: commands(subscriber.output()) == before + after)
        self.assertEqual(subscriber.errors().count("GAP_REASON_OTHER_LOG"), 1)
        # Both are idle and connected now, and end on request.
        for program in [emitter, subscriber]:
            program.terminate()
            self.assertEqual(program.wait(), 0, program.errors())
        found = client.call("Search", order="ORDER_OLDEST_FIRST").records
        self.assertEqual([record.event.exec.command.line for record in found], after)

    def test_an_answer_that_is_lost_stores_nothing_twice(self) -> None:
        _, client = self.gateway()
        loser = AnswerLoser(client)
        with loser.listen() as address:
            emitter = self.start(self.emitter(address))
            emitter.write(*(line(f"n {number}") for number in range(20)))
            emitter.stdin.close()
            self.assertEqual(emitter.wait(), 0, emitter.errors())
        self.assertIn("accepted", emitter.output())

        self.assertLess(len(loser.LOST), len(loser.requests))
        request_class = client.message("EmitBatchRequest")
        first, second, third = [
            request_class.FromString(request) for request in loser.requests[: len(loser.LOST) + 1]
        ]
        self.assertEqual(first, second)
        self.assertEqual(first, third)
        self.assertTrue(all(event.id and event.HasField("time") for event in first.events))
        for seconds in loser.seconds_left:
            # Without a deadline there is none, or one of centuries.
            self.assertTrue(seconds is not None and seconds < DEADLINE_SECONDS_MAX, seconds)
        found = client.call("Search", order="ORDER_OLDEST_FIRST").records
        self.assertEqual(
            [record.event.exec.command.line for record in found], [f"n {n}" for n in range(20)]
        )
        self.assertEqual(len({record.event.id for record in found}), 20)

    def test_a_refused_event_takes_no_other_with_it(self) -> None:
        gateway, client = self.gateway()
        emitter = self.start(self.emitter(gateway.address))
        too_large = line("x" * 1_100_000)
        emitter.write(line("first"), "no event", too_large, line("last"))
        emitter.stdin.close()
        self.assertEqual(emitter.wait(), 1)
        self.assertIn("line 2", emitter.errors())
        # The reason, and the field.
        self.assertIn("EVENT_TOO_LARGE", emitter.errors())
        self.assertIn("events[", emitter.errors())
        found = client.call("Search", order="ORDER_OLDEST_FIRST").records
        self.assertEqual(
            [record.event.exec.command.line for record in found], ["first", "last"]
        )

    def test_the_gateway_that_init_makes_is_reached(self) -> None:
        made, url = self.secured()
        token = ["--cacert", str(made / "ca.pem"), "--token-file", str(made / "admin.token")]
        certificate = ["--cacert", str(made / "ca.pem")]
        certificate += ["--cert", str(made / "client.pem"), "--key", str(made / "client.key")]
        subscriber = self.start([*self.subscriber(url, self.cursor_file()), *certificate])
        for word, flags in [("token", token), ("certificate", certificate)]:
            emitter = self.start([*self.emitter(url), *flags])
            emitter.write(line(word))
            emitter.stdin.close()
            self.assertEqual(emitter.wait(), 0, emitter.errors())
        subscriber.wait_for(lambda: "certificate" in subscriber.output())
        exec_principals = [
            (record["event"]["exec"]["command"]["line"], record["emitter"]["principal"])
            for record in json_lines(subscriber.output())
            if record["type"] == "exec"
        ]
        self.assertEqual(
            exec_principals,
            [("token", "admin"), ("certificate", "cert:spiffe://example.org/orders")],
        )

    def test_wrong_credentials_end_with_a_sentence(self) -> None:
        made, url = self.secured()
        (made / "wrong.token").write_text("wrong\n")
        ca = ["--cacert", str(made / "ca.pem")]
        for server, flags, sentence in [
            (url, [*ca, "--token-file", str(made / "wrong.token")], "CREDENTIALS_INVALID"),
            (url, ca, "CREDENTIALS_MISSING"),
            (url, ["--cacert", str(made / "none.pem")], f"cannot read {made / 'none.pem'}"),
            (url, [*ca, "--token-file", str(made / "none.token")], "none.token"),
            (url, [*ca, "--cert", str(made / "client.pem")], "--cert and --key"),
            # A token does not travel where anybody can read it.
            (url.replace("https", "http"), ["--token-file", str(made / "admin.token")], "needs TLS"),
        ]:
            emitter = self.start([*self.emitter(server), *flags])
            with suppress(BrokenPipeError):
                emitter.write(line("refused"))
            emitter.close_input()
            self.assertEqual(emitter.wait(), 1, (flags, emitter.errors()))
            self.assertIn(sentence, emitter.errors())

    def test_without_tls_the_reason_names_tls(self) -> None:
        _, url = self.secured()
        emitter = self.start(self.emitter(url.replace("https://", "")))
        emitter.write(line("lost"))
        emitter.wait_for(lambda: "if the gateway uses TLS" in emitter.errors())

    def test_without_a_gateway_both_still_end(self) -> None:
        gateway, _ = self.gateway()
        gateway.kill()
        subscriber = self.start(self.subscriber(gateway.address, self.cursor_file()))
        emitter = self.start(self.emitter(gateway.address))
        emitter.write(line("lost"))
        for program in [emitter, subscriber]:
            program.wait_for(lambda program=program: "again" in program.errors())
            program.terminate()
        self.assertEqual(subscriber.wait(), 0, subscriber.errors())
        # The status says that an event was lost.
        self.assertEqual(emitter.wait(), 1, emitter.errors())
        self.assertIn("1 unacknowledged", emitter.errors())
