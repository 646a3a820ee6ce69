"""Records in other formats, which the Rust tests have written: all types, with every field, with
none, and with hostile values."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("AUDITGATE_FORMAT_SAMPLES", ROOT / "target" / "formats"))


@functools.cache
def lines(format: str) -> list[str]:
    """A record a line."""
    text = (FOLDER / f"{format}.lines").read_text(encoding="utf-8")
    found = text.removesuffix("\n").split("\n")
    assert len(found) > 150, f"{format}: {len(found)} samples are too few"
    return found


@functools.cache
def read(format: str) -> list[Any]:
    """A JSON value a line."""
    return [json.loads(line) for line in lines(format)]
