//! A text as passages that are embedded and found: small enough for the model, and cut where a reader would.
//!
//! Boundaries are headings, paragraphs, sentences and lines, in this order. Which neighbours share a chunk is decided by
//! hashes of what stands nearby and by nothing further away, so that an edit changes the chunks around it and no others.
//! Time is linear in the text, whatever it says. Nothing here embeds.

use std::ops::Range;

use hearth_text::Redacted;
use unicode_normalization::UnicodeNormalization;

use crate::tokenizer::Tokenizer;

/// The model was trained on texts up to this length, marks of beginning and end included.
pub const CHUNK_TOKENS_MAX: usize = 128;
/// A chunk has no more bytes than this, whatever the model thinks of its characters.
pub const CHUNK_BYTES_MAX: usize = 2_000;
/// Headings take no more of a chunk than this.
const HEADING_TOKENS_MAX: usize = 40;
/// A heading line longer than this is cut.
const HEADING_CHARS_MAX: usize = 120;
/// Settings at the beginning of a Markdown file have no more lines than this; otherwise their mark is a ruled line.
const FRONT_MATTER_LINES_MAX: usize = 200;
/// What stands between two headings of a path.
const HEADING_JOINT: &str = " › ";
/// Neighbours up to this share of a chunk away decide together where a chunk begins: a third keeps chunks well filled and
/// an edit local.
const NEIGHBOURHOOD: usize = 3;

/// How a text is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Paragraphs between blank lines.
    Plain,
    /// Paragraphs under headings, and fenced code in which nothing is a heading.
    Markdown,
    /// Blocks of lines.
    Code,
}

/// A passage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Where it stands in the redacted text, in bytes.
    pub range: Range<usize>,
    /// The headings it stands under, from the outermost: `Garden › Tools`. Shortened where they are long.
    pub heading: String,
    /// What stands there.
    pub text: String,
}

impl Chunk {
    /// What is embedded: the headings, then the text.
    pub fn embedded(&self) -> String {
        if self.heading.is_empty() { self.text.clone() } else { format!("{}\n{}", prefix(&self.heading), self.text) }
    }

    /// What names this chunk: the same headings over the same text have the same name, wherever they stand.
    pub fn normalised(&self) -> String {
        normalise(&self.embedded())
    }
}

/// A text without differences that nobody means: composed characters (NFC), one space for any stretch of white space, none
/// at the ends.
pub fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.nfc());
    }
    out
}

/// Cuts a text into chunks, in order. Together they hold every word of it.
pub fn chunk(redacted: &Redacted, format: Format, tokenizer: &Tokenizer) -> Vec<Chunk> {
    chunk_text(redacted.as_str(), format, tokenizer)
}

fn chunk_text(text: &str, format: Format, tokenizer: &Tokenizer) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for section in sections(text, format) {
        let heading = fit_heading(&section.path, tokenizer);
        let room = CHUNK_TOKENS_MAX - 2 - tokenizer.count(&prefix(&heading));
        let cutter = Cutter { text, format, tokenizer, room };
        let mut units = Vec::new();
        for block in section.blocks {
            cutter.block(block, &mut units);
        }
        for range in group(text, &units, room) {
            chunks.push(Chunk { text: text[range.clone()].into(), heading: heading.clone(), range });
        }
    }
    chunks
}

/// A stretch of text under one path of headings.
#[derive(Default)]
struct Section {
    path: Vec<String>,
    blocks: Vec<Range<usize>>,
}

