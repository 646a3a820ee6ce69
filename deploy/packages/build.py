#!/usr/bin/env python3
"""Builds the packages of one binary: `make packages`.

What a package needs and this machine lacks is named and left out: SKIPPED. The binary
may be any build; `make packages` gives it one of the profile `dist`.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import debian
import dependencies
import image
import node
import wheel
from archive import File, Files, sha256, tar, tar_gz

ROOT = Path(__file__).resolve().parents[2]
SHELLS = {
    "bash": "bash-completion/completions/auditgate",
    "zsh": "zsh/vendor-completions/_auditgate",
    "fish": "fish/vendor_completions.d/auditgate.fish",
}
UNIT = ROOT / "deploy/systemd/auditgate.service"
CHART = ROOT / "deploy/helm/auditgate"
# What the Debian package installs as /etc/auditgate/auditgate.toml.
CONFIGURATION = ROOT / "deploy/packages/auditgate.toml"


def main() -> None:
    """Builds all packages and their checksums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, required=True, help="the binary of this machine")
    parser.add_argument("--out", type=Path, required=True, help="directory for the packages")
    options = parser.parse_args()
    version = own_version()
    machine = platform.machine()
    options.out.mkdir(parents=True, exist_ok=True)
    for old in options.out.iterdir():
        old.unlink()

    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "auditgate"
        shutil.copyfile(options.binary, binary)
        binary.chmod(0o755)
        # A package has no use for symbols; a build of the profile `dist` has none.
        subprocess.run(["strip", str(binary)], check=True)
        build_all(options.out, version, machine, binary)
    for path in sorted(options.out.iterdir()):
        print(f"{path.stat().st_size:>12,} bytes  {path.name}")


def build_all(out: Path, version: str, machine: str, binary: Path) -> None:
    """Builds each package into `out`."""
    target = f"{machine}-unknown-linux-gnu"
    crates = dependencies.linked(ROOT, target)
    (out / f"auditgate-{version}-{target}.cdx.json").write_bytes(dependencies.sbom(version, crates))
    licences: Files = {
        "LICENSE": File.read(ROOT / "LICENSE"),
        "THIRD-PARTY.txt": File(dependencies.licences(crates)),
    }
    glibc = oldest_glibc(binary)
    readme = (ROOT / "README.md").read_text()
    content = binary.read_bytes()

    with tempfile.TemporaryDirectory() as folder:
        shared = manuals(binary, Path(folder)) | completions(binary)
    archive = f"auditgate-{version}-{target}"
    files: Files = {"auditgate": File(content, 0o755), **licences, **shared}
    for name in ("README.md", "CHANGELOG.md"):
        files[name] = File.read(ROOT / name)
    (out / f"{archive}.tar.gz").write_bytes(tar_gz({f"{archive}/{path}": file for path, file in files.items()}))

    name = wheel.name(version, machine, glibc)
    (out / name).write_bytes(wheel.build(version, machine, glibc, content, readme, licences))
    npm = node.build(version, {machine: content}, readme.encode(), licences)
    (out / f"auditgate-{version}.tgz").write_bytes(npm)

    if shutil.which("dpkg-deb"):
        package = out / f"auditgate_{version}_{debian.ARCHITECTURES[machine]}.deb"
        debian.build(package, version, machine, glibc, installed(content, licences, shared), configuration())
    else:
        skip("the Debian package", "dpkg-deb")
    if image.is_possible():
        with tempfile.TemporaryDirectory() as folder:
            layout = image.build(Path(folder) / "layout", version, machine, binary, licences)
        architecture = image.ARCHITECTURES[machine]
        (out / f"auditgate-{version}-image-{architecture}.tar").write_bytes(tar(layout))
    else:
        skip("the container image", "umoci")

    chart: Files = {
        f"auditgate/{path.relative_to(CHART)}": File.read(path) for path in CHART.rglob("*") if path.is_file()
    }
    (out / f"auditgate-chart-{version}.tgz").write_bytes(tar_gz(chart))
    write_checksums(out)


def write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS, for `sha256sum --check`."""
    sums = [f"{sha256(path.read_bytes())}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(sums))


def installed(binary: bytes, licences: Files, shared: Files) -> Files:
    """The files of the Debian package, but for its configuration."""
    unit = UNIT.read_text().replace("/usr/local/bin/auditgate", "/usr/bin/auditgate")
    files: Files = {
        "usr/bin/auditgate": File(binary, 0o755),
        "usr/lib/systemd/system/auditgate.service": File(unit.encode()),
        "usr/share/doc/auditgate/copyright": licences["LICENSE"],
        "usr/share/doc/auditgate/THIRD-PARTY.txt": licences["THIRD-PARTY.txt"],
    }
    return files | {f"usr/share/{path}": file for path, file in shared.items()}


def configuration() -> Files:
    """The configuration that the Debian package installs."""
    return {"etc/auditgate/auditgate.toml": File.read(CONFIGURATION, 0o640)}


def manuals(binary: Path, folder: Path) -> Files:
    """The man pages, by their path below share/."""
    subprocess.run([str(binary), "man", str(folder)], check=True)
    return {f"man/man1/{path.name}": File.read(path) for path in sorted(folder.iterdir())}


def completions(binary: Path) -> Files:
    """The completions for shells, by their path below share/."""
    return {
        path: File(subprocess.check_output([str(binary), "completions", shell]))
        for shell, path in SHELLS.items()
    }


def oldest_glibc(binary: Path) -> str:
    """The oldest version of glibc that has all that the binary asks for."""
    symbols = subprocess.check_output(["objdump", "-T", str(binary)], text=True)
    versions = {tuple(map(int, found)) for found in re.findall(r"GLIBC_(\d+)\.(\d+)", symbols)}
    return ".".join(map(str, max(versions)))


def own_version() -> str:
    """The version in Cargo.toml."""
    found = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    if not found:
        raise SystemExit("packages: Cargo.toml has no version")
    return found[1]


def skip(what: str, tool: str) -> None:
    """Says that a package is left out."""
    print(f"packages: SKIPPED: {what}: there is no {tool}", file=sys.stderr)


if __name__ == "__main__":
    main()
