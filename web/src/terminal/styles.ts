// Lets xterm.js work where the page's policy allows no inline styles: what it puts into <style> elements goes into
// constructed style sheets, and what it sets as `style` attributes is set as properties, both of which are allowed.

/** In the place of a <style> element: what is set as its text is in force as a style sheet. */
function sheetElement(create: Document["createElement"]): HTMLElement {
  const element = create("span");
  element.hidden = true;
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  let text = "";
  Object.defineProperty(element, "textContent", {
    get: () => text,
    set: (css: string) => {
      text = css;
      sheet.replaceSync(css);
    },
  });
  return element;
}

/** A span whose attribute `style` is set as properties. */
function styledSpan(create: Document["createElement"]): HTMLElement {
  const span = create("span");
  span.setAttribute = (name, value) => {
    if (name === "style") span.style.cssText = value;
    else Element.prototype.setAttribute.call(span, name, value);
  };
  return span;
}

function makeElement(name: string, options?: ElementCreationOptions): HTMLElement {
  const create = Document.prototype.createElement.bind(document) as Document["createElement"];
  return name === "style" ? sheetElement(create) : name === "span" ? styledSpan(create) : create(name, options);
}

/** The document, as xterm.js gets it by its option `documentOverride` and, from `build.mjs`, in the place of the global one. */
export const strictDocument: Document = new Proxy(document, {
  get(target, property) {
    if (property === "createElement") return makeElement;
    const value = Reflect.get(target, property, target) as unknown;
    return typeof value === "function" ? value.bind(target) : value;
  },
});

/**
 * Calls `open`, for whose time the document itself makes elements in this way: the scroll bar of xterm.js 6 takes
 * `window.document`.
 */
export function withStrictDocument(open: () => void): void {
  document.createElement = makeElement as Document["createElement"];
  try {
    open();
  } finally {
    // The method of the prototype is in force again.
    delete (document as Partial<Document>).createElement;
  }
}
