"""Secrets of endpoints as the database keeps them: encrypted under the service's own secret, a key for each endpoint."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PURPOSE = "farzi webhook secret of "
FERNET_KEY_BYTES = 32


class UnreadableSecretError(Exception):
    """The secret was sealed under a FARZI_SECRET_KEY that is not known, or its row was altered."""


class SecretBox:
    """Seals under the service's secret, and opens what was sealed under it or an earlier one.

    A text that was sealed for one endpoint opens for no other.
    """

    def __init__(self, service_secret: bytes, previous: Sequence[bytes] = ()) -> None:
        self._service_secret = service_secret
        self._previous = tuple(previous)

    def seal(self, endpoint_id: str, secret: str) -> str:
        return _fernet(self._service_secret, endpoint_id).encrypt(secret.encode()).decode()

    def is_current(self, endpoint_id: str, sealed: str) -> bool:
        """Whether the text was sealed under the service's secret as it is now."""
        return _try_to_open(self._service_secret, endpoint_id, sealed) is not None

    def open(self, endpoint_id: str, sealed: str) -> str:
        """Return the secret.

        Raises:
            UnreadableSecretError: it cannot be decrypted.
        """
        for service_secret in (self._service_secret, *self._previous):
            secret = _try_to_open(service_secret, endpoint_id, sealed)
            if secret is not None:
                return secret
        raise UnreadableSecretError(
            "the endpoint's secret cannot be decrypted: FARZI_SECRET_KEY was another one when it was sealed, which is not in "
            "FARZI_SECRET_KEY_PREVIOUS; name it there, or rotate the endpoint's secret"
        )


def _try_to_open(service_secret: bytes, endpoint_id: str, sealed: str) -> str | None:
    try:
        return _fernet(service_secret, endpoint_id).decrypt(sealed).decode()
    except InvalidToken:
        return None


def _fernet(service_secret: bytes, endpoint_id: str) -> Fernet:
    # HKDF without a salt: the input is random already, and the info keeps the keys of endpoints and of other uses apart.
    derived = HKDF(SHA256(), FERNET_KEY_BYTES, salt=None, info=(PURPOSE + endpoint_id).encode())
    return Fernet(base64.urlsafe_b64encode(derived.derive(service_secret)))
