"""Sources that reach outside: for files, secrets, other processes, the network, the kernel.

The upper-case words are put in by the test: canary files, a folder, addresses, process ids.
"""

from __future__ import annotations

from tests.tools.sandbox.hostile.corpus import C, R, attack

FILES = (
    attack("read a secret", "text = open(SECRET_FILE).read()\nraise SystemError('HARM ' + text)"),
    attack("read a secret by its descriptor", "import os\nos.read(os.open(SECRET_FILE, os.O_RDONLY), 9)"),
    attack("read a secret by numpy", "import numpy\nnumpy.fromfile(SECRET_FILE, 'u1')"),
    attack("read a secret by torch", "torch.from_file(SECRET_FILE, size=4, dtype=torch.uint8)"),
    attack("map a secret", "import mmap\nmmap.mmap(open(SECRET_FILE).fileno(), 0, access=mmap.ACCESS_READ)"),
    attack("list a folder", "import os\nassert os.listdir(CANARY_FOLDER)"),
    attack("read the user's home", "import os\nassert os.listdir(HOME_FOLDER)"),
    attack("read the list of users", "open('/etc/passwd').read()"),
    attack("write a file", "open(SECRET_FILE, 'w').write('gone')"),
    attack("append to a file", "open(SECRET_FILE, 'a').write('more')"),
    attack("write by torch.save", "torch.save(torch.ones(3), SECRET_FILE)"),
    attack("make a file", "open(CANARY_FOLDER + '/new', 'w')"),
    attack("make a file in its own folder", "open('new', 'w')"),
    attack("make a temporary file", "import tempfile\ntempfile.TemporaryFile()"),
    attack("delete a file", "import os\nos.unlink(SECRET_FILE)"),
    attack("delete a tree", "import shutil\nshutil.rmtree(CANARY_FOLDER)"),
    attack("rename a file", "import os\nos.rename(SECRET_FILE, SECRET_FILE + '.old')"),
    attack("link a file", "import os\nos.symlink(SECRET_FILE, 'report.link')"),
    attack("truncate a file", "import os\nos.truncate(SECRET_FILE, 0)"),
    attack("change a mode", "import os\nos.chmod(SECRET_FILE, 0o777)"),
    attack("change a time", "import os\nos.utime(SECRET_FILE, (1, 1))"),
    attack("change an attribute", "import os\nos.setxattr(SECRET_FILE, 'user.canary', b'x')"),
    attack("change the job's source", "open('candidate.src', 'w')"),
    attack("write where modules are imported from", "open(torch.__file__, 'a')"),
    attack("escape by chroot", "import os\nos.chroot(CANARY_FOLDER)"),
)
PROCESSES = (
    attack(
        "secret in the environment",
        """
        import os
        found = repr(os.environ)
        assert 'open sesame' in found
        """,
    ),
    attack(
        "secret in its own /proc",
        "assert b'open sesame' in open('/proc/self/environ', 'rb').read()",
    ),
    attack(
        "secret in the parent's /proc",
        "assert b'open sesame' in open('/proc/PARENT_PID/environ', 'rb').read()",
    ),
    attack("memory of the server", "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').read(1)"),
    attack("memory of the parent", "open('/proc/PARENT_PID/maps', 'rb').read(1)"),
    attack(
        "memory by process_vm_readv",
        """
        import ctypes, os
        there, here = (ctypes.c_void_p * 2)(id(attack), 8), (ctypes.c_void_p * 2)()
        kept = ctypes.create_string_buffer(8)
        here[0], here[1] = ctypes.addressof(kept), 8
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.process_vm_readv(os.getppid(), here, 1, there, 1, 0) < 0:
            raise OSError(ctypes.get_errno(), "process_vm_readv")
        """,
    ),
    attack(
        "attach a debugger",
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, os.getppid(), 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")
        """,
    ),
    attack("subprocess", "import subprocess\nsubprocess.run(['true'], check=True)"),
    attack("os.system", "import os\nif os.system('touch ' + CANARY_FOLDER + '/new'):\n    raise OSError('refused')"),
    attack("execute another program", "import os\nos.execv('/usr/bin/env', ['env', 'true'])"),
    attack(
        "multiprocessing", "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()"
    ),
    attack(
        "leave the job by fork and setsid",
        "import os\nif os.fork() == 0:\n    os.setsid()\n    while True:\n        pass",
    ),
    attack("signal the server", "import os\nos.kill(os.getppid(), 0)\nos.kill(os.getppid(), 9)"),
    attack("signal the parent", "import os\nos.kill(PARENT_PID, 0)\nos.kill(PARENT_PID, 19)"),
    attack("signal a bystander", "import os\nos.kill(BYSTANDER_PID, 9)"),
    attack("signal everybody", "import os\nos.kill(-1, 15)"),
    attack(
        "signal by a descriptor's owner",
        "import fcntl, os\nreader, _ = os.pipe()\nfcntl.fcntl(reader, fcntl.F_SETOWN, os.getppid())",
    ),
    attack(
        "lower the server's limits",
        "import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (3, 3))",
    ),
    attack("raise its own limits", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))", (R,)),
    attack("slow the server down", "import os\nos.setpriority(os.PRIO_PROCESS, os.getppid(), 19)"),
    attack("another user", "import os\nos.setuid(0 if os.getuid() else 1)"),
)
NETWORK = (
    attack("connect by TCP", "import socket\nsocket.create_connection(('127.0.0.1', TCP_PORT), timeout=1)"),
    attack("listen on TCP", "import socket\nsocket.create_server(('127.0.0.1', 0))"),
    attack(
        "send by UDP",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP_PORT))",
    ),
    attack("connect by a Unix socket", "import socket\nsocket.socket(socket.AF_UNIX).connect(SOCKET_FILE)"),
    attack("connect by an abstract socket", "import socket\nsocket.socket(socket.AF_UNIX).connect(ABSTRACT_NAME)"),
    attack("look a name up", "import socket\nsocket.getaddrinfo('localhost.', 80)\nsocket.socket()", (R,)),
    attack("fetch by torch.hub", "torch.hub.load_state_dict_from_url('http://127.0.0.1:TCP_PORT/x')"),
    attack("fetch by urllib", "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:TCP_PORT/x')"),
)
KERNEL = (
    attack(
        "mount",
        _LIBC := """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) < 0:
    raise OSError(ctypes.get_errno(), "mount")
""",
    ),
    attack(
        "a namespace of its own", _LIBC.replace('mount(b"none", b"/tmp", b"tmpfs", 0, None)', "unshare(0x10000000)")
    ),
    attack(
        "keys of the kernel",
        _LIBC.replace('mount(b"none", b"/tmp", b"tmpfs", 0, None)', "syscall(248, b'user', b'k', b'v', 1, -3)"),
    ),
    attack(
        "io_uring",
        _LIBC.replace(
            'mount(b"none", b"/tmp", b"tmpfs", 0, None)', "syscall(425, 8, ctypes.create_string_buffer(120))"
        ),
    ),
    attack(
        "a program without a file", _LIBC.replace('mount(b"none", b"/tmp", b"tmpfs", 0, None)', "memfd_create(b'x', 0)")
    ),
    attack(
        "the calls of 32 bits",
        _LIBC.replace('mount(b"none", b"/tmp", b"tmpfs", 0, None)', "syscall(0x40000000 + 39)"),
        (C, R),
    ),
)
REACHES = FILES + PROCESSES + NETWORK + KERNEL
