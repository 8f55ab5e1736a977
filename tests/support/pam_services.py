"""PAM stacks of all kinds: those that mail servers have, and some that are broken."""

from support.pam_files import PERMIT, UNIX, PamFiles
from support.pam_modules import compiled

SERVICES = (
    "permit",
    "deny",
    "other",
    "nullok",
    "missing",
    "missing-account",
    "missing-optional",
    "down",
    "many-tries",
    "forbidden",
    "new-password",
    "empty-file",
    "no-account",
    "only-account",
    "access",
    "times",
    "listed",
    "shells",
    "sufficient",
    "two-prompts",
    "asks-strangely",
    "asks-user",
    "no-such-service",
    "saslauthd",
)
"""Those that every user is to be tried with."""

ODD_NAMES = (
    b"UNIX",
    b"Permit",
    b"",
    b"/etc/pam.d/unix",
    b"../pam.d/unix",
    b"./unix",
    b"unix/",
    b"/",
    b".",
    b"..",
    b".hidden",
    b"two words",
    b"unix ",
    b"unix\n",
    b"unix\x7f",
    b"b\xfccher",
    b"u" * 255,
    b"u" * 256,
    b"u" * 257,
    b"%s%n",
)
"""Other names, of these and of none."""


def write_services(files: PamFiles) -> None:
    """With the password in the stacks that mail servers have, and in some that are broken."""
    conversation, answers = compiled("conversation", files.directory), files.file("answers")
    access = files.file("access.conf", "-:ALL:192.0.2.0/24\n-:locked:ALL\n-:carol:ALL\n+:ALL:ALL\n")
    times = files.file("time.conf", "times;*;alice;!Al0000-2400\n")
    users = files.file("users", "alice\ncarol\n")
    stacks = {
        "saslauthd": UNIX,
        "imap": UNIX,
        "smtp": UNIX,
        "sieve": UNIX,
        ".hidden": PERMIT,
        "nullok": UNIX.replace("nodelay", "nodelay nullok"),
        "missing": "auth required pam_gone.so\naccount required pam_permit.so\n",
        "missing-account": "auth required pam_permit.so\naccount required pam_gone.so\n",
        "missing-optional": "auth optional pam_gone.so\n" + UNIX,
        "down": "auth [default=die] pam_debug.so auth=authinfo_unavail\naccount required pam_permit.so\n",
        "many-tries": "auth required pam_debug.so auth=maxtries\naccount required pam_permit.so\n",
        "forbidden": "auth required pam_debug.so auth=perm_denied\naccount required pam_permit.so\n",
        "new-password": "auth required pam_permit.so\naccount required pam_debug.so acct=new_authtok_reqd\n",
        "empty-file": "",
        "no-account": "auth required pam_unix.so nodelay\n",
        "only-account": "account required pam_unix.so\n",
        "access": UNIX + f"account required pam_access.so accessfile={access} nodefgroup\n",
        "times": UNIX + f"account required pam_time.so conffile={times}\n",
        "listed": f"auth required pam_listfile.so item=user sense=allow onerr=fail file={users}\n" + UNIX,
        "shells": "auth required pam_shells.so\n" + UNIX,
        "sufficient": "auth sufficient pam_unix.so nodelay\n" + PERMIT.replace("permit", "deny", 1),
        "two-prompts": f"auth required {conversation} {answers} 1:one 1:two 4:text 3:error\n" + UNIX,
        "asks-strangely": f"auth required {conversation} {answers} 7:binary\n" + PERMIT,
        "asks-user": f"auth required {conversation} {answers} user_prompt=who 2:who 2:token\n" + UNIX,
        "asks-visibly": f"auth required {conversation} {answers} 2:who\n" + UNIX,
    }
    for name, stack in stacks.items():
        files.service(name, stack)
