"""Device certificates: what a root key says of a device.

Owns: the record's fields, their encoding, what its signature covers. Must not know: whether the signature holds, or
whether the device is still welcome. Spec: docs/spec/identities.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from railgun.limits import CERTIFICATE_BYTES_MAX
from railgun.types import DeviceKey, RootKey
from railgun.wire import cbor
from railgun.wire.cbor import Value
from railgun.wire.schema import Bytes, Codec, Uint, shapes_of

TIME_MAX: Final = 2**32 - 1
PREKEY_BYTES: Final = 1_216
_KIND: Final = 1


@dataclass(frozen=True)
class DeviceCertificate:
    """A root's word that a device speaks for it.

    Attributes:
        root_key: Ed25519, 32 bytes; its signature stands below.
        device_key: Ed25519, 32 bytes: signs what the device says.
        prekey: X-Wing public key, 1,216 bytes: what is sealed for the device is sealed for this.
        account_key: Curve25519 identity key of the device's Olm account, 32 bytes.
        issued, expires: Unix seconds, u32; it holds from the first up to, not at, the second.
        signature: by the root, 64 bytes.
    """

    root_key: Annotated[RootKey, Bytes(32)]
    device_key: Annotated[DeviceKey, Bytes(32)]
    prekey: Annotated[bytes, Bytes(PREKEY_BYTES)]
    account_key: Annotated[bytes, Bytes(32)]
    issued: Annotated[int, Uint(TIME_MAX)]
    expires: Annotated[int, Uint(TIME_MAX)]
    signature: Annotated[bytes, Bytes(64)]

    def __post_init__(self) -> None:
        if self.expires <= self.issued:
            raise ValueError("a certificate expires after it is issued")
        if bytes(self.root_key) == bytes(self.device_key):
            raise ValueError("a root key is no device key")


CERTIFICATES: Final[Codec[DeviceCertificate]] = Codec({_KIND: DeviceCertificate}, bytes_max=CERTIFICATE_BYTES_MAX)


def certificate_content(certificate: DeviceCertificate) -> bytes:
    """What the signature covers: the certificate's own encoding without the signature's key and value."""
    fields: dict[int, Value] = {0: _KIND}
    for index, (name, shape) in enumerate(shapes_of(DeviceCertificate), start=1):
        if name != "signature":
            fields[index] = shape.pack(getattr(certificate, name))
    return cbor.encode(fields)
