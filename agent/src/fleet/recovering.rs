//! Coming back with the recovery sheet: a fresh device calls a device or relay of the fleet as the sheet, and signs itself in.

use std::sync::Arc;

use hearth_core::{
    DeviceId,
    fleet::{FleetId, recovery::Seed, sheet::Holder},
};
use hearth_link::{
    Connector, Identity, Limits, Receiving, Sending, Trust, VerifyingKey,
    recovering::{self, NotRecovered},
};
use tracing::{info, warn};

use super::{address_of, peers::Peers};
use crate::node::{FleetError, now};

/// Why a device did not come in by the recovery sheet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBack {
    #[error("there is no address for `{0}`; write it as `host:port`, as the recovery sheet shows it")]
    NoAddress(String),
    #[error(transparent)]
    Talk(#[from] NotRecovered),
    #[error(transparent)]
    Here(#[from] FleetError),
    #[error("this device stopped while it came into the fleet; try again")]
    Stopped,
}

/// Where to go with the sheet.
pub(crate) struct Way<'a> {
    /// As `host:port`.
    pub(crate) at: &'a str,
    /// What must answer there, if that is known.
    pub(crate) key: Option<VerifyingKey>,
    /// Whose sheet it is, if that is known.
    pub(crate) fleet: Option<FleetId>,
    /// What to call this device.
    pub(crate) name: &'a str,
}

impl Peers {
    /// Brings this device, which is in no fleet, into that of the sheet.
    pub(crate) async fn recover(&self, seed: &Seed, way: Way<'_>) -> Result<(), NotBack> {
        let Way { at, key, fleet: wanted, name } = way;
        let address = address_of(at).await.ok_or_else(|| NotBack::NoAddress(at.to_owned()))?;
        // Whoever answers must show the chain that names this sheet, and stand in it; it is given nothing before that.
        let trust = key.map_or_else(|| Trust::by(|_| true), |key| Trust::only([key]));
        let connector = Connector::among(Identity::from_seed(seed.as_bytes()), trust, Limits::default());
        let link = connector.connect(address).await.map_err(NotRecovered::from)?;
        let (holder, answers) = (Holder::of(seed), link.device());
        let own = self.node.as_device(name);
        let fleet = recovering::ask(link, |fleet, answers| {
            holder.check(fleet, wanted)?;
            if !fleet.speaks_with(&answers.to_bytes(), now()) {
                return Err(NotRecovered::Stranger);
            }
            Ok(holder.make_admin(fleet, &own, now())?)
        })
        .await?;
        let is_relay = fleet.relay(&answers).is_some();
        let mut membership = self.node.recovered(&holder, fleet)?;
        if !is_relay {
            membership.addresses.insert(answers, address.to_string());
        }
        let node = Arc::clone(&self.node);
        tokio::task::spawn_blocking(move || node.take_up(membership)).await.map_err(|_| NotBack::Stopped)??;
        Ok(())
    }

    /// Whether this is the key of the fleet's recovery sheet.
    pub(super) fn is_sheet(&self, key: &VerifyingKey) -> bool {
        self.node.membership().is_some_and(|membership| membership.fleet.is_sheet(&key.to_bytes()))
    }

    /// Has a word with whoever holds the recovery sheet.
    pub(super) async fn answer_sheet(&self, key: &[u8; 32], halves: (Sending, Receiving)) {
        let sheet = DeviceId::of_key_bytes(key);
        match recovering::answer(Arc::clone(&self.node), key, halves).await {
            Ok(()) => {
                info!(%sheet, "a device came into the fleet with the recovery sheet");
                self.node.notice(
                    "a device came into the fleet with the recovery sheet and is an admin now; if that was not you, `hearth fleet` shows it, \
                     `hearth fleet revoke` takes it out and `hearth fleet recovery-sheet` makes that sheet worthless",
                );
            }
            Err(reason) => warn!(%sheet, %reason, "somebody with the recovery sheet was not served"),
        }
    }
}
