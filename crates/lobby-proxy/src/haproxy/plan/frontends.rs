//! Frontends that somebody switched off by hand. Decides which are ours, and what has them take connections again.
//!
//! Not here: one that the process lacks, which is structure.

use std::collections::BTreeSet;

use super::{Action, Plan, Reload, Why};
use crate::{
    haproxy::state::{Frontend, Running},
    settings::Haproxy,
};

/// The frontends of services in a file; those of `extra` are not ours to touch.
pub fn own_frontends(skeleton: &str, haproxy: &Haproxy) -> BTreeSet<String> {
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("frontend")).then(|| words.next().map(str::to_owned)).flatten()
    };
    let foreign: BTreeSet<_> = haproxy.extra_sections.iter().filter_map(|(title, _)| name(title)).collect();
    skeleton.lines().filter_map(name).filter(|name| !foreign.contains(name)).collect()
}

impl Plan {
    /// Adds what has `own` frontends take connections.
    pub fn open(&mut self, own: &BTreeSet<String>, running: &Running) {
        for (name, now) in running.frontends.iter().filter(|(name, _)| own.contains(*name)) {
            match now {
                Frontend::Open => {}
                Frontend::Paused => self.actions.push(Action::Frontend { key: (name.clone(), String::new()) }),
                Frontend::Stopped => self.reload.push(Reload { backend: name.clone(), server: None, why: Why::Frontend }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::plan::Memory;

    #[test]
    fn only_frontends_of_services_are_opened() {
        let text = "global\nfrontend hand\n\tbind :1\n\nfrontend web\n\tbind :2\n\nfrontend gone\n\tbind :3\n\nbackend web\n";
        let haproxy = Haproxy { extra_sections: vec![("frontend  hand :1".into(), Vec::new())], ..Haproxy::default() };
        let own = own_frontends(text, &haproxy);
        assert_eq!(own.iter().collect::<Vec<_>>(), ["gone", "web"]);
        let stat = "# pxname,svname,status\nhand,FRONTEND,PAUSED\nweb,FRONTEND,PAUSED\ngone,FRONTEND,STOP\n";
        let running = Running::parse("Version: 2.6.12\nPid: 7\n", stat, "1\n# be_name srv_name\n").unwrap();
        let now = tokio::time::Instant::now().into_std();
        let mut plan = super::super::plan(&[], &running, &Memory::default(), now, std::time::Duration::ZERO);
        plan.open(&own, &running);
        assert_eq!(
            plan.to_string(),
            "1 × enable frontend, 1 reload\n  enable frontend web\n  reload: gone: its frontend was shut down"
        );
    }
}
