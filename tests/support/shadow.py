"""Shadow-format entries, with hashes made by the system's own libcrypt."""

import ctypes
from pathlib import Path

_crypt = ctypes.CDLL("libcrypt.so.1")
_crypt.crypt.restype = ctypes.c_char_p
_crypt.crypt_gensalt.restype = ctypes.c_char_p

YESCRYPT = b"$y$"
SHA512 = b"$6$"
BCRYPT = b"$2b$"
MD5 = b"$1$"
"""Cheap, so that a test of something else does not wait for a hash."""


def hashed(password: bytes, method: bytes = MD5, cost: int = 0) -> str:
    setting = _crypt.crypt_gensalt(ctypes.c_char_p(method), ctypes.c_ulong(cost), None, 0)
    result: bytes = _crypt.crypt(ctypes.c_char_p(password), ctypes.c_char_p(setting))
    assert not result.startswith(b"*")
    return result.decode()


def entry(login: str, stored: str, change: str = "", maximum: str = "", expire: str = "") -> str:
    return f"{login}:{stored}:{change}::{maximum}:::{expire}:\n"


def write(path: Path, users: dict[str, bytes], method: bytes = MD5) -> Path:
    """A shadow-format file of ``users`` and their passwords, replaced in one step."""
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text("".join(entry(login, hashed(password, method)) for login, password in users.items()))
    temporary.replace(path)
    return path
