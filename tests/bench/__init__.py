"""Measured side by side: callback, subscriber, exports, the start of functions and the command.

Ratios matter, not milliseconds: functions and baselines run alternately on the same machine, and
every figure is the median over the rounds.
"""
