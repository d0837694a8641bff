// Elements without a word of HTML: text of others is only ever textContent.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// A text whose direction follows from its own letters.
export const text = (value, className = "") => make("p", { dir: "auto", textContent: value, className });

export function showError(section, error) {
  const alert = section;
  alert.hidden = !error;
  alert.textContent = error ? error.message || String(error) : "";
}

// Runs what a form asks for: one at a time, with a way to cancel it and a line that says how it is.
export function onSubmit(form, alert, run) {
  const status = form.querySelector(".status");
  const submit = form.querySelector("button.primary");
  const cancel = form.querySelector("button.cancel");
  let controller = null;
  if (cancel) cancel.addEventListener("click", () => controller && controller.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (controller) return;
    controller = new AbortController();
    showError(alert, null);
    submit.disabled = true;
    if (cancel) cancel.hidden = false;
    status.textContent = "Working …";
    try {
      status.textContent = (await run(controller.signal, status)) || "";
    } catch (error) {
      const isCancelled = error.name === "AbortError";
      status.textContent = isCancelled ? "Cancelled." : "";
      if (!isCancelled) showError(alert, error);
    } finally {
      controller = null;
      submit.disabled = false;
      if (cancel) cancel.hidden = true;
    }
  });
}

export function save(name, content, type = "text/tab-separated-values;charset=utf-8") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const address = URL.createObjectURL(blob);
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

export async function readText(file) {
  if (file.size > 64e6) throw new Error(`${file.name} has more than 64 MB. Use labse mine for it.`);
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${file.name} is no UTF-8 text. Save it as UTF-8 and open it again.`);
  }
}

// A file may be dropped on a place or chosen with an input.
export function onFile(place, input, read) {
  input.addEventListener("change", () => {
    if (input.files.length) read(input.files[0]);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    place.addEventListener(kind, (event) => { event.preventDefault(); place.classList.add("over"); });
  }
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer.files.length) read(event.dataTransfer.files[0]);
  });
}

export const lines = (value) => value.replace(/\r\n?/g, "\n").replace(/\n$/, "").split("\n");

export const cell = (value) => String(value).replace(/[\t\r\n\u0085\u2028\u2029]/g, " ");

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
