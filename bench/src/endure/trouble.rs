//! What happens to the fleet in one round of an endurance run, and how it is undone; how single agents are restarted.

use lobby_testkit::{bridge::Bridge, process::Signal};

use super::{
    AGENTS, ELDERS,
    agent::{Agent, Broker, Brokers},
};

/// Who is silent on its own: no elder, so that it is a death like others.
const ALONE: usize = AGENTS - 1;

/// Trouble of a whole round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Nats,
    Halves,
    Redis,
    Split,
    Loss,
    OneWay,
    Brokers,
    Paused,
    Unreachable,
    Unplugged,
}

impl Trouble {
    pub(super) const ALL: [Self; 10] = [
        Self::Nats,
        Self::Halves,
        Self::Redis,
        Self::Split,
        Self::Loss,
        Self::OneWay,
        Self::Brokers,
        Self::Paused,
        Self::Unreachable,
        Self::Unplugged,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Nats => "nats-server killed and started again",
            Self::Redis => "redis-server killed and started again",
            Self::Halves => "gossip cut in halves, brokers reached by both",
            Self::Split => "cut in halves, and no broker",
            Self::Loss => "a tenth of all packets lost",
            Self::OneWay => "one half not heard by the other",
            Self::Brokers => "both brokers killed and started again",
            Self::Paused => "an agent stopped by SIGSTOP",
            Self::Unreachable => "packets to and from the brokers dropped",
            Self::Unplugged => "a host unplugged",
        }
    }

    /// The agent that cannot answer meanwhile, because it does not run.
    pub(super) fn pauses(self) -> Option<usize> {
        (self == Self::Paused).then_some(ALONE)
    }

    pub(super) fn begin(self, bridge: &Bridge, brokers: &mut Brokers, agents: &mut [Agent]) {
        match self {
            Self::Nats => brokers.kill(Broker::Nats),
            Self::Redis => brokers.kill(Broker::Redis),
            Self::Halves => bridge.cut_both(0..ELDERS, ELDERS..AGENTS),
            Self::Split => {
                brokers.kill(Broker::Nats);
                brokers.kill(Broker::Redis);
                bridge.cut_both(0..ELDERS, ELDERS..AGENTS);
            }
            Self::Loss => bridge.lose(10),
            Self::OneWay => bridge.cut(0..ELDERS, ELDERS..AGENTS),
            Self::Brokers => {
                brokers.kill(Broker::Nats);
                brokers.kill(Broker::Redis);
            }
            Self::Paused => {
                agents[ALONE].is_up = false;
                agents[ALONE].process.signal(Signal::STOP);
            }
            Self::Unreachable => bridge.cut_both(0..AGENTS, [AGENTS]),
            Self::Unplugged => bridge.unplug(ALONE),
        }
    }

    pub(super) fn end(self, bridge: &Bridge, brokers: &mut Brokers, agents: &mut [Agent]) {
        match self {
            Self::Nats => brokers.restart(Broker::Nats),
            Self::Redis => brokers.restart(Broker::Redis),
            Self::Halves | Self::Loss | Self::OneWay | Self::Unreachable => bridge.heal(),
            Self::Split => {
                bridge.heal();
                brokers.restart(Broker::Nats);
                brokers.restart(Broker::Redis);
            }
            Self::Brokers => {
                brokers.restart(Broker::Redis);
                brokers.restart(Broker::Nats);
            }
            Self::Paused => {
                agents[ALONE].process.signal(Signal::CONT);
                agents[ALONE].is_up = true;
            }
            Self::Unplugged => bridge.plug(ALONE),
        }
    }
}

/// How an agent ends before it is started again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Restart {
    Killed,
    Announced,
    Stopped,
}

impl Restart {
    /// In turns.
    pub(super) fn nth(n: usize) -> Self {
        [Self::Killed, Self::Announced, Self::Stopped][n % 3]
    }

    pub(super) fn begin(self, agent: &mut Agent) {
        match self {
            Self::Killed => agent.kill(),
            Self::Announced => agent.end(Signal::USR2),
            Self::Stopped => agent.end(Signal::TERM),
        }
    }
}
