"""The reader stays where the reader is: over renames, reloads, links and small windows."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenTab
from tests.browser.site import PLAYER, VIEWPORTS, Site
from tests.polling import eventually
from tests.viewer import a_transcript

pytestmark = pytest.mark.browser

TIME = f"{PLAYER}.currentTime"
PAUSED = f"{PLAYER}.paused"
TEXT_HEIGHT = """() => {
  const sticky = name => getComputedStyle(document.querySelector(name)).position === "sticky";
  const top = sticky(".top") ? document.querySelector(".top").offsetHeight : 0;
  return innerHeight - top - (sticky(".dock") ? document.querySelector(".dock").offsetHeight : 0);
}"""


async def top_of(page: Page, line: str) -> float:
    top: float = await page.locator(line).evaluate("line => line.getBoundingClientRect().top")
    return top


async def name_speaker(page: Page, number: int, name: str) -> None:
    row = page.locator(".talk li").nth(number - 1)
    await row.get_by_text("Rename").click()
    await row.get_by_label("Name of").fill(name)
    await row.get_by_role("button", name="Save").click()


async def test_renaming_goes_on_playing_the_picked_file(
    open_tab: OpenTab, task_id: str, recording: Path
) -> None:
    """Six voices are named by ear with one file; the page is never left."""
    page = (await open_tab(f"/view/{task_id}")).page
    await page.evaluate("window.same = true")
    await page.locator("#file").set_input_files(recording)
    await page.locator("#l5").click()
    for number, name in enumerate(("Ada", "Ben", "Cleo"), 1):
        await name_speaker(page, number, name)
        await expect(page.locator(".talk .who").nth(number - 1)).to_have_text(name)
        await expect(page.locator("#said")).to_have_text("The names are saved.")
        await expect(page.locator(".talk summary").nth(number - 1)).to_be_focused()
    assert await page.evaluate("window.same")
    await eventually(lambda: page.evaluate(f"!{PAUSED} && {TIME} > 18"))
    assert await page.evaluate(f"{PLAYER}.duration") == 300
    await expect(page.locator(".now")).to_have_count(1)
    await expect(page.locator("#timeline .name").first).to_have_text("Ada")
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator(".talk .who").nth(2)).to_have_text("Speaker 3")
    assert await page.evaluate("window.same")


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_renaming_moves_no_line(open_tab: OpenTab, task_id: str, size: str) -> None:
    """From the name in the text; the keyboard is there again afterwards."""
    page = (await open_tab(f"/view/{task_id}", size=size)).page
    await page.locator("#l40").evaluate("line => line.scrollIntoView({block: 'center'})")
    before = await top_of(page, "#l40")
    name = page.locator(".said", has=page.locator("#l40")).locator(".who a")
    await name.click()
    await page.keyboard.type("Ben")
    await page.keyboard.press("Enter")
    await expect(name).to_have_text("Ben")
    await expect(name).to_be_focused()
    await expect(page.locator("#said")).to_have_text("The names are saved.")

    async def is_there() -> bool:
        return abs(await top_of(page, "#l40") - before) < 2

    await eventually(is_there)


async def test_renaming_without_scripts_says_that_it_is_saved(
    open_tab: OpenTab, task_id: str
) -> None:
    """The keyboard is at the notice, which offers to undo."""
    page = (await open_tab(f"/view/{task_id}", script=False)).page
    await name_speaker(page, 1, "Ada")
    await page.wait_for_url("**#saved")
    await expect(page.locator("#saved")).to_be_focused()
    await expect(page.locator("#saved")).to_contain_text("The names are saved.")


async def test_refused_name_is_explained_in_its_form(open_tab: OpenTab, task_id: str) -> None:
    """What was typed stays."""
    tab = await open_tab(f"/view/{task_id}")
    page = tab.page
    await page.locator(".talk li").first.get_by_text("Rename").click()
    field = page.get_by_label("Name of Speaker 1")
    await field.evaluate("field => { field.maxLength = 300 }")
    await field.fill("a" * 201)
    await page.get_by_role("button", name="Save").first.click()
    await expect(page.locator(".edit .problem")).to_contain_text("more than 200 characters")
    await expect(field).to_have_value("a" * 201)
    tab.faults = [fault for fault in tab.faults if "400" not in fault]


async def test_two_people_name_different_speakers(open_tab: OpenTab, task_id: str) -> None:
    """Each page was opened before the other's change."""
    tabs = [await open_tab(f"/view/{task_id}") for _ in range(2)]
    for number, (tab, name) in enumerate(zip(tabs, ("Ada", "Ben"), strict=True), 1):
        await name_speaker(tab.page, number, name)
        await expect(tab.page.locator("#said")).to_have_text("The names are saved.")
    await expect(tabs[1].page.locator(".talk .who")).to_have_text(["Ada", "Ben", "Speaker 3"])


