// Review: people say which pairs are good; the server says what that means for the bound.

import { call } from "/page/api.js";
import { $, cell, count, lines, make, onFile, readText, save, showError } from "/page/dom.js";

const KEYS = { g: "rate-good", b: "rate-bad", s: "rate-skip", e: "rate-edit", u: "rate-undo" };

let pairs = []; // {score, source, target, line}
let order = []; // Rows in the order in which they are rated.
let ratings = []; // {row, label, source, target}: the last two as edited.
let edited = null; // The texts of the pair on show, where they were changed.
let storage = "";
let isAsking = false; // One question at a time; a rating meanwhile asks again.
let isStale = false;

export function startReview() {
  onFile($("drop-review"), $("file-review"), async (file) => {
    try {
      await openPairs(parse(await readText(file), file.name), file.name);
    } catch (error) {
      showError(alertBox(), error);
    }
  });
  $("rate-good").addEventListener("click", () => rate("GOOD"));
  $("rate-bad").addEventListener("click", () => rate("BAD"));
  $("rate-skip").addEventListener("click", () => rate("SKIP"));
  $("rate-undo").addEventListener("click", undo);
  $("rate-edit").addEventListener("click", startEdit);
  $("edit-cancel").addEventListener("click", endEdit);
  $("review-edit").addEventListener("submit", (event) => {
    event.preventDefault();
    edited = { source: $("edit-source").value, target: $("edit-target").value };
    endEdit();
    draw();
  });
  $("review-precision").addEventListener("change", calibrate);
  $("save-rated").addEventListener("click", () => save("rated.tsv", ratedTsv()));
  $("save-accepted").addEventListener("click", () => save("accepted.tsv", acceptedTsv()));
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, textarea, select, dialog");
    const isHere = !$("panel-review").hidden && !$("review-work").hidden;
    if (!isHere || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = KEYS[event.key.toLowerCase()];
    if (button && !$(button).disabled) {
      event.preventDefault();
      $(button).click();
    }
  });
}

const alertBox = () => document.querySelector("#panel-review > .alert");

// A table of labse mine: with a header, or score, source and target in this order.
function parse(content, name) {
  const rows = lines(content.replace(/^\uFEFF/, "")).map((line) => line.split("\t"));
  let places = [0, 1, 2];
  let first = 0;
  const head = rows[0];
  const score = head.includes("margin_score") ? "margin_score" : "score";
  if (head.includes(score)) {
    places = [score, "source", "target"].map((column) => head.indexOf(column));
    if (places.includes(-1)) throw new Error(`${name} needs the columns margin_score, source and target.`);
    first = 1;
  }
  const found = [];
  for (let row = first; row < rows.length; row += 1) {
    const [number, source, target] = places.map((place) => rows[row][place]);
    if (target === undefined || number.trim() === "" || !Number.isFinite(Number(number))) {
      throw new Error(`${name}, line ${row + 1}: expected a score, a source and a target with tabs between, as labse mine writes them.`);
    }
    found.push({ score: Number(number), source, target, line: row + 1 });
  }
  return found;
}

export async function openPairs(found, name) {
  showError(alertBox(), null);
  $("review-work").hidden = true;
  try {
    if (!found.length) throw new Error(`${name} has no pair in it.`);
    ({ order } = await call("/review", { scores: found.map((pair) => pair.score) }));
    pairs = found;
    storage = `labse-review-${await digest(JSON.stringify(pairs))}`;
    ratings = restore();
    edited = null;
    $("review-file").textContent = `${name}: ${count(pairs.length, "pair")}. Ratings stay in this browser until you download them.`;
    $("review-work").hidden = false;
    endEdit();
    draw();
    calibrate();
    $("review-pair").focus();
  } catch (error) {
    showError(alertBox(), error);
  }
}

async function digest(content) {
  // Not crypto.subtle, which plain http on another machine does not have.
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(content)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16);
}

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(storage) || "[]");
    return kept.filter((rating, place) => rating.row === order[place]);
  } catch {
    return [];
  }
}

function keep() {
  try {
    localStorage.setItem(storage, JSON.stringify(ratings));
  } catch {
    showError(alertBox(), new Error("This browser keeps nothing for this page. Download rated.tsv before you close it."));
  }
}

