//! Answers about values of user code: tables and variables.
//!
//! A runner wrote them, so they are read into their types, which gives them the form that clients
//! are promised. Rows alone are kept as text, once it has been looked through.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::is_false;

/// Fields of `table_reply`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[serde(default)]
pub struct TableAnswer {
    /// Why there is no answer, for people; all other fields are absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The values of rows, in the order of the fields. There may be fewer than asked for: an answer
    /// has at most 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "Array<Array<null | boolean | number | string>>"))]
    pub rows: Option<Rows>,
    /// Rows as CSV, the first part with the names of the fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csv: Option<String>,
    /// Where the next part of the CSV begins; absent with the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub next: Option<u64>,
    /// The first row's place among those that match.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub from: Option<u64>,
    /// Rows of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub total_rows: Option<u64>,
    /// Rows that match the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub matching_rows: Option<u64>,
    /// Texts of the rows' numbers, by fields, where the user asked for a form of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "Record<string, Array<string>>"))]
    pub text: Option<BTreeMap<String, Vec<String>>>,
    /// Of a variable's table: its id, for further questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Of a variable's table: its fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<TableField>>,
    /// Of a variable's table: the names of the fields that are its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// Of a variable's table: how many columns it has, of which not all need be fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub total_columns: Option<u64>,
    /// Of a variable's table: the decimals that the user asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<u32>,
    /// The interpreter could not be asked now.
    #[serde(skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub busy: bool,
}

/// A column of a table, or a level of its index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TableField {
    /// Its name, which no other field has.
    pub name: String,
    /// `boolean`, `integer`, `number`, `datetime`, `duration` or `string`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Rows as JSON text: a list of lists of values that are no lists and no objects.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Rows(Box<RawValue>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rows, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        // A `Scalar` holds nothing, so that looking through rows takes no memory for their values.
        serde_json::from_str::<Vec<Vec<Scalar>>>(raw.get()).map_err(D::Error::custom)?;
        Ok(Rows(raw))
    }
}

/// Reads a value that is no list and no object, and forgets it.
struct Scalar;

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, a boolean, a number or a text")
            }
            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Scalar, E> {
                Ok(Scalar)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Scalar, E> {
                Ok(Scalar)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
                Ok(Scalar)
            }
            fn visit_str<E>(self, _: &str) -> Result<Scalar, E> {
                Ok(Scalar)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Fields of `variables_reply`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[serde(default)]
pub struct VariablesAnswer {
    /// Why there is no answer, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What user code has defined, by name.
    pub variables: Vec<Variable>,
    /// There are more.
    #[serde(skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub more: bool,
    /// The interpreter could not be asked now.
    #[serde(skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub busy: bool,
}

/// A variable of user code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The name of its value's type, or `function`, or `class`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its length, or its length in each dimension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "Array<number>"))]
    pub shape: Option<Vec<u64>>,
    /// Bytes that the value itself takes, without what it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub bytes: Option<u64>,
    /// A short look at the value; may be empty.
    pub preview: String,
    /// It is a table, which the question `table` opens.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub table: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_lists_of_scalars() {
        let read = |rows: &str| {
            serde_json::from_str::<TableAnswer>(&format!("{{\"rows\":{rows}}}")).is_ok()
        };
        for rows in ["[]", "[[]]", r#"[[null, true, -1, 1, 1.5, "x\u00e9"], ["\n"]]"#] {
            assert!(read(rows), "{rows}");
        }
        for rows in ["{}", "[1]", "[[[]]]", "[[{}]]", "[{}]", "\"x\"", "[[1], 2]"] {
            assert!(!read(rows), "{rows}");
        }
    }
}
