"""The media formats that Mavi documents: their content types and extensions, and a file's format.

The formats: https://api-tools.memories.ai/visual-intelligence, base/upload. The content types and
extensions come from mime databases; ``tests/media_types.tsv`` holds what they say and where:

* IANA's registry (https://www.iana.org/assignments/media-types/media-types.xhtml), and Apache's and
  nginx's lists, as collected in mime-db (https://github.com/jshttp/mime-db)
* shared-mime-info, with the aliases (https://gitlab.freedesktop.org/xdg/shared-mime-info)
* the magic database of file(1), which gsutil asks with ``use_magicfile``
* RFC 2361 for AVI and WAVE (https://www.rfc-editor.org/rfc/rfc2361)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from transcripts.uploads.stored_object import StoredObject

VIDEO: Final = frozenset({"mp4", "mov", "avi", "webm", "mkv", "flv", "wmv", "mpeg", "mpg"})
AUDIO: Final = frozenset({"mp3", "wav", "aac", "flac", "ogg", "m4a"})

_CONTENT_TYPES: Final = {
    "mp4": "video/mp4 application/mp4 video/mp4v-es video/x-m4v video/x-f4v video/mpeg4-generic",
    "mov": "video/quicktime",
    "avi": "video/x-msvideo video/vnd.avi video/avi video/x-avi video/msvideo video/divx"
    " video/vnd.divx",
    "webm": "video/webm audio/webm",
    "mkv": "video/matroska video/x-matroska video/matroska-3d video/x-matroska-3d audio/matroska"
    " audio/x-matroska application/x-matroska",
    "flv": "video/x-flv video/flv application/x-flash-video flv-application/octet-stream",
    "wmv": "video/x-ms-wmv application/vnd.ms-asf video/x-ms-asf video/x-ms-asf-plugin"
    " video/x-ms-wm",
    "mpeg": "video/mpeg video/x-mpeg video/x-mpeg2 video/mpeg-system video/x-mpeg-system video/mp1s"
    " video/mp2p",
    "mp3": "audio/mpeg audio/mp3 audio/x-mp3 audio/x-mpeg audio/x-mpg audio/mpa audio/mpa-robust",
    "wav": "audio/wav audio/vnd.wave audio/wave audio/x-wav",
    "aac": "audio/aac audio/x-aac audio/x-hx-aac-adts audio/x-hx-aac-adif audio/vnd.dlna.adts"
    " audio/vnd.dolby.heaac.1 audio/vnd.dolby.heaac.2",
    "flac": "audio/flac audio/x-flac",
    "ogg": "audio/ogg audio/x-ogg video/ogg video/x-ogg application/ogg application/x-ogg"
    " audio/opus audio/vorbis audio/x-vorbis audio/x-vorbis+ogg audio/x-opus+ogg audio/x-speex+ogg"
    " audio/x-flac+ogg audio/x-oggflac video/x-theora+ogg video/x-theora"
    " audio/speex audio/x-speex video/x-ogm+ogg video/x-ogm",
    "m4a": "audio/mp4 audio/m4a audio/x-m4a audio/x-m4b audio/x-m4r audio/mp4a-latm"
    " audio/mpeg4-generic",
}

_OTHER_EXTENSIONS: Final = {
    "mp4": "m4v f4v mpg4 mp4v",
    "mov": "qt",
    "avi": "divx",
    "webm": "weba",
    "mkv": "mka mk3d",
    "wmv": "asf",
    "mpeg": "mpe",
    "mp3": "mpga",
    "aac": "adts",
    "ogg": "oga ogv ogm ogx opus spx",
    "m4a": "m4b m4r mp4a f4a",
}

FORMAT_OF_TYPE: Final[Mapping[str, str]] = {
    content_type: media_format
    for media_format, content_types in _CONTENT_TYPES.items()
    for content_type in content_types.split()
}
"""The format that a content type stands for, as the extension that Mavi documents."""

TYPE_OF_FORMAT: Final[Mapping[str, str]] = {
    media_format: content_types.split()[0] for media_format, content_types in _CONTENT_TYPES.items()
}
"""The content type under which browsers know a format."""

FORMAT_OF_EXTENSION: Final[Mapping[str, str]] = {name: name for name in VIDEO | AUDIO} | {
    extension: media_format
    for media_format, extensions in _OTHER_EXTENSIONS.items()
    for extension in extensions.split()
}
"""The format of a file with that extension; most stand for themselves, ``m4v`` is an ``mp4``."""

UNINFORMATIVE_TYPES: Final = frozenset(
    {
        "",
        "application/octet-stream",
        "application/x-octet-stream",
        "binary/octet-stream",
        "application/binary",
        "application/x-binary",
        "application/unknown",
        "application/x-unknown",
        "unknown/unknown",
        "application/download",
        "application/x-download",
        "application/force-download",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "*/*",
    }
)
"""Content types that clients send for any file: defaults of theirs, and placeholders.

``curl --data-binary`` sends a form's type (https://curl.se/docs/manpage.html#--data-binary), and
``fetch`` sends ``text/plain`` with a string (https://fetch.spec.whatwg.org/#concept-bodyinit-extract).
"""

_EXTENSION: Final = re.compile(r"(?=[0-9]*[A-Za-z])(?:[a-z0-9]{1,8}|[A-Z0-9]{1,8})")
"""The form of an extension: short, of one case, with a letter. ``Smith`` and ``2024`` are none.

An unknown extension of up to eight lower-case letters decides: ``notes.txt`` is no recording,
whatever its content type says.
"""


def played_type(stored: StoredObject) -> str | None:
    """Return the content type to play an object with, or None if it is no media.

    It is ``audio/…`` or ``video/…``, whatever the uploader has set.
    """
    filename = media_filename(stored.name.rpartition("/")[2].strip(), stored.content_type)
    if filename is None:
        return None
    return TYPE_OF_FORMAT.get(FORMAT_OF_EXTENSION[filename.rpartition(".")[2].lower()])


def media_filename(basename: str, content_type: str | None) -> str | None:
    """Return the name with an extension that Mavi documents, or None if it is no media."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    tail = basename.rpartition(".")[2] if "." in basename else ""
    media_format = FORMAT_OF_EXTENSION.get(tail.lower())
    if media_format is not None:
        if not _may_be_media(media_type):
            return None
        return basename if tail.lower() == media_format else f"{basename}.{media_format}"
    media_format = FORMAT_OF_TYPE.get(media_type)
    if media_format is None or _EXTENSION.fullmatch(tail):
        return None
    return f"{basename}.{media_format}"


def without_extension(filename: str) -> str:
    """Return a file's name without its extension; ``Interview with Dr. Smith`` has none."""
    stem, _, tail = filename.rpartition(".")
    return stem if stem and _EXTENSION.fullmatch(tail.rstrip()) else filename


def _may_be_media(media_type: str) -> bool:
    return (
        media_type in UNINFORMATIVE_TYPES
        or media_type.startswith(("video/", "audio/"))
        or media_type in FORMAT_OF_TYPE
    )
