// Keys: single letters without modifiers, so no browser's shortcut is taken.

import { $ } from "./page.js";
import { currentIndex, starts, typing } from "./lines.js";
import { PLAYER_KEYS, playable, seek } from "./player.js";
import { go } from "./search.js";

const help = $("help");
const useKeys = $("use-keys");

function remember(value) {
  try {
    if (value === undefined) return localStorage.getItem("keys") !== "off";
    localStorage.setItem("keys", value ? "on" : "off");
  } catch {
    // The browser keeps nothing: the choice holds for this page.
  }
  return true;
}
useKeys.checked = remember();
useKeys.addEventListener("change", () => remember(useKeys.checked));
$("keys").addEventListener("click", () => help.showModal());

const KEYS = {
  ",": () => seek(Math.max(currentIndex() - 1, 0), false),
  ".": () => seek(Math.min(currentIndex() + 1, starts.length - 1), false),
  s: () => $("q").focus(),
  n: () => go(1),
  p: () => go(-1),
  "?": () => help.showModal(),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const action = KEYS[event.key] ?? (playable() ? PLAYER_KEYS[event.key] : undefined);
  if (!action || (!useKeys.checked && event.key !== "?")) return;
  event.preventDefault();
  action();
});
