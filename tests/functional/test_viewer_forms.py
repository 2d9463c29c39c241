"""The forms of the pages: what they change, and which ones are refused."""

from __future__ import annotations

import pytest

from tests.functional.viewer_pages import OWN_SITE, Page, Reader, memory, reader, results
from tests.results import Results
from tests.unit.test_callers import token
from tests.viewer import HOSTILE, a_transcript, hostile_transcript
from transcripts.tasks.task import SpeakerName
from transcripts.viewer.renaming import COOKIE, UNDO_COOKIE

__all__ = ["memory", "reader", "results"]


async def test_rename_changes_page_and_export(results: Results, reader: Reader) -> None:
    """The answer leads back to the page."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    answer = await reader.send(form, name="Ada <Lovelace>")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/view/t#saved")
    assert "Ada <Lovelace>" in (await reader.get("/view/t")).words
    assert "Ada <Lovelace>" in (await reader.client.get("/tasks/t.txt")).text


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
    """Undoing would overwrite the other change. The change here names every speaker."""
    await results.put(a_transcript(speakers=1))
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


async def test_rename_after_a_change_of_the_same_name_explains_the_conflict(
    results: Results, reader: Reader
) -> None:
    """Nothing is written; a page that can be reloaded shows both names, and saves the reader's."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    await results.request("PATCH", "/tasks/t/speaker_names", json={"Speaker 1": "Eva"})
    answer = await reader.send(form, name="Ada")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/view/t/names")
    assert "Ada" not in answer.headers["Set-Cookie"]
    for _ in range(2):
        page = await reader.get("/view/t/names")
        assert page.status == 200
        assert "Your change was not saved" in page.text
        assert {"Speaker 1", "Eva", "Ada"} <= set(page.words)
    assert [each.display_name for each in (await results.stored("t")).speaker_names] == ["Eva"]
    assert (await reader.send(page.form_with("name.s1"))).status_code == 303
    assert [each.display_name for each in (await results.stored("t")).speaker_names] == ["Ada"]
    after = await reader.client.get("/view/t/names")
    assert (after.status_code, after.headers["Location"]) == (303, "/view/t")


async def test_rename_after_a_change_of_another_name_is_saved(
    results: Results, reader: Reader
) -> None:
    """Two people name the speakers of one recording, each on a page of before."""
    await results.put(a_transcript())
    page = await reader.get("/view/t")
    for speaker, name in (("s1", "Ada"), ("s2", "Ben"), ("s3", "Cleo")):
        answer = await reader.send(page.form_with("speaker", speaker), name=name)
        assert answer.headers["Location"] == "/view/t#saved"
    names = [each.display_name for each in (await results.stored("t")).speaker_names]
    assert names == ["Ada", "Ben", "Cleo"]


async def test_rename_after_another_result_explains_the_conflict(
    results: Results, reader: Reader
) -> None:
    """Mavi numbers speakers anew, so the name may stand for somebody else."""
    await results.put(a_transcript(revision="r1"))
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    await results.put(a_transcript(revision="r2"))
    answer = await reader.send(form, name="Ada")
    assert answer.headers["Location"] == "/view/t/names"


async def test_rename_of_more_than_a_cookie_holds_answers_the_conflict_itself(
    results: Results, reader: Reader
) -> None:
    """And offers no undo when it is saved; the address leads to the transcript."""
    speakers = 40
    await results.put(a_transcript(count=200, speakers=speakers))
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    kept = [(name, value) for name, value in form.fields if name in ("token", "etag")]
    await results.request("PATCH", "/tasks/t/speaker_names", json={"Speaker 1": "Eva"})
    fields = [(f"name.s{number}", "N" * 200) for number in range(1, speakers + 1)]
    answer = await reader.post(form.action, kept + fields)
    assert answer.status_code == 412
    assert "Eva" in Page(answer).words
    assert (await reader.client.get("/view/t/names")).headers["Location"] == "/view/t"
    again = Page(answer).form_with("name.s1")
    assert (await reader.send(again)).status_code == 303
    reset = [(f"name.s{number}", "") for number in range(1, speakers + 1)]
    tag = (await reader.get("/view/t")).form_with("speaker", "s1").named("etag")
    answer = await reader.post(form.action, [kept[0], ("etag", tag[0]), *reset])
    assert answer.headers["Location"] == "/view/t#speakers"


async def test_page_says_who_named_a_speaker_and_no_log_does(
    results: Results, reader: Reader
) -> None:
    """As the platform has checked it: by the form and by the API."""
    await results.put(a_transcript())
    form = (await reader.get("/view/t")).form_with("speaker", "s1")
    by_ada = {"Authorization": token("ada@example.com")}
    fields = [(name, "Ada" if name == "name" else value) for name, value in form.fields]
    await reader.post(form.action, fields, **by_ada)
    path = "/tasks/t/speaker_names"
    by_eva = {"Authorization": token("eva@example.com")}
    await results.request(
        "PATCH", path, json={"Speaker 1": "Ada", "Speaker 2": "E"}, headers=by_eva
    )
    named = {each.name: each.named_by for each in (await results.stored("t")).speaker_names}
    assert named == {"Speaker 1": "ada@example.com", "Speaker 2": "eva@example.com"}
    assert "Named by ada@example.com ." in (await reader.get("/view/t")).text
    assert "example.com" not in str(results.log)


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


async def test_conflict_with_a_hostile_name_stays_text(results: Results, reader: Reader) -> None:
    """In the table and in the fields of the form."""
    await results.put(hostile_transcript())
    form = (await reader.get("/view/hostile")).form_with("speaker", "s3")
    await results.request("PATCH", "/tasks/hostile/speaker_names", json={HOSTILE[2]: HOSTILE[1]})
    await reader.send(form, name=HOSTILE[1])
    page = await reader.get("/view/hostile/names")
    assert page.form_with("name.s3").named("name.s3") == [HOSTILE[1]]
    assert not {"img", "b"} & {tag for tag, _ in page.elements}
