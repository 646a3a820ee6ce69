"""The Python examples, with threads and with asyncio."""

from __future__ import annotations

import unittest
from pathlib import Path

import examples
from manners import Manners


class Threads(Manners, unittest.TestCase):
    SUFFIX = ""

    def folder(self) -> Path:
        return examples.set_up("python", "python -m grpc_tools.protoc")

    def emitter(self, address: str) -> list[str]:
        start = f"python emitter{self.SUFFIX}.py"
        return examples.command("python", start, "--server", address)

    def subscriber(self, address: str, cursor_file: Path) -> list[str]:
        start = f"python subscriber{self.SUFFIX}.py"
        return examples.command("python", start, "--server", address, "--cursor-file", cursor_file)


class Asyncio(Threads):
    SUFFIX = "_async"


if __name__ == "__main__":
    unittest.main()
