"""The container image, as an OCI image layout.

It holds the binary, the C library that it needs, the certificates of public CAs, and an
empty data directory of the user 65532. There is no shell and no package manager.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from archive import File, Files, epoch, write_tree

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
USER = 65532
DATA_DIR = "var/lib/auditgate"
CONFIG_DIR = "etc/auditgate"
CA_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nauditgate:x:{USER}:{USER}:auditgate:/{DATA_DIR}:/sbin/nologin\n"
COPYRIGHTS = [Path("/usr/share/doc/libc6/copyright"), Path("/usr/share/doc/libgcc-s1/copyright")]

CONFIG = {
    "--config.user": [f"{USER}:{USER}"],
    "--config.env": [
        "AUDITGATE_LISTEN=0.0.0.0:50051",
        "AUDITGATE_ADMIN_LISTEN=0.0.0.0:9464",
        f"AUDITGATE_DATA_DIR=/{DATA_DIR}/log",
    ],
    "--config.exposedports": ["50051/tcp", "9464/tcp"],
    "--config.volume": [f"/{DATA_DIR}"],
    "--config.workingdir": [f"/{DATA_DIR}"],
    "--config.entrypoint": ["/usr/bin/auditgate"],
    "--config.cmd": ["serve", "--setup", f"/{DATA_DIR}/setup"],
    "--config.stopsignal": ["SIGTERM"],
}


def is_possible() -> bool:
    """Whether this machine has the tool that builds images."""
    return shutil.which("umoci") is not None


def build(folder: Path, version: str, machine: str, binary: Path, licences: Files) -> Files:
    """Builds the layout in `folder`, with the version as the tag; returns its files."""
    image = f"{folder}:{version}"
    when = datetime.datetime.fromtimestamp(epoch(), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    history = ["--history.created", when, "--history.created_by", "make packages"]
    files = contents(binary) | {f"usr/share/doc/auditgate/{path}": file for path, file in licences.items()}
    run("init", "--layout", str(folder))
    run("new", "--image", image)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "root"
        root.mkdir()
        write_tree(files, root)
        for path in (DATA_DIR, CONFIG_DIR):
            (root / path).mkdir(parents=True)
        for path in [root, *root.rglob("*")]:
            owner = USER if path == root / DATA_DIR else 0
            if os.geteuid() == 0:
                os.chown(path, owner, owner)
            if path.is_dir():
                path.chmod(0o755)
            os.utime(path, (epoch(), epoch()))
        (root / DATA_DIR).chmod(0o700)
        os.utime(root / DATA_DIR, (epoch(), epoch()))
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        run("insert", *rootless, "--image", image, *history, str(root), "/")
    settings = [part for name, values in CONFIG.items() for value in values for part in (name, value)]
    labels = {"title": "auditgate", "version": version, "licenses": "Apache-2.0"}
    labels["source"] = "https://github.com/auditgate/auditgate"
    for name, value in labels.items():
        settings += ["--config.label", f"org.opencontainers.image.{name}={value}"]
    settings += ["--created", when, "--architecture", ARCHITECTURES[machine], "--os", "linux", *history]
    run("config", "--image", image, *settings)
    run("gc", "--layout", str(folder))
    return {str(path.relative_to(folder)): File.read(path) for path in folder.rglob("*") if path.is_file()}


def contents(binary: Path) -> Files:
    """The files of the image, but for the licences."""
    files: Files = {"usr/bin/auditgate": File.read(binary, 0o755)}
    for path in libraries(binary):
        files[str(path).lstrip("/")] = File.read(path, 0o755)
    files["etc/passwd"] = File(PASSWD.encode())
    files["etc/nsswitch.conf"] = File(b"hosts: files dns\n")
    if CA_CERTIFICATES.exists():
        files[str(CA_CERTIFICATES).lstrip("/")] = File.read(CA_CERTIFICATES)
    for path in COPYRIGHTS:
        if path.exists():
            files[str(path).lstrip("/")] = File.read(path)
    return files


def libraries(binary: Path) -> list[Path]:
    """The shared libraries that the binary is linked with, the loader included."""
    listed = subprocess.check_output(["ldd", str(binary)], text=True)
    return [Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", listed, re.MULTILINE)]


def run(*arguments: str) -> None:
    """Runs umoci."""
    subprocess.run(["umoci", *arguments], check=True, stdout=subprocess.DEVNULL)
