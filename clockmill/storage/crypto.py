"""Secrets at rest: Fernet (AES-128-CBC and HMAC-SHA256) with the keys of one file.

The file holds one key a line. The first encrypts, all decrypt: to change keys, put a new one on top, write every secret
again, and take the old one away.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clockmill.errors import ConfigError
from clockmill.host.keys import create_once

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

KEY_FILE = "fernet.key"


class UnreadableSecret(ConfigError):
    """A secret was encrypted with a key that is not in the key file, or is damaged."""


def create_key_file(path: Path) -> bool:
    """Make the key file with one new key, readable by its owner alone; leaves one that exists as it is.

    :returns: whether a file was made.
    """
    from cryptography.fernet import Fernet  # only commands that touch secrets pay for loading it

    return not path.exists() and create_once(path, Fernet.generate_key() + b"\n")


class Cipher:
    """Encrypts and decrypts with the keys of a file, which is read when it is first needed.

    :param key_file: usually ``HOME/keys/fernet.key``.
    """

    def __init__(self, key_file: Path) -> None:
        self.key_file = key_file

    def encrypt(self, secret: str) -> str:
        """``secret`` as text that only the keys open.

        :raises ConfigError: when the key file is missing or broken.
        """
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, token: str, what: str) -> str:
        """The secret that :meth:`encrypt` made ``token`` from.

        :param what: whose secret it is, for the error: ``variable 'x'``.
        :raises UnreadableSecret: when no key of the file opens it.
        :raises ConfigError: when the key file is missing or broken.
        """
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise UnreadableSecret(
                f"The {what} cannot be decrypted with the keys in {self.key_file}: add the key that it was encrypted "
                "with as another line, or set it again."
            ) from None

    @cached_property
    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            lines = self.key_file.read_bytes().split()
        except OSError as error:
            raise ConfigError(
                f"The key file {self.key_file} cannot be read ({error.strerror}): put the one back that the secrets in "
                "the database were encrypted with; clockmill db migrate makes one where there was none."
            ) from None
        try:
            return MultiFernet([Fernet(line) for line in lines])
        except ValueError:
            raise ConfigError(
                f"The key file {self.key_file} must hold Fernet keys, one a line: 32 bytes in URL-safe base64 each."
            ) from None
