"""A verifier of logs and proofs that shares nothing with the gateway.

It was written from docs/FORMAT.md and docs/PROOF.md, and the specifications that
they name, to show that these are enough. It is not fast.

    python verifier.py directory DIR KEY
    python verifier.py proof FILE KEY
"""

from __future__ import annotations

import base64
import hashlib
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HASH_BYTES = 32
TILE_HASHES = 256
LEVELS = 8


class Bad(Exception):
    """Something is not what it should be."""


def need(holds: bool, otherwise: str) -> None:
    """Fails unless a condition holds."""
    if not holds:
        raise Bad(otherwise)


# Notes: C2SP signed-note.


@dataclass(frozen=True)
class Key:
    """A verifier key: NAME+HASH+BASE64."""

    name: str
    id: bytes
    kind: int
    public: Ed25519PublicKey

    @classmethod
    def parse(cls, text: str) -> Key:
        name, hash, encoded = text.strip().split("+", 2)
        data = base64.b64decode(encoded, validate=True)
        id = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
        need(id.hex() == hash and len(data) == 33, f"not a verifier key: {text}")
        return cls(name, id, data[0], Ed25519PublicKey.from_public_bytes(data[1:]))

    def check(self, body: bytes, signature: bytes) -> None:
        """Checks a signature of this key on the text of a note."""
        if self.kind == 4:
            time = int.from_bytes(signature[:8], "big")
            body = f"cosignature/v1\ntime {time}\n".encode() + body
            signature = signature[8:]
        try:
            self.public.verify(signature, body)
        except InvalidSignature:
            raise Bad(f"a signature in the name of {self.name} is not valid") from None


def signed_text(note: str, key: Key) -> str:
    """The text of a note, which the key must have signed."""
    text, found, signatures = note.rpartition("\n\n")
    need(bool(found) and note.endswith("\n"), "not a note")
    text += "\n"
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ", 2)
        data = base64.b64decode(encoded, validate=True)
        if (dash, name, data[:4]) == ("\u2014", key.name, key.id):
            key.check(text.encode(), data[4:])
            return text
    raise Bad(f"{key.name} did not sign it")


@dataclass(frozen=True)
class Checkpoint:
    """C2SP tlog-checkpoint."""

    size: int
    root: bytes

    @classmethod
    def verify(cls, note: str, key: Key) -> Checkpoint:
        origin, size, root, *_ = signed_text(note, key).splitlines()
        need(origin == key.name, f"the checkpoint is of the log {origin}")
        return cls(int(size), base64.b64decode(root, validate=True))


def minimum_index(note: str, key: Key) -> int:
    """The index below which records may be gone."""
    header, origin, index = signed_text(note, key).splitlines()
    need((header, origin) == ("auditgate-minimum/v1", key.name), "not a minimum index")
    return int(index)


# The tree: RFC 6962.


def leaf_hash(record: bytes) -> bytes:
    """Of a record, as it is stored."""
    return hashlib.sha256(b"\0" + hashlib.sha256(record).digest()).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_hash(leaves: list[bytes]) -> bytes:
    """The root over leaf hashes."""
    if not leaves:
        return hashlib.sha256().digest()
    while len(leaves) > 1:
        pairs = [node_hash(*leaves[at : at + 2]) for at in range(0, len(leaves) - 1, 2)]
        # The last one of an odd number goes up as it is.
        leaves = pairs + leaves[2 * len(pairs) :]
    return leaves[0]


def check_inclusion(record: bytes, index: int, path: list[bytes], of: Checkpoint) -> None:
    """RFC 9162, section 2.1.3.2."""
    need(index < of.size, f"leaf {index} lies past the tree")
    at, last, hash = index, of.size - 1, leaf_hash(record)
    for step in path:
        need(last > 0, "the path is too long")
        if at % 2 or at == last:
            hash = node_hash(step, hash)
            while at % 2 == 0 and at > 0:
                at, last = at >> 1, last >> 1
        else:
            hash = node_hash(hash, step)
        at, last = at >> 1, last >> 1
    need(last == 0 and hash == of.root, "the path does not lead to the root")


