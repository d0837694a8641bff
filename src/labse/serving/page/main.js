// The tabs, and what all of them share: which stores there are, which model answers.

import { call } from "/page/api.js";
import { $, make } from "/page/dom.js";
import { startMap } from "/page/map.js";
import { startMine } from "/page/mine.js";
import { startModel } from "/page/model.js";
import { openPairs, startReview } from "/page/review.js";
import { startSearch } from "/page/search.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];

function show(tab, { focus = false } = {}) {
  for (const one of tabs) {
    const isShown = one === tab;
    one.setAttribute("aria-selected", String(isShown));
    one.tabIndex = isShown ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !isShown;
  }
  if (focus) tab.focus();
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  history.replaceState(null, "", `#${tab.id.slice(4)}`);
}

const named = (name) => tabs.find((tab) => tab.id === `tab-${name}`);

for (const [place, tab] of tabs.entries()) {
  tab.addEventListener("click", () => show(tab));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(tabs.at(to % tabs.length), { focus: true });
  });
}
window.addEventListener("hashchange", () => show(named(location.hash.slice(1)) || tabs[0]));

async function listStores() {
  let stores = [];
  try {
    ({ stores } = await call("/stores"));
  } catch {
    // The tabs say what is wrong when they are used.
  }
  for (const id of ["search-store", "cloud-store"]) {
    $(id).replaceChildren(...stores.map((name) => make("option", { value: name, textContent: name })));
  }
  $("no-stores").hidden = stores.length > 0;
  $("search-form").hidden = $("cloud-form").hidden = stores.length === 0;
  return stores;
}

startSearch();
startMine((pairs) => {
  show(named("review"), { focus: true });
  openPairs(pairs, "Pairs from the tab Mine");
});
startReview();
startMap();
startModel();
const wanted = named(location.hash.slice(1));
if (wanted) show(wanted);
const stores = await listStores();
if (!wanted) show(named(stores.length ? "search" : "mine"));
document.body.dataset.ready = "true";
