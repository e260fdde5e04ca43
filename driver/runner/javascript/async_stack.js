// Keeps the process alive where a termination leaves Node's stack of asynchronous calls unbalanced.
//
// Node notes on that stack which callback it has entered, and while there are async hooks (which tell what cell code
// belongs to, up to Node 22) it aborts the process after a callback that was not left in order. A termination leaves
// callbacks so. The two fields that turn the checks on are cleared here, and before each cell the stack is.

const { async_hook_fields: fields, constants, clearAsyncIdStack } = bindings();

function bindings() {
  const { emitWarning } = process;
  process.emitWarning = () => {}; // that it is for Node's own tests
  try {
    return require('internal/test/binding').internalBinding('async_wrap');
  } catch {
    return {}; // a version that has it in another place
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Turns the checks off; an async hook of the user's turns them on again. Call it between two cells. */
function repair() {
  if (fields === undefined || constants === undefined) return;
  fields[constants.kCheck] = 0;
  fields[constants.kTotals] = 0;
  clearAsyncIdStack?.();
}

module.exports = { repair };
