"""A verifier written from the documents alone agrees with the gateway."""

from __future__ import annotations

import random
import subprocess
import tempfile
import unittest
from pathlib import Path

from gateway import BINARY, ROOT, Client, Gateway, environment
from verifier import Bad, Checkpoint, Key, check_consistency, check_directory, check_proof

# Events of the log, emitted in two batches.
EVENTS = 600
# How many bytes of the directory are flipped.
FLIPS = 60


def run(*arguments: str | Path) -> str:
    """What a command prints."""
    done = subprocess.run(
        [BINARY, *arguments], capture_output=True, text=True, env=environment(), check=True
    )
    return done.stdout


class Proofs(unittest.TestCase):
    folder: Path
    key: Key

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="auditgate-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        signing = cls.folder / "key"
        cls.key = Key.parse(run("keygen", "--name", "test.example/log", "--out", signing))
        gateway = Gateway("--data-dir", str(cls.folder / "data"), "--signing-key", str(signing))
        cls.addClassCleanup(gateway.kill)
        client = Client(gateway.address)
        cls.addClassCleanup(client.close)
        cls.checkpoints = [client.call("GetCheckpoint").checkpoint]
        for start in (0, EVENTS // 2):
            numbers = range(start, start + EVENTS // 2)
            events = [client.event(f"e-{number}", "user_login") for number in numbers]
            client.call("EmitBatch", events=events)
            cls.checkpoints.append(client.call("GetCheckpoint").checkpoint)
        sizes = [Checkpoint.verify(note, cls.key).size for note in cls.checkpoints]
        cls.consistency = [client.call("GetConsistencyProof", old_size=size) for size in sizes]
        server = f"http://{gateway.address}"
        cls.receipts = {
            number: run("receipt", f"e-{number}", "--server", server) for number in (0, 255, 599)
        }
        gateway.terminate()
        gateway.wait()

    def test_proof_files_prove(self) -> None:
        for number, text in self.receipts.items():
            sequence, record = check_proof(text, self.key)
            self.assertEqual(sequence, number + 1)
            self.assertIn(f"e-{number}".encode(), record)
            changed = text.replace(f"index {number}", f"index {number ^ 1}")
            with self.assertRaises(Bad):
                check_proof(changed, self.key)

    def test_a_later_log_begins_with_an_earlier_one(self) -> None:
        olds = [Checkpoint.verify(note, self.key) for note in self.checkpoints]
        self.assertEqual([old.size for old in olds], [0, EVENTS // 2, EVENTS])
        for old, response in zip(olds, self.consistency, strict=True):
            new = Checkpoint.verify(response.checkpoint, self.key)
            check_consistency(old, new, list(response.hashes))
            with self.assertRaises(Bad):
                other = Checkpoint(old.size, bytes(32))
                check_consistency(other, new, list(response.hashes))

    def test_the_directory_is_good_and_every_flipped_byte_is_found(self) -> None:
        data = self.folder / "data"
        self.assertEqual(check_directory(data, self.key), (1, EVENTS))
        run("verify", "--data-dir", data, "--verifier-key", self.folder / "key.pub")
        chance = random.Random(7)
        segment = next((data / "segments").glob("*.log"))
        used = len(segment.read_bytes().rstrip(b"\0"))
        paths = [segment, data / "log", data / "checkpoint", *(data / "tile").rglob("*")]
        files = [path for path in paths if path.is_file()]
        for _ in range(FLIPS):
            path = chance.choice(files)
            whole = path.read_bytes()
            changed = bytearray(whole)
            changed[chance.randrange(used if path == segment else len(whole))] ^= 1
            path.write_bytes(changed)
            with self.assertRaises((Bad, ValueError), msg=str(path)):
                check_directory(data, self.key)
            path.write_bytes(whole)
        self.assertEqual(check_directory(data, self.key), (1, EVENTS))


if __name__ == "__main__":
    unittest.main()
