"""No garbage collection while an entry file is imported.

Each entry imports this module first; ``serving.prepare`` turns the collector on again. Nothing that
an import makes is garbage, and looking for it takes a fifth of a start with Google's clients: 0.98
seconds of CPU time against 0.77, measured on a busy machine. No other module may import this one.
"""

import gc

gc.disable()