@pytest.mark.parametrize("script", [True, False])
async def test_conflict_can_be_reloaded_and_left(
    open_tab: OpenTab, task_id: str, *, script: bool
) -> None:
    """In a dialog of the page, or at an address of its own."""
    tabs = [await open_tab(f"/view/{task_id}", script=script) for _ in range(2)]
    for tab, name in zip(tabs, ("Eva", "Ada"), strict=True):
        await name_speaker(tab.page, 1, name)
        if tab is tabs[0]:
            await expect(tab.page.locator(".talk .who").first).to_have_text("Eva")
    page = tabs[1].page
    heading = page.get_by_role("heading", name="Your change was not saved")
    await expect(heading).to_be_visible()
    if not script:
        await page.reload()
        await expect(heading).to_be_visible()
    await page.get_by_role("link", name="Keep what is there").click()
    await expect(heading).to_be_hidden()
    await expect(page.locator(".talk .who").first).to_have_text("Eva")


async def test_page_from_the_cache_of_the_browser_is_renewed(
    open_tab: OpenTab, task_id: str
) -> None:
    """It has the names of now, and their tag: the next rename is no conflict with oneself."""
    old, other = [(await open_tab(f"/view/{task_id}")).page for _ in range(2)]
    await name_speaker(other, 1, "Ada")
    await expect(other.locator(".talk .who").first).to_have_text("Ada")
    await old.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    await expect(old.locator(".talk .who").first).to_have_text("Ada")
    await name_speaker(old, 1, "Eva")
    await expect(old.locator(".talk .who").first).to_have_text("Eva")


async def test_link_to_a_line_cues_and_marks_it(open_tab: OpenTab, recording: Path) -> None:
    """The recording begins there, whenever there is one."""
    page = (await open_tab("/view/interview#l50")).page
    await expect(page.locator("#l50")).to_have_class("line now")
    await expect(page.locator("#l50")).to_be_in_viewport()
    await page.locator("#file").set_input_files(recording)
    await eventually(lambda: page.evaluate(f"{PLAYER}?.currentTime === 220.5"))
    await page.evaluate("location.hash = '#l9'")
    await expect(page.locator("#l9")).to_have_class("line now")
    await eventually(lambda: page.evaluate(f"{TIME} === 36"))


@pytest.mark.parametrize("moment", ["83", "1:23", "0:01:23", "83.4"])
async def test_link_to_a_moment_cues_and_marks_its_line(open_tab: OpenTab, moment: str) -> None:
    """Of the recording in the bucket; a text that is no time changes nothing."""
    page = (await open_tab(f"/view/played?t={moment}")).page
    await expect(page.locator("#l19")).to_have_class("line now")
    await expect(page.locator("#l19")).to_be_in_viewport()
    await eventually(lambda: page.evaluate(f"Math.floor({PLAYER}?.currentTime) === 83"))


async def test_link_to_no_moment_changes_nothing(open_tab: OpenTab) -> None:
    """Neither do a line and an element that are not of the text."""
    for end in ("?t=soon", "?t=-5", "#l999", "#keys"):
        page = (await open_tab(f"/view/played{end}")).page
        await page.locator("body.playable").wait_for()
        assert await page.evaluate(TIME) == 0


async def test_reload_keeps_place_and_moment(open_tab: OpenTab) -> None:
    """Though blocks that were never laid out lie before the place."""
    page = (await open_tab("/view/played")).page
    await page.locator("body.playable").wait_for()
    await page.evaluate(f"{TIME} = 200")
    await expect(page.locator("#l45")).to_have_class("line now")
    await page.locator("#l30").evaluate("line => line.scrollIntoView({block: 'center'})")
    before = await top_of(page, "#l30")
    await page.reload()
    await expect(page.locator("#l45")).to_have_class("line now")
    await eventually(lambda: page.evaluate(f"{PLAYER}?.currentTime === 200"))

    async def is_there() -> bool:
        return abs(await top_of(page, "#l30") - before) < 3

    await eventually(is_there)


async def test_reload_of_a_long_transcript_keeps_the_line(open_tab: OpenTab, site: Site) -> None:
    """Its estimated heights are wrong."""
    await site.put(a_transcript("reloaded", count=3_000))
    page = (await open_tab("/view/reloaded#l2000")).page
    await expect(page.locator("#l2000")).to_be_in_viewport()
    await page.locator("#l2200").evaluate("line => line.scrollIntoView({block: 'center'})")
    await expect(page.locator("#l2200")).to_be_in_viewport()
    await page.reload()
    await expect(page.locator("#l2200")).to_be_in_viewport()


