//! The timings and sizes of gossip, as three profiles.
//!
//! Every number was measured in the engine study (simulator, 5 seeds each) unless its comment says otherwise. All members
//! of a cluster should run the same profile: a slow prober beside a fast one is only slower, not wrong.

use std::{str::FromStr, time::Duration};

/// GOSSIP_PROFILE: what kind of network the members share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One data centre. A member may stall for about 2.9 s before it counts as failed.
    #[default]
    Lan,
    /// Several data centres: slower verdicts, smaller datagrams.
    Wan,
    /// One rack of at most 100 nodes: a stall of 1.6 s counts as death.
    Fast,
}

/// A profile has another name. Nothing was changed; fix the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected lan, wan or fast")]
pub struct ParseProfileError;

impl FromStr for Profile {
    type Err = ParseProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "lan" => Ok(Self::Lan),
            "wan" => Ok(Self::Wan),
            "fast" => Ok(Self::Fast),
            _ => Err(ParseProfileError),
        }
    }
}

/// What the engine runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// One member is probed in each such period. With `suspect_for` this decides how fast a death is seen.
    pub probe_period: Duration,
    /// How long a probed member has to answer before others are asked to try.
    pub probe_rtt: Duration,
    /// How long a suspect has to refute.
    pub suspect_for: Duration,
    /// How long a suspect has to answer the last question before the verdict.
    pub last_question: Duration,
    /// How many others are asked to probe, and to how many members a change is pushed at once.
    pub fanout: usize,
    /// Fewest copies of a rumour or record each member sends; more in large clusters, see [`Config::transmissions`].
    pub min_transmissions: u8,
    /// How often rumours and records that are still in the queue are sent, beside what rides on probes.
    pub gossip_period: Duration,
    /// To how many members each time.
    pub gossip_fanout: usize,
    /// How often members that are down are asked whether they really are: heals partitions.
    pub down_announce_period: Duration,
    /// How many of them each time.
    pub down_announce_fanout: usize,
    /// How often one seed that is no member is contacted, for ever: heals partitions that down members cannot.
    pub seed_period: Duration,
    /// How often the whole state is compared with one random member over a stream.
    pub exchange_period: Duration,
    /// How often the sum of the whole state is sent to one random member in a datagram.
    pub root_period: Duration,
    /// How long foca remembers an identity that is down.
    pub remember_down: Duration,
    /// Changes within this time travel together.
    pub push_period: Duration,
    /// Largest foca packet. The rest of the datagram belongs to records, so that rumours never starve them.
    pub foca_bytes: usize,
    /// Largest UDP payload: below the MTU of any network of our time, with room for tunnels.
    pub datagram_bytes: usize,
}

/// How long the record of a failed node is kept for late corrections; the catalog shows it as long.
pub(crate) const REMEMBER_RECORD: Duration = Duration::from_secs(3600);

impl Profile {
    /// The numbers of the profile.
    pub fn config(self) -> Config {
        let lan = Config {
            probe_period: Duration::from_millis(500),
            probe_rtt: Duration::from_millis(200),
            suspect_for: Duration::from_secs(2),
            last_question: Duration::from_millis(400),
            fanout: 5,
            min_transmissions: 12,
            gossip_period: Duration::from_millis(200),
            gossip_fanout: 3,
            down_announce_period: Duration::from_secs(10),
            down_announce_fanout: 3,
            seed_period: Duration::from_secs(30),
            exchange_period: Duration::from_secs(15),
            root_period: Duration::from_secs(5),
            remember_down: Duration::from_secs(24 * 3600),
            push_period: Duration::from_millis(20),
            foca_bytes: 900,
            datagram_bytes: 1400,
        };
        match self {
            Self::Lan => lan,
            Self::Wan => Config {
                probe_period: Duration::from_secs(2),
                probe_rtt: Duration::from_millis(800),
                suspect_for: Duration::from_secs(8),
                last_question: Duration::from_millis(1500),
                gossip_period: Duration::from_millis(500),
                gossip_fanout: 4,
                down_announce_period: Duration::from_secs(30),
                seed_period: Duration::from_secs(60),
                exchange_period: Duration::from_secs(30),
                root_period: Duration::from_secs(10),
                remember_down: Duration::from_secs(72 * 3600),
                push_period: Duration::from_millis(50),
                // The smallest MTU that IPv6 allows.
                foca_bytes: 800,
                datagram_bytes: 1232,
                ..lan
            },
            Self::Fast => Config {
                probe_period: Duration::from_millis(200),
                probe_rtt: Duration::from_millis(80),
                suspect_for: Duration::from_secs(1),
                gossip_period: Duration::from_millis(100),
                exchange_period: Duration::from_secs(10),
                root_period: Duration::from_secs(2),
                remember_down: Duration::from_secs(3600),
                push_period: Duration::from_millis(10),
                ..lan
            },
        }
    }
}

impl Config {
    /// How many copies of each rumour and record a member sends in a cluster of `members`.
    pub fn transmissions(&self, members: usize) -> u8 {
        // Decimal digits of N are ceil(log10(N + 1)); six copies lose rumours even without packet loss.
        let digits = (members.max(1)).ilog10() as u8 + 1;
        self.min_transmissions.max(4 * digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_grow_with_the_digits_of_the_member_count() {
        let config = Profile::Lan.config();
        for (members, copies) in [(0, 12), (1, 12), (999, 12), (1000, 16), (9999, 16), (10_000, 20)] {
            assert_eq!(config.transmissions(members), copies, "{members}");
        }
    }

    #[test]
    fn profiles_read_their_names() {
        assert_eq!("wan".parse(), Ok(Profile::Wan));
        assert_eq!("slow".parse::<Profile>(), Err(ParseProfileError));
    }
}
