"""Prints records as they come, until it is told to stop. Started again, it goes
on where it was."""

from __future__ import annotations

import signal
import sys
import threading

import grpc

import shared
from auditgate.v1.audit_service_pb2_grpc import AuditServiceStub


def main() -> int:
    arguments = shared.subscriber_arguments(__doc__)
    target = shared.target(arguments)
    # As in emitter.py: one thread waits for the signals, the others take none.
    signal.pthread_sigmask(signal.SIG_BLOCK, shared.STOP_SIGNALS)
    stop = threading.Event()
    call: grpc.Call | None = None

    def wait_for_signal() -> None:
        signal.sigwait(shared.STOP_SIGNALS)
        stop.set()
        if call is not None:
            call.cancel()

    threading.Thread(target=wait_for_signal, daemon=True).start()

    cursor_file = shared.CursorFile(arguments.cursor_file)
    delays = shared.delays()
    with target.channel(grpc) as channel:
        stub = AuditServiceStub(channel)
        while not stop.is_set():
            # No deadline: the stream has no end, and keepalive guards it.
            call = stub.Subscribe(cursor_file.request())
            # The signal may have come just before there was a call to cancel.
            if stop.is_set():
                call.cancel()
            ended = "the gateway ended the stream"
            try:
                for response in call:
                    # In this order: a crash in between repeats this one message.
                    # The other way round would lose it.
                    shared.handle(response)
                    cursor_file.store(response.cursor)
                    delays = shared.delays()
            except grpc.RpcError as error:
                if stop.is_set():
                    break
                if error.code() not in shared.RETRIED:
                    shared.tell(f"refused: {shared.explain(error)}")
                    return 1
                ended = shared.explain(error)
            delay = next(delays)
            shared.tell(f"connecting again in {delay:.1f} s: {ended}")
            stop.wait(delay)
    return 0


if __name__ == "__main__":
    sys.exit(main())
