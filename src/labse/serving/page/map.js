// Map: cosines of two short texts as colours, and a store as dots on a plane.

import { call } from "/page/api.js";
import { $, count, lines, make, onSubmit } from "/page/dom.js";

const MOST_LINES = 40;
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7f5fbf", "#8a8f98"]; // Okabe and Ito, for every eye.

export function startMap() {
  const [heatAlert, cloudAlert] = document.querySelectorAll("#panel-map > .alert");
  $("heat-source").value = "Das ist ein Hund.\nWo ist der Bahnhof?\nEs regnet seit drei Tagen.";
  $("heat-target").value = "Where is the station?\nIt has been raining for three days.\nThat is a dog.\nThe museum is closed.";
  onSubmit($("heat-form"), heatAlert, async (signal) => {
    $("heat").hidden = true;
    const sides = ["source", "target"].map((name) => {
      const side = lines($(`heat-${name}`).value).filter((line) => line.trim());
      if (!side.length) throw new Error(`The ${name} is empty. Write some lines into it.`);
      if (side.length > MOST_LINES) throw new Error(`The ${name} has ${side.length} lines. A picture of more than ${MOST_LINES} cannot be read.`);
      return side;
    });
    const [source, target] = await Promise.all(sides.map((side) => embed(side, signal)));
    drawHeat(sides, source.map((row) => target.map((column) => dot(row, column))));
    $("heat").hidden = false;
    return "The best target of each source is underlined.";
  });
  onSubmit($("cloud-form"), cloudAlert, async (signal) => {
    $("cloud").hidden = true;
    const body = { store: $("cloud-store").value, count: Number($("cloud-count").value) };
    const answer = await call("/map", body, signal);
    drawCloud(answer.points);
    $("cloud").hidden = false;
    return `${count(answer.points.length, "row")} of ${answer.num_rows.toLocaleString("en")}.`;
  });
}

async function embed(texts, signal) {
  const { data } = await call("/v1/embeddings", { input: texts, model: "labse" }, signal);
  return data.map((row) => row.embedding);
}

const dot = (left, right) => left.reduce((sum, value, place) => sum + value * right[place], 0);

function drawHeat([source, target], cosines) {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const label = (value, scope) => make("th", { scope }, make("bdi", { textContent: value.length > 60 ? `${value.slice(0, 60)}…` : value, title: value }));
  const head = make("tr", {}, make("td"), ...target.map((line) => label(line, "col")));
  const rows = cosines.map((row, number) => {
    const best = Math.max(...row);
    return make("tr", {}, label(source[number], "row"), ...row.map((cosine) => {
      const share = Math.max(0, Math.min(1, cosine));
      const shown = make("td", { textContent: cosine.toFixed(2), className: cosine === best ? "best" : "" });
      // From the paper to teal; black or white digits, whichever has the higher contrast.
      const colour = mix(isDark ? [37, 44, 48] : [244, 245, 243], isDark ? [111, 208, 203] : [22, 112, 118], share);
      shown.style.backgroundColor = `rgb(${colour.join(" ")})`;
      shown.style.color = luminance(colour) > 0.179 ? "#000000" : "#ffffff";
      return shown;
    }));
  });
  $("heat").replaceChildren(make("table", { className: "heat" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

const mix = (from, to, share) => from.map((value, place) => Math.round(value + share * (to[place] - value)));

// WCAG 2: relative luminance; at .179 black and white have the same contrast, 4.6.
function luminance(colour) {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function drawCloud(points) {
  const langs = [...points.reduce((numbers, point) => numbers.set(point.lang || "?", (numbers.get(point.lang || "?") || 0) + 1), new Map())]
    .sort((one, other) => other[1] - one[1]).map(([lang]) => lang);
  const colour = (lang) => COLOURS[Math.min(langs.indexOf(lang || "?"), COLOURS.length - 1)];
  const legend = langs.slice(0, COLOURS.length - 1).map((lang) => {
    const mark = make("span", { className: "dot" });
    mark.style.backgroundColor = colour(lang);
    return make("span", {}, mark, lang === "?" ? "no language" : lang);
  });
  if (langs.length >= COLOURS.length) {
    const mark = make("span", { className: "dot" });
    mark.style.backgroundColor = COLOURS.at(-1);
    legend.push(make("span", {}, mark, `${langs.length - COLOURS.length + 1} more`));
  }
  $("cloud-legend").replaceChildren(...legend);

  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 1000 560");
  picture.setAttribute("role", "group");
  picture.setAttribute("tabindex", "0");
  picture.setAttribute("aria-label", `${points.length} rows of the store; arrow keys walk through them`);
  const dots = points.map((point) => {
    const circle = document.createElementNS(SVG, "circle");
    circle.setAttribute("cx", (20 + point.x * 960).toFixed(1));
    circle.setAttribute("cy", (20 + (1 - point.y) * 520).toFixed(1));
    circle.setAttribute("r", points.length > 800 ? "4" : "6");
    circle.setAttribute("fill", colour(point.lang));
    return circle;
  });
  picture.append(...dots);
  let here = -1;
  const show = (place) => {
    if (here >= 0) dots[here].classList.remove("here");
    here = place;
    dots[here].classList.add("here");
    picture.append(dots[here]); // Above its neighbours.
    const point = points[here];
    $("cloud-text").replaceChildren(...(point.lang ? [make("span", { className: "chip", textContent: point.lang }), " "] : []), make("bdi", { textContent: point.text }));
  };
  picture.addEventListener("pointermove", (event) => {
    const place = dots.indexOf(event.target);
    if (place >= 0) show(place);
  });
  picture.addEventListener("pointerdown", (event) => {
    const place = dots.indexOf(event.target);
    if (place >= 0) show(place);
  });
  // From left to right, as the eye goes.
  const walk = points.map((_, place) => place).sort((one, other) => points[one].x - points[other].x);
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = here < 0 ? 0 : walk.indexOf(here) + step;
    show(walk[Math.max(0, Math.min(walk.length - 1, next))]);
  });
  $("cloud-picture").replaceChildren(picture);
}
