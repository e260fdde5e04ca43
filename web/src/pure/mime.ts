// Which of the forms of a value to show.

import type { MimeBundle } from "../../client/src/protocol.js";

/** From the one that says most to the one that every value has. */
const PREFERENCE: RegExp[] = [
  /^application\/vnd\.plotly\.v1\+json$/,
  /^application\/vnd\.vegalite\.v\d+(\.\d+)*[.+]json$/,
  /^application\/vnd\.vega\.v\d+(\.\d+)*[.+]json$/,
  /^application\/vnd\.dataresource\+json$/,
  /^text\/html$/,
  /^image\/svg\+xml$/,
  /^image\/(png|jpeg|gif|webp|avif|bmp)$/,
  /^video\//,
  /^audio\//,
  /^text\/markdown$/,
  /^text\/latex$/,
  /^application\/javascript$/,
  /^application\/json$/,
  /^text\/plain$/,
];

/** The MIME type to show, or nothing if none is known. */
export function choose(data: MimeBundle): string | undefined {
  const types = Object.keys(data);
  for (const pattern of PREFERENCE) {
    const found = types.find((type) => pattern.test(type) && data[type] !== null && data[type] !== undefined);
    if (found) return found;
  }
  return undefined;
}

/** A value as text: Jupyter's habit of lists of lines is accepted. */
export function asText(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every((part) => typeof part === "string")) return value.join("");
  return JSON.stringify(value, null, 2) ?? "";
}
