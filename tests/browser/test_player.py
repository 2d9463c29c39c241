"""The script of a transcript's page: player, follow mode, search and keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenTab
from tests.browser.site import PLAYER, Site
from tests.polling import eventually
from tests.viewer import a_transcript

pytestmark = pytest.mark.browser

TIME = f"{PLAYER}.currentTime"
PAUSED = f"{PLAYER}.paused"


async def play(open_tab: OpenTab, recording: Path, path: str = "/view/interview") -> Page:
    """Open a transcript with a recording from this device."""
    page = (await open_tab(path)).page
    await page.locator("#file").set_input_files(recording)
    await expect(page.locator("#audio")).to_be_visible()
    return page


async def test_click_on_a_line_seeks_and_highlights_it(open_tab: OpenTab, recording: Path) -> None:
    """Its text and its time both do; the link of the line is in the address then."""
    page = await play(open_tab, recording)
    await page.locator("#l5").click()
    await expect(page.locator("#l5")).to_have_class("line now")
    assert 18.0 <= await page.evaluate(TIME) < 22.0
    await page.locator("#l3 > a").click()
    await expect(page.locator("#l3")).to_have_attribute("aria-current", "true")
    await expect(page.locator(".now")).to_have_count(1)
    assert page.url.endswith("#l3")


async def test_line_played_alone_stops_at_its_end(open_tab: OpenTab, recording: Path) -> None:
    """At eight times the speed: the line has four seconds."""
    page = await play(open_tab, recording)
    await page.locator("#l4").click()
    await page.evaluate(f"{PLAYER}.playbackRate = 8")
    await page.get_by_role("button", name="Play this line").click()
    await eventually(lambda: page.evaluate(f"{PAUSED} && {TIME} > 17"))
    assert 17.5 <= await page.evaluate(TIME) < 19
    await expect(page.locator("#l4")).to_have_class("line now")


async def test_follow_mode_scrolls_to_what_is_said(open_tab: OpenTab, recording: Path) -> None:
    """The line comes into view without the reader's help."""
    page = await play(open_tab, recording)
    await page.evaluate(f"{TIME} = 200")
    await expect(page.locator(".now")).to_have_attribute("id", "l45")
    await expect(page.locator(".now")).to_be_in_viewport()


async def test_follow_mode_ends_when_the_reader_scrolls(open_tab: OpenTab, recording: Path) -> None:
    """It starts again only by its button."""
    page = await play(open_tab, recording)
    await page.locator("#l1").click()
    await page.mouse.move(600, 400)
    await page.mouse.wheel(0, 300)
    follow = page.get_by_role("button", name="Follow")
    await expect(follow).to_have_attribute("aria-pressed", "false")
    place = await page.evaluate("scrollY")
    await page.evaluate(f"{TIME} = 250")
    await expect(page.locator(".now")).to_have_attribute("id", "l56")
    await expect(page.locator(".now")).not_to_be_in_viewport()
    await expect(follow).to_have_attribute("aria-pressed", "false")
    assert abs(await page.evaluate("scrollY") - place) < 400
    await follow.click()
    await expect(page.locator(".now")).to_be_in_viewport()


async def click_timeline(page: Page, share: float) -> None:
    """Click between the first two lanes, where nobody's part is."""
    first, second = [await page.locator("#timeline svg").nth(at).bounding_box() for at in (0, 1)]
    assert first is not None
    assert second is not None
    height = (first["y"] + first["height"] + second["y"]) / 2
    await page.mouse.click(first["x"] + first["width"] * share, height)


async def test_timeline_seeks_to_the_place_of_the_click(open_tab: OpenTab, recording: Path) -> None:
    """Anywhere in it; the name of a lane is no place."""
    page = await play(open_tab, recording)
    await click_timeline(page, 0.1)
    await eventually(lambda: page.evaluate(f"Math.abs({TIME} - 180) < 4"))
    place = await page.locator("#place").bounding_box()
    marks = await page.locator("#marks").bounding_box()
    assert place is not None
    assert marks is not None
    assert abs(place["x"] - marks["x"] - marks["width"] * 0.1) < 3
    assert place["height"] > 20
    await page.locator(".lane .name").first.click()
    assert 170 < await page.evaluate(TIME) < 190


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_timeline_leads_to_the_line_without_a_recording(open_tab: OpenTab, size: str) -> None:
    """The line is marked and in view."""
    page = (await open_tab("/view/interview", size=size)).page
    await click_timeline(page, 0.5)
    await expect(page.locator(".now")).to_have_id(re.compile("l20[01]"))
    await expect(page.locator(".now")).to_be_in_viewport()


