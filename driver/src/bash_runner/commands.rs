//! The lines that bash is given to execute.

use super::{READS_ON, REPORT, REPORTS};

/// The command with which bash says how a cell ended; `$?` is the cell's.
pub(super) fn report_command(number: u32) -> String {
    format!("builtin printf '{REPORT}%d %d\\n' {number} \"$?\" >&{REPORTS}\n")
}

/// The command with which bash says that it reads on after an interrupted cell.
pub(super) fn reads_on_command(number: u32) -> String {
    format!("builtin printf '{READS_ON}%d\\n' {number} >&{REPORTS}\n")
}

/// The command that runs the code in a bash of its own, with the variables and the arguments of a program.
pub(super) fn as_program(source: &str, variables: &str, program: &serde_json::Value) -> String {
    let words = program["argv"].as_array().into_iter().flatten();
    let mut words = words.filter_map(|word| Some(quoted(word.as_str()?)));
    let name = words.next().map(|name| format!("BASH_ARGV0={name}; ")).unwrap_or_default();
    let arguments: String = words.map(|word| format!(" {word}")).collect();
    let export = if variables.is_empty() { String::new() } else { format!("export {variables}; ") };
    // Without an argument the script has those of bash itself, which has none.
    format!("({export}{name}{source}{arguments})")
}

/// A text as one word of a command.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
