//! What was measured: a section for each figure, printed as soon as it is done, and all rows once
//! more at the end.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::row::{MISSED, Row, table};

/// A figure's part of the report.
#[derive(Debug)]
struct Section {
    figure: &'static str,
    question: &'static str,
    began: Instant,
    took: Duration,
    load_before: String,
    load_after: String,
    notes: Vec<String>,
    rows: Vec<Row>,
}

impl Section {
    fn caption(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("; {note}")).collect::<String>();
        format!(
            "load average {} before, {} after {:.0} s{notes}",
            self.load_before,
            self.load_after,
            self.took.as_secs_f64()
        )
    }
}

/// Everything measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    /// Asked once: what is recorded on the way is no change of what is measured.
    commit: String,
    sections: Vec<Section>,
}

impl Report {
    /// An empty one, which says what machine this is.
    pub(crate) fn new(options: &Options) -> Report {
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("an unknown processor", |(_, model)| model);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease");
        let kernel = kernel.trim().split('-').next().unwrap_or_default();
        let machine = format!(
            "{cores} cores of {model}, Linux {kernel}, backend {}, interpreter {}{}",
            options.backend,
            options.python.display(),
            if options.quick { ", --quick: THESE ARE NOT FIGURES" } else { "" },
        );
        println!("{machine}");
        Report { machine, commit: commit(), sections: Vec::new() }
    }

    /// Begins a figure's table.
    pub(crate) fn begin(&mut self, figure: &'static str, question: &'static str) {
        println!("\n{figure}: {question}");
        self.sections.push(Section {
            figure,
            question,
            began: Instant::now(),
            took: Duration::ZERO,
            load_before: load_average(),
            load_after: String::new(),
            notes: Vec::new(),
            rows: Vec::new(),
        });
    }

    /// Adds a row to the figure begun last.
    pub(crate) fn row(&mut self, mut row: Row) {
        if let Some(section) = self.sections.last_mut() {
            row.figure = section.figure;
            section.rows.push(row);
        }
    }

    /// Says something beside the table, once.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if let Some(section) = self.sections.last_mut()
            && !section.notes.contains(&text)
        {
            println!("  {text}");
            section.notes.push(text);
        }
    }

    /// Prints the table of the figure begun last.
    pub(crate) fn finish_figure(&mut self) {
        if let Some(section) = self.sections.last_mut() {
            section.load_after = load_average();
            section.took = section.began.elapsed();
            println!("  {}\n\n{}", section.caption(), table(section.rows.iter()));
        }
    }

    /// Prints all rows once more if there was more than one figure, and every mark.
    pub(crate) fn print_summary(&self) {
        if self.sections.len() > 1 {
            println!("\nall figures\n\n{}", table(self.rows()));
        }
        for missed in self.rows().flat_map(Row::missed) {
            println!("{MISSED} {missed}");
        }
    }

    /// Whether a note says that somebody is missing.
    pub(crate) fn lacks_somebody(&self) -> bool {
        let mut notes = self.sections.iter().flat_map(|section| &section.notes);
        notes.any(|note| note.starts_with("MISSING"))
    }

    /// Whether a mark was missed.
    pub(crate) fn missed(&self) -> bool {
        self.rows().any(|row| row.missed().next().is_some())
    }

    /// The figure that was finished last, and its section in Markdown.
    pub(crate) fn last_section(&self) -> Option<(&'static str, String)> {
        let section = self.sections.last()?;
        let text = format!(
            "### `{}`: {}\n\n{}; commit {}; {}.\n\n{}",
            section.figure,
            section.question,
            self.machine,
            self.commit,
            section.caption(),
            table(section.rows.iter())
        );
        Some((section.figure, text))
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|section| &section.rows)
    }
}

fn load_average() -> String {
    read("/proc/loadavg").split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What was measured, as git calls it.
fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let told = output.ok().filter(|output| output.status.success());
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    told.unwrap_or_else(|| "unknown".to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
