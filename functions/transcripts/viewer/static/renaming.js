// Renaming without leaving the page: what plays goes on, and the reader stays where the reader is.

import { $, showTimes } from "./page.js";
import { firstInView, lineOf, putAt, read, transcript } from "./lines.js";
import { search } from "./search.js";

const dialog = $("conflict");
let cameFrom = null;
let busy = false;

// A speaker's name leads to the form that changes it, and the form back to where the reader was.
transcript.addEventListener("click", (event) => {
  const name = event.target.closest(".who a");
  if (!name) return;
  event.preventDefault();
  const line = name.closest(".said").querySelector(".line");
  cameFrom = { id: line.id, height: line.getBoundingClientRect().top };
  const field = $(name.hash.slice(1));
  field.closest("details").open = true;
  field.focus();
  field.select();
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post" || busy) {
    if (busy) event.preventDefault();
    return;
  }
  event.preventDefault();
  busy = true;
  const fields = new URLSearchParams(new FormData(form));
  try {
    await takePage(form.action, { method: "POST", body: fields }, fields);
  } catch {
    say("The name was not saved: there is no connection. Try again.");
  }
  busy = false;
});

async function takePage(address, request, fields) {
  const answer = await fetch(address, { ...request, headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (page.getElementById("transcript")) {
    dialog.close();
    renew(page);
    if (fields) focusAfter(fields);
  } else if (page.getElementById("conflict-title")) {
    dialog.replaceChildren(...page.getElementById("main").childNodes);
    if (!dialog.open) dialog.showModal();
  } else if (fields) {
    say(page.querySelector("main p")?.textContent ?? "The name was not saved.");
  } else {
    // The task was deleted, or is transcribed again.
    location.reload();
  }
}

function renew(page) {
  const line = lineOf(firstInView());
  const height = line?.getBoundingClientRect().top;
  showTimes(page);
  for (const selector of [".side", ".title", "#timeline"]) {
    document.querySelector(selector).replaceWith(page.querySelector(selector));
  }
  document.querySelector(".playhead").hidden = !document.body.classList.contains("playable");
  transcript.replaceChildren(...page.getElementById("transcript").childNodes);
  read();
  search();
  const same = line && $(line.id);
  if (same && scrollY > 0) putAt(same, height);
}

function focusAfter(fields) {
  const own = fields.get("speaker") ?? [...fields.keys()].find((name) => name.startsWith("name."))?.slice(5);
  const speaker = document.querySelector(`.side input[name="speaker"][value="${CSS.escape(own)}"]`);
  const line = cameFrom && $(cameFrom.id);
  if (line) putAt(line, cameFrom.height);
  cameFrom = null;
  const place = line?.closest(".said").querySelector(".who a") ?? speaker?.closest("details").querySelector("summary");
  place?.focus({ preventScroll: true });
  say("The names are saved.");
}

// The status is emptied first, so the same words are said again.
function say(words) {
  const status = $("said");
  status.textContent = "";
  requestAnimationFrame(() => (status.textContent = words));
  const shown = document.querySelector(".problem");
  shown?.remove();
  if (words.startsWith("The names")) return;
  const problem = document.createElement("p");
  problem.className = "problem";
  problem.textContent = words;
  document.querySelector(".edit[open]")?.append(problem);
}

dialog.addEventListener("click", (event) => {
  if (!event.target.closest("[data-keep]")) return;
  event.preventDefault();
  dialog.close();
  takePage(location.href, {}, null);
});

// Browsers show a page again as it was left: its names and their version may be of then.
addEventListener("pageshow", (event) => {
  if (event.persisted) takePage(location.href, {}, null).catch(() => location.reload());
});
