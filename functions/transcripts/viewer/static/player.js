// The player: the recording comes from the bucket, or from this device and stays there.

import { $ } from "./page.js";
import {
  bringIntoView, currentIndex, duration, ends, indexOf, lineAt, lineOf, sayThatLinksPlay, show, starts,
  transcript, typing,
} from "./lines.js";

const box = document.querySelector(".player");
const audio = $("audio");
const video = $("video");
const dock = $("dock");
const follow = $("follow");
const speed = $("speed");
const hint = $("hint");
const recording = box.dataset.recording;

// Without a picture an audio element plays, since some engines show no controls of a flat video.
let player = audio;
let address = null;
let resume = null;
let renewed = -Infinity;
let plays = false;
let stopAt = null;

export const playable = () => document.body.classList.contains("playable");
export const time = () => (playable() ? player.currentTime : null);

// ?t=83, ?t=1:23 and ?t=1:02:03: where a link begins.
export function timeOfAddress() {
  const text = new URL(location.href).searchParams.get("t") ?? "";
  if (!/^\d+(:\d\d){0,2}(\.\d+)?$/.test(text)) return null;
  return text.split(":").reduce((seconds, part) => seconds * 60 + Number(part), 0);
}

function load(element, source) {
  if (player !== element) {
    player.removeAttribute("src");
    player.load();
    player.hidden = true;
    player = element;
  }
  player.src = source;
}
if (recording) load(box.dataset.kind === "audio" ? audio : video, recording);

$("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (!file) return;
  if (address) URL.revokeObjectURL(address);
  resume = null;
  address = URL.createObjectURL(file);
  load(file.type.startsWith("audio/") ? audio : video, address);
});

function on(name, handle) {
  for (const element of [audio, video]) {
    element.addEventListener(name, (event) => {
      if (event.target === player) handle(event);
    });
  }
}

on("loadedmetadata", () => {
  if (player === video && !video.videoHeight) {
    load(audio, video.src);
    return;
  }
  player.hidden = false;
  $("controls").hidden = false;
  $("play").hidden = false;
  document.body.classList.add("playable");
  hint.textContent = "";
  $("pick").firstChild.textContent = "Other file";
  document.querySelector(".playhead").hidden = false;
  sayThatLinksPlay();
  player.playbackRate = Number(speed.value);
  if (resume) {
    player.currentTime = resume.time;
    if (resume.plays) play();
    resume = null;
  } else if (cue !== null || currentIndex() >= 0) player.currentTime = cue ?? starts[currentIndex()];
  cue = null;
  // Who opens a page begins at its head, or where the address leads.
  tick(false);
});

// Where to begin as soon as there is a recording.
let cue = null;
export function cueAt(seconds) {
  if (playable()) player.currentTime = seconds;
  else cue = seconds;
}

// The address of the recording is valid for some minutes: after an error, the page asks for
// another one, and goes on where it was. An error pauses the player too.
on("play", () => {
  plays = true;
  $("play").textContent = "Pause";
  requestAnimationFrame(() => tick());
});
on("pause", () => {
  plays &&= Boolean(player.error);
  $("play").textContent = "Play";
});
on("seeked", () => tick());
on("error", async () => {
  if (await goesOn()) {
    hint.textContent = "There is no sound: the browser has found no device for it.";
    return;
  }
  if (address) {
    hint.textContent = "This browser can't play that file.";
    return;
  }
  const before = resume ?? { time: player.currentTime, plays };
  hint.textContent = await problem();
  if (hint.textContent || address) return;
  if (player.hidden || performance.now() - renewed < 10_000) {
    hint.textContent = "This browser can't play the recording.";
    return;
  }
  renewed = performance.now();
  resume = before;
  player.src = recording;
});

