"use strict";
// Hides the rows of the ledger that lack what is typed. Without scripts the field stays hidden.
for (const bar of document.querySelectorAll(".filter")) {
  const field = bar.querySelector("input"), said = bar.querySelector("output");
  const rows = [...bar.parentElement.querySelectorAll("tbody tr")];
  const texts = rows.map(row => row.textContent.toLowerCase());
  bar.hidden = false;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row, i) => { row.hidden = !texts[i].includes(wanted); shown += !row.hidden; });
    said.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
  });
}
