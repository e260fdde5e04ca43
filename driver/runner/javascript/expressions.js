// The expressions that a client sends with a cell, evaluated once the cell has ended well.

const display = load('display');
const errors = load('errors');
const execute = load('execute');
const mime = load('mime');

const MAX_BYTES = 900 << 10; // of all values' JSON: the gateway takes 1 MiB

/** Sends what each expression is worth, in Jupyter's form. */
function answer(cell, expressions) {
  let room = MAX_BYTES;
  const values = {};
  for (const [name, text] of Object.entries(expressions)) {
    let value = valueOf(String(text));
    const size = Buffer.byteLength(JSON.stringify(value));
    if (size > room) {
      const note = `<a value too large to show: ${size} bytes>`;
      value = { status: 'ok', data: { 'text/plain': note }, metadata: {} };
    } else {
      room -= size;
    }
    values[name] = value;
  }
  display.publish(cell, { type: 'user_expressions', values }, true);
}

function valueOf(text) {
  const found = execute.valueOf(`(${text}\n)`, false);
  try {
    if ('value' in found) return { status: 'ok', data: mime.bundle(found.value), metadata: {} };
  } catch (error) {
    found.thrown = error;
  }
  const { thrown } = found;
  const isError = errors.isAnError(thrown);
  return {
    status: 'error',
    ename: isError ? String(thrown.name) : 'Uncaught',
    evalue: isError ? String(thrown.message) : mime.plainText(thrown),
    traceback: errors.linesOf(thrown),
  };
}

module.exports = { answer };
