"""The pages for people: what they show, what they change, and what they refuse to run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.fakes import MemoryDocuments, Outage, TryOnce
from tests.functional.framework import load
from tests.results import LONG, Results
from tests.viewer import HOSTILE, a_list, a_transcript, hostile_transcript
from transcripts import backends
from transcripts.exports import FORMATS
from transcripts.results.listing import MAX_PAGE_SIZE
from transcripts.tasks.task import SpeakerName, Status, page_path
from transcripts.viewer.assets import MEDIA_TYPES, asset_path
from transcripts.viewer.entries import SEARCHED_PAGES
from transcripts.viewer.forms import COOKIE
from transcripts.viewer.renaming import UNDO_COOKIE
from transcripts.viewer.words import FORMAT_WORDS, STATE_WORDS, STATUS_WORDS

OWN_SITE = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Form:
    """A form of a page: its address, and its fields."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)

    def named(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each == name]


class Page(HTMLParser):
    """The elements, texts and forms of an answer."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.titles: list[str] = []
        self.forms: list[Form] = []
        self.feed(answer.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if tag in ("input", "select") and "name" in given and self.forms:
            self.forms[-1].fields.append((given["name"], given.get("value", "")))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data)
            if self.elements and self.elements[-1][0] == "title":
                self.titles.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, name: str) -> list[str]:
        return [given[name] for _, given in self.elements if name in given]

    def form_with(self, name: str, value: str | None = None) -> Form:
        return next(
            form
            for form in self.forms
            if form.named(name) and (value is None or value in form.named(name))
        )


@dataclass
class Reader:
    """A browser: it keeps cookies, and sends forms as a page of its own site does."""

    client: httpx.AsyncClient

    async def get(self, path: str) -> Page:
        return Page(await self.client.get(path))

    async def send(self, form: Form, **changes: str) -> httpx.Response:
        fields = [(name, changes.pop(name, value)) for name, value in form.fields]
        return await self.post(form.action, fields + list(changes.items()))

    async def post(
        self, path: str, fields: list[tuple[str, str]], **headers: str
    ) -> httpx.Response:
        return await self.client.post(
            path,
            content=urlencode(fields),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                **OWN_SITE,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )


@pytest.fixture
def memory() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def results(memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setattr(backends, "open_documents", lambda *_: memory)
    loaded = load("results", {"GOOGLE_CLOUD_PROJECT": "p"}, monkeypatch)

    async def remove(path: str) -> None:
        del memory.content[path]

    return Results(loaded, memory, remove)


@pytest.fixture
async def reader(results: Results) -> Any:
    async with results.loaded.client() as client:
        yield Reader(client)


async def fill(results: Results) -> None:
    tasks, submissions = a_list()
    await results.put(*tasks)
    await results.put_submissions(*submissions)


async def test_list_shows_each_state_with_reason_and_next_step(
    results: Results, reader: Reader
) -> None:
    """A task that is stuck or failed says what to do about it."""
    await fill(results)
    page = await reader.get("/")
    for status in set(Status) - {Status.DELETED, Status.UNRECOGNIZED}:
        assert STATUS_WORDS[status] in page.text
    assert "Mavi says: No speech was found" in page.text
    assert "No result has arrived in time." in page.text
    assert "29:59" in page.text
    assert "$3.00" in page.text
    assert page.text.index("interview with Ada") > page.text.index("site meeting")


async def test_list_of_rejected_submissions_says_why(results: Results, reader: Reader) -> None:
    """The first page links to them, with their number."""
    await fill(results)
    first = await reader.get("/")
    assert "/?state=rejected" in first.attributes("href")
    assert f"{STATE_WORDS['rejected']} 2" in first.text  # type: ignore[index] # a StrEnum
    page = await reader.get("/?state=rejected")
    assert "Too large" in page.text
    assert "Compress or cut it" in page.text
    assert "gs://recordings/whole week.mov" in page.text
    assert "site meeting" not in page.text


async def test_list_pages_lead_to_every_task(results: Results, reader: Reader) -> None:
    """The form of the next page keeps the filter."""
    await results.put(*(a_transcript(f"t{index:03d}", count=1) for index in range(120)))
    page = await reader.get("/?status=succeeded")
    seen: list[str] = []
    while True:
        seen += [href for href in page.attributes("href") if href.startswith("/view/")]
        if not any(form.named("page_token") for form in page.forms):
            break
        form = page.form_with("page_token")
        assert form.named("status") == ["succeeded"]
        page = await reader.get(f"/?{urlencode(form.fields)}")
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize(
    "query", ["interview", "INTERVIEW WITH", "re_0001", "client:ard", "ben", "gs://recordings/int"]
)
async def test_list_search_finds_name_asset_label_and_speaker(
    results: Results, reader: Reader, query: str
) -> None:
    """Case does not matter."""
    await fill(results)
    page = await reader.get(f"/?{urlencode({'q': query})}")
    assert "/view/interview" in page.attributes("href")
    assert "/view/broken" not in page.attributes("href")


async def test_list_search_beyond_its_limit_offers_to_go_on(
    results: Results, reader: Reader
) -> None:
    """A search reads a bounded number of tasks, and the next request goes on after them."""
    limit = SEARCHED_PAGES * MAX_PAGE_SIZE
    await results.put(
        *(a_transcript(f"a{index:04d}", count=0, labels={}) for index in range(limit)),
        a_transcript("a", count=0, labels={"rare": "find"}),
    )
    page = await reader.get("/?q=rare:find")
    assert f"0 of {limit:,} match" in page.text
    page = await reader.get(f"/?{urlencode(page.form_with('page_token').fields)}")
    assert "/view/a" in page.attributes("href")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?status=nonsense", 400),
        ("/?page_token=altered", 400),
        ("/?status=failed&state=rejected", 400),
        ("/view/missing", 404),
        ("/view/%2e%2e", 404),
        ("/viewer/other.js", 404),
    ],
)
async def test_page_with_an_error_answers_its_status(
    reader: Reader, path: str, status: int
) -> None:
    """The reader learns why in words."""
    answer = await reader.client.get(path)
    assert answer.status_code == status
    if not path.startswith("/viewer/"):
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "All transcripts" in Page(answer).text


async def test_page_without_a_store_is_an_error_page(
    results: Results, reader: Reader, memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log tells why."""
    module: Any = results.loaded.module
    monkeypatch.setattr(type(module.retrier), "run", TryOnce.run)
    memory.before = Outage(1)
    answer = await reader.client.get("/view/t")
    assert answer.status_code == 503
    assert Page(answer).elements
    assert "transient_error" in [line["message"] for line in results.log]


