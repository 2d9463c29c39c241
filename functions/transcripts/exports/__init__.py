"""A transcript as subtitles, a document, a table or data.

``export.export`` writes a task in one of the formats of ``registry``, each by a module of
``formats``. A writer is a generator that reads the segments once and keeps at most a few of them,
so a transcript of any length can be streamed.
"""