const current = () => pairs[order[ratings.length]];

function rate(label) {
  const pair = current();
  if (!pair) return;
  const { source, target } = edited || pair;
  ratings.push({ row: order[ratings.length], label, source, target });
  edited = null;
  keep();
  endEdit();
  draw();
  calibrate();
}

function undo() {
  if (!ratings.pop()) return;
  edited = null;
  keep();
  endEdit();
  draw();
  calibrate();
}

function startEdit() {
  const shown = edited || current();
  if (!shown) return;
  $("edit-source").value = shown.source;
  $("edit-target").value = shown.target;
  $("review-edit").hidden = false;
  $("review-keys").hidden = $("review-source").hidden = $("review-target").hidden = true;
  $("edit-target").focus();
}

function endEdit() {
  const wasOpen = !$("review-edit").hidden;
  $("review-edit").hidden = true;
  $("review-keys").hidden = $("review-source").hidden = $("review-target").hidden = false;
  if (wasOpen) $("review-pair").focus();
}

function draw() {
  const pair = current();
  const shown = edited || pair;
  $("review-place").textContent = pair ? `Pair ${(ratings.length + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")}` : "All pairs are rated";
  $("review-score").textContent = pair ? `score ${pair.score.toFixed(4)}${edited ? ", edited" : ""}` : "";
  $("review-source").textContent = shown ? shown.source : "Download rated.tsv, and give it to labse calibrate.";
  $("review-target").textContent = shown ? shown.target : "";
  for (const id of ["rate-good", "rate-bad", "rate-skip", "rate-edit"]) $(id).disabled = !pair;
  $("rate-undo").disabled = $("save-rated").disabled = !ratings.length;
  $("save-accepted").disabled = !ratings.some((rating) => rating.label === "GOOD");
  $("review-progress").value = ratings.length / order.length;
}

async function calibrate() {
  isStale = true;
  if (isAsking || !order.length) return;
  isAsking = true;
  try {
    while (isStale) {
      isStale = false;
      await askForBound();
    }
  } catch (error) {
    showError(alertBox(), error);
  } finally {
    isAsking = false;
  }
}

async function askForBound() {
  const recent = ratings.slice(-10000);
  const body = {
    scores: recent.map((rating) => pairs[rating.row].score),
    labels: recent.map((rating) => rating.label),
    precision: Number($("review-precision").value),
  };
  const answer = await call("/calibrate", body);
  const percent = (share) => `${(share * 100).toFixed(0)} %`;
  const numSkipped = ratings.filter((rating) => rating.label === "SKIP").length;
  const facts = [
    ["Rated", `${answer.num_rated}, ${numSkipped} skipped`],
    ["Good", String(answer.num_good)],
    ["Precision", answer.num_rated ? `${percent(answer.precision)} (${percent(answer.interval[0])} to ${percent(answer.interval[1])})` : "—"],
    ["Suggested bound", answer.fit ? answer.fit.min_score.toFixed(4) : "—"],
  ];
  $("review-facts").replaceChildren(...facts.flatMap(([name, value]) => [
    make("dt", { textContent: name }), make("dd", { textContent: value, id: `fact-${name.split(" ").pop().toLowerCase()}` })]));
  $("review-advice").textContent = answer.fit
    ? `From ${answer.fit.min_score.toFixed(4)} up, ${percent(answer.fit.precision)} of the rated pairs are good (${percent(answer.fit.precision_interval[0])} to ${percent(answer.fit.precision_interval[1])}). Use it as labse mine --min-score, or as least score in the tab Mine.`
    : `${answer.reason.charAt(0).toUpperCase()}${answer.reason.slice(1)}.`;
}

// As Python writes it: labse rate goes on with the same file.
const number = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value));

function ratedTsv() {
  return ratings.map((rating) => {
    const pair = pairs[rating.row];
    return `${[number(pair.score), rating.label, pair.source, pair.target, pair.line].map(cell).join("\t")}\n`;
  }).join("");
}

function acceptedTsv() {
  const rows = ratings.filter((rating) => rating.label === "GOOD");
  return `source\ttarget\n${rows.map((rating) => `${cell(rating.source)}\t${cell(rating.target)}\n`).join("")}`;
}