async def test_transcript_shows_paragraphs_by_speaker(results: Results, reader: Reader) -> None:
    """Consecutive lines of a speaker have one name, and each line has an anchor and a link."""
    task = a_transcript()
    await results.put(task)
    page = await reader.get("/view/t")
    said = [given for _, given in page.elements if "said" in given.get("class", "").split()]
    turns = [
        segment.speaker
        for index, segment in enumerate(task.segments)
        if index == 0 or task.segments[index - 1].speaker != segment.speaker
    ]
    assert len(said) == len(turns)
    ids, links = page.attributes("id"), page.attributes("href")
    for number, segment in enumerate(task.segments, 1):
        assert f"l{number}" in ids
        assert f"#l{number}" in links
        assert segment.text in page.words
    assert page.titles[0] == "site meeting"
    assert page.attributes("dir").count("auto") > len(task.segments)


async def test_transcript_links_lead_to_its_own_anchors(results: Results, reader: Reader) -> None:
    """So do the parts of the talk-time chart and of the timeline."""
    await results.put(a_transcript(count=400, speakers=12))
    page = await reader.get("/view/t?q=Tuesday")
    ids = page.attributes("id")
    anchors = [href[1:] for href in page.attributes("href") if href.startswith("#")]
    assert len(ids) == len(set(ids))
    assert set(anchors) <= set(ids)
    assert "Others" in page.words
    assert len([tag for tag, _ in page.elements if tag == "rect"]) > 100


