//! The MQTT broker of the configuration, and how a way through it goes beside the direct one.

use std::{fmt, sync::Arc, time::Duration};

use hearth_core::egress::{Allowed, Purpose};
use hearth_link::{
    Broker,
    mqtt::{Permit, Protection, Settings, Unfit, Version},
};
use tokio::time::{sleep, timeout};

use crate::{
    ask::{Failure, FailureKind},
    config::{BrokerTls, Config, MqttVersion},
    egress::EgressGate,
    node::Node,
};

/// The broker that the configuration names, if it names one.
pub(crate) fn named_in(config: &Config, node: &Arc<Node>) -> Result<Option<Broker>, Failure> {
    let settings = &config.broker;
    let Some(address) = &settings.address else { return Ok(None) };
    let settings = Settings {
        address: address.to_string(),
        protection: match settings.tls {
            BrokerTls::System => Protection::System,
            BrokerTls::File => Protection::File,
            BrokerTls::None => Protection::None,
        },
        ca: settings.ca.as_ref().map(|ca| ca.as_path().to_owned()),
        user: settings.user.as_ref().map(|user| user.as_str().to_owned()),
        password_file: settings.password_file.as_ref().map(|file| file.as_path().to_owned()),
        version: match settings.mqtt {
            MqttVersion::V311 => Version::V3,
            MqttVersion::V5 => Version::V5,
        },
    };
    let (host, port, purpose) = (address.host().to_owned(), address.port(), Purpose::Broker);
    let gate = EgressGate::new(vec![Allowed { host, port, purpose }], Arc::clone(node));
    let unfit = |error: Unfit| Failure::new(FailureKind::Usage, format!("`broker`: {error}"));
    let mut broker = settings.broker().map_err(unfit)?;
    broker.permit = Permit::by(move |host, port| gate.permit(host, port, purpose));
    Ok(Some(broker))
}

/// So long a direct call is ahead of one through a broker.
const HEAD_START: Duration = Duration::from_secs(1);
/// Behind a link through a broker, a direct one is tried this often.
pub(super) const DIRECT_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Why neither of two ways could be gone.
#[derive(Debug, thiserror::Error)]
pub struct Neither<E> {
    direct: E,
    through: E,
}

impl<E: fmt::Display> fmt::Display for Neither<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; through the broker: {}", self.direct, self.through)
    }
}

/// Goes the direct way, or the one through a broker where that fails. A direct link is better, so it has a start; one that does not come is
/// not waited for.
pub(super) fn direct_first<T, E>(
    direct: impl Future<Output = Result<T, E>>,
    through: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, Neither<E>>> {
    let (mut direct, mut through) = (Box::pin(direct), Box::pin(through));
    async move {
        let failed = match timeout(HEAD_START, &mut direct).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if let Some(direct) = failed {
            return through.await.map_err(|through| Neither { direct, through });
        }
        tokio::select! {
            linked = &mut direct => match linked {
                Ok(link) => Ok(link),
                Err(direct) => through.await.map_err(|through| Neither { direct, through }),
            },
            linked = &mut through => match linked {
                Ok(link) => Ok(link),
                Err(through) => direct.await.map_err(|direct| Neither { direct, through }),
            },
        }
    }
}

/// Tries the direct way again and again, behind a link through a broker, until it can be gone.
pub(super) async fn until_direct<T, E, F: Future<Output = Result<T, E>>>(mut direct: impl FnMut() -> F) -> T {
    loop {
        sleep(DIRECT_AGAIN).await;
        if let Ok(link) = Box::pin(direct()).await {
            return link;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn behind_a_broker_the_direct_way_is_tried_each_five_minutes_until_it_can_be_gone() {
        let (begun, mut tries) = (Instant::now(), 0);
        let link = until_direct(|| {
            tries += 1;
            std::future::ready(if tries < 3 { Err("shut") } else { Ok("direct") })
        });
        assert_eq!((link.await, begun.elapsed()), ("direct", 3 * DIRECT_AGAIN));
    }

    /// What comes after so many milliseconds.
    async fn after(millis: u64, comes: Result<&'static str, &'static str>) -> Result<&'static str, &'static str> {
        sleep(Duration::from_millis(millis)).await;
        comes
    }

    #[tokio::test(start_paused = true)]
    async fn the_direct_way_is_gone_when_it_can_be_and_the_other_when_it_cannot() {
        let (direct, through) = (Ok("direct"), Ok("through"));
        for (case, (direct_after, direct), (through_after, through), expected) in [
            ("both at once", (900, direct), (0, through), Ok("direct")),
            ("the direct one hangs", (60_000, direct), (300, through), Ok("through")),
            ("it comes while the other is tried", (1_200, direct), (300, through), Ok("direct")),
            ("it fails at once", (10, Err("shut")), (300, through), Ok("through")),
            ("it fails while the other is tried", (1_200, Err("shut")), (900, through), Ok("through")),
            ("only it comes", (5_000, direct), (300, Err("gone")), Ok("direct")),
            ("neither", (5_000, Err("shut")), (300, Err("gone")), Err("shut; through the broker: gone")),
            (
                "neither, the other way round",
                (10, Err("shut")),
                (300, Err("gone")),
                Err("shut; through the broker: gone"),
            ),
        ] {
            let gone = direct_first(after(direct_after, direct), after(through_after, through)).await;
            assert_eq!(gone.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{case}");
        }
    }
}
