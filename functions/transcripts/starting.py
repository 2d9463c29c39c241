"""No garbage collection while an entry file is imported.

Each entry imports this module first; ``serving.prepare`` turns the collector on again. Nothing that
an import makes is garbage, and looking for it takes 30 to 50 ms of a start. No other module may
import this one.
"""

import gc

gc.disable()
