//! Files that are rows of `[length][CRC-32C][payload]` and only grow at the end of the newest.
//!
//! Both numbers are four bytes, little-endian; the checksum is over the payload. What stands behind damage is found again by
//! looking for the next frame that is whole. What a payload means is not known here.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Bytes before each payload.
pub(super) const FRAME: u64 = 8;

/// What lies in the files of a shelf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Behind the dot of a file's name.
    pub(super) ending: &'static str,
    /// A file of this many bytes is followed by another.
    pub(super) roll: u64,
    /// The shortest payload.
    pub(super) least: usize,
    /// The longest payload.
    pub(super) most: usize,
    /// What each payload begins with: where to look behind damage.
    pub(super) opening: &'static [u8],
}

/// A file as the folder shows it. A file that was put in its place has another inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) number: u32,
    pub(super) len: u64,
    pub(super) inode: u64,
}

/// A folder of such files, and the newest of them for appending.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    pub(super) shape: Shape,
    tail: Option<Tail>,
}

#[derive(Debug)]
struct Tail {
    found: Found,
    file: File,
}

impl Shelf {
    pub(super) const fn new(dir: PathBuf, shape: Shape) -> Self {
        Self { dir, shape, tail: None }
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        file_path(&self.dir, self.shape.ending, number)
    }

    /// The files in order. What a crash left beside them is removed.
    pub(super) fn files(&self) -> io::Result<Vec<Found>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(DRAFT) {
                fs::remove_file(entry.path())?;
            }
            let number = name.strip_suffix(self.shape.ending).and_then(|rest| rest.strip_suffix('.'));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                let meta = entry.metadata()?;
                files.push(Found { number, len: meta.len(), inode: meta.ino() });
            }
        }
        files.sort_by_key(|found| found.number);
        Ok(files)
    }

    /// Where the next payload goes, when no more than `pending` bytes come before it; `None` when that is in a new file.
    pub(super) fn end(&self, pending: usize) -> Option<(u32, u64)> {
        let found = self.tail.as_ref()?.found;
        let end = found.len + pending as u64;
        (end < self.shape.roll).then_some((found.number, end))
    }

    /// Begins the next file.
    pub(super) fn roll(&mut self) -> io::Result<u32> {
        let number = self.tail.as_ref().map_or(0, |tail| tail.found.number + 1);
        let path = self.path(number);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        sync_dir(&self.dir)?;
        let found = Found { number, len: 0, inode: file.metadata()?.ino() };
        self.tail = Some(Tail { found, file });
        Ok(number)
    }

    /// Writes frames behind the newest file and waits until the disk has them. There is such a file: [`Shelf::roll`] made it.
    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<Found> {
        let tail = self.tail.as_mut().expect("whoever appends has asked where");
        let written = tail.file.write_all_at(frames, tail.found.len).and_then(|()| tail.file.sync_data());
        if let Err(error) = written {
            // Best effort: whoever reads tells a torn frame by its checksum.
            let _ = tail.file.set_len(tail.found.len);
            return Err(error);
        }
        tail.found.len += frames.len() as u64;
        Ok(tail.found)
    }

    /// Makes a file the one that is appended to, cut off at `len`.
    pub(super) fn end_with(&mut self, number: u32, len: u64) -> io::Result<Found> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(number))?;
        let meta = file.metadata()?;
        if meta.len() != len {
            file.set_len(len)?;
            file.sync_data()?;
        }
        let found = Found { number, len, inode: meta.ino() };
        self.tail = Some(Tail { found, file });
        Ok(found)
    }

    /// Makes sure that the disk has what is in a file.
    pub(super) fn sync(&self, number: u32) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path(number))?.sync_data()
    }

    /// What is in a file from `offset` on.
    pub(super) fn bytes(&self, number: u32, offset: u64) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(number))?;
        let len = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Puts a file in another one's place: after a crash there is the one or the other. With `shred`, the old one's bytes are
    /// overwritten, as far as the file system lets us.
    pub(super) fn replace(&mut self, number: u32, frames: &[u8], shred: bool) -> io::Result<Found> {
        let path = self.path(number);
        let old = if shred { Some(OpenOptions::new().write(true).open(&path)?) } else { None };
        write_atomic(&path, frames)?;
        if let Some(old) = old {
            let len = usize::try_from(old.metadata()?.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            old.write_all_at(&vec![0; len], 0)?;
            old.sync_data()?;
        }
        if self.tail.as_ref().is_some_and(|tail| tail.found.number == number) {
            return self.end_with(number, frames.len() as u64);
        }
        Ok(Found { number, len: frames.len() as u64, inode: fs::metadata(path)?.ino() })
    }
}

/// A file of a shelf.
pub(super) fn file_path(dir: &Path, ending: &str, number: u32) -> PathBuf {
    dir.join(format!("{number:04}.{ending}"))
}

/// The payload at a place that was written down; `None` when it is not there.
pub(super) fn payload_at(path: &Path, offset: u64, len: u32) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Not before it is known that there is so much: a place that is noise must not take memory.
    if offset.checked_add(FRAME + u64::from(len)).is_none_or(|end| file.metadata().is_ok_and(|meta| meta.len() < end)) {
        return Ok(None);
    }
    let mut frame = vec![0; 8 + len as usize];
    file.read_exact_at(&mut frame, offset)?;
    let whole = frame[..4] == len.to_le_bytes() && frame[4..8] == crc32c::crc32c(&frame[8..]).to_le_bytes();
    Ok(whole.then(|| frame.split_off(8)))
}