async def test_transcript_search_marks_and_counts_matches(results: Results, reader: Reader) -> None:
    """Case and pattern characters have no meaning."""
    await results.put(a_transcript())
    page = await reader.get("/view/t?q=ON%20tuesday.")
    assert [tag for tag, _ in page.elements].count("mark") == 6
    assert "6 lines match" in page.text
    assert "#l6" in page.attributes("href")
    assert "0 lines match" in (await reader.get("/view/t?q=.*")).text


async def test_transcript_menu_leads_to_every_export(results: Results, reader: Reader) -> None:
    """Each link answers a file."""
    assert set(FORMAT_WORDS) == set(FORMATS)
    await results.put(a_transcript())
    page = await reader.get("/view/t")
    links = [href for href in page.attributes("href") if href.startswith("/tasks/")]
    assert len(links) == len(FORMATS)
    for link in links:
        assert (await reader.client.get(link)).status_code == 200


async def test_transcript_of_several_pages_is_read_page_by_page(
    results: Results, memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first bytes are sent before the second page is read."""
    await results.put_result(count=LONG)
    stored = await results.stored("t")
    assert stored.pages > 1
    second = page_path("t", "r1", 1)
    read, started = memory.read, [False]
    order: list[bool] = []

    async def recording(*reads: Any) -> Any:
        order.extend(started[0] for each in reads if each.fields is None and each.path == second)
        return await read(*reads)

    async def on_start() -> None:
        started[0] = True

    monkeypatch.setattr(memory, "read", recording)
    stream = results.stream("/view/t")
    await stream.run(on_start)
    assert stream.complete
    assert order == [True]
    assert stream.answer.body.count(b'class="line"') == LONG


async def test_task_without_a_transcript_says_what_to_do(results: Results, reader: Reader) -> None:
    """With what Mavi says."""
    await fill(results)
    page = await reader.get("/view/broken")
    assert "Failed" in page.words
    assert "Mavi says: No speech was found" in page.text
    assert "Correct the media" in page.text


async def test_rename_changes_page_and_export(results: Results, reader: Reader) -> None:
    """The answer leads back to the page."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    answer = await reader.send(form, name="Ada <Lovelace>")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/view/t#speakers")
    assert "Ada <Lovelace>" in (await reader.get("/view/t")).words
    assert "Ada <Lovelace>" in (await reader.client.get("/tasks/t.txt")).text


@pytest.mark.parametrize(
    ("place", "anchor"), [("l12", "l12"), ("l1 x", "speakers"), ("//evil.example", "speakers")]
)
async def test_rename_leads_back_to_the_line_in_view(
    results: Results, reader: Reader, place: str, anchor: str
) -> None:
    """To no other address."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    answer = await reader.send(form, name="Ada", place=place)
    assert answer.headers["Location"] == f"/view/t#{anchor}"


async def test_merge_makes_two_speakers_one_and_undo_separates_them(
    results: Results, reader: Reader
) -> None:
    """Undo gives each speaker the name from before, and is offered only once."""
    await results.put(a_transcript(speaker_names=[SpeakerName("Speaker 2", "Ben")]))
    page = await reader.get("/view/t")
    merge = next(f for f in page.forms if f.named("same_as") and f.named("speaker") == ["s2"])
    await reader.send(merge, same_as="s1")
    page = await reader.get("/view/t")
    assert "Ben" not in page.words
    assert "2 speakers" in page.text
    assert page.form_with("speaker", "s2").named("speaker") == ["s1", "s2"]
    undo = page.form_with("name.s2")
    assert (await reader.send(undo)).status_code == 303
    page = await reader.get("/view/t")
    assert "3 speakers" in page.text
    assert "Ben" in page.words


async def test_undo_after_another_change_is_not_offered(results: Results, reader: Reader) -> None:
    """Undoing would overwrite the other change."""
    await results.put(a_transcript())
    await reader.send((await reader.get("/view/t")).form_with("speaker", "s1"), name="Ada")
    assert any(form.named("name.s1") for form in (await reader.get("/view/t")).forms)
    await results.request("PATCH", "/tasks/t/speaker_names", json={"Speaker 1": "Eva"})
    assert not any(form.named("name.s1") for form in (await reader.get("/view/t")).forms)


async def test_blank_name_takes_the_name_away(results: Results, reader: Reader) -> None:
    """The provider's name is shown again."""
    await results.put(a_transcript(speaker_names=[SpeakerName("Speaker 1", "Ada")]))
    page = await reader.get("/view/t")
    reset = next(f for f in page.forms if f.named("name") == [""] and f.named("speaker") == ["s1"])
    await reader.send(reset)
    assert "Ada" not in (await reader.get("/view/t")).words
    assert (await results.stored("t")).speaker_names == []


