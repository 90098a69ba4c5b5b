//! The broker through which this node meets others: members that write to it there, and calls of members and relays.

use std::sync::Arc;

use hearth_link::{
    Broker, Close, Limits, Link, Mqtt, Protocol, Trust,
    mqtt::{Knock, State},
    session::Ended,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Callee, FAREWELL, Met, Peers, why};
use crate::node::lock;

impl Peers {
    /// Begins to use a broker, so that the first calls may go through it; `None` when this node is in no fleet.
    pub(super) fn begin_at(self: &Arc<Self>, broker: Broker) -> Option<Arc<Mqtt>> {
        let membership = self.node.membership()?;
        let trust = {
            let peers = Arc::clone(self);
            Trust::by(move |key| peers.is_member(key))
        };
        let called = format!("{}:{}", broker.host, broker.port);
        let mqtt = Arc::new(Mqtt::open(broker, self.identity(), trust, membership.id().tag(), Limits::default()));
        *lock(&self.broker) = Some((called, Arc::clone(&mqtt)));
        Some(mqtt)
    }

    /// Welcomes members that write to this node through a broker, until `stop`.
    pub(super) async fn meet_at(self: Arc<Self>, mqtt: Arc<Mqtt>, stop: CancellationToken) {
        let mut welcomes = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                knock = mqtt.accept() => match knock {
                    Some(knock) => drop(welcomes.spawn(Arc::clone(&self).welcome_through(knock, stop.clone()))),
                    None => break,
                },
                Some(_) = welcomes.join_next(), if !welcomes.is_empty() => {}
            }
        }
        // Sessions end by themselves now, and say good-bye.
        let farewell = async { while welcomes.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        *lock(&self.broker) = None;
        mqtt.shut(Close::ShuttingDown).await;
    }

    async fn welcome_through(self: Arc<Self>, knock: Knock, stop: CancellationToken) {
        let welcomed = tokio::select! {
            () = stop.cancelled() => return,
            welcomed = knock.welcome() => welcomed,
        };
        match welcomed {
            Ok(link) => self.talk(Met::new(link, false, false), stop).await,
            Err(error) => debug!(%error, "somebody wrote through the broker and was not let in"),
        }
    }

    /// The broker that is used: what it is called, whether it can be used now, and that in words.
    pub(crate) fn broker(&self) -> Option<(String, bool, String)> {
        let used = lock(&self.broker);
        let (called, mqtt) = used.as_ref()?;
        let state = mqtt.state();
        Some((called.clone(), matches!(state, State::Connected), state.to_string()))
    }

    /// A call through the broker, if one is used and may be tried.
    pub(super) fn through_broker(
        &self,
        callee: &Callee,
    ) -> Option<impl Future<Output = Result<Link, String>> + Send + use<>> {
        let (key, is_relay) = (callee.key, callee.is_relay);
        let used = lock(&self.broker);
        let mqtt = used.as_ref().filter(|_| callee.through_broker).map(|(_, mqtt)| Arc::clone(mqtt))?;
        Some(async move {
            let linked = if is_relay { mqtt.call(&key, Protocol::Fleet).await } else { mqtt.connect(&key).await };
            linked.map_err(|error| why(&Ended::Link(error)))
        })
    }
}
