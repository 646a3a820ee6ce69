#!/usr/bin/env python3
"""Puts the packages of several machines together for a release.

The npm package carries the binaries of all machines; the other packages are copied as
they are. Each machine's folder holds what `make packages` built there.
"""

from __future__ import annotations

import argparse
import tarfile
from pathlib import Path

import build
import node
from archive import File, Files

LICENCES = ("LICENSE", "THIRD-PARTY.txt")


def main() -> None:
    """Collects the packages and writes their checksums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="the packages of one machine each")
    parser.add_argument("--out", type=Path, required=True, help="directory for the release")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    version = build.own_version()
    binaries: dict[str, bytes] = {}
    licences: Files = {}
    for folder in options.folders:
        for package in sorted(folder.iterdir()):
            if package.name not in ("SHA256SUMS", f"auditgate-{version}.tgz"):
                (options.out / package.name).write_bytes(package.read_bytes())
        (archive,) = folder.glob("auditgate-*-linux-gnu.tar.gz")
        machine = archive.name.removeprefix(f"auditgate-{version}-").partition("-")[0]
        files = contents(archive)
        binaries[machine] = files["auditgate"]
        licences = {name: File(files[name]) for name in LICENCES}
    readme = (build.ROOT / "README.md").read_bytes()
    npm = node.build(version, binaries, readme, licences)
    (options.out / f"auditgate-{version}.tgz").write_bytes(npm)
    build.write_checksums(options.out)


def contents(archive: Path) -> dict[str, bytes]:
    """The binary and the licences in the archive of one machine."""
    with tarfile.open(archive) as opened:
        root = opened.getnames()[0]
        members = {name: opened.extractfile(f"{root}/{name}") for name in ("auditgate", *LICENCES)}
        return {name: member.read() for name, member in members.items() if member is not None}


if __name__ == "__main__":
    main()
