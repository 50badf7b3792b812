"use strict";
// Sorting and filtering of the table of results; without a script it is a plain table.
(() => {
  const table = document.getElementById("results");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const search = document.getElementById("search");
  const best = document.getElementById("best");
  const count = document.getElementById("count");
  document.getElementById("filters").hidden = false;
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let visible = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const hit = words.every(word => text.includes(word)) && (!best.checked || row.dataset.best === "true");
      row.hidden = !hit;
      visible += hit;
    }
    count.textContent = `${visible} of ${rows.length} rows`;
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => {
        const cell = row.cells[column];
        if (cell.dataset.key === undefined) return cell.textContent;
        return cell.dataset.key === "" ? null : Number(cell.dataset.key);
      };
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        // Empty cells come last in both directions.
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
  search.addEventListener("input", show);
  best.addEventListener("change", show);
  show();
})();
