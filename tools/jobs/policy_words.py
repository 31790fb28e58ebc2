"""The names in the source policy: modules that can be imported, and names that no network needs.

The policy refuses mistakes and known tricks early, with a clear message; the jail is the security boundary. A name
is refused only if every honest use has an alternative, which the message names.
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TORCH = "torch and Python's standard library do it: torch.tensor, torch.linspace, math"
OUTSIDE = "a network has no access to files, processes, the network or the interpreter; remove it"

MODULES = _words(
    "__future__ abc cmath collections collections.abc contextlib copy dataclasses enum fractions functools itertools "
    "logging math numbers operator random statistics string typing typing_extensions warnings "
    "torch torch.amp torch.autograd torch.autograd.function torch.fft torch.func torch.linalg torch.special "
    "torch.nn torch.nn.attention torch.nn.common_types torch.nn.functional torch.nn.init torch.nn.modules "
    "torch.nn.parameter torch.nn.utils torch.nn.utils.parametrizations torch.nn.utils.parametrize torch.types "
    "torch.nn.utils.spectral_norm torch.nn.utils.weight_norm torch.nn.utils.fusion torch.utils.checkpoint"
)
"""Modules that can be imported, besides those below ``torch.nn.modules``."""

HINTS: Mapping[str, str] = {
    "numpy": _TORCH,
    "scipy": _TORCH,
    "einops": "write it out with reshape, permute and torch.einsum",
    "timm": "write the layer out in the file",
    "torchvision": "write the layer out in the file",
}

MODULE_ATTRIBUTES: Mapping[str, str] = dict.fromkeys(
    _words(
        "os sys hub serialization storage package multiprocessing distributed overrides library testing profiler "
        "monitor classes ops futures load save from_file UntypedStorage TypedStorage cpp_extension model_zoo dlpack "
        "io handlers builtins bltns inspect threading traceback"
    ),
    OUTSIDE,
) | {
    "jit": "remove it: the source runs without torch.jit",
    "compile": "remove it: the trainer decides about torch.compile",
    "export": "remove it: a network does not export itself",
    "FileHandler": "remove it: messages go to the output of the job",
    "basicConfig": "remove it: messages go to the output of the job",
    "onnx": "remove it: a network does not export itself",
    "fx": "write the network out instead of tracing it",
    "backends": "remove it: the trainer configures the machine",
    "set_num_threads": "remove it: the trainer configures the machine",
    "set_num_interop_threads": "remove it: the trainer configures the machine",
    "set_default_dtype": "give layers their dtype instead",
    "set_default_device": "remove it: the trainer chooses the device",
    "set_default_tensor_type": "give layers their dtype instead",
    "use_deterministic_algorithms": "remove it: the trainer configures the machine",
    "optim": "remove it: the trainer trains",
    "from_numpy": "use torch.tensor",
    "register_module_forward_hook": "call what the hook does in forward",
    "register_module_forward_pre_hook": "call what the hook does in forward",
    "register_module_full_backward_hook": "write a torch.autograd.Function",
    "register_module_buffer_registration_hook": "use self.register_buffer",
    "register_module_parameter_registration_hook": "use self.register_parameter",
    "register_module_module_registration_hook": "use self.add_module",
}
"""Refused anywhere after the name of an imported module: ``torch.os``, ``nn.modules.module.torch.hub``."""

ANY_ATTRIBUTES: Mapping[str, str] = dict.fromkeys(
    _words(
        "f_back f_globals f_locals f_builtins f_code tb_frame tb_next gi_frame gi_code cr_frame cr_code ag_frame "
        "ag_code func_globals co_code mro"
    ),
    "a network does not need the interpreter's internals; remove it",
) | dict.fromkeys(
    _words("data_ptr untyped_storage typed_storage share_memory_ numpy"), "use operations of torch on the tensor itself"
)
"""Refused on every object."""

DUNDERS = _words(
    "__init__ __post_init__ __name__ __qualname__ __class__ __doc__ __version__ __len__ __getitem__ __iter__ __call__ "
    "__repr__ __str__ __annotations__"
)
"""Special names that can be read as attributes."""

PRIVATE = _words(
    "_assert _calculate_fan_in_and_fan_out _calculate_correct_fan _no_grad_trunc_normal_ _single _pair _triple "
    "_quadruple _ntuple _reverse_repeat_tuple _BatchNorm _InstanceNorm _NormBase _ConvNd _ConvTransposeNd _DropoutNd "
    "_size_1_t _size_2_t _size_3_t _size_any_t"
)
"""Private names of torch that are used everywhere."""

ASSIGNABLE_DUNDERS = _words("__all__ __author__ __constants__ __slots__ __version__")
"""Special names that can be assigned in a module or class."""

NAMES: Mapping[str, str] = dict.fromkeys(
    _words("open exec eval compile globals locals vars dir input breakpoint exit quit help memoryview"), OUTSIDE
)
"""Built-in functions no network needs."""

METHODS = _words(
    "parameters named_parameters buffers named_buffers children named_children modules named_modules get_parameter "
    "get_buffer get_submodule state_dict load_state_dict register_parameter register_buffer register_module add_module "
    "train eval apply to cpu cuda half float double bfloat16 type zero_grad requires_grad_ _apply _save_to_state_dict "
    "_load_from_state_dict _call_impl _wrapped_call_impl"
)
"""Methods of ``nn.Module`` that the trainer needs: they cannot be overridden."""

DEFINABLE_DUNDERS = _words(
    "__init__ __post_init__ __len__ __getitem__ __iter__ __next__ __contains__ __repr__ __str__ __eq__ __hash__ "
    "__add__ __mul__ __sub__ __enter__ __exit__ __bool__"
)
