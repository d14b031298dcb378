"""A certificate authority of the tests' own, by openssl: what servers show and what clients trust."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lacking import program

FROM, UNTIL, PAST = "20200101000000Z", "20991231000000Z", "20200102000000Z"

CONFIGURATION = """\
[ca]
default_ca = here
[here]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = anything
copy_extensions = copy
[anything]
commonName = supplied
"""


@dataclass(frozen=True)
class Certificate:
    """Files in PEM: the certificate, its key, and both in one as a broker reads them."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates with a key that lies in `folder`; `certificate` is what its clients trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "authority.pem"
        (folder / "index").touch()
        (folder / "openssl.cnf").write_text(CONFIGURATION.format(folder=folder))
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Authority", "-days", "2"),
            *("-keyout", "authority.key", "-out", "authority.pem"),
        )

    def issue(self, name: str, subject: str = "IP:127.0.0.1", *, until: str = UNTIL) -> Certificate:
        """A certificate for `subject`, as openssl writes an alternative name, in files that begin with `name`."""
        self._openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        self._openssl(
            *("ca", "-batch", "-config", "openssl.cnf", "-cert", "authority.pem", "-keyfile", "authority.key"),
            *("-in", f"{name}.csr", "-out", f"{name}.pem", "-notext", "-startdate", FROM, "-enddate", until),
        )
        made = Certificate(*(self._folder / f"{name}.{ending}" for ending in ("pem", "key", "both")))
        made.both.write_text(made.key.read_text() + made.certificate.read_text())
        return made

    def _openssl(self, *arguments: str) -> None:
        command = [program("openssl"), *arguments]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
