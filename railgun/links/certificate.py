"""The DTLS certificate that an ad names by its hash.

Owns: making, storing as PEM, loading and hashing a self-signed certificate. Must not know: ads, or who
dials. Peers check the hash alone, so that names and dates in it mean nothing to them; they are made
long-lived because the certificate has to stay the same for as long as ads name it.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from railgun.errors import ConfigurationError

LIFETIME_DAYS = 3_650
"""Far beyond a relay's life; WebRTC ends compare fingerprints and do not look at dates."""


@dataclass(frozen=True, slots=True)
class LinkCertificate:
    """A P-256 key with its self-signed certificate. The key never shows in ``repr``."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)

    @property
    def certificate_hash(self) -> bytes:
        """SHA-256 of the certificate (DER), 32 bytes: what ads carry and dialling checks."""
        return self.certificate.fingerprint(hashes.SHA256())

    @property
    def expires(self) -> datetime.datetime:
        """End of validity, in UTC."""
        return self.certificate.not_valid_after_utc

    @classmethod
    def generate(cls, wall_seconds: float) -> LinkCertificate:
        """A new one, valid from the day before ``wall_seconds`` (Unix) for LIFETIME_DAYS."""
        key = ec.generate_private_key(ec.SECP256R1())
        # The name that browsers use, so that it tells nothing apart.
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
        now = datetime.datetime.fromtimestamp(wall_seconds, tz=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=LIFETIME_DAYS))
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    def to_pem(self) -> bytes:
        """Key and certificate as PEM. Holds the secret key: store it as one."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + self.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def from_pem(cls, pem: bytes) -> LinkCertificate:
        """The reverse of `to_pem`. Raises ConfigurationError for anything else."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
            certificate = x509.load_pem_x509_certificate(pem)
        except (ValueError, TypeError) as error:
            raise ConfigurationError("link certificate: not the PEM of a key and its certificate") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            raise ConfigurationError("link certificate: the key does not belong to the certificate")
        return cls(key, certificate)

    @classmethod
    def load_or_create(cls, path: Path, wall_seconds: float) -> LinkCertificate:
        """Read ``path``, or make a certificate and write it there, readable by the owner alone.

        Raises:
            ConfigurationError: the file is no certificate of ours, or cannot be read or written.
        """
        try:
            if path.exists():
                return cls.from_pem(path.read_bytes())
            made = cls.generate(wall_seconds)
            draft = path.with_name(path.name + ".new")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(made.to_pem())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            raise ConfigurationError(f"link certificate {path}: {error.strerror or error}; check the path") from error
        return made
