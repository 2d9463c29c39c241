"""The pages for people: what they show, and what they refuse to run."""

from __future__ import annotations

import re
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from tests.fakes import MemoryDocuments, Outage, TryOnce
from tests.functional.viewer_pages import NAVIGATION, Page, Reader, fill, memory, reader, results
from tests.results import LONG, Results, a_submission, a_task
from tests.viewer import HOSTILE, a_transcript, hostile_transcript
from transcripts.exports.registry import FORMATS
from transcripts.results.filters import SUBMISSION_FILTERS, TASK_FILTERS
from transcripts.results.listing import MAX_PAGE_SIZE
from transcripts.submissions.submission import State
from transcripts.tasks.task import Status, page_path
from transcripts.viewer.entries import FILTER_WORDS, SEARCHED_PAGES
from transcripts.viewer.rendering import MEDIA_TYPES, asset_path, assets
from transcripts.viewer.states import STATE_WORDS, STATUS_WORDS

__all__ = ["memory", "reader", "results"]


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


async def test_list_of_all_has_submissions_without_a_task(results: Results, reader: Reader) -> None:
    """Queued and rejected uploads stand among the tasks, by time; what has a task stands once."""
    await results.put(*(a_task(f"t{at}", at) for at in (1, 3, 5)))
    await results.put_submissions(
        a_submission("s2", 2.0, state=State.REJECTED, reason="too_large", asset_id="re_2"),
        a_submission("s3", 3.0, state=State.SUBMITTED, task_id="t3", asset_id="re_3"),
        a_submission("s4", 4.0, asset_id="re_4"),
    )
    page = await reader.get("/")
    ids = ["t5", "re_4", "t3", "re_2", "t1"]
    places = [page.text.index(f" {each} ") for each in ids]
    assert places == sorted(places)
    assert "re_3" not in page.text
    assert "Too large" in page.text
    assert "re_4" in (await reader.get("/?q=RE_4")).text
    assert "re_4" not in (await reader.get("/?status=submitted")).text


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_list_of_all_pages_lead_to_every_row_once(
    results: Results, reader: Reader, size: int
) -> None:
    """In the order of time, wherever a page ends in either list; some times are equal."""
    random = Random(size)
    rows: dict[str, float] = {}
    for at in range(24):
        name, moment = f"r{at:02d}", float(random.randint(0, 12))
        kind = random.choice(("task", "queued", "queued", "requested"))
        if kind == "task":
            await results.put(a_task(name, moment))
        else:
            state = State.PENDING if kind == "queued" else State.SUBMITTED
            await results.put_submissions(
                a_submission(name, moment, state=state, asset_id=f"asset-{name}")
            )
        if kind != "requested":
            rows[name] = moment
    seen: list[str] = []
    path = f"/?page_size={size}"
    while True:
        page = await reader.get(path)
        found = re.findall(r"(?<!asset-)r\d\d|(?<=Asset asset-)r\d\d", page.text)
        seen += list(dict.fromkeys(found))
        if not any(form.named("page_token") for form in page.forms):
            break
        path = f"/?{urlencode(page.form_with('page_token').fields)}"
        assert len(seen) < 50
    assert sorted(seen) == sorted(rows)
    moments = [rows[name] for name in seen]
    assert moments == sorted(moments, reverse=True)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=failed", "Nothing is in this state."),
        ("state=rejected", "Nothing is in this state."),
        ("label=a:b", "Nothing has this label."),
        ("asset_id=none", "Nothing was made from this asset."),
        ("submission_id=none", "No transcript is of this submission."),
        ("unmatched=true", "Every transcript was requested here."),
        ("uri=gs://b/o", "Nothing was uploaded to this address."),
        ("created_after=2030-01-01T00:00:00Z", "Nothing is from this time."),
        ("status=failed&created_before=2020-01-01T00:00:00Z", "Nothing is from this time."),
        ("asset_id=none&q=x", "Nothing here matches."),
    ],
)
async def test_list_that_is_empty_says_why(
    results: Results, reader: Reader, query: str, words: str
) -> None:
    """By its filter, whose value it shows."""
    await results.put(a_transcript())
    page = await reader.get(f"/?{query}")
    assert words in page.text
    name, _, value = query.partition("&")[0].partition("=")
    if name in ("label", "asset_id", "submission_id", "uri", "created_after") and "q=" not in query:
        assert f"{value} ." in page.text
        assert "Show all" in page.text


async def test_list_of_nothing_says_how_to_begin(reader: Reader) -> None:
    """With no filter to blame."""
    page = await reader.get("/")
    assert "There is no transcript yet." in page.text
    assert "Show all" not in page.text


def test_words_exist_for_every_filter() -> None:
    """Of tasks and of submissions."""
    times = {"created_after", "created_before"}
    assert set(FILTER_WORDS) == {*TASK_FILTERS, *SUBMISSION_FILTERS, *times}


@pytest.mark.parametrize(
    ("status", "renews"),
    [(Status.SUBMITTED, True), (Status.OVERDUE, True), (Status.FAILED, False)],
)
async def test_page_that_waits_renews_itself_and_says_so(
    results: Results, reader: Reader, status: Status, *, renews: bool
) -> None:
    """By a header, so that no script is needed."""
    await results.put(a_task("t", status=status))
    answer = await reader.client.get("/view/t")
    assert answer.headers.get("Refresh") == ("60" if renews else None)
    assert ("This page renews itself every minute." in Page(answer).text) is renews


