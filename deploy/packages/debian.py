"""The Debian package: binary, hardened unit, user and data directory."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from archive import File, Files, directories, epoch, write_tree

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

CONTROL = """Package: auditgate
Version: {version}
Architecture: {architecture}
Maintainer: The auditgate authors <auditgate@users.noreply.github.com>
Installed-Size: {kibibytes}
Depends: libc6 (>= {glibc}), libgcc-s1 (>= 3.0), adduser
Recommends: ca-certificates
Section: net
Priority: optional
Homepage: https://github.com/auditgate/auditgate
Description: gRPC gateway for audit events
 Services emit typed audit events to auditgate. It checks them, puts them into one
 order, keeps them and can prove that none was changed or removed. People and programs
 subscribe to the live stream and search the history.
 .
 The package starts the gateway on loopback, with its log in /var/lib/auditgate.
"""

# The user owns the log; the configuration is root's, and the user may read it.
POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    if ! getent passwd auditgate >/dev/null; then
        adduser --system --group --no-create-home --home /var/lib/auditgate \\
            --gecos 'auditgate' auditgate >/dev/null
    fi
    install -d -m 0700 -o auditgate -g auditgate /var/lib/auditgate
    chown root:auditgate /etc/auditgate
    chmod 0750 /etc/auditgate
    if [ -e /etc/auditgate/auditgate.toml ]; then
        chgrp auditgate /etc/auditgate/auditgate.toml
    fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl enable --quiet auditgate.service
        systemctl restart auditgate.service
    fi
fi
"""

PRERM = """#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --quiet --now auditgate.service
fi
"""

# The log is evidence: `purge` removes the configuration, and says where the log is.
POSTRM = """#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ "$1" = purge ] && [ -d /var/lib/auditgate ]; then
    echo 'auditgate: the log stays in /var/lib/auditgate; remove it yourself'
fi
"""


def build(target: Path, version: str, machine: str, glibc: str, files: Files, configuration: Files) -> None:
    """Builds the package at `target` with dpkg-deb; `configuration` are its conffiles."""
    architecture = ARCHITECTURES[machine]
    everything = files | configuration
    size = sum(len(file.content) for file in everything.values())
    control = CONTROL.format(
        version=version, architecture=architecture, glibc=glibc, kibibytes=(size + 1023) // 1024
    )
    conffiles = "".join(f"/{path}\n" for path in sorted(configuration))
    everything = everything | {
        "DEBIAN/control": File(control.encode()),
        "DEBIAN/conffiles": File(conffiles.encode()),
        "DEBIAN/postinst": File(POSTINST.encode(), 0o755),
        "DEBIAN/prerm": File(PRERM.encode(), 0o755),
        "DEBIAN/postrm": File(POSTRM.encode(), 0o755),
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "package"
        write_tree(everything, root)
        # The directories that a write just touched keep the time of all entries.
        for directory in directories(everything):
            os.utime(root / directory, (epoch(), epoch()))
        root.chmod(0o755)
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(target)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch())}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
