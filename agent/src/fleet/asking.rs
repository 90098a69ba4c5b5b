//! A search among all devices that are awake: what is here, and what others keep to themselves and let this one find.
//!
//! Nodes rank by the words of all of them ([`Weights`]), so that their scores can be compared, and what they found is fused here as if one
//! had found it. Nobody is waited for long: whoever is late is named in the answer.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use hearth_core::{ChunkId, DeviceId, ItemId, Moment};
use hearth_link::session::Question as Sent;
use hearth_search::{Ranked, Weights, fuse, fuse::DEPTH};
use hearth_store::StoreError;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Duration, Instant, timeout_at},
};

use super::peers::Peers;
use crate::{
    ask::{Filter, Found, Hit, Lineage, Mode, Parts, Query, Shown},
    cli::{count, when},
    node::{
        NodeError, Shared,
        find::{Ready, Within, clip},
        live::{self, DEPTH_MAX, Fitting, HITS_MAX, Passage, Question},
        name_of, now,
    },
};

/// How long the others together may take, ...
const WITHIN: Duration = Duration::from_secs(2);
/// ... but never less than this once this node has understood the query: it may have had to load its model for that.
const AT_LEAST: Duration = Duration::from_secs(1);

/// The line to a device that is awake.
type Lines = BTreeMap<DeviceId, mpsc::Sender<Sent>>;

/// A passage of a node: where it stands in the list of nodes, this one first, and which it is.
type Place = (usize, ChunkId);

/// An item to be shown, by its best passage.
struct Picked {
    item: ItemId,
    chunk: ChunkId,
    score: f32,
    parts: Parts,
}

impl Picked {
    const fn place(&self) -> (ItemId, ChunkId) {
        (self.item, self.chunk)
    }

    fn scored(&self, hit: Hit, label: &str) -> Hit {
        let lineage = Lineage { model: self.parts.vector.map(|_| label.to_owned()), ..hit.lineage };
        Hit { score: self.score, parts: self.parts, lineage, ..hit }
    }
}

/// Those who were asked and have not failed to answer.
struct Round {
    lines: Lines,
    until: Instant,
    late: Vec<DeviceId>,
}

impl Round {
    /// Asks everybody something; who does not answer in time is not asked again.
    async fn ask<T: DeserializeOwned + Send + 'static>(
        &mut self,
        question: impl Fn(&DeviceId) -> Option<Question>,
    ) -> BTreeMap<DeviceId, T> {
        let until = self.until;
        let mut asking = JoinSet::new();
        let mut waited_for = HashSet::new();
        for (device, line) in &self.lines {
            let Some(question) = question(device) else { continue };
            let (device, line) = (*device, line.clone());
            waited_for.insert(device);
            asking.spawn(async move { Some((device, ask::<T>(&line, &question, until).await?)) });
        }
        let mut answers = BTreeMap::new();
        while let Some(answered) = asking.join_next().await {
            if let Ok(Some((device, answer))) = answered {
                waited_for.remove(&device);
                answers.insert(device, answer);
            }
        }
        for device in waited_for {
            self.lines.remove(&device);
            self.late.push(device);
        }
        answers
    }
}

/// Asks one device; `None` when it has no answer, or none in time.
pub(super) async fn ask<T: DeserializeOwned>(
    line: &mpsc::Sender<Sent>,
    question: &Question,
    until: Instant,
) -> Option<T> {
    let bytes = question.write()?;
    let (answer, answered) = oneshot::channel();
    let asked = async {
        line.send(Sent { bytes, answer }).await.ok()?;
        live::read(&answered.await.ok()?)
    };
    timeout_at(until, asked).await.ok().flatten()
}

