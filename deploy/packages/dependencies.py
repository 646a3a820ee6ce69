"""What is linked into the binary: an SBOM and the licences.

The list comes from Cargo itself, resolved for the target and without what only builds
or tests need. The SBOM is CycloneDX 1.5 in JSON (https://cyclonedx.org/docs/1.5/json/).
"""

from __future__ import annotations

import json
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from archive import sha256

# Beginnings of the names of files that hold a licence or what it asks to repeat.
LICENCE_NAMES = ("license", "licence", "copying", "notice", "copyright", "unlicense")
# Namespace of the serial number, which is the same for the same list of crates.
SERIAL_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


@dataclass(frozen=True)
class Crate:
    """One crate that is linked."""

    name: str
    version: str
    licence: str
    repository: str
    folder: Path

    @property
    def url(self) -> str:
        """The package URL (https://github.com/package-url/purl-spec)."""
        return f"pkg:cargo/{self.name}@{self.version}"


def linked(root: Path, target: str) -> list[Crate]:
    """The crates that the binary is linked with, by name and version."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.check_output(command, cwd=root))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    own = next(p["id"] for p in metadata["packages"] if p["name"] == "auditgate")
    seen, waiting = {own}, [own]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_linked and dependency["pkg"] not in seen and not is_macro(packages[dependency["pkg"]]):
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    crates = [crate(packages[key]) for key in seen - {own}]
    return sorted(crates, key=lambda one: (one.name, one.version))


def is_macro(package: dict) -> bool:
    """Whether a package runs in the compiler and is not linked."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


def crate(package: dict) -> Crate:
    """A crate from Cargo's metadata."""
    return Crate(
        name=package["name"],
        version=package["version"],
        licence=(package["license"] or "see its repository").replace("/", " OR "),
        repository=package["repository"] or "",
        folder=Path(package["manifest_path"]).parent,
    )


def sbom(version: str, crates: list[Crate]) -> bytes:
    """The CycloneDX document."""
    components = [
        {
            "type": "library",
            "bom-ref": one.url,
            "name": one.name,
            "version": one.version,
            "purl": one.url,
            "licenses": [{"expression": one.licence}],
        }
        for one in crates
    ]
    own = f"pkg:cargo/auditgate@{version}"
    listed = sha256("\n".join([own, *(one.url for one in crates)]).encode())
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SERIAL_NAMESPACE, listed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "auditgate",
                "version": version,
                "purl": own,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": components,
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def licences(crates: list[Crate]) -> bytes:
    """The licences of what is linked: a list, then each text once with its crates."""
    lines = ["auditgate is linked with these crates:", ""]
    lines += [f"{one.name} {one.version}: {one.licence} {one.repository}".rstrip() for one in crates]
    texts: dict[str, list[Crate]] = {}
    for one in crates:
        for path in sorted(one.folder.iterdir()):
            if path.is_file() and path.name.lower().startswith(LICENCE_NAMES):
                text = path.read_text(errors="replace").replace("\r\n", "\n").strip()
                texts.setdefault(text, []).append(one)
    for text, users in sorted(texts.items(), key=lambda entry: entry[1][0].name):
        names = sorted({f"{one.name} {one.version}" for one in users})
        lines += ["", "=" * 72, ", ".join(names), "=" * 72, "", text]
    return ("\n".join(lines) + "\n").encode()
