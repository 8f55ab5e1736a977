"""What stands for a password in this process's memory."""

import hashlib
import secrets

from pysaslauthd.core.secret import Secret

SIZE = 32
"""Bytes. Of 2^128 passwords, no two have to be expected to be the same here."""


class Digests:
    """Of passwords and of whole requests: keyed BLAKE2b, under a key drawn at the start and told to nobody.

    So neither a page on a disk nor two equal passwords tell anything.
    """

    def __init__(self) -> None:
        # Copied for each, as taking the key in costs as much as a short password.
        self._keyed = hashlib.blake2b(digest_size=SIZE, key=secrets.token_bytes(SIZE))

    def of(self, password: Secret) -> bytes:
        """The same for the same password, as long as this process lives."""
        return self.of_bytes(password.reveal())

    def of_bytes(self, data: bytes) -> bytes:
        """The same for the same bytes."""
        digest = self._keyed.copy()
        digest.update(data)
        return digest.digest()
