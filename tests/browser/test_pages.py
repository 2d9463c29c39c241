"""Every page in Chromium: at two widths, light and dark, with and without JavaScript."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from tests.browser.accessibility import violations, violations_while_scrolling
from tests.browser.conftest import OpenTab
from tests.browser.site import VIEWPORTS, Scheme, Site
from tests.viewer import HOSTILE, a_transcript

pytestmark = pytest.mark.browser

PATHS = (
    "/",
    "/?state=rejected",
    "/?q=interview",
    "/view/council",
    "/view/meeting?q=Tuesday",
    "/view/hostile",
    "/view/wide",
    "/view/broken",
    "/view/missing",
    "/view/meeting?q=nothing+matches",
)

TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

OPEN_DETAILS = "document.querySelectorAll('details').forEach(each => { each.open = true; })"


@pytest.mark.parametrize("size", sorted(VIEWPORTS))
@pytest.mark.parametrize("path", PATHS)
async def test_page_is_accessible_and_fits_its_width(
    open_tab: OpenTab, path: str, size: str
) -> None:
    """axe finds nothing, light or dark, wherever the reader is; nothing is cut at the right."""
    tab = await open_tab(path, size=size)
    tab.faults = [fault for fault in tab.faults if "404" not in fault]
    assert await violations_while_scrolling(tab.page) == []
    assert await tab.page.evaluate(TOO_WIDE) == 0


async def test_pages_fit_the_narrowest_phone(open_tab: OpenTab) -> None:
    """Names without a place to break are broken, with every form open too."""
    tab = await open_tab("/", size="zoomed")
    for path in ("/", "/?state=rejected", "/view/wide?q=Donau", "/view/hostile", "/view/broken"):
        await tab.open(path)
        await tab.page.evaluate(OPEN_DETAILS)
        assert await tab.page.evaluate(TOO_WIDE) == 0, path


@pytest.mark.parametrize("size", sorted(VIEWPORTS))
async def test_open_forms_menu_and_help_are_accessible(open_tab: OpenTab, size: str) -> None:
    """axe looks at what is visible only."""
    page = (await open_tab("/view/meeting", size=size)).page
    await page.get_by_text("Rename").first.click()
    assert await violations(page) == []
    await page.get_by_text("Export", exact=True).click()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    assert await violations(page) == []


@pytest.mark.parametrize("path", PATHS)
async def test_page_without_scripts_has_no_dead_control(open_tab: OpenTab, path: str) -> None:
    """Every visible button sends a form or opens something."""
    tab = await open_tab(path, script=False)
    tab.faults = [fault for fault in tab.faults if "404" not in fault]
    for button in await tab.page.locator("button:visible").all():
        assert await button.get_attribute("type") != "button"
    assert await tab.page.locator("#player, #pick").filter(visible=True).count() == 0


async def test_stuck_upload_is_found_from_the_first_page(open_tab: OpenTab) -> None:
    """With its reason and what to do."""
    tab = await open_tab("/", size="phone")
    await tab.page.get_by_role("link", name="Rejected").click()
    entry = tab.page.locator(".entry", has_text="whole week.mov")
    await expect(entry).to_contain_text("Too large")
    await expect(entry).to_contain_text("Compress or cut it")


@pytest.mark.parametrize("script", [True, False])
async def test_renamed_speaker_is_in_the_export(
    open_tab: OpenTab, task_id: str, *, script: bool
) -> None:
    """The file comes from the menu, and undo brings the old name back."""
    tab = await open_tab(f"/view/{task_id}", script=script)
    page = tab.page
    await page.get_by_text("Rename").first.click()
    await page.get_by_label("Name of Speaker 1").fill("Ada Lovelace")
    await page.get_by_role("button", name="Save").first.click()
    await expect(page.locator(".said .who").first).to_have_text("Ada Lovelace")
    await page.get_by_text("Export", exact=True).click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="SubRip").click()
    file = await download.value
    assert file.suggested_filename == "site meeting.srt"
    assert "Ada Lovelace:" in (await file.path()).read_text()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator(".said .who").first).to_have_text("Speaker 1")


async def test_name_in_the_text_leads_to_its_form_and_back(open_tab: OpenTab, task_id: str) -> None:
    """The reader does not lose the place."""
    page = (await open_tab(f"/view/{task_id}")).page
    await page.locator("#l40").scroll_into_view_if_needed()
    name = page.locator(".said", has=page.locator("#l40")).locator(".who a")
    await name.click()
    await expect(page.get_by_label("Name of Speaker 2")).to_be_focused()
    await page.keyboard.type("Ben")
    await page.keyboard.press("Enter")
    await expect(name).to_have_text("Ben")
    await expect(page.locator("#l40")).to_be_in_viewport()


@pytest.mark.parametrize("size", sorted(VIEWPORTS))
async def test_name_in_the_text_is_a_link_without_scripts(open_tab: OpenTab, size: str) -> None:
    """The browser opens the form that the link leads to."""
    page = (await open_tab("/view/meeting", size=size, script=False)).page
    await page.locator(".said .who a").nth(5).click()
    await expect(page.get_by_label("Name of Speaker 2")).to_be_in_viewport()


async def test_merged_speakers_are_one_and_can_be_separated(
    open_tab: OpenTab, task_id: str
) -> None:
    """Separating takes the common name away from both."""
    page = (await open_tab(f"/view/{task_id}", size="phone")).page
    speakers = page.locator(".talk li")
    await speakers.nth(1).get_by_text("Rename").click()
    await speakers.nth(1).get_by_role("combobox").select_option(label="Speaker 1")
    await speakers.nth(1).get_by_role("button", name="Merge").click()
    await expect(speakers).to_have_count(2)
    await speakers.first.get_by_text("Rename").click()
    await expect(speakers.first).to_contain_text("Mavi says Speaker 1, Speaker 2")
    await speakers.first.get_by_role("button", name="Separate").click()
    await expect(speakers).to_have_count(3)


async def test_conflicting_names_are_explained(open_tab: OpenTab, task_id: str) -> None:
    """Two tabs give a name; the second one decides with both in view."""
    tabs = [await open_tab(f"/view/{task_id}", size=size) for size in ("desktop", "zoomed")]
    for tab, name in zip(tabs, ("Eva", "Ada"), strict=True):
        await tab.page.get_by_text("Rename").first.click()
        await tab.page.get_by_label("Name of Speaker 1").fill(name)
        await tab.page.get_by_role("button", name="Save").first.click()
    page = tabs[1].page
    heading = page.get_by_role("heading", name="Your change was not saved")
    await expect(heading).to_be_focused()
    await expect(heading).to_be_in_viewport(ratio=1)
    await expect(page.get_by_role("dialog").get_by_role("row").nth(1)).to_contain_text("Eva")
    assert await violations(page) == []
    await page.get_by_role("button", name="Save my name").click()
    await expect(page.locator(".said .who").first).to_have_text("Ada")


async def test_search_without_scripts_leads_to_each_match(open_tab: OpenTab) -> None:
    """The server marks the text, and lists the lines."""
    page = (await open_tab("/view/meeting", script=False)).page
    await page.get_by_label("Search in this transcript").fill("tuesday")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("mark")).to_have_count(6)
    links = page.locator("#hit-list a[href^='#l']")
    await expect(links).to_have_count(6)
    await links.last.click()
    await expect(page.locator(".line:target mark")).to_be_in_viewport()


@pytest.mark.parametrize("script", [True, False])
async def test_hostile_transcript_runs_nothing(open_tab: OpenTab, *, script: bool) -> None:
    """All of its texts are visible as texts; the fixture fails on any script error or dialog."""
    page = (await open_tab("/view/hostile?q=b", script=script)).page
    shown = await page.locator(".line").evaluate_all(
        "lines => lines.map(line => line.innerText.slice(line.firstChild.innerText.length))"
    )
    assert set(HOSTILE[:-1]) <= set(shown)
    await page.mouse.move(400, 300)
    assert await page.locator("#main script, #main img, .side img, .dock img").count() == 0


async def test_print_shows_the_transcript_only(open_tab: OpenTab) -> None:
    """Names and times stay; controls, timeline and player go."""
    page = (await open_tab("/view/interview")).page
    await page.emulate_media(media="print")
    for gone in (".top", ".dock", ".edit"):
        await expect(page.locator(gone).first).to_be_hidden()
    await expect(page.locator(".said").last).to_be_visible()
    laid_out = await page.locator(".block").evaluate_all(
        "blocks => blocks.map(block => getComputedStyle(block).contentVisibility)"
    )
    assert set(laid_out) == {"visible"}


async def test_speakers_differ_with_and_without_color(open_tab: OpenTab, site: Site) -> None:
    """Four speakers have four colors and four kinds of line, light and dark."""
    await site.put(a_transcript("four", count=80, speakers=4))
    page = (await open_tab("/view/four")).page
    looks: list[tuple[str, str]] = []
    for scheme in get_args(Scheme):
        await page.emulate_media(color_scheme=scheme)
        looks += [
            (style, color)
            for style, color in await page.evaluate(
                """() => [1, 2, 3, 4].map(number => {
                  const style = getComputedStyle(document.querySelector(`.said.c${number}`));
                  return [style.borderInlineStartStyle, style.borderInlineStartColor];
                })"""
            )
        ]
    assert len({style for style, _ in looks}) == 4
    assert len({color for _, color in looks}) == 8


async def test_right_to_left_names_and_texts_start_on_one_side(
    open_tab: OpenTab, site: Site
) -> None:
    """A Latin name over Hebrew stands at the right; a line in another direction keeps its own."""
    segment = a_transcript().segments[0]
    texts = [("s1", "שלום, מה שלומך?"), ("s1", "Fine."), ("s2", "Good morning.")]
    segments = [
        replace(segment, start_s=at * 5.0, end_s=at * 5.0 + 4, speaker=speaker, text=text)
        for at, (speaker, text) in enumerate(texts)
    ]
    await site.put(a_transcript("hebrew", count=3, segments=segments))
    page = (await open_tab("/view/hebrew")).page
    directions = await page.locator(".who, .line").evaluate_all(
        "found => found.filter(each => each.closest('#transcript'))"
        ".map(each => getComputedStyle(each).direction)"
    )
    assert directions == ["rtl", "rtl", "ltr", "ltr", "ltr"]
    name, line = [
        await page.locator(f"#transcript {place}").first.bounding_box()
        for place in (".who bdi", ".line > a")
    ]
    assert name is not None
    assert line is not None
    assert abs(name["x"] + name["width"] - line["x"] - line["width"]) < 8
