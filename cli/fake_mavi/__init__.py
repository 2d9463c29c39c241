"""A stand-in for the Mavi API v2, faithful to its documents, with faults that can be set.

* ``server``: Mavi's HTTP interface, and the control interface under ``/_fake``
* ``account``: the assets, jobs and rate limit of one account
* ``faults``: the faults to inject, and how often
* ``callbacks``: the bodies of callbacks, in every documented shape and generation

Nothing here was verified against the live service: https://api-tools.memories.ai is the source, and
where its pages contradict each other the fake offers each version as a setting.
"""
