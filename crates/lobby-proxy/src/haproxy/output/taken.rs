//! Whether another program has a port that HAProxy is to have. Decides for which HAProxy that can be told from here, and what
//! its process has already.
//!
//! Looked at before a file is put in place, and again before a reload, as somebody may have come in between.
//! Not here: how an address is read and tried (`haproxy::ports`).

use tokio::time::Instant;

use super::{AGAIN, Parts, Task};
use crate::{
    haproxy::{
        Layout, manage,
        manage::Managed,
        name,
        ports::{self, Taken},
    },
    settings::{Bind, Compat, Haproxy, Service, Settings},
};

/// Whether HAProxy's ports are those that this program sees: it may be in another machine's or container's network. `pid`: of
/// a process that answered.
pub(super) fn is_here(haproxy: &Haproxy, managed: Option<&Managed>, pid: Option<u32>) -> bool {
    match managed.filter(|_| haproxy.manage) {
        // Its program may be a script that puts it elsewhere.
        Some(managed) => managed.pid().and_then(has_our_network).unwrap_or(true),
        None => {
            let pid = pid.filter(|_| haproxy.do_socket);
            // The number of a process in a container may be another process here.
            let is_haproxy = |pid: &u32| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.starts_with("haproxy")
            };
            pid.filter(is_haproxy).and_then(has_our_network).unwrap_or(false)
        }
    }
}

/// None: it cannot be seen.
fn has_our_network(pid: u32) -> Option<bool> {
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    Some(network(&pid.to_string())? == network("self")?)
}

/// The first address of `layout` that is new to the process and the file, and that somebody else has. `loaded`: what the
/// process was started with. Where neither is known, our own process may be who has it.
pub(super) async fn first(
    settings: &Settings,
    layout: &Layout,
    loaded: Option<&str>,
    file: Option<&std::path::Path>,
) -> Option<Taken> {
    let there = match file {
        Some(file) => tokio::fs::read(file).await.ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        None => None,
    };
    let known: Vec<&str> = loaded.into_iter().chain(there.as_deref()).collect();
    if known.is_empty() {
        return None;
    }
    new(settings, &layout.skeleton, &known)
}

/// The first address of `wanted` that is new to all `known` files, and that somebody else has.
fn new(settings: &Settings, wanted: &str, known: &[&str]) -> Option<Taken> {
    let taken = ports::first_taken(&ports::new_in(wanted, known))?;
    Some(Taken { owner: owner(settings, &taken.owner), ..taken })
}

/// As people have it in their settings. A section that may be of several services is called by its own name.
fn owner(settings: &Settings, section: &str) -> String {
    let title = section.strip_prefix("frontend ").unwrap_or_default();
    let is_extra = settings.haproxy.iter().flat_map(|haproxy| &haproxy.extra_sections).any(|(extra, _)| {
        let mut words = extra.split_whitespace();
        matches!(words.next(), Some("frontend" | "listen")) && words.next() == Some(title)
    });
    let has_frontend = |service: &&Service| service.haproxy.as_ref().is_some_and(|stanza| stanza.bind != Bind::Nowhere);
    let services = || settings.services.iter().filter(has_frontend).filter(|_| !is_extra);
    let mut cleaned = services().filter(|service| name::clean(&service.name) == title);
    // Whose name can stand as it is keeps it.
    let service =
        services().find(|service| service.name == title).or_else(|| cleaned.next().filter(|_| cleaned.next().is_none()));
    match (service, settings.compat) {
        (Some(service), Compat::Synapse) => format!("service {}", service.name),
        (Some(service), _) => format!("proxy.service.{}", service.name),
        (None, _) => section.to_owned(),
    }
}

impl<P: Parts> Task<P> {
    /// Whether a reload with `text` would meet a port that somebody else has. It is put off then.
    pub(super) fn is_in_the_way(&mut self, text: &str) -> bool {
        let is_here = is_here(&self.haproxy, self.managed.as_ref(), self.memory.pid());
        let Some(loaded) = self.memory.text().filter(|_| is_here) else { return false };
        let Some(taken) = new(&self.settings, text, &[loaded]) else { return false };
        self.stats.fail(format!("no reload meanwhile: {taken}"));
        self.policy.put_off(Instant::now() + AGAIN);
        true
    }

    /// What HAProxy complained of last, if `err` does not tell it.
    pub(super) fn with_complaint(&self, err: String) -> String {
        let file = self.haproxy.config_file_path.as_deref().filter(|_| self.haproxy.manage);
        match file.and_then(manage::complaint).filter(|complaint| !err.contains(complaint)) {
            Some(complaint) => format!("{err}: {complaint}"),
            None => err,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::HaproxyService;

    #[test]
    fn only_the_network_that_this_program_sees_is_judged() {
        let (unmanaged, own) = (Haproxy::default(), std::process::id());
        assert_eq!(has_our_network(own), Some(true));
        assert!(!is_here(&unmanaged, None, None), "nobody answers");
        assert!(!is_here(&unmanaged, None, Some(own)), "that is no HAProxy");
        assert!(!is_here(&Haproxy { do_socket: false, ..unmanaged }, None, Some(own)));
    }

    #[test]
    fn owners_are_called_as_in_the_settings() {
        let service = |name: &str, bind| {
            let haproxy = Some(HaproxyService { bind, ..HaproxyService::default() });
            Service { name: name.into(), haproxy, ..Service::default() }
        };
        let all = ["web", "a b", "c d", "c_d", "e f", "e,f", "g h", "extra"].map(|name| service(name, Bind::Port(1)));
        let services = all.into_iter().chain([service("g_h", Bind::Nowhere), service("off", Bind::Nowhere)]).collect();
        let extra_sections = vec![("frontend extra".into(), Vec::new())];
        let haproxy = Some(Haproxy { extra_sections, ..Haproxy::default() });
        let settings = Settings { services, haproxy, ..Settings::default() };
        for (section, want) in [
            ("frontend web", "proxy.service.web"),
            ("frontend a_b", "proxy.service.a b"),
            ("frontend c_d", "proxy.service.c_d"),
            ("frontend c_d-2", "frontend c_d-2"),
            ("frontend e_f", "frontend e_f"),
            ("frontend g_h", "proxy.service.g h"),
            ("frontend off", "frontend off"),
            ("frontend extra", "frontend extra"),
            ("listen web", "listen web"),
            ("frontend shared-frontend", "frontend shared-frontend"),
        ] {
            assert_eq!(owner(&settings, section), want);
        }
        let settings = Settings { compat: Compat::Synapse, ..settings };
        assert_eq!(owner(&settings, "frontend web"), "service web");
    }

    #[tokio::test]
    async fn where_nothing_is_known_nobody_is_accused() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!("frontend web\n\tbind {}\n", taken.local_addr().unwrap());
        let (settings, layout) = (Settings::default(), Layout { skeleton: text.clone(), ..Layout::default() });
        assert_eq!(first(&settings, &layout, None, None).await, None);
        assert_eq!(first(&settings, &layout, Some(&text), None).await, None, "our own process has it");
        assert!(first(&settings, &layout, Some("global\n"), None).await.is_some());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        assert_eq!(first(&settings, &layout, Some("global\n"), Some(&file)).await, None);
    }
}
