//! How far a long order is, told while it runs.
//!
//! Whoever carries the order out is asked beside it how the node is; the order itself says nothing before it ends.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{count, grouped};
use crate::ask::{Answers, Ask, Failure, Status};

/// How often to look.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Carries out an order, and says every now and then what has come in since it began.
pub(super) fn watched(
    answers: &dyn Answers,
    order: Ask,
    every: Duration,
    say: impl Fn(String) + Send,
) -> Result<Value, Failure> {
    let before = status(answers);
    std::thread::scope(|scope| {
        let (running, ended) = channel::<()>();
        if let Some(before) = before {
            scope.spawn(move || {
                let mut since = Instant::now();
                while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    let Some(now) = status(answers) else { continue };
                    say(so_far(&before, &now, since.elapsed()));
                    // Vectors come last: their time begins when the first of them is about to be made.
                    if now.embedded <= before.embedded {
                        since = Instant::now();
                    }
                }
            });
        }
        let answer = answers.answer(order);
        drop(running);
        answer
    })
}

/// How the node is. That it cannot be said is no fault of the order.
fn status(answers: &dyn Answers) -> Option<Status> {
    serde_json::from_value(answers.answer(Ask::Status).ok()?).ok()
}

/// `12 items, 80 passages, 31 to embed, 9.5 passages/s`: what came in, what is left, and how fast vectors were made of late.
fn so_far(before: &Status, now: &Status, embedding: Duration) -> String {
    let (items, passages) = (now.items.saturating_sub(before.items), now.chunks.saturating_sub(before.chunks));
    let (embedded, waiting) = (now.embedded.saturating_sub(before.embedded), now.chunks.saturating_sub(now.embedded));
    if items + passages + embedded + waiting == 0 {
        return "nothing new yet".into();
    }
    let mut said = vec![count(items, "item", "items"), count(passages, "passage", "passages")];
    if waiting > 0 {
        said.push(format!("{} to embed", grouped(waiting)));
    }
    if embedded > 0 {
        let rate = embedded as f64 / embedding.as_secs_f64().max(0.001);
        said.push(if rate < 10.0 { format!("{rate:.1} passages/s") } else { format!("{rate:.0} passages/s") });
    }
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;
    use crate::cli::fake::Fake;

    fn at(items: u64, chunks: u64, embedded: u64) -> Status {
        let status = status(&Fake::default()).expect("the fake says how it is");
        Status { items, chunks, embedded, ..status }
    }

    #[test]
    fn what_came_in_since_the_order_began_is_counted() {
        let before = at(1_000, 9_000, 8_990);
        for (case, now, seconds, said) in [
            ("nothing", at(1_000, 9_000, 9_000), 10, "0 items, 0 passages, 1.0 passages/s"),
            ("capturing", at(1_012, 9_080, 8_990), 1, "12 items, 80 passages, 90 to embed"),
            ("embedding", at(2_204, 12_000, 9_170), 60, "1,204 items, 3,000 passages, 2,830 to embed, 3.0 passages/s"),
            ("all of it", at(1_001, 9_001, 9_001), 1, "1 item, 1 passage, 11 passages/s"),
        ] {
            assert_eq!(so_far(&before, &now, Duration::from_secs(seconds)), said, "{case}");
        }
        let whole = at(5, 5, 5);
        assert_eq!(so_far(&whole, &whole, Duration::from_secs(1)), "nothing new yet");
    }

    /// Ends an order only once it was asked three times how it is.
    #[derive(Default)]
    struct Patient {
        asked: Mutex<u32>,
        more: Condvar,
    }

    impl Answers for Patient {
        fn answer(&self, ask: Ask) -> Result<Value, Failure> {
            let mut asked = self.asked.lock().expect("no test panics with it");
            if ask == Ask::Status {
                *asked += 1;
                self.more.notify_all();
            } else {
                drop(self.more.wait_while(asked, |asked| *asked < 3).expect("no test panics with it"));
            }
            Fake::default().answer(ask)
        }
    }

    #[test]
    fn an_order_is_watched_while_it_runs_and_its_answer_comes_back() {
        let (say, said) = channel();
        let order = Ask::Index { paths: Vec::new(), again: false };
        let answer = watched(&Patient::default(), order.clone(), Duration::from_millis(1), move |text| {
            let _ = say.send(text);
        });
        assert_eq!(answer, Fake::default().answer(order));
        assert!(said.iter().next().is_some_and(|text| text.contains("311 to embed")));
    }
}
