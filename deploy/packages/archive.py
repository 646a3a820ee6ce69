"""Archives whose bytes depend on their content alone.

Entries are sorted, owned by root and dated by SOURCE_DATE_EPOCH, so that two builds
of the same files give the same archive.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

# The earliest time that a zip archive can hold: 1980-01-01, in seconds since 1970.
ZIP_EPOCH_MIN = 315_532_800


@dataclass(frozen=True)
class File:
    """One file of a package: its content and its mode."""

    content: bytes
    mode: int = 0o644

    @classmethod
    def read(cls, path: Path, mode: int = 0o644) -> File:
        """Reads a file of this machine; its mode there does not matter."""
        return cls(path.read_bytes(), mode)


# Files by their path in the package, without a leading slash.
Files = dict[str, File]


def epoch() -> int:
    """The time of all entries, in seconds since 1970."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def tar_gz(files: Files) -> bytes:
    """A .tar.gz with these files and the directories above them."""
    return gzip.compress(tar(files), mtime=0)


def tar(files: Files) -> bytes:
    """A .tar with these files and the directories above them."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for directory in directories(files):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, epoch()
            archive.addfile(entry)
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, epoch()
            archive.addfile(entry, io.BytesIO(file.content))
    return raw.getvalue()


def zip_archive(files: Files) -> bytes:
    """A .zip with these files, in the order given."""
    date = time.gmtime(max(epoch(), ZIP_EPOCH_MIN))[:6]
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, file in files.items():
            entry = zipfile.ZipInfo(path, date)
            entry.compress_type = zipfile.ZIP_DEFLATED
            # The upper half is the mode of Unix, with the bit of a regular file.
            entry.external_attr = (0o100000 | file.mode) << 16
            archive.writestr(entry, file.content)
    return raw.getvalue()


def directories(files: Files) -> list[str]:
    """All directories above these files, parents first."""
    found = {str(parent) for path in files for parent in Path(path).parents}
    return sorted(found - {"."})


def write_tree(files: Files, root: Path) -> None:
    """Writes the files below a directory, with their modes and the time of all entries."""
    for path, file in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    for path in [*files, *directories(files)]:
        target = root / path
        if target.is_dir():
            target.chmod(0o755)
        os.utime(target, (epoch(), epoch()))
    os.utime(root, (epoch(), epoch()))
