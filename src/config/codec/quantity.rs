//! Quantities: sizes, counts, durations and cores, exact to the last digit or refused.

use std::path::Path;
use std::time::Duration;

use toml::Value;

use super::{Codec, Form, Raw};

/// The whole-number types a setting may have.
pub(in crate::config) trait Whole: Copy + TryFrom<u64> {
    /// The number as the widest of them.
    fn wide(self) -> u64;
}

impl Whole for u32 {
    fn wide(self) -> u64 {
        self.into()
    }
}

impl Whole for u64 {
    fn wide(self) -> u64 {
        self
    }
}

impl Whole for usize {
    fn wide(self) -> u64 {
        self as u64 // lossless: no target has more than 64 bits
    }
}

/// Bytes.
pub(in crate::config) struct Size<N> {
    pub(in crate::config) min: N,
    pub(in crate::config) max: N,
}

/// What a size's unit stands for, the ones it is written with first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const SIZE_HINT: &str = "write bytes, or a number with a unit such as \"512MiB\" or \"1.5GiB\"";

impl<N: Whole> Codec for Size<N> {
    type Value = N;

    fn read(&self, raw: &Raw, _: &Path) -> Result<N, String> {
        let wrong = |why: &str| format!("{} is not a size{why}: {SIZE_HINT}", raw.quote());
        let text = raw.scalar().ok_or_else(|| wrong(""))?;
        let (number, unit) = split_unit(text);
        let factor = match unit {
            "" => 1,
            unit => match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, factor)) => *factor,
                None if number.is_empty() => return Err(wrong("")),
                None => return Err(wrong(&format!(", because there is no unit \"{unit}\""))),
            },
        };
        let bytes = scale(number, factor).ok_or_else(|| wrong(""))?;
        within(bytes, self.min, self.max, |n| show_size(n).to_string())
    }

    fn show(&self, value: &N) -> Value {
        show_size(value.wide())
    }

    fn form(&self) -> Form {
        Form { metavar: "SIZE", ..Form::default() }
    }
}

/// A size in the largest binary unit that leaves no fraction.
fn show_size(bytes: u64) -> Value {
    let binary = &SIZE_UNITS[..4];
    match binary.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => Value::String(format!("{}{unit}", bytes / factor)),
        None => i64::try_from(bytes).map_or_else(|_| format!("{bytes}B").into(), Value::Integer),
    }
}

/// A number of things.
pub(in crate::config) struct Count<N> {
    pub(in crate::config) min: N,
    pub(in crate::config) max: N,
}

impl<N: Whole> Codec for Count<N> {
    type Value = N;

    fn read(&self, raw: &Raw, _: &Path) -> Result<N, String> {
        let number = raw.scalar().and_then(|text| scale(text, 1));
        let number = number.ok_or_else(|| {
            let (min, max) = (self.min.wide(), self.max.wide());
            format!("{} is not a whole number: write one from {min} to {max}", raw.quote())
        })?;
        within(number, self.min, self.max, |n| n.to_string())
    }

    fn show(&self, value: &N) -> Value {
        Value::Integer(i64::try_from(value.wide()).unwrap_or(i64::MAX))
    }

    fn form(&self) -> Form {
        Form { metavar: "NUMBER", ..Form::default() }
    }
}

/// A span of time, in whole milliseconds.
pub(in crate::config) struct Time {
    pub(in crate::config) min: Duration,
    pub(in crate::config) max: Duration,
}

const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const TIME_HINT: &str = "write a number with a unit such as \"500ms\", \"30s\", \"2m\" or \"1h\"";

impl Codec for Time {
    type Value = Duration;

    fn read(&self, raw: &Raw, _: &Path) -> Result<Duration, String> {
        let wrong = |why: &str| format!("{} is not a duration{why}: {TIME_HINT}", raw.quote());
        let text = raw.scalar().ok_or_else(|| wrong(""))?;
        let (number, unit) = split_unit(text);
        let factor = match TIME_UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None if number.is_empty() => return Err(wrong("")),
            None if unit.is_empty() => return Err(wrong(", because it has no unit")),
            None => return Err(wrong(&format!(", because there is no unit \"{unit}\""))),
        };
        let millis = scale(number, factor).ok_or_else(|| wrong(""))?;
        let millis_of = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (min, max) = (millis_of(self.min), millis_of(self.max));
        within(millis, min, max, |n| show_millis(n).to_string()).map(Duration::from_millis)
    }

    fn show(&self, value: &Duration) -> Value {
        show_millis(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    fn form(&self) -> Form {
        Form { metavar: "DURATION", ..Form::default() }
    }
}

/// A duration in the largest unit that leaves no fraction.
fn show_millis(millis: u64) -> Value {
    let unit =
        TIME_UNITS.iter().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor));
    let (unit, factor) = unit.unwrap_or(&("ms", 1));
    Value::String(format!("{}{unit}", millis / factor))
}

/// Cores, kept as thousandths.
pub(in crate::config) struct Cpus {
    pub(in crate::config) min: u32,
    pub(in crate::config) max: u32,
}

impl Codec for Cpus {
    type Value = u32;

    fn read(&self, raw: &Raw, _: &Path) -> Result<u32, String> {
        let millis = raw.scalar().and_then(|text| scale(text, 1000)).ok_or_else(|| {
            let quote = raw.quote();
            format!("{quote} is not a number of cores: write one such as 2 or 0.5, in thousandths")
        })?;
        within(millis, self.min, self.max, |n| show_cpus(n).to_string())
    }

    fn show(&self, value: &u32) -> Value {
        show_cpus(u64::from(*value))
    }

    fn form(&self) -> Form {
        Form { metavar: "CORES", ..Form::default() }
    }
}

fn show_cpus(millis: u64) -> Value {
    match millis % 1000 {
        0 => Value::Integer((millis / 1000) as i64), // at most u64::MAX / 1000, which fits
        _ => Value::Float(millis as f64 / 1000.0),
    }
}

/// `1.5 GiB` as `1.5` and `GiB`.
fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.strip_prefix(' ').unwrap_or(unit))
}

/// A decimal number times `factor`, exactly; `None` if it is no number, overflows or leaves a rest.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let base = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    let part = part.checked_mul(factor.into())?;
    if !part.is_multiple_of(base) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    whole.checked_add(u64::try_from(part / base).ok()?)
}

/// `number` as the setting's type if it lies in its bounds.
fn within<N: Whole>(number: u64, min: N, max: N, show: fn(u64) -> String) -> Result<N, String> {
    let (low, high) = (min.wide(), max.wide());
    match N::try_from(number) {
        Ok(value) if (low..=high).contains(&number) => Ok(value),
        _ if number < low => Err(format!("{} is too little: at least {}", show(number), show(low))),
        _ => Err(format!("{} is too much: at most {}", show(number), show(high))),
    }
}