async def test_rename_after_another_change_explains_the_conflict(
    results: Results, reader: Reader
) -> None:
    """Nothing is written; the page shows both names, and its form writes the reader's."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    await results.request("PATCH", "/tasks/t/speaker_names", json={"Speaker 1": "Eva"})
    answer = await reader.send(form, name="Ada")
    page = Page(answer)
    assert answer.status_code == 412
    assert "Your change was not saved" in page.text
    assert {"Speaker 1", "Eva", "Ada"} <= set(page.words)
    assert [each.display_name for each in (await results.stored("t")).speaker_names] == ["Eva"]
    assert (await reader.send(page.form_with("name.s1"))).status_code == 303
    assert [each.display_name for each in (await results.stored("t")).speaker_names] == ["Ada"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_form_from_another_site_is_refused(
    results: Results, reader: Reader, site: str
) -> None:
    """Even with the right token."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    answer = await reader.post(form.action, form.fields, Sec_Fetch_Site=site)
    assert answer.status_code == 403
    assert (await results.stored("t")).speaker_names == []


async def test_form_without_its_token_is_refused(results: Results, reader: Reader) -> None:
    """Without the token, with that of another page, and without the cookie."""
    await results.put(a_transcript(), a_transcript("other"))
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    other = (await reader.get("/view/other")).form_with("speaker", "s1")
    without = [(name, value) for name, value in form.fields if name != "token"]
    foreign = [*without, *((name, value) for name, value in other.fields if name == "token")]
    for fields in (without, foreign):
        assert (await reader.post(form.action, fields)).status_code == 403
    reader.client.cookies.clear()
    assert (await reader.post(form.action, form.fields)).status_code == 403
    assert (await results.stored("t")).speaker_names == []


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(
    results: Results, reader: Reader
) -> None:
    """A later page keeps the reader's value, so an older page can still send its forms."""
    await results.put(a_transcript())
    answer = await reader.client.get("/view/t")
    given = answer.headers["Set-Cookie"]
    assert "HttpOnly" in given
    assert "SameSite=lax" in given
    value = reader.client.cookies[COOKIE]
    await reader.get("/view/t")
    assert reader.client.cookies[COOKIE] == value
    answer = await reader.send(Page(answer).form_with("speaker", "s1"), name="Ada")
    undo = answer.headers["Set-Cookie"]
    assert undo.startswith(UNDO_COOKIE)
    assert "Ada" not in undo
    assert "Path=/view/t;" in undo


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("speaker", "s9"), ("name", "Ada")], 400),
        ([("name", "Ada")], 400),
        ([("speaker", "s1"), ("same_as", "s9")], 400),
        ([("speaker", "s1"), ("name", "a" * 201)], 400),
        ([("speaker", "s1"), ("name", "a\x00b")], 400),
        ([("name.s9", "Ada")], 400),
    ],
)
async def test_form_with_wrong_fields_is_an_error_page(
    results: Results, reader: Reader, fields: list[tuple[str, str]], status: int
) -> None:
    """Nothing is written."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    kept = [(name, value) for name, value in form.fields if name in ("token", "etag")]
    answer = await reader.post(form.action, kept + fields)
    assert answer.status_code == status
    assert (await results.stored("t")).speaker_names == []


@pytest.mark.parametrize("body", [b"\xff=1", b"%ff", b"a" * 600_000])
async def test_form_that_cannot_be_read_is_refused(reader: Reader, body: bytes) -> None:
    """Bytes that are no ASCII, no field, or too many."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", **OWN_SITE}
    answer = await reader.client.post("/view/t/names", content=body, headers=headers)
    assert answer.status_code in (400, 403, 413)


