"""What the example clients of every language must do, and what it takes to try
that: their set-up below target/, the programs, a gateway that loses answers."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc

from gateway import POLL_SECONDS, ROOT, SERVICE, TARGET, Client, Gateway, environment

# Bounds on waiting, in seconds: each takes a fraction on an idle machine.
WAIT_SECONDS_MAX = 30
SET_UP_SECONDS_MAX = 120
# More than a pipe holds and more than a few messages of a stream.
BACKLOG = 4000
# Events of one request of the tests.
REQUEST_EVENTS_MAX = 1000
# No emitter lets a call last longer, in seconds.
DEADLINE_SECONDS_MAX = 60

# Below target/, as they lie in the repository, so that the commands of their
# documentation fit.
WORK = TARGET / "clients"


def example_environment() -> dict[str, str]:
    """The environment of the examples: the tests' Python first, no proxy."""
    path = f"{TARGET / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return environment() | {"PATH": path, "no_proxy": "127.0.0.1"}


def documented(language: str, start: str) -> str:
    """The one command in the README of an example that begins with `start`."""
    readme = (ROOT / "examples" / language / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    [command] = [
        line for block in blocks for line in block.splitlines() if line.startswith(start)
    ]
    return command


@functools.cache
def set_up(language: str, generate: str) -> Path:
    """Copies an example below target/ and runs its documented command that
    generates stubs: the folder from which it runs."""
    folder = WORK / "examples" / language
    made_there = shutil.ignore_patterns("node_modules", "gen", "auditgate", ".venv", "__pycache__")
    shutil.copytree(ROOT / "examples" / language, folder, ignore=made_there, dirs_exist_ok=True)
    shutil.rmtree(WORK / "proto", ignore_errors=True)
    shutil.copytree(ROOT / "proto", WORK / "proto")
    run(documented(language, generate), folder)
    return folder


def run(command: str, folder: Path) -> None:
    """Runs a command of a README to its end."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=example_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SET_UP_SECONDS_MAX,
    )
    if done.returncode != 0:
        raise AssertionError(f"`{command}` failed:\n{done.stdout}{done.stderr}")


def wait_until(condition: Callable[[], Any], what: Callable[[], str]) -> None:
    """Waits until `condition` holds; `what` describes the state if it does not."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT_SECONDS_MAX} s: {what()}")
        time.sleep(POLL_SECONDS)


class Program:
    """An example that runs. Its output goes to files, or to a pipe that fills."""

    def __init__(self, command: list[str], folder: Path, *, into_pipe: bool = False) -> None:
        self._output = tempfile.NamedTemporaryFile(prefix="auditgate-out-")
        self._errors = tempfile.NamedTemporaryFile(prefix="auditgate-err-")
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=example_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if into_pipe else self._output,
            stderr=self._errors,
            text=True,
        )

    @property
    def stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def pipe(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def write(self, *lines: str) -> None:
        """Types lines."""
        self.stdin.writelines(f"{line}\n" for line in lines)
        self.stdin.flush()

    def output(self) -> str:
        return Path(self._output.name).read_text()

    def errors(self) -> str:
        return Path(self._errors.name).read_text()

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Waits for a state that this program is to bring about."""

        def holds() -> bool:
            if condition():
                return True
            status = self._process.poll()
            if status is not None and not condition():
                raise AssertionError(f"the example exited with {status}:\n{self.errors()}")
            return status is not None

        wait_until(holds, lambda: f"{self.output()[-2000:]}\n{self.errors()}")

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Waits for its end: its exit status."""
        try:
            return self._process.wait(WAIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the example did not end:\n{self.errors()}") from None

    def kill(self) -> None:
        """Ends it for sure."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends it, if it still runs, and removes its files."""
        self.kill()
        for file in [self._process.stdin, self._process.stdout, self._output, self._errors]:
            if file is not None:
                file.close()


def first_message(client: Client, **start: Any) -> Any:
    """The first message with records of a subscription, to everything unless told
    where to start."""
    stream = client.call("Subscribe", **(start or {"position": "POSITION_EARLIEST"}))
    message = next(response for response in stream if response.records)
    stream.cancel()
    return message


def json_lines(text: str) -> list[Any]:
    """The whole lines of a program's output, decoded."""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def commands(output: str) -> list[str]:
    """The commands of the records that a subscriber has printed."""
    return [record["event"]["exec"]["command"]["line"] for record in json_lines(output)]


def sequences(output: str) -> list[int]:
    """The sequences of the records that a subscriber has printed."""
    return [int(record["sequence"]) for record in json_lines(output)]


class AnswerLoser(grpc.GenericRpcHandler):
    """Passes batches on to a gateway, and loses its first answers: the emitter
    learns of a failure although the events are stored."""

    LOST = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED]

    def __init__(self, client: Client) -> None:
        self._forward = client.channel.unary_unary(f"/{SERVICE}/EmitBatch")
        self.requests: list[bytes] = []
        self.seconds_left: list[float | None] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != f"/{SERVICE}/EmitBatch":
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        response = self._forward(request, timeout=WAIT_SECONDS_MAX)
        lost = len(self.requests)
        self.requests.append(request)
        self.seconds_left.append(context.time_remaining())
        if lost < len(self.LOST):
            context.abort(self.LOST[lost], "the answer was lost")
        return response

    @contextmanager
    def listen(self) -> Iterator[str]:
        """Listens on a free port: its address."""
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), handlers=[self])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()


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
            line = killed.pipe.readline()
            self.assertTrue(line, killed.errors())
            output += line
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


def line(command: str) -> str:
    """A line for an emitter."""
    return json.dumps({"user": "alice", "command": command})


def command(language: str, start: str, *flags: str | Path) -> list[str]:
    """The documented command that begins with `start`, without the flags that it
    has there, and with these."""
    words = shlex.split(documented(language, start).partition(" --count")[0])
    return [*words, *map(str, flags)]
