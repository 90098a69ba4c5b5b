//! The engine that keeps everything in files of this machine: segment files are the truth, sled is an index of them.
//!
//! ```text
//! <data>/relay/<fleet>/chain            the fleet's chain
//! <data>/relay/<fleet>/proofs/<device>  a proof against a device
//! <data>/relay/<fleet>/log/NNNN.seg     sealed segments in order of arrival
//! <data>/relay/<fleet>/keys/NNNN.key    wrapped document keys in order of arrival
//! <data>/relay/index/                   where everything lies; can be deleted while the coordinator is down
//! ```
//! A segment is there when its file was synced; what the index lacks is read from the files when a fleet is opened, and when the index
//! says anything that the files do not, it is made anew for that fleet. Decisions are not made here, and nothing is opened that is sealed.

mod desk;
mod index;
mod ledger;
mod room;
mod shelf;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use data_encoding::HEXLOWER;
use hearth_core::{
    DocumentId,
    fleet::FleetId,
    receipt::Claim,
    sync::{Held, Log, Proof, frame::KEY_MAX},
};
use tracing::{info, warn};

use self::{
    desk::Desk,
    index::Index,
    room::{Room, Sizes},
    shelf::{Piece, Pieces, Shape, push_frame, sync_dir, write_atomic},
};
use super::engine::{Appended, Engine, Failed, Stamp, ToStore, Usage};

/// Why something did not come to its end.
#[derive(Debug)]
enum Stop {
    /// It cannot.
    Failed(Failed),
    /// The index and the files do not agree: it can once the index is made anew. Says what is lost, if anything is.
    Doubt(Option<String>),
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// What all fleets share.
#[derive(Debug)]
struct Shared {
    root: PathBuf,
    index: Index,
    sizes: Sizes,
    notices: Mutex<Vec<String>>,
    /// How often a fleet's index was made anew.
    rebuilt: AtomicU64,
}

/// Only so many different sentences are kept.
const NOTICES: usize = 50;

impl Shared {
    fn dir(&self, fleet: &FleetId) -> PathBuf {
        self.root.join(HEXLOWER.encode(fleet.as_bytes()))
    }

    fn tell(&self, notice: String) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() < NOTICES && !notices.contains(&notice) {
            warn!(notice, "the relay's files are not as they were written");
            notices.push(notice);
        }
    }
}

/// The embedded engine.
#[derive(Debug)]
pub struct Embedded {
    shared: Shared,
    desk: Desk,
}

impl Embedded {
    /// Opens `<data>/relay`, or begins it, and puts right whatever a crash left in it. It blocks: some two seconds for each 100,000
    /// segments that the index lacks, and next to nothing when it lacks none. The folder is the caller's alone
    /// ([`crate::folder::Folder::take`]).
    ///
    /// # Errors
    /// When a newer program wrote it, another process has it, or the system refuses. A fleet that cannot be opened is a notice.
    pub fn open(data: &Path) -> Result<Self, Failed> {
        Self::with_sizes(data, Sizes::DISK)
    }

    fn with_sizes(data: &Path, sizes: Sizes) -> Result<Self, Failed> {
        let what = "opening the relay's folder";
        let root = data.join("relay");
        make_dir(&root).map_err(Failed::io(what))?;
        remove_what_is_gone(&root).map_err(Failed::io(what))?;
        let (index, set_aside) = Index::open(&root)?;
        let engine = Self::on(root, index, sizes);
        match engine.look_over() {
            // Damage that only shows while it is read: without this index, then.
            Err(failed @ Failed::Index { .. }) if !set_aside && !failed.is_full() => {
                let Self { shared: Shared { root, index, .. }, .. } = engine;
                index.is_in_doubt();
                drop(index);
                let (index, _) = Index::open(&root)?;
                let engine = Self::on(root, index, sizes);
                engine.look_over()?;
                Ok(engine)
            }
            looked => looked.map(|()| engine),
        }
    }

    /// From now on the index fails at whatever it is asked.
    #[cfg(test)]
    pub(crate) fn break_index(&self) {
        self.shared.index.break_it();
    }

    fn on(root: PathBuf, index: Index, sizes: Sizes) -> Self {
        let shared = Shared { root, index, sizes, notices: Mutex::default(), rebuilt: AtomicU64::new(0) };
        Self { shared, desk: Desk::default() }
    }

