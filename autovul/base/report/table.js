// The page is complete without this: it makes tables sortable and opens a record that a link points to.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const first = header.classList.contains("n") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = header.getAttribute("aria-sort") === first ? other : first;
      for (const cell of header.parentNode.cells) cell.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", order);
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
      const missing = (text) => text === "" || text === "\u2013";
      const compare = (a, b) => {
        if (missing(a) || missing(b)) return missing(a) - missing(b);
        const sign = order === "ascending" ? 1 : -1;
        return sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b, "en", { numeric: true }) : a - b);
      };
      body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
    });
  });
}

function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target.querySelectorAll(":scope > details").length === 1) target.querySelector(":scope > details").open = true;
  target.scrollIntoView();
}
window.addEventListener("hashchange", reveal);
window.addEventListener("beforeprint", () => {
  for (const body of document.querySelectorAll("details.body, details.values")) body.open = true;
});
reveal();
