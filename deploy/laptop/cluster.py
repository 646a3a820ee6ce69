#!/usr/bin/env python3
"""Three NATS servers and three gateways on one machine, to try a shared log: `make cluster`.

All of them listen on loopback only and keep their files in one folder. Ctrl-C ends them
all. The folder is removed then, unless --folder names it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

MEMBERS = 3
# Where the gateways listen unless --ports says otherwise.
GATEWAY_PORTS = (50061, 50062, 50063)
# Bounds on waiting, in seconds.
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 15
POLL_SECONDS = 0.05
# Servers that have just started have no leader for a while.
INIT_ATTEMPTS = 100
INIT_PAUSE_SECONDS = 0.3

SETTINGS = """\
server_name: nats-{number}
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
max_payload: 8MB
jetstream {{ store_dir: "{store}", sync_interval: always }}
cluster {{ name: laptop, listen: "127.0.0.1:{route}", routes: [{routes}] }}
"""

GUIDE = """
Three gateways, one log. In another terminal:

  auditgate tail --server http://127.0.0.1:{second}
  auditgate emit user.login --user alice --server http://127.0.0.1:{first}
  kill -9 $(cat {folder}/nats-1.pid)    # or any other one
  auditgate emit user.login --user bob --server http://127.0.0.1:{third}

