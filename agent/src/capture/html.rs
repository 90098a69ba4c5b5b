//! Web pages as light Markdown: what a reader would see, headings, lists, tables and code; no scripts, styles or navigation.
//!
//! One pass over the tags with counters instead of a tree: no nesting, however deep, costs stack, and no page costs more than
//! time linear in its length. It does not repair a page as a browser would, because only its words are wanted.

use std::borrow::Cow;

use markup5ever::data::{C1_REPLACEMENTS, NAMED_ENTITIES};

/// Returns the title, if the page has one, and its text.
pub(crate) fn to_markdown(page: &str) -> (Option<String>, String) {
    let mut writer = Writer::new(page.len());
    let lower = page.to_ascii_lowercase();
    let mut drops = Drops::default();
    let mut title = None;
    let mut at = 0;
    while at < page.len() {
        let rest = &page[at..];
        let Some(open) = rest.find('<') else {
            writer.text(rest);
            break;
        };
        writer.text(&rest[..open]);
        at += open;
        let rest = &page[at..];
        let after = rest.as_bytes().get(1).copied();
        match after {
            Some(b'!') if rest.starts_with("<!--") => {
                at += rest[2..].find("-->").map_or(rest.len(), |end| end + 5); // `<!-->` is one, too
            }
            Some(b'!' | b'?') => at += rest.find('>').map_or(rest.len(), |end| end + 1),
            Some(b'/') if rest.as_bytes().get(2).is_some_and(u8::is_ascii_alphabetic) => {
                let tag = Tag::read(&lower[at..], 2);
                at += tag.length;
                writer.close(tag.name);
            }
            Some(b'/') => at += rest.find('>').map_or(rest.len(), |end| end + 1),
            Some(letter) if letter.is_ascii_alphabetic() => {
                let tag = Tag::read(&lower[at..], 1);
                let start = at;
                at += tag.length;
                match tag.name {
                    "script" | "style" | "iframe" | "noembed" | "noframes" | "title" | "textarea" | "xmp" => {
                        let end = at + end_of(&lower[at..], tag.name);
                        let inner = &page[at..end];
                        match tag.name {
                            "title" if title.is_none() && !drops.in_svg => title = Some(one_line(&decode(inner))),
                            "textarea" | "xmp" => writer.text(inner),
                            _ => {}
                        }
                        at = end;
                    }
                    "nav" | "svg" | "template" | "object" | "canvas" | "math" if !tag.closed => {
                        at = drops.skip(&lower, at, tag.name).unwrap_or(at);
                    }
                    "img" => {
                        if let Some(alt) = attribute(&page[start..at], "alt") {
                            writer.text(&alt);
                        }
                    }
                    name => writer.open(name),
                }
            }
            _ => {
                writer.text("<");
                at += 1;
            }
        }
    }
    let text = writer.finish();
    let title = title.filter(|title| !title.is_empty()).or_else(|| {
        text.lines().find_map(|line| line.strip_prefix('#')).map(|rest| rest.trim_start_matches('#').trim().to_owned())
    });
    (title, text)
}

/// One tag as it is written.
struct Tag<'a> {
    name: &'a str,
    /// From `<` to past `>`.
    length: usize,
    /// It ends in `/>`.
    closed: bool,
}

impl<'a> Tag<'a> {
    /// Reads the tag that `text` begins with; its name begins at `at`. A `>` within quotes after `=` does not end it.
    fn read(text: &'a str, at: usize) -> Self {
        let bytes = text.as_bytes();
        let end = bytes[at..]
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'))
            .map_or(text.len(), |end| at + end);
        let mut here = end;
        let mut value = false;
        while here < bytes.len() {
            match bytes[here] {
                b'>' => return Self { name: &text[at..end], length: here + 1, closed: bytes[here - 1] == b'/' },
                b'=' => value = true,
                quote @ (b'"' | b'\'') if value => {
                    value = false;
                    here += 1 + text[here + 1..].find(char::from(quote)).unwrap_or(bytes.len() - here - 1);
                }
                byte if byte.is_ascii_whitespace() => {}
                _ => value = false,
            }
            here += 1;
        }
        Self { name: &text[at..end], length: text.len(), closed: false }
    }
}

