"""Many runs: jobs, the worker processes that do them, searches for settings."""
