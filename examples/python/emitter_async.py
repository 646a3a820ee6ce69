"""Emits events in batches, until its input ends or it is told to stop: emitter.py
with asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import AsyncIterator

import grpc

import shared
from auditgate.v1.audit_service_pb2 import EmitBatchRequest
from auditgate.v1.audit_service_pb2_grpc import AuditServiceStub
from auditgate.v1.event_pb2 import Event


async def main() -> int:
    arguments = shared.emitter_arguments(__doc__)
    target = shared.target(arguments)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    tally = shared.Tally()
    # None ends it.
    waiting: asyncio.Queue[Event | None] = asyncio.Queue(shared.QUEUE_EVENTS_MAX)
    # A task that nobody holds may be collected before it has run.
    endings: list[asyncio.Task[None]] = []

    def end() -> None:
        stop.set()
        endings.append(loop.create_task(waiting.put(None)))

    for number in shared.STOP_SIGNALS:
        loop.add_signal_handler(number, end)

    # A thread, since asyncio reads no plain files, and a daemon, since it may be
    # reading when the program ends.
    def read() -> None:
        def put(event: Event | None) -> None:
            asyncio.run_coroutine_threadsafe(waiting.put(event), loop).result()

        # The loop may end first, before the call or during it.
        with contextlib.suppress(concurrent.futures.CancelledError, RuntimeError):
            for event in shared.events(arguments.count, tally):
                if stop.is_set():
                    return
                put(event)
            put(None)

    threading.Thread(target=read, daemon=True).start()

    async with target.channel(grpc.aio) as channel:
        stub = AuditServiceStub(channel)
        async for batch in batches(waiting):
            await send(stub, batch, stop, tally)
    return tally.exit_status()


async def batches(waiting: asyncio.Queue[Event | None]) -> AsyncIterator[list[Event]]:
    """Cuts the events into batches."""
    loop = asyncio.get_running_loop()
    while (event := await waiting.get()) is not None:
        batch = shared.Batch(event)
        due = loop.time() + shared.BATCH_SECONDS_MAX
        while not batch.is_full():
            try:
                event = await asyncio.wait_for(waiting.get(), max(0.0, due - loop.time()))
            except asyncio.TimeoutError:
                break
            if event is None:
                yield batch.events
                return
            batch.add(event)
        yield batch.events


async def send(
    stub: AuditServiceStub, batch: list[Event], stop: asyncio.Event, tally: shared.Tally
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
            tally.accept(await stub.EmitBatch(request, timeout=shared.CALL_SECONDS_MAX))
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
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