async def test_part_of_the_timeline_leads_to_its_line_without_scripts(open_tab: OpenTab) -> None:
    """The browser itself scrolls there."""
    page = (await open_tab("/view/interview", script=False)).page
    part = page.locator("#timeline svg a").nth(30)
    target = await part.get_attribute("href")
    await part.click()
    assert page.url.endswith(str(target))
    await expect(page.locator(str(target))).to_be_in_viewport()


async def test_player_stays_visible_while_the_reader_scrolls(
    open_tab: OpenTab, recording: Path
) -> None:
    """On a phone too."""
    page = (await open_tab("/view/interview", size="phone")).page
    await page.locator("#file").set_input_files(recording)
    await expect(page.locator("#audio")).to_be_visible()
    await page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    await expect(page.locator("#audio")).to_be_in_viewport(ratio=0.9)


async def test_file_that_is_no_recording_is_explained(open_tab: OpenTab, tmp_path: Path) -> None:
    """The page says so, and stays usable."""
    path = tmp_path / "notes.mp3"
    path.write_text("no sound")
    tab = await open_tab("/view/interview")
    await tab.page.locator("#file").set_input_files(path)
    await expect(tab.page.locator("#hint")).to_contain_text("can't play")


async def test_search_counts_and_steps_through_matches(open_tab: OpenTab) -> None:
    """Marks stand on the timeline, the address can be shared, and the end leads to the start."""
    page = (await open_tab("/view/meeting")).page
    await page.get_by_label("Search in this transcript").fill("TUESDAY")
    count = page.locator("#match-count")
    await expect(count).to_have_text("– of 6")
    assert await page.evaluate("CSS.highlights.get('hits').size") == 6
    await expect(page.locator("#marks .mark")).to_have_count(6)
    assert page.url.endswith("?q=TUESDAY")
    await page.keyboard.press("Enter")
    await expect(count).to_have_text("1 of 6")
    await page.get_by_role("button", name="Next match").click()
    await expect(count).to_have_text("2 of 6")
    for _ in range(2):
        await page.get_by_role("button", name="Previous match").click()
    await expect(count).to_have_text("6 of 6")
    await expect(page.locator("#l23")).to_be_in_viewport()
    await page.locator("#marks a").first.click()
    await expect(page.locator("#l6")).to_have_class("line now")


async def test_search_goes_back_by_shift_and_enter(open_tab: OpenTab) -> None:
    """From the first match to the last one."""
    page = (await open_tab("/view/meeting")).page
    await page.get_by_label("Search in this transcript").fill("tuesday")
    for keys, shown in (("Enter", 1), ("Enter", 2), ("Shift+Enter", 1), ("Shift+Enter", 6)):
        await page.keyboard.press(keys)
        await expect(page.locator("#match-count")).to_have_text(f"{shown} of 6")
    assert page.url.endswith("?q=tuesday")
    await expect(page.get_by_label("Search in this transcript")).to_be_focused()


@pytest.mark.parametrize("path", ["/view/letters", "/view/letters?q=e"])
async def test_search_with_a_hundred_thousand_matches_goes_on(
    open_tab: OpenTab, site: Site, path: str
) -> None:
    """A call takes 65,535 arguments at the most; typed, and from a link."""
    segment = a_transcript().segments[0]
    segments = [replace(segment, start_s=at * 2.0, end_s=at * 2.0 + 1) for at in range(12_000)]
    segments = [replace(each, text="e e e e e e e e e and one more e") for each in segments]
    await site.put(a_transcript("letters", segments=segments, duration_s=24_000.0))
    page = (await open_tab(path)).page
    if "?" not in path:
        await page.get_by_label("Search in this transcript").fill("e")
    await expect(page.locator("#match-count")).to_have_text("– of 144000")
    await page.get_by_label("Search in this transcript").focus()
    await page.keyboard.press("Shift+Enter")
    await expect(page.locator("#match-count")).to_have_text("144000 of 144000")
    await expect(page.locator("#l12000")).to_be_in_viewport()
    assert 0 < await page.evaluate("CSS.highlights.get('hits').size") < 20_000
    await expect(page.locator("#l12000 mark")).to_have_count(0)
    assert page.url.endswith("?q=e")


