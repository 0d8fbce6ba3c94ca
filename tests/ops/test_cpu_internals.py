"""The parts of numba and llvmlite that the CPU kernels rely on although they are not documented.

When one of these tests fails after an update, the kernels need a look (docs/lab/cpu_kernels.md) or the version a cap.
"""

import inspect

import numba
import pytest
from llvmlite import ir
from numba.core import caching, dispatcher

CHANGED = "numba or llvmlite has changed under ops/cpu: adapt the kernels, or cap the version in pyproject.toml"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (caching, "_CacheLocator"),
        (caching, "CompileResultCacheImpl"),
        (caching, "FunctionCache"),
        (caching.FunctionCache, "_impl_class"),
        (caching.FunctionCache, "_guard_against_spurious_io_errors"),
        (caching.FunctionCache, "flush"),
        (caching.CompileResultCacheImpl, "_locator_classes"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_cache_has_the_parts_that_are_replaced(owner: object, name: str):
    """See ops/cpu/jit_cache.py."""
    assert hasattr(owner, name), CHANGED


def test_a_locator_is_asked_what_ours_answers():
    """Its abstract methods are those that jit_cache defines, so that no default of numba's is used unseen."""
    wanted = {"ensure_cache_path", "get_cache_path", "get_source_stamp", "get_disambiguator", "from_function"}
    assert wanted <= {name for name, _ in inspect.getmembers(caching._CacheLocator)}, CHANGED


def test_a_dispatcher_loads_from_the_cache_it_is_given():
    """Enable_caching does no more than to set this attribute."""
    assert "_cache" in vars(numba.njit(lambda x: x)), CHANGED
    assert "self._cache = FunctionCache(self.py_func)" in inspect.getsource(dispatcher.Dispatcher.enable_caching), (
        CHANGED
    )


def test_llvm_types_print_as_they_are_written_out():
    """ops/cpu/llvm_values.py adds bfloat to llvmlite's types by the text that they print as."""
    assert str(ir.VectorType(ir.FloatType(), 16)) == "<16 x float>", CHANGED
    assert hasattr(ir.types.Type, "_to_string"), CHANGED