@pytest.mark.parametrize("size", sorted(VIEWPORTS))
async def test_dock_leaves_most_of_the_window_to_the_text(open_tab: OpenTab, size: str) -> None:
    """With a recording; on a short window it is one row, which can be opened and folded."""
    page = (await open_tab("/view/played", size=size)).page
    await page.locator("body.playable").wait_for()
    height = VIEWPORTS[size][1]
    assert await page.evaluate(TEXT_HEIGHT) > height * (0.75 if height < 600 else 0.5)
    fold = page.get_by_role("button", name="Player", exact=True)
    opened = "false" if height < 600 else "true"
    await expect(fold).to_have_attribute("aria-expanded", opened)
    for _ in range(2):
        opened = "true" if opened == "false" else "false"
        await fold.click()
        await expect(fold).to_have_attribute("aria-expanded", opened)
        await expect(page.locator("#timeline")).to_be_visible(visible=opened == "true")
        await expect(page.locator("#play")).to_be_visible(visible=opened == "false")


@pytest.mark.parametrize("size", ["phone", "zoomed"])
async def test_page_with_a_recording_opens_at_its_head(open_tab: OpenTab, size: str) -> None:
    """Not at the first line, which is spoken first; a link to a moment leads there."""
    page = (await open_tab("/view/played", size=size)).page
    await expect(page.locator("body.playable #l1.now")).to_have_count(1)
    await expect(page.get_by_role("heading", name="site meeting")).to_be_in_viewport(ratio=1)
    assert await page.evaluate("scrollY") == 0
    page = (await open_tab("/view/played?t=100", size=size)).page
    await expect(page.locator("body.playable #l23.now")).to_be_in_viewport()


async def test_speed_can_be_read_on_a_phone(open_tab: OpenTab) -> None:
    """Only its label is left out there."""
    page = (await open_tab("/view/played", size="phone")).page
    await expect(page.locator("body.playable")).to_be_visible()
    size = "parseFloat(getComputedStyle(document.getElementById('speed')).fontSize)"
    assert await page.evaluate(size) > 12


async def test_folded_dock_plays_and_says_when(open_tab: OpenTab) -> None:
    """At a zoom of 400 %."""
    page = (await open_tab("/view/played", size="zoomed")).page
    await page.get_by_role("button", name="Play", exact=True).click()
    await eventually(lambda: page.evaluate(f"!{PAUSED} && {TIME} > 1"))
    await expect(page.locator("#clock")).to_have_text("0:01")
    await page.get_by_role("button", name="Pause").click()
    assert await page.evaluate(PAUSED)


@pytest.mark.parametrize("size", ["desktop", "zoomed"])
async def test_focus_is_never_behind_header_or_dock(open_tab: OpenTab, size: str) -> None:
    """Line after line by the arrow keys, and every stop of the tab key."""
    page = (await open_tab("/view/interview", size=size)).page
    hidden = """() => {
      const active = document.activeElement;
      const shown = active.closest("label") ?? active;
      const box = shown.getBoundingClientRect();
      const at = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
      return active === document.body || shown.contains(at) ? "" : active.outerHTML;
    }"""
    await page.locator("#l1 > a").focus()
    for key in ["ArrowDown"] * 30 + ["ArrowUp"] * 5:
        await page.keyboard.press(key)
        assert await page.evaluate(hidden) == ""
    await expect(page.locator("#l26 > a")).to_be_focused()
    await page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    await page.locator(".brand").focus()
    for _ in range(12):
        await page.keyboard.press("Tab")
        assert await page.evaluate(hidden) == ""


async def test_skip_links_lead_to_text_speakers_and_player(open_tab: OpenTab) -> None:
    """The text has one stop of the tab key, and the next one is the player."""
    page = (await open_tab("/view/played")).page
    await page.locator("body.playable").wait_for()
    for name, place in (("text", "#text"), ("speakers", "#speakers"), ("player", "#dock")):
        link = page.get_by_role("link", name=f"Skip to the {name}")
        await link.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(place)).to_be_focused()
    await page.locator("#text").focus()
    await page.keyboard.press("Tab")
    await expect(page.locator("#l1 > a")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.locator("#fold")).to_be_focused()


async def test_screen_reader_hears_what_things_are(open_tab: OpenTab) -> None:
    """The player is named, links say that they play, and a name has no triangle."""
    page = (await open_tab("/view/played")).page
    await page.locator("body.playable").wait_for()
    await expect(page.get_by_role("region", name="Text")).to_be_visible()
    await expect(page.get_by_role("heading", name="Text", exact=True, level=2)).to_have_count(1)
    await expect(page.get_by_label("Recording of site meeting")).to_have_count(2)
    await expect(page.locator("#l5 > a")).to_have_attribute("aria-label", "Play from 0:18")
    client = await page.context.new_cdp_session(page)
    tree = await client.send("Accessibility.getFullAXTree")
    names = [node["name"]["value"] for node in tree["nodes"] if node.get("name", {}).get("value")]
    assert "Export" in names
    assert not any("▾" in name for name in names)


