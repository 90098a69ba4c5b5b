//! Files of 4 KiB sealed blocks, readable from anywhere: what the vector and keyword indexes are kept in.
//!
//! A file has a key of its own, derived from the index key and a random salt. A block is AES-256-GCM (NIST SP 800-38D), or
//! XChaCha20-Poly1305 where the processor has no AES; its number is its nonce and the last one is marked, so that blocks can be
//! neither swapped nor cut off. Writing is once, front to back.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use chacha20poly1305::XChaCha20Poly1305;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::entropy;

const MAGIC: &[u8; 7] = b"hearth\x02";
/// `[magic 7][cipher 1][salt 32]`
const HEADER: usize = 40;
const BLOCK: usize = 4096;
const TAG: usize = 16;
const PLAIN: usize = BLOCK - TAG;

enum Cipher {
    Aes(Box<Aes256Gcm>),
    ChaCha(Box<XChaCha20Poly1305>),
}

impl Cipher {
    fn new(code: u8, index_key: &[u8; 32], salt: &[u8; 32]) -> io::Result<Self> {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(salt), index_key)
            .expand(b"hearth/blocks/1", &mut key)
            .expect("32 bytes is a length that HKDF-SHA256 can give");
        match code {
            1 => Ok(Self::Aes(Box::new(Aes256Gcm::new(&key.into())))),
            2 => Ok(Self::ChaCha(Box::new(XChaCha20Poly1305::new(&key.into())))),
            _ => Err(damaged()),
        }
    }

    fn best() -> u8 {
        #[cfg(target_arch = "x86_64")]
        let fast = std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let fast = std::arch::is_aarch64_feature_detected!("aes");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let fast = false;
        if fast { 1 } else { 2 }
    }

    fn seal(&self, number: u64, last: bool, plain: &[u8]) -> Vec<u8> {
        let payload = Payload { msg: plain, aad: &[u8::from(last)] };
        match self {
            Self::Aes(cipher) => cipher.encrypt(&nonce::<12>(number).into(), payload),
            Self::ChaCha(cipher) => cipher.encrypt(&nonce::<24>(number).into(), payload),
        }
        .expect("a block is far below the cipher's limit")
    }

    fn open(&self, number: u64, last: bool, sealed: &[u8]) -> io::Result<Vec<u8>> {
        let payload = Payload { msg: sealed, aad: &[u8::from(last)] };
        match self {
            Self::Aes(cipher) => cipher.decrypt(&nonce::<12>(number).into(), payload),
            Self::ChaCha(cipher) => cipher.decrypt(&nonce::<24>(number).into(), payload),
        }
        .map_err(|_| damaged())
    }
}

fn nonce<const N: usize>(number: u64) -> [u8; N] {
    let mut nonce = [0; N];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "an index file is damaged, or sealed with another key; run `hearth state rebuild`",
    )
}

/// Writes a sealed file, front to back. Without [`finish`](Self::finish) it is not readable.
pub struct BlockWriter {
    file: File,
    cipher: Cipher,
    block: Vec<u8>,
    number: u64,
}

impl std::fmt::Debug for BlockWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockWriter(block {})", self.number)
    }
}

impl BlockWriter {
    /// Creates the file, replacing one of that name.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path, index_key: &[u8; 32]) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let (code, salt) = (Cipher::best(), entropy::<32>());
        let cipher = Cipher::new(code, index_key, &salt)?;
        file.write_all(MAGIC)?;
        file.write_all(&[code])?;
        file.write_all(&salt)?;
        Ok(Self { file, cipher, block: Vec::with_capacity(PLAIN), number: 0 })
    }

    /// Seals the last block and waits until the disk has everything.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<()> {
        let sealed = self.cipher.seal(self.number, true, &self.block);
        self.file.write_all(&sealed)?;
        self.file.sync_data()
    }
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // A full block is sealed only when more follows: the last one carries its mark.
            if self.block.len() == PLAIN {
                let sealed = self.cipher.seal(self.number, false, &self.block);
                self.file.write_all(&sealed)?;
                self.number += 1;
                self.block.clear();
            }
            let (now, later) = rest.split_at(rest.len().min(PLAIN - self.block.len()));
            self.block.extend_from_slice(now);
            rest = later;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sealed file, open for reading.
