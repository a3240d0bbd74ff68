"""Read one PKCS#10 signing request: whose it is, and whether we would sign its key at all."""

import base64
import binascii

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from edge_site_proxy.identity.errors import SigningRequestError

REQUEST_BYTES_MAX = 16 * 1024  # an RSA-4096 request has 1.7 KiB
_RSA_BITS_MIN = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1)

type_of_key = "EC P-256, EC P-384, Ed25519, or RSA of 2048 bits and more"

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


def read_request(body: bytes) -> x509.CertificateSigningRequest:
    """Decode the base64 DER of RFC 7030 section 4.2.1; PEM armour is tolerated.

    Raises:
        SigningRequestError: it is no request, or its signature is not of its own key.
    """
    try:
        der = _der(body)
        request = x509.load_der_x509_csr(der)
        valid = request.is_signature_valid
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise SigningRequestError(
            f"signing request: expected base64 of a PKCS#10 request, found {len(body)} bytes "
            f"that are none ({type(error).__name__})"
        ) from error
    if not valid:
        raise SigningRequestError(
            "signing request: its signature is not made by the key it names, so nobody proved "
            "to hold that key"
        )
    return request


def _der(body: bytes) -> bytes:
    lines = [line for line in body.split() if b"-----" not in line]
    text = b"".join(line for line in lines if line not in {b"NEW", b"CERTIFICATE", b"REQUEST"})
    return base64.b64decode(text, validate=True)


def requested_serial(request: x509.CertificateSigningRequest) -> str:
    """The gateway serial the request asks for: exactly one common name.

    Raises:
        SigningRequestError: there is none, or more than one.
    """
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise SigningRequestError(
            f"signing request: expected one common name, the gateway's serial, found {len(names)}"
        )
    return str(names[0].value)


def signable_key(request: x509.CertificateSigningRequest) -> PublicKey:
    """The request's public key, if it is strong enough to be an identity.

    Raises:
        SigningRequestError: another kind of key, or too short.
    """
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningRequestError(f"signing request: expected a key of {type_of_key}") from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS_MIN:
        return key
    raise SigningRequestError(
        f"signing request: expected a key of {type_of_key}, found {type(key).__name__}"
    )


def spki(key: PublicKey) -> bytes:
    """The key as SubjectPublicKeyInfo DER: two requests with the same key give the same bytes."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
