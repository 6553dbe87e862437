"""One run: its configuration and folder, its compiled programs, the driver, checkpoints, callbacks."""