// Without a device for sound, Firefox says that there is an error, and plays on.
async function goesOn() {
  if (player.paused || player.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return false;
  const before = player.currentTime;
  await new Promise((resolve) => setTimeout(resolve, 500));
  return !player.paused && player.currentTime > before;
}

// Why the bucket does not give the recording; nothing if it does.
async function problem() {
  try {
    const answer = await fetch(recording, { redirect: "manual" });
    return answer.type === "opaqueredirect" ? "" : (await answer.json()).error.message;
  } catch {
    return "The recording can't be reached. Reload the page to try again.";
  }
}

async function play() {
  try {
    await player.play();
  } catch (error) {
    // A pause before the first sound ends the request to play, and is no error.
    if (error.name !== "AbortError") hint.textContent = `The browser refuses to play: ${error.name}.`;
  }
}

const written = (seconds) => {
  const [hour, minute, second] = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  const two = (number) => String(number).padStart(2, "0");
  return hour ? `${hour}:${two(minute)}:${two(second)}` : `${minute}:${two(second)}`;
};

function tick(into = following()) {
  const now = player.currentTime;
  if (stopAt !== null && now >= stopAt) {
    player.pause();
    stopAt = null;
  }
  const index = lineAt(now + 0.02);
  if (index !== currentIndex()) show(index, into);
  showPlace(now);
  if (!player.paused) requestAnimationFrame(() => tick());
}

function showPlace(seconds) {
  $("place").style.insetInlineStart = `${Math.min(seconds / duration, 1) * 100}%`;
  const clock = written(seconds);
  if ($("clock").textContent !== clock) $("clock").textContent = clock;
}

// Follow mode ends when the reader scrolls, and starts again only by its button.
const following = () => follow.getAttribute("aria-pressed") === "true";
function setFollowing(on) {
  follow.setAttribute("aria-pressed", String(on));
  const line = lineOf(currentIndex());
  if (on && line) bringIntoView(line);
}
export function stopFollowing() {
  if (playable() && following()) setFollowing(false);
}
follow.addEventListener("click", () => setFollowing(!following()));
addEventListener("wheel", stopFollowing, { passive: true });
addEventListener("touchmove", stopFollowing, { passive: true });
addEventListener("pointerdown", (event) => {
  if (event.target === document.documentElement) stopFollowing();
});
const SCROLLING = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown", " "]);
addEventListener("keydown", (event) => {
  if (SCROLLING.has(event.key) && !typing(event.target) && event.target !== player) stopFollowing();
});

// A line is played, or only marked if there is nothing to play.
export function seek(index, once) {
  if (!lineOf(index)) return;
  show(index, true);
  if (!playable()) return;
  stopAt = once ? ends[index] : null;
  player.currentTime = starts[index];
  play();
}

export function seekTime(seconds) {
  stopAt = null;
  if (playable()) {
    player.currentTime = seconds;
    showPlace(seconds);
  }
  show(Math.max(lineAt(seconds), 0), true);
}

transcript.addEventListener("click", (event) => {
  const line = event.target.closest(".line");
  if (!line || !getSelection().isCollapsed) return;
  if (event.target.closest("a") && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
  seek(indexOf(line), false);
});
dock.addEventListener("click", (event) => {
  const lanes = event.target.closest("#timeline");
  if (!lanes || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const mark = event.target.closest("#marks a");
  const chart = $("marks").getBoundingClientRect();
  const share = (event.clientX - chart.left) / chart.width;
  if (mark) seekTime(starts[indexOf($(mark.getAttribute("href").slice(1)))]);
  else if (share >= 0) seekTime(Math.min(share, 1) * duration);
});
speed.addEventListener("change", () => (player.playbackRate = Number(speed.value)));
$("once").addEventListener("click", () => seek(Math.max(currentIndex(), 0), true));
$("play").addEventListener("click", toggle);

function toggle() {
  if (player.paused) play();
  else player.pause();
}
function jump(seconds) {
  stopAt = null;
  player.currentTime = Math.max(player.currentTime + seconds, 0);
}
function changeSpeed(step) {
  speed.selectedIndex = Math.min(Math.max(speed.selectedIndex + step, 0), speed.options.length - 1);
  player.playbackRate = Number(speed.value);
}

// On a short window the dock is one row, until the reader asks for more.
const short = matchMedia("(max-height: 599px)");
const fold = $("fold");
let chosen = null;
function setFolded(folded) {
  dock.classList.toggle("folded", folded);
  fold.setAttribute("aria-expanded", String(!folded));
}
dock.classList.add("scripted");
setFolded(short.matches);
short.addEventListener("change", () => setFolded(chosen ?? short.matches));
fold.addEventListener("click", () => {
  chosen = !dock.classList.contains("folded");
  setFolded(chosen);
});

export const PLAYER_KEYS = {
  k: toggle,
  j: () => jump(-5),
  l: () => jump(5),
  r: () => seek(Math.max(currentIndex(), 0), true),
  "[": () => changeSpeed(-1),
  "]": () => changeSpeed(1),
  f: () => setFollowing(!following()),
};
