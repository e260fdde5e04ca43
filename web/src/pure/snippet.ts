// The HTML that puts code on a web page.

/** A cell's code, and what it is written in unless that is the template's first language. */
export interface Code { code: string; language?: string }

export interface Published { gateway: string; key: string; template: string | null; title: string }

const escaped = (text: string) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");

function attributes(values: Record<string, string | null>): string {
  return Object.entries(values).filter(([, value]) => value !== null).map(([name, value]) => ` ${name}="${escaped(value!)}"`).join("");
}

/** One element a cell, in one session if the key lets them share it; else one element with all code of a language. */
export function snippetOfCells(codes: Code[], { gateway, key, template }: Published, sharing: boolean): string {
  const apart = sharing && codes.length > 1;
  const joined = [...new Set(codes.map(({ language }) => language))].map((language): Code => ({
    code: codes.filter((one) => one.language === language).map(({ code }) => code).join("\n\n"), ...(language !== undefined && { language }),
  }));
  const cells = (apart ? codes : joined.length > 0 ? joined : [{ code: "" } as Code]).map(({ code, language }) => {
    const open = `<cellgate-cell${attributes({ key, template, language: language ?? null, session: apart ? "page" : null })}>`;
    // In a script the code stands as it is, unless it would end the script.
    const text = /<\/script|<!--/i.test(code) ? `<pre>\n${escaped(code)}\n</pre>` : `<script type="text/${language === undefined ? "python" : "plain"}">\n${code}\n</script>`;
    return `${open}${text}</cellgate-cell>`;
  });
  return [`<script type="module" src="${escaped(new URL("embed.js", gateway).href)}"></script>`, ...cells].join("\n");
}

/** `code`: the cells as a link holds them. */
export function snippetOfFrame(code: string, cells: number, { gateway, key, template, title }: Published): string {
  const url = new URL(gateway);
  for (const [name, value] of Object.entries({ embed: "1", key, template, cells: cells > 1 ? "all" : null })) if (value) url.searchParams.set(name, value);
  url.hash = `code=${code}`;
  return `<iframe${attributes({ src: url.href, title, width: "100%", height: "400", allow: "clipboard-write" })}></iframe>`;
}
