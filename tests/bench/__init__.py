"""Measured side by side in one run: the callback, the subscriber, the start of each function.

Ratios matter, not milliseconds: functions and baselines run alternately on the same machine, and
every figure is the median over the rounds.
"""
