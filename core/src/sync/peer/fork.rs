//! Logs that exist twice: asked about, proved, frozen.

use std::sync::Arc;

use super::{Effect, News, Peer};
use crate::{
    segment::Segment,
    sync::{
        Frame, Log, Mark, Proof, Standing, Trust,
        frame::{Ask, Reason},
        frontier::{Place, place},
    },
};

/// The most numbers that are asked about at a time.
const PROBES_MAX: usize = 16;

impl Peer {
    /// Compares where a log ends here and there, and sets the cursor.
    pub(super) fn compare(&mut self, log: Log, theirs: Option<Mark>) {
        if self.frozen.contains_key(&log.author) {
            return;
        }
        let ours = self.held.get(&log).and_then(super::Held::mark);
        let Some(session) = &mut self.session else { return };
        match place(ours, theirs) {
            Place::Forked(number) => self.probe(log, number, None),
            Place::Ahead(next) => session.outgoing.has(log, next),
            Place::Equal => session.outgoing.has(log, ours.map_or(0, |mark| mark.next)),
            Place::Behind(_) => {
                let next = theirs.map_or(0, |mark| mark.next);
                session.outgoing.has(log, next);
            }
        }
    }

    /// Two segments may have this number: gets the peer's, unless it is here, and then compares it with ours.
    pub(super) fn probe(&mut self, log: Log, number: u64, theirs: Option<Segment>) {
        let Some(session) = &mut self.session else { return };
        if session.incoming.is_refused(&log) {
            return;
        }
        let probes = &mut session.incoming.probes;
        if probes.contains_key(&(log, number)) {
            return;
        }
        if probes.len() >= PROBES_MAX {
            return self.refuse(log, News::Broken(log));
        }
        let ask = theirs.is_none();
        probes.insert((log, number), theirs);
        if ask {
            self.send(Frame::Want { log, from: number, ask: Ask::One });
        }
    }

    /// A number of which the peer's segment came and ours is on disk.
    pub(super) fn to_compare(&self) -> Option<(Log, u64)> {
        let probes = &self.session.as_ref()?.incoming.probes;
        let ready = |(log, number): &(Log, u64)| self.held.get(log).is_some_and(|held| held.chain.number > *number);
        probes.iter().find(|(at, theirs)| theirs.is_some() && ready(at)).map(|(at, _)| *at)
    }

    /// Our segment was read: is it another than the peer's?
    pub(super) fn judge(&mut self, log: Log, number: u64, ours: Option<&Arc<[u8]>>) {
        let Some(session) = &mut self.session else { return };
        let Some(Some(theirs)) = session.incoming.probes.remove(&(log, number)) else { return };
        let Some(ours) = ours.and_then(|bytes| Segment::open(bytes).ok()) else {
            self.tell(News::Damaged { log, number });
            return self.refuse(log, News::Broken(log));
        };
        match Proof::between(&ours, &theirs) {
            Ok(proof) => self.freeze(proof, true),
            Err(_) => self.refuse(log, News::Broken(log)),
        }
    }

    /// The peer says that an author forked.
    pub(super) fn accused(&mut self, proof: &[u8], trust: &impl Trust) {
        let Ok(proof) = Proof::open(proof) else { return self.close(Reason::BadProof) };
        let Some(session) = &mut self.session else { return };
        // Anyone can make keys and forks of their own; only those of the fleet are worth keeping.
        if trust.author(&proof.log()) == Standing::Unknown {
            return;
        }
        session.knows.insert(proof.author());
        self.freeze(proof, true);
    }

    /// Takes and sends nothing of this author any more, and passes the proof on.
    pub(super) fn freeze(&mut self, proof: Proof, tell: bool) {
        let author = proof.author();
        if self.frozen.contains_key(&author) {
            return;
        }
        self.frozen.insert(author, proof.clone());
        if let Some(session) = &mut self.session {
            session.incoming.forget(|log| log.author == author);
            session.outgoing.forget(|log| log.author == author);
        }
        self.accuse(&proof);
        if tell {
            self.effects.push_back(Effect::Tell(News::Equivocation(proof)));
        }
    }

    /// Sends a proof, once.
    pub(super) fn accuse(&mut self, proof: &Proof) {
        if let Some(session) = self.session.as_mut().filter(|session| session.greeted)
            && session.knows.insert(proof.author())
        {
            self.send(Frame::Proof { proof: proof.encode() });
        }
    }
}
