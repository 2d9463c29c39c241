"""The backend without any server: one SQLite file, shared by all processes of a machine.

For laptops and tests. It promises what Google's services promise the pipeline: a commit is atomic
and durable, a message is delivered at least once, retried with back-off and dead-lettered.
"""
