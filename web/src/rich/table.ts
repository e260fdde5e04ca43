// Tables: sortable by their headings, in pages, with a header row that stays.

import { h } from "../dom.js";
import { asMarkdown, asText, cellText, isNumeric, missing, partOf, sizeOf, sorted } from "../pure/table.js";
import type { Direction, Table } from "../pure/table.js";

const PAGE = 50; // rows

export function tableView(table: Table): { element: HTMLElement; plain: string; markdown: string } {
  let order: { column: string; direction: Direction } | null = null;
  let rows = table.rows;
  let shown = Math.min(PAGE, rows.length);
  const body = h("tbody");
  const size = sizeOf(table);
  const part = partOf(table);
  const caption = h("caption", { className: "unseen", textContent: `Table of ${size}. The headings sort${part ? ` within ${part}` : ""}.` });
  const headings = table.columns.map((column) => {
    const button = h("button", { type: "button", textContent: column.name || "\u00a0", onclick: () => sortBy(column.name) });
    const heading = h("th", { scope: "col" }, button);
    if (!column.name) button.setAttribute("aria-label", "Column without a name");
    if (isNumeric(column)) heading.className = "number";
    return heading;
  });
  const more = h("button", { type: "button", className: "link", onclick: () => { shown = Math.min(rows.length, shown + 10 * PAGE); draw(); } });
  const foot = h("p", { className: "foot" });

  function sortBy(column: string): void {
    const direction: Direction = order?.column === column && order.direction === "ascending" ? "descending" : "ascending";
    order = { column, direction };
    rows = sorted(table, column, direction);
    draw();
  }

  function draw(): void {
    for (const [at, column] of table.columns.entries()) {
      const sort = order?.column === column.name ? order.direction : null;
      if (sort) headings[at]!.setAttribute("aria-sort", sort);
      else headings[at]!.removeAttribute("aria-sort");
    }
    body.replaceChildren(...rows.slice(0, shown).map((row) => h("tr", {}, ...table.columns.map((column) => {
      const value = row.values[column.name];
      const cell = column.index ? h("th", { scope: "row" }) : h("td");
      const text = missing(value) ? "–" : column.text(value, row.at);
      cell.textContent = text;
      // All digits, where the column shows fewer.
      if (typeof value === "number" && text !== cellText(value)) cell.title = cellText(value);
      const kinds = [isNumeric(column) && "number", missing(value) && "missing"].filter(Boolean);
      cell.className = kinds.join(" ");
      return cell;
    }))));
    const left = rows.length - shown;
    const said = [size, order && part ? `sorted within ${part}` : part && `here are ${part}`, left > 0 && `${shown} shown`];
    foot.replaceChildren(said.filter(Boolean).join(" · "));
    more.textContent = `show ${Math.min(left, 10 * PAGE)} more`;
    if (left > 0) foot.append(" · ", more);
  }

  draw();
  const scroller = h("div", { className: "scroller", tabIndex: 0 },
    h("table", {}, caption, h("thead", {}, h("tr", {}, ...headings)), body));
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", `Table of ${size}`);
  return { element: h("div", { className: "rich table" }, scroller, foot), plain: asText(table), markdown: asMarkdown(table) };
}
