//! `join` at run time: texts become addresses, addresses are tried, and whoever asked hears which of them answered.
//!
//! Pure: the loop resolves and tells. A join is over when every address has answered or failed, or after 5 s; what has
//! not answered by then is told as failed, though the engine keeps it as a seed and goes on trying.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use lobby_core::{
    port::gossip::{Answer, GossipError, JoinOutcome},
    time::Moment,
};

use super::desk::tell;

/// Seeds in one join, and addresses that they may stand for: as many as there may be seeds.
pub(super) const MAX_SEEDS: usize = 64;

/// Joins at a time.
const MAX_JOINS: usize = 8;

/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(5);

const TOO_LATE: &str = "no answer within 5 s; it is tried again for as long as this agent runs";

/// Joins under way.
#[derive(Debug, Default)]
pub(super) struct Joins {
    n_begun: u64,
    open: HashMap<u64, Join>,
}

#[derive(Debug)]
struct Join {
    answer: Answer<JoinOutcome>,
    due: Moment,
    /// Seeds without an address so far.
    resolving: Vec<String>,
    /// Addresses that are being tried, and the seeds that they belong to.
    trying: BTreeMap<SocketAddr, String>,
    outcome: JoinOutcome,
}

/// A seed of a join and what it stands for.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) join: u64,
    pub(super) seed: String,
    pub(super) addrs: Result<Vec<SocketAddr>, String>,
}

impl Joins {
    /// Begins a join: its number, to resolve the seeds for. Refused ones are answered.
    pub(super) fn begin(&mut self, seeds: &[String], answer: Answer<JoinOutcome>, now: Moment) -> Option<u64> {
        let invalid = |why: String| Some(GossipError::Invalid { field: "addresses", why });
        let refused = match seeds.len() {
            0 => invalid("none is given: expected host:port, an address or _name._tcp.domain".to_owned()),
            1..=MAX_SEEDS if self.open.len() >= MAX_JOINS => Some(GossipError::Busy("joins")),
            1..=MAX_SEEDS => None,
            n_seeds => invalid(format!("{n_seeds} are too many: at most {MAX_SEEDS} are taken")),
        };
        if let Some(err) = refused {
            tell(answer, Err(err));
            return None;
        }
        let mut resolving = seeds.to_vec();
        resolving.sort();
        resolving.dedup();
        self.n_begun += 1;
        let join = Join { answer, due: now + TIMEOUT, resolving, trying: BTreeMap::new(), outcome: JoinOutcome::default() };
        self.open.insert(self.n_begun, join);
        Some(self.n_begun)
    }

    /// A seed was resolved: the addresses that the engine is to join.
    pub(super) fn resolve(&mut self, found: Found) -> Vec<SocketAddr> {
        let Some(join) = self.open.get_mut(&found.join) else { return Vec::new() };
        join.resolving.retain(|seed| *seed != found.seed);
        let fresh = match found.addrs {
            Ok(addrs) => {
                let room = MAX_SEEDS.saturating_sub(join.trying.len() + join.outcome.reached.len());
                let fresh: Vec<_> = addrs.into_iter().filter(|addr| !join.trying.contains_key(addr)).take(room).collect();
                join.trying.extend(fresh.iter().map(|addr| (*addr, found.seed.clone())));
                fresh
            }
            Err(why) => {
                join.outcome.failed.push((found.seed, why));
                Vec::new()
            }
        };
        self.finish(found.join);
        fresh
    }

    /// An address was tried.
    pub(super) fn joined(&mut self, addr: SocketAddr, result: Result<(), &'static str>) {
        let numbers: Vec<_> = self.open.keys().copied().collect();
        for number in numbers {
            let Some(join) = self.open.get_mut(&number) else { continue };
            let Some(seed) = join.trying.remove(&addr) else { continue };
            match result {
                Ok(()) => join.outcome.reached.push(addr),
                Err(why) => join.outcome.failed.push((named(seed, addr), why.to_owned())),
            }
            self.finish(number);
        }
    }

    /// Ends those whose time is over.
    pub(super) fn handle_deadline(&mut self, now: Moment) {
        for (_, mut join) in self.open.extract_if(|_, join| join.due <= now) {
            let silent = join.trying.into_iter().map(|(addr, seed)| named(seed, addr));
            join.outcome.failed.extend(join.resolving.into_iter().chain(silent).map(|seed| (seed, TOO_LATE.to_owned())));
            tell(join.answer, Ok(join.outcome));
        }
    }

    /// When [`Self::handle_deadline`] wants to be called next.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.open.values().map(|join| join.due).min()
    }

    /// Lets everybody go who waits.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }

    fn finish(&mut self, number: u64) {
        if self.open.get(&number).is_some_and(|join| join.resolving.is_empty() && join.trying.is_empty())
            && let Some(join) = self.open.remove(&number)
        {
            tell(join.answer, Ok(join.outcome));
        }
    }
}

