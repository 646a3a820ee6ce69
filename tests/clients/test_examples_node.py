"""The Node examples."""

from __future__ import annotations

import unittest
from pathlib import Path

import examples
from manners import Manners


class Node(Manners, unittest.TestCase):
    def folder(self) -> Path:
        return examples.set_up("node", "npm run generate")

    def emitter(self, address: str) -> list[str]:
        return examples.command("node", "node --import tsx emitter.ts", "--server", address)

    def subscriber(self, address: str, cursor_file: Path) -> list[str]:
        start = "node --import tsx subscriber.ts"
        return examples.command("node", start, "--server", address, "--cursor-file", cursor_file)

    def test_types(self) -> None:
        examples.run("npm run check", self.folder())


if __name__ == "__main__":
    unittest.main()
