# SPDX-License-Identifier: Apache-2.0
"""Certificates for servers and clients on loopback."""
import subprocess


class Authority:
    """A CA of the test's own, with docker's names of files: ca.pem, cert.pem, key.pem in a folder a party."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ca",
                     "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    def openssl(self, *argv):
        subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True, cwd=self.folder)

    def issue(self, name, usage):
        to = self.folder / name
        to.mkdir()
        (to / "ext").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", to / "key.pem", "-out", to / "csr")  # fmt: skip
        self.openssl("x509", "-req", "-in", to / "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                     "-extfile", to / "ext", "-out", to / "cert.pem")  # fmt: skip
        (to / "ca.pem").write_bytes((self.folder / "ca.pem").read_bytes())
        return to
