// Tables in the form `application/vnd.dataresource+json` (Frictionless "Tabular Data Resource").

import { count } from "./words.js";

export interface Column {
  name: string;
  type: string;
  /** Labels the rows; not counted among the columns. */
  index: boolean;
  /** Makes a text of each of its values that is there. */
  text: (value: unknown, row: number) => string;
}

export interface Table {
  columns: Column[];
  /** The rows that were sent, each with its place among them. */
  rows: Row[];
  /** How many rows and columns there are, of which not all need have been sent. */
  total: { rows: number; columns: number };
}

export interface Row { at: number; values: Record<string, unknown> }

/** What the sender says of a table besides the table. */
interface Told { total_rows?: unknown; total_columns?: unknown; precision?: unknown; text?: Record<string, unknown> }

/** Reads the resource, or answers nothing if it is not one. */
export function readTable(value: unknown, metadata: Record<string, unknown> = {}): Table | null {
  const resource = value as Told & { schema?: { fields?: { name?: unknown; type?: string }[]; primaryKey?: string | string[] }; data?: unknown };
  const fields = resource?.schema?.fields;
  if (!Array.isArray(fields) || !Array.isArray(resource.data)) return null;
  const told = (metadata ?? {}) as Told;
  const keys = new Set([resource.schema!.primaryKey ?? []].flat());
  const names = fields.map((field) => String(field.name ?? ""));
  const rows = resource.data.map((row, at): Row => ({
    at, values: Array.isArray(row) ? Object.fromEntries(names.map((name, place) => [name, row[place]])) : row as Record<string, unknown>,
  }));
  const decimals = typeof told.precision === "number" ? told.precision : null;
  const columns = fields.map((field, place): Column => {
    const name = names[place]!;
    const texts = told.text?.[name];
    const form = numbers(rows.map((row) => row.values[name]), decimals);
    return {
      name,
      type: field.type ?? "any",
      index: keys.has(name),
      // The user's own form comes with the numbers, which are there to sort by.
      text: Array.isArray(texts) ? (other, row) => (typeof texts[row] === "string" ? texts[row] : form(other)) : form,
    };
  });
  const number = (...candidates: unknown[]) => candidates.find((one) => typeof one === "number") as number;
  return {
    columns,
    rows,
    total: {
      rows: number(told.total_rows, resource.total_rows, rows.length),
      columns: number(told.total_columns, resource.total_columns, columns.filter((column) => !column.index).length),
    },
  };
}

/** "100,000 rows × 12 columns". */
export function sizeOf({ total }: Table): string {
  return `${count(total.rows, "row")} × ${count(total.columns, "column")}`;
}

/** What of it was sent, where that is not all: "the first 754 of 100,000 rows". */
export function partOf(table: Table): string {
  const { rows, total } = table;
  const columns = table.columns.filter((column) => !column.index).length;
  const parts = [
    rows.length < total.rows && `the first ${rows.length.toLocaleString("en")} of ${count(total.rows, "row")}`,
    columns < total.columns && `the first ${columns.toLocaleString("en")} of ${count(total.columns, "column")}`,
  ];
  return parts.filter(Boolean).join(" and ");
}

export type Direction = "ascending" | "descending";

/** A sorted copy. Numbers as numbers, missing values last in both directions. */
export function sorted(table: Table, column: string, direction: Direction): Row[] {
  const sign = direction === "ascending" ? 1 : -1;
  const collator = new Intl.Collator(undefined, { numeric: true });
  return [...table.rows].sort((a, b) => {
    const [x, y] = [a.values[column], b.values[column]];
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

// Written numbers have few decimals and keep them all. Computed ones have as many as fit into a
// number; of a column with such ones six are shown, as pandas does.
const WRITTEN_DECIMALS = 8;
const COMPUTED_DECIMALS = 6;
const SMALLEST = 1e-4; // smaller ones would have more zeros than digits
const LARGEST = 1e21; // from here on JavaScript itself writes exponents

/** Makes texts of a column's values, its numbers with the same decimals, so that their points stand in line. */
function numbers(values: unknown[], precision: number | null): (value: unknown) => string {
  const plain = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && (value === 0 || (Math.abs(value) >= SMALLEST && Math.abs(value) < LARGEST));
  const needed = (round: (value: number) => number) => values.reduce<number>((most, value) => (plain(value) ? Math.max(most, decimalsOf(round(value))) : most), 0);
  const written = needed((value) => value);
  const most = precision ?? COMPUTED_DECIMALS;
  const decimals = precision === null && written <= WRITTEN_DECIMALS ? written : needed((value) => Number(value.toFixed(most)));
  return (value) => {
    if (plain(value)) return value.toFixed(decimals);
    if (typeof value === "number") return written <= WRITTEN_DECIMALS || !Number.isFinite(value) ? String(value) : String(Number(value.toPrecision(most + 1)));
    return cellText(value);
  };
}

/** Digits behind the point of the shortest text that is this number. */
function decimalsOf(value: number): number {
  const [digits, exponent] = String(value).split("e");
  return Math.max(0, (digits!.split(".")[1] ?? "").length - Number(exponent ?? 0));
}

/** A value as it is, in text, with all its digits. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** As a GitHub-flavoured Markdown table. */
export function asMarkdown(table: Table): string {
  const row = (cells: string[]) => `| ${cells.map((c) => c.replace(/\|/g, "\\|").replace(/\n/g, " ")).join(" | ")} |`;
  const part = partOf(table);
  return [
    row(table.columns.map((c) => c.name)),
    row(table.columns.map((c) => (isNumeric(c) ? "--:" : "---"))),
    ...table.rows.map((r) => row(table.columns.map((c) => taken(c, r)))),
    ...(part ? ["", `(${part})`] : []),
  ].join("\n");
}

/** As tab-separated text, which spreadsheets take from the clipboard. */
export function asText(table: Table): string {
  const line = (cells: string[]) => cells.map((c) => c.replace(/[\t\n]/g, " ")).join("\t");
  const part = partOf(table);
  return [
    line(table.columns.map((c) => c.name)),
    ...table.rows.map((r) => line(table.columns.map((c) => taken(c, r)))),
    ...(part ? [`(${part})`] : []),
  ].join("\n");
}

/** What is taken along has every digit of a number, whatever form it is shown in. */
function taken(column: Column, row: Row): string {
  return cellText(row.values[column.name]);
}
