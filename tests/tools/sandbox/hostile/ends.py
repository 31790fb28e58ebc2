"""Sources that do not end, take everything, or end the wrong way."""

from __future__ import annotations

from tests.tools.sandbox.hostile.corpus import C, Hostile, M, P, R, T, network

_WAIT = "import threading\nthreading.Event().wait()"

ENDS = (
    Hostile("loop at import", network(top=f"{_WAIT}\n"), P, (T,)),
    Hostile("loop in __init__", network(init="while True:\n    pass"), T),
    Hostile("loop in forward", network(forward="while True:\n    pass"), T),
    Hostile(
        "loop in backward",
        network(
            top="""
        class Turn(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, gradient):
                while True:
                    pass
        """,
            init="self.turn = Turn.apply",
            forward="x = self.turn(x + 0 * self.conv.weight.sum())",
        ),
        T,
    ),
    Hostile("loop in eval alone", network(forward="while not self.training:\n    pass"), T),
    Hostile(
        "loop that no exception ends",
        network(
            top="""
        def stay():
            import signal, threading
            wait = threading.Event()
            for number in range(1, 32):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            while True:
                try:
                    wait.wait()
                except BaseException:
                    continue
        """,
            init="stay()",
        ),
        P,
        (T,),
    ),
    Hostile("one endless operation", network(init="self.number = 7 ** (10 ** 9)"), T),
    Hostile(
        "loop in __del__",
        network(
            top="""
        class Late:
            def __del__(self):
                import threading
                threading.Event().wait()

        KEPT = Late()
        """,
        ),
        P,
        (None,),
    ),
    Hostile(
        "loop in a collected __del__",
        network(
            top="""
        class Late:
            def __del__(self):
                import threading
                threading.Event().wait()
        """,
            init="Late()",
        ),
        P,
        (T,),
    ),
    Hostile(
        "loop at exit", network(top="import atexit, threading\natexit.register(threading.Event().wait)"), P, (None,)
    ),
    Hostile(
        "loop in an exception's text",
        network(
            top="""
        class Endless(Exception):
            def __str__(self):
                while True:
                    pass
        """,
            init="raise Endless()",
        ),
        R,
    ),
    Hostile(
        "loop in a thread",
        network(
            top="import threading\n\ndef work():\n    while True:\n        threading.Event().wait(1)\n",
            init="threading.Thread(target=work).start()",
        ),
        P,
        (None,),
    ),
    Hostile("memory by tensors", network(init="self.kept = [torch.ones(10 ** 7) for _ in range(10 ** 5)]"), M),
    Hostile("memory at one blow", network(init="torch.ones(10 ** 12)"), M),
    Hostile("memory by lists", network(init="self.kept = [bytearray(10 ** 7) for _ in range(10 ** 6)]"), M),
    Hostile(
        "memory in backward",
        network(
            forward="""
        for _ in range(40):
            x = torch.cat([x, x.exp()])
        """
        ),
        M,
    ),
    Hostile(
        "memory mapped anonymously",
        network(
            top="import mmap\n\ndef fill():\n    return [mmap.mmap(-1, 10 ** 8) for _ in range(10 ** 4)]\n",
            init="self.kept = fill()",
        ),
        P,
        (M, R),
    ),
    Hostile(
        "thread bomb",
        network(
            top="""
        import threading

        def swarm():
            wait = threading.Event()
            for _ in range(2000):
                threading.Thread(target=wait.wait, daemon=True).start()
        """,
            init="swarm()",
        ),
        P,
        (R, M, T, C),
    ),
    Hostile(
        "fork bomb",
        network(
            top="""
        import os

        def breed():
            for _ in range(50):
                os.fork()
        """,
            init="breed()",
        ),
        P,
        (R,),
    ),
    Hostile(
        "descriptor bomb",
        network(top="import os\n\ndef hoard():\n    return [os.dup(1) for _ in range(10 ** 5)]\n", init="hoard()"),
        P,
        (R,),
    ),
    Hostile("exit with success", network(init="import os\nos._exit(0)"), P, (C,)),
    Hostile("exit with another status", network(init="import os\nos._exit(7)"), P, (C,)),
    Hostile("SystemExit", network(init="raise SystemExit(0)"), R),
    Hostile("KeyboardInterrupt in forward", network(forward="raise KeyboardInterrupt"), R),
    Hostile("ctypes crash", network(init="import ctypes\nctypes.string_at(0)"), P, (C,)),
    Hostile("abort", network(init="import os\nos.abort()"), P, (C,)),
    Hostile("endless recursion", network(methods="def again(self):\n    return self.again()", init="self.again()"), R),
)
