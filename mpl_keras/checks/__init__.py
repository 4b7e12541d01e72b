"""What must be: numbers, choices, arrays, batches and names.

Every error names the argument, what it must be, and what came, before a step is
spent.
"""

from mpl_keras.checks.arguments import (
    ArgumentError,
)

__all__ = [
    "ArgumentError",
]
