//! How a device comes into a fleet, and how a fleet of somebody else becomes its guest: by a join code, on both sides.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hearth_core::{
    DeviceId, Moment,
    fleet::{
        FleetId,
        hosting::Hosting,
        invite::{Applicant, Invite, JoinCode, JoinRequest, Welcome, Who},
        letter::Letter,
        link::{Device, Guest},
    },
};
use hearth_link::{Close, Connector, Limits, LinkError, Trust, VerifyingKey, session::letters};

use super::{
    address_of,
    peers::{Met, Peers},
};
use crate::node::{FleetError, Membership, lock, name_of, now, wrap_secret};

/// How long who joins may take to send its request, and who answers to answer.
pub(super) const JOINING: Duration = Duration::from_secs(20);

/// Whom a join code lets in.
#[derive(Clone, Debug)]
pub(crate) enum Whom {
    /// A device.
    Device,
    /// A device in the place of this one, which goes when it comes, and what it is called.
    InPlaceOf(DeviceId, String),
    /// A fleet of somebody else, as a guest.
    Guest,
}

/// A join code, and whom it lets in.
pub(super) struct Invited {
    invite: Invite,
    whom: Whom,
}

/// What the device that made a code answers.
struct Answered {
    address: SocketAddr,
    key: VerifyingKey,
    answer: Letter,
}

