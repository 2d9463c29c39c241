"""The shared package of every function: callbacks in, transcripts out, purchases recorded.

Where things live:

* ``callbacks``: reads and classifies what Mavi posts, and carries it on a topic
* ``tasks``: the stored result: its schema, how it is made from a callback, how versions merge
* ``exports``: a stored result as subtitles, a document, a table or data
* ``submissions``: the purchase ledger and the act of buying
* ``changes``: what people change: speakers' names, deletion, making a result again
* ``results``: the API that people and programs read
* ``viewer``: the pages
* ``uploads``: the events of uploaded objects, and which objects are media
* ``mavi``: the client of the provider's API
* ``google`` and ``embedded``: the two backends behind ``ports``
* ``settings``, ``errors``, ``logs``, ``log_events``, ``web``: what every entry file uses

Importing any module reads no environment and no file but the package's own, and needs no network.
"""

VERSION = "0.1.0"
"""The version of functions and command; CHANGELOG.md says what each changes."""
