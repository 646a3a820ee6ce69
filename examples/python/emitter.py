"""Emits events in batches, until its input ends or it is told to stop."""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator

import grpc

import shared
from auditgate.v1.audit_service_pb2 import EmitBatchRequest
from auditgate.v1.audit_service_pb2_grpc import AuditServiceStub
from auditgate.v1.event_pb2 import Event


def main() -> int:
    arguments = shared.emitter_arguments(__doc__)
    target = shared.target(arguments)
    # One thread waits for the signals, so all others, which inherit this, must
    # not take them. A handler would run in the middle of whatever the main thread
    # is doing, with whatever lock it holds.
    signal.pthread_sigmask(signal.SIG_BLOCK, shared.STOP_SIGNALS)
    stop = threading.Event()
    tally = shared.Tally()
    # None ends it.
    waiting: queue.Queue[Event | None] = queue.Queue(shared.QUEUE_EVENTS_MAX)

    def read() -> None:
        for event in shared.events(arguments.count, tally):
            if stop.is_set():
                return
            waiting.put(event)
        waiting.put(None)

    def wait_for_signal() -> None:
        signal.sigwait(shared.STOP_SIGNALS)
        stop.set()
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    threading.Thread(target=wait_for_signal, daemon=True).start()

    with target.channel(grpc) as channel:
        stub = AuditServiceStub(channel)
        for batch in batches(waiting):
            send(stub, batch, stop, tally)
    return tally.exit_status()


def batches(waiting: queue.Queue[Event | None]) -> Iterator[list[Event]]:
    """Cuts the events into batches."""
    while (event := waiting.get()) is not None:
        batch = shared.Batch(event)
        due = time.monotonic() + shared.BATCH_SECONDS_MAX
        while not batch.is_full():
            try:
                event = waiting.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                break
            if event is None:
                yield batch.events
                return
            batch.add(event)
        yield batch.events


def send(
    stub: AuditServiceStub, batch: list[Event], stop: threading.Event, tally: shared.Tally
) -> None:
    """Sends a batch until the gateway has answered. Once told to stop, it tries
    once more."""
    delays = shared.delays()
    while batch:
        is_last_try = stop.is_set()
        try:
            # The same events each time, with the same ids: if only the answer was
            # lost, the gateway stores nothing twice.
            request = EmitBatchRequest(events=batch)
            tally.accept(stub.EmitBatch(request, timeout=shared.CALL_SECONDS_MAX))
            return
        except grpc.RpcError as error:
            if error.code() not in shared.RETRIED:
                batch = tally.refuse(batch, error)
            elif is_last_try:
                tally.give_up(batch)
                return
            else:
                delay = next(delays)
                shared.tell(f"trying again in {delay:.1f} s: {shared.explain(error)}")
                stop.wait(delay)


if __name__ == "__main__":
    sys.exit(main())
