"""Pages whose commands are run, and whose outputs must be what comes out.

A page is run in order, in a folder and against a gateway of its own:

- A block of `sh` is a command. It must succeed, and print what the block of
  `text` or `json` shows that follows it, if one does.
- There, a line `…` stands for any lines and `…` within a line for any text; what
  differs from run to run (times, ids, addresses, cursors, versions) is not
  compared.
- `cd "$(mktemp -d)"` as the first line of a block changes the folder for the rest of the
  page. Before it stands there, nothing may be left in the folder, since that is where the
  reader's clone is.
- `make cluster` is run with the program that is tested, and ports of its own for the three
  gateways.
- `auditgate serve` as a block of its own is the page's gateway. Until it stands
  there, the page has one with default flags.

Pages can also be run one after the other on one gateway, as by somebody who reads
them all: then commands must succeed or fail as each page says, and what they print is
not compared, since they see what the other pages have emitted.

A comment right above a block changes that:

- `<!-- run: fails -->`: the command must fail.
- `<!-- run: stays -->`: the command runs on while the rest of the page is run;
  what the page shows is how its output begins.
- `<!-- run: on a terminal -->`, `<!-- run: stays on a terminal -->`: the command is
  run on a terminal of 100 columns, without colours.
- `<!-- run: save NAME -->`: the block is a file, of any language.
- `<!-- run: not, REASON -->`: the block is not run. Tests count these.

Any other block is an error, so that none is left out by accident.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gateway import BINARY, POLL_SECONDS, ROOT, TARGET, Gateway, environment

# How long a command may take, and how long one that runs on may take to print
# what the page shows, in seconds.
COMMAND_SECONDS_MAX = 120
OUTPUT_SECONDS_MAX = 60

FENCE = "```"
SHELL = "sh"
OUTPUTS = ("text", "json")
DIRECTIVE = re.compile(
    r"<!-- run: (?:(fails|on a terminal)|(stays)( on a terminal)?|(save) (\S+)|(not), (.+)) -->"
)
ON_TERMINAL = "on a terminal"
TERMINAL_ROWS, TERMINAL_COLUMNS = 40, 100
# Runs the command that follows on a terminal, and prints what that shows.
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
ELISION = "…"

# Where pages say that the gateway listens, and how they start the program.
ADDRESS = re.compile(r"(?:localhost|127\.0\.0\.1):50051")
# A second gateway, which a page starts by itself at this port: it gets a free one.
OTHER_PORT = re.compile(r"(localhost|127\.0\.0\.1):50052")
CARGO = "cargo run --release --"
# Three servers and three gateways, and the ports of the gateways there.
CLUSTER = "make cluster"
CLUSTER_PORT = re.compile(r"127\.0\.0\.1:5006([1-3])")
NATS_SERVER = TARGET / "venv" / "bin" / "nats-server"
PROGRAM = "auditgate"
# What make leaves in a clone.
BUILT = "target"
NEW_FOLDER = 'cd "$(mktemp -d)"\n'
SERVE = re.compile(rf"{PROGRAM} serve(.*)\n")

# What differs from run to run, and what stands for it in a comparison.
VARYING = [
    (re.compile(r"(?:\d{4}-)?\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?"), "TIME"),
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"(?:localhost|127\.0\.0\.1):\d+"), "ADDRESS"),
    (re.compile(r'("cursor"|"nextPageToken"): "[^"]*"'), r"\1: TOKEN"),
    (re.compile(r'(auditgate |"version": ")\d+\.\d+\.\d+'), r"\1VERSION"),
]


class PageError(AssertionError):
    """A page and the program disagree, or the page cannot be run."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the comment above it asks for."""

    place: str
    language: str
    text: str
    directive: str = ""
    argument: str = ""


def blocks(name: str, page: str) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    above = ""
    lines: Iterator[tuple[int, str]] = enumerate(page.splitlines(), start=1)
    for number, line in lines:
        if line.startswith(FENCE):
            place = f"{name}:{number}"
            found.append(Block(place, line[len(FENCE) :], inside(place, lines), *asked(place, above)))
        above = line
    return found


def inside(place: str, lines: Iterable[tuple[int, str]]) -> str:
    """Reads the lines up to the end of a block."""
    text = ""
    for _, line in lines:
        if line == FENCE:
            return text
        text += line + "\n"
    raise PageError(f"{place}: the block does not end")


