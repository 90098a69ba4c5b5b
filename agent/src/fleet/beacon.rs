//! This node on the local network: shown to members and heard by them, by nobody else.

use std::net::SocketAddr;

use hearth_link::Lan;
use tracing::warn;

use crate::node::{Membership, now};

/// It shows the fleet's tag of the day under a name of the moment, and hears others that do.
pub(super) struct Beacon {
    lan: Option<Lan>,
    port: u16,
    /// What is shown.
    shown: Option<[u8; 16]>,
}

impl Beacon {
    pub(super) fn new(port: Option<u16>) -> Self {
        let lan = port.map(|_| Lan::open()).and_then(|lan| {
            lan.map_err(|error| warn!(%error, "nodes on the local network are not found; those whose addresses are known are called")).ok()
        });
        Self { lan, port: port.unwrap_or_default(), shown: None }
    }

    /// Shows what is to be shown today.
    pub(super) fn show(&mut self, membership: &Membership) {
        let tag = membership.lan_tag(day());
        let Some(lan) = self.lan.as_mut().filter(|_| tag != self.shown) else { return };
        if let Some(tag) = tag
            && let Err(error) = lan.announce(hearth_store::entropy(), tag, self.port)
        {
            warn!(%error, "this node cannot be found on the local network");
        }
        self.shown = tag;
    }

    /// Shows nothing any more.
    pub(super) fn hide(&mut self) {
        if let Some(lan) = self.lan.as_mut().filter(|_| self.shown.take().is_some()) {
            lan.withdraw();
        }
    }

    /// Waits for another node of the fleet.
    pub(super) async fn hears(&mut self, membership: Option<&Membership>) -> Vec<SocketAddr> {
        loop {
            let Some(lan) = &mut self.lan else { return std::future::pending().await };
            match lan.heard().await {
                Some(heard) if membership.is_some_and(|known| known.knows_lan_tag(&heard.tag, day())) => {
                    return heard.addresses;
                }
                Some(_) => {}
                None => self.lan = None,
            }
        }
    }

    pub(super) async fn end(self) {
        if let Some(lan) = self.lan {
            lan.close().await;
        }
    }
}

/// Whole days since 1970 by this node's clock.
fn day() -> u64 {
    now().as_millis() / 86_400_000
}