/// Where the element that holds no tags ends: at its closing tag, or never.
fn end_of(text: &str, name: &str) -> usize {
    let mut from = 0;
    while let Some(found) = text[from..].find("</") {
        let at = from + found;
        let rest = &text[at + 2..];
        if rest.starts_with(name) && rest.as_bytes().get(name.len()).is_none_or(|byte| !byte.is_ascii_alphanumeric()) {
            return at;
        }
        from = at + 2;
    }
    text.len()
}

/// Elements that are dropped with all that is in them, if they end at all.
#[derive(Default)]
struct Drops {
    /// For each name, where its last closing tag begins. Looked up once a page, so that many unclosed ones stay linear.
    last: Vec<(&'static str, usize)>,
    in_svg: bool,
}

impl Drops {
    /// Returns where the text goes on after the element that was opened before `at`, or `None` when it never ends.
    fn skip(&mut self, page: &str, at: usize, name: &str) -> Option<usize> {
        let name = ["nav", "svg", "template", "object", "canvas", "math"].into_iter().find(|known| *known == name)?;
        let last = match self.last.iter().find(|(known, _)| *known == name) {
            Some((_, last)) => *last,
            None => {
                let last = page.rfind(&format!("</{name}")).unwrap_or(0);
                self.last.push((name, last));
                last
            }
        };
        if last < at {
            return None;
        }
        let (mut depth, mut here) = (1usize, at);
        while let Some(found) = page[here..=last].find('<') {
            let open = here + found;
            let rest = &page[open..];
            if rest.starts_with("<!--") {
                here = open + rest[2..].find("-->").map_or(rest.len(), |end| end + 5);
            } else if rest.as_bytes().get(1) == Some(&b'/')
                && rest.as_bytes().get(2).is_some_and(u8::is_ascii_alphabetic)
            {
                let tag = Tag::read(rest, 2);
                here = open + tag.length;
                if tag.name == name {
                    depth -= 1;
                    if depth == 0 {
                        return Some(here);
                    }
                }
            } else if rest.as_bytes().get(1).is_some_and(u8::is_ascii_alphabetic) {
                let tag = Tag::read(rest, 1);
                here = open + tag.length;
                match tag.name {
                    "script" | "style" => here += end_of(&page[here..], tag.name),
                    other if other == name && !tag.closed => depth += 1,
                    _ => {}
                }
            } else {
                here = open + 1;
            }
            if here > last {
                break;
            }
        }
        // More were opened than closed: the last closing tag ends them all.
        Some(last + Tag::read(&page[last..], 2).length)
    }
}

/// The value of an attribute, as it is written in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut from = 0;
    while let Some(found) = tag[from..].find('=') {
        let at = from + found;
        let key = tag[..at]
            .trim_end()
            .rsplit(|c: char| c.is_ascii_whitespace() || c == '/' || c == '"' || c == '\'')
            .next()?;
        let value = tag[at + 1..].trim_start();
        let start = tag.len() - value.len();
        let end = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => start + 1 + value[1..].find(quote)?,
            _ => start + value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len()),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(Cow::Borrowed(tag[start..end].trim_start_matches(['"', '\''])));
        }
        from = end.max(at + 1);
    }
    None
}

/// Puts words on lines.
struct Writer {
    out: String,
    /// What the next word is preceded by on its line.
    lead: String,
    /// A space stands between the last word and the next.
    space: bool,
    /// How many line ends stand before the next word at least.
    breaks: usize,
    lists: Vec<Option<u32>>,
    unlisted: usize,
    pre: usize,
    pre_open: bool,
    heading: bool,
    cells: usize,
    code: bool,
}

/// Lists deeper than this are not indented further.
const LIST_DEPTH: usize = 12;

impl Writer {
    fn new(capacity: usize) -> Self {
        Self {
            out: String::with_capacity(capacity / 2),
            lead: String::new(),
            space: false,
            breaks: 0,
            lists: Vec::new(),
            unlisted: 0,
            pre: 0,
            pre_open: false,
            heading: false,
            cells: 0,
            code: false,
        }
    }

