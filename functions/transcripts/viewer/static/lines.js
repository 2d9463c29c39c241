// The lines of the text: when each is said, where it stands, and which one is spoken now.

import { $ } from "./page.js";

export const transcript = $("transcript");
export const duration = Number(transcript.dataset.duration) || 1;
export let starts = [];
export let ends = [];

// Lines are found when they are needed: objects for all of them would make collecting garbage slow.
export let blocks = [];
let firsts = [];

let current = -1;
let reachable = null;

export function read() {
  blocks = [...transcript.querySelectorAll(".block")];
  firsts = [];
  starts = [];
  ends = [];
  for (const block of blocks) {
    firsts.push(starts.length);
    const times = block.dataset.times.split(" ");
    for (let at = 0; at < times.length; at += 2) {
      starts.push(times[at] / 1000);
      ends.push(times[at + 1] / 1000);
    }
  }
  // The tab key stops at one line; the arrow keys lead to the others.
  for (const link of transcript.getElementsByTagName("a")) link.tabIndex = -1;
  reachable = null;
  reach(Math.max(current, 0));
  if (says) nameLinks();
  const shown = current;
  current = -1;
  show(Math.min(shown, starts.length - 1), false);
}

export const linesOf = (block) => block.getElementsByClassName("line");
export const firstOf = (block) => firsts[blocks.indexOf(block)];

function lastUpTo(numbers, limit) {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export function lineOf(index) {
  if (!(index >= 0 && index < starts.length)) return undefined;
  const block = lastUpTo(firsts, index);
  return linesOf(blocks[block])[index - firsts[block]];
}

export function indexOf(line) {
  const block = line.closest(".block");
  return firstOf(block) + [...linesOf(block)].indexOf(line);
}

export const lineAt = (seconds) => lastUpTo(starts, seconds);
export const currentIndex = () => current;

// The parts of the window that the header and the dock leave to the text.
const header = document.querySelector(".top");
const dock = $("dock");
const top = () => Math.max(header.getBoundingClientRect().bottom, 0);
const bottom = () => Math.min(dock.getBoundingClientRect().top, innerHeight);

const sizes = new ResizeObserver(() => {
  const sticky = (element) => getComputedStyle(element).position === "sticky";
  const style = document.documentElement.style;
  style.setProperty("--head", `${sticky(header) ? header.offsetHeight + 12 : 12}px`);
  style.setProperty("--dock", `${sticky(dock) ? dock.offsetHeight + 12 : 12}px`);
});
sizes.observe(header);
sizes.observe(dock);
sizes.observe(document.documentElement);

// To ask a line for its place, the browser lays out its block: blocks are asked first.
export function firstInView() {
  const limit = top() + 8;
  const shown = (element) => element.getBoundingClientRect().bottom > limit;
  const block = blocks.find(shown);
  const line = block && [...linesOf(block)].find(shown);
  return line ? indexOf(line) : -1;
}

// Blocks that come near the view get their real height, which moves what is below them.
let settling = 0;
export function hold(place) {
  cancelAnimationFrame(settling);
  let frames = 0;
  const step = () => {
    place();
    if (++frames < 4) settling = requestAnimationFrame(step);
  };
  step();
}
for (const name of ["wheel", "touchmove", "pointerdown"]) {
  addEventListener(name, () => cancelAnimationFrame(settling), { passive: true });
}

export function bringIntoView(line) {
  const box = line.getBoundingClientRect();
  if (box.top < top() || box.bottom > bottom() - 24) {
    hold(() => line.scrollIntoView({ block: "center", behavior: "instant" }));
  }
}

// Keep a line at a height of the window, whatever happens above it.
export function putAt(line, height) {
  hold(() => scrollBy({ top: line.getBoundingClientRect().top - height, behavior: "instant" }));
}

export function show(index, into) {
  if (index !== current) {
    const before = lineOf(current);
    before?.classList.remove("now");
    before?.removeAttribute("aria-current");
    current = index;
    const line = lineOf(index);
    line?.classList.add("now");
    line?.setAttribute("aria-current", "true");
    if (line && !transcript.contains(document.activeElement)) reach(index);
  }
  const line = lineOf(index);
  if (line && into) bringIntoView(line);
}

function reach(index) {
  const link = lineOf(index)?.firstChild;
  if (!link || link === reachable) return;
  if (reachable) reachable.tabIndex = -1;
  reachable = link;
  link.tabIndex = 0;
}

transcript.addEventListener("focusin", (event) => {
  const line = event.target.closest(".line");
  if (line) reach(indexOf(line));
});

transcript.addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const line = event.target.closest(".line");
  if (!step || !line || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const next = lineOf(indexOf(line) + step);
  event.preventDefault();
  if (next) focusLine(next);
});

export function focusLine(line) {
  line.firstChild.focus({ preventScroll: true });
  bringIntoView(line);
}

// The end of a long text is where its last line is, not where its estimated height ends.
addEventListener("keydown", (event) => {
  if (event.key !== "End" || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (typing(event.target) || event.target.matches("audio, video")) return;
  const last = lineOf(starts.length - 1);
  if (!last) return;
  event.preventDefault();
  hold(() => scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" }));
});

export const typing = (element) => element.closest("input, select, textarea, [contenteditable], dialog");

// Whoever hears the links hears that they play, once there is something to play.
let says = false;
export function sayThatLinksPlay() {
  if (says) return;
  says = true;
  nameLinks();
}
function nameLinks() {
  for (const line of transcript.getElementsByClassName("line")) {
    line.firstChild.setAttribute("aria-label", `Play from ${line.firstChild.textContent}`);
  }
}