async def test_request_that_is_no_form_is_refused(reader: Reader) -> None:
    """A JSON body needs no preflight only on the own site."""
    answer = await reader.client.post("/view/t/names", json={}, headers=OWN_SITE)
    assert answer.status_code == 400


PATHS = ("/", "/?state=rejected", "/?q=x", "/view/hostile", "/view/hostile?q=b", "/view/missing")


@pytest.mark.parametrize("path", PATHS)
async def test_page_headers_forbid_what_is_inline_or_foreign(
    results: Results, reader: Reader, path: str
) -> None:
    """On errors too."""
    await fill(results)
    answer = await reader.client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    for part in ("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


HREF = re.compile(
    r"#[\w-]+|/|/\?[\w=&%./-]+|/view/[\w-]+(/names)?|/tasks/[\w-]+\.[\w.]+|/viewer/[\w.]+\?v=\w+"
)


@pytest.mark.parametrize("path", PATHS)
async def test_hostile_transcript_stays_text(results: Results, reader: Reader, path: str) -> None:
    """No element, attribute or address of a page comes from stored text."""
    await fill(results)
    page = await reader.get(path)
    for tag, given in page.elements:
        assert tag not in {"img", "b", "iframe", "object", "base", "style", "raw"}, path
        assert not [name for name in given if name.startswith("on") or name == "style"]
        assert tag != "script" or given["src"] == asset_path("viewer.js")
        for name in ("href", "src", "action", "formaction", "xlink:href"):
            value = given.get(name, "/")
            assert HREF.fullmatch(value), value
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "49" not in page.words


async def test_hostile_transcript_is_shown_as_it_was_said(results: Results, reader: Reader) -> None:
    """Escaping loses nothing."""
    await results.put(hostile_transcript())
    words = (await reader.get("/view/hostile")).words
    assert set(HOSTILE[:-1]) <= set(words)


async def test_conflict_with_a_hostile_name_stays_text(results: Results, reader: Reader) -> None:
    """In the table and in the fields of the form."""
    await results.put(hostile_transcript())
    form = (await reader.get("/view/hostile")).form_with("speaker", "s3")
    await results.request("PATCH", "/tasks/hostile/speaker_names", json={HOSTILE[0]: HOSTILE[1]})
    page = Page(await reader.send(form, name=HOSTILE[1]))
    assert page.status == 412
    assert page.form_with("name.s3").named("name.s3") == [HOSTILE[1]]
    assert not {"img", "b"} & {tag for tag, _ in page.elements}


@pytest.mark.parametrize("name", sorted(MEDIA_TYPES))
async def test_asset_is_kept_only_under_the_address_of_its_content(
    reader: Reader, name: str
) -> None:
    """Another version is answered, and kept by no browser."""
    answer = await reader.client.get(asset_path(name))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == MEDIA_TYPES[name]
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for other in (f"/viewer/{name}", f"/viewer/{name}?v=old"):
        assert (await reader.client.get(other)).headers["Cache-Control"] == "no-store"


async def test_script_and_style_are_small(reader: Reader) -> None:
    """At most 40 KB together."""
    sizes = [len((await reader.client.get(asset_path(name))).content) for name in MEDIA_TYPES]
    assert sum(sizes) <= 40_000
