//! Who may be called: nobody, unless the owner named them.
//!
//! The shell asks [`Egress::decide`] before every outbound socket and tells the audit the answer. The default list is empty.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Reports to, and later deltas through, the fleet's coordinator.
    Coordinator,
    /// Another node of the fleet, or the one whose fleet this node is to join.
    Node,
    /// The broker through which nodes of the fleet meet.
    Broker,
    /// All machines of a network at home, one of which is to wake.
    Wake,
}

impl Purpose {
    /// The word for it in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Node => "node",
            Self::Broker => "broker",
            Self::Wake => "wake",
        }
    }
}

/// Someone who may be called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    /// Host name or address, exactly as it is written in the setting that asks for the call.
    pub host: String,
    /// Port.
    pub port: u16,
    /// For this and nothing else.
    pub purpose: Purpose,
}

/// Why a call is not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("outbound connection for {} to port {port} is not allowed; name its host and port in the configuration", purpose.name())]
pub struct Forbidden {
    /// What it was for.
    pub purpose: Purpose,
    /// The port that was asked for.
    pub port: u16,
}

/// The list of those who may be called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Egress {
    allowed: Vec<Allowed>,
}

impl Egress {
    /// Allows exactly these.
    pub const fn of(allowed: Vec<Allowed>) -> Self {
        Self { allowed }
    }

    /// Whether this host may be called at this port for this purpose.
    ///
    /// # Errors
    /// When it may not, which is the default.
    pub fn decide(&self, host: &str, port: u16, purpose: Purpose) -> Result<(), Forbidden> {
        let named =
            |rule: &Allowed| rule.purpose == purpose && rule.port == port && rule.host.eq_ignore_ascii_case(host);
        if self.allowed.iter().any(named) { Ok(()) } else { Err(Forbidden { purpose, port }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_named_is_called() {
        let purpose = Purpose::Coordinator;
        let egress = Egress::of(vec![Allowed { host: "nas.home".into(), port: 7843, purpose }]);
        for (case, host, port, allowed) in [
            ("the one that was named", "nas.home", 7843, true),
            ("in other letters", "NAS.home", 7843, true),
            ("another port", "nas.home", 443, false),
            ("a longer name", "nas.home.example", 7843, false),
            ("another host", "192.0.2.1", 7843, false),
        ] {
            assert_eq!(egress.decide(host, port, purpose).is_ok(), allowed, "{case}");
        }
        assert!(Egress::default().decide("nas.home", 7843, purpose).is_err(), "nobody by default");
    }
}
