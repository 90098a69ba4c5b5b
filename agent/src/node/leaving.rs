//! Leaving the fleet: what others captured goes from here, with its keys; what this node captured stays, in the log that is nobody else's.
//!
//! A note beside the membership says that it has begun, so that the next start finishes what a crash cut off. The log keeps the segments of
//! others with hashes in place of what was in them.

use std::{path::PathBuf, sync::PoisonError};

use hearth_core::{
    ItemId,
    fleet::FleetId,
    session::{Session, Visibility},
    sync::Grown,
};
use hearth_store::{Batch, Folder, StoreError, Tree, write_atomic};

use super::{FleetError, NodeError, Shared, federation::membership_path, record::ItemRecord};
use crate::ask::Failure;

/// What is known of the fleet's logs and devices, and of what they said.
const OF_FLEET: [Tree; 7] =
    [Tree::Segment, Tree::End, Tree::Ahead, Tree::Gone, Tree::Awaited, Tree::Reached, Tree::Receipt];
/// So many records are removed at a time.
const REMOVED: usize = 4_096;

/// Whatever a record holds.
struct Anything;

impl<C> minicbor::Decode<'_, C> for Anything {
    fn decode(d: &mut minicbor::Decoder<'_>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.skip().map(|()| Self)
    }
}

/// Where it stands that this node is leaving a fleet.
fn note_path(folder: &Folder) -> PathBuf {
    folder.part("identity").join("fleet-left")
}

impl Shared {
    /// Leaves the fleet; what is behind this cannot be taken back.
    pub(crate) fn leave_fleet(&self) -> Result<(), Failure> {
        let membership = self.membership().ok_or(FleetError::None)?;
        let (me, fleet) = (self.identity.device, &membership.fleet);
        let others = || fleet.members(super::now()).map(|(id, _)| id).filter(|id| *id != me);
        if fleet.is_admin(&me) && others().next().is_some() && !others().any(|id| fleet.is_admin(&id)) {
            return Err(FleetError::LastAdmin.into());
        }
        write_atomic(&note_path(&self.folder), fleet.id().to_string().as_bytes()).map_err(NodeError::from)?;
        Ok(self.finish_leaving()?)
    }

    /// While a fleet is being left no other is come into: the end of leaving removes what is known of a fleet.
    pub(super) fn is_not_leaving(&self) -> Result<(), FleetError> {
        if note_path(&self.folder).exists() { Err(FleetError::Leaving) } else { Ok(()) }
    }

    /// Does what is left to do, if this node was leaving a fleet. Nothing when it was not.
    pub(crate) fn finish_leaving(&self) -> Result<(), NodeError> {
        let note = note_path(&self.folder);
        let left = match std::fs::read_to_string(&note) {
            Ok(text) => {
                text.trim().parse::<FleetId>().map_err(|_| StoreError::Damaged("the note that a fleet was left"))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("reading whether a fleet was left")(error).into()),
        };
        // What is behind is told from the log, and for that the fleet must be known.
        if self.writer().behind {
            self.catch_up()?;
        }
        // From here on nothing is given to others and nothing taken: sessions end when they hear of it.
        *self.membership.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.tell_peers(Grown::Chain);
        // What one fleet may have or find is nothing for the next one.
        let is_kept = |whose: &Visibility| *whose == Visibility::ThisNode;
        let open: Vec<Session> =
            self.gate().sessions().filter(|it| !(is_kept(&it.visibility) && is_kept(&it.answers))).cloned().collect();
        for session in open {
            let (visibility, answers) = (Visibility::ThisNode, Visibility::ThisNode);
            self.change_gate(|gate| gate.put(Session { visibility, answers, ..session }))?;
        }
        self.forget_fleet(left)?;
        remove(&membership_path(&self.folder))?;
        Ok(remove(&note)?)
    }

    fn forget_fleet(&self, left: FleetId) -> Result<(), NodeError> {
        let space = left.space();
        let is_shared = |item: &ItemRecord| -> Result<bool, StoreError> {
            Ok(self.document(item.document)?.is_some_and(|record| record.shared == Some(space)))
        };
        let (mut own, mut others): (Vec<ItemId>, Vec<ItemRecord>) = (Vec::new(), Vec::new());
        self.each_item(|item| {
            if item.node.is_some() {
                others.push(item);
            } else if is_shared(&item)? {
                own.push(item.meta.item);
            }
            Ok(())
        })?;
        self.move_items(&own, &is_shared)?;
        self.erase_older()?;
        self.drop_items(&others)?;
        let mut writer = self.writer();
        // Also of what came ahead of its document, and of documents that are gone.
        let keys = self.keys.all()?.into_iter().filter(|(_, of, _)| *of == space).map(|(_, _, slot)| slot);
        let keys: Vec<_> = keys.collect();
        writer.keys.erase(keys)?;
        // Should it come into this fleet again, what it shares then is another log: of the one that ends here nothing is known any more.
        let own = self.held()?.into_iter().map(|held| held.log).filter(|log| log.author == self.identity.device);
        if let Some(last) = own.map(|log| log.incarnation).max() {
            writer.log.begin_shared_anew(last)?;
        }
        for tree in OF_FLEET {
            let keys: Vec<Vec<u8>> = self
                .state
                .iter::<Anything>(tree)
                .map(|record| record.map(|(key, _)| key.to_vec()))
                .collect::<Result<_, _>>()?;
            for keys in keys.chunks(REMOVED) {
                let mut batch = Batch::default();
                keys.iter().for_each(|key| batch.remove(tree, key));
                self.state.apply(batch)?;
            }
        }
        drop(writer);
        self.scrub()
    }
}

fn remove(path: &std::path::Path) -> Result<(), StoreError> {
    let removed = std::fs::remove_file(path).and_then(|()| match path.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    });
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("removing what is known of the fleet")(error))
        }
        _ => Ok(()),
    }
}
