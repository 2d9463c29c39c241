"""A Word document, by hand: a zip of six small files, of which one holds the text.

Libraries for it need an XML library in C and hold the whole document in memory. The parts and their
order are those of ECMA-376 (https://ecma-international.org/publications-and-standards/standards/ecma-376/).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Final

from transcripts.exports.paragraphs import paragraphs
from transcripts.exports.transcript import Transcript, clock_seconds, milliseconds, title
from transcripts.text import right_to_left, xml_text

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPES: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD: Final = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

_CONTENT_TYPES: Final = (
    f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels"'
    ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_TYPES}.document.main+xml"/>'
    f'<Override PartName="/word/styles.xml" ContentType="{_TYPES}.styles+xml"/>'
    '<Override PartName="/docProps/core.xml"'
    ' ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>'
)
_RELATIONSHIPS: Final = (
    f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/>'
    f'<Relationship Id="rId2" Type="{_PACKAGE}/relationships/metadata/core-properties"'
    ' Target="docProps/core.xml"/></Relationships>'
)
_DOCUMENT_RELATIONSHIPS: Final = (
    f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
)
_STYLES: Final = (
    f"{_XML}<w:styles {_WORD}>"
    '<w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Calibri" w:hAnsi="Calibri"/>'
    '<w:sz w:val="22"/><w:szCs w:val="22"/></w:rPr></w:rPrDefault></w:docDefaults>'
    '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/>'
    '<w:pPr><w:spacing w:after="160" w:line="276" w:lineRule="auto"/></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/>'
    '<w:basedOn w:val="Normal"/><w:rPr><w:sz w:val="40"/><w:szCs w:val="40"/></w:rPr></w:style>'
    '<w:style w:type="paragraph" w:customStyle="1" w:styleId="Speaker"><w:name w:val="Speaker"/>'
    '<w:basedOn w:val="Normal"/><w:next w:val="Normal"/>'
    '<w:pPr><w:keepNext/><w:spacing w:before="120" w:after="0"/></w:pPr>'
    "<w:rPr><w:b/><w:bCs/></w:rPr></w:style>"
    '<w:style w:type="character" w:customStyle="1" w:styleId="Time"><w:name w:val="Time"/>'
    '<w:rPr><w:b w:val="0"/><w:bCs w:val="0"/><w:color w:val="767676"/></w:rPr></w:style>'
    "</w:styles>"
)
_NEVER: Final = (1980, 1, 1, 0, 0, 0)
"""The zip format's first day: equal transcripts make equal files."""


def write(transcript: Transcript) -> Iterator[bytes]:
    """Write the small files first and then the text, compressed as it comes."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in (
            ("[Content_Types].xml", _CONTENT_TYPES),
            ("_rels/.rels", _RELATIONSHIPS),
            ("docProps/core.xml", _core(title(transcript.task))),
            ("word/_rels/document.xml.rels", _DOCUMENT_RELATIONSHIPS),
            ("word/styles.xml", _STYLES),
        ):
            package.writestr(_entry(name), content)
        with package.open(_entry("word/document.xml"), "w") as document:
            for piece in _document(transcript):
                document.write(piece.encode())
                yield from sink.taken()
    yield from sink.taken()


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken; it can't be rewound, as a response can't."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override] # zipfile writes bytes
        self._chunks.append(bytes(data))
        return len(data)

    def taken(self) -> Iterator[bytes]:
        if self._chunks:
            yield b"".join(self._chunks)
            self._chunks.clear()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _NEVER)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _core(name: str) -> str:
    return (
        f'{_XML}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{xml_text(name)}</dc:title></cp:coreProperties>"
    )


def _document(transcript: Transcript) -> Iterator[str]:
    task = transcript.task
    yield f"{_XML}<w:document {_WORD}><w:body>"
    yield _text("Title", title(task))
    people = ", ".join(speaker.name for speaker in transcript.speakers.listed)
    duration = clock_seconds(milliseconds(task.duration_s))
    yield _text("Normal", f"{duration} · {people}" if people else duration)
    for paragraph in paragraphs(transcript):
        yield _heading(paragraph.label, clock_seconds(paragraph.start_ms))
        yield _text("Normal", paragraph.text)
    yield "<w:sectPr/></w:body></w:document>"


def _heading(name: str | None, time: str) -> str:
    runs = f'<w:r><w:rPr><w:rStyle w:val="Time"/></w:rPr><w:t>{time}</w:t></w:r>'
    if name is None:
        return _paragraph("Speaker", runs, leftwards=False)
    leftwards = right_to_left(name)
    runs = f"{_run(name, leftwards=leftwards)}{_run('  ', leftwards=False)}{runs}"
    return _paragraph("Speaker", runs, leftwards=leftwards)


def _text(style: str, text: str) -> str:
    leftwards = right_to_left(text)
    return _paragraph(style, _run(text, leftwards=leftwards), leftwards=leftwards)


def _paragraph(style: str, runs: str, *, leftwards: bool) -> str:
    direction = "<w:bidi/>" if leftwards else ""
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/>{direction}</w:pPr>{runs}</w:p>'


def _run(text: str, *, leftwards: bool) -> str:
    direction = "<w:rPr><w:rtl/></w:rPr>" if leftwards else ""
    return f'<w:r>{direction}<w:t xml:space="preserve">{xml_text(text)}</w:t></w:r>'
