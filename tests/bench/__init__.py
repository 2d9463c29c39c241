"""Measured side by side in one run: the callback, the subscriber, the start of each function.

Ratios count, not milliseconds: the baselines run on the same machine, in turn with ours, and every
figure is the median over the rounds.
"""
