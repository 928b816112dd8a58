import sys

import numpy as np
import psutil
import pytest

from extractors.engines.memory import give_back_freed_memory
from pipeline.malloc import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_kept_and_then_given_back():
    assert keep_freed_memory()
    process = psutil.Process()
    blocks = [np.ones(1 << 20) for _ in range(32)]
    with_blocks = process.memory_info().rss
    blocks.clear()
    kept = process.memory_info().rss
    assert with_blocks - kept < 64 << 20
    assert give_back_freed_memory()
    assert kept - process.memory_info().rss > 128 << 20
