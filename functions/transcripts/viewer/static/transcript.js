// The page of a transcript: where the reader is, by the address, and after the page was reloaded.

import { $ } from "./page.js";
import {
  currentIndex, firstInView, hold, indexOf, lineAt, lineOf, putAt, read, show, starts,
} from "./lines.js";
import { cueAt, time, timeOfAddress } from "./player.js";
import { search } from "./search.js";
import "./renaming.js";
import "./keys.js";

for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;
read();
if ($("q").value.trim() && "highlights" in CSS) search($("q").value.trim());

function lineOfHash() {
  const line = /^#l\d+$/.test(location.hash) && $(location.hash.slice(1));
  return line && line.closest("#transcript") ? line : null;
}

// A reload, and the way back, lead to the same place, and to the same moment of the recording.
// A state of the history can't hold them: browsers keep none that is set while a page is left.
function keptPlace() {
  const [navigation] = performance.getEntriesByType("navigation");
  if (!["reload", "back_forward"].includes(navigation.type)) return null;
  try {
    return JSON.parse(sessionStorage.getItem(location.pathname));
  } catch {
    return null;
  }
}
addEventListener("pagehide", () => {
  const line = lineOf(firstInView());
  if (!line) return;
  const height = line.getBoundingClientRect().top;
  const place = { line: line.id, height, current: currentIndex(), time: time() };
  try {
    sessionStorage.setItem(location.pathname, JSON.stringify(place));
  } catch {
    // The browser keeps nothing.
  }
});

function begin() {
  const place = keptPlace();
  const line = place ? $(place.line) : lineOfHash();
  const seconds = timeOfAddress();
  if (place) {
    if (place.time !== null) cueAt(place.time);
    show(place.current, false);
    if (line) putAt(line, place.height);
  } else if (line) {
    show(indexOf(line), false);
    hold(() => line.scrollIntoView({ block: "start", behavior: "instant" }));
  } else if (seconds !== null) {
    cueAt(seconds);
    show(Math.max(lineAt(seconds), 0), true);
  }
}
begin();
addEventListener("hashchange", () => {
  const line = lineOfHash();
  if (!line || indexOf(line) === currentIndex()) return;
  cueAt(starts[indexOf(line)]);
  show(indexOf(line), false);
});
