//! What this node keeps to itself and lets others find while it is awake: the questions of their people, and the answers.
//!
//! A question comes over a link to a member of the fleet, and is answered out of the sessions that name that member
//! ([`Session::answers_to`](hearth_core::session::Session::answers_to)) and out of nothing else. What is asked for is used and forgotten;
//! what is answered is redacted text, and the other side keeps none of it.

use std::collections::BTreeMap;

use hearth_core::{
    ChunkId, DeviceId, ItemId, Moment, SessionId,
    fleet::{
        chain::Standing,
        letter::{ANSWER_MAX, QUESTION_MAX},
    },
    segment::Outline,
    session::Visibility,
};
use hearth_search::{Embedding, Weights};
use hearth_store::{Batch, Position, Tree};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    NodeError, Shared,
    find::{Best, Ready, Within},
    now,
    record::ItemRecord,
    view::segment_key,
};
use crate::{
    ask::{Filter, Hit, Mode, Parts, Shown},
    fleet::waking,
};

/// No question gets more passages than this out of a node.
pub(crate) const DEPTH_MAX: usize = 1_000;
/// A device has no more network cards than this that are of interest.
const CARDS_MAX: usize = 8;
/// No question gets more hits than this.
pub(crate) const HITS_MAX: usize = 200;
/// The most bytes of what is looked for.
const TEXT_MAX: usize = 8 << 10;

/// A question of another node's people. They are asked in this order, so that scores of several nodes can be compared.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Question {
    /// What do you know of these words? Answer: [`Weights`].
    Weigh { text: String },
    /// Which passages fit? Answer: [`Fitting`].
    Find {
        text: String,
        mode: Mode,
        filter: Box<Filter>,
        /// How many by word, and how many by meaning.
        depth: usize,
        /// The words as all who were asked know them.
        weights: Weights,
        /// What was meant, and the id of the model whose vector that is.
        meaning: Option<(String, Vec<f32>)>,
    },
    /// How do these look? Answer: as many of `Option<Hit>`, without their scores.
    Hits { text: String, picked: Vec<(ItemId, ChunkId)> },
    /// One item with its text; its passages are without theirs. Answer: `Option<Shown>`.
    Show { id: ItemId },
    /// How are you woken? Answer: [`About`].
    About,
}

/// Passages that fit.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fitting {
    pub(crate) passages: Vec<Passage>,
    /// Whether it could compare what was meant.
    pub(crate) knows_model: bool,
}

/// A passage that fits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Passage {
    pub(crate) chunk: ChunkId,
    pub(crate) items: Vec<ItemId>,
    #[serde(flatten)]
    pub(crate) parts: Parts,
}

/// The address of a network card, to which a packet is sent that wakes it.
pub(crate) type Card = [u8; 6];

/// How a node is woken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) cards: Vec<Card>,
}

/// What is known of a device while it sleeps. A rebuild of the state forgets it.
#[derive(Clone, Debug, Default, Encode, Decode)]
pub(crate) struct MetRecord {
    /// When it was last linked with nothing on its way.
    #[n(0)]
    at: Option<Moment>,
    #[n(1)]
    pub(crate) cards: Vec<Card>,
    /// How long it took to wake, the last time.
    #[n(2)]
    pub(crate) took_ms: Option<u64>,
}

/// What of an item fits into a letter that is too long for one.
const BEGINNING_CHARS: usize = 48 << 10;

/// The beginning of an item, and a word that it is no more than that.
fn beginning(mut shown: Shown) -> Shown {
    if let Some((end, _)) = shown.text.char_indices().nth(BEGINNING_CHARS) {
        shown.text.truncate(end);
    }
    shown.text.push_str("\n\n(This is only the beginning; the rest can be read on the device that keeps it.)\n");
    shown.chunks.clear();
    shown
}

/// Writes a question or an answer; `None` when it is too long to be sent.
pub(crate) fn write(letter: &impl Serialize, longest: usize) -> Option<Vec<u8>> {
    serde_json::to_vec(letter).ok().filter(|bytes| bytes.len() <= longest)
}

