
"use strict";
// Without this script the page is whole: every finding stands open in the order of the file.
(() => {
  const table = document.querySelector("table");
  if (!table) return;
  const findings = [...table.tBodies];
  const heads = [...table.querySelectorAll("th[data-sort]")];
  const search = document.getElementById("search");
  const rule = document.getElementById("rule");
  const boxes = [...document.querySelectorAll("input[name=severity]")];
  const shown = document.getElementById("shown");
  const none = document.querySelector(".none");
  const text = new Map();

  function textOf(finding) {
    if (!text.has(finding)) text.set(finding, finding.textContent.toLowerCase());
    return text.get(finding);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const severities = boxes.filter((box) => box.checked).map((box) => box.value);
    let count = 0;
    for (const finding of findings) {
      const data = finding.dataset;
      finding.hidden = !(
        severities.includes(data.severity) &&
        (!rule.value || rule.value === data.code) &&
        words.every((word) => textOf(finding).includes(word))
      );
      if (!finding.hidden) count += 1;
    }
    shown.textContent = count === findings.length ? `${count} shown` : `${count} of ${findings.length} shown`;
    table.hidden = count === 0;
    none.hidden = count > 0;
  }

  // Every finding carries its rank in each order, so that sorting compares whole numbers only. The rank by
  // score begins with the highest, which is why its first order reads "descending".
  function sort(head) {
    const key = head.dataset.sort;
    const first = key === "score" ? "descending" : "ascending";
    const second = key === "score" ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === first ? 1 : -1;
    findings.sort((a, b) => sign * (a.dataset[key] - b.dataset[key]));
    table.append(...findings);
  }

  function toggle(finding, open) {
    finding.classList.toggle("open", open);
    const button = finding.querySelector("button");
    button.setAttribute("aria-expanded", String(finding.classList.contains("open")));
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head));
    head.append(button);
  }

  for (const finding of findings) {
    const cell = finding.querySelector(".row");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", finding.querySelector(".detail").id);
    button.append(...cell.childNodes);
    cell.append(button);
    finding.querySelector(".brief").addEventListener("click", () => {
      // Marking text with the mouse is no click.
      if (getSelection().isCollapsed) toggle(finding);
    });
  }

  document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", filter);
  rule.addEventListener("change", filter);
  for (const box of boxes) box.addEventListener("change", filter);
  document.getElementById("reset").addEventListener("click", () => {
    document.querySelector(".tools").reset();
    filter();
    search.focus();
  });

  document.documentElement.classList.add("js");
  const linked = document.getElementById(location.hash.slice(1));
  if (linked && findings.includes(linked)) toggle(linked, true);
  filter();
})();
