"""Set before jax is first imported: one XLA thread (the bits depend on it) and compiled programs kept on disk."""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("NPROC", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "prospect-test-programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
sys.path.insert(0, str(Path(__file__).parent))  # for `toys`, which tests in several folders and processes share