/// Reads one.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

impl Question {
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        write(self, QUESTION_MAX)
    }
}

impl Shared {
    /// Answers another member's people; empty when there is no answer.
    pub(crate) fn answer_live(&self, peer: &DeviceId, question: &[u8]) -> Vec<u8> {
        // A relay reads nothing, and of a member's rights its link may hear a moment late.
        let is_member = self
            .membership()
            .is_some_and(|membership| membership.fleet.standing(peer, now()) == Some(Standing::Active));
        let Some(question) = read::<Question>(question).filter(|_| is_member) else { return Vec::new() };
        let sessions = self.answering(peer);
        let answer = match question {
            Question::Weigh { text } | Question::Find { text, .. } | Question::Hits { text, .. }
                if text.len() > TEXT_MAX =>
            {
                Ok(None)
            }
            Question::Weigh { text } => {
                self.keyword.weigh(&text, Some(&sessions)).map_err(NodeError::from).map(|it| write(&it, ANSWER_MAX))
            }
            Question::About => Ok(write(&About { cards: waking::cards() }, ANSWER_MAX)),
            // Of no session there is nothing; asking the index for that would ask for everything.
            _ if sessions.is_empty() => Ok(None),
            Question::Find { text, mode, filter, depth, weights, meaning } => {
                let knows_model = meaning.as_ref().is_none_or(|(model, _)| model == self.model.id());
                let meaning = meaning.filter(|_| knows_model).and_then(|(_, numbers)| Embedding::new(&numbers).ok());
                let ready = Ready { text, limit: 0, mode, filter: *filter, meaning };
                let fitting = self.fitting(&ready, depth.min(DEPTH_MAX), &sessions, &weights);
                fitting.map(|passages| write(&Fitting { passages, knows_model }, ANSWER_MAX))
            }
            Question::Hits { text, picked } => {
                let within = Within { filter: &Filter::default(), sessions: Some(&sessions) };
                let picked = &picked[..picked.len().min(HITS_MAX)];
                self.hits_of(&text, picked, within).map(|it| write(&it, ANSWER_MAX))
            }
            Question::Show { id } => self.show_live(id, &sessions).map(|shown| {
                let whole = write(&shown, ANSWER_MAX);
                whole.or_else(|| write(&shown.map(beginning), ANSWER_MAX))
            }),
        };
        answer
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "another device's question could not be answered");
                None
            })
            .unwrap_or_default()
    }

    /// The sessions that stay here and let this device find what is in them.
    fn answering(&self, peer: &DeviceId) -> Vec<SessionId> {
        let gate = self.gate();
        let answers = gate.sessions().filter(|it| it.visibility != Visibility::Fleet && it.answers_to(peer));
        answers.map(|session| session.id).collect()
    }

    fn fitting(
        &self,
        ready: &Ready,
        depth: usize,
        sessions: &[SessionId],
        weights: &Weights,
    ) -> Result<Vec<Passage>, NodeError> {
        let within = Within { filter: &ready.filter, sessions: Some(sessions) };
        let (words, meanings) = self.legs(ready, depth, within, Some(weights))?;
        let mut parts = BTreeMap::<ChunkId, Parts>::new();
        for word in words {
            parts.entry(word.key).or_default().keyword = word.score;
        }
        for meaning in meanings {
            parts.entry(meaning.key).or_default().vector = meaning.score;
        }
        let mut passages = Vec::with_capacity(parts.len());
        for (chunk, parts) in parts {
            let items = self.items_of(chunk)?.into_iter().filter(|item| within.has(item));
            passages.push(Passage { chunk, items: items.map(|item| item.meta.item).collect(), parts });
        }
        Ok(passages)
    }

    /// How items look that were found by these passages; `None` for one that is gone.
    pub(crate) fn hits_of(
        &self,
        text: &str,
        picked: &[(ItemId, ChunkId)],
        within: Within<'_>,
    ) -> Result<Vec<Option<Hit>>, NodeError> {
        let gate = self.gate();
        let mut hits = Vec::with_capacity(picked.len());
        for (item, chunk) in picked {
            let item = self.items_of(*chunk)?.into_iter().find(|it| it.meta.item == *item && within.has(it));
            hits.push(match item {
                Some(item) => {
                    let best = Best { item, chunk: *chunk, score: 0.0, parts: Parts::default() };
                    self.hit(best, text, &gate)?
                }
                None => None,
            });
        }
        Ok(hits)
    }

    fn show_live(&self, id: ItemId, sessions: &[SessionId]) -> Result<Option<Shown>, NodeError> {
        let within = Within { filter: &Filter::default(), sessions: Some(sessions) };
        let item: Option<ItemRecord> = self.state.get(Tree::Item, id.as_bytes())?;
        let Some(item) = item.filter(|item| within.has(item)) else { return Ok(None) };
        let Some(mut shown) = self.shown(&item)? else { return Ok(None) };
        // A path of this machine opens nothing on another, and the text goes once.
        shown.open = None;
        shown.chunks.iter_mut().for_each(|chunk| chunk.text.clear());
        Ok(Some(shown))
    }

    /// Notes that a member was linked, and nothing of it was on its way, at this moment.
    pub(crate) fn note_met(&self, device: &DeviceId, at: Moment) -> Result<(), NodeError> {
        self.change_met(device, |met| met.at = Some(at))
    }

    pub(crate) fn note_cards(&self, device: &DeviceId, cards: Vec<Card>) -> Result<(), NodeError> {
        let known = self.met(device)?.cards;
        let mut cards = cards;
        cards.sort_unstable();
        cards.truncate(CARDS_MAX);
        if cards == known { Ok(()) } else { self.change_met(device, |met| met.cards = cards) }
    }

    pub(crate) fn note_woken(&self, device: &DeviceId, took_ms: u64) -> Result<(), NodeError> {
        self.change_met(device, |met| met.took_ms = Some(took_ms))
    }

    pub(crate) fn met(&self, device: &DeviceId) -> Result<MetRecord, NodeError> {
        Ok(self.state.get(Tree::Met, device.as_bytes())?.unwrap_or_default())
    }

    fn change_met(&self, device: &DeviceId, change: impl FnOnce(&mut MetRecord)) -> Result<(), NodeError> {
        let _one_at_a_time = self.writer();
        let mut met = self.met(device)?;
        change(&mut met);
        let mut batch = Batch::default();
        batch.put(Tree::Met, device.as_bytes(), &met);
        Ok(self.state.apply(batch)?)
    }

    /// Until when what a device shares is here: when it was last met, or when it wrote the newest that is here. `None` when nothing is.
    pub(crate) fn data_until(&self, device: &DeviceId) -> Result<Option<Moment>, NodeError> {
        let met = self.met(device)?;
        let mut written = None;
        for held in self.held()?.into_iter().filter(|held| held.log.author == *device) {
            let Some(last) = held.chain.number.checked_sub(1) else { continue };
            let position: Option<Position> = self.state.get(Tree::Segment, &segment_key(&held.log, last))?;
            // One that cannot be read says nothing; `hearth doctor` names it.
            let bytes = position.and_then(|position| self.log.read_bytes(position).ok());
            written = written.max(bytes.and_then(|bytes| Some(Outline::read(&bytes).ok()?.head().closed_at)));
        }
        // Its clock may be ahead of this one.
        Ok(met.at.max(written.map(|at| at.min(now()))))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use hearth_core::{Moment, fleet::link};

    use super::*;
    use crate::node::{Node, Settings};

    #[test]
    fn questions_and_answers_come_back_as_they_were() {
        let mut weights = Weights { passages: 7, fitting: 3, ..Weights::default() };
        weights.words.insert(4, 1_000);
        weights.found.entry(4).or_default().insert("boiler".into(), 2);
        let filter = Filter { source: Some("files".into()), after: Some(Moment::from_millis(5)), ..Filter::default() };
        let (item, chunk) = (ItemId::from_bytes([1; 16]), ChunkId::from_bytes([2; 16]));
        for question in [
            Question::Weigh { text: "boiler \"in october\"".into() },
            Question::Find {
                text: "boiler".into(),
                mode: Mode::Hybrid,
                filter: Box::new(filter),
                depth: 100,
                weights: weights.clone(),
                meaning: Some(("model".into(), vec![0.25, -0.5])),
            },
            Question::Hits { text: "boiler".into(), picked: vec![(item, chunk)] },
            Question::Show { id: item },
        ] {
            let bytes = question.write().expect("it is short");
            let back: Question = read(&bytes).expect("it reads");
            assert_eq!(format!("{back:?}"), format!("{question:?}"));
        }
        let parts = Parts { keyword: Some(1.5), vector: None };
        let fitting = Fitting { passages: vec![Passage { chunk, items: vec![item], parts }], knows_model: true };
        let back: Fitting = read(&write(&fitting, ANSWER_MAX).expect("short")).expect("it reads");
        assert_eq!(format!("{back:?}"), format!("{fitting:?}"));
        assert_eq!(read::<Weights>(&write(&weights, ANSWER_MAX).expect("short")), Some(weights));
        assert!(Question::Weigh { text: "a".repeat(QUESTION_MAX) }.write().is_none(), "too long to be sent");
    }

    #[test]
    fn what_is_no_question_is_none() {
        for (case, bytes) in [
            ("nothing", &b""[..]),
            ("no JSON", b"\xff\xfe"),
            ("another question", br#"{"sing":{"text":"a"}}"#),
            ("half of one", br#"{"weigh":{"#),
            (
                "a depth below zero",
                br#"{"find":{"text":"a","mode":"hybrid","filter":{},"depth":-1,"weights":{},"meaning":null}}"#,
            ),
            ("nested without end", &[b'['; 10_000]),
        ] {
            assert!(read::<Question>(bytes).is_none(), "{case}");
        }
    }

    #[test]
    fn only_a_member_is_answered_and_no_relay() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let node = Node::open(&home.path().join("data"), Settings::default()).expect("opened");
        let shared = node.shared();
        let (me, stranger) = (shared.identity.device, DeviceId::from_bytes([7; 16]));
        let about = Question::About.write().expect("short");
        assert!(shared.answer_live(&me, &about).is_empty(), "it is in no fleet");
        shared.found_fleet("home", "nas").expect("founded");
        let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
        let address = "relay.example:7843".to_owned();
        shared.add_relay(link::Relay { key: key.to_bytes(), address, region: String::new() }).expect("added");
        for (case, who, answered) in
            [("a member", me, true), ("a stranger", stranger, false), ("a relay", DeviceId::of_key(&key), false)]
        {
            for question in [&about, &Question::Weigh { text: "boiler".into() }.write().expect("short")] {
                assert_eq!(!shared.answer_live(&who, question).is_empty(), answered, "{case}");
            }
        }
        let long = Question::Weigh { text: "a".repeat(TEXT_MAX + 1) }.write().expect("short enough to be sent");
        assert!(shared.answer_live(&me, &long).is_empty(), "longer than anybody asks");
    }

    #[test]
    fn of_an_item_that_is_too_long_the_beginning_is_shown_and_said_to_be_one() {
        let item = serde_json::from_str(include_str!("../../../tests/data/schemas/item.json")).expect("a sample");
        // What takes the most room in JSON.
        let shown = Shown { item, text: "\u{1}".repeat(ANSWER_MAX), chunks: Vec::new(), open: None };
        assert!(write(&shown, ANSWER_MAX).is_none());
        let shown = beginning(shown);
        assert!(write(&shown, ANSWER_MAX).is_some() && shown.text.ends_with("on the device that keeps it.)\n"));
    }
}
