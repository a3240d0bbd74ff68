"""What can go wrong with identities.

EdgeError
├── RefusedError
│   └── SigningRequestError    the PKCS#10 request is not one we sign: make a new one
├── NotPermittedError
│   ├── TokenError             no such token, used, expired, or for another serial
│   └── CertificateError       revoked or past its end: enrol again
└── ConfigurationError
    └── AuthorityError         a key or certificate file is missing, unreadable or not ours
"""

from edge_core.contracts.errors import ConfigurationError, NotPermittedError, RefusedError


class SigningRequestError(RefusedError):
    """The signing request is malformed, its proof fails, or it names somebody else."""


class TokenError(NotPermittedError):
    """The one-time token does not entitle to this certificate."""


class CertificateError(NotPermittedError):
    """The certificate was good once and is not any more."""


class AuthorityError(ConfigurationError):
    """The authority's own files cannot be used."""
