//! The document that results are kept in: what lies between two comments in it is ours.
//!
//! ```text
//!   <!-- results: begin -->
//!   list of marks that are missed
//!   ### `figure`: question … table      one section for each; a run replaces those it measured
//!   <!-- results: end -->
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::row::MISSED;

const BEGIN: &str = "<!-- results: begin -->\n";
const END: &str = "<!-- results: end -->";

/// What a section begins with, before the figure's name.
const HEAD: &str = "### `";

/// Puts a figure's section into its place in the order of `figures`, and lists anew the marks that
/// all sections say are missed.
pub(crate) fn record(path: &Path, figures: &[&str], figure: &str, section: &str) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| {
        let (results, tail) = rest.split_once(END)?;
        Some((head, results, tail))
    });
    let (head, results, tail) =
        parts.with_context(|| format!("{} has no place for results", path.display()))?;
    let results = replace(results, figures, figure, section);
    fs::write(path, format!("{head}{BEGIN}{results}{END}{tail}"))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn replace(results: &str, figures: &[&str], figure: &str, section: &str) -> String {
    let sections: Vec<String> = results.split(HEAD).skip(1).map(|s| format!("{HEAD}{s}")).collect();
    let of = |figure: &str| {
        let head = format!("{HEAD}{figure}`");
        sections.iter().find(|section| section.starts_with(&head)).map(|s| s.trim_end().to_owned())
    };
    let kept = figures.iter().filter_map(|name| match *name == figure {
        true => Some(section.trim_end().to_owned()),
        false => of(name),
    });
    let sections = kept.collect::<Vec<_>>().join("\n\n");
    let missed: String = sections.lines().filter_map(missed_in).collect();
    let missed = if missed.is_empty() { "No mark is missed.\n" } else { &missed };
    format!("{missed}\n{sections}\n\n")
}

/// What a line of a table says is missed, as an entry of a list.
fn missed_in(line: &str) -> Option<String> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, figure, what, _, p50, p99, _, _, marks, _] = cells[..] else { return None };
    let missed = marks.split("; ").filter_map(|mark| mark.strip_suffix(MISSED));
    let missed: Vec<&str> = missed.map(|mark| mark.trim_end_matches(": ")).collect();
    (!missed.is_empty()).then(|| {
        format!("- {MISSED} `{figure}`, {what}: {} (p50 {p50}, p99 {p99})\n", missed.join("; "))
    })
}
