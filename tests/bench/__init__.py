"""Measured side by side: callback, subscriber, exports, the start of functions and the command.

Ratios count, not milliseconds: the baselines run on the same machine, in turn with ours, and every
figure is the median over the rounds.
"""
