"""One run: its configuration and folder, its programs, the driver, checkpoints, callbacks."""
