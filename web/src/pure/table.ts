// Tables in the form `application/vnd.dataresource+json` (Frictionless "Tabular Data Resource").

export interface Column { name: string; type: string; index: boolean }
export interface Table { columns: Column[]; rows: Record<string, unknown>[]; total: number }

/** Reads the resource, or answers nothing if it is not one. */
export function readTable(value: unknown): Table | null {
  const resource = value as { schema?: { fields?: { name?: unknown; type?: string }[]; primaryKey?: string | string[] }; data?: unknown; total_rows?: unknown };
  const fields = resource?.schema?.fields;
  if (!Array.isArray(fields) || !Array.isArray(resource.data)) return null;
  const keys = new Set([resource.schema!.primaryKey ?? []].flat());
  const columns = fields.map((field) => ({
    name: String(field.name ?? ""),
    type: field.type ?? "any",
    index: keys.has(String(field.name)),
  }));
  const rows = resource.data.map((row) => {
    if (!Array.isArray(row)) return row as Record<string, unknown>;
    return Object.fromEntries(columns.map((column, at) => [column.name, row[at]]));
  });
  const total = typeof resource.total_rows === "number" ? resource.total_rows : rows.length;
  return { columns, rows, total };
}

export type Direction = "ascending" | "descending";

/** A sorted copy. Numbers as numbers, missing values last in both directions. */
export function sorted(table: Table, column: string, direction: Direction): Record<string, unknown>[] {
  const sign = direction === "ascending" ? 1 : -1;
  const collator = new Intl.Collator(undefined, { numeric: true });
  return [...table.rows].sort((a, b) => {
    const [x, y] = [a[column], b[column]];
    if (missing(x) || missing(y)) return Number(missing(x)) - Number(missing(y));
    if (typeof x === "number" && typeof y === "number") return sign * (x - y);
    return sign * collator.compare(String(x), String(y));
  });
}

export function missing(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "number" && Number.isNaN(value));
}

export function isNumeric(column: Column): boolean {
  return column.type === "integer" || column.type === "number";
}

/** A cell of the table as text. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(8)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** As a GitHub-flavoured Markdown table. */
export function asMarkdown(table: Table): string {
  const row = (cells: string[]) => `| ${cells.map((c) => c.replace(/\|/g, "\\|").replace(/\n/g, " ")).join(" | ")} |`;
  return [
    row(table.columns.map((c) => c.name)),
    row(table.columns.map((c) => (isNumeric(c) ? "--:" : "---"))),
    ...table.rows.map((r) => row(table.columns.map((c) => cellText(r[c.name])))),
  ].join("\n");
}

/** As tab-separated text, which spreadsheets take from the clipboard. */
export function asText(table: Table): string {
  const line = (cells: string[]) => cells.map((c) => c.replace(/[\t\n]/g, " ")).join("\t");
  return [
    line(table.columns.map((c) => c.name)),
    ...table.rows.map((r) => line(table.columns.map((c) => cellText(r[c.name])))),
  ].join("\n");
}