/// The seed as it was given, with the address if that is not the same.
fn named(seed: String, addr: SocketAddr) -> String {
    if seed == addr.to_string() { seed } else { format!("{seed} ({addr})") }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    type Outcome = oneshot::Receiver<Result<JoinOutcome, GossipError>>;

    const NOW: Moment = Moment::from_micros(1_000_000);

    fn begin(joins: &mut Joins, seeds: &[&str]) -> (Option<u64>, Outcome) {
        let (answer, outcome) = oneshot::channel();
        let seeds: Vec<_> = seeds.iter().map(|seed| (*seed).to_owned()).collect();
        (joins.begin(&seeds, answer, NOW), outcome)
    }

    fn found(join: u64, seed: &str, addrs: Result<&[u16], &str>) -> Found {
        let addrs = addrs.map(|ports| ports.iter().map(|port| at(*port)).collect()).map_err(str::to_owned);
        Found { join, seed: seed.to_owned(), addrs }
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn a_join_is_over_when_every_address_is() {
        let mut joins = Joins::default();
        let (number, mut outcome) = begin(&mut joins, &["a", "b", "10.0.0.1:3", "a"]);
        let number = number.unwrap();
        assert_eq!(joins.resolve(found(number, "a", Ok(&[1, 2]))), [at(1), at(2)]);
        assert!(joins.resolve(found(number, "b", Err("no such name"))).is_empty());
        joins.joined(at(1), Ok(()));
        joins.joined(at(2), Err("refused"));
        assert!(outcome.try_recv().is_err(), "one seed is not resolved yet");
        assert_eq!(joins.resolve(found(number, "10.0.0.1:3", Ok(&[3]))), [at(3)]);
        joins.joined(at(9), Ok(()));
        joins.joined(at(3), Err("foreign"));
        let outcome = outcome.try_recv().unwrap().unwrap();
        assert_eq!(outcome.reached, [at(1)]);
        let failed = [("b", "no such name"), ("a (10.0.0.1:2)", "refused"), ("10.0.0.1:3", "foreign")];
        assert_eq!(outcome.failed, failed.map(|(seed, why)| (seed.to_owned(), why.to_owned())));
        assert_eq!(joins.next_deadline(), None);
    }

    #[test]
    fn what_is_silent_for_five_seconds_has_failed() {
        let mut joins = Joins::default();
        let (number, mut outcome) = begin(&mut joins, &["slow name", "b"]);
        joins.resolve(found(number.unwrap(), "b", Ok(&[1])));
        let due = joins.next_deadline().unwrap();
        assert_eq!(due, NOW + TIMEOUT);
        joins.handle_deadline(NOW);
        assert!(outcome.try_recv().is_err());
        joins.handle_deadline(due);
        let outcome = outcome.try_recv().unwrap().unwrap();
        assert!(outcome.reached.is_empty());
        assert_eq!(outcome.failed.iter().map(|(seed, _)| seed.as_str()).collect::<Vec<_>>(), ["slow name", "b (10.0.0.1:1)"]);
        assert!(joins.resolve(found(number.unwrap(), "slow name", Ok(&[2]))).is_empty(), "too late");
    }

    #[test]
    fn two_joins_of_one_address_both_hear_of_it() {
        let mut joins = Joins::default();
        let both = [begin(&mut joins, &["a"]), begin(&mut joins, &["b"])];
        for ((number, _), seed) in both.iter().zip(["a", "b"]) {
            assert_eq!(joins.resolve(found(number.unwrap(), seed, Ok(&[1]))), [at(1)]);
        }
        joins.joined(at(1), Ok(()));
        for (_, mut outcome) in both {
            assert_eq!(outcome.try_recv().unwrap().unwrap().reached, [at(1)]);
        }
    }

    #[test]
    fn bounds_are_refused_with_a_reason() {
        let mut joins = Joins::default();
        let mut refusal =
            |seeds: &[&str]| begin(&mut joins, seeds).1.try_recv().ok().map(|result| result.unwrap_err().to_string());
        assert!(refusal(&[]).unwrap().starts_with("addresses: none is given"));
        assert_eq!(refusal(&["a"; 65]).unwrap(), "addresses: 65 are too many: at most 64 are taken");
        let open = (0..MAX_JOINS).map(|_| refusal(&["a"])).collect::<Vec<_>>();
        assert!(open.iter().all(Option::is_none));
        assert_eq!(refusal(&["a"]).unwrap(), "too many joins at a time");
        let ports: Vec<_> = (1..=100).collect();
        assert_eq!(joins.resolve(found(1, "a", Ok(&ports))).len(), MAX_SEEDS);
    }
}
