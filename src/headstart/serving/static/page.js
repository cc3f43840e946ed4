// Asks for each picture by itself, two at a time, and puts in what the server has rendered.
"use strict";
const form = document.getElementById("ask");
const field = document.getElementById("file");
const answers = document.getElementById("answers");
const progress = document.getElementById("progress");
const files = new WeakMap(); // the file behind each answer
const waiting = [];
let busy = 0, done = 0, all = 0;

function parsed(text) {
  const found = new DOMParser().parseFromString(text, "text/html");
  return document.importNode(found.body, true);
}

function revealed(node) {
  for (const hidden of node.querySelectorAll(".scripted")) hidden.hidden = false;
  return node;
}

function told(words, name) {
  const article = document.createElement("article");
  article.className = "answer error";
  const inside = document.createElement("div");
  inside.className = "words";
  for (const [kind, text, look] of [["h2", "No answer", ""], ["p", words, "decision"], ["p", name, "file"]]) {
    const part = document.createElement(kind);
    part.textContent = text;
    part.className = look;
    inside.append(part);
  }
  article.append(inside);
  return article;
}

// What the server has rendered, or says in its problem details; `good` is whether it is an answer.
async function posted(where, file, body = new FormData()) {
  if (file) body.append("file", file, file.name || "pasted picture");
  const headers = { "X-Part": "1", "Accept": "text/html" };
  for (let tries = 0; ; tries++) {
    const response = await fetch(where, { method: "POST", body, headers });
    if ([429, 503].includes(response.status) && tries < 5) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await new Promise((go) => setTimeout(go, 1000 * seconds * (1 + Math.random())));
      continue;
    }
    const text = await response.text();
    if ((response.headers.get("Content-Type") || "").startsWith("text/html")) {
      return { good: response.ok, nodes: [...parsed(text).children] };
    }
    const problem = JSON.parse(text);
    return { good: false, nodes: [told(problem.detail, file ? file.name : "")] };
  }
}

async function ask(file, place) {
  let article = null;
  try {
    const large = file.size + 1000 > Number(form.dataset.most); // and what the form adds
    article = large ? told(form.dataset.large, file.name) : (await posted(form.action, file)).nodes[0];
  } catch {
    // no answer, or none that makes sense
  }
  article ??= told(form.dataset.lost, file.name);
  files.set(revealed(article), file);
  place.replaceWith(article);
  return article;
}

function shown(article) {
  const words = form.dataset.progress.replace("{done}", done).replace("{all}", all);
  const said = article ? [...article.querySelectorAll("h2, .decision")].map((part) => part.textContent.trim()) : [];
  const several = all > 1 || done < all;
  progress.classList.toggle("unseen", !several); // one answer is seen below; it is said to who cannot see it
  progress.textContent = several ? words : said.join(": ");
}

async function next() {
  if (busy >= 2 || !waiting.length) return;
  busy++;
  const article = await ask(...waiting.shift());
  busy--;
  done++;
  shown(article);
  next();
}

function take(list) {
  const pictures = [...list];
  if (!pictures.length) return;
  if (done === all) done = all = 0;
  all += pictures.length;
  const places = pictures.map((file) => {
    const place = document.createElement("article");
    place.className = "answer waiting";
    place.textContent = `${form.dataset.waiting} ${file.name}`;
    return place;
  });
  answers.prepend(...places);
  pictures.forEach((file, i) => waiting.push([file, places[i]]));
  shown();
  next();
  next();
}

async function why(button) {
  const article = button.closest("article");
  const place = article.querySelector(".because");
  button.disabled = true;
  place.textContent = form.dataset.waiting;
  try {
    const found = await posted(form.dataset.explanation, files.get(article));
    place.replaceChildren(...found.nodes);
    button.hidden = found.good;
    if (found.good) focused(place);
  } catch {
    place.textContent = form.dataset.lost;
  }
  button.disabled = false;
}

async function corrected(event) {
  event.preventDefault();
  const details = event.target.closest("details");
  const body = new FormData(event.target, event.submitter);
  const buttons = event.target.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  let why = form.dataset.lost;
  try {
    const found = await posted(event.target.action, files.get(details.closest("article")), body);
    if (found.good) {
      details.replaceWith(...found.nodes);
      focused(found.nodes[0]);
      return;
    }
    why = found.nodes[0].querySelector(".decision").textContent;
  } catch {} // the connection was lost
  event.target.querySelector("output")?.remove();
  const said = document.createElement("output");
  said.textContent = why;
  event.target.append(said);
  for (const button of buttons) button.disabled = false;
}

// What has taken the place of a button takes its focus, too.
function focused(node) {
  node.tabIndex = -1;
  node.focus({ preventScroll: true });
}

form.classList.add("scripted-form");
form.querySelector("button").hidden = true;
revealed(form);
field.addEventListener("change", () => { take(field.files); field.value = ""; });
form.addEventListener("submit", (event) => { event.preventDefault(); take(field.files); });
answers.addEventListener("click", (event) => { if (event.target.matches(".why")) why(event.target); });
answers.addEventListener("submit", corrected);
addEventListener("paste", (event) => take(event.clipboardData.files));
addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) form.classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("over");
  take(event.dataTransfer.files);
});