    /// Opens every fleet once.
    fn look_over(&self) -> Result<(), Failed> {
        let fleets = self.fleets()?;
        for gone in ledger::fleets(&self.shared.index)? {
            if fleets.binary_search(&gone).is_err() {
                ledger::clear(&self.shared.index, &gone)?;
            }
        }
        for fleet in fleets {
            let looked = self.at(&fleet, |room, shared| room.read(shared)?.check());
            match looked {
                Err(failed @ Failed::Index { .. }) => return Err(failed),
                Err(failed) => self.shared.tell(format!("{fleet} cannot be opened: {failed}")),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Does something with a fleet's room, and once more with the index made anew when that is in doubt.
    fn at<T>(&self, fleet: &FleetId, mut work: impl FnMut(&mut Room, &Shared) -> Result<T, Stop>) -> Result<T, Failed> {
        let seat = self.desk.seat(fleet);
        let mut seat = seat.lock().unwrap_or_else(|poisoned| {
            seat.clear_poison();
            let mut room = poisoned.into_inner();
            *room = None;
            room
        });
        self.expect(fleet)?;
        let mut doubt = false;
        loop {
            let done = match seat.take().map_or_else(|| Room::open(&self.shared, *fleet, doubt), Ok) {
                Ok(mut room) => {
                    let done = work(&mut room, &self.shared);
                    // After anything that failed, the next one begins with what the disk has.
                    *seat = done.is_ok().then_some(room);
                    done
                }
                Err(stop) => Err(stop),
            };
            match done {
                Ok(done) => return Ok(done),
                Err(Stop::Failed(failed)) => return Err(failed),
                Err(Stop::Doubt(_)) if doubt => {
                    return Err(Failed::Damaged { what: "what the relay keeps of a fleet" });
                }
                Err(Stop::Doubt(lost)) => {
                    info!(%fleet, "a fleet's index is made anew from its files");
                    lost.into_iter().for_each(|lost| self.shared.tell(lost));
                    self.shared.rebuilt.fetch_add(1, Ordering::Relaxed);
                    doubt = true;
                }
            }
        }
    }

    fn expect(&self, fleet: &FleetId) -> Result<(), Failed> {
        let chain = self.shared.dir(fleet).join("chain");
        match chain.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failed::NoFleet(*fleet)),
            Err(error) => Err(Failed::io("looking for a fleet")(error)),
        }
    }
}

impl Engine for Embedded {
    fn fleets(&self) -> Result<Vec<FleetId>, Failed> {
        let what = "listing the fleets";
        let mut fleets = Vec::new();
        for entry in fs::read_dir(&self.shared.root).map_err(Failed::io(what))? {
            let entry = entry.map_err(Failed::io(what))?;
            let id = entry.file_name().to_str().and_then(|name| HEXLOWER.decode(name.as_bytes()).ok());
            if let Some(id) = id.and_then(|id| id.try_into().ok())
                // One of which that cannot be said is listed, so that it is noticed.
                && !matches!(entry.path().join("chain").try_exists(), Ok(false))
            {
                fleets.push(FleetId::from_bytes(id));
            }
        }
        fleets.sort();
        Ok(fleets)
    }

    fn chain(&self, fleet: &FleetId) -> Result<Option<Vec<u8>>, Failed> {
        match fs::read(self.shared.dir(fleet).join("chain")) {
            Ok(bytes) => match Pieces::new(&bytes, CHAIN).next() {
                Some(Piece::Frame { payload, .. }) if payload.len() + 8 == bytes.len() => Ok(Some(payload.to_vec())),
                _ => Err(Failed::Damaged { what: "a fleet's chain" }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failed::io("reading a fleet's chain")(error)),
        }
    }

    fn keep_chain(&self, fleet: &FleetId, chain: &[u8]) -> Result<(), Failed> {
        let seat = self.desk.seat(fleet);
        let _alone = seat.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = self.shared.dir(fleet);
        let written = || {
            if !dir.join("chain").exists() {
                ["log", "keys", "proofs"].iter().try_for_each(|name| make_dir(&dir.join(name)))?;
                sync_dir(&dir)?;
                sync_dir(&self.shared.root)?;
            }
            let mut frame = Vec::new();
            push_frame(&mut frame, &[chain]);
            write_atomic(&dir.join("chain"), &frame)
        };
        written().map_err(Failed::io("keeping a fleet's chain"))
    }

    fn held(&self, fleet: &FleetId) -> Result<Vec<Held>, Failed> {
        self.at(fleet, |room, shared| room.read(shared)?.held())
    }

    fn proofs(&self, fleet: &FleetId) -> Result<Vec<Proof>, Failed> {
        self.expect(fleet)?;
        let what = "reading proofs";
        let mut proofs = Vec::new();
        for entry in fs::read_dir(self.shared.dir(fleet).join("proofs")).map_err(Failed::io(what))? {
            let path = entry.map_err(Failed::io(what))?.path();
            if path.extension().is_some() {
                continue; // never finished
            }
            match read_proof(&fs::read(&path).map_err(Failed::io(what))?) {
                Some(proof) => proofs.push(proof),
                None => self
                    .shared
                    .tell(format!("{} is damaged; delete it, a device shows the proof again", path.display())),
            }
        }
        proofs.sort_by_key(Proof::log);
        Ok(proofs)
    }

    fn keep_proof(&self, fleet: &FleetId, proof: &Proof) -> Result<(), Failed> {
        let seat = self.desk.seat(fleet);
        let _alone = seat.lock().unwrap_or_else(PoisonError::into_inner);
        self.expect(fleet)?;
        let what = "keeping a proof";
        let path = self.shared.dir(fleet).join("proofs").join(HEXLOWER.encode(proof.author().as_bytes()));
        match fs::read(&path) {
            Ok(bytes) if read_proof(&bytes).is_some() => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failed::io(what)(error)),
            _ => {}
        }
        let mut frame = Vec::new();
        push_frame(&mut frame, &[&proof.encode()]);
        write_atomic(&path, &frame).map_err(Failed::io(what))
    }

