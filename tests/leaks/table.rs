//! docs/leaks.md, which the rows of the matrix are written into.

use libtest_mimic::Trial;

use crate::MATRIX;

const BEGIN: &str = "<!-- matrix: begin -->\n";
const END: &str = "<!-- matrix: end -->";

/// Fails when the document does not list the rows as they are.
pub(crate) fn trial() -> Trial {
    Trial::test("the_document_lists_every_row", || {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/leaks.md");
        let written = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let (head, rest) =
            written.split_once(BEGIN).ok_or("docs/leaks.md has no place for rows")?;
        let (_, tail) = rest.split_once(END).ok_or("docs/leaks.md has no end of its rows")?;
        let wanted = format!("{head}{BEGIN}{}{END}{tail}", rows());
        if std::env::var_os("CELLGATE_TEST_UPDATE").is_some() {
            std::fs::write(path, &wanted).map_err(|error| format!("{path}: {error}"))?;
        } else if written != wanted {
            return Err("run CELLGATE_TEST_UPDATE=1 cargo test --test leaks the_document".into());
        }
        Ok(())
    })
}

fn rows() -> String {
    let mut text = "| who | what comes | backends | what people see; what is left |\n".to_owned();
    text += "| --- | --- | --- | --- |\n";
    for (who, cases, backends) in MATRIX {
        let backends: Vec<String> = backends.iter().map(|b| format!("`{}`", b.name())).collect();
        for case in cases {
            let what = case.name.replace('_', " ");
            text += &format!("| {who} | {what} | {} | {} |\n", backends.join(" "), case.sees);
        }
    }
    text
}
