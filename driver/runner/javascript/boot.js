// What `node -e` is given: loads the runner's modules and calls the main one.
//
// The modules are in a read-only memory file on descriptor 5 (`name_len u16, name, source_len u32, source`, little
// endian, repeated), so a sandbox needs no files of ours.
(() => {
  const fs = require('fs');
  const vm = require('vm');

  const SOURCES_FD = 5;
  if (Number(process.versions.node.split('.')[0]) < 20) {
    fs.writeSync(2, `cellgate needs Node 20 or newer; this is ${process.versions.node}\n`);
    process.exit(1);
  }

  /** The source of each module by its name. */
  function readSources() {
    const size = fs.fstatSync(SOURCES_FD).size;
    const data = Buffer.alloc(size);
    fs.readSync(SOURCES_FD, data, 0, size, 0);
    const sources = {};
    for (let at = 0; at < size; ) {
      const nameEnd = at + 2 + data.readUInt16LE(at);
      const start = nameEnd + 4;
      const end = start + data.readUInt32LE(nameEnd);
      sources[data.toString('utf8', at + 2, nameEnd)] = data.toString('utf8', start, end);
      at = end;
    }
    return sources;
  }

  const sources = readSources();
  const loaded = {};

  /** What the module of this name exports. It is executed once. */
  function load(name) {
    if (name in loaded) return loaded[name].exports;
    const module = (loaded[name] = { exports: {} });
    const text = `(function (require, load, module, sources) {${sources[name]}\n})`;
    const run = new vm.Script(text, { filename: `cellgate:${name}` }).runInThisContext();
    run(require, load, module, sources);
    return module.exports;
  }

  // Only code that Node itself loads may call `import`: that of the runner's modules and of cells may not.
  const importModule = (name, options) => (options === undefined ? import(name) : import(name, options));
  load('main').main(importModule);
})();