async def test_found_lines_are_listed_and_said(open_tab: OpenTab) -> None:
    """Matches are painted outside the tree: links and a status stand for them."""
    page = (await open_tab("/view/meeting?q=tuesday")).page
    await page.locator("#hit-menu summary").click()
    links = page.locator("#hit-menu a")
    await expect(links).to_have_count(6)
    await expect(links.first).to_contain_text("I have asked two engineers")
    await links.nth(2).click()
    await expect(page.locator("#l14 > a")).to_be_focused()
    await page.keyboard.press("n")
    await expect(page.locator("#match-count")).to_have_text("4 of 6")
    await expect(page.locator("#l15 > a")).to_be_focused()
    await expect(page.get_by_role("status").filter(has_text="Then let us take")).to_have_count(1)


async def test_search_of_the_address_is_taken_over(open_tab: OpenTab) -> None:
    """The marks of the server become those of the script."""
    page = (await open_tab("/view/meeting?q=tuesday")).page
    await expect(page.locator("#match-count")).to_have_text("– of 6")
    await expect(page.locator("mark")).to_have_count(0)
    await expect(page.locator("#hit-list")).to_have_count(0)


async def test_search_in_a_long_transcript_finds_the_last_line(
    open_tab: OpenTab, site: Site
) -> None:
    """Blocks that were never laid out are searched too."""
    task = a_transcript("long", count=3_000)
    last = type(task.segments[0])(task.duration_s, task.duration_s + 2, "s1", "The final word.")
    await site.put(a_transcript("long", count=3_000, segments=[*task.segments, last]))
    page = (await open_tab("/view/long")).page
    await page.get_by_label("Search in this transcript").fill("final word")
    await expect(page.locator("#match-count")).to_have_text("– of 1")
    await page.keyboard.press("Enter")
    await expect(page.locator("#l3001")).to_be_in_viewport()
    await expect(page.locator("#marks a")).to_have_attribute("href", "#l3001")


async def test_link_to_a_line_of_a_long_transcript_leads_to_it(
    open_tab: OpenTab, site: Site
) -> None:
    """The blocks before it were never laid out; the browser's own search finds their text."""
    await site.put(a_transcript("linked", count=3_000))
    page = (await open_tab("/view/linked#l2900")).page
    await expect(page.locator("#l2900")).to_be_in_viewport()
    text = await page.locator("#l1500").evaluate("line => line.lastChild.data")
    assert await page.evaluate("text => window.find(text, true, true, true)", text)


async def test_keys_play_seek_search_and_help(open_tab: OpenTab, recording: Path) -> None:
    """Letters without modifiers; in a field they are text."""
    page = await play(open_tab, recording)
    await page.locator("#l3").click()
    await page.keyboard.press("k")
    assert await page.evaluate(PAUSED)
    await page.keyboard.press(".")
    await expect(page.locator("#l4")).to_have_class("line now")
    await page.keyboard.press("]")
    await expect(page.locator("#speed")).to_have_value("1.25")
    await page.keyboard.press("f")
    follow = page.get_by_role("button", name="Follow")
    await expect(follow).to_have_attribute("aria-pressed", "false")
    await page.keyboard.press("s")
    await page.keyboard.type("friday?")
    await expect(page.get_by_label("Search in this transcript")).to_have_value("friday?")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.locator("h1").click()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_keys_can_be_turned_off(open_tab: OpenTab, recording: Path) -> None:
    """The browser keeps the choice."""
    page = await play(open_tab, recording)
    await page.keyboard.press("?")
    await page.get_by_label("Use these shortcuts").uncheck()
    await page.keyboard.press("Escape")
    for _ in range(2):
        await page.keyboard.press("s")
        assert await page.evaluate("document.activeElement.id") != "q"
        await page.reload()


async def test_keys_with_modifiers_stay_the_browsers(open_tab: OpenTab) -> None:
    """No shortcut of a browser or a screen reader is taken."""
    page = (await open_tab("/view/meeting")).page
    await page.evaluate(
        "window.taken = 0; addEventListener('keydown', e => { window.taken += e.defaultPrevented })"
    )
    for key in ("Control+f", "Control+p", "Control+k", "Alt+s", "Control+r", "Meta+l"):
        await page.evaluate(
            """key => { const [modifier, letter] = key.split("+");
            document.body.dispatchEvent(new KeyboardEvent("keydown", {key: letter, bubbles: true,
              cancelable: true, ctrlKey: modifier === "Control", altKey: modifier === "Alt",
              metaKey: modifier === "Meta"})); }""",
            key,
        )
    assert await page.evaluate("window.taken") == 0
