//! Answers that come in parts (one name, one daemon), each of which keeps what it said while it fails. Pure.

use tokio::time::Instant;

use super::{WARM_MAX, told::Told};
use crate::Backend;

/// The latest of each part.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Part>,
    began: Instant,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Part {
    known: Option<Vec<Backend>>,
    trouble: Option<String>,
}

impl Parts {
    pub(super) fn new(n_parts: usize, began: Instant) -> Self {
        Self { parts: vec![Part::default(); n_parts], began }
    }

    /// Whether that is news worth telling before the others have answered too: it differs, none is still waited for, and not
    /// all are in trouble, which is told once a round, at its end, because it is counted.
    pub(super) fn put(&mut self, at: usize, answer: Result<Vec<Backend>, String>) -> bool {
        let Some(part) = self.parts.get_mut(at) else { return false };
        let before = part.clone();
        match answer {
            Ok(backends) => *part = Part { known: Some(backends), trouble: None },
            Err(trouble) => part.trouble = Some(trouble),
        }
        let is_news = *part != before;
        is_news
            && self.parts.iter().all(|part| part.known.is_some() || part.trouble.is_some())
            && self.parts.iter().any(|part| part.trouble.is_none())
    }

    /// All together, in the order of the parts. Empty only if each part said so; nothing while one has never answered, for
    /// [`WARM_MAX`].
    pub(super) fn told(&self, now: Instant) -> Told {
        let parts = &self.parts;
        let known: Vec<Backend> = parts.iter().filter_map(|part| part.known.as_ref()).flatten().cloned().collect();
        let is_whole = parts.iter().all(|part| part.known.is_some());
        let counts = is_whole || (!known.is_empty() && now >= self.began + WARM_MAX);
        match parts.iter().find_map(|part| part.trouble.clone()) {
            None => Told::backends(known),
            Some(trouble) if !counts => Told::trouble(trouble),
            Some(trouble) if parts.iter().all(|part| part.trouble.is_some()) => Told::Stale(known, trouble),
            Some(trouble) => Told::Partly(known, trouble),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Found, watcher::told::State};

    fn backend(name: &str) -> Backend {
        Backend { name: name.into(), ..Backend::default() }
    }

    #[tokio::test]
    async fn news_do_not_wait_for_slow_parts_once_each_has_said_something() {
        let mut parts = Parts::new(2, Instant::now());
        assert!(!parts.put(0, Ok(Vec::new())), "the other may have backends");
        assert!(parts.put(1, Err("away".into())));
        assert!(!parts.put(1, Err("away".into())), "that is no news");
        assert!(parts.put(0, Ok(vec![backend("a")])));
        assert!(!parts.put(0, Err("away too".into())), "that all fail is told at the end of a round");
        assert!(!parts.put(2, Ok(Vec::new())), "there is no such part");
    }

    #[tokio::test]
    async fn a_part_that_fails_keeps_what_it_said() {
        let now = Instant::now();
        let mut parts = Parts::new(2, now);
        parts.put(0, Ok(vec![backend("a")]));
        parts.put(1, Ok(vec![backend("b")]));
        assert!(
            matches!(parts.told(now), Told::Found(Found::Backends { backends, .. }) if backends == [backend("a"), backend("b")])
        );
        parts.put(1, Err("b fails".into()));
        assert!(matches!(parts.told(now), Told::Partly(known, text) if known.len() == 2 && text == "b fails"));
        assert!(parts.put(0, Ok(Vec::new())) && parts.put(1, Ok(Vec::new())));
        assert!(matches!(parts.told(now), Told::Found(Found::Backends { backends, .. }) if backends.is_empty()));
    }

    #[tokio::test]
    async fn the_others_of_a_part_that_never_answered_count_only_after_a_while() {
        let start = Instant::now();
        let (early, late) = (start + WARM_MAX - Duration::from_millis(1), start + WARM_MAX);
        let mut parts = Parts::new(2, start);
        parts.put(0, Err("a fails".into()));
        parts.put(1, Ok(Vec::new()));
        assert!(matches!(parts.told(late), Told::Found(Found::Trouble(text)) if text == "a fails"), "nobody knows what it has");
        parts.put(1, Ok(vec![backend("b")]));
        assert!(matches!(parts.told(early), Told::Found(Found::Trouble(text)) if text == "a fails"));
        assert!(matches!(parts.told(late), Told::Partly(known, _) if known == [backend("b")]));
        parts.put(1, Err("b fails".into()));
        assert!(matches!(parts.told(late), Told::Stale(known, _) if known == [backend("b")]));
        parts.put(0, Ok(Vec::new()));
        assert!(matches!(parts.told(early), Told::Partly(known, _) if known == [backend("b")]), "all have answered once");
    }

    #[tokio::test]
    async fn that_all_fail_counts_as_a_failure_each_round_and_keeps_what_was_there() {
        let now = Instant::now();
        let (mut parts, mut state) = (Parts::new(2, now), State::default());
        let mut round = |answers: [Result<Vec<Backend>, String>; 2]| {
            for (at, answer) in answers.into_iter().enumerate() {
                if parts.put(at, answer) {
                    state.hear(parts.told(now));
                }
            }
            state.hear(parts.told(now));
            (state.heard.failures, state.heard.sets.as_ref().map(|sets| sets.well.len()), state.heard.trouble.is_some())
        };
        let (well, away) = (|name| Ok(vec![backend(name)]), || Err("away".to_owned()));
        assert_eq!(round([well("a"), well("b")]), (0, Some(2), false));
        for n_failures in 1..4 {
            assert_eq!(round([away(), away()]), (n_failures, Some(2), true));
        }
        assert_eq!(round([away(), well("b")]), (0, Some(2), true), "one answers");
        assert_eq!(round([well("a"), well("b")]), (0, Some(2), false));
    }
}
