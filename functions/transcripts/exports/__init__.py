"""A transcript as subtitles, a document, a table or data.

``export`` writes a task in one of ``FORMATS``. Each format is a generator that reads the segments
once and keeps at most a few of them, so a transcript of any length can be streamed.
"""

from transcripts.exports.export import export
from transcripts.exports.file_names import content_disposition, file_name
from transcripts.exports.options import Options, SpeakerLabels
from transcripts.exports.registry import FORMATS, Format, find_format

__all__ = [
    "FORMATS",
    "Format",
    "Options",
    "SpeakerLabels",
    "content_disposition",
    "export",
    "file_name",
    "find_format",
]