A process that ended starts again after {restart:.0f} s. Their logs are {folder}/*.log
Ctrl-C ends all of them.
"""


class Failure(Exception):
    """What is told to the user, without a traceback."""


class Stopped(Exception):
    """A signal asks to end."""


class Process:
    """A program that is started again when it ends."""

    def __init__(self, name: str, command: list[str], folder: Path, address: str) -> None:
        self.name, self.address = name, address
        self._command, self._log = command, folder / f"{name}.log"
        self._id_file = folder / f"{name}.pid"
        self._ended_at = 0.0
        self.start()

    def start(self) -> None:
        """Starts the program; in a group of its own, so that Ctrl-C does not reach it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._id_file.write_text(f"{self.id}\n")

    @property
    def id(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Says why the program has ended, if it has."""
        if not self.is_running():
            text = self._log.read_text(errors="replace")
            raise Failure(f"{self.name} ended with status {self._process.returncode}:\n{text}")

    def wait_for_port(self) -> None:
        """Waits until somebody listens at the address."""
        host, _, port = self.address.partition(":")
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            self.check()
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Failure(f"{self.name} does not listen at {self.address}") from None
                time.sleep(POLL_SECONDS)

    def restart_after(self, seconds: float) -> None:
        """Starts the program again some seconds after it ended."""
        if self.is_running():
            self._ended_at = 0.0
        elif not self._ended_at:
            self._ended_at = time.monotonic()
            say(f"{self.name} has ended; it starts again in {seconds:.0f} s")
        elif time.monotonic() > self._ended_at + seconds:
            self.start()
            say(f"{self.name} runs again, process {self.id}")

    def terminate(self) -> None:
        if self.is_running():
            # One that is suspended could not end.
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()

    def wait(self) -> None:
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def say(text: str) -> None:
    print(text, flush=True)


def free_ports(count: int) -> list[int]:
    """Ports of loopback at which nobody listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def check_free(ports: list[int]) -> None:
    """The ports of the gateways must be free: commands name them."""
    for port in ports:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise Failure(f"port {port} is not free ({error.strerror}): choose others with --ports") from None


def start_servers(program: str, folder: Path, running: list[Process]) -> tuple[str, str]:
    """Starts the NATS servers; returns where clients connect, and where their monitors are."""
    ports = free_ports(3 * MEMBERS)
    clients, monitors, routes = ports[:MEMBERS], ports[MEMBERS : 2 * MEMBERS], ports[2 * MEMBERS :]
    peers = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes)
    for number, (port, monitor, route) in enumerate(zip(clients, monitors, routes), start=1):
        settings = folder / f"nats-{number}.conf"
        settings.write_text(
            SETTINGS.format(
                number=number, port=port, monitor=monitor, route=route, routes=peers,
                store=folder / f"nats-{number}",
            )
        )
        command = [program, "--config", str(settings)]
        running.append(Process(f"nats-{number}", command, folder, f"127.0.0.1:{port}"))
    for server in running:
        server.wait_for_port()
    return (
        ",".join(f"nats://127.0.0.1:{port}" for port in clients),
        ",".join(f"http://127.0.0.1:{port}" for port in monitors),
    )


def make_stream(program: str, servers: str, keys: Path) -> None:
    """`auditgate cluster init`, which may have to wait until the servers have a leader."""
    command = [program, "cluster", "init", "--shared", servers, "--replicas", str(MEMBERS), "--out", str(keys)]
    for _ in range(INIT_ATTEMPTS):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            return
        time.sleep(INIT_PAUSE_SECONDS)
    raise Failure(f"auditgate cluster init:\n{done.stdout}{done.stderr}")


def start_gateways(
    program: str, servers: tuple[str, str], ports: list[int], folder: Path, keys: Path, running: list[Process]
) -> None:
    """Starts the gateways, each with a directory of its own."""
    gateways = []
    for number, port in enumerate(ports, start=1):
        command = [
            program, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(folder / f"gateway-{number}"),
            "--shared", servers[0], "--shared-monitor", servers[1], "--cluster-key", str(keys / "cluster.key"),
            "--signing-key", str(keys / "signing.key"),
        ]  # fmt: skip
        gateways.append(Process(f"gateway-{number}", command, folder, f"127.0.0.1:{port}"))
        running.append(gateways[-1])
    for gateway in gateways:
        gateway.wait_for_port()


def end(processes: list[Process]) -> None:
    """Ends processes, and waits until they have ended."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def run(args: argparse.Namespace, running: list[Process], folder: Path) -> None:
    check_free(args.ports)
    servers = start_servers(args.nats_server, folder, running)
    keys = folder / "keys"
    # A folder that is used again has the keys of the log that it has.
    if not (keys / "cluster.key").exists():
        make_stream(args.auditgate, servers[0], keys)
    start_gateways(args.auditgate, servers, args.ports, folder, keys, running)
    for process in running:
        say(f"{process.name:<10} {process.address:<16} process {process.id}")
    first, second, third = args.ports
    say(
        GUIDE.format(
            first=first, second=second, third=third, restart=args.restart_after,
            folder=args.folder or folder,
        )
    )
    while True:
        time.sleep(POLL_SECONDS)
        for process in running:
            process.restart_after(args.restart_after)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--auditgate", default="target/release/auditgate", help="the program")
    parser.add_argument("--nats-server", default="target/venv/bin/nats-server", help="the program")
    parser.add_argument("--ports", default=GATEWAY_PORTS, metavar="PORT,PORT,PORT", help="of the gateways",
                        type=lambda text: [int(port) for port in text.split(",")])
    parser.add_argument("--folder", type=Path, help="keep all files here; start again with what it has")
    parser.add_argument("--restart-after", type=float, default=15, metavar="SECONDS",
                        help="a process that ended is started again after so long (default: 15)")
    args = parser.parse_args()
    args.ports = list(args.ports)
    for program in (args.auditgate, args.nats_server):
        if shutil.which(program) is None:
            parser.error(f"there is no program {program}")
    if len(args.ports) != MEMBERS:
        parser.error(f"--ports names {MEMBERS} ports")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    running: list[Process] = []
    with ExitStack() as stack:
        if args.folder:
            folder = args.folder.resolve()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="auditgate-cluster-")))
        try:
            run(args, running, folder)
        except Stopped:
            say("ending all processes")
        except Failure as failure:
            print(f"cluster: {failure}", file=sys.stderr)
            return 1
        finally:
            # The gateways first: they close their logs while the servers still answer.
            end(running[MEMBERS:])
            end(running[:MEMBERS])
    return 0


if __name__ == "__main__":
    sys.exit(main())
