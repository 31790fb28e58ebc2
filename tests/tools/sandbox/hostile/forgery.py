"""Sources that forge their results, patch what judges them, or hide in their text."""

from __future__ import annotations

from fairnad.records.candidate import FailureKind
from tests.tools.sandbox.hostile.corpus import C, Hostile, I, P, R, S, network

_FORGED = '{"result": {"costs": {"params": 1, "flops": 1}}}'

FORGERIES = (
    Hostile(
        "a report that is not whole", network(init=f"import os\nos.pwrite(3, b'{_FORGED}', 0)\nos._exit(0)"), P, (None,)
    ),
    Hostile("a report without end", network(init="import os\nos.write(3, b'[' * 10 ** 5)\nos._exit(0)"), P, (C,)),
    Hostile(
        "a report beyond its length", network(init="import os\nwhile True:\n    os.write(3, b'x' * 10 ** 5)"), P, (R,)
    ),
    Hostile(
        "a failure it may not claim",
        network(
            init='import os\nos.pwrite(3, b\'{"failure": {"kind": "timeout", "message": "", "log_tail": ""}}\', 0)\n'
            "os._exit(0)"
        ),
        P,
        (C,),
    ),
    Hostile(
        "lines of the protocol on its output",
        network(init='print(\'{"id": 0, "reason": "exit", "code": 0, "output": ""}\', flush=True)'),
        None,
    ),
    Hostile(
        "patched torch functions", network(top="F.cross_entropy = lambda *_, **__: torch.zeros(())\n"), P, (None, R)
    ),
    Hostile("patched methods of modules", network(init="nn.Module.parameters = lambda self: iter(())"), P, (None, R)),
    Hostile(
        "a patched class behind type()",
        network(init="type(self.conv).forward = lambda self, x: x"),
        P,
        (None, R, FailureKind.SHAPE),
    ),
    Hostile("a patched optimizer", network(top="torch.optim.SGD.step = lambda *_: None\n"), P, (None,)),
    Hostile("a patched json", network(init="import json\njson.dumps = lambda *_: '{}'"), P, (C,)),
    Hostile("a patched exit", network(init="import os\nos._exit = lambda *_: None"), P, (None, C)),
    Hostile(
        "hooks on every module",
        network(init="nn.modules.module.register_module_forward_hook(lambda *_: torch.zeros(1))"),
        P,
        (None, R, I, FailureKind.SHAPE),
    ),
    Hostile(
        "a metaclass",
        network(
            top="""
        class Meta(type):
            def __instancecheck__(cls, other):
                return True

        class Odd(nn.Module, metaclass=Meta):
            pass
        """
        ),
        P,
        (None,),
    ),
    Hostile(
        "parameters that do not show",
        network(methods="def parameters(self, recurse=True):\n    return iter(())"),
        P,
        (None, R),
    ),
    Hostile(
        "a state that lies", network(methods="def state_dict(self, *args, **kwargs):\n    return {}"), P, (None, R)
    ),
    Hostile("a network that never leaves training", network(methods="def eval(self):\n    return self"), P, (None,)),
    Hostile("equality that always holds", network(methods="def __getattr__(self, name):\n    return 1"), P, (R, None)),
    Hostile(
        "tensors that answer for torch",
        network(
            top="""
        class Liar(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return torch.zeros(())
        """
        ),
        P,
        (None,),
    ),
    Hostile(
        "labels by frames",
        network(
            forward="""
        import sys
        frame = sys._getframe()
        while frame:
            labels = [v for v in frame.f_locals.values() if isinstance(v, torch.Tensor) and v.dtype == torch.int64]
            frame = frame.f_back
        """
        ),
        P,
        (None,),
    ),
    Hostile(
        "labels by the collector",
        network(
            forward="""
        import gc
        labels = [v for v in gc.get_objects() if type(v) is torch.Tensor and v.dtype == torch.int64]
        """
        ),
        P,
        (None,),
    ),
    Hostile("labels by memory maps", network(forward="maps = open('/proc/self/maps').read()"), P, (R,)),
    Hostile(
        "labels by a traceback",
        network(
            forward="""
        try:
            raise ValueError
        except ValueError as error:
            labels = error.__traceback__.tb_frame.f_back.f_locals
        """
        ),
        P,
        (None,),
    ),
    Hostile("outputs that are no numbers", network(forward="x = x / 0 * 0"), R),
    Hostile("gradients that are no numbers", network(forward="x = x + (self.conv.weight.sum() * 0).sqrt()"), R),
    Hostile("an output of the wrong shape", network(forward="return torch.zeros(len(x), 3)"), I),
    Hostile("an output that is no tensor", network(forward="return [1, 2, 3]"), I),
)
TEXTS = (
    Hostile("no text at all", "\udcff", S),
    Hostile("a NUL", network(top="x = 1 # \0"), P, (S,)),
    Hostile("a coding cookie", "#\n# -*- coding: utf-7 -*-\n" + network(), P, (None, S)),
    Hostile("a name in another script", network(top="l\u0456st = 1"), P, (None,)),
    Hostile("text that runs backwards", network(top="x = 1  # \u202e"), P, (None,)),
    Hostile("too much text", network(top="#" * 70000), P, (None,)),
    Hostile("deep syntax", "x = " + "(" * 5000 + ")" * 5000, S),
    Hostile("no Python", "Here is the network you asked for:", S),
    Hostile("dunder in a format", network(init="'{0.__class__.__init__.__globals__}'.format(self)"), P, (None,)),
    Hostile("endless output", network(init="while True:\n    print('spam' * 1000)"), C),
    Hostile(
        "endless output on stderr",
        network(top="import sys\n", init="while True:\n    sys.stderr.write('spam' * 1000)"),
        P,
        (C,),
    ),
    Hostile("a giant exception", network(init="raise ValueError('x' * 10 ** 7)"), R),
    Hostile("an exception of control characters", network(init="raise ValueError('\\x1b[2J\\u202e\\ud800')"), R),
    Hostile(
        "an exception with a name that lies",
        network(
            top="""
        class Odd(Exception):
            pass

        Odd.__name__ = "x" * 10 ** 6
        """,
            init="raise Odd()",
        ),
        P,
        (R,),
    ),
    Hostile(
        "an exception that is no string",
        network(top="class Odd(Exception):\n    def __str__(self):\n        return 3\n", init="raise Odd([1])"),
        R,
    ),
    Hostile(
        "a chain of exceptions",
        network(
            init="""
        error = ValueError("first")
        for number in range(10 ** 4):
            error.__cause__, error = ValueError(str(number)), ValueError(str(number))
        raise error
        """
        ),
        P,
        (R,),
    ),
)
