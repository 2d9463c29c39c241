"""The shared package of every function: callbacks in, transcripts out, purchases recorded.

Where things live:

* ``callbacks``: what Mavi posts to us: reading, classifying, carrying it on a topic
* ``tasks``: the stored result: its schema, how it is made from a callback, how versions merge
* ``submissions``: the purchase ledger and the act of buying
* ``mavi``: the client of the provider's API
* ``google`` and ``embedded``: the two backends behind ``ports``
* ``settings``, ``errors``, ``logs``, ``web``: what every entry file uses

Importing any module reads no environment, opens no file and needs no network.
"""
