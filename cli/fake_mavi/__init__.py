"""A stand-in for the Mavi API v2, faithful to its documents, with faults that can be set.

* ``server``: its HTTP interface, and the one under ``/_fake`` that steers it
* ``account``: assets, jobs, and what one account may do
* ``faults``: what goes wrong, and how often
* ``callbacks``: the bodies it posts, in every documented shape and generation
* ``limiter``: one request a second and endpoint

Nothing here was verified against the live service: https://api-tools.memories.ai is the source, and
where its pages contradict each other the fake offers each version as a setting.
"""
