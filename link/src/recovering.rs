//! A word with the recovery sheet: who holds it is shown the chain, and gives it back with a link more.
//!
//! [`answer`] is the side of a device or relay of the fleet, [`ask`] that of the device which recovers. Nothing else is said over such a link,
//! which is the sheet's and no member's: what is shared comes once the device is in the fleet and calls as itself.

use std::{sync::Arc, time::Duration};

use hearth_core::{
    fleet::{
        chain::{BadSnapshot, Fleet},
        letter::{LETTER_MAX, Letter},
        sheet::NotTheSheet,
    },
    sync::Keeper,
};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{Close, Link, LinkError, Receiving, Sending, VerifyingKey, session::letters};

/// How long each side may take for a letter.
const LETTER_TIME: Duration = Duration::from_secs(20);

/// Why a word with the sheet came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotRecovered {
    /// The link.
    #[error(transparent)]
    Link(LinkError),
    /// Nothing came in time.
    #[error("the other side did not answer in time; try again while it is awake")]
    Silent,
    /// What came is no chain.
    #[error(
        "what answers there does not know this recovery sheet, or is no device or relay of the fleet; look at the address"
    )]
    OutOfPlace,
    /// The chain does not hold.
    #[error("the chain that was shown does not hold")]
    Chain(#[from] BadSnapshot),
    /// Who answered does not stand in it.
    #[error("what answers there is neither a device nor a relay of the fleet that it shows; look at the address")]
    Stranger,
    /// The sheet is not that of the fleet.
    #[error(transparent)]
    Sheet(#[from] NotTheSheet),
    /// The other side could not keep the link.
    #[error("the other side could not keep the change: {0}")]
    NotKept(String),
    /// It was not taken.
    #[error("the other side did not take the change, for it knows more of the fleet; try again")]
    NotTaken,
}

impl From<LinkError> for NotRecovered {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Refused(_) | LinkError::Closed(Close::NotTrusted) => Self::OutOfPlace,
            other => Self::Link(other),
        }
    }
}

async fn letter(receiving: &mut Receiving) -> Result<Letter, NotRecovered> {
    let came = timeout(LETTER_TIME, receiving.receive()).await.map_err(|_| NotRecovered::Silent)??;
    Letter::decode(&came).map_err(|_| NotRecovered::OutOfPlace)
}

async fn chain(receiving: &mut Receiving) -> Result<Fleet, NotRecovered> {
    match letter(receiving).await? {
        Letter::Chain(chain) => {
            let reading = spawn_blocking(move || Fleet::decode(&chain));
            Ok(reading.await.map_err(|_| NotRecovered::OutOfPlace)??)
        }
        Letter::Refused(why) => Err(NotRecovered::NotKept(why)),
        _ => Err(NotRecovered::OutOfPlace),
    }
}

/// Shows the sheet's holder, who has said its first letter, the chain; takes in what comes back, and says what it is then.
///
/// # Errors
/// When the sheet is not the fleet's, or the talk comes to nothing.
pub async fn answer<K: Keeper + 'static>(
    keeper: Arc<K>,
    sheet: &[u8; 32],
    (mut sending, mut receiving): (Sending, Receiving),
) -> Result<(), NotRecovered> {
    receiving.limit(LETTER_MAX, LETTER_TIME);
    let say = |fleet: &Fleet| Letter::Chain(fleet.encode()).encode();
    let talk = async {
        let fleet = keeper.fleet().filter(|fleet| fleet.is_sheet(sheet)).ok_or(NotRecovered::OutOfPlace)?;
        sending.send(&say(&fleet)).await?;
        let grown = chain(&mut receiving).await?;
        let keeping = Arc::clone(&keeper);
        let kept = spawn_blocking(move || keeping.merge(&grown)).await.map_err(|_| NotRecovered::OutOfPlace)?;
        let said = match (&kept, keeper.fleet()) {
            (Ok(()), Some(fleet)) => say(&fleet),
            (Err(why), _) => Letter::Refused(why.clone()).encode(),
            (Ok(()), None) => return Err(NotRecovered::OutOfPlace),
        };
        sending.send(&said).await?;
        // It closes once it has read that.
        let _ = timeout(LETTER_TIME, receiving.receive()).await;
        kept.map_err(NotRecovered::NotKept)
    };
    let talked = talk.await;
    sending.close(if talked.is_ok() { Close::Done } else { Close::NotTrusted });
    talked
}

/// Asks for the chain over a link that was opened as the sheet, lets it grow, and gives it back. Returns it as the other side has it then.
///
/// # Errors
/// When what answers is not of the fleet, or the change is not taken.
pub async fn ask(
    link: Link,
    grow: impl FnOnce(&mut Fleet, &VerifyingKey) -> Result<(), NotRecovered>,
) -> Result<Fleet, NotRecovered> {
    let answers = *link.peer();
    let (mut sending, mut receiving) = letters(link);
    receiving.limit(LETTER_MAX, LETTER_TIME);
    let talk = async {
        sending.send(&Letter::Known { port: 0, digest: [0; 16] }.encode()).await?;
        let mut fleet = chain(&mut receiving).await?;
        grow(&mut fleet, &answers)?;
        sending.send(&Letter::Chain(fleet.encode()).encode()).await?;
        let theirs = chain(&mut receiving).await?;
        let ours = fleet.head().clone();
        let taken = theirs.id() == fleet.id() && theirs.links().any(|link| *link.link() == ours);
        if taken { Ok(theirs) } else { Err(NotRecovered::NotTaken) }
    };
    let talked = talk.await;
    sending.close(Close::Done);
    talked
}
