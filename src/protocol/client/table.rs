//! The question `table`: rows of a table that was shown or of a variable, or all of them as CSV.
//!
//! Its texts are bounded here, so that a question that waits holds little. What a name stands for,
//! and whether there is such a column, the interpreter knows.

use serde::{Deserialize, Serialize};

/// Longest id of a table, and longest name of a variable, in bytes.
const NAME_BYTES: usize = 1 << 10; // 1 KiB

/// Longest text to look for, in bytes.
const FILTER_BYTES: usize = 1 << 10; // 1 KiB

/// Most columns to sort by at a time.
const SORT_KEYS: usize = 16;

/// Most rows of one answer.
const ROWS: u64 = 1000;

/// Rows of an answer where the question does not say.
const USUAL_ROWS: u64 = 100;

/// What a client wants to know of a table. Serialized it is what the runner is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableQuestion {
    /// The table.
    #[serde(flatten)]
    pub which: WhichTable,
    /// The first row, counted among those that match.
    pub from: u64,
    /// At most so many rows.
    pub count: u64,
    /// Columns that give the order, the first one decides first.
    pub sort: Vec<SortKey>,
    /// Rows that have this text in one of their values match; all do if it is empty.
    pub filter: String,
    /// What is answered.
    pub format: TableFormat,
}

/// How a question names a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhichTable {
    /// By the id in the metadata of what was shown.
    Table(String),
    /// By a variable.
    Variable(String),
}

/// A column that rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct SortKey {
    /// Its position among the fields, which begin with the index.
    pub column: u32,
    /// Whether the largest value is the first; the smallest is unless told. Missing ones are last.
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub descending: bool,
}

/// What a table is answered as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum TableFormat {
    /// Rows of values.
    #[default]
    Rows,
    /// All rows from `from` on as text, as many as fit into an answer.
    Csv,
}

impl TableQuestion {
    /// Bytes of its texts.
    pub(super) fn bytes(&self) -> usize {
        let (WhichTable::Table(name) | WhichTable::Variable(name)) = &self.which;
        name.len() + self.filter.len() + self.sort.len() * size_of::<SortKey>()
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub(super) struct RawTable {
    /// Repeated in the reply.
    id: String,
    /// The table: `table` in the metadata of a value that was shown.
    table: Option<String>,
    /// In the place of `table`: the name of a variable that holds one.
    variable: Option<String>,
    /// The first row, counted among those that match; 0 if it is absent.
    from: Option<u64>,
    /// At most so many rows, from 1 to 1000; 100 if it is absent.
    count: Option<u64>,
    /// Columns that give the order, at most 16; the first one decides first.
    sort: Option<Vec<SortKey>>,
    /// Rows match that have this text in one of their values, in any case.
    filter: Option<String>,
    /// Whether rows or CSV are answered; rows if it is absent.
    format: Option<TableFormat>,
    /// The interpreter that is asked; the session's first if it is absent.
    interpreter: Option<String>,
}

impl RawTable {
    /// The question's id, whom it asks and the question, or what is wrong with it.
    pub(super) fn checked(self) -> Result<(String, Option<String>, TableQuestion), String> {
        let which = match (self.table, self.variable) {
            (Some(table), None) => WhichTable::Table(table),
            (None, Some(variable)) => WhichTable::Variable(variable),
            _ => return Err("`table` has either `table` or `variable`".to_owned()),
        };
        let (WhichTable::Table(name) | WhichTable::Variable(name)) = &which;
        if name.is_empty() || name.len() > NAME_BYTES {
            return Err(format!("the name of a table has 1 to {NAME_BYTES} bytes"));
        }
        let count = self.count.unwrap_or(USUAL_ROWS);
        if !(1..=ROWS).contains(&count) {
            return Err(format!("`count` is {count}, and must be from 1 to {ROWS}"));
        }
        let sort = self.sort.unwrap_or_default();
        if sort.len() > SORT_KEYS {
            return Err(format!("`sort` has {} columns, of at most {SORT_KEYS}", sort.len()));
        }
        let filter = self.filter.unwrap_or_default();
        if filter.len() > FILTER_BYTES {
            return Err(format!("`filter` has {} bytes, of at most {FILTER_BYTES}", filter.len()));
        }
        let (from, format) = (self.from.unwrap_or(0), self.format.unwrap_or_default());
        Ok((self.id, self.interpreter, TableQuestion { which, from, count, sort, filter, format }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_lists_are_bounded() {
        let check = |fields: serde_json::Value| {
            let mut message = serde_json::json!({"id": "q", "table": "t"});
            message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            serde_json::from_value::<RawTable>(message)
                .unwrap()
                .checked()
                .map(|(_, _, asked)| asked)
        };
        let long = |bytes: usize| "x".repeat(bytes);
        let keys = |count: usize| vec![SortKey { column: 0, descending: false }; count];
        let asked = check(serde_json::json!({
            "table": long(NAME_BYTES), "filter": long(FILTER_BYTES), "sort": keys(SORT_KEYS),
        }));
        let most = NAME_BYTES + FILTER_BYTES + SORT_KEYS * size_of::<SortKey>();
        assert_eq!(asked.unwrap().bytes(), most);
        for fields in [
            serde_json::json!({"table": long(NAME_BYTES + 1)}),
            serde_json::json!({"table": ""}),
            serde_json::json!({"filter": long(FILTER_BYTES + 1)}),
            serde_json::json!({"sort": keys(SORT_KEYS + 1)}),
            serde_json::json!({"count": ROWS + 1}),
        ] {
            let refused = check(fields.clone());
            assert!(refused.is_err(), "{fields}");
        }
    }
}
