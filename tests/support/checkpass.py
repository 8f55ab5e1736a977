"""A program: have libsasl check one password as a mail server does, and print what it says as JSON.

``checkpass.py SERVICE LOGIN PASSWORD``, the SASL configuration ``checkpass.conf`` in ``$SASL_CONF_PATH``.
A program, because libsasl keeps its configuration for the life of a process.
"""

import ctypes
import json
import os
import sys

EXIT_NO_LIBRARY = 125


def main() -> int:
    try:
        library = ctypes.CDLL("libsasl2.so.2")
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NO_LIBRARY
    library.sasl_errdetail.restype = ctypes.c_char_p
    service, login, password = map(os.fsencode, sys.argv[1:])
    connection = ctypes.c_void_p()
    _expect_ok(library.sasl_server_init(None, b"checkpass"))
    _expect_ok(library.sasl_server_new(service, None, None, None, None, None, 0, ctypes.byref(connection)))
    code = library.sasl_checkpass(
        connection, login, ctypes.c_uint(len(login)), password, ctypes.c_uint(len(password))
    )
    detail = library.sasl_errdetail(connection) or b""
    json.dump({"code": code, "detail": detail.decode(errors="replace")}, sys.stdout)
    return 0


def _expect_ok(code: int) -> None:
    if code != 0:
        raise SystemExit(f"libsasl does not start: {code}")


if __name__ == "__main__":
    sys.exit(main())
