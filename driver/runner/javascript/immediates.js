// Lets a termination end the callback of a `setImmediate`, and not what Node does around it.
//
// Node keeps its queue of immediates in variables that a callback cut off by V8 leaves half changed; it would then fail
// for ever. So such callbacks are called by a script of their own: a termination ends at the script's caller.

const { syncBuiltinESMExports } = require('module');
const timers = require('timers');
const { promisify } = require('util');
const vm = require('vm');

const NAME = '__cellgate_immediate__';
const script = new vm.Script(`${NAME}()`, { filename: 'cellgate:immediate' });

let work; // what the script is to call

function install() {
  const original = timers.setImmediate;
  function setImmediate(callback, ...args) {
    if (typeof callback !== 'function') return original(callback); // says what is wrong with it
    return original(function () {
      work = () => callback.apply(this, args);
      script.runInThisContext({ displayErrors: false });
    });
  }
  Object.defineProperty(setImmediate, promisify.custom, { value: original[promisify.custom] });
  const call = () => {
    const now = work;
    work = undefined;
    now();
  };
  Object.defineProperty(globalThis, NAME, { value: call, configurable: true });
  timers.setImmediate = setImmediate;
  globalThis.setImmediate = setImmediate;
  syncBuiltinESMExports();
}

module.exports = { install };
