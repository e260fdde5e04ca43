//! docs/adversarial.md, which the rows of the suite are written into.

use libtest_mimic::Trial;

use crate::MATRIX;

const BEGIN: &str = "<!-- rows: begin -->\n";
const END: &str = "<!-- rows: end -->";

/// Fails when the document does not list the rows as they are.
pub(crate) fn trial() -> Trial {
    Trial::test("the_document_lists_every_row", || {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/adversarial.md");
        let written = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let (head, rest) =
            written.split_once(BEGIN).ok_or("docs/adversarial.md has no place for rows")?;
        let (_, tail) = rest.split_once(END).ok_or("docs/adversarial.md has no end of its rows")?;
        let wanted = format!("{head}{BEGIN}{}{END}{tail}", rows());
        if std::env::var_os("CELLGATE_TEST_UPDATE").is_some() {
            std::fs::write(path, &wanted).map_err(|error| format!("{path}: {error}"))?;
        } else if written != wanted {
            let again = "CELLGATE_TEST_UPDATE=1 cargo test --test adversarial the_document";
            return Err(format!("run {again}").into());
        }
        Ok(())
    })
}

fn rows() -> String {
    let all: usize = MATRIX.iter().map(|(_, cases, _)| cases.len()).sum();
    let mut text =
        format!("{all} rows.\n\n| boundary | what comes | what a user sees | backends |\n");
    text += "| --- | --- | --- | --- |\n";
    for (boundary, cases, backends) in MATRIX {
        let backends: Vec<String> = backends.iter().map(|b| format!("`{}`", b.name())).collect();
        for case in *cases {
            let what = case.name.replace('_', " ");
            text += &format!("| {boundary} | {what} | {} | {} |\n", case.sees, backends.join(" "));
        }
    }
    text
}