/// The sections of a text, each with its paragraphs.
fn sections(text: &str, format: Format) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut levels: Vec<(usize, String)> = Vec::new();
    let mut block: Option<Range<usize>> = None;
    let mut fence: Option<(char, usize)> = None;
    let mut bare: Option<Range<usize>> = None; // a heading that has nothing under it so far
    let close = |block: &mut Option<Range<usize>>, sections: &mut Vec<Section>| {
        if let (Some(block), Some(section)) = (block.take(), sections.last_mut()) {
            section.blocks.push(block);
        }
    };
    let markdown = format == Format::Markdown;
    let mut front_matter = markdown && has_front_matter(text);
    for range in lines(text) {
        let line = text[range.clone()].trim_end();
        let begins = range.start == 0;
        if front_matter && !begins && ends_front_matter(line) {
            front_matter = false;
            close(&mut block, &mut sections);
            continue;
        }
        if line.trim().is_empty() && (fence.is_none() || format != Format::Markdown) {
            close(&mut block, &mut sections);
            continue;
        }
        if markdown && !front_matter {
            match (fence, fence_of(line)) {
                (None, Some(opened)) => {
                    close(&mut block, &mut sections);
                    fence = Some(opened);
                }
                (Some((c, length)), Some((other, more)))
                    if c == other && more >= length && line.trim().chars().all(|found| found == c) =>
                {
                    fence = None;
                    block = Some(block.map_or(range.start, |block| block.start)..range.end);
                    bare = None;
                    close(&mut block, &mut sections);
                    continue;
                }
                _ => {}
            }
            if fence.is_none()
                && let Some((level, title)) = heading_of(line)
            {
                close(&mut block, &mut sections);
                keep_bare(&mut bare, &mut sections, &levels, level);
                levels.retain(|(outer, _)| *outer < level);
                levels.push((level, title));
                let path = levels.iter().map(|(_, title)| title.clone()).filter(|title| !title.is_empty()).collect();
                sections.push(Section { path, blocks: Vec::new() });
                bare = Some(range.start..range.start + line.len());
                continue;
            }
        }
        bare = None;
        block = Some(block.map_or(range.start, |block| block.start)..range.end);
    }
    close(&mut block, &mut sections);
    keep_bare(&mut bare, &mut sections, &levels, 0);
    sections
}

/// Does a text begin with a block of settings, in which a `#` is a comment?
fn has_front_matter(text: &str) -> bool {
    let mut lines = text.lines().take(FRONT_MATTER_LINES_MAX).map(str::trim_end);
    lines.next() == Some("---") && lines.any(ends_front_matter)
}

fn ends_front_matter(line: &str) -> bool {
    matches!(line, "---" | "...")
}

/// A heading with nothing under it, not even a deeper heading, is a text of its own, so that it can be found.
fn keep_bare(bare: &mut Option<Range<usize>>, sections: &mut [Section], levels: &[(usize, String)], next: usize) {
    let deeper = levels.last().is_some_and(|(level, _)| next > *level);
    if let (Some(line), Some(section), false) = (bare.take(), sections.last_mut(), deeper) {
        section.path.pop();
        section.blocks.push(line);
    }
}

/// Level and title of a Markdown heading.
fn heading_of(line: &str) -> Option<(usize, String)> {
    let marked = line.trim_start_matches(' ');
    let level = marked.bytes().take_while(|byte| *byte == b'#').count();
    let title = &marked[level..];
    if line.len() - marked.len() > 3
        || !(1..=6).contains(&level)
        || !(title.is_empty() || title.starts_with([' ', '\t']))
    {
        return None;
    }
    let title = title.trim();
    let closed = title.trim_end_matches('#');
    let title = if closed.is_empty() || closed.ends_with([' ', '\t']) { closed.trim_end() } else { title };
    let mut chars = title.chars().filter(|c| !c.is_control());
    let cut: String = chars.by_ref().take(HEADING_CHARS_MAX).collect();
    Some((level, if chars.next().is_some() { format!("{}…", cut.trim_end()) } else { cut }))
}

/// The mark and length of a code fence.
fn fence_of(line: &str) -> Option<(char, usize)> {
    let marked = line.trim_start_matches(' ');
    let mark = marked.chars().next().filter(|c| line.len() - marked.len() <= 3 && matches!(c, '`' | '~'))?;
    let length = marked.chars().take_while(|c| *c == mark).count();
    let info = &marked[length..];
    (length >= 3 && !(mark == '`' && info.contains('`'))).then_some((mark, length))
}

