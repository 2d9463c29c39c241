// Every page: times in the reader's zone, menus that close, and lists that are renewed.
// Everything that scripts do is an addition: without them, pages are read, searched and changed.

export const $ = (id) => document.getElementById(id);

export function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}
showTimes(document);

for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// A browser may show a page again as it was left: a list of then, or names that have changed since.
addEventListener("pageshow", (event) => {
  if (event.persisted && !$("transcript")) location.reload();
});
