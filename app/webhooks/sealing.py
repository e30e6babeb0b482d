"""Secrets of endpoints as the database keeps them: encrypted under the service's own secret, a key for each endpoint."""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PURPOSE = "farzi webhook secret of "
FERNET_KEY_BYTES = 32


class UnreadableSecretError(Exception):
    """The secret was sealed under another FARZI_SECRET_KEY, or its row was altered."""


class SecretBox:
    """Seals and opens; a text that was sealed for one endpoint opens for no other."""

    def __init__(self, service_secret: bytes) -> None:
        self._service_secret = service_secret

    def seal(self, endpoint_id: str, secret: str) -> str:
        return self._fernet(endpoint_id).encrypt(secret.encode()).decode()

    def open(self, endpoint_id: str, sealed: str) -> str:
        """Return the secret.

        Raises:
            UnreadableSecretError: it cannot be decrypted.
        """
        try:
            return self._fernet(endpoint_id).decrypt(sealed).decode()
        except InvalidToken:
            raise UnreadableSecretError(
                "the endpoint's secret cannot be decrypted: FARZI_SECRET_KEY is another one than when it was made; rotate it"
            ) from None

    def _fernet(self, endpoint_id: str) -> Fernet:
        # HKDF without a salt: the input is random already, and the info keeps the keys of endpoints and of other uses apart.
        derived = HKDF(SHA256(), FERNET_KEY_BYTES, salt=None, info=(PURPOSE + endpoint_id).encode())
        return Fernet(base64.urlsafe_b64encode(derived.derive(self._service_secret)))
