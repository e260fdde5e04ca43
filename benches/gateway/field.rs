//! The field: everybody who takes part in a figure, and how their rows are made.
//!
//! ```text
//!   floor · websocketd · docker run -i · jupyter · cellgate · cellgate, docker · other build
//! ```
//! Who is not installed is named as missing beside the table.

use anyhow::{Context, Result};

use crate::contender::{Contender, Host};
use crate::gateway::Gateway;
use crate::options::Options;
use crate::report::Report;
use crate::rivals::is_installed;
use crate::rivals::jupyter::{JUPYTER, Jupyter};
use crate::rivals::pipe::Around;
use crate::rivals::websocketd::{Mode, WEBSOCKETD, Websocketd};
use crate::row::{Row, Unit};
use crate::samples::Samples;

/// What we want to be beside Jupyter, everywhere.
const TIMES_JUPYTER: f64 = 10.0;

/// One of the field, with a session or process that lives as long as the figure is taken.
pub(crate) struct Runner {
    pub(crate) name: String,
    pub(crate) is_slow: bool,
    pub(crate) contender: Box<dyn Contender>,
}

/// Everybody. Runners end before the servers they run on.
pub(crate) struct Field {
    pub(crate) runners: Vec<Runner>,
    /// Whoever admitted each.
    hosts: Vec<Box<dyn Host>>,
}

/// How one of the field stands beside the others, in the figure's unit.
pub(crate) struct Standing<'a> {
    pub(crate) name: &'a str,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Beside the floor.
    pub(crate) ratio: f64,
    pub(crate) websocketd: Option<f64>,
    /// cellgate with its local backend.
    pub(crate) local: Option<f64>,
}

/// All who can take part, the floor first.
pub(crate) fn hosts(options: &Options, modes: &[Mode]) -> Result<Vec<Box<dyn Host>>> {
    let python = options.python.clone();
    let mut hosts: Vec<Box<dyn Host>> = vec![Box::new(Around::Nothing { python })];
    for mode in modes {
        if let Some(rival) = Websocketd::start(&options.python, *mode)? {
            hosts.push(Box::new(rival));
        }
    }
    if let Some(image) = &options.image {
        hosts.push(Box::new(Around::DockerRun { image: image.clone() }));
    }
    if let Some(python) = &options.jupyter {
        hosts.push(Box::new(Jupyter::start(python)?));
    }
    Ok(hosts)
}

/// Names beside the table whoever cannot take part on this machine.
pub(crate) fn note_missing(options: &Options, report: &mut Report) {
    if !is_installed(WEBSOCKETD) {
        report.note("MISSING: websocketd is not installed");
    }
    if options.image.is_none() {
        report.note("MISSING: docker run and the docker backend, for want of --image");
    }
    if options.jupyter.is_none() {
        report.note("MISSING: Jupyter, for want of --jupyter");
    }
}

impl Field {
    /// Starts everybody.
    pub(crate) fn assemble(
        options: &Options,
        modes: &[Mode],
        report: &mut Report,
    ) -> Result<Field> {
        note_missing(options, report);
        let mut hosts = hosts(options, modes)?;
        for gateway in Gateway::start_all(options)? {
            hosts.push(Box::new(gateway));
        }
        let runners = hosts.iter().map(|host| {
            let name = host.name().to_owned();
            let contender = host.admit().with_context(|| format!("cannot start {name}"))?;
            Ok(Runner { name, is_slow: host.is_slow(), contender })
        });
        Ok(Field { runners: runners.collect::<Result<_>>()?, hosts })
    }

    /// Puts somebody fresh into a place: who waits for minutes without reading answers no pings,
    /// and is given up by servers that send some.
    pub(crate) fn renew(&mut self, place: usize) -> Result<()> {
        let fresh = self.hosts[place].admit();
        let name = &self.runners[place].name;
        let fresh = fresh.with_context(|| format!("cannot start another {name}"))?;
        // Given up already, perhaps; then there is nobody to take leave of.
        std::mem::replace(&mut self.runners[place].contender, fresh).leave().ok();
        Ok(())
    }

    /// Adds a row for each, with `judge` setting the figure's own marks.
    pub(crate) fn add_rows(
        &self,
        report: &mut Report,
        what: &str,
        unit: Unit,
        samples: &[Samples],
        judge: &dyn Fn(&Standing<'_>, Row) -> Row,
    ) {
        let named: Vec<(&str, &Samples)> =
            self.runners.iter().map(|runner| runner.name.as_str()).zip(samples).collect();
        add_rows(report, what, unit, &named, judge);
    }
}

/// As [`Field::add_rows`], for whoever was measured by these names, the floor first.
pub(crate) fn add_rows(
    report: &mut Report,
    what: &str,
    unit: Unit,
    named: &[(&str, &Samples)],
    judge: &dyn Fn(&Standing<'_>, Row) -> Row,
) {
    let p50_of = |wanted: &str| {
        let found = named.iter().find(|(name, samples)| *name == wanted && samples.len() > 0);
        found.map(|(_, samples)| samples.p50())
    };
    let floor = named.first().map_or(f64::NAN, |(_, samples)| samples.p50());
    let (websocketd, local, jupyter) = (p50_of(WEBSOCKETD), p50_of("cellgate"), p50_of(JUPYTER));
    for (name, samples) in named {
        if samples.len() == 0 {
            continue;
        }
        let (p50, p99) = (samples.p50(), samples.p99());
        let standing = Standing { name, p50, p99, ratio: p50 / floor, websocketd, local };
        let label = if what.is_empty() { (*name).to_owned() } else { format!("{what} · {name}") };
        let mut row = judge(&standing, Row::new(label, unit, samples).ratio(p50 / floor));
        if let Some(jupyter) = jupyter
            && *name != JUPYTER
        {
            let times = unit.times_better(p50, jupyter);
            row = row.beside_jupyter(times);
            if name.starts_with("cellgate") && !name.contains("other") {
                row = row.mark(format!("≥ {TIMES_JUPYTER} × Jupyter"), times >= TIMES_JUPYTER);
            }
        }
        report.row(row);
    }
}
