//! Gossip for programs that want it in three words: where to listen, whom to contact, with which key.
//!
//! Not here: everything else gossip can be told (`gossip::Config`).

use lobby_exchange::gossip::{Config, Key, Profile};

use super::{Builder, StartError};
use crate::way::{OnTaken, Way};

/// What was said so far.
#[derive(Default)]
pub(super) struct Embed {
    bind: Option<String>,
    seeds: Vec<String>,
    keys: Vec<Key>,
}

impl Builder {
    /// Adds gossip on this address, `IP:PORT`; port 0 takes a free one. A bad address fails at the start.
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.embed.bind = Some(addr.into());
        self
    }

    /// Members to contact, `host`, `host:port` or `address:port`, for gossip that [`bind`](Self::bind) adds. None is no
    /// error: the agent waits until somebody contacts it. Those that cannot be reached are tried again, for ever.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.embed.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// The key that all members share, for gossip that [`bind`](Self::bind) adds. Needed on addresses that others can
    /// reach, unless [`insecure`](Self::insecure) says otherwise.
    pub fn key(mut self, key: Key) -> Self {
        self.embed.keys = vec![key];
        self
    }

    /// Turns the three words into an exchange, and refuses gossip that is open to everybody.
    pub(super) fn check_gossip(&mut self) -> Result<(), StartError> {
        let Embed { bind, seeds, keys } = std::mem::take(&mut self.embed);
        if let Some(bind) = bind {
            let Ok(bind) = bind.parse() else { return Err(StartError::BindAddress(bind)) };
            let config = Config {
                bind,
                advertise: None,
                join: seeds,
                keys,
                cluster: "lobby".into(),
                profile: Profile::Lan,
                beacon: None,
                folder: None,
            };
            self.ways.push(Way::Gossip(Box::new(config), OnTaken::Fail));
        }
        for way in &self.ways {
            if let Way::Gossip(config, _) = way
                && config.keys.is_empty()
                && !config.bind.ip().is_loopback()
                && !self.insecure
            {
                return Err(StartError::Insecure(config.bind));
            }
        }
        Ok(())
    }
}