/// The lines of a text with their ends.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let range = start..start + line.len();
        start = range.end;
        range
    })
}

/// A path of headings as it is embedded.
fn prefix(heading: &str) -> String {
    heading.replace(HEADING_JOINT, ": ") // a mark that the model knows
}

/// A path of headings that leaves room for text: the outermost go first, and the last is cut if it must be.
fn fit_heading(path: &[String], tokenizer: &Tokenizer) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut tokens = 0;
    for title in path.iter().rev() {
        tokens += tokenizer.count(title) + usize::from(!kept.is_empty());
        if tokens > HEADING_TOKENS_MAX {
            break;
        }
        kept.push(title);
    }
    kept.reverse();
    let (true, Some(last)) = (kept.is_empty(), path.last()) else { return kept.join(HEADING_JOINT) };
    let mut left = HEADING_TOKENS_MAX;
    let mut end = 0;
    for (word, size) in tokenizer.word_sizes(last) {
        if size > left {
            break;
        }
        left -= size;
        end = word.end;
    }
    last[..end].into()
}

/// A piece of text that is not cut further.
struct Unit {
    range: Range<usize>,
    tokens: usize,
    /// Does a chunk always begin here?
    wall: bool,
}

/// Cuts blocks into units that fit into a chunk.
struct Cutter<'a> {
    text: &'a str,
    format: Format,
    tokenizer: &'a Tokenizer,
    room: usize,
}

impl Cutter<'_> {
    /// A paragraph that fits stays whole. A longer one is cut into sentences, those into lines, those into words.
    fn block(&self, block: Range<usize>, units: &mut Vec<Unit>) {
        if let Some(tokens) = self.fitting(&block) {
            units.extend(self.unit(block, tokens, false));
            return;
        }
        let first = units.len();
        let sentences = if self.format == Format::Code { vec![block] } else { sentences(self.text, block) };
        for sentence in sentences {
            if let Some(tokens) = self.fitting(&sentence) {
                units.extend(self.unit(sentence, tokens, false));
                continue;
            }
            for line in lines(&self.text[sentence.clone()]) {
                let line = sentence.start + line.start..sentence.start + line.end;
                match self.fitting(&line) {
                    Some(tokens) => units.extend(self.unit(line, tokens, false)),
                    None => self.words(line, units),
                }
            }
        }
        // A long paragraph shares its chunks with nobody before it.
        if let Some(unit) = units.get_mut(first) {
            unit.wall = true;
        }
    }

    /// The pieces of a stretch, if it is short enough to be one unit. Counts no further than that.
    fn fitting(&self, range: &Range<usize>) -> Option<usize> {
        let part = self.text[range.clone()].trim();
        if part.len() > CHUNK_BYTES_MAX {
            return None;
        }
        let tokens = self.tokenizer.count(part);
        (tokens <= self.room).then_some(tokens)
    }

    /// A unit without the white space around it; none when there is nothing else.
    fn unit(&self, range: Range<usize>, tokens: usize, wall: bool) -> Option<Unit> {
        let part = &self.text[range.clone()];
        let start = range.start + (part.len() - part.trim_start().len());
        let range = start..start + part.trim().len();
        (!range.is_empty()).then(|| Unit { range, tokens: tokens.max(1), wall })
    }

    /// A line without an end, cut between words where it can be and inside them where not.
    fn words(&self, line: Range<usize>, units: &mut Vec<Unit>) {
        let mut piece = line.start..line.start;
        let mut tokens = 0;
        let text = &self.text[line.clone()];
        for (word, size) in self.tokenizer.word_sizes(text) {
            let word = line.start + word.start..line.start + word.end;
            if tokens + size > self.room || word.end - piece.start > CHUNK_BYTES_MAX {
                units.extend(self.unit(piece.start..word.start, tokens, true));
                piece = word.start..word.start;
                tokens = 0;
            }
            // What lies before a word, such as marks that the model does not read, may be long too.
            while word.end - piece.start > CHUNK_BYTES_MAX || size > self.room && word.end - piece.start > self.room {
                let most = if size > self.room { self.room } else { CHUNK_BYTES_MAX };
                let end = self.text.floor_char_boundary(piece.start + most);
                units.extend(self.unit(piece.start..end, self.room, true));
                piece.start = end;
            }
            piece.end = word.end;
            tokens += size;
        }
        while line.end - piece.start > CHUNK_BYTES_MAX {
            let end = self.text.floor_char_boundary(piece.start + CHUNK_BYTES_MAX);
            units.extend(self.unit(piece.start..end, tokens, true));
            (piece.start, tokens) = (end, 0);
        }
        units.extend(self.unit(piece.start..line.end, tokens, true));
    }
}

