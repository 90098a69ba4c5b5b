//! Questions that two nodes' people have for each other, beside the protocol: asked, answered one at a time, and never waited for by it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use hearth_core::{DeviceId, fleet::letter::Letter, sync::Keeper};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// So many of the other's questions wait for their answers; what comes beyond has none.
const WAITING_MAX: usize = 8;
/// So many questions of ours may be open.
const OPEN_MAX: usize = 64;

/// A question for the other side.
#[derive(Debug)]
pub struct Question {
    /// What is asked; at most [`hearth_core::fleet::letter::QUESTION_MAX`] bytes.
    pub bytes: Vec<u8>,
    /// Told the answer; let go when there is none.
    pub answer: oneshot::Sender<Vec<u8>>,
}

/// What is open in both directions.
pub(super) struct Asking {
    questions: Option<mpsc::Receiver<Question>>,
    /// Ours that the other has not answered.
    open: BTreeMap<u32, oneshot::Sender<Vec<u8>>>,
    next: u32,
    /// Theirs, in line.
    waiting: VecDeque<(u32, Vec<u8>)>,
    answering: Option<(u32, JoinHandle<Vec<u8>>)>,
    /// To be said before what nobody waits for, and whether it is an answer.
    unsaid: VecDeque<(Vec<u8>, bool)>,
    /// What was taken last is an answer, which may still be on its way.
    is_saying: bool,
}

impl Asking {
    pub(super) const fn new(questions: Option<mpsc::Receiver<Question>>) -> Self {
        Self {
            questions,
            open: BTreeMap::new(),
            next: 0,
            waiting: VecDeque::new(),
            answering: None,
            unsaid: VecDeque::new(),
            is_saying: false,
        }
    }

    /// Waits until something is to be said, which is a question once `may_ask`, or an answer. Nothing is lost when it is not waited for.
    pub(super) async fn next(&mut self, may_ask: bool) -> Letter {
        let Self { questions, open, next, answering, .. } = self;
        let asked = async {
            match questions.as_mut().filter(|_| may_ask) {
                Some(questions) => questions.recv().await,
                None => std::future::pending().await,
            }
        };
        let answered = async {
            match answering.as_mut() {
                // A panic there is logged by its thread.
                Some((number, answering)) => (*number, answering.await.unwrap_or_default()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            asked = asked => match asked {
                Some(Question { bytes, answer }) => {
                    // Nobody waits for those any more.
                    open.retain(|_, answer| !answer.is_closed());
                    let number = *next;
                    *next = next.wrapping_add(1);
                    if open.len() < OPEN_MAX {
                        open.insert(number, answer);
                    }
                    Letter::Ask { number, question: bytes }
                }
                None => {
                    *questions = None;
                    std::future::pending().await
                }
            },
            (number, answer) = answered => {
                *answering = None;
                Letter::Answer { number, answer }
            }
        }
    }

    /// Puts a letter in line for [`Asking::take`].
    pub(super) fn say(&mut self, letter: &Letter) {
        self.unsaid.push_back((letter.encode(), matches!(letter, Letter::Answer { .. })));
    }

    /// What is to be said next, if anything. Asked once all that was taken before is sent.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let next = self.unsaid.pop_front();
        self.is_saying = next.as_ref().is_some_and(|(_, is_answer)| *is_answer);
        next.map(|(letter, _)| letter)
    }

    /// How many letters wait to be taken, and of how many bytes.
    pub(super) fn unsaid(&self) -> (usize, usize) {
        (self.unsaid.len(), self.unsaid.iter().map(|(letter, _)| letter.len()).sum())
    }

    /// Puts a question of the other's in line, or says at once that there are too many.
    pub(super) fn asked(&mut self, number: u32, question: Vec<u8>) {
        if self.waiting.len() >= WAITING_MAX {
            return self.say(&Letter::Answer { number, answer: Vec::new() });
        }
        self.waiting.push_back((number, question));
    }

    /// The other answered; one to a question that is not open is left.
    pub(super) fn answered(&mut self, number: u32, answer: Vec<u8>) {
        if let Some(open) = self.open.remove(&number).filter(|_| !answer.is_empty()) {
            // Whoever asked may have gone.
            let _ = open.send(answer);
        }
    }

    /// Begins with the next answer, unless one is being made or is not sent yet: who reads none has one in memory.
    pub(super) fn start<K: Keeper + 'static>(&mut self, keeper: &Arc<K>, peer: DeviceId) {
        let is_unsent = self.is_saying || self.unsaid.iter().any(|(_, is_answer)| *is_answer);
        if self.answering.is_none()
            && !is_unsent
            && let Some((number, question)) = self.waiting.pop_front()
        {
            let keeper = Arc::clone(keeper);
            self.answering = Some((number, tokio::task::spawn_blocking(move || keeper.answer(&peer, &question))));
        }
    }
}
