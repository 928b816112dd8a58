"""Compiled loops in torch's own threads, through the ``GOMP_parallel`` of the OpenMP library that torch has loaded.

Threads of Python's would fight for the cores with torch's, which spin for a while after each of its products.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llvmlite import binding
from numba import cfunc, njit, types
from numba.extending import intrinsic

from extractors.vector_code import LANES

if TYPE_CHECKING:
    from torch import Tensor

FAST: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz"}}
"""How loops are compiled: sums keep their order, so that results have the same bits whoever computes them."""

FIRST_WORD = 3
"""Numbers that :func:`run` puts before the caller's: where to ask for the thread's number and for that of threads, and
how many parts of the work have been taken, see :func:`take`."""

_SHARE = 2
"""A thread takes at most one part in so many of its equal share of what is left."""


def _pointer(typing_context: Any, address: Any) -> Any:
    """A pointer to float32 from an address."""
    pointer = types.CPointer(types.float32)

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(address), lower


def _call(typing_context: Any, address: Any) -> Any:
    """What the C function ``int f(void)`` at an address returns."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        function = ir.FunctionType(ir.IntType(32), [])
        return builder.call(builder.inttoptr(arguments[0], function.as_pointer()), [])

    return types.int32(address), lower


def _count(typing_context: Any, work: Any, at: Any) -> Any:
    """Adds one to a number of an array of them, in one step for all threads. Returns what it was."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(work, types.int64), lower


floats_at: Any = intrinsic(_pointer)
_int_of_call: Any = intrinsic(_call)
_one_more: Any = intrinsic(_count)


@njit(**FAST)
def team(work: Any) -> Any:
    """The number of this thread and how many there are: maybe fewer than asked for (``OMP_THREAD_LIMIT``, nesting)."""
    return _int_of_call(work[0]), _int_of_call(work[1])


@njit(**FAST)
def take(work: Any, products: int, tiles: int, least: int, most: int) -> Any:
    """The next part of some products that no thread has taken: large ones first, then ever smaller ones.

    Threads that share a core with others, or wait for memory, so get less to do, and all end at about the same time.
    Parts are the same whoever takes them.

    Args:
        work: numbers of :func:`run`.
        products: how many.
        tiles: of a product. No part has tiles of two.
        least: tiles of a part, unless fewer are left of the product.
        most: tiles of a part.

    Returns:
        The product, the first of its tiles and their end; the number of products when nothing is left.
    """
    _, threads = team(work)
    number, end, at = _one_more(work, FIRST_WORD - 1), products * tiles, 0
    size = _size_of_part(at, end, tiles, threads, least, most)
    for _ in range(number):
        at += size
        size = _size_of_part(at, end, tiles, threads, least, most)
    product = at // tiles if at < end else products
    first = at - product * tiles
    return product, first, first + size


@njit(**FAST)
def take_some(work: Any, count: int) -> Any:
    """As :func:`take`, of so many small things: the first and the end of the next; equal when nothing is left."""
    done, first, end = take(work, 1, count, 1, count)
    return first, end if done == 0 else first


@njit(**FAST)
def _size_of_part(at: int, end: int, tiles: int, threads: int, least: int, most: int) -> int:
    wanted = min(max((end - at) // (_SHARE * threads), least), most)
    return min(wanted, tiles - at % tiles)


@cache
def _compiled(part: Callable[[Any], None]) -> Any:
    """As a C function, compiled once and kept on disk where that is possible."""
    signature = types.void(types.CPointer(types.int64))
    part.__qualname__ = f"{part.__name__}_{_makings(part)}"  # of which numba makes the file's name
    try:
        return cfunc(signature, cache=True)(part)
    except (RuntimeError, OSError):  # no folder to keep it in, or a full one: compiled anew in each process
        return cfunc(signature)(part)


def _makings(part: Callable[[Any], None]) -> str:
    """A name for what a loop is compiled from: this CPU, and all that its source imports from its own folder.

    Numba looks at the loop's own file alone, and at the CPU that it is told of (``NUMBA_CPU_NAME``): it would run code
    that was compiled with other constants, on memory that is laid out for the new ones.
    """
    features = binding.get_host_cpu_features().flatten()
    digest = sha256(f"{binding.get_host_cpu_name()} {features} {LANES}".encode())
    waiting, seen = [Path(inspect.getfile(part))], set()
    while waiting:
        source = waiting.pop()
        if source not in seen and source.is_file():
            seen.add(source)
            digest.update(source.read_bytes())
            waiting += [source.with_name(f"{name.rpartition('.')[2]}.py") for name in _imported(source)]
    return digest.hexdigest()[:16]


def _imported(source: Path) -> list[str]:
    """Every name that may be a module's in the imports of a source."""
    nodes = [node for node in ast.walk(ast.parse(source.read_bytes())) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return modules + [alias.name for node in nodes for alias in node.names]


@cache
def library() -> Any:
    """The OpenMP library that torch's threads belong to; ``None`` where it is not GNU's or cannot be told."""
    import torch

    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    if len(found) != 1:
        return None
    gomp = ctypes.CDLL(str(found[0]))
    gomp.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    gomp.GOMP_parallel.restype = None
    return gomp


def address_of(tensor: Tensor | None) -> int:
    """Where a tensor's numbers lie; 0 for none.

    Raises:
        TypeError: If it is not what compiled loops read and write: they get bare addresses.
    """
    import torch

    if tensor is None:
        return 0
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise TypeError(f"expected contiguous float32 on the CPU, got {tensor.dtype} on {tensor.device}")
    return tensor.data_ptr()


def run(part: Callable[[Any], None], *numbers: int) -> None:
    """Run a loop in every thread of torch's.

    Args:
        part: one thread's share. It is given a pointer to :data:`FIRST_WORD` numbers for :func:`team`, then to
            these ones.
        numbers: addresses and sizes.
    """
    import torch

    gomp = library()
    which, of_how_many = (
        ctypes.cast(function, ctypes.c_void_p).value or 0
        for function in (gomp.omp_get_thread_num, gomp.omp_get_num_threads)
    )
    work = (ctypes.c_int64 * (FIRST_WORD + len(numbers)))(which, of_how_many, 0, *numbers)
    gomp.GOMP_parallel(_compiled(part).address, ctypes.addressof(work), torch.get_num_threads(), 0)