impl Peers {
    /// Finds items here and on every device that is awake.
    pub(crate) async fn search(&self, query: Query) -> Result<Found, NodeError> {
        let begun = std::time::Instant::now();
        let mut round = Round { lines: self.lines(), until: Instant::now() + WITHIN, late: Vec::new() };
        let text = clip(&query.text).to_owned();
        let weighing = round.ask::<Weights>(|_| Some(Question::Weigh { text: text.clone() }));
        let (ready, mut weighed) = tokio::join!(self.on_disk(move |node| node.ready(&query)), weighing);
        let ready = Arc::new(ready?);
        round.until = round.until.max(Instant::now() + AT_LEAST);
        // Most keep nothing to themselves, and then this is a search like any other.
        weighed.retain(|_, weights| weights.passages > 0);
        round.lines.retain(|device, _| weighed.contains_key(device));
        let mut found = if weighed.is_empty() {
            let ready = Arc::clone(&ready);
            self.on_disk(move |node| node.find_ready(&ready, begun)).await?
        } else {
            self.search_among(&ready, &weighed, &mut round).await?
        };
        let late = round.late;
        found.missing.extend(self.on_disk(move |node| Ok(node.late(&late))).await?);
        let linked = self.linked();
        found.missing.extend(self.on_disk(move |node| node.asleep(&linked)).await?);
        found.took_ms = begun.elapsed().as_secs_f64() * 1e3;
        Ok(found)
    }

    async fn search_among(
        &self,
        ready: &Arc<Ready>,
        weighed: &BTreeMap<DeviceId, Weights>,
        round: &mut Round,
    ) -> Result<Found, NodeError> {
        let asked = Arc::clone(ready);
        let mut weights = self.on_disk(move |node| Ok(node.keyword.weigh(&asked.text, None)?)).await?;
        weighed.values().for_each(|others| weights.add(others));
        let nodes: Vec<DeviceId> = round.lines.keys().copied().collect();
        let mut depth = DEPTH.max(ready.limit);
        let (picked, uncompared) = loop {
            let question = |_: &DeviceId| Some(self.find_question(ready, depth, &weights));
            let (asked, all) = (Arc::clone(ready), weights.clone());
            let here = self.on_disk(move |node| {
                let within = Within { filter: &asked.filter, sessions: None };
                node.legs(&asked, depth, within, Some(&all))
            });
            let (here, there) = tokio::join!(here, round.ask::<Fitting>(question));
            let (words, meanings) = here?;
            let mut is_all = words.len() < depth && meanings.len() < depth;
            let (mut words, mut meanings) = (at_home(words), at_home(meanings));
            let (mut items, mut uncompared) = (BTreeMap::<Place, Vec<ItemId>>::new(), Vec::new());
            for (device, fitting) in there {
                let node = 1 + nodes.iter().position(|it| *it == device).expect("it was asked");
                is_all &= fitting.passages.len() < depth;
                if !fitting.knows_model {
                    uncompared.push(device);
                }
                for Passage { chunk, items: of, parts } in fitting.passages {
                    let one = |score: Option<f32>| {
                        score.filter(|it| it.is_finite()).map(|score| Ranked { key: (node, chunk), score: Some(score) })
                    };
                    words.extend(one(parts.keyword));
                    meanings.extend(one(parts.vector));
                    items.insert((node, chunk), of);
                }
            }
            let fused = fuse(&best_of(words, depth), &best_of(meanings, depth), ready.mode.into());
            let (limit, filter) = (ready.limit, ready.filter.clone());
            let picked = self.on_disk(move |node| node.picked(fused, &items, limit, &filter)).await?;
            let has_enough = picked.values().map(Vec::len).sum::<usize>() >= ready.limit;
            if has_enough || is_all || depth >= DEPTH_MAX {
                break (picked, uncompared);
            }
            depth = (depth * 4).min(DEPTH_MAX);
        };
        let hits = self.hits_of(ready, picked, &nodes, round).await?;
        let mode = ready.mode;
        let missing = self.on_disk(move |node| {
            let mut missing = if mode == Mode::Keyword { Vec::new() } else { node.missing()? };
            missing.extend(node.uncompared(&uncompared));
            Ok(missing)
        });
        Ok(Found { hits, took_ms: 0.0, missing: missing.await? })
    }

    fn find_question(&self, ready: &Ready, depth: usize, weights: &Weights) -> Question {
        let meaning = ready.meaning.as_ref().map(|it| (self.node().model.id().to_owned(), it.as_slice().to_vec()));
        let (text, mode, filter) = (ready.text.clone(), ready.mode, Box::new(ready.filter.clone()));
        Question::Find { text, mode, filter, depth, weights: weights.clone(), meaning }
    }

