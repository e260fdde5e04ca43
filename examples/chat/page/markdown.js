// Simple Markdown of a model's text, as DOM nodes: paragraphs, headings, lists, quoted code, `code`, **bold** and *slanted*.
// Text stays text: no HTML, no links, no pictures.

/** The nodes of a text, which need not be whole yet. */
export function markdown(text) {
  const nodes = [];
  let paragraph = [];
  const end = () => {
    if (paragraph.length > 0) nodes.push(element("p", inline(paragraph.join("\n"))));
    paragraph = [];
  };
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const [, heading] = /^#{1,6}\s+(.*)/.exec(line) ?? [];
    const item = listItem(line);
    if (/^\s*```/.test(line)) {
      end();
      const begin = at + 1;
      while (at + 1 < lines.length && !/^\s*```/.test(lines[at + 1])) at += 1;
      nodes.push(element("pre", [element("code", [lines.slice(begin, at + 1).join("\n")])], { tabIndex: 0 }));
      at += 1;
    } else if (heading !== undefined) {
      end();
      nodes.push(element("p", [element("strong", inline(heading))]));
    } else if (item) {
      end();
      const last = nodes.at(-1);
      const list = last?.tagName === item.tag ? last : element(item.tag, [], item.tag === "OL" ? { start: item.number } : {});
      if (list !== last) nodes.push(list);
      list.append(element("li", inline(item.text)));
    } else if (line.trim() === "") end();
    else paragraph.push(line);
  }
  end();
  return nodes;
}

function listItem(line) {
  const [, mark, text] = /^\s*([-*+]|\d{1,9}[.)])\s+(.*)/.exec(line) ?? [];
  if (!mark) return undefined;
  return { tag: /\d/.test(mark) ? "OL" : "UL", number: Number.parseInt(mark, 10), text };
}

function inline(text) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(/(?<!`)(`+)(?!`)([^\n]+?)(?<!`)\1(?!`)|\*\*(\S(?:.*?\S)?)\*\*|\*(\S(?:[^*\n]*?\S)?)\*/g)) {
    nodes.push(text.slice(at, match.index));
    const [, , code, bold, slanted] = match;
    nodes.push(code !== undefined ? element("code", [code]) : bold !== undefined ? element("strong", inline(bold)) : element("em", [slanted]));
    at = match.index + match[0].length;
  }
  return [...nodes, text.slice(at)];
}

/** Makes an element with children and properties. */
export function element(tag, children = [], properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