async def test_wrong_method_is_a_page_for_a_browser_only(reader: Reader) -> None:
    """It keeps what the answer for programs has."""
    shown = await reader.client.post("/view/t", headers=NAVIGATION)
    plain = await reader.client.post("/view/t")
    assert shown.status_code == plain.status_code == 405
    assert shown.headers["Allow"] == plain.headers["Allow"] == "GET, HEAD"
    assert "Method not allowed" in Page(shown).text
    assert plain.json()["error"]["code"] == "method_not_allowed"
    assert (await reader.client.get("/nowhere")).json()["error"]["code"] == "not_found"


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
        ("/viewer/version/other.js", 404),
        ("/nowhere", 404),
        ("/view/none/names", 404),
        ("/tasks/none.srt", 404),
    ],
)
async def test_page_with_an_error_answers_its_status(
    reader: Reader, path: str, status: int
) -> None:
    """The reader learns why in words."""
    answer = await reader.client.get(path, headers=NAVIGATION)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "All transcripts" in Page(answer).text


async def test_page_without_a_store_is_an_error_page(
    results: Results, reader: Reader, memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log tells why."""
    results.compose(retrier=TryOnce())
    memory.before = Outage(1)
    answer = await reader.client.get("/view/t", headers=NAVIGATION)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
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
    assert page.attributes("lang").count("") > 1


async def test_transcript_links_lead_to_its_own_anchors(results: Results, reader: Reader) -> None:
    """So do the parts of the talk-time chart and of the timeline."""
    await results.put(a_transcript(count=400, speakers=12))
    page = await reader.get("/view/t?q=Tuesday")
    ids = page.attributes("id")
    anchors = [href[1:] for href in page.attributes("href") if href.startswith("#")]
    assert len(ids) == len(set(ids))
    assert set(anchors) <= set(ids)
    assert "Others" in page.words
    assert page.text.count("Others") == 2


async def test_speaker_who_says_nothing_has_no_dead_link(results: Results, reader: Reader) -> None:
    """Name and bar lead to the top."""
    task = a_transcript(count=4)
    silent = replace(task.speakers[0], id="s9", name="Silent", segment_count=0)
    await results.put(replace(task, speakers=[*task.speakers, silent]))
    page = await reader.get("/view/t")
    assert "Silent" in page.words
    anchors = {href[1:] for href in page.attributes("href") if href.startswith("#")}
    assert anchors <= set(page.attributes("id"))


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
    await results.put(a_transcript())
    page = await reader.get("/view/t")
    links = page.attributes("formaction")
    assert len(links) == len(FORMATS)
    for link in links:
        form = next(each for each in page.forms if link in each.actions)
        for name, _ in form.fields:
            assert (await reader.client.get(f"{link}?{name}=nonsense")).status_code == 400
            assert len(form.options[name]) > 1
            for value in form.options[name]:
                answer = await reader.client.get(link, params={name: value})
                assert answer.status_code == 200
        if not form.fields:
            assert (await reader.client.get(link)).status_code == 200


async def test_transcript_menu_begins_with_the_defaults(results: Results, reader: Reader) -> None:
    """A file without a choice is the one of the API without an option."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("max_chars")
    chosen = {name: form.options[name][0] for name in ("max_chars", "speakers")}
    for link in form.actions:
        plain, given = await reader.client.get(link), await reader.client.get(link, params=chosen)
        assert plain.content == given.content


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
    assert "Correct the recording" in page.text
    assert "transcripts submit --force" in page.text


PATHS = ("/", "/?state=rejected", "/?q=x", "/view/hostile", "/view/hostile?q=b", "/view/missing")


@pytest.mark.parametrize("path", PATHS)
async def test_page_headers_forbid_what_is_inline_or_foreign(
    results: Results, reader: Reader, path: str
) -> None:
    """On errors too."""
    await fill(results)
    answer = await reader.client.get(path, headers=NAVIGATION)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    for part in ("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


SCRIPTS = {asset_path("page.js"), asset_path("transcript.js")}

HREF = re.compile(
    r"#[\w-]+|/|/\?[\w=&%./-]+|/view/[\w-]+(/names)?|/tasks/[\w-]+\.[\w.]+|/viewer/\w+/[\w.]+"
)


@pytest.mark.parametrize("path", PATHS)
async def test_hostile_transcript_stays_text(results: Results, reader: Reader, path: str) -> None:
    """No element, attribute or address of a page comes from stored text."""
    await fill(results)
    page = await reader.get(path)
    for tag, given in page.elements:
        assert tag not in {"img", "b", "iframe", "object", "base", "style", "raw"}, path
        assert not [name for name in given if name.startswith("on") or name == "style"]
        assert tag != "script" or given["src"] in SCRIPTS
        for name in ("href", "src", "action", "formaction", "xlink:href"):
            value = given.get(name, "/")
            assert HREF.fullmatch(value), value
    assert "49" not in page.words


async def test_hostile_transcript_is_shown_as_it_was_said(results: Results, reader: Reader) -> None:
    """Escaping loses nothing."""
    await results.put(hostile_transcript())
    words = (await reader.get("/view/hostile")).words
    assert set(HOSTILE[:-1]) <= set(words)


@pytest.mark.parametrize("name", sorted(assets()))
async def test_asset_is_kept_only_under_the_address_of_its_content(
    reader: Reader, name: str
) -> None:
    """Another version is answered, and kept by no browser."""
    answer = await reader.client.get(asset_path(name))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == MEDIA_TYPES[f".{name.rpartition('.')[2]}"]
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    other = await reader.client.get(f"/viewer/old/{name}")
    assert other.headers["Cache-Control"] == "no-store"


async def test_script_and_style_are_small(reader: Reader) -> None:
    """At most 20 kB together, as they are sent."""
    sizes = [
        int((await reader.client.get(asset_path(name))).headers["Content-Length"])
        for name in assets()
    ]
    assert sum(sizes) <= 20_000
