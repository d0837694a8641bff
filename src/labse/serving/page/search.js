// Search: the nearest rows of a store.

import { call } from "/page/api.js";
import { $, count, make, onSubmit, text } from "/page/dom.js";

export function startSearch() {
  const alert = document.querySelector("#panel-search > .alert");
  $("search-query").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      $("search-form").requestSubmit();
    }
  });
  onSubmit($("search-form"), alert, async (signal) => {
    $("search-hits").replaceChildren();
    const body = {
      store: $("search-store").value,
      query: $("search-query").value,
      k: Number($("search-k").value),
      lang: $("search-lang").value.trim() || null,
      where: $("search-where").value.trim() || null,
    };
    const start = performance.now();
    const { results, truncated } = await call("/search", body, signal);
    const hits = results[0];
    $("search-hits").replaceChildren(...hits.map(drawHit));
    const seconds = ((performance.now() - start) / 1000).toFixed(2);
    const cut = truncated ? " Your sentence was too long and was cut." : "";
    if (!hits.length) return `Nothing fits these filters.${cut}`;
    return `${count(hits.length, "hit")} in ${seconds} s.${cut}`;
  });
}

function drawHit(hit) {
  const bar = make("i");
  bar.style.width = `${Math.round(Math.max(0, Math.min(1, hit.score)) * 100)}%`;
  const facts = [make("span", { textContent: hit.id })];
  if (hit.lang) facts.unshift(make("span", { className: "chip", textContent: hit.lang }));
  for (const [name, value] of Object.entries(hit.metadata)) {
    facts.push(make("span", {}, `${name}: `, make("bdi", { textContent: String(value) })));
  }
  return make("li", {},
    make("span", { className: "score" }, hit.score.toFixed(3), make("span", { className: "meter" }, bar)),
    text(hit.text, "text"),
    make("div", { className: "more" }, ...facts));
}
