//! Rows, printed as tables in Markdown as soon as a figure is done, and all at once at the end.

use std::fs;

use crate::options::Options;
use crate::samples::Samples;

/// One line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    figure: &'static str,
    what: String,
    count: usize,
    typical: String,
    tail: String,
    /// Beside the floor of the same figure.
    ratio: Option<f64>,
    mark: Option<Mark>,
}

/// A value to be reached.
#[derive(Clone, Debug)]
struct Mark {
    text: String,
    met: bool,
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
            Unit::Bytes => format!("{:.2} MiB", value / f64::from(1 << 20)),
            Unit::Cost => format!("{value:.2} s/GiB"),
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
            mark: None,
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

    /// Something to be reached, and whether it was.
    pub(crate) fn mark(mut self, text: impl Into<String>, met: bool) -> Row {
        self.mark = Some(Mark { text: text.into(), met });
        self
    }

    fn cells(&self) -> [String; 7] {
        [
            self.figure.to_owned(),
            self.what.clone(),
            self.count.to_string(),
            self.typical.clone(),
            self.tail.clone(),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.mark.as_ref().map_or_else(String::new, |mark| {
                format!("{}: {}", mark.text, if mark.met { "met" } else { "MISSED" })
            }),
        ]
    }
}

/// Everything measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    figure: &'static str,
    first_of_figure: usize,
    load_before: String,
    figures: usize,
}

impl Report {
    /// Says what machine this is.
    pub(crate) fn print_machine(&self, options: &Options) {
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("an unknown processor", |(_, model)| model);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!(
            "{cores} cores of {model}, Linux {}, backend {}, interpreter {}{}",
            read("/proc/sys/kernel/osrelease").trim(),
            options.backend,
            options.python.display(),
            if options.quick { ", --quick: THESE ARE NOT FIGURES" } else { "" },
        );
    }

    /// Begins a figure's table.
    pub(crate) fn begin(&mut self, figure: &'static str, question: &str) {
        println!("\n{figure}: {question}");
        self.figure = figure;
        self.first_of_figure = self.rows.len();
        self.load_before = load_average();
    }

    /// Adds a row to the figure begun last.
    pub(crate) fn row(&mut self, mut row: Row) {
        row.figure = self.figure;
        self.rows.push(row);
    }

    /// Says something beside the table.
    pub(crate) fn note(&self, text: &str) {
        println!("  {text}");
    }

    /// Prints the table of the figure begun last.
    pub(crate) fn finish_figure(&mut self) {
        println!("  load average {} before, {} after\n", self.load_before, load_average());
        print_table(&self.rows[self.first_of_figure..]);
        self.figures += 1;
    }

    /// Prints all rows once more if there was more than one figure.
    pub(crate) fn print_summary(&self) {
        if self.figures > 1 {
            println!("\nall figures\n");
            print_table(&self.rows);
        }
        for row in self.rows.iter().filter(|row| row.misses()) {
            println!("MISSED {}: {}", row.figure, row.what);
        }
    }

    /// Whether a mark was missed.
    pub(crate) fn missed(&self) -> bool {
        self.rows.iter().any(Row::misses)
    }
}

impl Row {
    fn misses(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| !mark.met)
    }
}

fn print_table(rows: &[Row]) {
    let heads = ["figure", "what", "n", "p50", "p99", "× floor", "mark"].map(str::to_owned);
    let cells: Vec<[String; 7]> = rows.iter().map(Row::cells).collect();
    let mut widths = [0; 7];
    for line in cells.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |line: &[String; 7]| {
        for (at, (cell, width)) in line.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            // Numbers to the right, words to the left.
            match at {
                2..=5 => print!("| {pad}{cell} "),
                _ => print!("| {cell}{pad} "),
            }
        }
        println!("|");
    };
    print(&heads);
    print(&widths.map(|width| "-".repeat(width)));
    cells.iter().for_each(print);
}

fn load_average() -> String {
    read("/proc/loadavg").split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
