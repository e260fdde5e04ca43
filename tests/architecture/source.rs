//! Reads Rust source well enough to judge it: comments and literals blanked, test items cut, paths
//! found. Not a parser: rustfmt has already brought the code into one shape.

/// Code in which comments, strings and characters are blank; every line stays where it was. All
/// ASCII, so that places in it are places in everything cut from it.
pub(crate) fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            out.push(if chars[at].is_ascii() { chars[at] } else { 'x' });
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn skip(chars: &[char], at: usize) -> usize {
    let here = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    match here(0) {
        '/' if here(1) == '/' => {
            let length = chars[at..].iter().position(|c| *c == '\n');
            length.map_or(chars.len(), |length| at + length)
        }
        '/' if here(1) == '*' => {
            let mut depth = 0;
            let mut end = at;
            while end < chars.len() {
                match (chars[end], chars.get(end + 1)) {
                    ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
                    ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
                    _ => end += 1,
                }
                if depth == 0 {
                    break;
                }
            }
            end
        }
        '"' => quoted(chars, at + 1, '"'),
        // A lifetime has no closing quote right after its first character.
        '\'' if here(1) == '\\' || here(2) == '\'' => quoted(chars, at + 1, '\''),
        'r' if at == 0 || !is_word(chars[at - 1]) || "bc".contains(chars[at - 1]) => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if here(1 + hashes) != '"' {
                return at; // an ordinary name, or a raw one
            }
            let close: Vec<char> = "\"".chars().chain("#".repeat(hashes).chars()).collect();
            let body = at + 2 + hashes;
            let length = chars[body..].windows(close.len()).position(|window| window == close);
            length.map_or(chars.len(), |length| body + length + close.len())
        }
        _ => at,
    }
}

fn quoted(chars: &[char], mut at: usize, close: char) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == close => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The stripped code with the items under `#[cfg(test)]` blank.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(found) = out[from..].find("#[cfg(") {
        let start = from + found;
        let attribute = start + matching(&out[start + 1..], '[', ']') + 1;
        let condition = &out[start..attribute];
        from = attribute;
        if find_word(condition, "test").is_empty() || condition.contains("not(test)") {
            continue;
        }
        let body = out[attribute..].find(['{', ';']).map_or(out.len(), |body| attribute + body);
        let end = match out[body..].starts_with('{') {
            true => body + matching(&out[body..], '{', '}'),
            false => (body + 1).min(out.len()),
        };
        let blank: String =
            out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Length of the bracketed text that `code` starts with, brackets included.
fn matching(code: &str, open: char, close: char) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at + c.len_utf8();
            }
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `pattern` stands in `code` as words of its own, not as a part of others.
pub(crate) fn find_word(code: &str, pattern: &str) -> Vec<usize> {
    let inside = |c: Option<char>, edge: Option<char>| {
        c.is_some_and(is_word) && edge.is_some_and(is_word) // `.unwrap` begins with no word
    };
    let matches = code.match_indices(pattern).map(|(at, _)| at);
    let whole = matches.filter(|at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + pattern.len()..].chars().next();
        !inside(before, pattern.chars().next()) && !inside(after, pattern.chars().next_back())
    });
    whole.collect()
}

/// The first segments that follow `root::`, groups in braces taken apart, each with its place.
pub(crate) fn after_root(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = paths_after_root(code, root)
        .into_iter()
        .filter_map(|(at, path)| Some((at, path.into_iter().next()?)))
        .collect();
    found.dedup();
    found
}

/// The paths that follow `root::`, groups in braces taken apart, each with the place of its first
/// segment.
pub(crate) fn paths_after_root(code: &str, root: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for at in find_word(code, root) {
        // `other::crate_name::…`: here the word is no root. A leading `::` is one.
        let before = code[..at].trim_end();
        if before.strip_suffix("::").is_some_and(|path| path.ends_with(is_word)) {
            continue;
        }
        // The visibility `pub(in crate::module)` uses nothing.
        if before.ends_with("(in") {
            continue;
        }
        let after = &code[at + root.len()..];
        let rest = after.trim_start();
        let Some(path) = rest.strip_prefix("::") else { continue };
        let path_at = code.len() - path.len();
        walk(path, path_at, None, Vec::new(), &mut found);
    }
    found
}

/// Collects the paths that begin at `at` in the code, as [`paths_after_root`] gives them. `first`
/// is the place of the first segment and `before` are the segments that were read already.
fn walk(
    path: &str,
    at: usize,
    first: Option<usize>,
    mut before: Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) {
    let trimmed = path.trim_start();
    let at = at + path.len() - trimmed.len();
    if let Some(group) = trimmed.strip_prefix('{') {
        let group = &group[..matching(trimmed, '{', '}').saturating_sub(2)];
        let mut depth = 0;
        let mut start = 0;
        for (offset, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !group[start..offset].trim().is_empty() {
                        walk(&group[start..offset], at + 1 + start, first, before.clone(), found);
                    }
                    start = offset + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let length = trimmed.find(|c| !is_word(c)).unwrap_or(trimmed.len());
    // A `*` is a segment too: it takes everything.
    let length = length.max(usize::from(trimmed.starts_with('*')));
    let first = first.unwrap_or(at);
    if length > 0 {
        before.push(trimmed[..length].to_owned());
    }
    match trimmed[length..].strip_prefix("::") {
        Some(rest) if length > 0 => walk(rest, at + length + 2, Some(first), before, found),
        _ => found.push((first, before)),
    }
}

/// The paths that begin with `super`, each with its place and how deep it is in modules of the same
/// file.
pub(crate) fn paths_after_super(code: &str) -> Vec<(usize, Vec<String>, usize)> {
    let mut found = Vec::new();
    for (at, _, inline) in supers(code) {
        // The visibilities `pub(super)` and `pub(in super::super)` use nothing.
        let before = code[..at].trim_end();
        if before.ends_with("(in") || before.ends_with("pub(") {
            continue;
        }
        let mut paths = Vec::new();
        walk(&code[at..], at, None, Vec::new(), &mut paths);
        found.extend(paths.into_iter().map(|(at, path)| (at, path, inline)));
    }
    found
}

/// Chains of `super::` as their length, their place and how deep in modules of the same file.
pub(crate) fn supers(code: &str) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for at in find_word(code, "super") {
        if code[..at].trim_end().ends_with("super::") {
            continue; // not the first of its chain
        }
        let mut rest = &code[at..];
        let mut length = 0;
        while let Some(next) = rest.strip_prefix("super") {
            length += 1;
            match next.strip_prefix("::") {
                Some(next) => rest = next,
                None => break,
            }
        }
        found.push((at, length, inline_depth(&code[..at])));
    }
    found
}

/// How many `mod name {` are open at the end of `code`.
fn inline_depth(code: &str) -> usize {
    let mut open = Vec::new();
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                let mut words = code[..at].split_whitespace().rev();
                let _name = words.next();
                open.push(words.next() == Some("mod"));
            }
            '}' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}

/// The line, from 1, on which a place in the code lies.
pub(crate) fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}
