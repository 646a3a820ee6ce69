"""The Python wheel, which carries the binary: `pipx run auditgate`.

A wheel is a zip archive; files below NAME-VERSION.data/scripts/ are installed into the
environment's bin directory
(https://packaging.python.org/en/latest/specifications/binary-distribution-format/).
"""

from __future__ import annotations

import base64
import hashlib

from archive import File, Files, zip_archive

METADATA = """Metadata-Version: 2.4
Name: auditgate
Version: {version}
Summary: A gRPC audit event gateway: typed events in, live streams and searchable history out
Home-page: https://github.com/auditgate/auditgate
License-Expression: Apache-2.0
License-File: LICENSE
License-File: THIRD-PARTY.txt
Keywords: audit,grpc,events,security
Classifier: Operating System :: POSIX :: Linux
Classifier: Environment :: Console
Requires-Python: >=3.8
Description-Content-Type: text/markdown

{readme}"""


def tag(machine: str, glibc: str) -> str:
    """The platform tag: any Python 3, this machine, this version of glibc or later."""
    return f"py3-none-manylinux_{glibc.replace('.', '_')}_{machine}"


def name(version: str, machine: str, glibc: str) -> str:
    """The file name."""
    return f"auditgate-{version}-{tag(machine, glibc)}.whl"


def build(version: str, machine: str, glibc: str, binary: bytes, readme: str, licences: Files) -> bytes:
    """The wheel's bytes."""
    info = f"auditgate-{version}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: auditgate\nRoot-Is-Purelib: false\nTag: {tag(machine, glibc)}\n"
    files: Files = {
        f"auditgate-{version}.data/scripts/auditgate": File(binary, 0o755),
        f"{info}/METADATA": File(METADATA.format(version=version, readme=readme).encode()),
        f"{info}/WHEEL": File(wheel.encode()),
    }
    files |= {f"{info}/licenses/{path}": file for path, file in licences.items()}
    record = "".join(f"{path},{digest(file)},{len(file.content)}\n" for path, file in files.items())
    files[f"{info}/RECORD"] = File(f"{record}{info}/RECORD,,\n".encode())
    return zip_archive(files)


def digest(file: File) -> str:
    """The digest as RECORD has it."""
    encoded = base64.urlsafe_b64encode(hashlib.sha256(file.content).digest())
    return f"sha256={encoded.decode().rstrip('=')}"
