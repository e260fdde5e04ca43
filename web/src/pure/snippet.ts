// The HTML that puts code on a web page.

export interface Published { gateway: string; key: string; template: string | null; title: string }

const escaped = (text: string) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");

function attributes(values: Record<string, string | null>): string {
  return Object.entries(values).filter(([, value]) => value !== null).map(([name, value]) => ` ${name}="${escaped(value!)}"`).join("");
}

/** One element a cell, in one session if the key lets them share it; else one element with all of the code. */
export function snippetOfCells(codes: string[], { gateway, key, template }: Published, sharing: boolean): string {
  const apart = sharing && codes.length > 1;
  const cells = (apart ? codes : [codes.join("\n\n")]).map((code) => {
    const open = `<cellgate-cell${attributes({ key, template, session: apart ? "page" : null })}>`;
    // In a script the code stands as it is, unless it would end the script.
    const text = /<\/script|<!--/i.test(code) ? `<pre>\n${escaped(code)}\n</pre>` : `<script type="text/python">\n${code}\n</script>`;
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