def check_consistency(old: Checkpoint, new: Checkpoint, steps: list[bytes]) -> None:
    """RFC 9162, section 2.1.4.2."""
    need(old.size <= new.size, "the log was rolled back")
    if old.size == new.size:
        need(old.root == new.root and not steps, "the log was rewritten")
        return
    if old.size == 0:
        need(old.root == tree_hash([]) and not steps, "the log was rewritten")
        return
    if old.size & (old.size - 1) == 0:
        steps = [old.root, *steps]
    need(bool(steps), "there is no proof")
    at, last = old.size - 1, new.size - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        need(last > 0, "the proof is too long")
        if at % 2 or at == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while at % 2 == 0 and at > 0:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, step)
        at, last = at >> 1, last >> 1
    is_right = last == 0 and first == old.root and second == new.root
    need(is_right, "the log was rewritten")


def check_proof(text: str, key: Key) -> tuple[int, bytes]:
    """A proof file: C2SP tlog-proof. Gives the sequence and the record."""
    head, found, note = text.partition("\n\n")
    need(bool(found), "not a proof file")
    header, extra, index, *path = head.split("\n")
    need(header == "c2sp.org/tlog-proof@v1", "not a proof file")
    need(extra.startswith("extra ") and index.startswith("index "), "not a proof of a record")
    record = base64.b64decode(extra[6:], validate=True)
    checkpoint = Checkpoint.verify(note, key)
    hashes = [base64.b64decode(line, validate=True) for line in path]
    check_inclusion(record, int(index[6:]), hashes, checkpoint)
    need(sequence_of(record) == int(index[6:]) + 1, "the record has another sequence")
    return int(index[6:]) + 1, record


# Records: the wire format of protobuf, as far as it is needed.


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = shift = 0
    while True:
        need(at < len(data) and shift < 64, "a varint does not end")
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def sequence_of(record: bytes) -> int:
    """Field 1, which stands first."""
    need(record[:1] == b"\x08", "a record begins with its sequence")
    return varint(record, 1)[0]


def unframed(frame: bytes) -> bytes:
    """The record of a frame."""
    need(frame[:1] == b"\x0a", "a frame begins with the key of a record")
    length, at = varint(frame, 1)
    need(at + length == len(frame), "a frame has the length that it says")
    return frame[at:]


# Segments: docs/FORMAT.md.


def crc_table() -> list[int]:
    """For CRC-32C, reflected."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()


def checksum(data: bytes) -> int:
    """CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def sealed(data: bytes) -> bool:
    """Whether the last four bytes are the checksum of those before."""
    return checksum(data[:-4]) == int.from_bytes(data[-4:], "little")


