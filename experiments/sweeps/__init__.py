"""Many runs: jobs, and the worker processes that execute them one after another or under Ray."""
