"""The README's commands print what the README shows."""

from __future__ import annotations

import unittest

from gateway import ROOT
from pages import Run

# Blocks that the README says are not run.
SKIPPED = 1


class Readme(unittest.TestCase):
    def test_the_commands_print_what_the_readme_shows(self) -> None:
        with Run() as run:
            skipped = run.page("README.md", (ROOT / "README.md").read_text())
        self.assertEqual(len(skipped), SKIPPED, [block.place for block in skipped])


if __name__ == "__main__":
    unittest.main()