def records(path: Path, log_id: bytes) -> Iterator[tuple[int, bytes]]:
    """The records of a segment file, with the sequences of their places."""
    data = path.read_bytes()
    for at in (0, 2_048):
        need(data[at : at + 8] == b"AGSEGMNT", f"{path.name} is no segment file")
        need(sealed(data[at : at + 64]), f"{path.name}: a header is damaged")
    _, version, _, log, base, _, salt = struct.unpack_from("<8sII16sQQQ", data)
    need(version == 1 and log == log_id, f"{path.name} is of another log, or newer")
    need(path.name == f"{base:020}.log", f"{path.name} says that it begins with {base}")
    at, expected = 4_096, base
    while any(data[at:]):
        header = data[at : at + 64]
        need(header[:8] == b"AGGROUP\1" and sealed(header), f"{path.name}: no group at {at}")
        _, salt_of, first, count, length, table_sum = struct.unpack_from("<8sQQIII", header)
        need(salt_of == salt and first == expected, f"{path.name}: the group at {at} is not its")
        table = data[at + 64 : at + 64 + 8 * count]
        need(checksum(table) == table_sum, f"record {first}: the table is damaged")
        start = at + 64 + len(table)
        need(sum(size for size, _ in struct.iter_unpack("<II", table)) == length, "sizes differ")
        for size, frame_sum in struct.iter_unpack("<II", table):
            frame = data[start : start + size]
            need(checksum(frame) == frame_sum, f"record {expected}: the frame is damaged")
            record = unframed(frame)
            need(sequence_of(record) == expected, f"record {expected} has another sequence")
            yield expected, record
            start, expected = start + size, expected + 1
        at = -(-start // 512) * 512
        need(not any(data[start:at]), f"{path.name}: there are bytes at {start}")


# Tiles: C2SP tlog-tiles.


def tile_path(level: int, index: int, width: int) -> str:
    """Where a tile lies."""
    parts = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        parts.insert(0, f"x{index % 1000:03}")
    partial = "" if width == TILE_HASHES else f".p/{width}"
    return f"tile/{level}/{'/'.join(parts)}{partial}"


def tiles(leaves: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """The tiles of a tree: paths and contents."""
    level = 0
    while leaves:
        above = []
        for start in range(0, len(leaves), TILE_HASHES):
            hashes = leaves[start : start + TILE_HASHES]
            yield tile_path(level, start // TILE_HASHES, len(hashes)), b"".join(hashes)
            if len(hashes) == TILE_HASHES:
                above.append(tree_hash(hashes))
        leaves, level = above, level + 1


def check_tiles(folder: Path, leaves: list[bytes], size: int) -> None:
    """All tiles that there are, and that those are there which a tree needs."""
    made = {path.partition(".p/")[0]: content for path, content in tiles(leaves)}
    for path in (folder / "tile").rglob("*"):
        if path.is_file() and path.suffix != ".new":
            name = path.relative_to(folder).as_posix()
            is_right = made.get(name.partition(".p/")[0], b"").startswith(path.read_bytes())
            need(is_right and path.stat().st_size > 0, f"{name} is not what the records make it")
    for path, content in tiles(leaves[:size]):
        # A partial tile may have become a full one since.
        found = [folder / path, folder / path.partition(".p/")[0]]
        lengths = [file.stat().st_size for file in found if file.is_file()]
        is_whole = any(length >= len(content) for length in lengths)
        need(is_whole, f"{path} is not there")


def check_directory(folder: Path, key: Key) -> tuple[int, int]:
    """A data directory: every frame, hash, tile and the checkpoint. Gives the first
    and the last sequence."""
    log = (folder / "log").read_bytes()
    need(log[:8] == b"AGLOG\0\0\0" and sealed(log), "the file log is damaged")
    log_id, first = log[16:32], int.from_bytes(log[40:48], "little")
    checkpoint = Checkpoint.verify((folder / "checkpoint").read_text(), key)
    note = folder / "minimum"
    minimum = minimum_index(note.read_text(), key) if note.exists() else 0
    need(first <= minimum + 1, f"record {minimum + 1} is gone, and that was not signed")
    leaves = []
    for index in range(first - 1):
        full = folder / tile_path(0, index // TILE_HASHES, TILE_HASHES)
        edge = folder / tile_path(0, index // TILE_HASHES, checkpoint.size % TILE_HASHES or 1)
        tile = (full if full.exists() else edge).read_bytes()
        at = index % TILE_HASHES * HASH_BYTES
        leaves.append(tile[at : at + HASH_BYTES])
    for path in sorted((folder / "segments").glob("*.log")):
        for sequence, record in records(path, log_id):
            if sequence >= first:
                need(sequence == len(leaves) + 1, f"record {len(leaves) + 1} is missing")
                leaves.append(leaf_hash(record))
    need(len(leaves) >= checkpoint.size, f"record {len(leaves) + 1} is missing: it was signed")
    is_signed = tree_hash(leaves[: checkpoint.size]) == checkpoint.root
    need(is_signed, f"the records up to {checkpoint.size} are not those that were signed")
    check_tiles(folder, leaves, checkpoint.size)
    return first, len(leaves)


def main(arguments: list[str]) -> int:
    """Says what was verified, or what is bad."""
    what, path, key_text = arguments
    key = Key.parse(Path(key_text).read_text() if Path(key_text).exists() else key_text)
    try:
        if what == "directory":
            first, last = check_directory(Path(path), key)
            print(f"good: records {first} to {last}, their tiles, and the checkpoint")
        else:
            sequence, _ = check_proof(Path(path).read_text(), key)
            print(f"good: record {sequence} is in the log {key.name}")
    except (Bad, ValueError, struct.error) as error:
        print(f"bad: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
