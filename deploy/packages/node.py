"""The npm package, which carries the binary: `npx auditgate`.

The command is a shell script that replaces itself by the binary of the machine, so that
signals and exit statuses are the binary's own.
"""

from __future__ import annotations

import json

from archive import File, Files, tar_gz

# Names of machines: of the kernel, and of Node.
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}

LAUNCHER = """#!/bin/sh
# npm links to this file: follow the link to the package.
set -e
self=$(readlink -f "$0")
binary=$(dirname "$(dirname "$self")")/lib/linux-$(uname -m)/auditgate
if [ ! -x "$binary" ]; then
    echo "auditgate: this npm package has no binary for $(uname -s) on $(uname -m)" >&2
    exit 2
fi
exec "$binary" "$@"
"""


def build(version: str, binaries: dict[str, bytes], readme: bytes, licences: Files) -> bytes:
    """The package's bytes, with a binary for each of these machines."""
    manifest = {
        "name": "auditgate",
        "version": version,
        "description": "A gRPC audit event gateway: typed events in, live streams and searchable history out",
        "license": "Apache-2.0",
        "repository": {"type": "git", "url": "git+https://github.com/auditgate/auditgate.git"},
        "bin": {"auditgate": "bin/auditgate"},
        "os": ["linux"],
        "cpu": [MACHINES[machine] for machine in sorted(binaries)],
        "files": ["bin", "lib", "THIRD-PARTY.txt"],
    }
    files: Files = {
        "package.json": File((json.dumps(manifest, indent=2) + "\n").encode()),
        "README.md": File(readme),
        "bin/auditgate": File(LAUNCHER.encode(), 0o755),
    }
    files |= {f"lib/linux-{machine}/auditgate": File(binary, 0o755) for machine, binary in binaries.items()}
    files |= licences
    return tar_gz({f"package/{path}": file for path, file in files.items()})
