//! Markdown as it is handed on: front matter opened up, every heading a `#` line.
//!
//! Line by line and linear; code fences are left as they are. It does not parse what stands within a line.

/// Returns the title, if the text has one, and the text in light form.
pub(crate) fn light(text: &str) -> (Option<String>, String) {
    let (front, body) = split_front_matter(text);
    let mut out = String::with_capacity(text.len());
    let mut title = None;
    for line in front.unwrap_or_default().lines() {
        match field(line, "title") {
            Some(value) if title.is_none() => title = Some(value),
            _ if line.trim_start().starts_with('#') => {} // a comment, which would read as a heading
            _ => push_line(&mut out, line),
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }

    let mut first_heading = None;
    let mut fence: Option<(char, usize)> = None;
    let mut lines = body.lines().peekable();
    let mut after_blank = true;
    while let Some(line) = lines.next() {
        if let Some((mark, least)) = fence {
            let (length, rest) = run_of(mark, line.trim_start());
            if length >= least && rest.trim().is_empty() {
                fence = None;
            }
            push_line(&mut out, line);
            after_blank = fence.is_none();
            continue;
        }
        if let Some(opened) = opens_fence(line) {
            fence = Some(opened);
            push_line(&mut out, line);
            after_blank = false;
            continue;
        }
        let heading = atx(line).or_else(|| {
            let level = after_blank.then(|| lines.peek().and_then(|below| underline(below))).flatten()?;
            let plain = !line.trim().is_empty()
                && !line.starts_with("    ")
                && !line.trim_start().starts_with(['>', '|', '-', '*', '+', '<']);
            plain.then(|| {
                lines.next();
                (level, line.trim())
            })
        });
        match heading {
            Some((level, words)) => {
                if first_heading.is_none() && !words.is_empty() {
                    first_heading = Some(words.to_owned());
                }
                push_line(&mut out, &format!("{} {words}", "#".repeat(level)));
                after_blank = true;
            }
            None => {
                after_blank = line.trim().is_empty() || underline(line).is_some(); // a rule across the page parts, too
                push_line(&mut out, line);
            }
        }
    }
    (title.or(first_heading), out)
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Splits off what stands between two `---` (YAML) or `+++` (TOML) lines at the very beginning.
fn split_front_matter(text: &str) -> (Option<&str>, &str) {
    let none = (None, text);
    let Some((first, rest)) = text.split_once('\n') else { return none };
    let (ends, sets): (&[&str], char) = match first.trim_end() {
        "---" => (&["---", "..."], ':'),
        "+++" => (&["+++"], '='),
        _ => return none,
    };
    let mut at = 0;
    let mut any = false;
    for line in rest.split_inclusive('\n').take(FRONT_MATTER_LINES) {
        if ends.contains(&line.trim_end()) {
            return if any || at == 0 { (Some(&rest[..at]), &rest[at + line.len()..]) } else { none };
        }
        let line_says = !line.trim().is_empty() && !line.starts_with('#');
        if line_says && !any {
            // A rule across the page also reads `---`; what follows it then sets nothing.
            let key = line.split(sets).next().unwrap_or_default();
            if key.len() == line.len() || key.trim().contains(' ') && sets == ':' {
                return none;
            }
            any = true;
        }
        at += line.len();
    }
    none
}

const FRONT_MATTER_LINES: usize = 500;

/// The value that a line of front matter gives to a key at its beginning.
fn field(line: &str, key: &str) -> Option<String> {
    let rest = line.strip_prefix(key)?.trim_start();
    let value = rest.strip_prefix(':').or_else(|| rest.strip_prefix('='))?.trim();
    let quoted = |mark| value.strip_prefix(mark).and_then(|value| value.strip_suffix(mark));
    let value = match (quoted('"'), quoted('\'')) {
        (Some(inner), _) => inner.replace("\\\"", "\""),
        (_, Some(inner)) => inner.replace("''", "'"),
        _ => value.to_owned(),
    };
    (!value.is_empty()).then_some(value)
}

/// A heading of the `# words #` kind (`CommonMark` §4.2).
fn atx(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches(' ');
    let (level, rest) = run_of('#', text);
    if line.len() - text.len() > 3 || !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let words = rest.trim();
    let shorter = words.trim_end_matches('#');
    Some((level, if shorter.is_empty() || shorter.ends_with([' ', '\t']) { shorter.trim_end() } else { words }))
}

/// The line below a heading of the other kind (`CommonMark` §4.3), and the level it gives.
fn underline(line: &str) -> Option<usize> {
    let line = line.trim_end();
    let (equal, rest) = run_of('=', line);
    if equal > 1 && rest.is_empty() {
        return Some(1);
    }
    let (dashes, rest) = run_of('-', line);
    (dashes > 1 && rest.is_empty()).then_some(2)
}

fn opens_fence(line: &str) -> Option<(char, usize)> {
    let text = line.trim_start();
    ['`', '~'].into_iter().find_map(|mark| {
        let (length, rest) = run_of(mark, text);
        (length >= 3 && !(mark == '`' && rest.contains('`'))).then_some((mark, length))
    })
}

fn run_of(mark: char, text: &str) -> (usize, &str) {
    let rest = text.trim_start_matches(mark);
    (text.len() - rest.len(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_come_from_front_matter_then_from_the_first_heading() {
        for (case, text, title, light_text) in [
            (
                "YAML",
                "---\ntitle: \"Winter \\\"plan\\\"\"\ntags: [a, b]\n---\n# Other\nx\n",
                Some("Winter \"plan\""),
                "tags: [a, b]\n\n# Other\nx\n",
            ),
            ("TOML", "+++\ntitle = 'It''s'\n+++\nx\n", Some("It's"), "x\n"),
            ("a comment in front matter is no heading", "---\n# note\na: 1\n---\nx\n", None, "a: 1\n\nx\n"),
            ("a rule is no front matter", "---\nWords here\n---\n", Some("Words here"), "---\n## Words here\n"),
            ("an open fence is no front matter", "---\na: 1\nx\n", None, "---\na: 1\nx\n"),
            ("a heading with closing marks", "text\n\n## Two ##\n", Some("Two"), "text\n\n## Two\n"),
            ("C# keeps its mark", "# C#\n", Some("C#"), "# C#\n"),
            ("underlined", "One\n===\n\nTwo\n---\n", Some("One"), "# One\n\n## Two\n"),
            ("a list is not underlined", "- One\n---\n", None, "- One\n---\n"),
            ("a tag is no heading", "#garden is a tag\n", None, "#garden is a tag\n"),
            (
                "code stays as it is",
                "```\n# not a heading\nOne\n===\n```\n# Yes\n",
                Some("Yes"),
                "```\n# not a heading\nOne\n===\n```\n# Yes\n",
            ),
            (
                "a fence ends only with its own mark",
                "~~~~\n```\n# no\n~~~\n~~~~\n# Yes\n",
                Some("Yes"),
                "~~~~\n```\n# no\n~~~\n~~~~\n# Yes\n",
            ),
            ("nothing", "", None, ""),
        ] {
            let (found, text) = light(text);
            assert_eq!((found.as_deref(), text.as_str()), (title, light_text), "{case}");
        }
    }
}