def asked(place: str, above: str) -> tuple[str, str]:
    """The directive in the line above a block, and its argument."""
    if not above.startswith("<!--"):
        return "", ""
    match = DIRECTIVE.fullmatch(above)
    if match is None:
        raise PageError(f"{place}: the comment above is not one that pages have: {above}")
    words = [word for word in match.groups() if word]
    return words[0], "".join(words[1:]).strip()


def normalized(text: str) -> list[str]:
    """The lines of `text`, without what differs from run to run."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return [line.rstrip() for line in text.strip().splitlines()]


def shows(expected: str, actual: str, *, beginning: bool = False) -> bool:
    """Whether a page that shows `expected` tells what `actual` is, or how it
    begins."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == ELISION else re.escape(line).replace(ELISION, ".*") + r"\n"
        for line in normalized(expected)
    )
    match = re.match if beginning else re.fullmatch
    return match(pattern, "".join(line + "\n" for line in normalized(actual))) is not None


class Staying:
    """A command that runs on while the rest of its page is run."""

    def __init__(self, block: Block, expected: str, process: subprocess.Popen[bytes], output: Path):
        self._block, self._expected, self._output = block, expected, output
        self.process = process

    def wait_for_output(self) -> None:
        """Waits for the first line, if the page shows one: what the page does from
        then on is seen by the command."""
        if self._expected:
            self._wait(lambda output: "\n" in output)

    def compare(self) -> None:
        """Waits until the output begins as the page shows; the command must not have
        ended."""
        if self.process.poll() is not None:
            raise PageError(f"{self._block.place}: it did not stay\n{self._output.read_text()}")
        self._wait(lambda output: shows(self._expected, output, beginning=True))

    def _wait(self, is_there) -> None:
        deadline = time.monotonic() + OUTPUT_SECONDS_MAX
        while not is_there(output := self._output.read_text()):
            if time.monotonic() > deadline:
                raise difference(self._block, self._expected, output)
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Ends the command and all that it started."""
        # On a terminal of its own, it is in a group of its own, too.
        started = list(descendants(self.process.pid))
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for process in started:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass


def descendants(process: int) -> Iterator[int]:
    """The processes that a process started, and those that they started."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return
    for child in map(int, children.split()):
        yield child
        yield from descendants(child)


