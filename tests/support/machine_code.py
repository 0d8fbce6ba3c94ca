"""Machine code of Triton kernels for GPUs that are not here, compiled by Triton's own ptxas."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAPABILITIES = (80, 86, 89, 90, 100, 120)


@dataclass(frozen=True)
class MachineCode:
    """What a kernel was compiled to, for one compute capability."""

    ptx: str
    registers: int  # per thread
    spills: int  # instructions that read or write a thread's own memory


def compile_kernel(
    kernel: Any, types: Mapping[str, str], constants: Mapping[str, object], capability: int, **options: object
) -> MachineCode:
    """Compile ``kernel`` for arguments of these ``types`` (pointers are aligned to 16 bytes) and ``constants``."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")}
    source = ASTSource(kernel, signature, {(names.index(n),): value for n, value in constants.items()}, aligned)
    code = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm
    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code["cubin"])
        file.flush()
        usage = _output(tools / "cuobjdump", "-res-usage", file.name)
        listing = _output(tools / "cuobjdump", "-sass", file.name)
    return MachineCode(
        code["ptx"], int(re.findall(r"REG:(\d+)", usage)[0]), len(re.findall(r"\b(?:LDL|STL)\b", listing))
    )


def _output(*command: object) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
