"""The contract of the routes that change tasks, on every backend."""

from __future__ import annotations

from tests.contracts.deletion import DeletionContract
from tests.contracts.renaming import RenamingContract
from tests.contracts.renormalize import RenormalizeContract


class ChangesContract(RenamingContract, DeletionContract, RenormalizeContract):
    """Subclasses give a fixture ``results``."""
