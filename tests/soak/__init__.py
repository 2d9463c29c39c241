"""The long burst: ``python -m tests.soak [--backend emulators]``."""