    /// What was picked as it is shown, best first.
    async fn hits_of(
        &self,
        ready: &Arc<Ready>,
        mut picked: BTreeMap<usize, Vec<Picked>>,
        nodes: &[DeviceId],
        round: &mut Round,
    ) -> Result<Vec<Hit>, NodeError> {
        let here = picked.remove(&0).unwrap_or_default();
        let of = |device: &DeviceId| picked.get(&(1 + nodes.iter().position(|it| it == device)?));
        let (asked, places) = (Arc::clone(ready), here.iter().map(Picked::place).collect::<Vec<_>>());
        let shown = self.on_disk(move |node| {
            node.hits_of(&asked.text, &places, Within { filter: &Filter::default(), sessions: None })
        });
        let label = self.node().model.label();
        let shown = shown.await?;
        let mut hits: Vec<Hit> = here.iter().zip(shown).filter_map(|(it, hit)| Some(it.scored(hit?, &label))).collect();
        let membership = self.node().membership();
        // A question has so many at most.
        for part in 0..picked.values().map(|all| all.len().div_ceil(HITS_MAX)).max().unwrap_or_default() {
            let part_of = |device: &DeviceId| of(device)?.chunks(HITS_MAX).nth(part);
            let question = |device: &DeviceId| {
                let picked = part_of(device)?.iter().map(Picked::place).collect();
                Some(Question::Hits { text: ready.text.clone(), picked })
            };
            for (device, shown) in round.ask::<Vec<Option<Hit>>>(question).await {
                let called = name_of(membership.as_deref(), &device);
                for (picked, hit) in part_of(&device).into_iter().flatten().zip(shown) {
                    let Some(mut hit) = hit.map(|hit| picked.scored(hit, &label)) else { continue };
                    // Who it is of is not for the other side to say, and marks must lie in the text. By this id it is shown.
                    hit.node = device;
                    hit.id = picked.item.to_string();
                    hit.lineage.device = Some(called.clone());
                    hit.highlights.retain(|(from, to)| hit.snippet.get(*from..*to).is_some());
                    hits.push(hit);
                }
            }
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(hits)
    }

    /// An item that some device which is awake keeps to itself and lets this one find.
    pub(crate) async fn show(&self, id: ItemId) -> Option<Shown> {
        let mut round = Round { lines: self.lines(), until: Instant::now() + WITHIN, late: Vec::new() };
        let shown = round.ask::<Option<Shown>>(|_| Some(Question::Show { id })).await;
        let (device, mut shown) = shown.into_iter().find_map(|(device, shown)| Some((device, shown?)))?;
        shown.item.node = device;
        shown.open = None;
        // The text came once.
        for chunk in &mut shown.chunks {
            let place = usize::try_from(chunk.start).ok().zip(usize::try_from(chunk.end).ok());
            let text = place.and_then(|(start, end)| shown.text.get(start..end));
            text.unwrap_or_default().clone_into(&mut chunk.text);
        }
        Some(shown)
    }

    /// Does something that may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let node = Arc::clone(self.node());
        match tokio::task::spawn_blocking(move || work(&node)).await {
            Ok(done) => done,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down.
                Err(_) => Err(StoreError::Damaged("a search that was broken off").into()),
            },
        }
    }
}

/// A leg of this node, as one among others.
fn at_home(leg: Vec<Ranked<ChunkId>>) -> Vec<Ranked<Place>> {
    leg.into_iter().map(|hit| Ranked { key: (0, hit.key), score: hit.score }).collect()
}

/// The best of several legs, as one.
fn best_of(mut leg: Vec<Ranked<Place>>, depth: usize) -> Vec<Ranked<Place>> {
    let score = |hit: &Ranked<Place>| hit.score.unwrap_or(f32::MIN);
    leg.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.key.cmp(&b.key)));
    leg.truncate(depth);
    leg
}

