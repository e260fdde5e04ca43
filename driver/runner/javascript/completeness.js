// Whether a piece of code is complete, so that Enter should run it rather than add a line.

const source = load('source');

/** {"status": "complete" | "incomplete" | "invalid", "indent"?: blanks of the next line}. */
function judge(code) {
  if (code.trim() === '') return { status: 'complete' };
  let wrong;
  if (source.parse(code, (error) => { wrong = error; })) return { status: 'complete' };
  if (!wrong) return { status: 'unknown' }; // there is no parser
  const atEnd = wrong.pos >= code.trimEnd().length;
  const unfinished = /^Unterminated (template|comment)/.test(wrong.message);
  return atEnd || unfinished ? { status: 'incomplete', indent: indentAfter(code) } : { status: 'invalid' };
}

function indentAfter(code) {
  const last = code.trimEnd().split('\n').pop();
  const indent = /^\s*/.exec(last)[0];
  return /[([{]\s*$/.test(last) ? `${indent}  ` : indent;
}

module.exports = { judge };
