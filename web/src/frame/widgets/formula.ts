// Formulas between dollars in the text of widgets, as MathML.

import temml from "temml";

const FORMULA = /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]|(?<!\\)\$((?:\\.|[^$\\])+?)\$|\\\(([\s\S]+?)\\\)/g;

/** Sets the formulas within the text of an element. What cannot be read stays as it is. */
export function typeset(element: HTMLElement): void {
  const texts: Text[] = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) texts.push(walker.currentNode as Text);
  for (const text of texts) {
    if (!/[$\\]/.test(text.data)) continue;
    const parts: (Node | string)[] = [];
    let at = 0;
    for (const found of text.data.matchAll(FORMULA)) {
      const block = found[1] ?? found[2];
      const host = document.createElement("span");
      try {
        temml.render((block ?? found[3] ?? found[4])!, host, { displayMode: block !== undefined, throwOnError: true, trust: false });
      } catch {
        continue;
      }
      parts.push(text.data.slice(at, found.index), host);
      at = found.index + found[0].length;
    }
    if (parts.length > 0) text.replaceWith(...parts, text.data.slice(at));
  }
}