impl Shared {
    /// The items of the best passages, each by its best one, by node.
    fn picked(
        &self,
        passages: Vec<fuse::Fused<Place>>,
        items: &BTreeMap<Place, Vec<ItemId>>,
        limit: usize,
        filter: &Filter,
    ) -> Result<BTreeMap<usize, Vec<Picked>>, NodeError> {
        let within = Within { filter, sessions: None };
        let (mut picked, mut seen) = (BTreeMap::<usize, Vec<Picked>>::new(), HashSet::new());
        for fused in passages {
            let (node, chunk) = fused.key;
            let of = match items.get(&fused.key) {
                Some(items) => items.clone(),
                None => self.items_of(chunk)?.iter().filter(|it| within.has(it)).map(|it| it.meta.item).collect(),
            };
            let parts = Parts { keyword: fused.parts.keyword, vector: fused.parts.vector };
            for item in of {
                if seen.len() < limit && seen.insert((node, item)) {
                    picked.entry(node).or_default().push(Picked { item, chunk, score: fused.parts.fused, parts });
                }
            }
        }
        Ok(picked)
    }

    /// Who did not answer, as a sentence.
    fn late(&self, late: &[DeviceId]) -> Option<String> {
        let called = self.called(late)?;
        Some(format!("{called} did not answer in time: what is kept there alone was not searched"))
    }

    fn uncompared(&self, devices: &[DeviceId]) -> Option<String> {
        let called = self.called(devices)?;
        Some(format!("{called} embeds with another model: what is kept there alone was searched by word only"))
    }

    fn called(&self, devices: &[DeviceId]) -> Option<String> {
        let membership = self.membership();
        let names: Vec<String> = devices.iter().map(|device| name_of(membership.as_deref(), device)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Which members are not linked, and until when what they share is here, as a sentence.
    fn asleep(&self, linked: &HashSet<DeviceId>) -> Result<Option<String>, NodeError> {
        let mut asleep = Vec::new();
        for device in self.others().into_iter().filter(|device| !linked.contains(device)) {
            asleep.push((device, self.data_until(&device)?));
        }
        let membership = self.membership();
        let name = |device: &DeviceId| name_of(membership.as_deref(), device);
        Ok(asleep_sentence(asleep.iter().map(|(device, until)| (name(device), *until)), now(), &TimeZone::system()))
    }

    /// When no daemon runs, nobody is asked; the sentence for a node that is not alone in its fleet.
    pub(crate) fn unasked(&self) -> Option<String> {
        (!self.others().is_empty()).then(|| {
            "other devices of the fleet were not asked, because no daemon is running; start it with `hearth up`"
                .to_owned()
        })
    }

    /// The other members.
    pub(super) fn others(&self) -> Vec<DeviceId> {
        let Some(membership) = self.membership() else { return Vec::new() };
        let members = membership.fleet.members(now()).map(|(device, _)| device);
        members.filter(|device| *device != self.identity.device).collect()
    }
}

/// `1 device asleep or out of reach: nas, its data until 09:14`.
fn asleep_sentence(
    asleep: impl ExactSizeIterator<Item = (String, Option<Moment>)>,
    now: Moment,
    zone: &TimeZone,
) -> Option<String> {
    let devices = count(asleep.len() as u64, "device", "devices");
    let each = asleep.map(|(name, until)| match until {
        Some(until) => format!("{name}, its data until {}", when::clock(until, now, zone)),
        None => format!("{name}, nothing of it is here"),
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!("{devices} asleep or out of reach: {}", each.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_is_named_with_the_time_until_which_its_data_is_here() {
        let now = Moment::from_millis(1_774_375_200_000);
        let said = |asleep: &[(&str, Option<Moment>)]| {
            let asleep = asleep.iter().map(|(name, until)| ((*name).to_owned(), *until));
            asleep_sentence(asleep.collect::<Vec<_>>().into_iter(), now, &TimeZone::UTC)
        };
        let earlier = now - Duration::from_secs(3_600);
        assert_eq!(said(&[]), None, "everybody is awake");
        let one = format!(
            "1 device asleep or out of reach: nas, its data until {}",
            when::clock(earlier, now, &TimeZone::UTC)
        );
        assert_eq!(said(&[("nas", Some(earlier))]).as_deref(), Some(&*one));
        let two = said(&[("nas", Some(earlier)), ("phone", None)]).expect("two sleep");
        assert!(two.starts_with("2 devices asleep") && two.ends_with("; phone, nothing of it is here"), "{two}");
    }
}
