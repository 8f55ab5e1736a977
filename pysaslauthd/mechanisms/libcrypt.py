"""The system's libxcrypt: every hash that the machine's own passwords may have.

Python 3.13 has no ``crypt`` any more, and the one before could not tell an unknown hash from a
wrong password. Only the ``_rn`` functions are used: ``crypt`` shares a static buffer.
"""

import ctypes

from pysaslauthd.core.secret import Secret

_SONAMES = ("libcrypt.so.1", "libcrypt.so.2")  # Debian; Red Hat
_DATA_SIZE = 32768  # sizeof(struct crypt_data) of libxcrypt, fixed by its interface
_GENSALT_SIZE = 192  # CRYPT_GENSALT_OUTPUT_SIZE


def _load() -> ctypes.CDLL:
    for name in _SONAMES:
        try:
            library = ctypes.CDLL(name, use_errno=True)
            break
        except OSError:
            continue
    else:
        raise ImportError(f"libxcrypt is missing: none of {', '.join(_SONAMES)} can be loaded")
    library.crypt_rn.restype = ctypes.c_char_p
    library.crypt_rn.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
    library.crypt_gensalt_rn.restype = ctypes.c_char_p
    library.crypt_gensalt_rn.argtypes = [
        ctypes.c_char_p,
        ctypes.c_ulong,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    return library


_library = _load()


def hashed(password: Secret, setting: bytes) -> bytes | None:
    """The hash of ``password`` with the method, cost and salt of ``setting``, a hash or its head.

    None if the setting is no hash, or the password longer than libxcrypt takes (512 bytes). Compare
    the result with ``hmac.compare_digest``.
    """
    data = ctypes.create_string_buffer(_DATA_SIZE)
    try:
        result: bytes | None = _library.crypt_rn(password.reveal(), setting, data, _DATA_SIZE)
    finally:
        ctypes.memset(data, 0, _DATA_SIZE)
    if result is None or result.startswith(b"*"):
        return None
    return result


def new_setting(prefix: bytes | None = None, cost: int = 0) -> bytes:
    """A fresh salt for the method of ``prefix`` (``$y$``, ``$6$``, ``$1$``, ...), or the system's own.

    :raises ValueError: libxcrypt does not know the prefix or refuses the cost.
    """
    output = ctypes.create_string_buffer(_GENSALT_SIZE)
    setting: bytes | None = _library.crypt_gensalt_rn(prefix, cost, None, 0, output, _GENSALT_SIZE)
    if setting is None:
        raise ValueError(f"libxcrypt makes no salt for prefix {prefix!r} with cost {cost}")
    return setting
