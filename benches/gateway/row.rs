//! A row of a table, and the table in Markdown.

use crate::samples::Samples;

/// How a mark that is missed is told.
pub(crate) const MISSED: &str = "MISSED";

/// Columns of a table.
const COLUMNS: usize = 8;

/// One line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) figure: &'static str,
    what: String,
    count: usize,
    typical: String,
    tail: String,
    /// Beside the floor of the same figure.
    ratio: Option<f64>,
    /// How many times better than Jupyter.
    beside_jupyter: Option<f64>,
    pub(crate) marks: Vec<Mark>,
}

/// A value to be reached.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    text: String,
    pub(crate) met: bool,
}

impl Mark {
    fn told(&self) -> String {
        format!("{}: {}", self.text, if self.met { "met" } else { MISSED })
    }
}

/// The unit of a row's values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Given in microseconds, shown in what reads best; less is better.
    Time,
    /// Given in MiB a second; more is better, so the tail is the slow one.
    Rate,
    /// Given in bytes.
    Bytes,
    /// CPU seconds for each GiB of output.
    Cost,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            _ if value.is_nan() => "–".to_owned(),
            Unit::Time if value < 1000.0 => format!("{value:.0} µs"),
            Unit::Time if value < 1e6 => format!("{:.2} ms", value / 1e3),
            Unit::Time => format!("{:.2} s", value / 1e6),
            Unit::Rate => format!("{value:.1} MiB/s"),
            Unit::Bytes if value < 1e5 => format!("{:.1} KiB", value / 1024.0),
            Unit::Bytes => format!("{:.2} MiB", value / f64::from(1 << 20)),
            Unit::Cost => format!("{value:.2} s/GiB"),
        }
    }

    /// How many times better one value is than another.
    pub(crate) fn times_better(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Unit::Rate => ours / theirs,
            _ => theirs / ours,
        }
    }

    /// Which quantile is the bad end.
    fn tail(self) -> f64 {
        match self {
            Unit::Rate => 0.01,
            _ => 0.99,
        }
    }
}

impl Row {
    /// A row of what was measured.
    pub(crate) fn new(what: impl Into<String>, unit: Unit, samples: &Samples) -> Row {
        let tail = samples.quantile(unit.tail());
        Row {
            figure: "",
            what: what.into(),
            count: samples.len(),
            typical: unit.show(samples.p50()),
            tail: if samples.len() > 1 { unit.show(tail) } else { "–".to_owned() },
            ratio: None,
            beside_jupyter: None,
            marks: Vec::new(),
        }
    }

    /// A row of a single value.
    pub(crate) fn value(what: impl Into<String>, unit: Unit, value: f64) -> Row {
        let mut samples = Samples::default();
        samples.push(value);
        Row::new(what, unit, &samples)
    }

    /// Beside the floor.
    pub(crate) fn ratio(mut self, ratio: f64) -> Row {
        self.ratio = Some(ratio);
        self
    }

    /// How many times better than Jupyter.
    pub(crate) fn beside_jupyter(mut self, times: f64) -> Row {
        self.beside_jupyter = Some(times);
        self
    }

    /// Something to be reached, and whether it was.
    pub(crate) fn mark(mut self, text: impl Into<String>, met: bool) -> Row {
        self.marks.push(Mark { text: text.into(), met });
        self
    }

    /// What has to be reached, as it is said beside its row.
    pub(crate) fn missed(&self) -> impl Iterator<Item = String> {
        let missed = self.marks.iter().filter(|mark| !mark.met);
        missed.map(|mark| format!("{}: {}: {}", self.figure, self.what, mark.text))
    }

    fn cells(&self) -> [String; COLUMNS] {
        [
            self.figure.to_owned(),
            self.what.clone(),
            self.count.to_string(),
            self.typical.clone(),
            self.tail.clone(),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.beside_jupyter.map(|times| format!("{times:.1}")).unwrap_or_default(),
            self.marks.iter().map(Mark::told).collect::<Vec<_>>().join("; "),
        ]
    }
}

/// A table in Markdown whose columns stand below each other.
pub(crate) fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let heads = ["figure", "what", "n", "p50", "p99", "× floor", "× Jupyter", "mark"];
    let heads = heads.map(str::to_owned);
    let cells: Vec<[String; COLUMNS]> = rows.map(Row::cells).collect();
    let mut widths = [0; COLUMNS];
    for line in cells.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let rule = widths.map(|width| "-".repeat(width));
    let mut text = String::new();
    for line in [&heads, &rule].into_iter().chain(&cells) {
        for (at, (cell, width)) in line.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            // Numbers to the right, words to the left.
            text += &match at {
                2..=6 => format!("| {pad}{cell} "),
                _ => format!("| {cell}{pad} "),
            };
        }
        text += "|\n";
    }
    text
}
