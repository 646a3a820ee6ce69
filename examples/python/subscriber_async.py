"""Prints records as they come, until it is told to stop. Started again, it goes
on where it was. This is subscriber.py with asyncio."""

from __future__ import annotations

import asyncio
import sys

import grpc

import shared
from auditgate.v1.audit_service_pb2_grpc import AuditServiceStub


async def main() -> int:
    arguments = shared.subscriber_arguments(__doc__)
    target = shared.target(arguments)
    following = asyncio.create_task(follow(target, shared.CursorFile(arguments.cursor_file)))
    for number in shared.STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, following.cancel)
    try:
        return await following
    except asyncio.CancelledError:
        return 0


async def follow(target: shared.Target, cursor_file: shared.CursorFile) -> int:
    """Follows the gateway until it refuses; returns the exit status then."""
    delays = shared.delays()
    async with target.channel(grpc.aio) as channel:
        stub = AuditServiceStub(channel)
        while True:
            ended = "the gateway ended the stream"
            try:
                # No deadline: the stream has no end, and keepalive guards it.
                async for response in stub.Subscribe(cursor_file.request()):
                    # In this order: a crash in between repeats this one message.
                    # The other way round would lose it. Without an await in
                    # between, a signal does not part them.
                    shared.handle(response)
                    cursor_file.store(response.cursor)
                    delays = shared.delays()
            except grpc.RpcError as error:
                if error.code() not in shared.RETRIED:
                    shared.tell(f"refused: {shared.explain(error)}")
                    return 1
                ended = shared.explain(error)
            delay = next(delays)
            shared.tell(f"connecting again in {delay:.1f} s: {ended}")
            await asyncio.sleep(delay)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
