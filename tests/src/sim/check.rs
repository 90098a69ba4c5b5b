//! What must be so in the end.

use std::collections::{BTreeMap, BTreeSet};

use hearth_core::{
    DeviceId,
    merkle::Hash,
    sync::{Log, Proof, Trust},
};

use super::{World, node::Role};

impl World {
    /// What honest nodes do not agree on yet.
    pub(crate) fn differs(&self) -> Option<String> {
        if let Some(down) = self.nodes.iter().position(|node| !node.up) {
            return Some(format!("node {down} is down"));
        }
        let forked = self.forked();
        for (n, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_honest()) {
            let frozen: BTreeSet<DeviceId> = node.disk.proofs.iter().map(Proof::author).collect();
            if let Some(author) = forked.difference(&frozen).next() {
                return Some(format!(
                    "node {n} does not know that {author} forked its log, and the two sides have met"
                ));
            }
        }
        // Somebody may have been shown a proof of a fork of which only one side is left on disks.
        let frozen: BTreeSet<DeviceId> = self
            .nodes
            .iter()
            .filter(|node| node.is_honest())
            .flat_map(|node| &node.disk.proofs)
            .map(Proof::author)
            .collect();
        for (log, end) in self.ends() {
            if frozen.contains(&log.author) {
                continue;
            }
            let residency = u16::try_from(log.incarnation % 1000).expect("below 1000");
            for (n, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_honest()) {
                let here = node.durable.get(&log).copied().unwrap_or(0);
                if node.trust.may_have(&node.device, residency) && here != end {
                    return Some(format!(
                        "node {n} has {here} of {end} segments of {}/{}",
                        log.author, log.incarnation
                    ));
                }
            }
        }
        None
    }

    /// How long each log is where it is longest.
    fn ends(&self) -> BTreeMap<Log, u64> {
        let mut ends = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| node.is_honest()) {
            for (log, durable) in &node.durable {
                let end = ends.entry(*log).or_insert(0);
                *end = (*durable).max(*end);
            }
        }
        ends
    }

    /// Authors of whom two honest nodes hold different segments with one number.
    fn forked(&self) -> BTreeSet<DeviceId> {
        let mut seen: BTreeMap<(Log, u64), Hash> = BTreeMap::new();
        let mut forked = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| node.is_honest()) {
            for (log, places) in &node.chains {
                for held in places {
                    let digest = *seen.entry((*log, held.chain.number)).or_insert(held.chain.head);
                    if digest != held.chain.head {
                        forked.insert(log.author);
                    }
                }
            }
        }
        forked
    }

    /// What must be so whatever happened.
    pub(crate) fn check_all(&mut self) {
        let twins: BTreeSet<DeviceId> =
            self.nodes.iter().filter(|node| node.role == Role::Twin).map(|node| node.device).collect();
        if let Some(author) = self.forked().difference(&twins).next() {
            return self.broke(format!("two nodes hold different segments of the honest author {author}"));
        }
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            if node.role == Role::Liar {
                continue;
            }
            let foreign = node.disk.records().find_map(|bytes| self.misplaced(n, bytes));
            if let Some(residency) = foreign {
                return self.broke(format!("node {n} holds what may live under residency {residency} only"));
            }
        }
    }
}
