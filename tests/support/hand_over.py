"""Not a module: what systemd does with descriptors between fork and exec. ``hand_over.py FD,FD... PROGRAM ARGUMENT...``.

``LISTEN_PID`` is this process, which becomes the program, unless it is given.
"""

import os
import sys

given = [int(number) for number in sys.argv[1].split(",")]
for number, descriptor in enumerate(given, 3):
    os.dup2(descriptor, number)
    os.close(descriptor)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