    fn text(&mut self, text: &str) {
        let text = decode(text);
        if self.pre > 0 {
            self.verbatim(&text);
            return;
        }
        for (nth, word) in text.split(char::is_whitespace).enumerate() {
            self.space |= nth > 0;
            if !word.is_empty() {
                self.word(word);
            }
        }
    }

    fn word(&mut self, word: &str) {
        if self.breaks > 0 {
            if !self.out.is_empty() {
                self.out.extend(std::iter::repeat_n('\n', self.breaks));
            }
            self.breaks = 0;
            self.space = false;
        }
        let fresh = self.out.is_empty() || self.out.ends_with('\n');
        if !self.lead.is_empty() {
            if !fresh && self.space {
                self.out.push(' ');
            }
            self.out.push_str(&self.lead);
            self.lead.clear();
            self.space = false;
        } else if fresh {
            self.space = false;
            if word.starts_with('#') {
                self.out.push('\\'); // it was no heading there and must not become one here
            }
        }
        if self.space {
            self.out.push(' ');
            self.space = false;
        }
        self.out.push_str(word);
    }

    fn verbatim(&mut self, text: &str) {
        let text = if self.pre_open { text } else { text.strip_prefix('\n').unwrap_or(text) };
        if text.is_empty() {
            return;
        }
        if !self.pre_open {
            self.pre_open = true;
            self.lead.clear();
            if !self.out.is_empty() {
                self.out.push_str(if self.out.ends_with('\n') { "\n" } else { "\n\n" });
            }
            self.out.push_str("```\n");
        }
        for (nth, line) in text.split('\n').enumerate() {
            if nth > 0 {
                self.out.push('\n');
            }
            if line.trim_start().starts_with("```") && self.out.ends_with('\n') {
                self.out.push_str("    "); // so that it does not end the block
            }
            self.out.push_str(line);
        }
    }

    fn end_verbatim(&mut self) {
        if self.pre_open {
            self.out.truncate(self.out.trim_end().len());
            self.out.push_str("\n```");
            self.pre_open = false;
        }
        self.breaks = 2;
    }

    fn apart(&mut self, breaks: usize) {
        // Within a heading or a table's row, what would be a new line is a space: they are one line.
        if self.pre > 0 || self.heading || self.cells > 0 {
            self.space = true;
        } else {
            self.breaks = self.breaks.max(breaks);
        }
    }

    fn open(&mut self, name: &str) {
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.heading = false;
                self.apart(2);
                if self.pre == 0 && self.cells == 0 {
                    self.lead = format!("{} ", "#".repeat(usize::from(name.as_bytes()[1] - b'0')));
                    self.heading = true;
                }
            }
            "br" if self.pre > 0 => self.verbatim("\n"),
            "br" => self.apart(1),
            "pre" | "listing" => {
                self.heading = false;
                self.pre += 1;
            }
            "ul" | "menu" | "ol" | "dir" => {
                self.apart(1);
                if self.lists.len() < LIST_DEPTH {
                    self.lists.push((name == "ol").then_some(0));
                } else {
                    self.unlisted = self.unlisted.saturating_add(1);
                }
            }
            "li" => {
                self.apart(1);
                if self.pre == 0 && self.cells == 0 && !self.heading {
                    let indent = "  ".repeat(self.lists.len().saturating_sub(1));
                    self.lead = match self.lists.last_mut() {
                        Some(Some(count)) => {
                            *count = count.saturating_add(1);
                            format!("{indent}{count}. ")
                        }
                        _ => format!("{indent}- "),
                    };
                }
            }
            "tr" => {
                self.cells = 0;
                self.apart(1);
            }
            "td" | "th" => {
                if self.cells > 0 {
                    self.space = true;
                    self.lead.push_str("| ");
                }
                self.cells = self.cells.saturating_add(1);
            }
            "code" | "kbd" | "samp" | "tt" if self.pre == 0 && !self.code => {
                self.code = true;
            }
            _ if is_block(name) => self.apart(if is_loose(name) { 2 } else { 1 }),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.heading = false;
                self.lead.clear();
                self.apart(2);
            }
            "pre" | "listing" if self.pre > 0 => {
                self.pre -= 1;
                if self.pre == 0 {
                    self.end_verbatim();
                }
            }
            "ul" | "menu" | "ol" | "dir" => {
                if self.unlisted > 0 {
                    self.unlisted -= 1;
                } else {
                    self.lists.pop();
                }
                self.lead.clear();
                self.apart(if self.lists.is_empty() { 2 } else { 1 });
            }
            "tr" | "table" | "tbody" | "thead" => {
                self.cells = 0;
                self.lead.clear();
                self.apart(if name == "table" { 2 } else { 1 });
            }
            "code" | "kbd" | "samp" | "tt" => self.code = false,
            _ if is_block(name) => self.apart(if is_loose(name) { 2 } else { 1 }),
            _ => {}
        }
    }

    fn finish(mut self) -> String {
        self.pre = 0;
        self.end_verbatim();
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.out
    }
}

