// Mine: the pairs of two texts, or the lines of a document beside those of its translation.

import { call, callWithProgress, download } from "/page/api.js";
import { $, cell, count, lines, make, onFile, onSubmit, readText, save, showError, text } from "/page/dom.js";

const EXAMPLE = {
  source: ["Das ist ein Hund.", "Wo ist der Bahnhof?", "Es regnet seit drei Tagen.", "Ich habe heute keinen Hunger."],
  target: ["أين المحطة؟", "The museum is closed.", "It has been raining for three days.", "I am not hungry today.", "That is a dog."],
};
const MOST_ROWS = 2000; // Shown at a time; downloads have all.

let pairs = []; // {score, source: [lines], target: [lines], flags, isPair}
let isAligned = false;

export function startMine(review) {
  const alert = document.querySelector("#panel-mine > .alert");
  for (const side of ["source", "target"]) {
    const area = $(`mine-${side}`);
    const tell = () => {
      const number = lines(area.value).filter((line) => line.trim()).length;
      $(`count-${side}`).textContent = count(number, "line");
    };
    area.addEventListener("input", tell);
    onFile($(`drop-${side}`), $(`file-${side}`), async (file) => {
      try {
        area.value = await readText(file);
        showError(alert, null);
      } catch (error) {
        showError(alert, error);
      }
      tell();
    });
  }
  $("mine-example").addEventListener("click", () => {
    for (const side of ["source", "target"]) {
      $(`mine-${side}`).value = EXAMPLE[side].join("\n");
      $(`mine-${side}`).dispatchEvent(new Event("input"));
    }
    $("mine-margin").value = "absolute";
    $("tmx-source").value = "de";
    $("tmx-target").value = "en";
  });
  for (const choice of document.getElementsByName("mine-kind")) {
    choice.addEventListener("change", () => { $("margin-label").hidden = kind() === "align"; });
  }

  onSubmit($("mine-form"), alert, (signal, status) => findPairs(signal, status));
  $("mine-bound").addEventListener("input", draw);
  $("save-tsv").addEventListener("click", () => save("pairs.tsv", toTsv()));
  $("save-tmx").addEventListener("click", async () => {
    showError(alert, null);
    try {
      const langs = { source_lang: $("tmx-source").value.trim(), target_lang: $("tmx-target").value.trim() };
      if (!langs.source_lang || !langs.target_lang) throw new Error("TMX names both languages. Write them into the two fields, such as de and en.");
      const body = { pairs: kept().map((pair) => [pair.source.join(" "), pair.target.join(" ")]), ...langs };
      save("pairs.tmx", await download("/tmx", body));
    } catch (error) {
      showError(alert, error);
    }
  });
  $("to-review").addEventListener("click", () => review(kept().map((pair, row) => ({
    score: pair.score, source: pair.source.join(" "), target: pair.target.join(" "), line: row + 2,
  }))));
}

const kind = () => document.querySelector('[name="mine-kind"]:checked').value;

async function findPairs(signal, status) {
  $("mine-result").hidden = true;
  const source = lines($("mine-source").value);
  const target = lines($("mine-target").value);
  for (const [name, side] of [["source", source], ["target", target]]) {
    if (!side.some((line) => line.trim())) throw new Error(`The ${name} is empty. Paste lines into it, or open a file.`);
  }
  isAligned = kind() === "align";
  const progress = $("mine-progress");
  let start = null;
  let truncated = 0;
  progress.hidden = false;
  progress.removeAttribute("value");
  try {
    if (isAligned) {
      const answer = await call("/align", { source, target }, signal);
      truncated = answer.truncated;
      pairs = answer.beads.map((bead) => ({ ...bead, flags: [], isPair: bead.source.length > 0 && bead.target.length > 0 }));
    } else {
      const body = { source, target, margin: $("mine-margin").value, stream: true };
      const answer = await callWithProgress("/mine", body, signal, (done, total) => {
        progress.value = total ? done / total : 0;
        status.textContent = `${done.toLocaleString("en")} of ${total.toLocaleString("en")} sentences embedded`;
      });
      truncated = answer.truncated;
      start = answer.start_score;
      pairs = answer.pairs.map((pair) => ({
        score: pair.margin_score, source: [pair.source], target: [pair.target], flags: pair.flags, isPair: true,
      }));
    }
  } finally {
    progress.hidden = true;
  }
  setBound();
  draw();
  $("mine-result").hidden = false;
  const parts = [`${count(pairs.filter((pair) => pair.isPair).length, "pair")}.`];
  if (start !== null) parts.push(`About 90 % of those from ${start} up should be right with the model that comes with labse.`);
  if (truncated) parts.push(`${count(truncated, "sentence")} too long for the model ${truncated === 1 ? "was" : "were"} cut.`);
  return parts.join(" ");
}

function setBound() {
  const scores = pairs.filter((pair) => pair.isPair).map((pair) => pair.score);
  const bound = $("mine-bound");
  const low = scores.reduce((least, score) => Math.min(least, score), Infinity);
  const high = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  $("bound-label").hidden = isAligned || scores.length < 2 || low === high;
  bound.min = Math.floor(low * 1000) / 1000;
  bound.max = Math.ceil(high * 1000) / 1000;
  bound.value = bound.min;
}

const bound = () => ($("bound-label").hidden ? -Infinity : Number($("mine-bound").value));

const kept = () => pairs.filter((pair) => pair.isPair && pair.score >= bound());

function draw() {
  const shown = isAligned ? pairs : kept();
  $("bound-value").textContent = $("bound-label").hidden ? "" : `${bound().toFixed(3)}: ${count(shown.length, "pair")}`;
  const head = make("thead", {}, make("tr", {},
    ...["Score", "Source", "Target"].map((name) => make("th", { scope: "col", textContent: name }))));
  const body = make("tbody", {}, ...shown.slice(0, MOST_ROWS).map(drawPair));
  const table = make("table", { className: "pairs" }, head, body);
  const rest = shown.length - MOST_ROWS;
  const note = rest > 0 ? [make("p", { className: "hint", textContent: `${count(rest, "more pair")} in the downloads.` })] : [];
  $("mine-table").replaceChildren(table, ...note);
}

function drawPair(pair) {
  const score = make("td", { className: "number" }, make("span", { className: "score", textContent: pair.isPair ? pair.score.toFixed(3) : "—" }));
  const sides = [pair.source, pair.target].map((side) => make("td", { className: "text" }, ...side.map((line) => text(line))));
  if (pair.flags.length) sides[1].append(make("p", { className: "flag", textContent: `odd: ${pair.flags.join(", ")}` }));
  return make("tr", { className: pair.isPair ? "" : "alone" }, score, ...sides);
}

function toTsv() {
  const rows = kept().map((pair) => [pair.score.toFixed(4), pair.source.join(" "), pair.target.join(" ")].map(cell).join("\t"));
  return `margin_score\tsource\ttarget\n${rows.map((row) => `${row}\n`).join("")}`;
}
