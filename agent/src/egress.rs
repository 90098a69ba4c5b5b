//! The one gate for every outbound connection: closed, but for whom the configuration names, and each asking is audited.
//!
//! It opens no socket itself; whoever would, asks here first, before a name is even looked up.

use std::sync::Arc;

use hearth_core::{
    audit::Event,
    egress::{Allowed, Egress, Purpose},
};

use crate::node::Node;

/// The gate of a running daemon.
#[derive(Clone, Debug)]
pub struct EgressGate {
    policy: Egress,
    node: Arc<Node>,
}

impl EgressGate {
    /// A gate that lets through only calls to these.
    pub fn new(allowed: Vec<Allowed>, node: Arc<Node>) -> Self {
        Self { policy: Egress::of(allowed), node }
    }

    /// Whether this host may be called at this port, told to the audit before the answer is given.
    ///
    /// # Errors
    /// The sentence that says why not; also when the audit cannot be written, since then nobody could know.
    pub fn permit(&self, host: &str, port: u16, purpose: Purpose) -> Result<(), String> {
        let verdict = self.policy.decide(host, port, purpose);
        let event = Event::Egress { purpose: purpose.name().into(), allowed: verdict.is_ok(), port };
        self.node
            .audit(event)
            .map_err(|error| format!("the audit log could not be written, so nothing is sent: {error}"))?;
        verdict.map_err(|forbidden| forbidden.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ask::{Answers, Ask, Audited},
        node::Settings,
    };

    #[test]
    fn every_asking_is_audited_and_nobody_unnamed_is_called() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let node = Arc::new(Node::open(&home.path().join("data"), Settings::default()).expect("opened"));
        let purpose = Purpose::Coordinator;
        let gate = EgressGate::new(vec![Allowed { host: "nas.home".into(), port: 7843, purpose }], Arc::clone(&node));
        assert!(gate.permit("nas.home", 7843, purpose).is_ok());
        assert!(gate.permit("192.0.2.7", 443, purpose).expect_err("nobody named it").contains("not allowed"));
        let audited: Audited =
            serde_json::from_value(node.answer(Ask::Audit { last: 9 }).expect("read")).expect("an answer");
        let asked: Vec<bool> = audited
            .entries
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Egress { allowed, .. } => Some(allowed),
                _ => None,
            })
            .collect();
        assert_eq!(asked, [true, false]);
    }
}
