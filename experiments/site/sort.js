// Column headings become buttons that sort their table; without this script the tables stand as written.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    if (!heading.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      // Numbers are sought at their top first, words from A.
      const last = heading.getAttribute("aria-sort");
      const numbers = [...table.tBodies[0].rows].some((row) => row.cells[column].dataset.sort !== undefined);
      const first = numbers ? "descending" : "ascending";
      const order = last === null ? first : last === "ascending" ? "descending" : "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      sort(table.tBodies[0], column, order === "ascending" ? 1 : -1);
    });
  });
}

function sort(body, column, sign) {
  const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const rows = [...body.rows].map((row) => ({ row, key: key(row) }));
  rows.sort((a, b) => {
    if (!a.key || !b.key) return !a.key - !b.key; // what has no value stays last
    const [x, y] = [Number(a.key), Number(b.key)];
    return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.key.localeCompare(b.key, "en", { numeric: true }) : x - y);
  });
  body.append(...rows.map(({ row }) => row));
}