class Run:
    """One run of a page: its folder, its gateway, its commands."""

    def __init__(self, shared: Gateway | None = None) -> None:
        """A run on a gateway of its own, or on one that it shares with other runs."""
        self._stack = ExitStack()
        self.clone = self.folder = self._new_folder()
        self._saved: set[str] = set()
        self._tools = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="auditgate-tools-")))
        self._gateway, self._shares = shared, shared is not None
        self._staying: list[Staying] = []
        self._other_port = free_port()
        self._cluster_ports = [free_port() for _ in range(3)]
        self._link_tools()

    def _new_folder(self) -> Path:
        folder = tempfile.TemporaryDirectory(prefix="auditgate-page-")
        return Path(self._stack.enter_context(folder))

    def _link_tools(self) -> None:
        """What the pages call by name."""
        venv = TARGET / "venv" / "bin"
        (self._tools / PROGRAM).symlink_to(BINARY)
        (self._tools / "grpcurl").symlink_to(venv / "grpcurl")
        (self._tools / "nats-server").symlink_to(NATS_SERVER)
        (self._tools / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (self._tools / "python3").chmod(0o755)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for staying in self._staying:
            staying.kill()
        if self._gateway is not None and not self._shares:
            self._gateway.kill()
        self._stack.close()

    @property
    def gateway(self) -> Gateway:
        """The gateway of the page."""
        if self._gateway is None:
            self._gateway = Gateway()
        return self._gateway

    def page(self, name: str, page: str) -> list[Block]:
        """Runs a page: the blocks that were not run because it asks for that."""
        skipped: list[Block] = []
        rest = blocks(name, page)
        while rest:
            block = rest.pop(0)
            is_command = block.language == SHELL and block.directive not in ("save", "not")
            shown = rest.pop(0) if is_command and rest and is_output(rest[0]) else None
            if block.directive == "not":
                skipped.append(block)
            elif block.directive == "save":
                self._saved.add(block.argument)
                (self.folder / block.argument).write_text(self._addressed(block.text))
            elif is_command:
                self._command(block, shown.text if shown else "")
            else:
                raise PageError(f"{block.place}: this is neither a command nor what one prints")
        for staying in self._staying:
            staying.compare()
        left = {path.name for path in self.clone.iterdir()} - self._saved - {BUILT}
        if left:
            raise PageError(f"{name}: it leaves {sorted(left)} in the clone: begin with {NEW_FOLDER}")
        return skipped

    def _command(self, block: Block, expected: str) -> None:
        command = block.text.replace(CARGO, PROGRAM)
        expected = "" if self._shares else expected
        if command.startswith(NEW_FOLDER):
            self.folder = self._new_folder()
            command = command.removeprefix(NEW_FOLDER)
        command = command.replace(CLUSTER, self._cluster())
        if serve := SERVE.fullmatch(command):
            self._serve(block, serve[1].split(), expected)
        elif block.directive == "stays":
            self._stay(block, command, expected)
        else:
            self._finish(block, command, expected)

    def _cluster(self) -> str:
        """What `make cluster` does, with the program that is tested."""
        ports = ",".join(map(str, self._cluster_ports))
        script = ROOT / "deploy" / "laptop" / "cluster.py"
        return (
            f"python3 {script} --auditgate {BINARY} --nats-server {NATS_SERVER} --folder target/cluster --ports {ports}"
        )

    def _serve(self, block: Block, flags: list[str], expected: str) -> None:
        if self._shares:
            return
        if self._gateway is not None:
            self._gateway.kill()
        self._gateway = Gateway(*flags, folder=self.folder)
        # Only a gateway at another port than the usual one names it to commands.
        said = self._gateway.log().replace(f" --server http://{self._gateway.address}", "")
        if expected and not shows(expected, said):
            raise difference(block, expected, said)

    def _stay(self, block: Block, command: str, expected: str) -> None:
        output = self._tools / f"output-{len(self._staying)}"
        with output.open("wb") as stdout:
            process = subprocess.Popen(
                self._shell(block, command),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._environment(),
                start_new_session=True,
            )
        staying = Staying(block, expected, process, output)
        self._staying.append(staying)
        staying.wait_for_output()

    def _finish(self, block: Block, command: str, expected: str) -> None:
        done = subprocess.run(
            self._shell(block, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            cwd=self.folder,
            env=self._environment(),
        )
        if (done.returncode != 0) != (block.directive == "fails"):
            raise PageError(f"{block.place}: exit status {done.returncode}\n{done.stdout}")
        if expected and not shows(expected, done.stdout):
            raise difference(block, expected, done.stdout)

    def _shell(self, block: Block, command: str) -> list[str]:
        shell = ["bash", "-eu", "-o", "pipefail", "-c"]
        script = self._addressed(command)
        if ON_TERMINAL not in (block.directive, block.argument):
            return [*shell, script]
        size = f"stty rows {TERMINAL_ROWS} columns {TERMINAL_COLUMNS}\n"
        return [sys.executable, "-c", TERMINAL, *shell, size + script]

    def _addressed(self, text: str) -> str:
        """`text`, with the page's gateway for the one that it names."""
        text = CLUSTER_PORT.sub(lambda match: f"127.0.0.1:{self._cluster_ports[int(match[1]) - 1]}", text)
        return OTHER_PORT.sub(rf"\1:{self._other_port}", ADDRESS.sub(self.gateway.address, text))

    def _environment(self) -> dict[str, str]:
        return environment() | {
            "AUDITGATE_SERVER": f"http://{self.gateway.address}",
            "NO_COLOR": "1",
            "no_proxy": "localhost,127.0.0.1",
            "PATH": f"{self._tools}:{os.environ['PATH']}",
            "TZ": "UTC",
        }


def has_own_gateway(name: str, page: str) -> bool:
    """Whether a page needs a gateway with flags that others do not have, or several."""
    commands = [block.text.replace(CARGO, PROGRAM) for block in blocks(name, page)]
    serves = [serve for command in commands if (serve := SERVE.fullmatch(command))]
    return any(serve[1].strip() for serve in serves) or any(CLUSTER in command for command in commands)


def free_port() -> int:
    """A port of loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def is_output(block: Block) -> bool:
    """Whether a block shows what the command before it prints."""
    return block.language in OUTPUTS and not block.directive


def difference(block: Block, expected: str, actual: str) -> PageError:
    return PageError(f"{block.place}: the page shows\n{expected}\nand the command prints\n{actual}")
