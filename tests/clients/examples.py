"""What it takes to try the example clients: their set-up below target/, the
programs, a gateway that loses answers."""

from __future__ import annotations

import datetime
import functools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway import POLL_SECONDS, ROOT, SERVICE, TARGET, Client, environment

# Bounds on waiting, in seconds: each takes a fraction on an idle machine.
WAIT_SECONDS_MAX = 60
SET_UP_SECONDS_MAX = 300

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

    def close_input(self) -> None:
        """Ends its input, which it may have stopped reading."""
        with suppress(BrokenPipeError):
            self.stdin.close()

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


def client_certificate(made: Path, uri: str) -> None:
    """Writes client.pem and client.key for `uri` to a folder that `auditgate init`
    has made, by its CA."""
    ca = x509.load_pem_x509_certificate((made / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((made / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    (made / "client.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (made / "client.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


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


def line(command: str) -> str:
    """A line for an emitter."""
    return json.dumps({"user": "alice", "command": command})


def command(language: str, start: str, *flags: str | Path) -> list[str]:
    """The documented command that begins with `start`, without the flags that it
    has there, and with these."""
    words = shlex.split(documented(language, start).partition(" --count")[0])
    return [*words, *map(str, flags)]
