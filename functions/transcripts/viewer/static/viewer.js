"use strict";
// Everything here is an addition: without this script, the pages are read, searched and changed.
(() => {
  const $ = (id) => document.getElementById(id);

  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
  const menu = document.querySelector(".menu");
  document.addEventListener("click", (event) => {
    if (menu && menu.open && !menu.contains(event.target)) menu.open = false;
  });

  const transcript = $("transcript");
  if (!transcript) return;
  for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;

  // Lines are found when they are needed: objects for all of them would make collecting garbage slow.
  const blocks = [...transcript.querySelectorAll(".block")];
  const firsts = [];
  const starts = [];
  const ends = [];
  for (const block of blocks) {
    firsts.push(starts.length);
    const times = block.dataset.times.split(" ");
    for (let at = 0; at < times.length; at += 2) {
      starts.push(times[at] / 1000);
      ends.push(times[at + 1] / 1000);
    }
  }
  const linesOf = (block) => block.getElementsByClassName("line");
  const lastUpTo = (numbers, limit) => {
    let low = 0;
    let high = numbers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[middle] <= limit) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  function lineOf(index) {
    if (!(index >= 0 && index < starts.length)) return undefined;
    const block = lastUpTo(firsts, index);
    return linesOf(blocks[block])[index - firsts[block]];
  }
  function indexOf(line) {
    const block = line.closest(".block");
    return firsts[blocks.indexOf(block)] + [...linesOf(block)].indexOf(line);
  }
  const lineAt = (seconds) => lastUpTo(starts, seconds);
  const duration = Number(transcript.dataset.duration) || 1;
  const SVG = "http://www.w3.org/2000/svg";
  const marks = $("marks");
  const columns = marks.viewBox.baseVal.width;
  const player = $("player");
  const follow = $("follow");

  // To ask a line for its place, the browser lays out its block: blocks are asked first.
  function firstInView() {
    const shown = (element) => element.getBoundingClientRect().bottom > 120;
    const block = blocks.find(shown);
    const line = block && [...linesOf(block)].find(shown);
    return line ? indexOf(line) : -1;
  }

  // A speaker's name leads to the form that changes it, and the form back to where the reader was.
  transcript.addEventListener("click", (event) => {
    const name = event.target.closest(".who a");
    if (!name) return;
    event.preventDefault();
    const field = $(name.hash.slice(1));
    field.closest("details").open = true;
    field.focus();
    field.select();
  });
  for (const form of document.querySelectorAll(".edit form, .undo")) {
    form.addEventListener("submit", () => {
      const seen = lineOf(firstInView());
      if (!seen || scrollY < 300) return;
      const place = document.createElement("input");
      place.type = "hidden";
      place.name = "place";
      place.value = seen.id;
      form.append(place);
    });
  }

  // The line being spoken.
  let current = -1;
  let stopAt = null;

  function show(index) {
    if (index === current) return;
    const before = lineOf(current);
    if (before) {
      before.classList.remove("now");
      before.removeAttribute("aria-current");
    }
    current = index;
    const line = lineOf(index);
    if (!line) return;
    line.classList.add("now");
    line.setAttribute("aria-current", "true");
    if (following() && !player.hidden) bringIntoView(line);
  }

  function bringIntoView(line) {
    const box = line.getBoundingClientRect();
    const dock = document.querySelector(".dock").getBoundingClientRect().top;
    if (box.top < 120 || box.bottom > dock - 40) line.scrollIntoView({ block: "center" });
  }

  function svgRect(attributes) {
    const rect = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries(attributes)) rect.setAttribute(name, String(value));
    return rect;
  }
  // Higher than all lanes together; the box around them cuts it.
  const place = svgRect({ id: "place", width: 1.5, y: -990, height: 1000 });

  function tick() {
    const now = player.currentTime;
    if (stopAt !== null && now >= stopAt) {
      player.pause();
      stopAt = null;
    }
    show(lineAt(now + 0.02));
    place.setAttribute("x", String(Math.min(now / duration, 1) * columns));
    if (!player.paused) requestAnimationFrame(tick);
  }
  player.addEventListener("play", () => requestAnimationFrame(tick));
  player.addEventListener("seeked", tick);

  // Follow mode ends when the reader scrolls, and starts again only by its button.
  const following = () => follow.getAttribute("aria-pressed") === "true";
  const setFollowing = (on) => {
    follow.setAttribute("aria-pressed", String(on));
    const line = lineOf(current);
    if (on && line) bringIntoView(line);
  };
  follow.addEventListener("click", () => setFollowing(!following()));
  const stopFollowing = () => {
    if (!player.hidden && following()) setFollowing(false);
  };
  addEventListener("wheel", stopFollowing, { passive: true });
  addEventListener("touchmove", stopFollowing, { passive: true });
  addEventListener("pointerdown", (event) => {
    if (event.target === document.documentElement) stopFollowing();
  });
  const SCROLLING = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown", " "]);
  addEventListener("keydown", (event) => {
    if (SCROLLING.has(event.key) && !typing(event.target) && event.target !== player) stopFollowing();
  });

  // The player: the recording comes from the bucket, or from this device and stays there.
  const recording = player.dataset.recording;
  let address = null;
  let resume = null;
  let renewed = -Infinity;
  let plays = false;
  if (recording) player.src = recording;
  $("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (!file) return;
    if (address) URL.revokeObjectURL(address);
    resume = null;
    address = URL.createObjectURL(file);
    player.src = address;
  });
  player.addEventListener("loadedmetadata", () => {
    player.hidden = false;
    $("controls").hidden = false;
    player.classList.toggle("picture", player.videoHeight > 0);
    document.body.classList.add("playable");
    $("hint").textContent = "";
    $("pick").firstChild.textContent = "Other recording";
    marks.append(place);
    player.playbackRate = Number($("speed").value);
    if (resume) {
      player.currentTime = resume.time;
      if (resume.plays) play();
      resume = null;
    } else if (current >= 0) player.currentTime = starts[current];
  });

  // The address of the recording is valid for some minutes: after an error, the page asks for
  // another one, and goes on where it was. An error pauses the player too.
  player.addEventListener("play", () => (plays = true));
  player.addEventListener("pause", () => (plays &&= Boolean(player.error)));
  player.addEventListener("error", async () => {
    const hint = $("hint");
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
      if (error.name !== "AbortError") $("hint").textContent = `The browser refuses to play: ${error.name}.`;
    }
  }

  function seek(index, once) {
    if (!lineOf(index)) return;
    if (player.hidden) {
      show(index);
      return;
    }
    stopAt = once ? ends[index] : null;
    player.currentTime = starts[index];
    play();
  }

  transcript.addEventListener("click", (event) => {
    const line = event.target.closest(".line");
    if (!line || !getSelection().isCollapsed) return;
    if (event.target.closest("a") && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
    seek(indexOf(line), false);
  });
  $("timeline").addEventListener("click", (event) => {
    const svg = event.target.closest("svg");
    if (!svg || player.hidden) return;
    event.preventDefault();
    const box = svg.getBoundingClientRect();
    stopAt = null;
    player.currentTime = ((event.clientX - box.left) / box.width) * duration;
    lineOf(lineAt(player.currentTime))?.scrollIntoView({ block: "center" });
  });
  $("speed").addEventListener("change", (event) => {
    player.playbackRate = Number(event.target.value);
  });
  $("once").addEventListener("click", () => seek(Math.max(current, 0), true));

  // Search: the browser paints the matches, so the lines stay as they are.
  const box = $("q");
  const painted = "highlights" in CSS;
  let hits = [];
  let hit = -1;

  function removeMarks() {
    for (const mark of transcript.querySelectorAll("mark")) {
      const parent = mark.parentNode;
      mark.replaceWith(...mark.childNodes);
      parent.normalize();
    }
    $("hit-list")?.remove();
  }

  function search(query) {
    removeMarks();
    hits = [];
    hit = -1;
    for (const old of marks.querySelectorAll("a")) old.remove();
    if (query) {
      const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
      let index = -1;
      for (const line of transcript.getElementsByClassName("line")) {
        index++;
        const text = line.lastChild;
        for (const found of (text.data ?? "").matchAll(pattern)) {
          const end = found.index + found[0].length;
          const range = new StaticRange({
            startContainer: text, startOffset: found.index, endContainer: text, endOffset: end,
          });
          hits.push({ index, range });
        }
      }
    }
    CSS.highlights.set("hits", new Highlight(...hits.map((each) => each.range)));
    CSS.highlights.delete("hit");
    const seen = new Set();
    for (const each of hits) {
      const x = Math.min(Math.floor((starts[each.index] / duration) * columns), columns - 2);
      if (seen.has(x)) continue;
      seen.add(x);
      const link = document.createElementNS(SVG, "a");
      link.setAttribute("href", `#${lineOf(each.index).id}`);
      link.setAttribute("tabindex", "-1");
      link.append(svgRect({ class: "mark", x, width: 2, height: 10 }));
      marks.append(link);
    }
    $("match-tools").hidden = !query;
    $("match-count").textContent = query ? `${hits.length ? "–" : "0"} of ${hits.length}` : "";
    const address = new URL(location.href);
    if (query) address.searchParams.set("q", query);
    else address.searchParams.delete("q");
    history.replaceState(null, "", address);
  }

  function go(step) {
    if (!hits.length) return;
    stopFollowing();
    if (hit < 0) {
      const place = firstInView();
      const first = hits.findIndex((each) => each.index >= place);
      hit = step > 0 ? Math.max(first, 0) : hits.length - 1;
    } else {
      hit = (hit + step + hits.length) % hits.length;
    }
    const found = hits[hit];
    CSS.highlights.set("hit", new Highlight(found.range));
    lineOf(found.index).scrollIntoView({ block: "center" });
    $("match-count").textContent = `${hit + 1} of ${hits.length}`;
  }

  if (painted) {
    document.body.classList.add("finds");
    let waiting = 0;
    box.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => search(box.value.trim()), 150);
    });
    $("search").addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(waiting);
      const query = box.value.trim();
      if (new URL(location.href).searchParams.get("q") !== query || !hits.length) search(query);
      go(1);
    });
    $("next-match").addEventListener("click", () => go(1));
    $("previous-match").addEventListener("click", () => go(-1));
    if (box.value) search(box.value.trim());
  }

  // Keys: single letters without modifiers, so no browser's shortcut is taken.
  const typing = (element) => element.closest("input, select, textarea, [contenteditable], dialog");
  const help = $("help");
  const useKeys = $("use-keys");
  const remember = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("keys") !== "off";
      localStorage.setItem("keys", value ? "on" : "off");
    } catch {
      // The browser keeps nothing: the choice holds for this page.
    }
    return true;
  };
  useKeys.checked = remember();
  useKeys.addEventListener("change", () => remember(useKeys.checked));
  $("keys").addEventListener("click", () => help.showModal());

  const speed = (step) => {
    const choice = $("speed");
    choice.selectedIndex = Math.min(Math.max(choice.selectedIndex + step, 0), choice.options.length - 1);
    player.playbackRate = Number(choice.value);
  };
  const jump = (seconds) => {
    stopAt = null;
    player.currentTime = Math.max(player.currentTime + seconds, 0);
  };
  const KEYS = {
    k: () => (player.paused ? play() : player.pause()),
    j: () => jump(-5),
    l: () => jump(5),
    ",": () => seek(Math.max(current - 1, 0), false),
    ".": () => seek(Math.min(current + 1, starts.length - 1), false),
    r: () => seek(Math.max(current, 0), true),
    "[": () => speed(-1),
    "]": () => speed(1),
    f: () => setFollowing(!following()),
    s: () => box.focus(),
    n: () => go(1),
    p: () => go(-1),
    "?": () => help.showModal(),
  };
  const OF_PLAYER = new Set(["k", "j", "l", "r", "[", "]", "f"]);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const action = KEYS[event.key];
    if (!action || (!useKeys.checked && event.key !== "?")) return;
    if (OF_PLAYER.has(event.key) && player.hidden) return;
    event.preventDefault();
    action();
  });
})();
