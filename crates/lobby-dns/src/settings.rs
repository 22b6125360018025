//! How DNS answers: domains, times to live, sizes. Read once, never changed.
//!
//! Not here: where it listens and whom it asks for other names (`serve`, `forward`), the texts of settings (lobbyd).

use std::{str::FromStr, time::Duration};

use crate::name::{self, Name};

/// Largest datagram we send: what passes everywhere without being broken up (DNS flag day 2020).
pub const UDP_BYTES: u16 = 1232;

/// Most domains and most rules for times to live.
pub const LIST: usize = 64;

/// Longest time to live that may be set: a day. Whoever keeps an answer longer has no service discovery.
pub const TTL_SECONDS: u32 = 86_400;

/// Highest limit of addresses in one answer: no message has room for more (65 535 bytes, 16 for each).
pub const ADDRESSES: u32 = 4096;

/// A datagram is too small for all answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncate {
    /// As many as fit, and the bit that says so: the client asks again over TCP.
    #[default]
    Tell,
    /// As Consul does it: as many as fit, and at most [`CUT_ANSWERS`] without EDNS, and nobody is told.
    Cut,
}

/// As many answers Consul gives to a client without EDNS.
pub const CUT_ANSWERS: usize = 3;

/// Which services keep their answers how long: the most exact rule counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTtls(Vec<(Pattern, u32)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

/// A rule for times to live is no rule. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("NAME=SECONDS, with a name, the begin of one and a star, or a star, and 0 to {TTL_SECONDS} seconds, not {0:?}")]
pub struct BadRule(pub String);

/// All settings of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The domains that are answered, at least one. The first one stands in answers to reverse questions.
    pub domains: Vec<Name>,
    /// How long answers may be kept, in seconds.
    pub ttl: u32,
    /// The same for services that have a rule of their own.
    pub service_ttls: ServiceTtls,
    /// How long it may be kept that there is nothing, in seconds.
    pub negative_ttl: u32,
    /// Instances with a warning are left out.
    pub only_passing: bool,
    /// The instances nearest to the asker, or else to this agent, come first; else their order changes with each answer.
    pub near: bool,
    /// What becomes of answers that do not fit.
    pub truncate: Truncate,
    /// SRV answers bring the meta pairs of their nodes along as TXT.
    pub node_txt: bool,
    /// Names outside the domains are asked of others, so recursion is available.
    pub forwards: bool,
    /// Addresses in one answer at most; 0: as many as fit.
    pub a_record_limit: u32,
    /// Datagrams that the clients of one network get in a second; 0: any number.
    pub rate: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let domain = |text| name::parse(text).expect("the word is a name");
        Self {
            domains: vec![domain("lobby"), domain("consul")],
            ttl: 0,
            service_ttls: ServiceTtls::default(),
            negative_ttl: 1,
            only_passing: false,
            near: false,
            truncate: Truncate::Tell,
            node_txt: false,
            forwards: false,
            a_record_limit: 0,
            rate: 0,
        }
    }
}

impl Settings {
    /// How long answers about a service may be kept.
    pub fn service_ttl(&self, service: &str) -> u32 {
        self.service_ttls.of(service).unwrap_or(self.ttl)
    }
}

impl ServiceTtls {
    /// The seconds that the most exact rule for this name says: the name itself, then the longest begin of it.
    pub fn of(&self, service: &str) -> Option<u32> {
        let begins = |prefix: &str| service.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        let exactness = |pattern: &Pattern| match pattern {
            Pattern::Exact(name) => name.eq_ignore_ascii_case(service).then_some(usize::MAX),
            Pattern::Prefix(prefix) => begins(prefix).then_some(prefix.len()),
        };
        let found = self.0.iter().filter_map(|(pattern, ttl)| Some((exactness(pattern)?, *ttl)));
        found.max_by_key(|(exactness, _)| *exactness).map(|(_, ttl)| ttl)
    }
}

impl FromStr for ServiceTtls {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let rules = text.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        let read = |rule: &str| {
            let (name, seconds) = rule.rsplit_once('=')?;
            let (name, seconds) = (name.trim(), seconds.trim().parse().ok().filter(|seconds| *seconds <= TTL_SECONDS)?);
            let pattern = match name.strip_suffix('*') {
                Some(prefix) => Pattern::Prefix(prefix.into()),
                None if name.is_empty() => return None,
                None => Pattern::Exact(name.into()),
            };
            Some((pattern, seconds))
        };
        let rules: Vec<_> = rules.map(|rule| read(rule).ok_or_else(|| BadRule(rule.into()))).collect::<Result<_, _>>()?;
        if rules.len() > LIST { Err(BadRule(format!("a list of {}", rules.len()))) } else { Ok(Self(rules)) }
    }
}

/// Bounds of the sockets. Each is a judgement for an agent that serves the programs of its machine and perhaps some resolvers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// TCP connections at the same time.
    pub connections: usize,
    /// The same of one network, or one program's address on our own machine.
    pub per_network: usize,
    /// When all are taken, a new one gets the place of one that asked nothing for this long.
    pub quiet: Duration,
    /// A TCP connection without a question is closed after this.
    pub idle: Duration,
    /// A TCP client that takes nothing of its answers for this long is cut off.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            per_network: 64,
            quiet: Duration::from_secs(1),
            idle: Duration::from_secs(10),
            write: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_rule_counts() {
        let ttls: ServiceTtls = "*=1, web-*=2,web-a*=3 ,web-a=4,Web-B=5".parse().unwrap();
        let found = ["db", "web-x", "web-ab", "WEB-A", "web-b", "web"].map(|name| ttls.of(name).unwrap());
        assert_eq!(found, [1, 2, 3, 4, 5, 1]);
        assert_eq!("web=5".parse::<ServiceTtls>().unwrap().of("db"), None);
        assert_eq!("".parse(), Ok(ServiceTtls::default()));
        for bad in ["web", "=5", "web=", "web=-1", "web=86401", "web=1s"] {
            assert_eq!(bad.parse::<ServiceTtls>(), Err(BadRule(bad.into())));
        }
        let list = |n: usize| (0..n).map(|n| format!("s{n}=1")).collect::<Vec<_>>().join(",");
        assert!(list(LIST).parse::<ServiceTtls>().is_ok() && list(LIST + 1).parse::<ServiceTtls>().is_err());
    }
}
