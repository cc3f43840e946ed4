"use strict";
// The page is complete without this: it sorts tables, shows the images of a cell, and tries thresholds.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const number = text => parseFloat(text.replace(/[^0-9.<>-]/g, "").replace(/[<>]/g, ""));

// --- tables: a click on a heading sorts, another one turns the order around; what has no number stays last ---
const compare = (a, b) => typeof a === "string" ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
for (const table of all("table.sortable")) {
  const body = table.tBodies[0];
  all("thead th", table).forEach(heading => {
    const column = heading.cellIndex, button = document.createElement("button");
    const read = heading.classList.contains("number") ? number : text => text;
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      all("th[aria-sort]", table).forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map(row => ({row, key: read(row.cells[column].textContent.trim())}));
      const [known, unknown] = [false, true].map(none => rows.filter(({key}) => Number.isNaN(key) === none));
      known.sort((a, b) => down ? compare(b.key, a.key) : compare(a.key, b.key));
      body.append(...[...known, ...unknown].map(({row}) => row));
    });
  });
}

// --- gallery: by cell of the matrix, by words, with or without heat ---
const gallery = document.querySelector(".cards");
if (gallery) {
  const cards = all(".card", gallery), bar = document.querySelector(".choices");
  const field = bar.querySelector("input[type=search]"), said = bar.querySelector("output");
  const reset = bar.querySelector("button"), title = document.querySelector("#mistakes-title");
  const texts = cards.map(card => card.textContent.toLowerCase());
  let cell = "", words = "";
  const show = () => {
    const wanted = field.value.trim().toLowerCase();
    let count = 0;
    cards.forEach((card, i) => {
      const there = (cell ? card.dataset.cell === cell : !card.classList.contains("right")) && texts[i].includes(wanted);
      card.hidden = !there;
      count += there;
    });
    said.textContent = `${count} shown${cell ? " of " + words : wanted ? " with these words" : ""}`;
    reset.hidden = !cell && !wanted;
  };
  bar.hidden = false;
  field.addEventListener("input", show);
  reset.addEventListener("click", () => { cell = ""; field.value = ""; show(); field.focus(); });
  all("input[name=heat]", bar).forEach(choice =>
    choice.addEventListener("change", () => { gallery.dataset.heat = choice.value; }));
  all(".matrix a").forEach(link => link.addEventListener("click", event => {
    event.preventDefault();
    cell = link.dataset.cell;
    words = link.getAttribute("aria-label");
    field.value = "";
    show();
    title.tabIndex = -1;
    title.focus({preventScroll: true});
    title.scrollIntoView();
  }));
  show();
}

// --- thresholds and costs ---
for (const panel of all(".slider")) {
  const data = JSON.parse(panel.dataset.counts), steps = data.own[0].length;
  const part = name => panel.querySelector(`[data-part=${name}]`);
  const chosen = part("class"), range = part("threshold"), miss = part("miss"), alarm = part("alarm");
  const sum = counts => counts.reduce((a, b) => a + b, 0);
  const total = sum(data.own[0]) + sum(data.rest[0]);
  const above = counts => { const found = []; let n = 0; for (let i = steps; i >= 0; i--) { n += counts[i] || 0; found[i] = n; } return found; };
  const price = input => Math.max(0, Number(input.value) || 0);
  const quoted = text => `'${text.replaceAll("'", "'\\''")}'`; // for a shell: names are folders' names, anything
  const shown = value => (1000 * value / total).toFixed(value && 1000 * value / total < 10 ? 1 : 0);
  let least = 0;
  const draw = () => {
    const own = above(data.own[chosen.value]), rest = above(data.rest[chosen.value]);
    const t = Number(range.value), a = price(miss), b = price(alarm);
    const cost = own.map((n, i) => (own[0] - n) * a + rest[i] * b);
    least = cost.indexOf(Math.min(...cost));
    part("at").textContent = range.ariaValueText = `${(100 * t / steps).toFixed(1)} %`;
    part("caught").textContent = shown(own[t]);
    part("missed").textContent = shown(own[0] - own[t]);
    part("false").textContent = shown(rest[t]);
    part("cost").textContent = shown(cost[t]);
    part("least").textContent = `${(100 * least / steps).toFixed(1)} % (cost ${shown(cost[least])})`;
    const top = Math.max(...cost, 1), place = (v, i) => `${(100 * i / steps).toFixed(2)},${(38 - 36 * v / top).toFixed(2)}`;
    part("line").setAttribute("points", cost.map(place).join(" "));
    for (const [name, i] of [["here", t], ["best", least]])
      for (const end of ["x1", "x2"]) part(name).setAttribute(end, 100 * i / steps);
    const [wanted, other] = [data.names[chosen.value], data.names[1 - chosen.value]];
    part("command").textContent = data.two && (a !== 1 || b !== 1)
      ? `headstart evaluate RUN --cost ${quoted(`${wanted}:${other}=${a}`)} --cost ${quoted(`${other}:${wanted}=${b}`)}` : "";
  };
  panel.hidden = false;
  [chosen, range, miss, alarm].forEach(input => input.addEventListener("input", draw));
  part("use").addEventListener("click", () => { range.value = least; draw(); });
  draw();
}
