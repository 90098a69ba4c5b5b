//! How devices come to the relay: which fleet a link is of, and then the session.
//!
//! A device that is known, and knows of its fleet what is known here, goes straight to it. Any other shows the fleet's chain, which proves
//! itself; one that is not known may be new in a fleet that is served, and until it did so it is one of a few, says little and has little time.

use std::{sync::Arc, time::Duration};

use hearth_core::{
    DeviceId,
    fleet::{
        FleetId,
        chain::Fleet,
        letter::{LETTER_MAX, Letter},
    },
    sync::Grown,
};
use hearth_link::{
    Close, Link, LinkError, Receiving, Sending, VerifyingKey,
    mqtt::Mailbox,
    recovering,
    session::{self, Budget, Ended, MESSAGE_TIME, Progress, Session, letters},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::host::{Hosted, NotServed, Relay};

/// What strangers may say, how long they may take, and how many may be at it.
const INTRODUCTION_MAX: usize = 1 << 20;
const INTRODUCTION_TIME: Duration = Duration::from_secs(10);
const STRANGERS_MAX: usize = 8;
/// What all sessions may have in memory of what comes in and goes out; those of one fleet have a share of it.
const MEMORY: usize = 64 << 20;

/// What sessions share.
#[derive(Debug)]
pub struct Doors {
    relay: Arc<Relay>,
    strangers: Arc<Semaphore>,
    budget: Budget,
}

/// Why a device was not let in.
#[derive(Debug, thiserror::Error)]
enum NotLetIn {
    #[error("others are just introducing themselves")]
    Busy,
    #[error("it did not show its fleet in time")]
    Silent,
    #[error("it showed something else than its fleet")]
    OutOfPlace,
    #[error("it wrote through the broker from a mailbox that is not its own in this fleet")]
    Mailbox,
    #[error("it holds a fleet's recovery sheet")]
    Sheet(FleetId, OwnedSemaphorePermit),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Fleet(#[from] NotServed),
}

impl NotLetIn {
    const fn to_close(&self) -> Close {
        match self {
            Self::Busy => Close::Busy,
            Self::Silent => Close::Slow,
            Self::OutOfPlace => Close::Garbage,
            Self::Link(_) | Self::Sheet(..) => Close::Done,
            Self::Fleet(NotServed::Engine(_) | NotServed::Chain(_)) => Close::CannotKeep,
            Self::Mailbox | Self::Fleet(_) => Close::NotTrusted,
        }
    }
}

/// A device of a fleet that is served, at the beginning of its session.
#[derive(Debug)]
pub struct Entered {
    session: Session<Hosted>,
    halves: (Sending, Receiving),
    news: broadcast::Receiver<Grown>,
    first: Vec<Letter>,
}

/// Speaks with a device until that ends.
pub fn talk(entered: Box<Entered>) -> impl Future<Output = ()> + Send {
    let Entered { session, halves, news, first } = *entered;
    let talking = Box::pin(session::run(session, halves, news, first, |_| {}));
    async move {
        match talking.await {
            Ended::Link(reason) => debug!(%reason, "the link has ended"),
            Ended::Stopped => debug!("the session was stopped"),
            reason => warn!(%reason, "the session was ended"),
        }
    }
}

impl Doors {
    /// The doors of a relay.
    pub fn new(relay: Arc<Relay>) -> Self {
        Self { relay, strangers: Arc::new(Semaphore::new(STRANGERS_MAX)), budget: Budget::bytes(MEMORY) }
    }

    /// Lets in whoever is at the other end, if it belongs to a fleet that is served; `stop` ends it.
    pub async fn enter(&self, link: Link, stop: CancellationToken) -> Option<Box<Entered>> {
        let (peer, key, mailbox) = (link.device(), *link.peer(), link.mailbox());
        let (mut sending, mut receiving) = letters(link);
        let entered = tokio::select! {
            () = stop.cancelled() => {
                sending.close(Close::ShuttingDown);
                return None;
            }
            entered = self.find_fleet(&mut sending, &mut receiving, &key) => entered,
        };
        // Only now it is known which mailbox should be its own.
        let entered = entered.and_then(|(hosted, first)| {
            match mailbox.is_none_or(|mailbox| mailbox == Mailbox::of(&hosted.id().tag(), &key)) {
                true => Ok((hosted, first)),
                false => Err(NotLetIn::Mailbox),
            }
        });
        let (hosted, first) = match entered {
            Ok(entered) => entered,
            Err(NotLetIn::Sheet(fleet, one_of_few)) => {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.recover(fleet, &key, (sending, receiving)) => {}
                }
                drop(one_of_few);
                return None;
            }
            Err(reason) => {
                info!(%reason, "a device was not let in");
                sending.close(reason.to_close());
                return None;
            }
        };
        info!(fleet = %hosted.id(), "a device of a fleet is linked");
        let (news, budget) = (hosted.listen(), hosted.share(&self.budget));
        let session = Session {
            keeper: hosted,
            peer,
            peer_key: key.to_bytes(),
            port: 0,
            stop,
            progress: Arc::<Progress>::default(),
            budget: Some(budget),
            questions: None,
        };
        Some(Box::new(Entered { session, halves: (sending, receiving), news, first }))
    }

    /// Has a word with whoever holds a fleet's recovery sheet.
    async fn recover(&self, fleet: FleetId, key: &VerifyingKey, (sending, receiving): (Sending, Receiving)) {
        let relay = Arc::clone(&self.relay);
        let Ok(Ok(hosted)) = spawn_blocking(move || relay.host(fleet)).await else {
            return sending.close(Close::CannotKeep);
        };
        match recovering::answer(hosted, &key.to_bytes(), (sending, receiving)).await {
            Ok(()) => info!(%fleet, "a fleet was recovered with its sheet"),
            Err(reason) => warn!(%fleet, %reason, "somebody with a fleet's recovery sheet was not served"),
        }
    }

    /// Finds out of which fleet the other end is.
    async fn find_fleet(
        &self,
        sending: &mut Sending,
        receiving: &mut Receiving,
        key: &VerifyingKey,
    ) -> Result<(Arc<Hosted>, Vec<Letter>), NotLetIn> {
        let (relay, device) = (Arc::clone(&self.relay), DeviceId::of_key(key));
        let known = relay.fleets_of(&device);
        let one_of_few = match known[..] {
            [] => Some(Arc::clone(&self.strangers).try_acquire_owned().map_err(|_| NotLetIn::Busy)?),
            _ => None,
        };
        receiving.limit(INTRODUCTION_MAX, INTRODUCTION_TIME);
        let hosting = Arc::clone(&relay);
        let hosts = spawn_blocking(move || hosting.hosts(&known)).await.map_err(|_| NotLetIn::Silent)??;
        let showing = async {
            let first = Letter::decode(&receiving.receive().await?).map_err(|_| NotLetIn::OutOfPlace)?;
            let Letter::Known { digest, .. } = first else { return Err(NotLetIn::OutOfPlace) };
            // Whoever comes with a sheet knows no chain. Anybody may name any key as a sheet, so a device's own word comes before that.
            if digest == [0; 16]
                && let Some(fleet) = relay.fleet_of_sheet(&device)
            {
                return Ok((None, Shown::Sheet(fleet)));
            }
            if let Some(hosted) = hosts.into_iter().find(|hosted| hosted.digest() == digest) {
                return Ok((Some(hosted), Shown::Letters(vec![first])));
            }
            // No chain has this digest, so it shows its own.
            sending.send(&Letter::Known { port: 0, digest: [0; 16] }.encode()).await?;
            let shown = Letter::decode(&receiving.receive().await?).map_err(|_| NotLetIn::OutOfPlace)?;
            Ok((None, Shown::Letters(vec![first, shown])))
        };
        let (hosted, shown) = match timeout(INTRODUCTION_TIME, showing).await.map_err(|_| NotLetIn::Silent)?? {
            (hosted, Shown::Letters(letters)) => (hosted, letters),
            (_, Shown::Sheet(fleet)) => {
                let one_of_few = match one_of_few {
                    Some(permit) => permit,
                    None => Arc::clone(&self.strangers).try_acquire_owned().map_err(|_| NotLetIn::Busy)?,
                };
                return Err(NotLetIn::Sheet(fleet, one_of_few));
            }
        };
        let hosted = match (hosted, shown.last()) {
            (Some(hosted), _) => hosted,
            (None, Some(Letter::Chain(chain))) => {
                let (key, chain) = (*key, chain.clone());
                let introducing = spawn_blocking(move || {
                    // It stays one of few while its chain is looked at, even when the link is gone.
                    let _one_of_few = one_of_few;
                    let claimed = Fleet::claimed_id(&chain).ok_or(NotLetIn::OutOfPlace)?;
                    if !relay.may_introduce(&claimed, &key) {
                        return Err(NotServed::NotTrusted.into());
                    }
                    let chain = Fleet::decode(&chain).map_err(|_| NotLetIn::OutOfPlace)?;
                    Ok::<_, NotLetIn>(relay.introduce(chain, &key)?)
                });
                introducing.await.map_err(|_| NotLetIn::Silent)??
            }
            _ => return Err(NotLetIn::OutOfPlace),
        };
        if self.relay.is_to_vouch(&hosted, key) {
            let (relay, hosted, key) = (Arc::clone(&self.relay), Arc::clone(&hosted), *key);
            spawn_blocking(move || relay.vouch(&hosted, &key)).await.map_err(|_| NotLetIn::Silent)?;
        }
        receiving.limit(LETTER_MAX, MESSAGE_TIME);
        Ok((hosted, shown))
    }
}

/// What came first.
enum Shown {
    /// A device's letters.
    Letters(Vec<Letter>),
    /// It holds this fleet's recovery sheet.
    Sheet(FleetId),
}
