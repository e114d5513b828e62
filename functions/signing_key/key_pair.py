"""A new P-256 key pair. Its private half never leaves AWS: from this function's memory it goes into the secret."""

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


class KeyPair(NamedTuple):
    """Both halves in PEM, and what the public one is called at CloudFront."""

    name: str
    private: str
    public: str


def new_pair(name: str) -> KeyPair:
    """Make a pair."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # CloudFront wants the line end after the last line, too; PEM has it.
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(name, private.decode(), public.decode())