    fn append(&self, fleet: &FleetId, orders: &[ToStore]) -> Result<Vec<Appended>, Failed> {
        self.at(fleet, |room, shared| room.append(shared, orders))
    }

    fn claim(&self, fleet: &FleetId, log: &Log, stamp: Stamp) -> Result<Option<Claim>, Failed> {
        self.at(fleet, |room, shared| room.read(shared)?.claim(log, stamp))
    }

    fn read(&self, fleet: &FleetId, log: &Log, from: u64, to: u64, budget: u64) -> Result<Vec<Arc<[u8]>>, Failed> {
        self.expect(fleet)?;
        // Without waiting for whoever appends; when that finds something else, in turn, for a file may have been put in another's place.
        match room::segments(&self.shared, fleet, log, from..to, budget) {
            Ok(segments) => Ok(segments),
            Err(Stop::Failed(failed)) => Err(failed),
            Err(Stop::Doubt(_)) => self.at(fleet, |_, shared| room::segments(shared, fleet, log, from..to, budget)),
        }
    }

    fn keep_keys(&self, fleet: &FleetId, records: &[(DocumentId, Vec<u8>)]) -> Result<(), Failed> {
        if let Some((_, long)) = records.iter().find(|(_, record)| record.len() > KEY_MAX) {
            return Err(Failed::KeyTooLong(long.len()));
        }
        self.at(fleet, |room, shared| room.keep_keys(shared, records))
    }

    fn keys(&self, fleet: &FleetId, documents: &[DocumentId]) -> Result<Vec<Vec<u8>>, Failed> {
        let keys = self.at(fleet, |room, shared| room.keys(shared, documents))?;
        Ok(documents.iter().filter_map(|document| keys.get(document).cloned()).collect())
    }

    fn usage(&self, fleet: &FleetId) -> Result<Usage, Failed> {
        let mut usage = self.at(fleet, |room, shared| room.usage(shared))?;
        let what = "measuring a fleet";
        let dir = self.shared.dir(fleet);
        usage.bytes += fs::metadata(dir.join("chain")).map_err(Failed::io(what))?.len();
        for entry in fs::read_dir(dir.join("proofs")).map_err(Failed::io(what))? {
            usage.bytes += entry.and_then(|entry| entry.metadata()).map_err(Failed::io(what))?.len();
        }
        Ok(usage)
    }

    fn tidy(&self, fleet: &FleetId) -> Result<u64, Failed> {
        let (files, before) = self.at(fleet, |room, shared| room.to_tidy(shared))?;
        if files.is_empty() {
            return Ok(0);
        }
        let mut freed = 0;
        for (rows, file) in files {
            freed += self.at(fleet, |room, shared| room.tidy(shared, rows, file))?;
        }
        self.at(fleet, |room, shared| room.tidied(shared, &before))?;
        Ok(freed)
    }

    fn forget(&self, fleet: &FleetId) -> Result<(), Failed> {
        let what = "forgetting a fleet";
        let seat = self.desk.seat(fleet);
        let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
        *seat = None;
        let dir = self.shared.dir(fleet);
        let gone = dir.with_extension(GONE);
        if gone.exists() {
            fs::remove_dir_all(&gone).map_err(Failed::io(what))?;
        }
        match fs::rename(&dir, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.and_then(|()| sync_dir(&self.shared.root)).map_err(Failed::io(what))?,
        }
        ledger::clear(&self.shared.index, fleet)?;
        fs::remove_dir_all(&gone).map_err(Failed::io(what))
    }

    fn notices(&self) -> Vec<String> {
        self.shared.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const GONE: &str = "gone";
const CHAIN: Shape = Shape { ending: "", roll: 0, least: 0, most: 1 << 30, opening: &[] };
const PROOF: Shape = Shape { ending: "", roll: 0, least: 1, most: hearth_core::equivocation::BYTES_MAX, opening: &[] };

fn read_proof(bytes: &[u8]) -> Option<Proof> {
    match Pieces::new(bytes, PROOF).next()? {
        Piece::Frame { payload, .. } => Proof::open(payload).ok(),
        Piece::Damage { .. } => None,
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Fleets that were being forgotten when the process ended.
fn remove_what_is_gone(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == GONE) {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}