pub struct BlockFile {
    file: File,
    path: PathBuf,
    cipher: Cipher,
    len: usize,
    blocks: u64,
}

impl std::fmt::Debug for BlockFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockFile({}, {} bytes)", self.path.display(), self.len)
    }
}

impl BlockFile {
    /// Opens a file and checks its last block, and so its length.
    ///
    /// # Errors
    /// When it is absent, damaged or was never finished.
    pub fn open(path: &Path, index_key: &[u8; 32]) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(|_| damaged())?;
        if header[..7] != *MAGIC {
            return Err(damaged());
        }
        let salt = header[8..].try_into().expect("the rest of the header is the salt");
        let cipher = Cipher::new(header[7], index_key, salt)?;
        let stored = usize::try_from(file.metadata()?.len()).map_err(|_| damaged())? - HEADER;
        let (full, rest) = (stored / BLOCK, stored % BLOCK);
        let blocks = full + usize::from(rest > 0);
        if blocks == 0 || (rest > 0 && rest < TAG) {
            return Err(damaged());
        }
        let this = Self { file, path: path.into(), cipher, len: stored - blocks * TAG, blocks: blocks as u64 };
        this.block(this.blocks - 1)?;
        Ok(this)
    }

    /// How many bytes it holds.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads a range.
    ///
    /// # Errors
    /// When it is outside the file, or a block of it is damaged.
    pub fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        if range.start > range.end || range.end > self.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a read beyond the end of an index file"));
        }
        let mut out = Vec::with_capacity(range.len());
        let mut at = range.start;
        while at < range.end {
            let block = self.block((at / PLAIN) as u64)?;
            let begin = at % PLAIN;
            let end = block.len().min(begin + (range.end - at));
            out.extend_from_slice(block.get(begin..end).ok_or_else(damaged)?);
            at += end - begin;
        }
        Ok(out)
    }

    fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let begin = number * BLOCK as u64;
        let stored = self.len as u64 + self.blocks * TAG as u64;
        let size = usize::try_from((stored - begin).min(BLOCK as u64)).expect("at most a block");
        let mut sealed = vec![0; size];
        self.file.read_exact_at(&mut sealed, HEADER as u64 + begin)?;
        self.cipher.open(number, number + 1 == self.blocks, &sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [3; 32];

    fn file(dir: &Path, size: usize) -> (PathBuf, Vec<u8>) {
        let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n * 31 % 251).expect("below 251")).collect();
        let path = dir.join(format!("{size}"));
        let mut writer = BlockWriter::create(&path, &KEY).expect("created");
        for part in bytes.chunks(1000) {
            writer.write_all(part).expect("written");
        }
        writer.finish().expect("finished");
        (path, bytes)
    }

    #[test]
    fn every_length_reads_back_whole_and_in_parts() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for size in [0, 1, PLAIN - 1, PLAIN, PLAIN + 1, 3 * PLAIN, 3 * PLAIN + 17] {
            let (path, bytes) = file(dir.path(), size);
            let read = BlockFile::open(&path, &KEY).expect("opened");
            assert_eq!(read.len(), size);
            assert_eq!(read.read(0..size).expect("read"), bytes, "{size} whole");
            for (from, to) in [(0, size / 2), (size / 3, size), (size.saturating_sub(5), size)] {
                assert_eq!(read.read(from..to).expect("read"), &bytes[from..to], "{size} from {from} to {to}");
            }
            assert!(read.read(0..size + 1).is_err(), "{size} beyond its end");
        }
    }

    #[test]
    fn damage_a_cut_a_swap_and_another_key_are_noticed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (path, bytes) = file(dir.path(), 3 * PLAIN + 17);
        let good = std::fs::read(&path).expect("the file");
        assert!(!good.windows(64).any(|window| window == &bytes[..64]), "what is in it cannot be read");
        let try_with = |stored: &[u8], key: &[u8; 32]| {
            std::fs::write(&path, stored).expect("written");
            BlockFile::open(&path, key).and_then(|file| file.read(0..file.len()))
        };
        assert!(try_with(&good, &[4; 32]).is_err(), "another key");
        for cut in [HEADER, HEADER + BLOCK, HEADER + 3 * BLOCK, good.len() - 1] {
            assert!(try_with(&good[..cut], &KEY).is_err(), "cut at {cut}");
        }
        let mut flipped = good.clone();
        flipped[HEADER + BLOCK + 5] ^= 1;
        assert!(try_with(&flipped, &KEY).is_err(), "a flipped bit");
        let mut swapped = good.clone();
        let (first, second) = swapped[HEADER..].split_at_mut(BLOCK);
        first.swap_with_slice(&mut second[..BLOCK]);
        assert!(try_with(&swapped, &KEY).is_err(), "two blocks swapped");
        assert!(try_with(&good, &KEY).is_ok(), "and as it was written");
    }

    #[test]
    fn each_cipher_opens_what_it_sealed_in_its_place_and_nothing_else() {
        for code in [1, 2] {
            let cipher = Cipher::new(code, &KEY, &[5; 32]).expect("a known cipher");
            let sealed = cipher.seal(7, false, b"a heron");
            assert_eq!(cipher.open(7, false, &sealed).expect("as sealed"), b"a heron", "{code}");
            assert!(cipher.open(8, false, &sealed).is_err(), "{code}: another number");
            assert!(cipher.open(7, true, &sealed).is_err(), "{code}: marked as the last");
            let other = Cipher::new(3 - code, &KEY, &[5; 32]).expect("a known cipher");
            assert!(other.open(7, false, &sealed).is_err(), "{code}: the other cipher");
            let salted = Cipher::new(code, &KEY, &[6; 32]).expect("a known cipher");
            assert!(salted.open(7, false, &sealed).is_err(), "{code}: another file's salt");
        }
        assert!(Cipher::new(3, &KEY, &[5; 32]).is_err(), "an unknown cipher");
        assert!([1, 2].contains(&Cipher::best()));
    }

    #[test]
    fn a_file_from_a_processor_without_aes_is_read_all_the_same() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (path, bytes) = (dir.path().join("file"), vec![9; PLAIN + 17]);
        let mut file = File::create(&path).expect("created");
        file.write_all(&[&MAGIC[..], &[2], &[5; 32]].concat()).expect("written");
        let cipher = Cipher::new(2, &KEY, &[5; 32]).expect("a known cipher");
        let mut writer = BlockWriter { file, cipher, block: Vec::new(), number: 0 };
        writer.write_all(&bytes).and_then(|()| writer.flush()).expect("written");
        assert_eq!(format!("{writer:?}"), "BlockWriter(block 1)", "it shows how far it is and no key");
        writer.finish().expect("finished");
        let read = BlockFile::open(&path, &KEY).expect("opened");
        assert_eq!(read.read(0..bytes.len()).expect("read"), bytes);
        assert!(!read.is_empty());
        assert_eq!(format!("{read:?}"), format!("BlockFile({}, {} bytes)", path.display(), bytes.len()));
    }

    #[test]
    fn what_is_no_finished_file_of_ours_is_damaged_and_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (path, _) = file(dir.path(), 0);
        let good = std::fs::read(&path).expect("the file");
        assert!(BlockFile::open(&path, &KEY).expect("opened").is_empty(), "it holds nothing");
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (case, bytes) in [
            ("nothing", vec![]),
            ("half a header", good[..HEADER / 2].to_vec()),
            ("a header alone: it was never finished", good[..HEADER].to_vec()),
            ("less than a tag", good[..HEADER + TAG - 1].to_vec()),
            ("another kind of file", with(0, b'H')),
            ("another format", with(6, 1)),
            ("an unknown cipher", with(7, 3)),
            ("another salt", with(8, good[8] ^ 1)),
        ] {
            std::fs::write(&path, bytes).expect("written");
            let refused = BlockFile::open(&path, &KEY).expect_err(case);
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{case}");
            assert!(refused.to_string().ends_with("run `hearth state rebuild`"), "{case}: {refused}");
        }
        let absent = BlockFile::open(&dir.path().join("absent"), &KEY).expect_err("there is none");
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }
}
