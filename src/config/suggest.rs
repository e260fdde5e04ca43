//! Suggests the known name that is nearest to a mistyped one.

/// Names less alike than this are no help; the value clap uses for flags.
const LIKENESS: f64 = 0.8;

/// "did you mean X?" with `prefix` before X, or where to look if nothing is near.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>, prefix: &str) -> String {
    let alike = known.map(|candidate| (likeness(name, &candidate), candidate));
    let best = alike.max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((likeness, best)) if likeness > LIKENESS => format!("did you mean {prefix}{best}?"),
        _ => "`cellgate config` lists what there is".into(),
    }
}

/// How much `name` is like `candidate` or the last part of it: `memory` means `limits.memory`.
fn likeness(name: &str, candidate: &str) -> f64 {
    let last = |text: &str| text.rsplit_once('.').map_or(text.len(), |(_, last)| last.len());
    let tail = |text: &str| text[text.len() - last(text)..].to_owned();
    let whole = strsim::jaro_winkler(name, candidate);
    let flat = strsim::jaro_winkler(name, &candidate.replace('.', "_"));
    // A name in the wrong table is a weaker sign than a whole that is nearly right.
    let part = strsim::jaro_winkler(&tail(name), &tail(candidate)) * 0.95;
    whole.max(flat).max(part)
}

#[cfg(test)]
mod tests {
    use super::nearest;
    use crate::config::settings;

    #[test]
    fn slips_lead_to_the_key_that_was_meant() {
        for (slip, meant) in [
            ("listn", "listen"),
            ("limits.memroy", "limits.memory"),
            ("memory", "limits.memory"),
            ("docker_host", "docker.host"),
            ("limit.timeout", "limits.timeout"),
            ("socket.queue", "session.queue"),
            ("allow_origins", "allow_origin"),
        ] {
            let known = settings::all().map(|setting| setting.key.to_owned());
            assert_eq!(nearest(slip, known, ""), format!("did you mean {meant}?"), "{slip}");
        }
        let known = settings::all().map(|setting| setting.key.to_owned());
        assert!(nearest("zzz", known, "").starts_with("`cellgate config`"));
    }
}
