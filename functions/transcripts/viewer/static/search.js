// Search: the browser paints the matches, so the lines stay as they are.

import { $ } from "./page.js";
import {
  blocks, bringIntoView, duration, firstInView, firstOf, focusLine, lineOf, linesOf, starts, transcript,
} from "./lines.js";
import { stopFollowing } from "./player.js";

const LISTED = 200;
const SVG = "http://www.w3.org/2000/svg";

const box = $("q");
const form = $("search");
const list = $("hit-menu").querySelector("ol");
const painted = "highlights" in CSS;

// Every match as a line and its place in the text of the line. One letter may match 100,000 times.
let found = { lines: [], from: [], to: [] };
let hit = -1;
let query = "";

function textOf(line) {
  let text = "";
  for (let node = line.firstChild.nextSibling; node; node = node.nextSibling) text += node.textContent;
  return text;
}

// The marks of the server become those of the browser when a block comes near the view.
function removeMarks(block) {
  for (const mark of [...block.getElementsByTagName("mark")]) {
    const line = mark.parentNode;
    mark.replaceWith(...mark.childNodes);
    line.normalize();
  }
}

function rangeOf(at) {
  const line = lineOf(found.lines[at]);
  removeMarks(line);
  const text = line.lastChild;
  return new StaticRange({
    startContainer: text, startOffset: found.from[at], endContainer: text, endOffset: found.to[at],
  });
}

function firstHitFrom(index) {
  const at = found.lines.findIndex((line) => line >= index);
  return at < 0 ? found.lines.length : at;
}

// Only what is near the view is painted: an engine takes long for 100,000 ranges.
const near = new Map();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    for (const range of near.get(target) ?? []) CSS.highlights.get("hits").delete(range);
    near.delete(target);
    if (isIntersecting) paint(target);
  }
}, { rootMargin: "100%" });

function paint(block) {
  removeMarks(block);
  const first = firstOf(block);
  const ranges = [];
  const end = firstHitFrom(first + linesOf(block).length);
  for (let at = firstHitFrom(first); at < end; at++) ranges.push(rangeOf(at));
  for (const range of ranges) CSS.highlights.get("hits").add(range);
  near.set(block, ranges);
}

export function search(text = query) {
  if (!painted) return;
  query = text;
  found = { lines: [], from: [], to: [] };
  hit = -1;
  if (query) {
    const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
    let index = -1;
    for (const line of transcript.getElementsByClassName("line")) {
      index++;
      for (const match of textOf(line).matchAll(pattern)) {
        found.lines.push(index);
        found.from.push(match.index);
        found.to.push(match.index + match[0].length);
      }
    }
  }
  observer.disconnect();
  near.clear();
  CSS.highlights.set("hits", new Highlight());
  CSS.highlights.delete("hit");
  for (const block of blocks) observer.observe(block);
  showResults();
}

function showResults() {
  const marks = $("marks");
  const columns = marks.viewBox.baseVal.width;
  const hitLines = [...new Set(found.lines)];
  const places = new Map();
  for (const index of hitLines) {
    const x = Math.min(Math.floor((starts[index] / duration) * columns), columns - 2);
    if (!places.has(x)) places.set(x, index);
  }
  marks.replaceChildren(...[...places].map(([x, index]) => {
    const link = document.createElementNS(SVG, "a");
    link.setAttribute("href", `#${lineOf(index).id}`);
    link.setAttribute("tabindex", "-1");
    const mark = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ class: "mark", x, width: 2, height: 10 })) mark.setAttribute(name, value);
    link.append(mark);
    return link;
  }));
  list.replaceChildren(...hitLines.slice(0, LISTED).map((index) => {
    const line = lineOf(index);
    const link = document.createElement("a");
    link.href = `#${line.id}`;
    link.dataset.index = index;
    const time = document.createElement("span");
    time.className = "time";
    time.textContent = line.firstChild.textContent;
    const text = document.createElement("bdi");
    text.textContent = textOf(line).slice(0, 120);
    link.append(time, " ", text);
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  if (hitLines.length > LISTED) {
    const more = document.createElement("li");
    more.className = "hint";
    more.textContent = `and ${(hitLines.length - LISTED).toLocaleString()} more lines`;
    list.append(more);
  }
  $("match-tools").hidden = !query;
  $("said").textContent = query ? `${found.lines.length} matches` : "";
  $("match-count").textContent = query ? `${found.lines.length ? "–" : "0"} of ${found.lines.length}` : "";
  const address = new URL(location.href);
  if (query) address.searchParams.set("q", query);
  else address.searchParams.delete("q");
  history.replaceState(history.state, "", address);
}

export function go(step) {
  const count = found.lines.length;
  if (!count) return;
  stopFollowing();
  if (hit < 0) {
    const first = firstHitFrom(firstInView());
    hit = step > 0 ? first % count : (first - 1 + count) % count;
  } else {
    hit = (hit + step + count) % count;
  }
  const line = lineOf(found.lines[hit]);
  CSS.highlights.set("hit", new Highlight(rangeOf(hit)));
  // Keys in the search box go on from match to match; otherwise the reader is at the line.
  if (form.contains(document.activeElement)) bringIntoView(line);
  else focusLine(line);
  $("match-count").textContent = `${hit + 1} of ${count}`;
  $("said").textContent = `${line.firstChild.textContent} ${textOf(line)}`;
}

if (painted) {
  $("hit-list")?.remove();
  document.body.classList.add("finds");
  let waiting = 0;
  const searchNow = () => {
    clearTimeout(waiting);
    if (box.value.trim() !== query) search(box.value.trim());
  };
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(searchNow, 150);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.shiftKey) return;
    event.preventDefault();
    searchNow();
    go(-1);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    searchNow();
    go(1);
  });
  $("next-match").addEventListener("click", () => go(1));
  $("previous-match").addEventListener("click", () => go(-1));
  list.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    event.preventDefault();
    $("hit-menu").open = false;
    hit = found.lines.indexOf(Number(link.dataset.index));
    focusLine($(link.hash.slice(1)));
  });
}
