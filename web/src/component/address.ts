// The address of the embedded page: where, with what, and the code.

export interface Wanted {
  gateway: string;
  key: string;
  template: string | null;
  /** What the code is written in; nothing: the first language of the template. */
  language: string | null;
  theme: string | null;
  readOnly: boolean;
  code: string;
  setup: string | null;
  /** Random: the frames that have the same share one session. */
  page: string | null;
}

export async function address({ gateway, key, template, language, theme, readOnly, code, setup, page }: Wanted): Promise<string> {
  const url = new URL(gateway);
  const query = { embed: "1", fit: "1", key, template, language, theme, readonly: readOnly ? "1" : null };
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  const fragment = new URLSearchParams({ code: await packed(code) });
  if (setup) fragment.set("setup", setup);
  if (page) fragment.set("page", page);
  url.hash = fragment.toString();
  return url.href;
}

/** As the console has it in links: `v1.` and the deflated JSON list of cells, base64url. */
async function packed(code: string): Promise<string> {
  const stream = new Blob([JSON.stringify([code])]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return "v1." + btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