fn is_block(name: &str) -> bool {
    is_loose(name)
        || matches!(
            name,
            "div"
                | "dt"
                | "dd"
                | "option"
                | "legend"
                | "caption"
                | "summary"
                | "figcaption"
                | "tbody"
                | "thead"
                | "tfoot"
                | "label"
                | "head"
                | "body"
                | "html"
        )
}

fn is_loose(name: &str) -> bool {
    matches!(
        name,
        "p" | "section"
            | "article"
            | "main"
            | "aside"
            | "header"
            | "footer"
            | "blockquote"
            | "table"
            | "dl"
            | "figure"
            | "address"
            | "form"
            | "fieldset"
            | "details"
            | "hr"
            | "center"
            | "hgroup"
            | "dialog"
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Replaces character references by what they stand for (HTML §13.2.5.72).
fn decode(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find('&') else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut rest = &text[first..];
    while let Some(after) = rest.strip_prefix('&') {
        let used = match after.strip_prefix('#') {
            Some(number) => push_number(&mut out, number).map(|used| used + 1),
            None => push_named(&mut out, after),
        };
        match used {
            Some(used) => rest = &after[used..],
            None => {
                out.push('&');
                rest = after;
            }
        }
        let next = rest.find('&').unwrap_or(rest.len());
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(out)
}

fn push_number(out: &mut String, text: &str) -> Option<usize> {
    let (digits, radix, skipped) = match text.strip_prefix(['x', 'X']) {
        Some(rest) => (rest, 16, 1),
        None => (text, 10, 0),
    };
    let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
    if length == 0 {
        return None;
    }
    let code = digits[..length]
        .chars()
        .fold(0u32, |sum, c| sum.saturating_mul(radix).saturating_add(c.to_digit(radix).unwrap_or(0)));
    let replaced =
        code.checked_sub(0x80).and_then(|at| C1_REPLACEMENTS.get(usize::try_from(at).ok()?).copied().flatten());
    let c = replaced.or_else(|| char::from_u32(code)).unwrap_or(char::REPLACEMENT_CHARACTER);
    if !c.is_control() || c == '\n' || c == '\t' {
        out.push(c);
    }
    Some(skipped + length + usize::from(digits[length..].starts_with(';')))
}

fn push_named(out: &mut String, text: &str) -> Option<usize> {
    let length = text.bytes().take(32).take_while(u8::is_ascii_alphanumeric).count();
    let with_end = text[length..].starts_with(';').then_some(length + 1);
    // Names without their `;` are known too, the old ones; the longest that fits counts.
    let (used, (first, second)) = with_end.into_iter().chain((2..=length).rev()).find_map(|length| {
        let code = NAMED_ENTITIES.get(&text[..length])?;
        (code.0 != 0).then_some((length, *code))
    })?;
    out.extend([first, second].into_iter().filter(|code| *code != 0).filter_map(char::from_u32));
    Some(used)
}

#[cfg(test)]
mod tests;
