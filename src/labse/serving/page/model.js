// Model: what it is, and which languages work, from its card.

import { call } from "/page/api.js";
import { $, count, make, showError } from "/page/dom.js";

export async function startModel() {
  let languages = [];
  try {
    const info = await call("/info");
    drawFacts(info);
    ({ languages } = await call("/card"));
  } catch (error) {
    showError(document.querySelector("#panel-model > .alert"), error);
    return;
  }
  $("model-card").hidden = !languages.length;
  $("no-card").hidden = languages.length > 0;
  $("lang-filter").addEventListener("input", () => drawLanguages(languages));
  drawLanguages(languages);
}

function drawFacts(info) {
  const facts = [
    ["Name", info.model_id],
    ["Width of a vector", info.embedding_size],
    ["Longest sentence", `${info.max_input_length} tokens; longer ones are cut, and that is told`],
    ["Texts of a request", info.max_client_batch_size.toLocaleString("en")],
    ["Lines of a side to mine", info.max_lines.toLocaleString("en")],
    ["Computed by", `${info.runtime}, ${info.model_dtype}`],
    ["labse", info.version],
    ["SHA-256", info.model_sha || "not known"],
  ];
  $("model-facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: String(value) })]));
  $("model-badge").textContent = `model ${info.model_id}, ${info.embedding_size} wide`;
  $("model-badge").hidden = false;
}

function drawLanguages(languages) {
  const wanted = $("lang-filter").value.trim().toLowerCase();
  const shown = languages.filter((one) => one.language.toLowerCase().includes(wanted));
  $("lang-count").textContent = count(shown.length, "language");
  const columns = [...new Set(languages.flatMap((one) => Object.keys(one.scores)))];
  const head = make("tr", {}, ...["Language", ...columns, "Works"].map((name) => (
    make("th", { scope: "col", textContent: name, className: columns.includes(name) ? "number" : "" }))));
  const rows = shown.map((one) => make("tr", {},
    make("td", { textContent: one.language }),
    ...columns.map((column) => make("td", { className: "number", textContent: one.scores[column] ?? "" })),
    make("td", {}, make("span", { className: `chip ${one.verdict.replace(" ", "-")}`, textContent: one.verdict }))));
  $("lang-table").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}
