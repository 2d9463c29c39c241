"""The media formats that Mavi documents, with their content types and extensions.

The formats: https://api-tools.memories.ai/visual-intelligence, base/upload. The content types and
extensions come from mime databases; ``tests/media_types.tsv`` holds what they say and where:

* IANA's registry (https://www.iana.org/assignments/media-types/media-types.xhtml), and Apache's and
  nginx's lists, as collected in mime-db (https://github.com/jshttp/mime-db)
* shared-mime-info, with the aliases (https://gitlab.freedesktop.org/xdg/shared-mime-info)
* the magic database of file(1), which gsutil asks with ``use_magicfile``
* RFC 2361 for AVI and WAVE (https://www.rfc-editor.org/rfc/rfc2361)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