async def test_links_of_lines_do_not_promise_to_play_without_a_recording(open_tab: OpenTab) -> None:
    """They lead to the line."""
    page = (await open_tab("/view/interview")).page
    await expect(page.locator("#keys")).to_be_visible()
    assert await page.locator("#l5 > a").get_attribute("aria-label") is None


async def test_menu_closes_by_escape_and_when_the_focus_leaves(open_tab: OpenTab) -> None:
    """Escape leads back to its button; a click elsewhere closes it too."""
    page = (await open_tab("/view/meeting")).page
    menu = page.locator("#export")
    summary = menu.locator("summary")
    await summary.click()
    await menu.get_by_role("button", name="SubRip").focus()
    await page.keyboard.press("Escape")
    await expect(menu).not_to_have_attribute("open", "")
    await expect(summary).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(menu).to_have_attribute("open", "")
    await page.locator("#keys").focus()
    await expect(menu).not_to_have_attribute("open", "")
    await summary.click()
    await page.locator("h1").click()
    await expect(menu).not_to_have_attribute("open", "")


async def test_export_has_the_options_of_its_menu(open_tab: OpenTab) -> None:
    """With and without scripts it is a form."""
    page = (await open_tab("/view/meeting")).page
    await page.get_by_text("Export", exact=True).click()
    await page.get_by_label("Characters per line").select_option("32")
    await page.get_by_label("Names").first.select_option("nowhere")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="SubRip").click()
    text = (await (await download.value).path()).read_text()
    assert "Speaker" not in text
    lines = [line for line in text.splitlines() if line and "-->" not in line]
    assert 20 < max(map(len, lines)) <= 32


async def test_keys_along_lines_keep_the_line_in_view_without_a_recording(
    open_tab: OpenTab,
) -> None:
    """The next line is marked, and the window follows."""
    page = (await open_tab("/view/interview", size="landscape")).page
    for _ in range(12):
        await page.keyboard.press(".")
    await expect(page.locator(".now")).to_have_id("l12")
    await expect(page.locator(".now")).to_be_in_viewport(ratio=0.9)
    await page.keyboard.press(",")
    await expect(page.locator(".now")).to_have_id("l11")


async def test_end_key_ends_at_the_last_line(open_tab: OpenTab, site: Site) -> None:
    """Though the blocks before it were never laid out."""
    await site.put(a_transcript("ending", count=3_000))
    page = (await open_tab("/view/ending")).page
    await page.keyboard.press("End")
    await expect(page.locator("#l3000")).to_be_in_viewport(ratio=0.9)
    await page.keyboard.press("Home")
    await expect(page.locator("h1")).to_be_in_viewport()


async def test_dock_of_a_short_transcript_stands_at_the_bottom(
    open_tab: OpenTab, site: Site
) -> None:
    """Of the window."""
    await site.put(a_transcript("short", count=1))
    page = (await open_tab("/view/short")).page
    box = await page.locator(".dock").bounding_box()
    assert box is not None
    assert abs(box["y"] + box["height"] - VIEWPORTS["desktop"][1]) < 1


async def test_forced_colors_show_the_spoken_line_and_the_current_tab(open_tab: OpenTab) -> None:
    """By an outline: these modes take backgrounds away."""
    page = (await open_tab("/view/interview#l3")).page
    outline = "element => getComputedStyle(element).outlineStyle"
    assert await page.locator(".now").evaluate(outline) == "none"
    await page.emulate_media(forced_colors="active")
    assert await page.locator(".now").evaluate(outline) == "solid"
    await page.goto(page.url.partition("/view")[0])
    assert await page.locator(".tabs a[aria-current]").evaluate(outline) == "solid"


async def test_timeline_of_hours_shows_density(open_tab: OpenTab, site: Site) -> None:
    """No lane is one solid bar."""
    await site.put(a_transcript("hours", count=4_000, speakers=4))
    page = (await open_tab("/view/hours")).page
    shapes = await page.locator("#timeline path").evaluate_all(
        "paths => paths.map(path => new Set(path.getAttribute('d').match(/v-[0-9]+/g)).size)"
    )
    assert len(shapes) == 4
    assert min(shapes) >= 2


async def test_wrong_address_is_a_page(open_tab: OpenTab) -> None:
    """It leads to the list."""
    tab = await open_tab("/nowhere")
    await expect(tab.page.get_by_role("heading")).to_have_text("Not found")
    await tab.page.get_by_role("link", name="All transcripts").click()
    await expect(tab.page.get_by_role("heading", level=1)).to_have_text("Transcripts")
    tab.faults = [fault for fault in tab.faults if "404" not in fault]