impl From<LinkError> for NotJoined {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Refused(_) => Self::Closed,
            other => Self::Link(other),
        }
    }
}

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotJoined {
    #[error("there is no address for `{0}`; write it as `host:port`, as `hearth fleet invite` shows it")]
    NoAddress(String),
    #[error(transparent)]
    Link(LinkError),
    #[error(
        "no join code is open there any more: it was used, its ten minutes are over, or hearth was started anew since; make a new one with \
         `hearth fleet invite`"
    )]
    Closed,
    #[error(transparent)]
    Code(#[from] hearth_core::fleet::invite::WrongKey),
    #[error("the device that answered said no: {0}")]
    Refused(String),
    #[error("the device that answered did not answer in time; try again while it is awake")]
    Silent,
    #[error("what the device answered is not an answer to a request to join; update hearth on both")]
    OutOfPlace,
    #[error(transparent)]
    Answer(#[from] hearth_core::fleet::invite::BadJoin),
    #[error(transparent)]
    Here(#[from] FleetError),
}

impl Peers {
    /// Makes a join code, in place of the one before.
    pub(crate) fn invite(&self, whom: Whom) -> (JoinCode, Moment) {
        let answers = self.node.identity.signing.verifying_key().to_bytes();
        let mut invite = Invite::issue(answers, hearth_store::entropy(), now());
        if matches!(whom, Whom::Guest) {
            invite = invite.for_guest();
        }
        let (code, until) = (invite.code().clone(), invite.poll_timeout().unwrap_or_else(now));
        *lock(&self.invite) = Some(Invited { invite, whom });
        (code, until)
    }

    pub(super) fn is_inviting(&self) -> bool {
        lock(&self.invite).as_ref().is_some_and(|open| open.invite.poll_timeout().is_some_and(|until| now() < until))
    }

    /// Answers one who may know a join code.
    pub(super) async fn answer_join(
        self: &Arc<Self>,
        met: Met,
        request: Vec<u8>,
        channel: [u8; 32],
    ) -> Result<(), String> {
        let Met { key, halves: (mut sending, mut receiving), .. } = met;
        let peers = Arc::clone(self);
        // It signs and writes to the disk.
        let admitted = tokio::task::spawn_blocking(move || peers.admit(&request, &channel, &key)).await;
        let verdict =
            admitted.unwrap_or_else(|_| Err("the device that was asked failed at it; look at its log".into()));
        let letter = match &verdict {
            Ok(letter) => letter.clone(),
            Err(reason) => Letter::Refused(reason.clone()),
        };
        sending.send(&letter.encode()).await.map_err(|error| error.to_string())?;
        // It closes once it has read the answer.
        let _ = tokio::time::timeout(JOINING, receiving.receive()).await;
        sending.close(Close::Done);
        verdict.map(drop)
    }

    /// Decides about a request, and adds the device or guest; gives the answer.
    fn admit(&self, request: &[u8], channel: &[u8], key: &[u8; 32]) -> Result<Letter, String> {
        let request = JoinRequest::decode(request).map_err(|error| error.to_string())?;
        let (applicant, whom) = {
            let mut open = lock(&self.invite);
            let open = open.as_mut().ok_or("no join code is open here; make one with `hearth fleet invite`")?;
            let applicant = open.invite.handle(now(), &request, channel).map_err(|error| error.to_string())?;
            (applicant, open.whom.clone())
        };
        if request.key() != key {
            return Err("the request names another key than the link; update hearth on the device that joins".into());
        }
        match applicant {
            Applicant::Device(device) => {
                self.admit_device(device, whom).map(|welcome| Letter::Welcome(welcome.encode()))
            }
            Applicant::Guest(guest) => self.admit_guest(&guest).map(|hosting| Letter::Hosting(hosting.encode())),
        }
    }

    fn admit_device(&self, mut device: Device, whom: Whom) -> Result<Welcome, String> {
        if let Whom::InPlaceOf(before, name) = whom {
            let was = name_of(self.node.membership().as_deref(), &before);
            device.name.clone_from(&name);
            let welcome = self.node.replace_device(&device, before).map_err(|error| error.to_string())?;
            self.node.notice(&format!(
                "{name} joined the fleet in the place of {was} ({before}), which was taken out; if that was not you, `hearth fleet revoke` \
                 takes out the new one"
            ));
            return Ok(welcome);
        }
        let name = device.name.clone();
        let welcome = self.node.add_device(&device).map_err(|error| error.to_string())?;
        self.node.notice(&format!("{name} joined the fleet; if that was not you, `hearth fleet revoke {name}`"));
        Ok(welcome)
    }

    fn admit_guest(&self, guest: &Guest) -> Result<Hosting, String> {
        let hosting = self.node.add_guest(guest).map_err(|error| error.to_string())?;
        self.node.notice(&format!(
            "the relays of this fleet serve `{}`, too, a fleet of somebody else, which shares nothing with this one; if that was not you, \
             `hearth fleet guest remove {}`",
            guest.name, guest.fleet
        ));
        Ok(hosting)
    }

    /// Asks the device at `at` to be taken into its fleet; takes up what it answers.
    pub(crate) async fn join(&self, code: &JoinCode, at: &str, name: &str) -> Result<(), NotJoined> {
        let Answered { address, key, answer } = self.ask_to_join(code, at, name, None).await?;
        let Letter::Welcome(welcome) = answer else { return Err(NotJoined::OutOfPlace) };
        let welcome = Welcome::decode(&welcome)?;
        let signing = &self.node.identity.signing;
        let fleet = welcome.open(signing.verifying_key().as_bytes(), key.as_bytes(), now())?;
        let mut membership = Membership::take_up(signing, fleet, &welcome);
        membership.addresses.insert(DeviceId::of_key(&key), address.to_string());
        let node = Arc::clone(&self.node);
        tokio::task::spawn_blocking(move || node.take_up(membership)).await.map_err(|_| NotJoined::OutOfPlace)??;
        Ok(())
    }

    /// Asks the device at `at` that its fleet's relays serve this device's, too, and takes up those that it names. A fleet that was `founded` for
    /// that is there afterwards unless it was not let in, so that the same asks again when the answer was lost.
    pub(crate) async fn be_guest(
        &self,
        code: &JoinCode,
        at: &str,
        founded: Option<Membership>,
    ) -> Result<(), NotJoined> {
        let (fleet, name) = match (&founded, self.node.membership()) {
            (Some(own), _) => (own.id(), own.fleet.name().to_owned()),
            (None, own) => own.map(|own| (own.id(), own.fleet.name().to_owned())).ok_or(FleetError::None)?,
        };
        let answered = self.ask_to_join(code, at, &name, Some(fleet)).await;
        let may_be_in = matches!(answered, Ok(_) | Err(NotJoined::Silent | NotJoined::OutOfPlace));
        let hosting = answered.and_then(|answered| match answered.answer {
            Letter::Hosting(hosting) => Ok(Hosting::decode(&hosting)?),
            _ => Err(NotJoined::OutOfPlace),
        });
        let node = Arc::clone(&self.node);
        let taking_up = tokio::task::spawn_blocking(move || {
            if let Some(founded) = founded.filter(|_| may_be_in) {
                node.take_up(founded)?;
            }
            Ok(node.take_up_relays(&hosting?)?)
        });
        taking_up.await.map_err(|_| NotJoined::OutOfPlace)?
    }

    /// Asks the device at `at`, which has made this code; gives its answer.
    async fn ask_to_join(
        &self,
        code: &JoinCode,
        at: &str,
        name: &str,
        fleet: Option<FleetId>,
    ) -> Result<Answered, NotJoined> {
        let address = address_of(at).await.ok_or_else(|| NotJoined::NoAddress(at.to_owned()))?;
        // Whoever answers must hold the key that the code is of; it is told nothing before that is checked.
        let connector = Connector::among(self.identity(), Trust::by(|_| true), Limits::default());
        let link = connector.connect(address).await?;
        let (channel, key) = (link.channel(), *link.peer());
        let signing = &self.node.identity.signing;
        let (own, wrap_key) = (signing.verifying_key().to_bytes(), wrap_secret(signing).public());
        let request = match code.request(key.as_bytes(), Who { key: own, wrap_key, name, fleet }, &channel) {
            Ok(request) => request,
            Err(wrong) => {
                link.finish(Close::Done).await;
                return Err(wrong.into());
            }
        };
        let (mut sending, mut receiving) = letters(link);
        // From here on the answer may be lost.
        sending.send(&Letter::Join(request.encode()).encode()).await.map_err(|_| NotJoined::Silent)?;
        let answer = tokio::time::timeout(JOINING, receiving.receive()).await;
        let answer = answer.map_err(|_| NotJoined::Silent)?.map_err(|_| NotJoined::Silent)?;
        sending.close(Close::Done);
        match Letter::decode(&answer) {
            Ok(Letter::Refused(why)) => Err(NotJoined::Refused(why)),
            Ok(answer) => Ok(Answered { address, key, answer }),
            Err(_) => Err(NotJoined::OutOfPlace),
        }
    }
}
