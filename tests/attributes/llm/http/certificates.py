"""Certificates for TLS servers in tests, made by the program `openssl`."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(folder: Path, *arguments: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes certificates, is not installed")
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def self_signed(folder: Path, *, names: str = "IP:127.0.0.1,DNS:localhost") -> Path:
    """A certificate with its key in one file, which signs itself."""
    subject = ("-subj", "/CN=test", "-addext", f"subjectAltName={names}")
    _openssl(folder, "req", "-x509", *_KEY, "-keyout", "key.pem", "-out", "cert.pem", "-days", "30", *subject)
    return _joined(folder, "self-signed.pem")


def expired(folder: Path) -> Path:
    """A certificate that has expired."""
    _request(folder)
    dates = ("-days", "-1", "-extfile", "names.txt")
    _openssl(folder, "x509", "-req", "-in", "request.csr", "-signkey", "key.pem", *dates, "-out", "cert.pem")
    return _joined(folder, "expired.pem")


def signed(folder: Path) -> tuple[Path, Path]:
    """A certificate with its key, and the certificate of the authority that signed it."""
    authority = self_signed(folder, names="DNS:authority").rename(folder / "authority.pem")
    _request(folder)
    _openssl(
        folder,
        *("x509", "-req", "-in", "request.csr", "-CA", authority.name, "-CAkey", authority.name, "-CAcreateserial"),
        *("-extfile", "names.txt", "-days", "30", "-out", "cert.pem"),
    )
    return _joined(folder, "server.pem"), authority


def _request(folder: Path) -> None:
    (folder / "names.txt").write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(folder, "req", "-new", *_KEY, "-keyout", "key.pem", "-out", "request.csr", "-subj", "/CN=server")


def server_context(certificate: Path) -> ssl.SSLContext:
    """TLS for a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def _joined(folder: Path, name: str) -> Path:
    file = folder / name
    file.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return file