/// Adds a frame of these parts and returns the length of its payload.
pub(super) fn push_frame(out: &mut Vec<u8>, parts: &[&[u8]]) -> u32 {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let len = u32::try_from(len).expect("what is kept is far below 4 GiB");
    out.extend(len.to_le_bytes());
    out.extend(parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part)).to_le_bytes());
    parts.iter().for_each(|part| out.extend(*part));
    len
}

/// A part of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece<'b> {
    /// A whole frame.
    Frame {
        /// Where it begins.
        at: u64,
        /// What is in it.
        payload: &'b [u8],
        /// No damage stands before it: it cannot be something that only looks like a frame.
        sure: bool,
    },
    /// What does not read.
    Damage {
        /// Where it begins.
        at: u64,
        /// Nothing that reads stands behind it.
        last: bool,
        /// It has the length of a frame, so it may have been written to its end.
        complete: bool,
    },
}

/// Reads bytes that begin with a frame.
pub(super) struct Pieces<'b> {
    bytes: &'b [u8],
    at: usize,
    shape: Shape,
    sure: bool,
}

impl<'b> Pieces<'b> {
    pub(super) const fn new(bytes: &'b [u8], shape: Shape) -> Self {
        Self { bytes, at: 0, shape, sure: true }
    }

    /// The end of what would be the frame here, when it is within the file.
    fn frame_end(&self, at: usize) -> Option<usize> {
        let len = u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?) as usize;
        let end = at.checked_add(8)?.checked_add(len)?;
        ((self.shape.least..=self.shape.most).contains(&len) && end <= self.bytes.len()).then_some(end)
    }

    fn payload(&self, at: usize) -> Option<&'b [u8]> {
        let end = self.frame_end(at)?;
        let payload = &self.bytes[at + 8..end];
        let whole = payload.starts_with(self.shape.opening)
            && self.bytes[at + 4..at + 8] == crc32c::crc32c(payload).to_le_bytes();
        whole.then_some(payload)
    }

    /// Where it goes on behind damage at `at`: wherever something whole begins. What can tell a frame by its opening is looked for
    /// everywhere, for the length may be what is damaged; anything else first where the damaged frame says that it ends.
    fn resume(&self, at: usize) -> usize {
        let said = self.frame_end(at).filter(|end| self.shape.opening.is_empty() && self.payload(*end).is_some());
        said.or_else(|| (at + 1..self.bytes.len()).find(|at| self.payload(*at).is_some())).unwrap_or(self.bytes.len())
    }
}

impl<'b> Iterator for Pieces<'b> {
    type Item = Piece<'b>;

    fn next(&mut self) -> Option<Piece<'b>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        if let Some(payload) = self.payload(at) {
            self.at += 8 + payload.len();
            return Some(Piece::Frame { at: at as u64, payload, sure: self.sure });
        }
        let complete = self.frame_end(at).is_some();
        self.at = self.resume(at);
        self.sure = false;
        Some(Piece::Damage { at: at as u64, last: self.at >= self.bytes.len(), complete })
    }
}

const DRAFT: &str = ".new";

/// Writes a file beside its place and then puts it there: after a crash there is the old one or the new one, whole.
pub(super) fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(DRAFT);
    let draft = PathBuf::from(draft);
    let written = (|| {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPE: Shape = Shape { ending: "seg", roll: 100, least: 2, most: 64, opening: b"s" };

    fn rows(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for payload in payloads {
            push_frame(&mut out, &[payload]);
        }
        out
    }

    fn read(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
        let (mut whole, mut damaged) = (Vec::new(), 0);
        for piece in Pieces::new(bytes, SHAPE) {
            match piece {
                Piece::Frame { payload, .. } => whole.push(payload),
                Piece::Damage { .. } => damaged += 1,
            }
        }
        (whole, damaged)
    }

    #[test]
    fn what_stands_behind_damage_is_found_again() {
        let rows = rows(&[b"s-one", b"s-two", b"s-three"]);
        let two = 8 + 5;
        for (case, at, to, expected) in [
            ("a bit of the payload", two + 9, b'x', &[&b"s-one"[..], b"s-three"][..]),
            ("the checksum", two + 4, 0, &[b"s-one", b"s-three"]),
            ("a shorter length", two, 3, &[b"s-one", b"s-three"]),
            ("a longer length", two, 40, &[b"s-one", b"s-three"]),
            ("the length's high byte", two + 3, 0xff, &[b"s-one", b"s-three"]),
            ("the last frame", two + two + 9, b'x', &[b"s-one", b"s-two"]),
        ] {
            let mut bytes = rows.clone();
            bytes[at] = to;
            assert_eq!(read(&bytes), (expected.to_vec(), 1), "{case}");
        }
        let torn = &rows[..rows.len() - 1];
        let last = Pieces::new(torn, SHAPE).last();
        assert_eq!(last, Some(Piece::Damage { at: 26, last: true, complete: false }), "a torn tail");
        assert!(matches!(Pieces::new(&[0; 50], SHAPE).last(), Some(Piece::Damage { at: 0, last: true, .. })), "zeros");
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (whole, _) = read(&bytes);
            prop_assert!(whole.iter().map(|payload| payload.len() + 8).sum::<usize>() <= bytes.len());
        }

        #[test]
        fn a_flipped_bit_costs_one_frame_at_most(count in 1_usize..6, at in 0_usize..1000, bit in 0_u8..8) {
            let payloads: Vec<Vec<u8>> = (0..count).map(|n| [&b"s"[..], &b"abcdefghij"[..5 + n]].concat()).collect();
            let mut bytes = rows(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let (whole, damaged) = read(&bytes);
            prop_assert_eq!((whole.len(), damaged), (count - 1, 1));
        }
    }
}
