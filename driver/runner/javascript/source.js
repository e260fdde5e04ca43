// A cell's text as V8 evaluates it: `import` as calls of the loader, TypeScript without its types.
//
// V8 evaluates cells as scripts, in which `import` statements are errors and `import()` has no loader. Both are found
// by the parser that comes with Node for its own REPL (acorn), and replaced so that every line stays in its place.

const { createRequire, stripTypeScriptTypes } = require('module');
const path = require('path');
const { pathToFileURL } = require('url');

const LOADER = '__cellgate_import__'; // what `import` becomes
const META = '__cellgate_import_meta__';

let parser; // acorn and its walker; null where Node has them in another place

function install(importModule) {
  const define = (name, get) => Object.defineProperty(globalThis, name, { get, configurable: true });
  const loader = makeLoader(importModule);
  define(LOADER, () => loader);
  define(META, meta);
}

/** The text to evaluate. What is no JavaScript is left as it is: V8 says best what is wrong. */
function prepare(code) {
  const mayBeTyped = stripTypeScriptTypes !== undefined;
  if (!mayBeTyped && !/\bimport\b/.test(code)) return code;
  const tree = parse(code);
  if (tree) return /\bimport\b/.test(code) ? replaceImports(code, tree) : code;
  const stripped = mayBeTyped ? withoutTypes(code) : undefined;
  if (stripped === undefined) return code;
  const strippedTree = parse(stripped);
  return strippedTree ? replaceImports(stripped, strippedTree) : stripped;
}

function withoutTypes(code) {
  const { emitWarning } = process;
  process.emitWarning = () => {}; // that it is experimental
  try {
    return stripTypeScriptTypes(code);
  } catch {
    return undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** The syntax tree; undefined if the code is wrong or there is no parser, and `failed` is told why. */
function parse(code, failed) {
  const options = {
    ecmaVersion: 'latest', sourceType: 'module', allowAwaitOutsideFunction: true,
    allowImportExportEverywhere: false, allowHashBang: true,
  };
  for (const sourceType of ['script', 'module']) {
    try {
      return tools()?.parse(code, { ...options, sourceType });
    } catch (error) {
      if (sourceType === 'module') failed?.(error);
    }
  }
  return undefined;
}

function tools() {
  if (parser === undefined) {
    try {
      const { parse: parseCode } = require('internal/deps/acorn/acorn/dist/acorn');
      const { full } = require('internal/deps/acorn/acorn-walk/dist/walk');
      parser = { parse: parseCode, full };
    } catch {
      parser = null;
    }
  }
  return parser;
}

function replaceImports(code, tree) {
  const edits = [];
  tools().full(tree, (node) => {
    if (node.type === 'ImportExpression') edits.push([node.start, node.start + 'import'.length, LOADER]);
    if (node.type === 'MetaProperty' && node.meta.name === 'import') edits.push([node.start, node.end, META]);
    if (node.type === 'ImportDeclaration') edits.push([node.start, node.end, statement(node, code)]);
  });
  edits.sort((one, other) => other[0] - one[0]);
  return edits.reduce((text, [start, end, by]) => text.slice(0, start) + by + text.slice(end), code);
}

/** What an `import` statement becomes, with as many lines. */
function statement(node, code) {
  const names = [];
  const properties = [];
  let namespace;
  for (const { type, imported, local } of node.specifiers) {
    if (type === 'ImportNamespaceSpecifier') {
      namespace = local.name;
      continue;
    }
    const name = type === 'ImportDefaultSpecifier' ? 'default' : (imported.name ?? imported.value);
    names.push(name);
    properties.push(`${JSON.stringify(name)}: ${local.name}`);
  }
  const attributes = (node.attributes ?? []).map(({ key, value }) => `${JSON.stringify(key.name ?? key.value)}: ${value.raw}`);
  const options = attributes.length ? `{ with: { ${attributes.join(', ')} } }` : 'undefined';
  const loading = `await ${LOADER}(${node.source.raw}, ${options}, ${JSON.stringify(names)})`;
  const lines = '\n'.repeat(code.slice(node.start, node.end).split('\n').length - 1);
  const parts = [];
  if (namespace) parts.push(`const ${namespace} = ${loading};`);
  if (properties.length) parts.push(`const { ${properties.join(', ')} } = ${namespace ?? loading};`);
  return `${parts.join(' ') || `${loading};`} undefined;${lines}`;
}

/** Loads a module as an `import` in the working directory does, and checks that it has the names. */
function makeLoader(importModule) {
  return async (specifier, options, names = []) => {
    const namespace = await importModule(resolve(String(specifier)), options);
    for (const name of names) {
      if (!(name in namespace)) {
        throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
      }
    }
    return namespace;
  };
}

function resolve(specifier) {
  if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, directory()).href;
  return specifier;
}

function directory() {
  return pathToFileURL(process.cwd() + path.sep);
}

function meta() {
  const dirname = process.cwd();
  const filename = path.join(dirname, 'cell.mjs');
  const url = pathToFileURL(filename).href;
  const resolveFrom = (specifier) => {
    const found = createRequire(filename).resolve(specifier);
    return path.isAbsolute(found) ? pathToFileURL(found).href : found;
  };
  return { dirname, filename, url, resolve: resolveFrom };
}

module.exports = { install, prepare, parse, LOADER, META };