/// Where sentences end: after a mark of their end and what closes with it, when white space and no small letter follows; and
/// where an item of a list begins.
fn sentences(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = block.start;
    let mut ended = false; // a mark of an end was read
    let mut spaced = false; // and white space after it
    let mut line = false; // nothing but white space since the line began
    for (at, c) in text[block.clone()].char_indices().map(|(at, c)| (block.start + at, c)) {
        let item = line && matches!(c, '-' | '*' | '+' | '•' | '>' | '|' | '0'..='9');
        let cut = ended && spaced && !c.is_lowercase() || item;
        if c.is_whitespace() {
            spaced = true;
            line |= c == '\n';
            continue;
        }
        if cut && at > start {
            found.push(start..at);
            start = at;
        }
        line = false;
        match c {
            '.' | '!' | '?' | '…' => ended = true,
            '。' | '！' | '？' | '．' => {
                // No space follows these.
                (ended, spaced) = (true, true);
                continue;
            }
            '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '」' | '』' | '*' | '_' if ended && !spaced => {}
            _ => ended = false,
        }
        spaced = false;
    }
    found.push(start..block.end);
    found
}

/// Which units share a chunk.
///
/// A chunk begins where the hash of a unit is the least in its neighbourhood. That depends on nothing outside of it, so an
/// edit moves the boundaries around it and no others; and boundaries are at least a neighbourhood apart. Where they are
/// further apart than a chunk is long, chunks are filled one after the other.
fn group(text: &str, units: &[Unit], room: usize) -> Vec<Range<usize>> {
    let reach = room / NEIGHBOURHOOD;
    let hashes: Vec<u64> = units.iter().map(|unit| hash(&text[unit.range.clone()])).collect();
    let least = |at: usize| {
        let mut far = 0;
        for before in (0..at).rev() {
            far += units[before].tokens;
            if far > reach || units[before + 1].wall {
                break;
            }
            if hashes[before] <= hashes[at] {
                return false;
            }
        }
        let mut far = 0;
        for after in at + 1..units.len() {
            far += units[after - 1].tokens;
            if far > reach || units[after].wall {
                break;
            }
            if hashes[after] < hashes[at] {
                return false;
            }
        }
        true
    };
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut tokens = 0;
    for (at, unit) in units.iter().enumerate() {
        let fits = groups
            .last()
            .is_some_and(|group| tokens + unit.tokens <= room && unit.range.end - group.start <= CHUNK_BYTES_MAX);
        match groups.last_mut() {
            Some(group) if fits && !unit.wall && !least(at) => {
                group.end = unit.range.end;
                tokens += unit.tokens;
            }
            _ => {
                groups.push(unit.range.clone());
                tokens = unit.tokens;
            }
        }
    }
    groups
}

/// FNV-1a over the text, mixed so that every bit counts. It decides nothing but where chunks begin.
fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}
